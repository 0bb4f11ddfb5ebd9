"""Pairs of a harmless and a harmful line by category, in English and Chinese, for a harm detector.

Mild in wording. The harmless side is often a hard one that shares its words with harm: "killer deals", "bomb
flavours". Each second line of `words/safety.txt`, and each second filling of its gaps, is held out. What is trained on
has more lines, of `words/harm_en.txt`, `harm_zh.txt` and `harmless_lines.txt`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any

from posterkit.datagen.prompts import LANGUAGES, THEMES, WORDS, PosterPrompts, word_list
from posterkit.datasets.sample_files import Row
from posterkit.documents import read_json, read_lines, table_lines
from posterkit.safety.detectors.tiny import CATEGORIES

_SLOT = re.compile(r"\{(\w+)\}")
_WORDINGS = re.compile(r"\(([^()]*\|[^()]*)\)")
# in turn, of what is held out and of what is trained on; what there is none of in a category is hard
_KINDS = ("hard", "plain", "hard", "brief", "hard", "words", "context")
_TRAINED_KINDS = (
    "hard", "plain", "hard", "any", "hard", "brief", "hard", "any", "hard", "context", "foreign", "words"
)  # fmt: skip
_FOREIGN = ("de", "fr", "es", "ru")


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
            words (any words in a row), context (the same line in another context), any (of every poster), or foreign
            (in a language of which there is no harm).
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
        kinds = (_TRAINED_KINDS, _KINDS)[half]
        kind = kinds[place % len(kinds)]
        if kind == "context" and f"{category} with context" not in word_list("safety"):
            kind = "hard"
        split = ("train", "heldout")[half]
        if split == "train" and kind != "words" and rng.random() < 0.8:
            sources, safer, other = _trained_sides(rng, category, language, kind)
        else:
            kind = "hard" if kind in ("any", "foreign") else kind
            sources, safer, other = self._sides(rng, category, LANGUAGES.index(language), half, kind)
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


@lru_cache
def _frames(name: str) -> dict[str, tuple[str, ...]]:
    """The lines of one language by section."""
    found: dict[str, list[str]] = {}
    section = ""
    for line in table_lines(WORDS / f"{name}.txt"):
        if line.startswith("["):
            section = line.strip("[]")
        else:
            found.setdefault(section, []).append(line)
    return {section: tuple(lines) for section, lines in found.items()}


def _trained_sides(rng: Random, category: str, language: str, kind: str) -> tuple[tuple[str, str], HarmLine, HarmLine]:
    """Sides of the lines that are for training alone."""
    lists = _frames(f"harm_{language}")

    def worded(frame: str) -> str:
        while "(" in frame and (changed := _WORDINGS.sub(lambda one: rng.choice(one[1].split("|")), frame)) != frame:
            frame = changed
        return _SLOT.sub(lambda one: _cased(rng.choice(lists[f"slot {one[1].lower()}"]), one), frame)

    if kind == "context":
        found, benign = rng.choice(lists[f"{category} with context"]), rng.choice(lists["benign contexts"])
        context, line = worded(found).split(" => ")
        return (found, found), HarmLine(line, False, worded(benign)), HarmLine(line, True, context)
    frame = rng.choice(lists[f"{category} harmful"])
    column, about = LANGUAGES.index(language), None
    if rng.random() < 0.3:
        about = _brief(rng, column, 0)
    if kind == "brief":
        harmless = rng.choice(_sentences(_brief(rng, column, 0)))
    elif kind == "plain":
        titles = word_list("titles")[f"{rng.choice([*THEMES])} {rng.choice(('titles', 'subtitles'))}"]
        harmless = rng.choice(titles[0::2])[column]
    elif kind == "foreign":
        harmless = rng.choice(_frames("harmless_lines")[rng.choice(_FOREIGN)])
    else:
        harmless = rng.choice(lists[f"{'any' if kind == 'any' else category} benign"])
    return (harmless, frame), HarmLine(worded(harmless), False, about), HarmLine(worded(frame), True, about)


def _cased(words: str, slot: re.Match[str]) -> str:
    """A slot's words; `{Drink}` begins with a capital, as does a line that begins with a slot."""
    return words[:1].upper() + words[1:] if slot[1][0].isupper() or slot.start() == 0 else words


def _filled(rng: Random, frame: str, column: int, half: int) -> str:
    """The frame with its gaps filled."""

    def fill(match: re.Match[str]) -> str:
        return _cased(rng.choice(word_list("safety")[f"slot {match[1].lower()}"][half::2])[column], match)

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
