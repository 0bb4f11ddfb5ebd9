"""Reads finished posters, finds their texts and subjects, and defines the inputs that a task adds to one."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from posterkit.datagen.engine import Drop
from posterkit.datagen.lazy_models import OpenCritic
from posterkit.datagen.omni.subject_quality import GOOD, subject_quality
from posterkit.datagen.picture_folder import (
    fingerprint,
    list_pictures,
    read_caption,
    read_wording,
    recorded_words,
    wording_path,
)
from posterkit.datagen.prompts import language_of
from posterkit.datasets.dataset import INDEX, PosterDataset
from posterkit.image_io import read_image
from posterkit.metrics.ocr import edit_distance
from posterkit.metrics.text_regions import DetectedText
from posterkit.pipelines.segmenters import Box, Subject, open_segmenter
from posterkit.prompts import in_quotes, quoted_texts
from posterkit.tasks import TASKS

ALIKE = 0.3  # share of letters by which what is read may differ from a text that the caption quotes
CUT_OUT = ("id_driven", "rescaling")  # tasks that set a subject down elsewhere
GLOBAL = tuple(task.name for task in TASKS.values() if task.group == "global")
NEIGHBOURS = 4  # posters of which one lends its scene to a reference
SURE_ENOUGH = 0.85  # confidence from which a title that nobody wrote down is taken as it was read
SHORTEST = 128  # pixels of a side; below this, parts of a poster cannot be told apart


@dataclass(frozen=True, eq=False)
class SourcePoster:
    """A finished poster and what was found on it so far."""

    name: str  # of its file or its sample
    picture: Image.Image
    caption: str
    theme: str
    source: str
    licence: str
    split: str
    texts: tuple[DetectedText, ...] | None = None  # None before they are read
    subjects: tuple[Subject, ...] = ()
    style: str | None = None
    judged: Mapping[str, dict[str, Any]] = field(default_factory=dict)  # see `PosterSample.judged`
    wording: tuple[str, ...] = ()  # its texts as a person wrote them down; empty where nobody did

    @property
    def pixels(self) -> np.ndarray:
        """`(H, W, 3)` uint8."""
        return np.asarray(self.picture)

    def with_answer(self, question: str, by: str, said: object, **found: Any) -> SourcePoster:
        """The same poster with an answer added to `judged`."""
        return replace(self, judged={**self.judged, question: {"by": by, "said": said}}, **found)


class CannotBuild(Exception):
    """The poster does not suit the task: a reason of a few words for the funnel, and what was found."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


@dataclass(frozen=True)
class TaskInputs:
    """References, mask and words for a target, which is the finished poster itself; see `PosterSample`."""

    references: list[np.ndarray]
    words: str | None
    how: str  # how the input was made, for the record
    mask: np.ndarray | None = None
    placed: Box | None = None
    subject: Box | None = None
    painted: bool = False  # the painter made part of it


def seed_of(name: str) -> int:
    """A seed from a name alone, so that all tasks of a poster share what was painted."""
    return zlib.crc32(name.encode())


@dataclass(frozen=True)
class PosterTask:
    """A sample to be made: its number in the set, its task, and the poster that it is made from."""

    number: int
    task: str
    poster: SourcePoster
    other: SourcePoster | None = None  # of the same split, whose scene a reference may show; None where there is none


@dataclass(frozen=True)
class PosterTasks:
    """Each poster once for each task, then over again with other random numbers."""

    source: FolderSource | SetSource
    tasks: tuple[str, ...]

    def __getitem__(self, number: int) -> PosterTask | Drop:
        index = number // len(self.tasks) % len(self.source.names)
        task, found = self.tasks[number % len(self.tasks)], _read(self.source, index)
        if isinstance(found, Drop):
            return found
        return PosterTask(number, task, found, self._other(index, found) if task in GLOBAL else None)

    def _other(self, index: int, poster: SourcePoster) -> SourcePoster | None:
        """One of the next posters, of the same split and with other pixels."""
        for step in range(1, min(NEIGHBOURS, len(self.source.names) - 1) + 1):
            other = _read(self.source, (index + step) % len(self.source.names))
            if isinstance(other, Drop) or other.split != poster.split:
                continue
            if other.picture.size != poster.picture.size or other.picture.tobytes() != poster.picture.tobytes():
                return other
        return None


@lru_cache(NEIGHBOURS + 1)
def _read(source: FolderSource | SetSource, number: int) -> SourcePoster | Drop:
    """One poster; the next task gets the very same object, so that texts and subjects are found once."""
    try:
        found = source.read(number)
    except (OSError, ValueError) as error:
        return Drop("unreadable", str(error), fault=True)
    if min(found.picture.size) < SHORTEST:
        size = "x".join(map(str, found.picture.size))
        return Drop("too small", f"{size}; each side must have {SHORTEST} pixels", found.picture)
    return found


def open_source(path: str | Path, licence: str, heldout: int) -> FolderSource | SetSource:
    """Finished posters by their address: a set (a folder with `samples.jsonl`, or that file), or a folder of pictures.

    Raises:
        ValueError: there is neither, or nothing in it.
    """
    path = Path(path)
    if path.is_file() or (path / INDEX).is_file():
        rows = _dataset(path).rows
        if not rows:
            raise ValueError(f'{path}: the set holds no sample of task "text"; finished posters are of that task')
        digest = hashlib.sha256(repr(rows).encode()).hexdigest()[:16]
        return SetSource(path, tuple(str(row.get("id")) for row in rows), digest)
    names = list_pictures(path)
    least = _least_digest(path, names) if len(names) < 3 * heldout else b""
    return FolderSource(path, names, fingerprint(path, names), licence, heldout, least)


def _least_digest(path: Path, names: tuple[str, ...]) -> bytes:
    """The least digest of a small folder's pictures, of two different ones at least; else nothing."""
    found = set()
    for name in names:
        with suppress(OSError, ValueError):  # it is dropped, with the reason, when its turn comes
            found.add(_digest(read_image(path / name)))
    return min(found) if len(found) > 1 else b""


def _digest(picture: Image.Image) -> bytes:
    return hashlib.sha256(picture.tobytes()).digest()


@dataclass(frozen=True)
class FolderSource:
    """Pictures with a caption in NAME.txt beside each, and its texts in NAME.texts.txt, one a line, where it has them.

    For posters that posterkit made their record says both, where no file does.
    About one picture in `heldout` is held out, by its pixels, so that copies never stand in both splits; of a small
    folder, for which chance may leave none, the one of the least digest is, too.
    """

    path: Path
    names: tuple[str, ...]
    fingerprint: str
    licence: str
    heldout: int
    least: bytes = b""

    def read(self, number: int) -> SourcePoster:
        """One poster; OSError or ValueError where it cannot be read."""
        name = self.names[number]
        picture = read_image(self.path / name)
        caption, wording = read_caption(self.path / name), read_wording(self.path / name)
        if not (caption and wording):
            prompt, texts = recorded_words(self.path / name)
            caption, wording = caption or prompt, wording or texts
        digest = _digest(picture)
        held = self.heldout and (digest == self.least or int.from_bytes(digest[:4]) % self.heldout == 0)
        split = "heldout" if held else "train"
        return SourcePoster(name, picture, caption, "poster", name, self.licence, split, wording=wording)


@dataclass(frozen=True)
class SetSource:
    """The samples of task "text" of a set, with their own splits, captions and texts."""

    path: Path
    names: tuple[str, ...]
    fingerprint: str

    def read(self, number: int) -> SourcePoster:
        """One poster; OSError or ValueError where it cannot be read."""
        sample = _dataset(self.path)[number]
        roles = {region.box: region.role for region in sample.regions}
        texts = None
        if sample.texts or "texts" in sample.judged:
            seen = [(text.text, text.box, roles.get(text.box, "minor")) for text in sample.texts if text.box]
            texts = tuple(DetectedText(text, box, "major" if role == "major" else "minor") for text, box, role in seen)
        found = SourcePoster(
            sample.id, Image.fromarray(sample.target), sample.caption, sample.theme, sample.source, sample.licence,
            sample.split, texts, style=sample.style, judged=sample.judged,
        )  # fmt: skip
        return found if texts is None or "texts" in found.judged else found.with_answer("texts", "the set", len(texts))


@lru_cache(1)
def _dataset(path: Path) -> PosterDataset:
    return PosterDataset(path, tasks=("text",))


def read_texts(job: PosterTask, open_critic: OpenCritic) -> PosterTask | Drop:
    """Read a poster's texts and, where it has no caption, write one.

    A poster is dropped whose title is not surely read and is spelt in no caption: it would teach a misreading.
    """
    poster = _with_texts(open_critic, job.poster)
    unsure = [text for text in poster.texts or () if text.role == "major" and text.sure < SURE_ENOUGH]
    if unsure:
        said = f'{poster.name}: "{unsure[0].text}", read with a confidence of {unsure[0].sure:.2f}'
        return Drop("unsure title", f"{said}; write its texts into {wording_path(poster.name)}", poster.picture)
    return replace(job, poster=poster, other=job.other and _with_texts(open_critic, job.other))


@lru_cache(NEIGHBOURS + 1)
def _with_texts(open_critic: OpenCritic, poster: SourcePoster) -> SourcePoster:
    if poster.texts is None:
        critic = open_critic()
        texts = spelt_as_in(poster.caption, critic.texts(poster.picture))
        if poster.wording:  # a person says what is text; all else that looks like one belongs to the picture
            texts = spelt_as(poster.wording, texts)
            texts = tuple(text for text in texts if text.text in poster.wording)
        poster = poster.with_answer("texts", critic.name, len(texts), texts=texts)
    if not poster.caption:
        critic = open_critic()
        words = critic.caption(poster.picture)
        poster = poster.with_answer("caption", critic.name, words, caption=words)
    assert poster.texts is not None
    return replace(poster, caption=with_titles(poster.caption, poster.texts))


def spelt_as_in(caption: str, texts: tuple[DetectedText, ...]) -> tuple[DetectedText, ...]:
    """Texts as OCR read them, spelt as the caption quotes them where the two are nearly equal."""
    return spelt_as(quoted_texts(caption), texts)


def spelt_as(wording: Sequence[str], texts: tuple[DetectedText, ...]) -> tuple[DetectedText, ...]:
    """Texts as OCR read them, spelt as in a wording where the two are nearly equal."""
    found = []
    for seen in texts:
        folded = _folded(seen.text)
        away = {text: edit_distance(_folded(text), folded) for text in wording}
        nearest = min(away, key=lambda text: away[text], default=None)
        if nearest is not None and away[nearest] <= ALIKE * max(len(folded), 1):
            seen = replace(seen, text=nearest, sure=1.0)
        found.append(seen)
    return tuple(found)


def with_titles(caption: str, texts: tuple[DetectedText, ...]) -> str:
    """The caption followed by the titles that it does not quote: a model needs every letter that it has to draw."""
    said = " ".join(caption.split())
    missing = [text.text for text in texts if text.role == "major" and " ".join(text.text.split()) not in said]
    for title in dict.fromkeys(missing):
        words = "标题写着{}。" if language_of(caption) == "zh" else "The title reads {}."
        caption = f"{caption} {words.format(in_quotes(title))}".strip()
    return caption


def _folded(text: str) -> str:
    return "".join(letter for letter in text.casefold() if letter.isalnum())


def find_subjects(job: PosterTask, segmenter: str, device: str | None = None) -> PosterTask | Drop:
    """Find a poster's subjects; a poster without one is dropped, and where one is cut out, without a good one."""
    found = _with_subjects(segmenter, device, job.poster)
    if isinstance(found, Drop):
        return found
    if job.task in CUT_OUT:
        scores = [_quality(found, subject) for subject in found.subjects]
        good = tuple(one for one, score in zip(found.subjects, scores, strict=True) if score >= GOOD)
        if not good:
            said = ", ".join(f"{score:.2f}" for score in scores)
            return Drop("bad cut-out", f"{found.name}: quality {said}, at least {GOOD:g} is needed", found.picture)
        found = replace(found, subjects=good)
    other = job.other and _with_subjects(segmenter, device, job.other)
    return replace(job, poster=found, other=None if isinstance(other, Drop) else other)


@lru_cache(NEIGHBOURS + 1)
def _with_subjects(segmenter: str, device: str | None, poster: SourcePoster) -> SourcePoster | Drop:
    find = open_segmenter(segmenter, device)
    subjects = find(poster.picture, [text.box for text in poster.texts or ()])
    if not subjects:
        return Drop("no subject", f"{poster.name}: nothing stands out ({find.name})", poster.picture)
    return poster.with_answer("subjects", find.name, [list(one.box) for one in subjects], subjects=subjects)


def _quality(poster: SourcePoster, subject: Subject) -> float:
    hidden = np.zeros(subject.mask.shape, bool)
    for x0, y0, x1, y1 in (text.box for text in poster.texts or ()):
        hidden[y0:y1, x0:x1] = True
    for other in poster.subjects:
        hidden |= (other.mask > 0) & (subject.mask == 0)
    return subject_quality(poster.picture, subject.mask, hidden)
