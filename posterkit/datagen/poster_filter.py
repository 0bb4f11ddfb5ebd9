"""Filters a folder of posters down to the good ones (PosterCraft, the data of stage 2).

Duplicates show only across the whole folder, so it is read twice: `FolderScan` keeps a line for each file, and
`decide` finds from these lines which posters are dropped. The steps then work on the posters that stay.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from posterkit.datagen.engine import Drop
from posterkit.datagen.lazy_models import OpenCritic
from posterkit.datagen.near_duplicates import (
    NearDuplicate,
    altered_hashes,
    find_altered_copies,
    find_near_duplicates,
    perceptual_hash,
    same_thumbnail,
    thumbnail,
)
from posterkit.datagen.picture_folder import caption_path, read_caption
from posterkit.datasets.dataset import read_rows
from posterkit.datasets.sample_files import encode_sample
from posterkit.image_io import read_image, read_image_and_kind, read_size
from posterkit.llm.client import AnswerError
from posterkit.metrics.ocr import word_similarity, words
from posterkit.metrics.text_regions import DetectedText
from posterkit.safety.gate import SafetyGate
from posterkit.schema import DrawnText, PosterSample, Region

EXACT, BLEMISHES, NEAR = "exact copies", "credit blocks and watermarks", "near copies"
SAME_TITLE = 0.5  # similarity of two posters' titles, below which they are no copies
SMALL = 256  # px of the shorter side that are enough for a hash and for a thumbnail


@dataclass(frozen=True)
class FolderScan:
    """Reads each file once: size, format, hashes, and the blemishes that a critic finds."""

    folder: Path
    names: tuple[str, ...]
    shorter_side: int
    critic: OpenCritic | None  # None looks for no blemishes

    def __getitem__(self, number: int) -> dict[str, Any] | Drop:
        path = self.folder / self.names[number]
        try:
            size = read_size(path)
            small, kind = read_image_and_kind(path, least=SMALL)
            with path.open("rb") as file:
                md5 = hashlib.file_digest(file, "md5").hexdigest()
        except (OSError, ValueError) as error:
            return Drop("unreadable", str(error), fault=True)
        if min(size) < self.shorter_side:
            return Drop("too small", f"{size}; the shorter side must have {self.shorter_side} pixels")
        row = {"id": self.names[number], "size": size, "kind": kind, "bytes": path.stat().st_size, "md5": md5,
               "hash": perceptual_hash(small), "altered": altered_hashes(small),
               "thumbnail": thumbnail(small)}  # fmt: skip
        if self.critic:
            critic = self.critic()
            try:
                poster = read_image(path)
                row["blemishes"] = critic.blemishes(poster)
                row["titles"] = [text.text for text in critic.texts(poster) if text.role == "major"]
            except AnswerError as error:
                row["unanswered"] = str(error)
            row["by"] = critic.name
        return row


def encode_scan_row(row: dict[str, Any]) -> tuple[dict[str, Any], dict[str, bytes]]:
    """A row of `FolderScan`, which has no files."""
    return row, {}


@dataclass(frozen=True)
class ScanDecision:
    """What the scan decides about each poster, by its number."""

    unread: dict[int, Drop] = field(default_factory=dict)  # why a file cannot be used
    dropped: dict[str, dict[int, Drop]] = field(default_factory=lambda: {EXACT: {}, BLEMISHES: {}, NEAR: {}})
    critics: set[str] = field(default_factory=set)  # that looked for blemishes on the posters that are kept
    kinds: set[str | None] = field(default_factory=set)  # of the kept, see `read_image_and_kind`


def decide(scan: Path, names: tuple[str, ...], distance: int) -> ScanDecision:
    """Finds exact duplicates, near duplicates and posters with blemishes.

    Of exact duplicates (MD5) the first by name is kept; of near duplicates the one with the most pixels, then the
    longest file, then the first by name; see `find_near_duplicates`.

    Args:
        scan: the folder of a finished scan.
        names: of all files, in the scan's order.
        distance: differing bits of 64 up to which two posters count as near duplicates.
    """
    found, number_of = ScanDecision(), {name: number for number, name in enumerate(names)}
    for _, line in read_rows(scan / "dropped.jsonl"):
        found.unread[number_of[line["id"]]] = Drop(line["reason"], line["detail"], fault=line["fault"])
    first: dict[str, str] = {}
    left: list[tuple[int, dict[str, Any]]] = []
    for _, row in read_rows(scan / "samples.jsonl"):
        number = number_of[row["id"]]
        if first.setdefault(row["md5"], row["id"]) != row["id"]:
            found.dropped[EXACT][number] = Drop("exact copy", f"of {first[row['md5']]}")
        elif "unanswered" in row:
            found.dropped[BLEMISHES][number] = Drop("no answer", row["unanswered"], fault=True)
        elif row.get("blemishes"):
            detail = f"{row['by']}: {', '.join(row['blemishes'])}"
            found.dropped[BLEMISHES][number] = Drop(row["blemishes"][0], detail)
        else:
            left.append((number, row))
    hashes, ids = [row["hash"] for _, row in left], [row["id"] for _, row in left]
    # of two with as many pixels the longer file lost less when it was encoded
    merits = [(row["size"][0] * row["size"][1], row["bytes"]) for _, row in left]
    rows = [row for _, row in left]
    copies = find_near_duplicates(hashes, merits, ids, distance)
    copies = {n: found for n, found in copies.items() if same_poster(rows[n], rows[found.of])}
    for a, b, bits in find_altered_copies(hashes, [row["altered"] for row in rows], distance):
        if a not in copies and b not in copies and same_poster(rows[a], rows[b]):
            kept, lost = sorted((a, b), key=lambda n: ([-merit for merit in merits[n]], ids[n]))
            copies[lost] = NearDuplicate(kept, bits)
    for n, (number, row) in enumerate(left):
        if n in copies:
            of, bits = left[copies[n].of][1], copies[n].distance
            sizes = f"{row['size'][0]}x{row['size'][1]}, that one {of['size'][0]}x{of['size'][1]}"
            found.dropped[NEAR][number] = Drop("near copy", f"of {of['id']}, {bits} of 64 bits differ; {sizes}")
        else:
            found.kinds.add(row["kind"])
            found.critics.update([row["by"]] if "by" in row else [])
    return found


def same_poster(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Whether two rows of near hashes show one poster: by their colours, and by their titles where both are read.

    Plain posters have near hashes though they have nothing in common but much empty ground.
    """
    one, other = ([word for title in row.get("titles", ()) for word in words(title)] for row in (a, b))
    if one and other and word_similarity(one, other) < SAME_TITLE:
        return False
    return same_thumbnail(a["thumbnail"], b["thumbnail"])


@dataclass(frozen=True)
class ScannedPoster:
    """A poster on its way through the steps."""

    number: int
    name: str
    path: Path  # its file
    image: Image.Image
    kind: str | None  # the suffix under which the file itself can stand in the set, see `read_image_and_kind`
    caption: str = ""
    texts: tuple[DetectedText, ...] = ()
    judged: Mapping[str, dict[str, Any]] = field(default_factory=dict)

    def with_answer(self, question: str, by: str, said: object, **found: Any) -> ScannedPoster:
        """The same poster with an answer added to `judged`."""
        return replace(self, judged={**self.judged, question: {"by": by, "said": said}}, **found)


@dataclass(frozen=True)
class ScannedPosters:
    """The posters of a folder by number; those that are to be dropped are read at thumbnail size only."""

    folder: Path
    names: tuple[str, ...]
    decision: ScanDecision

    def __getitem__(self, number: int) -> ScannedPoster | Drop:
        why = self.decision.unread.get(number)
        if why and why.fault:
            return why
        dropped = why or any(number in numbers for numbers in self.decision.dropped.values())
        path = self.folder / self.names[number]
        image, kind = read_image_and_kind(path, least=SMALL if dropped else None)
        return replace(why, picture=image) if why else ScannedPoster(number, self.names[number], path, image, kind)


def drop_from_scan(
    poster: ScannedPoster, dropped: Mapping[int, Drop], critics: frozenset[str] = frozenset()
) -> ScannedPoster | Drop:
    """Drop what the scan has decided to drop; `critics` are those that looked for blemishes, none in other steps."""
    if why := dropped.get(poster.number):
        return replace(why, picture=poster.image)
    return poster.with_answer("blemishes", ", ".join(sorted(critics)), []) if critics else poster


def add_caption(poster: ScannedPoster, open_critic: OpenCritic) -> ScannedPoster | Drop:
    """Read the caption from NAME.txt, or have the critic write one."""
    try:
        words = read_caption(poster.path)
    except (OSError, ValueError) as error:
        return Drop("unreadable caption", str(error), poster.image, fault=True)
    if words:
        return poster.with_answer("caption", caption_path(poster.path).name, words, caption=words)
    try:
        critic = open_critic()
        words = critic.caption(poster.image)
    except AnswerError as error:
        return Drop("no answer", str(error), poster.image, fault=True)
    return poster.with_answer("caption", critic.name, words, caption=words)


def check_aesthetics(
    poster: ScannedPoster, score: Callable[[Image.Image, str], tuple[str, float, str]], least: float
) -> ScannedPoster | Drop:
    """Drop low aesthetic scores.

    Args:
        score: from a poster and its caption, as `aesthetics_by_rules` and `aesthetics_by_model`.
    """
    try:
        name, found, why = score(poster.image, poster.caption)
    except AnswerError as error:
        return Drop("no answer", str(error), poster.image, fault=True)
    if found < least:
        detail = f"{name}: {found:.3f}, at least {least:g}{'; ' + why if why else ''}"
        return Drop("low score", detail, poster.image)
    return poster.with_answer("aesthetics", name, round(found, 4))


def find_text_regions(poster: ScannedPoster, open_critic: OpenCritic) -> ScannedPoster | Drop:
    """Find the boxes of major and minor texts."""
    try:
        critic = open_critic()
        texts = critic.texts(poster.image)
    except AnswerError as error:
        return Drop("no answer", str(error), poster.image, fault=True)
    said = {role: sum(text.role == role for text in texts) for role in ("major", "minor")}
    return poster.with_answer("texts", critic.name, said, texts=texts)


def drop_harmful(poster: ScannedPoster, open_gate: Callable[[], SafetyGate]) -> ScannedPoster | Drop:
    """Drop posters in whose caption or texts the safety gate finds harm."""
    try:
        gate = open_gate()
        found = gate.check("\n".join([poster.caption, *(text.text for text in poster.texts)]), "finished")
    except AnswerError as error:
        return Drop("no answer", str(error), poster.image, fault=True)
    if found.unchecked:
        return Drop("no answer", found.reason, poster.image, fault=True)
    if found.action == "block":
        return Drop("harmful", f"{found.by}: {found.reason}", poster.image)
    return poster.with_answer("harm", gate.detector.name, round(found.p_harm, 4))


def encode_poster(
    poster: ScannedPoster, licence: str, keep_files: bool, heldout: int
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """A poster as a sample of task "text"; its target is the file itself wherever that shows the same pixels.

    Args:
        keep_files: False writes every target as PNG; tar shards need files of one kind.
        heldout: every so many posters one is held out; 0 for none.
    """
    held = heldout and poster.number % heldout == heldout - 1
    sample = PosterSample(
        id=f"poster-{poster.number:08d}", task="text", target=np.asarray(poster.image),
        regions=[Region(text.box, text.role, text.text) for text in poster.texts],
        texts=[DrawnText(text.text, text.box) for text in poster.texts],
        caption=poster.caption, instruction=poster.caption, words=poster.caption, source=poster.name,
        licence=licence, split="heldout" if held else "train", judged=dict(poster.judged),
    )  # fmt: skip
    own = (poster.kind, poster.path.read_bytes()) if keep_files and poster.kind else None
    return encode_sample(sample, own)
