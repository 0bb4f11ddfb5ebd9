"""Rewards against the references: subject, layout, style; and that the task was done, not the reference copied."""

# pyright: standard
from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from posterkit.metrics.appearance import ramp
from posterkit.metrics.arrangement import (
    arrangement_similarity,
    box_of,
    box_overlap,
    color_signature,
    subject_mask,
    subject_presence,
)
from posterkit.metrics.color import color_histogram_distance, named_shares, palette, palette_distance, srgb_to_lab
from posterkit.metrics.fidelity import orientation_distance, orientation_histogram
from posterkit.rewards.parts.preservation import at_request_size, canvas_of, made_parts
from posterkit.rewards.reward import PosterReward, ReadingReward, RewardResult
from posterkit.schema import PosterRequest

Picture = NDArray[np.uint8]
Array = NDArray[np.float64]

SIDE = 96  # px; the longer side at which references are looked for
CELLS = 5  # a side of the grid that a subject is seen at
SIZES = tuple(0.2 * 1.25**n for n in range(8))  # of a subject's longer side, as a part of the poster's
HALF = 0.5  # of a cell; from so much subject in it on it counts
SMALLEST = 12  # px; a smaller reference could be anything
COPY = 0.6, 0.85  # correlation with a reference from which on a poster begins to be a copy, and is one
DETAIL = 4.0  # px of the surroundings that are taken away
PALETTE_FAR = 45.0  # Lab units that a whole palette is away when it has nothing in common


class IdentityReward(PosterReward):
    """Whether the poster shows the reference's subject. Mean over references, in [0, 1].

    Half `subject_presence` (colours and which lies beside which, anywhere on the poster), half a match of patches: the
    subject is cut into 5x5 cells, each described by its named colours, and searched at eight sizes and mirrored too;
    the best window counts. So the same pieces in another order score lower.

    How it can be hacked: the reference pasted in (see `CompletionReward`); any patch matches a subject of one colour.
    It is blind to mirroring, to a second copy of the subject, and to fine detail.
    """

    name = "identity"

    def applies(self, request: PosterRequest) -> bool:
        return bool(request.references)

    def score(self, poster: Image.Image, request: PosterRequest) -> RewardResult:
        seen = _reduced(np.asarray(poster))
        shown = color_signature(seen)
        presence, patches = [], []
        for reference in request.references:
            subject = _reduced(reference)
            mask = subject_mask(subject)
            presence.append(subject_presence(color_signature(subject, mask), shown))
            patches.append(best_window(subject, mask, seen))
        parts = {"presence": float(np.mean(presence)), "patches": float(np.mean(patches))}
        value = float(np.mean(list(parts.values())))
        return RewardResult(value, parts, "" if value > 0.5 else "the reference's subject is hardly there")


def best_window(subject: Picture, mask: NDArray[np.bool_], poster: Picture) -> float:
    """The similarity of a subject and the most similar window of a poster, cell by cell, in [0, 1].

    `mask` is True where the subject is.
    """
    x0, y0, x1, y1 = box_of(mask)
    cut, inside = subject[y0:y1, x0:x1], mask[y0:y1, x0:x1]
    names = named_shares(srgb_to_lab(cut)) * inside[..., None]
    amount = _cell_means(inside[..., None].astype(float))
    cells = _cell_means(names) / np.maximum(amount, 1e-9)
    counts = (amount[..., 0] >= HALF).astype(np.float64)
    sums = np.pad(named_shares(srgb_to_lab(poster)).cumsum(0).cumsum(1), ((1, 0), (1, 0), (0, 0)))
    best = 0.0
    for size in SIZES:
        scale = size * max(poster.shape[:2]) / max(cut.shape[:2])
        step = tuple(max(1, round(side * scale / CELLS)) for side in cut.shape[:2])
        for flipped in (cells, cells[:, ::-1]):
            weights = counts if flipped is cells else counts[:, ::-1]
            best = max(best, _best_place(flipped, weights, sums, step))
    return best


class LayoutReward(ReadingReward):
    """Whether things stand where the reference, or the request's boxes, have them.

    The correlation of the arrangements (edges and contrasts on a 12x8 grid, negative ones as 0); where the request has
    texts with boxes, the mean of it and of the overlap of each box with the most similar one that OCR finds.

    How it can be hacked: the reference itself; gray blocks at the right places. Combine it with `CompletionReward` and
    aesthetics. It is blind to what stands at the places, and nearly so to a picture that changes within its place and
    to one thing more.
    """

    part = "layout"

    def applies(self, request: PosterRequest) -> bool:
        return request.task == "layout_driven" and bool(request.references)

    def score(self, poster: Image.Image, request: PosterRequest) -> RewardResult:
        seen = at_request_size(poster, request)
        parts = {"arrangement": max(0.0, arrangement_similarity(seen, request.references[0]))}
        said = "" if parts["arrangement"] > 0.5 else "things stand elsewhere than in the reference"
        if request.regions:
            shown = self.reader.texts(Image.fromarray(seen))
            overlaps = [
                max((box_overlap(region.box, text.box) for text in shown), default=0.0) for region in request.regions
            ]
            parts["boxes"] = float(np.mean(overlaps))
            off = [region.text for region, overlap in zip(request.regions, overlaps, strict=True) if overlap < 0.3]
            said = "; ".join(filter(None, (said, f"no text where {', '.join(off)} should be" if off else "")))
        return RewardResult(float(np.mean(list(parts.values()))), parts, said)


class StyleReward(PosterReward):
    """Whether the poster has its reference's colours and texture; in [0, 1].

    The mean of three: how near the palettes are (earth mover's distance, 45 Lab units are 0), what their Lab colour
    histograms have in common, and their gradient orientations.

    How it can be hacked: colours and textures count anywhere, so the reference itself, cut up or not, scores nearly 1.
    It is blind to where things stand, and to lettering that takes little room.
    """

    name = "style"

    def applies(self, request: PosterRequest) -> bool:
        return bool(request.references)

    def score(self, poster: Image.Image, request: PosterRequest) -> RewardResult:
        seen, other = _reduced(np.asarray(poster), 2 * SIDE), _reduced(request.references[0], 2 * SIDE)
        lab, other_lab = srgb_to_lab(seen), srgb_to_lab(other)
        strokes = orientation_histogram(lab[..., 0]), orientation_histogram(other_lab[..., 0])
        parts = {
            "palette": ramp(palette_distance(palette(seen), palette(other)), PALETTE_FAR, 0),
            "colors": 1 - color_histogram_distance(lab, other_lab),
            "strokes": 1 - orientation_distance(*strokes),
        }
        worst = min(parts, key=lambda name: parts[name])
        value = float(np.mean(list(parts.values())))
        return RewardResult(value, parts, "" if value > 0.5 else f"unlike the reference, most in {worst}")


def copied(poster: Picture, reference: Picture) -> float:
    """How far a poster is a copy of its reference: the highest correlation over all places, in [0, 1].

    The reference is laid on the poster stretched to its size, covering it and a little larger, and within it at
    fourteen sizes anywhere. All three Lab channels are correlated at 96 px, less their surroundings (sigma 4), so that
    the same ground and the same arrangement alone are no copy.
    """
    height, width = _reduced(poster).shape[:2]
    seen = _detail(poster, (width, height))
    fit, cover = sorted((width / reference.shape[1], height / reference.shape[0]))
    best = _correlation(seen, _detail(reference, (width, height)))
    for scale in (*(cover * 1.08**n for n in range(4)), *(fit * 0.92**n for n in range(14))):
        size = round(reference.shape[1] * scale), round(reference.shape[0] * scale)
        if min(size) >= SMALLEST:
            best = max(best, _correlation(seen, _detail(reference, size)))
    return float(np.clip(best, 0, 1))


class CompletionReward(PosterReward):
    """Whether the task was done at all; in [0, 1].

    Extending and filling: the generated area is not blank (`filled`), continues from the seam (`seam`) and is not what
    needs no model, the edge drawn out or the kept part mirrored (`drawn`); their product. The other tasks: the poster
    is not a copy of a reference, be it stretched, cropped, framed or pasted in (`own`).

    How it can be hacked: by anything that is generated: noise that fades in at the seam, another poster, a copy that
    is turned or mirrored. It only rules out doing nothing, and is blind to every damage of a poster; the other parts
    measure quality.
    """

    name = "completion"

    def applies(self, request: PosterRequest) -> bool:
        return bool(request.references) and (request.mask_array is None or 0 < (request.mask_array > 127).mean() < 1)

    def score(self, poster: Image.Image, request: PosterRequest) -> RewardResult:
        seen = at_request_size(poster, request)
        if request.mask_array is not None:
            parts = made_parts(seen, *canvas_of(request))
            faults = {
                "filled": "still blank", "seam": "a step all along the seam",
                "drawn": "the kept part's own pixels drawn out or mirrored",
            }  # fmt: skip
            said = "; ".join(faults[name] for name, value in parts.items() if value < 0.5)
            return RewardResult(float(np.prod(list(parts.values()))), parts, said)
        own = 1 - ramp(max(copied(seen, reference) for reference in request.references), *COPY)
        return RewardResult(own, {"own": own}, "" if own > 0.5 else "the reference itself, not a poster made from it")


def _detail(picture: Picture, size: tuple[int, int]) -> Array:
    lab = srgb_to_lab(_resized(picture, size))
    return lab - gaussian_filter(lab, (DETAIL, DETAIL, 0))


def _correlation(a: Array, b: Array) -> float:
    """The highest normalised correlation of the smaller one with any window of the larger one."""
    height, width = min(a.shape[0], b.shape[0]), min(a.shape[1], b.shape[1])
    if (height, width) == b.shape[:2]:
        image, pattern = a, b
    elif (height, width) == a.shape[:2]:
        image, pattern = b, a
    else:  # the one is wider and the other higher: what they share, in the middle
        image = _middle(a, height, width)
        pattern = _middle(b, height, width)
    pattern = pattern - pattern.mean((0, 1))
    energy = (pattern**2).sum()
    if energy < height * width:  # less than a Lab unit of contrast: it could be anywhere
        return 0.0
    from scipy.signal import fftconvolve  # read late: it takes long, and few posters come here

    ones = np.ones((height, width))
    found = sum(fftconvolve(image[..., c], pattern[::-1, ::-1, c], mode="valid") for c in range(3))
    spread = sum(
        fftconvolve(image[..., c] ** 2, ones, mode="valid")
        - fftconvolve(image[..., c], ones, mode="valid") ** 2 / ones.size
        for c in range(3)
    )
    return float((found / np.sqrt(energy * np.maximum(spread, height * width))).max())


def _middle(values: Array, height: int, width: int) -> Array:
    y, x = (values.shape[0] - height) // 2, (values.shape[1] - width) // 2
    return values[y : y + height, x : x + width]


def _cell_means(values: Array) -> Array:
    """The area mean over 5x5 cells, `(5, 5, C)`."""
    maps = [
        np.asarray(Image.fromarray(values[..., c].astype(np.float32)).resize((CELLS, CELLS), Image.Resampling.BOX))
        for c in range(values.shape[2])
    ]
    return np.stack(maps, -1).astype(float)


def _best_place(cells: Array, counts: Array, sums: Array, step: tuple[int, ...]) -> float:
    """The mean intersection of the counting cells with those of the most similar window; 0 where none fits."""
    h, w = step
    if h * CELLS >= sums.shape[0] or w * CELLS >= sums.shape[1]:
        return 0.0
    means = (sums[h:, w:] - sums[:-h, w:] - sums[h:, :-w] + sums[:-h, :-w]) / (h * w)
    hop = max(1, h // 3), max(1, w // 3)
    height, width = means.shape[0] - h * (CELLS - 1), means.shape[1] - w * (CELLS - 1)
    total = np.zeros((len(range(0, height, hop[0])), len(range(0, width, hop[1]))))
    for i, j in np.argwhere(counts > 0):
        window = means[i * h : i * h + height : hop[0], j * w : j * w + width : hop[1]]
        total += np.minimum(window, cells[i, j]).sum(-1)
    return float(total.max() / max(1.0, counts.sum()))


def _reduced(picture: Picture, side: int = SIDE) -> Picture:
    scale = min(1.0, side / max(picture.shape[:2]))
    return _resized(picture, (max(8, round(picture.shape[1] * scale)), max(8, round(picture.shape[0] * scale))))


def _resized(picture: Picture, size: tuple[int, int]) -> Picture:
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX))
