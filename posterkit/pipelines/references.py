"""From what the caller passes to what the model sees: images read, posters told apart, references placed and sized."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image

from posterkit.image_io import as_rgb
from posterkit.metrics.fidelity import edge_replication
from posterkit.sizing import Size, check_on_grid, fit_area, round_sides
from posterkit.tasks import Anchor, Task, place

VISION_CELL = 28  # a token of Qwen2.5-VL is 2 x 2 patches of 14 pixels


@dataclass(frozen=True)
class Poster:
    """One poster to be made: everything about it that the encoders need.

    Attributes:
        task: its task; None for a plain edit.
        instruction: the full instruction, the task's frame around the user's words.
        references: RGB, each of the size at which the autoencoder sees it; the first one is the canvas where the task
            keeps pixels, then of exactly the poster's size.
        pictures: RGB, the same references at the size at which the text encoder sees them.
        size: what the model draws, in pixels.
        region: mode L of that size, 255 = made, 0 = kept; None where no pixels are kept.
    """

    task: Task | None
    instruction: str
    references: list[Image.Image]
    pictures: list[Image.Image]
    size: Size
    region: Image.Image | None

    @property
    def geometry(self) -> tuple[Size, ...]:
        """The sizes of poster and references; posters that agree in it can be drawn together."""
        return (self.size, *(Size(*reference.size) for reference in self.references))


@dataclass(frozen=True)
class Areas:
    """About how many pixels the poster, a reference and the text encoder's picture of a reference have.

    Raises:
        ValueError: an area is not positive.
    """

    native: int
    reference: int
    condition: int

    def __post_init__(self) -> None:
        for name, area in vars(self).items():
            if area <= 0:
                raise ValueError(f"{name}_area must be positive, got {area}")


def read_image(image: object, what: str = "image") -> Image.Image:
    """One image as RGB: turned by its EXIF, alpha on white, deep grey scaled, colours to sRGB by its profile.

    Args:
        image: a PIL image; an array `(H, W, 3)` or `(H, W)`; a tensor `(3, H, W)` or `(1, 3, H, W)`. Numbers are bytes
            or floats in [0, 1], as everywhere in diffusers.
        what: its name in error messages.

    Raises:
        ValueError: another type, shape or range.
    """
    if isinstance(image, Image.Image):
        return as_rgb(image)
    return Image.fromarray(_as_bytes(image, what)).convert("RGB")


def read_mask(mask: Any, size: Size) -> Image.Image:
    """One mask as mode L; white = make this.

    Args:
        mask: a PIL image; an array `(H, W)`; a tensor `(H, W)`, `(1, H, W)` or `(1, 1, H, W)`; booleans, bytes or
            floats in [0, 1].
        size: of the image that it belongs to.

    Raises:
        ValueError: another type, shape or size; or nothing is marked.
    """
    if not isinstance(mask, Image.Image):
        mask = Image.fromarray(_as_bytes(mask, "mask_image"))
    mask = mask.convert("L")
    if mask.size != size:
        raise ValueError(f"mask_image is {Size(*mask.size)} but its image is {size}; they must have one size")
    if mask.getextrema()[1] < 128:
        raise ValueError("mask_image marks nothing: what shall be made must be white (128 or more)")
    return mask


def _as_bytes(pixels: Any, what: str) -> np.ndarray:
    """`(H, W, 3)` or `(H, W)`, uint8."""
    if isinstance(pixels, torch.Tensor):
        tensor = pixels.detach().cpu()
        tensor = tensor[0] if tensor.ndim == 4 and len(tensor) == 1 else tensor
        tensor = tensor.permute(1, 2, 0) if tensor.ndim == 3 else tensor
        pixels = (tensor.float() if tensor.is_floating_point() else tensor).numpy()
    if not isinstance(pixels, np.ndarray):
        raise ValueError(f"{what} is a {type(pixels).__name__}; give a PIL image, a numpy array or a tensor")
    pixels = pixels[0] if pixels.ndim == 4 and len(pixels) == 1 else pixels
    pixels = pixels[..., 0] if pixels.ndim == 3 and pixels.shape[-1] == 1 else pixels
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[-1] != 3) or 0 in pixels.shape:
        raise ValueError(f"{what} has shape {pixels.shape}; one picture is (H, W, 3) as array, (3, H, W) as tensor")
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype == np.bool_:
        return pixels.astype(np.uint8) * 255
    low, high = float(pixels.min()), float(pixels.max())
    if not (np.issubdtype(pixels.dtype, np.floating) and low >= 0 and high <= 1):
        raise ValueError(f"{what} is {pixels.dtype} in [{low:g}, {high:g}]; give bytes, or floats in [0, 1]")
    return (pixels * 255).round().astype(np.uint8)


def read_images(image: Any) -> list[list[Image.Image]]:
    """The references of each poster: of one image, a list of them for one poster, or a list of such lists.

    ValueError where there is none, or a list mixes images and lists.
    """
    if image is None or (isinstance(image, Sequence) and not image):
        raise ValueError("image is missing: every task and every edit starts from at least one image")
    rows = list(image) if isinstance(image, (list, tuple)) else [image]
    nested = [isinstance(row, (list, tuple)) for row in rows]
    if any(nested) and not all(nested):
        raise ValueError("image mixes images and lists; give one list of references for each poster")
    if not any(nested):
        rows = [rows]
    if any(not row for row in rows):
        raise ValueError(f"image holds no reference for poster {[not row for row in rows].index(True)}")
    read: dict[int, Image.Image] = {}
    for row in rows:
        for one in row:
            # one object stays one object, so that what it costs to encode is paid once
            if id(one) not in read:
                read[id(one)] = read_image(one)
    return [[read[id(one)] for one in row] for row in rows]


def read_masks(mask_image: object, images: list[list[Image.Image]], task: Task | None) -> list[Image.Image | None]:
    """One mask for each poster, or None for each where the task takes none.

    Raises:
        ValueError: a mask is missing or not asked for; their number or a size is wrong; nothing is marked.
    """
    if task is None or not task.needs_mask:
        if mask_image is not None:
            name = "a plain edit" if task is None else f'task "{task.name}"'
            raise ValueError(f'{name} takes no mask_image; task "filling" does')
        return [None] * len(images)
    if mask_image is None:
        raise ValueError(f'task "{task.name}" needs mask_image (white = make this)')
    masks = list(mask_image) if isinstance(mask_image, (list, tuple)) else [mask_image]
    if len(masks) != len(images):
        raise ValueError(f"{len(masks)} mask_image for {len(images)} posters; give one for each")
    return [read_mask(mask, Size(*row[0].size)) for mask, row in zip(masks, images, strict=True)]


def check_references(images: list[list[Image.Image]], task: Task) -> None:
    """Raise a ValueError where a poster has more or fewer references than its task takes."""
    for index, row in enumerate(images):
        if len(row) not in task.references:
            few, many = task.references[0], task.references[-1]
            accepted = f"{few} to {many}" if many > few else str(few)
            where = f" for poster {index}" if len(images) > 1 else ""
            raise ValueError(f'task "{task.name}" takes {accepted} reference image(s), got {len(row)}{where}')


class Sizer:
    """Resizes references; equal requests share one result, so that it is encoded once."""

    def __init__(self) -> None:
        self._made: dict[tuple[int, Size], tuple[Image.Image, Image.Image]] = {}

    def __call__(self, image: Image.Image, size: Size) -> Image.Image:
        if image.size == size:
            return image
        if (id(image), size) not in self._made:
            # the source is kept beside the result: its id must not be given to another image meanwhile
            self._made[id(image), size] = image, image.resize(size, Image.Resampling.LANCZOS)
        return self._made[id(image), size][1]


def lay_out(
    task: Task | None,
    instruction: str,
    images: list[Image.Image],
    areas: Areas,
    size: Size | None = None,
    mask: Image.Image | None = None,
    anchor: Anchor = "center",
    replicate_edges: bool = False,
    multiple: int = 16,
    resize: Sizer | None = None,
) -> Poster:
    """Size the target, put reference 0 on it where the task says so, and bring every reference to its two sizes.

    A canvas has exactly the target's size, so that its position codes coincide with the target's and nothing shifts.
    A plain edit (no task) rounds every side to 32 pixels by itself, as the stock pipeline does.

    Args:
        images: RGB references of one poster.
        size: what to draw; None for the size of about the native area in the task's shape.
        mask: mode L, the size of `images[0]`.
        replicate_edges: what has to be made stands in the canvas as its nearest kept pixels, not as grey.
        multiple: the model's grid in pixels.

    Raises:
        ValueError: a size off the grid, or an anchor or a shape that does not fit it.
    """
    resize = resize or Sizer()
    if size is not None:
        check_on_grid(*size, multiple)
    if task is None:
        size = size or round_sides(images[-1].size, areas.native)
        seen = [resize(one, round_sides(one.size, areas.reference)) for one in images]
        pictures = [resize(one, round_sides(one.size, areas.condition)) for one in images]
        return Poster(None, instruction, seen, pictures, size, None)
    size = size or fit_area(task.shape(Size(*images[0].size)), areas.native, multiple)
    placed, region = place(task, images, size, mask, anchor)
    if replicate_edges and region is not None and region.getextrema() == (0, 255):
        placed[0] = Image.fromarray(edge_replication(np.asarray(placed[0]), np.asarray(region) > 0))
    rest = placed[1:] if region is not None else placed
    seen = [resize(one, fit_area(one.size, areas.reference, multiple)) for one in rest]
    pictures = [resize(one, fit_area(one.size, areas.condition, VISION_CELL)) for one in placed]
    return Poster(task, instruction, placed[:1] + seen if region is not None else seen, pictures, size, region)


def asked_size(width: int | None, height: int | None) -> Size | None:
    """The explicit size, or None where the caller leaves it to the checkpoint.

    Raises:
        ValueError: only one side is given, or one is no whole number.
    """
    if (width is None) != (height is None):
        raise ValueError(f"give both width and height, or neither; got width={width}, height={height}")
    for name, side in (("width", width), ("height", height)):
        if side is not None and not isinstance(side, int):
            raise ValueError(f"{name} is a {type(side).__name__}; give whole pixels")
    return Size(width, height) if width is not None and height is not None else None


def match_prompts(prompt: str | Sequence[str | None] | None, posters: int, name: str = "prompt") -> list[str | None]:
    """One prompt for each poster; a single text serves all of them.

    Raises:
        ValueError: another type, or a list of another length.
    """
    if prompt is None or isinstance(prompt, str):
        return [prompt] * posters
    if not isinstance(prompt, (list, tuple)) or not all(isinstance(text, str | None) for text in prompt):
        raise ValueError(f"{name} is a {type(prompt).__name__}; give a text or a list of texts")
    if len(prompt) != posters:
        raise ValueError(
            f"{len(prompt)} {name}s for {posters} poster(s); image must hold one list of references for each prompt"
        )
    return list(prompt)


def match_anchors(anchor: Anchor | Sequence[Anchor], posters: int) -> list[Anchor]:
    """One anchor for each poster; a name or a point (two numbers) serves all of them, a list holds one for each.

    Raises:
        ValueError: a list of another length.
    """
    if not isinstance(anchor, list) or (anchor and all(isinstance(value, int) for value in anchor)):
        return [tuple(anchor) if isinstance(anchor, list) else anchor] * posters  # type: ignore[list-item]
    if len(anchor) != posters:
        raise ValueError(f"{len(anchor)} anchors for {posters} poster(s); give one, or a list with one for each")
    return anchor


def match_negatives(negative_prompt: str | Sequence[str | None] | None, posters: int) -> list[str]:
    """One negative prompt for each poster; a missing one is a single space, as the model was trained."""
    return [text or " " for text in match_prompts(negative_prompt, posters, "negative_prompt")]
