"""Identities: a product, a mascot, a logo or a person that a critic learns to know from pictures (PVIT).

Synthetic ones are drawn in any pose, and have look-alikes that differ in one thing. Those of a user are folders of
photographs; their scenes show what was cut out of one photograph, and the others are the references.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from random import Random
from typing import Any, Protocol

import numpy as np
from PIL import Image

from posterkit.datagen.omni.motifs import drawn_cutout
from posterkit.datagen.omni.subject_quality import GOOD, subject_quality
from posterkit.datagen.picture_folder import list_pictures
from posterkit.image_io import read_image, reduced
from posterkit.pipelines.segmenters import open_segmenter
from posterkit.prompts import COLORS
from posterkit.synthetic.canvas import Axes, Canvas, Pose, draw_pose, ellipse, rounded
from posterkit.synthetic.palettes import NEUTRALS, color_name, distance, draw_palette
from posterkit.synthetic.synthetic_poster import SUBJECTS

KINDS = ("product", "mascot", "logo")  # that can be drawn; a person comes from photographs alone
PERSON = "person"
APART = 45.0  # Lab distance from which a colour makes another variant
ONE_SUBJECT = 0.35  # of `likeness`; references of one name below it show two different things
_SIDE, _PHOTO_SIDE = 96, 512
HELD_OUT = 4  # every so many-th identity


class IdentityPool(Protocol):
    """Identities by number; `consent` says on what ground their pictures may be used."""

    @property
    def consent(self) -> str: ...
    def __len__(self) -> int: ...
    def kind(self, number: int) -> str: ...
    def noun(self, number: int) -> str: ...
    def references(self, number: int, count: int, rng: Random) -> list[Image.Image]: ...
    def cutout(self, number: int, rng: Random) -> Image.Image: ...
    def lookalike(self, number: int, rng: Random) -> Image.Image: ...


def split_of(number: int) -> str:
    """The split of an identity; none is in both."""
    return "heldout" if number % HELD_OUT == HELD_OUT - 1 else "train"


@dataclass(frozen=True)
class SyntheticIdentities:
    """Drawn products, mascots and logos, the kinds in turn; the same for the same seed and number."""

    count: int
    seed: int = 0
    consent: str = "synthetic"

    def __len__(self) -> int:
        return self.count

    def kind(self, number: int) -> str:
        return KINDS[number % len(KINDS)]

    def noun(self, number: int) -> str:
        return _noun(self._plan(number))

    def references(self, number: int, count: int, rng: Random) -> list[Image.Image]:
        """Pictures on plain grounds, each in a pose of its own."""
        return [self._portrait(self._plan(number), self.kind(number), rng) for _ in range(count)]

    def cutout(self, number: int, rng: Random) -> Image.Image:
        """It, RGBA, in a pose of its own."""
        return _drawn(self._plan(number), self.kind(number), rng)

    def lookalike(self, number: int, rng: Random) -> Image.Image:
        """The same thing with its main colour changed, RGBA."""
        plan = self._plan(number)
        key = _body(plan)
        others = [color for color in COLORS.values() if distance(color, plan[key]) > APART]
        return _drawn({**plan, key: rng.choice(others)}, self.kind(number), rng)

    def _plan(self, number: int) -> dict[str, Any]:
        return _plan(self.seed, number, self.kind(number))

    def _portrait(self, plan: dict[str, Any], kind: str, rng: Random) -> Image.Image:
        cut = _drawn(plan, kind, rng)
        ground = rng.choice([color for color in NEUTRALS if distance(color, plan[_body(plan)]) > 25] or list(NEUTRALS))
        side = round(max(cut.size) * 1.2)
        picture = Image.new("RGB", (side, side), ground)
        picture.paste(cut, ((side - cut.width) // 2, (side - cut.height) // 2), cut)
        return picture


@lru_cache(4096)
def _plan(seed: int, number: int, kind: str) -> dict[str, Any]:
    rng = Random(f"{seed} identity {number}")
    palette = draw_palette(rng)
    if kind != "logo":
        return dict(SUBJECTS[kind].plan(rng, palette))
    body, mark = rng.sample([color for name, color in COLORS.items() if name not in ("white", "beige", "gray")], 2)
    return {"body": body, "mark": mark, "shape": rng.choice(_SHAPES), "sign": rng.choice(_SIGNS)}


def _body(plan: dict[str, Any]) -> str:
    return next(key for key in ("body", "main") if key in plan)


def _noun(plan: dict[str, Any]) -> str:
    color = color_name(plan[_body(plan)])
    return f"{color} {plan['slots']['kind'] if 'slots' in plan else plan['shape'] + ' logo'}"


def _drawn(plan: dict[str, Any], kind: str, rng: Random) -> Image.Image:
    pose = draw_pose(rng) if kind != "logo" else Pose(turn=rng.uniform(-0.1, 0.1))
    draw = partial(_draw_logo, plan=plan) if kind == "logo" else partial(SUBJECTS[kind].draw, plan=plan, pose=pose)
    return drawn_cutout(draw, pose, "flat", (24, 24, 30), _SIDE)


_SHAPES, _SIGNS = ("round", "square", "diamond", "hexagonal", "shield"), ("bar", "dot", "star", "cross", "ring")


def _draw_logo(c: Canvas, f: Axes, plan: dict[str, Any]) -> None:
    """A mark: a plain shape with a sign in it."""
    turns = {"diamond": 4, "hexagonal": 6}
    if plan["shape"] == "round":
        outline = ellipse(0, 0, 0.9)
    elif plan["shape"] in turns:
        angles = np.arange(turns[plan["shape"]]) * 2 * np.pi / turns[plan["shape"]]
        outline = 0.95 * np.stack([np.sin(angles), -np.cos(angles)], -1)
    elif plan["shape"] == "square":
        outline = rounded(-0.85, -0.85, 0.85, 0.85, 0.15)
    else:
        outline = np.array([[-0.8, -0.85], [0.8, -0.85], [0.8, 0.1], [0, 0.95], [-0.8, 0.1]])
    c.shape(f, outline, plan["body"])
    if plan["sign"] in ("bar", "cross"):
        c.detail(f, rounded(-0.5, -0.14, 0.5, 0.14, 0.04), plan["mark"])
    if plan["sign"] == "cross":
        c.detail(f, rounded(-0.14, -0.5, 0.14, 0.5, 0.04), plan["mark"])
    elif plan["sign"] in ("dot", "ring"):
        c.detail(f, ellipse(0, 0, 0.42), plan["mark"])
        if plan["sign"] == "ring":
            c.detail(f, ellipse(0, 0, 0.22), plan["body"])
    elif plan["sign"] == "star":
        angles, far = np.arange(10) * np.pi / 5, np.tile([0.52, 0.22], 5)
        c.detail(f, np.stack([far * np.sin(angles), -far * np.cos(angles)], -1), plan["mark"])


@dataclass(frozen=True)
class FolderIdentities:
    """A user's identities: each sub-folder is one, its name the identity's, its pictures the photographs.

    Args:
        sort: "product", "mascot", "logo" or "person".
        consent: on what ground the pictures may be used; persons need one.

    Attributes:
        dropped: why a photograph or a folder is not taken, by its name.

    Raises:
        ValueError: there is no usable identity, or persons without a consent.
    """

    folder: Path
    sort: str = "product"
    consent: str = ""
    segmenter: str = "rules"
    dropped: dict[str, str] = field(default_factory=dict, compare=False)
    kept: tuple[tuple[str, tuple[Path, ...]], ...] = ()

    def __post_init__(self) -> None:
        if self.sort == PERSON and not self.consent.strip():
            raise ValueError(f"{self.folder}: pictures of persons need their consent; --consent says where it is kept")
        found: dict[str, list[Path]] = {}
        for name in list_pictures(self.folder):
            owner, _, rest = name.partition("/")
            if rest:
                found.setdefault(owner, []).append(self.folder / name)
            else:
                self.dropped[name] = "lies in no sub-folder, so that nobody knows whose picture it is"
        kept = []
        for owner, files in found.items():
            good = [file for file in files if not self._fault(file)]
            if len(good) < 2:
                self.dropped[f"{owner}/"] = (
                    f"{len(good)} usable pictures of {len(files)}; a scene and a reference need 2"
                )
            elif other := self._stranger(good):
                self.dropped[f"{owner}/"] = f"{good[0].name} and {other.name} show different things under one name"
            else:
                kept.append((owner, tuple(good)))
        if not kept:
            said = "; ".join(f"{name}: {why}" for name, why in [*self.dropped.items()][:3])
            raise ValueError(f"{self.folder}: holds no identity: {said}")
        object.__setattr__(self, "kept", tuple(kept))
        for name, why in self.dropped.items():
            warnings.warn(f"{name}: {why}", stacklevel=2)

    def __len__(self) -> int:
        return len(self.kept)

    def kind(self, number: int) -> str:
        return self.sort

    def noun(self, number: int) -> str:
        return self.sort

    def references(self, number: int, count: int, rng: Random) -> list[Image.Image]:
        """Photographs but the one that scenes are made of; they come again where there are too few."""
        files = self.kept[number][1][1:]
        chosen = [files[n % len(files)] for n in range(rng.randrange(len(files)), len(files) + count)][:count]
        return [reduced(read_image(file), _PHOTO_SIDE) for file in chosen]

    def cutout(self, number: int, rng: Random) -> Image.Image:
        """What the first photograph shows, RGBA, mirrored now and then."""
        cut, _ = cut_out(self.kept[number][1][0], self.segmenter)
        return cut.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else cut

    def lookalike(self, number: int, rng: Random) -> Image.Image:
        """The same in other colours: its hues turned by a third."""
        cut = self.cutout(number, rng)
        hue, saturation, value = cut.convert("RGB").convert("HSV").split()
        turned = hue.point([(shade + rng.choice((85, 170))) % 256 for shade in range(256)])
        strong = saturation.point([max(shade, 110) for shade in range(256)])
        other = Image.merge("HSV", (turned, strong, value)).convert("RGB")
        other.putalpha(cut.getchannel("A"))
        return other

    def _fault(self, file: Path) -> str:
        try:
            _, quality = cut_out(file, self.segmenter)
        except ValueError as error:
            self.dropped[file.name] = str(error)
            return str(error)
        if quality < GOOD:
            self.dropped[file.name] = f"no subject that can be cut out: quality {quality:.2f}, {GOOD:g} is needed"
        return self.dropped.get(file.name, "")

    def _stranger(self, files: list[Path]) -> Path | None:
        first, _ = cut_out(files[0], self.segmenter)
        return next(
            (file for file in files[1:] if likeness(first, cut_out(file, self.segmenter)[0]) < ONE_SUBJECT), None
        )


@lru_cache(256)
def cut_out(file: Path, segmenter: str = "rules") -> tuple[Image.Image, float]:
    """What a photograph shows, RGBA and cropped, and how good a cut-out it is, in [0, 1].

    Raises:
        ValueError: the file cannot be read, or nothing stands out.
    """
    picture = reduced(read_image(file), _PHOTO_SIDE)
    subjects = open_segmenter(segmenter)(picture, ())
    if not subjects:
        raise ValueError("nothing stands out")
    mask = subjects[0].mask
    cut = picture.convert("RGBA")
    cut.putalpha(Image.fromarray(mask))
    return cut.crop(subjects[0].box), subject_quality(picture, mask, np.zeros(mask.shape, bool))


def likeness(one: Image.Image, other: Image.Image) -> float:
    """What the named colours of two cut-outs have in common, in [0, 1]."""
    shares = [_shares(cut) for cut in (one, other)]
    return float(np.minimum(*shares).sum())


def _shares(cut: Image.Image) -> np.ndarray:
    small = np.asarray(cut.resize((48, 48), Image.Resampling.BOX))
    counts = dict.fromkeys(COLORS, 0)
    for pixel in small[small[..., 3] > 200][:, :3]:
        counts[color_name((int(pixel[0]), int(pixel[1]), int(pixel[2])))] += 1
    total = max(1, sum(counts.values()))
    return np.array([count / total for count in counts.values()])
