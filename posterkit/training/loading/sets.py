"""The set that a stage trains on: on disk, or drawn into the run folder."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import NamedTuple

from PIL import Image

from posterkit.datagen.engine import Flow, run_flow
from posterkit.datagen.text_render import SCRIPTS, Wording, render_text, shipped_wording
from posterkit.datasets.dataset import INDEX, PosterDataset
from posterkit.datasets.sample_files import encode_sample
from posterkit.schema import PosterSample
from posterkit.synthetic import SyntheticPosters, title_words
from posterkit.synthetic.synthetic_poster import draw_art
from posterkit.tasks import TASKS
from posterkit.training.adapters import Keep
from posterkit.training.config import Count, Seed, check_ranges
from posterkit.training.loading.regions import ROLES
from posterkit.training.protocols import RunView

TITLES = "titles"


@dataclass
class SetConfig:
    """
    Attributes:
        path: a set's folder, as the data tools write it; null draws one into `run_dir/set`.
        tasks: only samples of these; null for all.
        area: pixels that posters of a set on disk are brought to, in buckets of about that area whose sides are
            multiples of 16; null takes the checkpoint's native area. A poster within a tenth of it stays as it is.
        cache: folder for the outputs of frozen encoders; null takes `run_dir/cache`.
        keep: what is cached of a poster's words: the text encoders' states, or token ids alone, which are far smaller;
            the encoders then stay on the device and run in every step, with the same results.
        count, seed, sizes: of a drawn set: how many posters, which ones, and their widths and heights in pixels, drawn
            uniformly.
        heldout: of a drawn set: how many posters more are drawn for the sample sheets; no step sees them.
        words: of a drawn set of rendered text: those of mini's titles, each one token to it, or those of a script.
    """

    path: str | None = None
    tasks: list[str] | None = None
    area: Count | None = None
    cache: str | None = None
    keep: Keep = "states"
    count: int = 1024
    seed: Seed = 0
    sizes: list[list[int]] = field(default_factory=lambda: [[128, 192], [192, 128], [160, 160]])
    heldout: int = 8
    words: str = TITLES

    def check(self) -> None:
        """Raise ValueError for values that cannot work."""
        check_ranges(self, "data.")
        if self.words != TITLES and self.words not in SCRIPTS:
            raise ValueError(f"data.words is {self.words!r}; accepted: {TITLES}, {', '.join(SCRIPTS)}")
        if self.count < 1 or self.heldout < 0 or not self.sizes or any(len(size) != 2 for size in self.sizes):
            raise ValueError("data draws at least 1 poster, 0 or more held out, of sizes [[width, height], ...]")


@dataclass(frozen=True)
class Posters:
    """Finished posters of some tasks in turn, with texts and references; those from `count` on are held out."""

    config: SetConfig
    tasks: tuple[str, ...] = ("text",)  # "text" and the names in `posterkit.tasks.TASKS`

    def __getitem__(self, number: int) -> PosterSample:
        split = "train" if number < self.config.count else "heldout"
        sizes = [(width, height) for width, height in self.config.sizes]
        source = SyntheticPosters(self.config.seed, tasks=self.tasks, split=split, sizes=sizes)
        return source.sample(number, task=self.tasks[number % len(self.tasks)])


@dataclass(frozen=True)
class TextOnArt:
    """One clean text over procedural art, as PosterCraft's stage 1 has over photos; from `count` on held out."""

    config: SetConfig
    tasks: tuple[str, ...] = ("text",)

    def __getitem__(self, number: int) -> PosterSample:
        rng = Random(f"{self.config.seed} text on art {number}")
        width, height = rng.choice(self.config.sizes)
        picture, caption, theme = draw_art(rng, (width, height))
        words = self.config.words
        wording = Wording(tuple(title_words())) if words == TITLES else shipped_wording(words)
        return render_text(
            Image.fromarray(picture), caption, rng, [wording], name=f"text-{number:08d}", count=1, theme=theme,
            source="synthetic", licence="CC0-1.0", split="train" if number < self.config.count else "heldout",
        )  # fmt: skip


class PosterSet(NamedTuple):
    """The posters that a stage trains on, and those of its sample sheets; `heldout` may be empty."""

    train: PosterDataset
    heldout: PosterDataset


def open_set(
    config: SetConfig, run: RunView, source: Posters | TextOnArt, *, regions: bool = False, name: str = "set"
) -> PosterSet:
    """The set at `config.path`; where that is null, one drawn from `source` into the run folder, once.

    Args:
        regions: the stage needs text boxes with the roles major and minor.
        name: of a drawn set's folder, in the run folder.

    Raises:
        FileNotFoundError: there is no set.
        ValueError: it has no row to train on, or no regions where they are needed, or one of another role; or the run
            folder holds a set that was drawn otherwise.
    """
    folder = Path(config.path) if config.path else run.folder / name
    if config.path is None:
        drawn = {key: value for key, value in asdict(config).items() if key not in ("path", "area", "cache", "keep")}
        settings = {"tool": type(source).__name__, **drawn, "tasks": source.tasks}
        if run.accelerator.is_main_process:
            outcome = run_flow(Flow(source, config.count + config.heldout, (), encode_sample, settings), folder)
            run.print(f"{folder}: {outcome.kept} posters drawn, {outcome.dropped} dropped")
        run.accelerator.wait_for_everyone()
    if not folder.exists():
        raise FileNotFoundError(f"{folder}: there is no such folder; a set is one that the data tools write")
    if folder.is_dir() and not (folder / INDEX).is_file():
        raise FileNotFoundError(f"{folder}: there is no set here; a set has its rows in {INDEX}")
    train, heldout = (PosterDataset(folder, tasks=config.tasks, split=split) for split in ("train", "heldout"))
    if not train.rows:
        tasks = f" of {', '.join(config.tasks)}" if config.tasks else ""
        kept = f"; all {len(heldout)} are of the split heldout" if heldout.rows else ""
        raise ValueError(f"{train.index}: there is no row{tasks} to train on{kept}")
    _check_rows(train)
    if regions:
        _check_regions(train)
    return PosterSet(train, heldout)


def _check_rows(dataset: PosterDataset) -> None:
    """Raise ValueError for a row without an id of its own, or without words."""
    seen: dict[str, int] = {}
    for line, row in zip(dataset.lines, dataset.rows, strict=True):
        where, name = f"{dataset.index}:{line}", row.get("id")
        if not isinstance(name, str) or not name:
            raise ValueError(f"{where}: its id is {name!r}; a row has a string of its own there")
        if name in seen:
            raise ValueError(f"{where}: the id {name!r} is that of line {seen[name]} too; every row has its own")
        seen[name] = line
        key = "instruction" if row.get("task") in TASKS else "caption"
        words = row.get(key)
        if not isinstance(words, str) or not words.strip():
            found = f"the {key} is {words!r}" if key in row else f"there is no {key}"
            raise ValueError(
                f"{where}: {name}: {found}; a row of task {row.get('task')} says there what is to be drawn"
            )


def _check_regions(dataset: PosterDataset) -> None:
    """A poster without text has no region, but a set without any was never marked."""
    if not any(row.get("regions") for row in dataset.rows):
        raise ValueError(f"{dataset.index}: no row has regions; this stage needs text boxes with a role, {_ROLES}")
    for line, row in zip(dataset.lines, dataset.rows, strict=True):
        where, regions = f"{dataset.index}:{line}: {row.get('id')}", row.get("regions") or []
        if not isinstance(regions, list):
            raise ValueError(f"{where}: regions is {regions!r}; it takes a list of boxes with a role, {_ROLES}")
        for number, region in enumerate(regions):
            role = region.get("role") if isinstance(region, dict) else None
            if role not in ROLES:
                raise ValueError(f"{where}: regions[{number}] has the role {role!r}; accepted are {_ROLES}")


_ROLES = " and ".join(ROLES)
