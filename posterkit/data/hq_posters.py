"""HQ-Poster: the posters of a folder that are worth learning from (PosterCraft, stage 2's data).

Copies show only across the whole folder, so it is gone through twice: `Scan` looks at every file and keeps a line for
each, `settle` decides from these lines who goes where, and the steps then tell the whole story in one funnel.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from PIL import Image

from posterkit.data.dataset import read_rows
from posterkit.data.flow import Drop
from posterkit.data.near_copies import find_near_copies, perceptual_hash
from posterkit.data.schema import DrawnText, PosterSample, Region, encode_sample
from posterkit.judges.chat import AnswerError
from posterkit.judges.judge import Judge, SeenText
from posterkit.judges.opening import open_judge
from posterkit.reading import SUFFIXES, read_image, read_image_and_kind, read_size

if TYPE_CHECKING:
    from posterkit.judges.image_text import ImageTextModel
    from posterkit.judges.rules import RulesJudge

EXACT, BLEMISHES, NEAR = "exact copies", "credit blocks and watermarks", "near copies"
_SMALL = 256  # px of the shorter side that are enough for a hash and for a thumbnail
_OPENING = threading.Lock()


def list_posters(folder: Path) -> tuple[str, ...]:
    """The pictures in a folder and its sub-folders by their suffix: relative paths, sorted; hidden ones are left out.

    Raises:
        ValueError: there is no such folder, it holds no picture, or a name is no Unicode.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: {'is a file' if folder.exists() else 'there is no such folder'}; name a folder")
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    names = sorted(
        path.as_posix()
        for path in found
        if not any(part.startswith(".") for part in path.parts) and not (folder / path).is_dir()
    )
    if not names:
        raise ValueError(f"{folder}: holds no picture ({', '.join(sorted(SUFFIXES))})")
    for name in names:
        if any("\ud800" <= letter <= "\udfff" for letter in name):
            raise ValueError(f"{folder}: the name {name!a} is not Unicode; rename that file")
    return tuple(names)


def fingerprint(folder: Path, names: tuple[str, ...]) -> str:
    """What the input is: the names and sizes of its pictures and of the captions beside them."""
    found = hashlib.sha256()
    for name in names:
        caption = own_caption(folder / name)
        sizes = [path.stat().st_size if path.is_file() else None for path in (folder / name, caption)]
        found.update(f"{name} {sizes}\n".encode())
    return found.hexdigest()[:16]


def own_caption(picture: Path) -> Path:
    """Where a poster's own caption stands: NAME.txt beside it."""
    return picture.with_suffix(".txt")


@dataclass(frozen=True)
class JudgeAt:
    """A judge by its address: each process opens its own, see `posterkit.judges.opening.open_judge`."""

    source: str
    model: str | None = None
    device: str = "cpu"
    answers: str | None = None

    def open(self) -> Judge:
        return open_judge(self.source, model=self.model, device=self.device, cache=self.answers)


@dataclass(frozen=True)
class LooksOf:
    """The rules' aesthetic score by itself: what `Judge.score` says of it, without the time for content and text."""

    judge: JudgeAt  # rules

    def aesthetics(self, poster: Image.Image, caption: str) -> tuple[str, float, str]:
        """Who scores, the score in [0, 1], and why; the caption does not matter."""
        judge = cast("RulesJudge", self.judge.open())
        looks = judge.looks(poster)
        part, value = min(looks.parts().items(), key=lambda part: part[1])
        return judge.name, looks.aesthetics, f"weakest in {part} ({value:.2f})"


@dataclass(frozen=True)
class ClipAt:
    """A CLIP-like folder by its address."""

    source: str
    device: str = "cpu"

    def open(self) -> ImageTextModel:
        with _OPENING:  # lru_cache alone would load a model twice for two threads
            return _clip(self.source, self.device)

    def aesthetics(self, poster: Image.Image, caption: str) -> tuple[str, float, str]:
        """Who scores, the cosine in [-1, 1] between poster and caption, and why: the model does not say."""
        model = self.open()
        return model.name, model.score([poster], [caption])[0], ""


@lru_cache(1)
def _clip(source: str, device: str) -> ImageTextModel:
    from posterkit.judges.image_text import ImageTextModel  # torch takes seconds, and rules do without

    return ImageTextModel(source, device)


@dataclass(frozen=True)
class Scan:
    """The first look at a file: what it is, what it looks like, and whether a judge finds a blemish on it.

    Attributes:
        judge: None looks for none.
    """

    folder: Path
    names: tuple[str, ...]
    shorter_side: int
    judge: JudgeAt | None

    def __getitem__(self, number: int) -> dict[str, Any] | Drop:
        path = self.folder / self.names[number]
        try:
            size = read_size(path)
            small, kind = read_image_and_kind(path, least=_SMALL)
            with path.open("rb") as file:
                md5 = hashlib.file_digest(file, "md5").hexdigest()
        except (OSError, ValueError) as error:
            return Drop("unreadable", str(error), fault=True)
        if min(size) < self.shorter_side:
            return Drop("too small", f"{size}; the shorter side must have {self.shorter_side} pixels")
        row = {"id": self.names[number], "size": size, "kind": kind, "md5": md5, "hash": perceptual_hash(small)}
        if self.judge:
            judge = self.judge.open()
            try:
                row["blemishes"] = judge.blemishes(read_image(path))
            except AnswerError as error:
                row["unanswered"] = str(error)
            row["by"] = judge.name
        return row


def encode_line(row: dict[str, Any]) -> tuple[dict[str, Any], dict[str, bytes]]:
    """What `Scan` found, as a row without files."""
    return row, {}


@dataclass(frozen=True)
class Settled:
    """What only shows across the whole folder.

    Attributes:
        unread: why a file goes no further than reading, by its number.
        lost: the same for EXACT, BLEMISHES and NEAR.
        by: who looked for blemishes on the posters that stay.
        kinds: of the files of the posters that stay, see `read_image_and_kind`.
    """

    unread: dict[int, Drop] = field(default_factory=dict)
    lost: dict[str, dict[int, Drop]] = field(default_factory=lambda: {EXACT: {}, BLEMISHES: {}, NEAR: {}})
    by: set[str] = field(default_factory=set)
    kinds: set[str | None] = field(default_factory=set)


def settle(scan: Path, names: tuple[str, ...], distance: int) -> Settled:
    """Decide who is a copy of whom.

    Of exact copies (MD5) the first by name stays. Of near ones among what is left, the one with the most pixels, then
    the first by name; see `find_near_copies`.

    Args:
        scan: the folder of a finished scan.
        names: of all files, in the scan's order.
        distance: differing bits of 64 up to which two posters count as near copies.
    """
    found, number_of = Settled(), {name: number for number, name in enumerate(names)}
    for _, line in read_rows(scan / "dropped.jsonl"):
        found.unread[number_of[line["id"]]] = Drop(line["reason"], line["detail"], fault=line["fault"])
    first: dict[str, str] = {}
    left: list[tuple[int, dict[str, Any]]] = []
    for _, row in read_rows(scan / "samples.jsonl"):
        number = number_of[row["id"]]
        if first.setdefault(row["md5"], row["id"]) != row["id"]:
            found.lost[EXACT][number] = Drop("exact copy", f"of {first[row['md5']]}")
        elif "unanswered" in row:
            found.lost[BLEMISHES][number] = Drop("no answer", row["unanswered"], fault=True)
        elif row.get("blemishes"):
            detail = f"{row['by']}: {', '.join(row['blemishes'])}"
            found.lost[BLEMISHES][number] = Drop(row["blemishes"][0], detail)
        else:
            left.append((number, row))
    hashes, pixels = [row["hash"] for _, row in left], [row["size"][0] * row["size"][1] for _, row in left]
    copies = find_near_copies(hashes, pixels, [row["id"] for _, row in left], distance)
    for n, (number, row) in enumerate(left):
        if n in copies:
            of, bits = left[copies[n].of][1], copies[n].distance
            sizes = f"{row['size'][0]}x{row['size'][1]}, that one {of['size'][0]}x{of['size'][1]}"
            found.lost[NEAR][number] = Drop("near copy", f"of {of['id']}, {bits} of 64 bits differ; {sizes}")
        else:
            found.kinds.add(row["kind"])
            found.by.update([row["by"]] if "by" in row else [])
    return found


@dataclass(frozen=True)
class Poster:
    """A poster on its way through the steps.

    Attributes:
        path: its file.
        kind: the suffix under which the file itself can stand in the set, see `read_image_and_kind`.
    """

    number: int
    name: str
    path: Path
    image: Image.Image
    kind: str | None
    caption: str = ""
    texts: tuple[SeenText, ...] = ()
    judged: Mapping[str, dict[str, Any]] = field(default_factory=dict)

    def hearing(self, question: str, by: str, said: Any, **found: Any) -> Poster:
        """The same poster with an answer on record."""
        return replace(self, judged={**self.judged, question: {"by": by, "said": said}}, **found)


@dataclass(frozen=True)
class Posters:
    """The posters of a folder by number; those that are to be dropped are read at thumbnail size only."""

    folder: Path
    names: tuple[str, ...]
    settled: Settled

    def __getitem__(self, number: int) -> Poster | Drop:
        why = self.settled.unread.get(number)
        if why and why.fault:
            return why
        lost = why or any(number in numbers for numbers in self.settled.lost.values())
        path = self.folder / self.names[number]
        image, kind = read_image_and_kind(path, least=_SMALL if lost else None)
        return replace(why, picture=image) if why else Poster(number, self.names[number], path, image, kind)


@dataclass(frozen=True)
class DropKnown:
    """The steps whose answer the scan knows.

    Attributes:
        lost: why a poster goes no further, by its number.
        by: who looked for blemishes; empty for the other steps.
    """

    lost: Mapping[int, Drop]
    by: frozenset[str] = frozenset()

    def __call__(self, poster: Poster) -> Poster | Drop:
        why = self.lost.get(poster.number)
        if why:
            return replace(why, picture=poster.image)
        return poster.hearing("blemishes", ", ".join(sorted(self.by)), []) if self.by else poster


@dataclass(frozen=True)
class Caption:
    """A poster's own NAME.txt, else the judge's words."""

    judge: JudgeAt

    def __call__(self, poster: Poster) -> Poster | Drop:
        own = own_caption(poster.path)
        try:
            words = own.read_text(encoding="utf-8-sig").strip() if own.is_file() else ""
        except (OSError, ValueError) as error:
            return Drop("unreadable caption", f"{own}: {error}", poster.image, fault=True)
        if words:
            return poster.hearing("caption", own.name, words, caption=words)
        try:
            judge = self.judge.open()
            words = judge.caption(poster.image)
        except AnswerError as error:
            return Drop("no answer", str(error), poster.image, fault=True)
        return poster.hearing("caption", judge.name, words, caption=words)


@dataclass(frozen=True)
class Aesthetics:
    """The aesthetic score: by rules, or the cosine between poster and caption of HPSv2 and its like."""

    scorer: LooksOf | ClipAt
    least: float

    def __call__(self, poster: Poster) -> Poster | Drop:
        try:
            name, score, why = self.scorer.aesthetics(poster.image, poster.caption)
        except AnswerError as error:
            return Drop("no answer", str(error), poster.image, fault=True)
        if score < self.least:
            detail = f"{name}: {score:.3f}, at least {self.least:g}{'; ' + why if why else ''}"
            return Drop("low score", detail, poster.image)
        return poster.hearing("aesthetics", name, round(score, 4))


@dataclass(frozen=True)
class Regions:
    """Where major and minor texts stand."""

    judge: JudgeAt

    def __call__(self, poster: Poster) -> Poster | Drop:
        try:
            judge = self.judge.open()
            texts = judge.texts(poster.image)
        except AnswerError as error:
            return Drop("no answer", str(error), poster.image, fault=True)
        said = {role: sum(text.role == role for text in texts) for role in ("major", "minor")}
        return poster.hearing("texts", judge.name, said, texts=texts)


def leave(poster: Poster) -> Poster:
    """A step that is switched off; its name in the funnel says so."""
    return poster


@dataclass(frozen=True)
class EncodePoster:
    """A poster as a sample of task "text"; its target is the file itself wherever that shows the same pixels.

    Attributes:
        keep_files: False writes every target as PNG; tar shards need files of one kind.
        heldout: every so many posters one is held out; 0 for none.
    """

    licence: str
    keep_files: bool
    heldout: int

    def __call__(self, poster: Poster) -> tuple[dict[str, Any], dict[str, bytes]]:
        held = self.heldout and poster.number % self.heldout == self.heldout - 1
        sample = PosterSample(
            id=f"poster-{poster.number:08d}", task="text", target=np.asarray(poster.image),
            regions=[Region(text.box, text.role, text.text) for text in poster.texts],
            texts=[DrawnText(text.text, text.box) for text in poster.texts],
            caption=poster.caption, instruction=poster.caption, words=poster.caption, source=poster.name,
            licence=self.licence, split="heldout" if held else "train", judged=dict(poster.judged),
        )  # fmt: skip
        own = (poster.kind, poster.path.read_bytes()) if self.keep_files and poster.kind else None
        return encode_sample(sample, own)
