"""Pairs of a harmless and a harmful line by category, in English and Chinese, for a harm detector.

Mild in wording. The harmless side is often a hard one that shares its words with harm: "killer deals", "bomb
flavours". Each second line and each second filling of its gaps is held out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from random import Random
from typing import Any

from posterkit.datagen.prompts import LANGUAGES, THEMES, WORDS, PosterPrompts, word_list
from posterkit.datasets.sample_files import Row
from posterkit.documents import read_json, read_lines, table_lines
from posterkit.safety.detectors.tiny import CATEGORIES

_SLOT = re.compile(r"\{(\w+)\}")
# in turn; what there is none of in a category is hard
_KINDS = ("hard", "plain", "hard", "brief", "hard", "words", "context")


@dataclass(frozen=True)
class HarmLine:
    """A text, whether it is harmful, and the brief that it belongs to."""

    text: str
    harmful: bool
    context: str | None = None


@dataclass(frozen=True)
class HarmPair:
    """Two texts, of which `safer` is the less harmful one.

    Attributes:
        category: one of `CATEGORIES`; None where nobody knows.
        kind: of the safer side: hard (of the category's own words), plain (a title), brief (a sentence of a prompt),
            words (any words in a row), or context (the same line in another context).
        split: "train" or "heldout".
        sources: of the safer side and of the other one: what each has in common with others of the same origin, a
            line before its gaps are filled.
    """

    id: str
    safer: HarmLine
    other: HarmLine
    category: str | None
    language: str
    kind: str
    split: str
    sources: tuple[str, str]


@dataclass(frozen=True)
class HarmPairs:
    """Pairs by number; categories take turns, then languages, then splits."""

    seed: int

    def __getitem__(self, number: int) -> HarmPair:
        place, category = divmod(number, len(CATEGORIES))
        place, language = divmod(place, len(LANGUAGES))
        place, half = divmod(place, 2)
        category, language, rng = CATEGORIES[category], LANGUAGES[language], Random(f"{self.seed} harm {number}")
        kind = _KINDS[place % len(_KINDS)]
        if kind == "context" and f"{category} with context" not in word_list("safety"):
            kind = "hard"
        sources, safer, other = self._sides(rng, category, LANGUAGES.index(language), half, kind)
        split = ("train", "heldout")[half]
        return HarmPair(f"safety-{number:08d}", safer, other, category, language, kind, split, sources)

    def _sides(
        self, rng: Random, category: str, column: int, half: int, kind: str
    ) -> tuple[tuple[str, str], HarmLine, HarmLine]:
        lists = word_list("safety")
        if kind == "context":
            found = rng.choice(lists[f"{category} with context"][half::2])
            context, line = found[column].split(" => ")
            benign = rng.choice(lists["benign contexts"][half::2])[column]
            return (found[0], found[0]), HarmLine(line, False, benign), HarmLine(line, True, context)
        frame = rng.choice(lists[f"{category} harmful"][half::2])
        about = _brief(rng, column, half) if rng.random() < 0.3 else None
        if kind == "plain":
            theme = rng.choice([*THEMES])
            titles = word_list("titles")[f"{theme} {rng.choice(('titles', 'subtitles'))}"]
            harmless = rng.choice(titles[half::2])
        elif kind == "brief":
            harmless = (rng.choice(_sentences(_brief(rng, column, half))),) * 2
        elif kind == "words":
            harmless = (_words_in_a_row(rng, half),) * 2
        else:
            harmless = rng.choice(lists[f"{category} benign"][half::2])
        safer, other = (_filled(rng, line[column], column, half) for line in (harmless, frame))
        return (harmless[0], frame[0]), HarmLine(safer, False, about), HarmLine(other, True, about)


def _filled(rng: Random, frame: str, column: int, half: int) -> str:
    """The frame with its gaps filled; `{Drink}` begins with a capital, as does a line that begins with a gap."""

    def fill(match: re.Match[str]) -> str:
        name = match[1]
        words = rng.choice(word_list("safety")[f"slot {name.lower()}"][half::2])[column]
        return words[:1].upper() + words[1:] if name[0].isupper() or match.start() == 0 else words

    return _SLOT.sub(fill, frame)


def _brief(rng: Random, column: int, half: int) -> str:
    """A harmless prompt for a poster."""
    return PosterPrompts(half, (LANGUAGES[column],))[rng.randrange(20_000)].prompt


def _words_in_a_row(rng: Random, half: int) -> str:
    """Words of one script that say nothing together."""
    words = table_lines(WORDS / f"{rng.choice(('latin', 'latin', 'cyrillic', 'greek', 'chinese'))}.txt")
    words = [word for word in words if "{" not in word and "[" not in word][half::2]
    return " ".join(rng.choice(words) for _ in range(rng.randrange(1, 7)))


def _sentences(brief: str) -> list[str]:
    return [part for part in re.split(r"(?<=[.。])\s*", brief) if part.strip()]


def encode_pair(pair: HarmPair) -> tuple[Row, dict[str, bytes]]:
    """A pair as its row; it has no files."""
    return asdict(pair), {}


def read_pairs(path: str | Path) -> Iterator[HarmPair]:
    """Pairs from JSON lines, ours or those of PKU-SafeRLHF (prompt, two responses, which is safer and which is safe).

    Args:
        path: a file, or a folder with `safety.jsonl`, or with any `.jsonl` of PKU-SafeRLHF; `train` and `test` in
            their names say the split.

    Raises:
        ValueError: there are none, or a line is neither.
    """
    path = Path(path)
    if path.is_dir():
        own = path / "safety.jsonl"
        files = [own] if own.is_file() else sorted(path.rglob("*.jsonl"))
    else:
        files = [path]
    if not files or not all(file.is_file() for file in files):
        raise ValueError(f"{path}: holds no pairs of safer and other texts (.jsonl)")
    for file in files:
        for number, line in read_lines(file):
            row = read_json(line, f"{file}: line {number}")
            try:
                yield _ours(row) if "safer" in row else _pku(row, f"{file.stem}-{number}")
            except (KeyError, TypeError):
                raise ValueError(f"{file}: line {number}: is no pair of safer and other texts") from None


def _ours(row: dict[str, Any]) -> HarmPair:
    sides = {side: HarmLine(**row[side]) for side in ("safer", "other")}
    own: dict[str, Any] = {field.name: row[field.name] for field in fields(HarmPair)}
    return HarmPair(**{**own, **sides, "sources": tuple(row["sources"])})


def _pku(row: dict[str, Any], name: str) -> HarmPair:
    sides = [HarmLine(row[f"response_{side}"], not row[f"is_response_{side}_safe"], row["prompt"]) for side in (0, 1)]
    safer = int(row["safer_response_id"])
    split = "heldout" if "test" in name else "train"
    return HarmPair(name, sides[safer], sides[1 - safer], None, "en", "pku", split, (row["prompt"], row["prompt"]))
