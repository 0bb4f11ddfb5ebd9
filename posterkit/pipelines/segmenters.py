"""Subjects of a finished poster: their masks and boxes, by saliency and colour or by SAM-2 (PosterOmni section 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image
from scipy import ndimage
from scipy.spatial.distance import cdist

from posterkit.layout.saliency import people, saliency
from posterkit.llm.open_model import opened_once
from posterkit.messages import error_line
from posterkit.metrics.arrangement import box_of
from posterkit.metrics.color import FRAME, lab_to_srgb, palette, srgb_to_lab
from posterkit.metrics.fidelity import edge_replication

Box = tuple[int, int, int, int]

MOST = 4  # subjects of a poster; id_driven takes as many references
SMALLEST, LARGEST = 0.012, 0.6  # share of the poster that a subject may fill
BUTTON = 0.4  # share of a thing's box that texts cover, from which it is their button or banner
OUTLINE = 1.2  # Lab units per pixel at the outline; less is a gradient of the ground, not a thing
BESIDE = 0.15  # of the first subject's area; what is smaller is an ornament
WORKING_SIDE = 256  # pixels of the longer side that colours are told apart at
FOREIGN = 40.0  # Lab units from every colour of the border from which a pixel is wholly foreign to it
SEEN = (0.42, 0.55, 0.7)  # saliency, as a part of its highest, from which something is worth a look; tried in turn


@dataclass(frozen=True, eq=False)
class Subject:
    """Something to see: `mask`, uint8 `(H, W)`, 255 = it, and its box in pixels, half open."""

    mask: np.ndarray
    box: Box

    @property
    def share(self) -> float:
        """How much of the poster it fills, in [0, 1]."""
        return float((self.mask > 127).mean())


class Segmenter(Protocol):
    """Finds the subjects of a poster."""

    @property
    def name(self) -> str:
        """What records call it."""
        ...

    def __call__(self, poster: Image.Image, texts: Sequence[Box]) -> tuple[Subject, ...]:
        """The subjects, the most salient first, none over another.

        Args:
            poster: RGB.
            texts: boxes of its texts; no subject is looked for there.
        """
        ...


@opened_once()
def open_segmenter(source: str, device: str | None = None) -> Segmenter:
    """A segmenter by its name: "rules", or a SAM-2 folder or hub id; opened once a process.

    Raises:
        ValueError: it cannot be loaded.
    """
    return RuleSegmenter() if source == "rules" else Sam2Segmenter(source, device)


class RuleSegmenter:
    """Saliency says where to look, colour says how far the thing reaches; no model."""

    name = "rules"

    def __call__(self, poster: Image.Image, texts: Sequence[Box], most: int = MOST) -> tuple[Subject, ...]:
        """As `Segmenter`; no more subjects than `most` are looked for."""
        small = _reduced(poster)
        lab = srgb_to_lab(np.asarray(small))
        seen = _saliency(small, poster.size, texts)
        steps = sum(ndimage.gaussian_gradient_magnitude(lab[..., channel], 1) ** 2 for channel in range(3)) ** 0.5
        found: list[Subject] = []
        for spot in _spots(seen):
            # where colours do not tell the thing from its surroundings, the salient spot itself has to do, without
            # holes and frays and 0.5 at its outline
            rounded = ndimage.gaussian_filter(_whole(spot).astype(np.float64), 0.015 * max(spot.shape))
            for surely in (_grown_by_color(lab, seen, spot), rounded):
                smooth = Image.fromarray(surely.astype(np.float32)).resize(poster.size, Image.Resampling.BICUBIC)
                subject = _fit_for_use(np.asarray(smooth) > 0.5, texts, found)
                inside = surely > 0.5
                # two pixels on either side of the outline
                rim = ndimage.binary_dilation(inside, iterations=2) & ~ndimage.binary_erosion(inside, iterations=2)  # type: ignore[operator]
                if subject and float(steps[rim].mean()) > OUTLINE:
                    found.append(subject)
                    break
            if len(found) == most:
                break
        return tuple(found)


def _reduced(poster: Image.Image) -> Image.Image:
    scale = min(1.0, WORKING_SIDE / max(poster.size))
    return poster.resize([max(8, round(side * scale)) for side in poster.size], Image.Resampling.BOX)


def _saliency(small: Image.Image, size: tuple[int, int], texts: Sequence[Box]) -> np.ndarray:
    """`(h, w)` in [0, 1] at the working size: what stands out, and what the border has no colour of.

    Texts are painted out first, so that nothing beside them is salient for their sake. The border's colours are taken
    for the ground (the boundary prior of Zhu, Liang, Wei and Sun, CVPR 2014).
    """
    hidden = _text_cells((small.height, small.width), size, texts)
    pixels = np.asarray(small)
    if hidden.any() and not hidden.all():
        pixels = edge_replication(pixels, hidden)
    shown = Image.fromarray(pixels)
    cells = Image.fromarray(np.maximum(saliency(shown), people(shown))).resize(small.size, Image.Resampling.BICUBIC)
    lab, frame = srgb_to_lab(pixels), np.ones(hidden.shape, bool)
    edge = max(2, round(FRAME * min(small.size)))
    frame[edge:-edge, edge:-edge] = False
    ground = palette(pixels, 6, frame).colors
    apart = ndimage.gaussian_filter(np.clip(_nearest_color(lab, ground) / FOREIGN, 0, 1), 2)
    seen = (np.asarray(cells).clip(0, 1) + apart) / 2
    seen[hidden] = 0
    return seen


def _text_cells(shape: tuple[int, ...], size: tuple[int, int], texts: Sequence[Box]) -> np.ndarray:
    """`(h, w)` bool: cells that a text covers, a little more than its box."""
    covered = np.zeros(shape, bool)
    fx, fy = shape[1] / size[0], shape[0] / size[1]
    for x0, y0, x1, y1 in texts:
        pad = 0.15 * (y1 - y0)
        covered[
            max(0, int((y0 - pad) * fy)) : int(np.ceil((y1 + pad) * fy)),
            max(0, int((x0 - pad) * fx)) : int(np.ceil((x1 + pad) * fx)),
        ] = True
    return covered


def _spots(seen: np.ndarray) -> list[np.ndarray]:
    """Connected areas of high saliency, `(h, w)` bool each, the most salient in sum first."""
    top = float(seen.max(initial=0.0))
    if top < 0.12:  # of [0, 1]: a ground without anything on it
        return []
    areas: list[np.ndarray] = []
    for level in SEEN:
        labels, count = ndimage.label(seen > level * top)  # type: ignore[misc]
        areas = [labels == number for number in range(1, count + 1)]
        areas = [area for area in areas if 0.25 * SMALLEST < area.mean() < LARGEST and _stands_free(area)]
        if any(area.mean() > SMALLEST for area in areas):
            break
    return sorted(areas, key=lambda area: -float(seen[area].sum()))[: 2 * MOST]


def _grown_by_color(lab: np.ndarray, seen: np.ndarray, spot: np.ndarray) -> np.ndarray:
    """How surely each pixel belongs to the thing at a spot rather than to its surroundings, `(h, w)`, 0.5 = either.

    The colours of the spot's core and of a ring well around it are two palettes; a pixel belongs to the nearer one
    (as GrabCut's colour models, Rother, Kolmogorov and Blake 2004, without its graph), and saliency decides ties.
    """
    reach = max(3, round(0.06 * max(spot.shape)))
    near = np.asarray(ndimage.binary_dilation(spot, iterations=reach), dtype=bool)
    core = spot & (seen >= np.percentile(seen[spot], 40))
    around = ~near
    if around.sum() < 0.02 * around.size:
        around = ~spot
    rgb = (lab_to_srgb(lab) * 255).round().astype(np.uint8)
    inside, outside = palette(rgb, 6, core).colors, palette(rgb, 8, around).colors
    own, other = (_nearest_color(lab, colors) for colors in (inside, outside))
    surely = other / np.maximum(own + other, 1e-3)
    surely = 0.6 * surely + 0.4 * np.clip(seen / max(1e-6, 2 * SEEN[0] * float(seen.max())), 0, 1)
    surely = ndimage.gaussian_filter(np.where(near, surely, 0.0), 1.2)
    kept, _ = ndimage.label(surely > 0.5)  # type: ignore[misc]
    touching = np.unique(kept[core & (kept > 0)])
    whole = _whole(np.isin(kept, touching)) if len(touching) else np.zeros_like(spot)
    return np.where(whole, np.maximum(surely, 0.55), np.minimum(surely, 0.45))


def _nearest_color(lab: np.ndarray, colors: np.ndarray) -> np.ndarray:
    """How far each pixel is from the nearest of some colours, `(h, w)` in Lab units."""
    return cdist(lab.reshape(-1, 3), colors).min(1).reshape(lab.shape[:2])


def _whole(mask: np.ndarray) -> np.ndarray:
    """A thing in one piece: gaps and holes closed, splinters left out."""
    reach = max(2, round(0.03 * max(mask.shape)))
    away: Any = ndimage.distance_transform_edt(~np.pad(mask, reach))
    inside: Any = ndimage.distance_transform_edt(away <= reach)
    closed = inside > reach
    mask = np.asarray(ndimage.binary_fill_holes(closed[reach:-reach, reach:-reach] | mask))
    labels, count = ndimage.label(mask)  # type: ignore[misc]
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    return np.isin(labels, 1 + np.flatnonzero(sizes >= 0.2 * sizes.max(initial=0)))


def _fit_for_use(mask: np.ndarray, texts: Sequence[Box], taken: Sequence[Subject]) -> Subject | None:
    """The subject of a mask; None where it is too small or too large, runs off three sides, or is another one's."""
    lettered = _text_cells(mask.shape, (mask.shape[1], mask.shape[0]), texts)
    mask = mask & ~lettered
    for other in taken:
        mask &= other.mask == 0
    share = float(mask.mean())
    if not SMALLEST <= share <= LARGEST or (taken and share < BESIDE * taken[0].share):
        return None
    x0, y0, x1, y1 = box_of(mask)
    if not _stands_free(mask) or lettered[y0:y1, x0:x1].mean() > BUTTON:
        return None
    return Subject(np.where(mask, 255, 0).astype(np.uint8), box_of(mask))


def _stands_free(mask: np.ndarray) -> bool:
    """It runs off two sides at most, and is no scatter over a much larger box."""
    x0, y0, x1, y1 = box = box_of(mask)
    return len(touched_sides(box, (mask.shape[1], mask.shape[0]))) <= 2 and mask[y0:y1, x0:x1].mean() >= 0.15


def touched_sides(box: Box, size: tuple[int, int]) -> set[str]:
    """The sides of a canvas (width, height) that a box comes within a hundredth of."""
    near = 0.01 * max(size)
    reached = {
        "left": box[0] <= near, "top": box[1] <= near,
        "right": box[2] >= size[0] - near, "bottom": box[3] >= size[1] - near,
    }  # fmt: skip
    return {side for side, yes in reached.items() if yes}


class Sam2Segmenter:
    """SAM-2 in a transformers folder, asked by the boxes and middles of what the rules find salient.

    Its image processor needs torchvision; resizing and scaling are done here instead, with the same constants.

    Args:
        source: a folder or hub id of `Sam2Model`; safetensors only, no code of its folder runs.
        device: None takes the best there is.

    Raises:
        ValueError: it cannot be loaded.
    """

    MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

    def __init__(self, source: str, device: str | None = None) -> None:
        from transformers import Sam2Model

        from posterkit.pipelines.loading import LOAD_FAULTS
        from posterkit.pipelines.presets import hardware

        self.name = Path(source).name
        try:
            model: Any = Sam2Model.from_pretrained(source, use_safetensors=True, trust_remote_code=False)
        except LOAD_FAULTS as fault:
            raise ValueError(f"{source}: cannot load this SAM-2 model: {error_line(fault)}") from None
        self.device = hardware(device).device
        self.model = model.to(self.device).eval()
        size = model.config.vision_config.backbone_config.image_size
        self.size = tuple(size) if isinstance(size, (list, tuple)) else (size, size)  # height, width

    def __call__(self, poster: Image.Image, texts: Sequence[Box]) -> tuple[Subject, ...]:
        small = _reduced(poster)
        seen = _saliency(small, poster.size, texts)
        prompts = [_prompt(spot, seen) for spot in _spots(seen)]
        if not prompts:
            return ()
        found: list[Subject] = []
        for mask in self.masks(poster, [box for box, _ in prompts], [point for _, point in prompts]):
            subject = _fit_for_use(mask, texts, found)
            if subject:
                found.append(subject)
        return tuple(found[:MOST])

    def masks(
        self, poster: Image.Image, boxes: Sequence[Sequence[float]], points: Sequence[Sequence[float]]
    ) -> list[np.ndarray]:
        """The likeliest mask for each box and its point.

        Args:
            boxes: `x0, y0, x1, y1` each, as shares of the poster's sides.
            points: `x, y` each, inside, likewise.

        Returns:
            `(H, W)` bool each.
        """
        import torch

        height, width = self.size
        scale = torch.tensor([width, height], dtype=torch.float32, device=self.device)
        with torch.no_grad():
            made = self.model(
                pixel_values=self.pixels(poster),
                input_boxes=torch.tensor([boxes], device=self.device) * scale.repeat(2),
                input_points=torch.tensor([[[point] for point in points]], device=self.device) * scale,
                input_labels=torch.ones(1, len(points), 1, dtype=torch.int32, device=self.device),
                multimask_output=True,
            )
        best = made.iou_scores[0].argmax(-1)
        logits = made.pred_masks[0, torch.arange(len(boxes)), best].float().cpu()
        shape = (poster.height, poster.width)
        large = torch.nn.functional.interpolate(logits[:, None], shape, mode="bilinear", align_corners=False)
        return list((large[:, 0] > 0).numpy())

    def pixels(self, poster: Image.Image) -> Any:
        """`(1, 3, h, w)` float32: the poster at the model's size (its shape is not kept), scaled as in training."""
        import torch

        resized = poster.resize((self.size[1], self.size[0]), Image.Resampling.BILINEAR)
        values = (np.asarray(resized, np.float32) / 255 - self.MEAN) / self.DEVIATION
        return torch.from_numpy(values.astype(np.float32)).permute(2, 0, 1)[None].to(self.device)


def _prompt(spot: np.ndarray, seen: np.ndarray) -> tuple[list[float], list[float]]:
    """A box around a spot, grown a little, and its most salient point, as shares of the sides."""
    x0, y0, x1, y1 = box_of(spot)
    height, width = spot.shape
    pad = 0.03 * max(spot.shape)
    y, x = np.unravel_index(np.argmax(np.where(spot, seen, -1)), spot.shape)
    low, high = (
        [max(0.0, (x0 - pad) / width), max(0.0, (y0 - pad) / height)],
        [(x1 + pad) / width, (y1 + pad) / height],
    )
    return low + [min(1.0, side) for side in high], [(float(x) + 0.5) / width, (float(y) + 0.5) / height]
