"""Tasks that keep pixels: whether the poster keeps them, and whether the rest was generated."""

# pyright: standard
from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import binary_dilation

from posterkit.metrics.appearance import ramp
from posterkit.metrics.arrangement import box_of
from posterkit.metrics.color import srgb_to_lab
from posterkit.metrics.fidelity import edge_replication, psnr, ssim
from posterkit.rewards.reward import PosterReward, RewardResult
from posterkit.schema import PosterRequest
from posterkit.tasks import BLANK

Picture = NDArray[np.uint8]
Mask = NDArray[np.bool_]

WORST_PSNR, BEST_PSNR = 15.0, 40.0  # dB; below the one nothing is left, above the other nobody sees a difference
SAME = 4.0  # Lab units; pixels nearer than that were copied
TELLING = 12.0  # Lab units from the ground; only such pixels tell a copied filling from an empty ground
COPIED = 0.75, 0.97  # of the pixels that tell: from which part on a filling was copied, and wholly so
SEAM = 15.0  # Lab units of a step at the seam, beyond what the kept pixels have, that counts as wholly broken


def at_request_size(poster: Image.Image, request: PosterRequest) -> Picture:
    """The poster at the size that the request's mask and boxes are measured on, `(H, W, 3)`."""
    if request.size is None or poster.size == tuple(request.size):
        return np.asarray(poster)
    return np.asarray(poster.resize(request.size, Image.Resampling.LANCZOS))


def canvas_of(request: PosterRequest) -> tuple[Picture, Mask]:
    """The model's input canvas, reference 0 at its place and blank elsewhere; and the mask of what is to be generated.

    Raises:
        ValueError: the request has no mask or no reference, or the mask is not of its size.
    """
    if request.mask_array is None or not request.references:
        raise ValueError(
            f"{request.id or 'a request'} of {request.task}: keeps no pixels; it needs a mask and a reference"
        )
    height, width = request.mask_array.shape
    if request.size is not None and (width, height) != tuple(request.size):
        raise ValueError(f"{request.id or 'a request'}: its mask is {width}x{height}, its poster {request.size}")
    x0, y0, x1, y1 = request.placed or (0, 0, width, height)
    made = request.mask_array > 127
    canvas = np.full((height, width, 3), BLANK, np.uint8)
    photo = Image.fromarray(request.references[0])
    if photo.size != (x1 - x0, y1 - y0):
        photo = photo.resize((x1 - x0, y1 - y0), Image.Resampling.LANCZOS)
    canvas[y0:y1, x0:x1] = np.asarray(photo)
    canvas[made] = BLANK
    return canvas, made


class PreservationReward(PosterReward):
    """PSNR and SSIM of the pixels that had to be kept, each mapped to [0, 1]; their mean.

    15 dB is 0 and 40 dB is 1; SSIM counts as it is, over the kept part alone.

    How it can be hacked: the unedited input scores 1, and anything in the generated part does too. Use it only
    together with `CompletionReward`.
    """

    name = "preservation"

    def applies(self, request: PosterRequest) -> bool:
        return request.mask_array is not None and bool((request.mask_array <= 127).any())

    def score(self, poster: Image.Image, request: PosterRequest) -> RewardResult:
        canvas, made = canvas_of(request)
        seen = at_request_size(poster, request)
        kept = ~made
        noise = psnr(seen[kept][:, None], canvas[kept][:, None])
        # alike where it is made, so that each unlikeness in the mean comes from the kept part
        unlike = 1 - ssim(np.where(made[..., None], canvas, seen), canvas)
        parts = {
            "psnr": ramp(noise, WORST_PSNR, BEST_PSNR),
            "ssim": float(np.clip(1 - unlike * made.size / kept.sum(), 0, 1)),
        }
        said = f"the kept part is off by {noise:.1f} dB" if noise < BEST_PSNR else ""
        return RewardResult(float(np.mean(list(parts.values()))), parts, said)


def made_parts(poster: Picture, canvas: Picture, made: Mask) -> dict[str, float]:
    """How far the area to be generated was generated; each in [0, 1].

    Returns:
        filled: 0 where the area is still blank, as in the input.
        seam: 1 where colours continue over the seam as they do elsewhere, 0 where there is a step all around.
        drawn: 0 where the area is what needs no model: the edge's pixels drawn out, or the kept part mirrored. Only
            pixels that stand out from the ground count; 1 where there are none.
    """
    lab, truth = srgb_to_lab(poster), srgb_to_lab(canvas)
    blank = np.linalg.norm(lab[made] - srgb_to_lab(np.array(BLANK, np.uint8)), axis=1) < SAME
    drawn = 1.0
    for filling in (edge_replication(canvas, made), mirrored(canvas, made)):
        drawn = min(drawn, 1 - ramp(_copied(lab, srgb_to_lab(filling), made), *COPIED))
    seam = 1 - ramp(_step(lab, truth, made), 2.0, SEAM)
    return {"filled": 1 - ramp(float(blank.mean()), *COPIED), "seam": seam, "drawn": drawn}


def _step(lab: NDArray[np.float64], truth: NDArray[np.float64], made: Mask) -> float:
    """Median colour step over the seam, less the one just inside the kept part, in Lab units."""
    steps, calm = [], []
    for a, b in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        over = made[a] != made[b]
        # the kept side as it went in: a poster that alters it as well must not hide its seam so
        joined = np.where(made[..., None], lab, truth)
        gap = np.linalg.norm(joined[a] - joined[b], axis=2)
        steps.append(gap[over])
        inside = ~made[a] & ~made[b] & np.asarray(binary_dilation(over, iterations=2), dtype=bool)
        calm.append(gap[inside])
    found, usual = np.concatenate(steps), np.concatenate(calm)
    return float(found.mean() - (usual.mean() if usual.size else 0.0)) if found.size else 0.0


def _copied(lab: NDArray[np.float64], filling: NDArray[np.float64], made: Mask) -> float:
    """The share of a filling's pixels off the ground that the poster repeats; 0 where less than a hundredth are."""
    ground = np.median(lab[made], axis=0)  # the poster's own: on its ground every filling agrees with it
    telling = made & (np.linalg.norm(filling - ground, axis=2) > TELLING)
    if telling.sum() < 0.01 * made.sum():
        return 0.0
    return float((np.linalg.norm(lab - filling, axis=2)[telling] < SAME).mean())


def mirrored(canvas: Picture, made: Mask) -> Picture:
    """The canvas with the kept part's bounding box, reflected over its sides as often as it takes."""
    x0, y0, x1, y1 = box_of(~made)
    height, width = made.shape
    return np.pad(canvas[y0:y1, x0:x1], ((y0, height - y1), (x0, width - x1), (0, 0)), mode="symmetric")
