"""The six image-to-poster tasks as data (PosterOmni section 3.1): references, prompt frame, size rule, region rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from PIL import Image

from posterkit.sizing import SHAPE_TOLERANCE, Size, contain

Box = tuple[int, int, int, int]
Anchor = str | tuple[int, int]

TEXT = "text"  # the task that makes a poster from words alone
MOST_CANDIDATES = 1000  # that may be drawn for one poster
MOST_SEEDS = 256  # posters of one row, all of which are kept

ANCHORS: dict[str, tuple[float, float]] = {
    "top-left": (0.0, 0.0), "top": (0.5, 0.0), "top-right": (1.0, 0.0),
    "left": (0.0, 0.5), "center": (0.5, 0.5), "right": (1.0, 0.5),
    "bottom-left": (0.0, 1.0), "bottom": (0.5, 1.0), "bottom-right": (1.0, 1.0),
}  # fmt: skip
POSTER = Size(2, 3)  # the shape of a poster when nobody asks for another
BLANK = (128, 128, 128)  # what stands in a reference where the model has to make the picture
SLIVER = 0.06  # share of the poster; a border thinner than that is no extension


@dataclass(frozen=True)
class Task:
    """One image-to-poster task."""

    name: str  # as users write it
    group: Literal["local", "global"]  # which PosterOmni expert it belongs to
    references: range  # how many reference images it takes
    needs_mask: bool  # a mask (white = make this) must come with the image
    shape: Callable[[Size], Size]  # the poster's, where no size is asked for, from reference 0's
    canvas: Callable[[Size, Size, Anchor], Box] | None  # where reference 0 lies on the target; None: not on it
    frame: str  # the instruction around the user's words
    default: str  # the words that stand in when the user gives none

    @property
    def keeps_pixels(self) -> bool:
        """Reference 0 lies on the target, so what is not made is kept exactly."""
        return self.canvas is not None

    def instruction(self, prompt: str | None) -> str:
        """The full instruction for the text encoder."""
        return self.frame.format(prompt=(prompt or self.default).strip())


def extending_canvas(photo: Size, target: Size, anchor: Anchor = "center") -> Box:
    """The photo at its own scale, or reduced to fit; to three quarters where it would leave next to nothing to make.

    Raises:
        ValueError: the anchor is unknown, or puts a part of the photo off the canvas.
    """
    placed = contain(photo, target)
    if target.area - placed.area < SLIVER * target.area:
        placed = contain(photo, (target.width * 3 // 4, target.height * 3 // 4))
    if isinstance(anchor, str):
        if anchor not in ANCHORS:
            raise ValueError(f"anchor {anchor!r} is unknown; use one of {', '.join(ANCHORS)}, or x,y in pixels")
        fx, fy = ANCHORS[anchor]
        x, y = round((target.width - placed.width) * fx), round((target.height - placed.height) * fy)
    else:
        if not (isinstance(anchor, tuple) and len(anchor) == 2 and all(isinstance(v, int) for v in anchor)):
            raise ValueError(f"anchor {anchor!r}: use one of {', '.join(ANCHORS)}, or (x, y) in whole pixels")
        x, y = anchor
    if x < 0 or y < 0 or x + placed.width > target.width or y + placed.height > target.height:
        raise ValueError(f"anchor {x},{y} puts the {placed} photo off the {target} canvas")
    return x, y, x + placed.width, y + placed.height


def filling_canvas(photo: Size, target: Size, anchor: Anchor = "center") -> Box:
    """The whole target.

    Raises:
        ValueError: the target's shape differs from the photo's by more than rounding to the grid (8 %).
    """
    if abs(photo.aspect / target.aspect - 1) > SHAPE_TOLERANCE:
        raise ValueError(f"filling keeps the picture's shape: the image is {photo}, the asked size {target}")
    return 0, 0, target.width, target.height


TASKS: dict[str, Task] = {task.name: task for task in (
    Task(
        "extending", "local", range(1, 2), False, lambda photo: POSTER, extending_canvas,
        frame="Extend the picture over the empty border into a complete poster. {prompt}",
        default="Continue the scene, its light and its colours.",
    ),
    Task(
        "filling", "local", range(1, 2), True, lambda photo: photo, filling_canvas,
        frame="Fill the empty area of the poster so that it fits its surroundings. {prompt}",
        default="Keep everything else as it is.",
    ),
    Task(
        "rescaling", "local", range(1, 2), False,
        lambda poster: POSTER if poster.aspect > 1 else Size(3, 2), None,
        frame="Rearrange the poster for the new format without cropping or stretching. {prompt}",
        default="Keep its content, text and style.",
    ),
    Task(
        "id_driven", "local", range(1, 5), False, lambda subject: POSTER, None,
        frame="Make a poster that shows the same subject as the reference. {prompt}",
        default="Keep the subject's identity.",
    ),
    Task(
        "layout_driven", "global", range(1, 2), False, lambda poster: poster, None,
        frame="Make a poster with the layout of the reference and other content. {prompt}",
        default="Keep the arrangement of the reference.",
    ),
    Task(
        "style_driven", "global", range(1, 2), False, lambda poster: POSTER, None,
        frame="Make a poster in the style of the reference with other content. {prompt}",
        default="Keep the colours and the style of the reference.",
    ),
)}  # fmt: skip


def parse_anchor(text: str) -> Anchor:
    """An anchor as typed: one of the nine positions or "x,y"; ValueError where it is neither."""
    if text in ANCHORS:
        return text
    parts = text.split(",")
    if len(parts) == 2 and all(part.strip().lstrip("-").isdigit() for part in parts):
        return int(parts[0]), int(parts[1])
    raise ValueError(f"anchor {text!r} is unknown; use one of {', '.join(ANCHORS)}, or x,y in pixels")


def get_task(name: str) -> Task:
    """The task of a name; ValueError where there is none."""
    if name not in TASKS:
        raise ValueError(f"unknown task {name!r}; the tasks are {', '.join(TASKS)}")
    return TASKS[name]


def place(
    task: Task, images: Sequence[Image.Image], target: Size, mask: Image.Image | None = None, anchor: Anchor = "center"
) -> tuple[list[Image.Image], Image.Image | None]:
    """Put reference 0 on the target's canvas where the task says so, blank where the model has to make the picture.

    Args:
        images: RGB references of one poster.
        target: the size the model draws at.
        mask: mode L, the size of `images[0]`; 255 = make this (filling).
        anchor: where extending puts the photo.

    Returns:
        The references, reference 0 of exactly the target's size if it lies on it, and the made region: mode L, the
        target's size, 255 = made, 0 = kept; None for tasks that keep no pixels.
    """
    if task.canvas is None:
        return list(images), None
    photo = images[0]
    box = task.canvas(Size(*photo.size), target, anchor)
    size = (box[2] - box[0], box[3] - box[1])
    placed = photo if photo.size == size else photo.resize(size, Image.Resampling.LANCZOS)
    canvas = Image.new("RGB", target, BLANK)
    canvas.paste(placed, box[:2])
    region = Image.new("L", target, 255)
    region.paste(0, box)
    if mask is not None:
        # a pixel that the mask touches at all is made, so that nothing of what was masked shines through
        hole = mask.point([0] * 128 + [255] * 128)
        if hole.size != size:
            hole = hole.resize(size, Image.Resampling.BOX).point([0] + [255] * 255)
        region.paste(255, box[:2], hole)
        canvas.paste(BLANK, (0, 0), region)
    return [canvas, *images[1:]], region
