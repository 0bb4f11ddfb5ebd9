"""SyntheticPosters: an endless, seeded, random-access source of samples for text to poster and the six tasks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import Literal

import numpy as np

from posterkit.schema import PosterSample
from posterkit.sizing import Size, check_on_grid
from posterkit.synthetic.samples import BUILDERS, Request, build
from posterkit.tasks import TASKS

SPLITS = ("train", "heldout")
TRAINING_SIZES = ((128, 192), (192, 128), (160, 160), (112, 208))
REFERENCE_AREA = 96 * 144


class SyntheticPosters:
    """Posters with ground truth; item i is the same on every machine, in every process and in any order.

    Args:
        seed: chooses the series.
        size: the targets' width and height in pixels, multiples of 16.
        tasks: which tasks to draw from, uniformly; "text" and the names in `posterkit.tasks.TASKS`.
        split: "train" or "heldout"; they share no sample.
        sizes: several sizes to draw from, uniformly, in place of `size`.
        reference_area: area in pixels of references that do not lie on the target (sides are multiples of 16).
        lettering: False leaves titles out of every picture, references included.
        captions: "long" are sentences, "short" are mini's language (`contents.py`); the pictures are the same.
        shapes: so many of each theme, where a small model shall learn them: what no caption tells (a mascot's eyes, a
            hill's curve) comes again and again then, in other colours and at other places. None draws ever new ones.

    Raises:
        ValueError: an unknown task or split, no task, or a size off the grid.
    """

    def __init__(
        self,
        seed: int = 0,
        size: tuple[int, int] = (128, 192),
        tasks: Sequence[str] = ("text", *TASKS),
        split: str = "train",
        *,
        sizes: Sequence[tuple[int, int]] | None = None,
        reference_area: int = REFERENCE_AREA,
        lettering: bool = True,
        captions: Literal["long", "short"] = "long",
        shapes: int | None = None,
    ) -> None:
        unknown = [task for task in tasks if task not in BUILDERS]
        if unknown or not tasks:
            raise ValueError(f"unknown task {unknown[:1] or '(none given)'}; the tasks are {', '.join(BUILDERS)}")
        if split not in SPLITS:
            raise ValueError(f"unknown split {split!r}; there are {', '.join(SPLITS)}")
        self.seed, self.split, self.tasks, self.reference_area = seed, split, tuple(tasks), reference_area
        self.lettering, self.captions, self.shapes = lettering, captions, shapes
        self.sizes = tuple(check_on_grid(*one) for one in (sizes or (size,)))

    def __getitem__(self, index: int) -> PosterSample:
        return self.sample(index)

    def __iter__(self) -> Iterator[PosterSample]:
        index = 0
        while True:
            yield self.sample(index)
            index += 1

    def sample(self, index: int, task: str | None = None, size: tuple[int, int] | None = None) -> PosterSample:
        """Item `index`, drawn as `task` and at `size` where these are given.

        Raises:
            ValueError: a negative index, an unknown task, or a size off the grid.
        """
        if index < 0:
            raise ValueError(f"a sample's index is not negative, got {index}")
        if task is not None and task not in BUILDERS:
            raise ValueError(f"unknown task {task!r}; the tasks are {', '.join(BUILDERS)}")
        # numpy hashes the triple well, Python's Random is quick at single numbers
        words = np.random.SeedSequence([self.seed, SPLITS.index(self.split), index]).generate_state(4)
        rng = Random(int.from_bytes(words.astype("<u4").tobytes(), "little"))
        drawn_task = self.tasks[int(rng.random() * len(self.tasks))]
        drawn_size = self.sizes[int(rng.random() * len(self.sizes))]
        chosen = drawn_size if size is None else check_on_grid(*size)
        task = task or drawn_task
        short = self.captions == "short"
        request = Request(rng, Size(*chosen), self.reference_area, self.lettering, short, self.shapes)
        return build(task, request, f"{self.split}-{self.seed}-{index:08d}", self.split)
