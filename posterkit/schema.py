"""What passes between rooms: a request for a poster, and a training sample."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from posterkit.image_io import as_rgb, read_image, read_mask
from posterkit.lettering import Lettering, mark_faults, unmarked
from posterkit.messages import one_line
from posterkit.paper import Sheet
from posterkit.sizing import MAX_SIDE, Size
from posterkit.tasks import MOST_CANDIDATES, TASKS, TEXT, Anchor, place

ValueCheck = tuple[Callable[[Any], bool], str]  # a test, and what it accepts
Box = tuple[int, int, int, int]
RGB = tuple[int, int, int]
ImageSource = str | Path | Image.Image | np.ndarray  # a file, or a picture in memory: uint8 `(H, W, 3)` RGB as array


def is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def is_text(value: object) -> bool:
    return isinstance(value, str)


def is_strings(value: object) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(item, str) and item.strip() for item in value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _whole(low: int, high: int, unit: str = "") -> ValueCheck:
    return lambda value: is_whole(value) and low <= value <= high, f"a whole number{unit} from {low} to {high}"


# what a request's values must be, wherever they come from: a manifest, a poster's record, Python
REQUEST_VALUES: dict[str, ValueCheck] = {
    "task": (is_text, "a task name"),
    "prompt": (is_text, "a text"),
    "texts": (is_strings, "a list of non-empty texts"),
    "width": _whole(16, MAX_SIDE, " of pixels"),
    "height": _whole(16, MAX_SIDE, " of pixels"),
    "seed": (lambda value: is_whole(value) and 0 <= value < 2**63, "a whole number of at least 0"),
    "steps": _whole(1, 1000),
    "guidance": (lambda value: _is_number(value) and 0 <= value <= 100, "a number from 0 to 100"),
    "negative_prompt": (is_text, "a text"),
    "best_of": _whole(1, MOST_CANDIDATES),
    "strength": (lambda value: _is_number(value) and 0 < value <= 1, "a number above 0 and at most 1"),
}


def value_faults(values: Mapping[str, Any], checks: Mapping[str, ValueCheck] = REQUEST_VALUES) -> list[str]:
    """What is wrong with each value by itself; those that are None or not there are not looked at."""
    faults = []
    for key, (test, accepted) in checks.items():
        value = values.get(key)
        if value is not None and not test(value):
            found = one_line(json.dumps(value, ensure_ascii=False, default=str), 60)
            faults.append(f"{key} must be {accepted}, found {found}")
    return faults


@dataclass(frozen=True)
class Region:
    """An area with a role for region-weighted losses: `box` is x0, y0, x1, y1 in pixels, half open."""

    box: Box
    role: str  # "major" (the title) or "minor"
    text: str


@dataclass(frozen=True)
class DrawnLine:
    """One line of a text, and the box of its ink in pixels, half open."""

    text: str
    box: Box


@dataclass(frozen=True)
class DrawnText:
    """A text that stands on the target: its ink's box in pixels, half open, its colour, its font's name, its lines."""

    text: str
    box: Box | None = None
    color: RGB | None = None
    font: str | None = None
    lines: tuple[DrawnLine, ...] = ()


class Design(NamedTuple):
    """A poster whose picture others show re-laid: its size in pixels, and the sheet that it is cut from."""

    size: Size
    sheet: Sheet | None = None


@dataclass(frozen=True)
class PosterRequest:
    """One poster to make, or what a finished one should be.

        PosterRequest("a lighthouse at night", texts=["NORTH LIGHT"], size=(832, 1216), seed=1)
        PosterRequest(task="extending", images=["photo.jpg"], anchor="bottom")

    None means the default of the checkpoint or of the task. Rows of a manifest and training samples
    (`posterkit.metrics.expected_texts.request_from_sample`) become this type; rewards compare posters with it.

    Attributes:
        prompt: the user's words; quoted parts are texts. Empty for the task's default wording.
        task: "text" or a name in `posterkit.tasks.TASKS`.
        texts: what must stand on the poster beside what the prompt quotes, the title first; () where nothing more
            may; None where nobody knows.
        images: input images in their order, as files or in memory.
        mask: white = make this, black = keep (for id_driven: the subject); of the first image's size. A sample has
            one for extending as well, of the poster's size.
        anchor: where extending puts the image: one of nine positions, or x, y in pixels of the poster.
        size: of the poster in pixels, with any bleed; one side may be None and follows from the task's shape.
        sheet: how it is printed and cut; None for a poster of the screen.
        design: the poster whose picture this one shows, cut and continued to its own size; None draws one for it.
            Where the images' own pixels stand on the poster, one is drawn all the same.
        seed: the same seed makes the same poster.
        steps: denoising steps.
        guidance: `guidance_scale` for text, `true_cfg_scale` for image tasks.
        lettering: how the texts are set; a text may also carry its role: "@title:-70%".
        lora: for this poster alone; `=0.8` behind it is its weight.
        out: the result's file name, relative to the output folder.
        best_of: how many seeds are drawn, from `seed` upwards; the one that a reward likes best is kept.
        expanded: the prompt after expansion; drawn in its place.
        refine: rounds in which a critic's suggestions may improve the poster.
        draft: a picture to paint over: "auto" draws the request, "none" begins from noise, or a sketch of the user's.
        strength: how much of the draft is painted anew, in (0, 1].
        preserve: the images' own pixels stand on the poster: for id_driven the subjects', cut out; extending and
            filling do so unless it is False. None leaves it to the task, for id_driven to the checkpoint.
        regional: the model follows the plan while it draws: calm where texts stand, the subject in its box.
        feedback: suggestions by which the poster is redrawn, one round after the other.
        id: names the request in errors, ledgers and files.
        instruction: the whole instruction, where it is not the prompt in the task's frame.
        caption: what the poster shows in words.
        placed: where the first image lies on the poster, in pixels, half open.
        regions: boxes of texts on the poster, in pixels.
        spare: how many words more than the known texts the poster may bear.
    """

    prompt: str = ""
    _: KW_ONLY
    task: str = TEXT
    texts: Sequence[str] | None = None
    images: Sequence[ImageSource] = ()
    mask: ImageSource | None = None
    anchor: Anchor | None = None
    size: Size | None = None
    sheet: Sheet | None = None
    design: Design | None = None
    seed: int | None = None
    steps: int | None = None
    guidance: float | None = None
    negative_prompt: str | None = None
    lettering: Lettering = field(default_factory=Lettering)
    lora: str | None = None
    out: str | None = None
    best_of: int | None = None
    expanded: str | None = None
    refine: int | None = None
    draft: ImageSource | None = None
    strength: float | None = None
    preserve: bool | None = None
    regional: bool | None = None
    feedback: Sequence[Sequence[str]] = ()
    id: str = ""
    instruction: str | None = None
    caption: str = ""
    placed: Box | None = None
    regions: Sequence[Region] = ()
    spare: int = 0

    def __post_init__(self) -> None:
        for name in ("texts", "images", "regions"):
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, (value,) if isinstance(value, str) else tuple(value))
        if self.texts:
            texts, marks = unmarked(self.texts)
            object.__setattr__(self, "texts", tuple(texts))
            if marks:
                kept = [mark for mark in self.lettering.marks if mark[0] not in dict(marks)]
                object.__setattr__(self, "lettering", replace(self.lettering, marks=(*kept, *marks)))
        object.__setattr__(self, "feedback", tuple(tuple(said) for said in self.feedback))
        if self.size is not None:
            object.__setattr__(self, "size", None if tuple(self.size) == (None, None) else Size(*self.size))

    @property
    def width(self) -> int | None:
        return self.size and self.size.width

    @property
    def height(self) -> int | None:
        return self.size and self.size.height

    def as_instruction(self) -> str:
        """The prompt as the model reads it: in the task's frame where there is one."""
        if self.instruction is not None:
            return self.instruction
        words = self.expanded or self.prompt
        return TASKS[self.task].instruction(words) if self.task in TASKS else words

    def files(self) -> list[Path]:
        """The files of its images and its mask; what is in memory has none."""
        return [Path(source) for source in (*self.images, self.mask) if isinstance(source, str | Path)]

    def pictures(self) -> list[Image.Image]:
        """The input images, RGB; ValueError where a file cannot be read."""
        return [picture_of(image) for image in self.images]

    def mask_picture(self) -> Image.Image | None:
        """The mask, mode L, 0 or 255 where it is read from a file; ValueError where it does not fit its image."""
        if isinstance(self.mask, str | Path):
            return read_mask(self.mask, picture_of(self.images[0]).size)
        mask = Image.fromarray(self.mask) if isinstance(self.mask, np.ndarray) else self.mask
        return mask and mask.convert("L")

    @cached_property
    def references(self) -> tuple[np.ndarray, ...]:
        """The input images, uint8 `(h, w, 3)` RGB each."""
        return tuple(
            image if isinstance(image, np.ndarray) and image.shape[2:] == (3,) else np.asarray(picture_of(image))
            for image in self.images
        )

    @cached_property
    def mask_array(self) -> np.ndarray | None:
        """The mask, uint8 `(H, W)`."""
        mask = self.mask if isinstance(self.mask, np.ndarray) and self.mask.ndim == 2 else self.mask_picture()
        return None if mask is None else np.asarray(mask)

    def inputs(self) -> list[Image.Image]:
        """The images as the model gets them: for filling, the part to be made is blank."""
        pictures = self.pictures()
        if self.task != "filling" or self.mask is None:
            return pictures
        return place(TASKS["filling"], pictures, Size(*pictures[0].size), self.mask_picture())[0]

    def check(self) -> None:
        """Compare the request with its task, before any file is read.

        Raises:
            ValueError: they contradict each other; everything that is wrong in one line.
        """
        check_task(self.task)
        faults = self._text_faults() if self.task == TEXT else self._image_faults()
        faults += self.lettering.faults() + mark_faults(self.texts or ())
        words = (self.prompt, self.negative_prompt or "", *(self.texts or ()))
        if any("\ud800" <= letter <= "\udfff" for text in words for letter in text):
            faults.append("the words are not Unicode text; write them in UTF-8")
        if self.refine and self.task != TEXT:
            faults.append(f"task {self.task!r} cannot be refined, its model takes no draft; text posters can")
        numbers = ("seed", "steps", "guidance", "best_of", "strength")
        faults += value_faults({key: getattr(self, key) for key in numbers})
        if isinstance(self.draft, str) and self.draft == "auto" and not self._may_draw_draft:
            faults.append(f"task {self.task!r} draws no draft of its own; give a picture, or none")
        if self.preserve and not (self.task == "id_driven" or (self.task in TASKS and TASKS[self.task].keeps_pixels)):
            faults.append(f"task {self.task!r} keeps no pixels; extending, filling and id_driven do")
        if self.regional and not (self.lettering.planner or self.lettering.plan):
            faults.append("regional follows a plan, and there is none; give a planner or a plan")
        if self.regional and self.task in TASKS and TASKS[self.task].keeps_pixels:
            faults.append(f"task {self.task!r} keeps pixels where they are; regional steers wholly new pictures")
        if self.design is not None and (self.best_of or 1) > 1:
            faults.append("best_of chooses a picture for one size; several sizes show one picture")
        if self.anchor is not None and self.task != "extending":
            faults.append(f"task {self.task!r} takes no anchor; extending does")
        if faults:
            raise ValueError("; ".join(faults))

    @property
    def _may_draw_draft(self) -> bool:
        drawn = (TEXT, "rescaling", "style_driven", "layout_driven")
        return self.task in drawn or (self.task == "id_driven" and self.preserve is not False)

    def _text_faults(self) -> list[str]:
        faults = ['the task "text" takes no images'] if self.images else []
        faults += ['the task "text" takes no mask'] if self.mask is not None else []
        return faults + ([] if self.prompt.strip() or self.texts else ['the task "text" needs a prompt or texts'])

    def _image_faults(self) -> list[str]:
        task, faults = TASKS[self.task], []
        if len(self.images) not in task.references:
            takes = "1 image" if task.references[-1] == 1 else f"1 to {task.references[-1]} images"
            faults.append(f"task {task.name!r} takes {takes}, found {len(self.images)}")
        if task.needs_mask and self.mask is None:
            others = ", ".join(name for name, other in TASKS.items() if not other.needs_mask)
            faults.append(f"task {task.name!r} needs a mask; {others} do not")
        cut_out = self.task == "id_driven" and self.preserve is not False and len(self.images) == 1
        if self.mask is not None and not (task.needs_mask or cut_out) and self.placed is None:
            faults.append(
                f"task {task.name!r} takes no mask here; filling does, and id_driven that cuts one image out"
            )
        return faults


def check_task(name: str) -> None:
    """ValueError where there is no such task; the nearest one is named."""
    if name not in (TEXT, *TASKS):
        near = difflib.get_close_matches(name, (TEXT, *TASKS), 1)
        meant = f" (did you mean {near[0]!r}?)" if near else ""
        found = f"unknown task {name!r}{meant}" if name else "no task given"
        raise ValueError(f"{found}; the tasks are {TEXT}, {', '.join(TASKS)}")


def sides(width: int | None, height: int | None) -> Size | None:
    """The size of a request of which one side, or none, may be given."""
    return None if width is None and height is None else Size(width, height)  # type: ignore[arg-type]


def picture_of(image: ImageSource) -> Image.Image:
    """RGB; a file is read, a picture in memory is converted."""
    if isinstance(image, str | Path):
        return read_image(image)
    return as_rgb(Image.fromarray(image) if isinstance(image, np.ndarray) else image)


@dataclass
class PosterSample:
    """One poster with everything that a task needs to be learnt from it.

    Attributes:
        id: unique within a set.
        task: "text" or one of `posterkit.tasks.TASKS`.
        target: the finished poster, uint8 `(H, W, 3)` RGB.
        references: input images, uint8 `(h, w, 3)` RGB each; none for "text".
        mask: uint8 `(H, W)`, 255 = to be made, 0 = kept; None for tasks that keep no pixels.
        regions: text areas with their role.
        texts: the texts on the target.
        caption: what the target shows, in words.
        instruction: what an image-to-poster model reads; equal to the caption for "text".
        words: the instruction's part that a user would type, without the task's frame; None for its default wording.
        theme: the art's family.
        source: where the pictures come from.
        licence: SPDX name of the pictures' licence.
        split: "train" or "heldout".
        background: colour name (a key of `posterkit.prompts.COLORS`) nearest to the target's border.
        palette: the colours that the art was drawn with, background first.
        style: how it was drawn.
        layout: name of the arrangement.
        subject: box of the main motif on the target, in pixels, half open.
        placed: box of reference 0 on the target for tasks that keep pixels.
        shows: labels of a synthetic target without lettering: subject, color, place and more, each one word or two.
        judged: what judges answered about the target, by question: {"aesthetics": {"by": "rules", "said": 0.61}}.
    """

    id: str
    task: str
    target: np.ndarray
    references: list[np.ndarray] = field(default_factory=list)
    mask: np.ndarray | None = None
    regions: list[Region] = field(default_factory=list)
    texts: list[DrawnText] = field(default_factory=list)
    caption: str = ""
    instruction: str = ""
    words: str | None = None
    theme: str = ""
    source: str = "synthetic"
    licence: str = "CC0-1.0"
    split: str = "train"
    background: str | None = None
    palette: tuple[RGB, ...] = ()
    style: str | None = None
    layout: str | None = None
    subject: Box | None = None
    placed: Box | None = None
    shows: dict[str, Any] = field(default_factory=dict)
    judged: dict[str, dict[str, Any]] = field(default_factory=dict)
