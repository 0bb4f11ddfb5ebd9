"""Flawless posters, of which pairs for the reward model are made (see `posterkit.training.loading.judgements`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from random import Random

from posterkit.datagen import weakening
from posterkit.datasets.dataset import INDEX, read_rows
from posterkit.datasets.pair_dataset import open_preferences, pictures_of
from posterkit.datasets.sample_files import Row
from posterkit.metrics.ocr import TextReader
from posterkit.prompts import quoted_texts
from posterkit.schema import DrawnLine, PosterSample
from posterkit.tasks import TASKS
from posterkit.training.config import Seed
from posterkit.training.loading.sets import Posters, SetConfig, open_set
from posterkit.training.protocols import RunView

ON_LINES = ("illegible", "text_blur", "text_mask", "misspelt")  # kinds of judgements that take lines of text
Read = Callable[[int], tuple[PosterSample, PosterSample | None]]


@dataclass
class JudgementConfig:
    """
    Attributes:
        path: a set's folder: pairs as `mine_preferences.py` writes them, or finished posters, of which free pairs are
            made; null draws synthetic posters into `run_dir/set`.
        tasks: only rows of these; null for all.
        count, seed, sizes: of a drawn set: how many posters, which ones, and their widths and heights in pixels.
        heldout: posters that no step uses: drawn, or where a set on disk holds none out, its last ones.
    """

    path: str | None = None
    tasks: list[str] | None = None
    count: int = 1024
    seed: Seed = 0
    sizes: list[list[int]] = field(default_factory=lambda: [[128, 192], [192, 128], [160, 160]])
    heldout: int = 128

    def check(self) -> None:
        """Raise ValueError for values that cannot work."""
        SetConfig(count=self.count, seed=self.seed, heldout=self.heldout, sizes=self.sizes).check()
        if self.heldout < 2:
            raise ValueError(f"data.heldout must be at least 2: the scores are held against them; got {self.heldout}")


class GoodPosters:
    """Flawless posters by number, and for some the one that was judged worse.

    `rows` are as the set's index has them; `read` gives poster `number`, and the rejected one or None.
    """

    def __init__(self, rows: Sequence[Row], read: Read) -> None:
        self.rows, self.read = rows, read
        self.of_task: dict[str, list[int]] = {}
        for number, row in enumerate(rows):
            self.of_task.setdefault(str(row["task"]), []).append(number)
        self.quotes = [quoted_texts(str(row.get("instruction") or row.get("caption") or row.get("prompt") or ""))
                       for row in rows]  # fmt: skip
        self.titles = sorted({texts[0] for texts in self.quotes if texts})
        self.letters = weakening.letters_of([text for texts in self.quotes for text in texts])
        self._lines: dict[int, list[DrawnLine]] = {}
        self._reader = TextReader(enlarge_to=512)

    def part(self, numbers: Sequence[int]) -> GoodPosters:
        return GoodPosters([self.rows[number] for number in numbers], lambda place: self.read(numbers[place]))

    def fit(self, kind: str) -> list[int]:
        """The numbers of posters that a judgement of a kind can be made of."""
        rules: dict[str, Callable[[int], bool]] = {
            "candidates": lambda number: (
                "rejected" in self.rows[number] and self.rows[number].get("kind", "candidates") == "candidates"
            ),
            "unedited": lambda number: self.rows[number]["task"] in TASKS,
            "wrong_task": lambda number: len(self.of_task) > 1,
            "wrong_text": lambda number: bool(self.quotes[number]) and len(self.titles) > 1,
            "text_error": lambda number: bool(self.changeable(number)),
            **dict.fromkeys(ON_LINES, self._has_lines),
        }
        rule = rules.get(kind, lambda number: True)
        return [number for number in range(len(self.rows)) if rule(number)]

    def changeable(self, number: int) -> list[int]:
        """Which of a prompt's quotes one character can be changed in."""
        texts = enumerate(self.quotes[number])
        return [place for place, text in texts if weakening.text_error(Random(0), text, self.letters)]

    def lines(self, number: int, poster: PosterSample) -> list[DrawnLine]:
        """The lines of text on a poster: the set's, else whole texts, else what an OCR model reads."""
        if number not in self._lines:
            found = [line for text in poster.texts for line in text.lines]
            found = found or [DrawnLine(text.text, text.box) for text in poster.texts if text.box]
            if not poster.texts:
                found = []
                for text, (x0, y0, x1, y1), _ in self._reader(poster.target):
                    found.append(DrawnLine(text, (max(0, int(x0)), max(0, int(y0)), int(x1) + 1, int(y1) + 1)))
            self._lines[number] = [line for line in found if line.box[2] > line.box[0] and line.box[3] > line.box[1]]
        return self._lines[number]

    def _has_lines(self, number: int) -> bool:
        row = self.rows[number]
        return any(text.get("box") for text in row["texts"]) if "texts" in row else bool(self.quotes[number])


def open_good_posters(config: JudgementConfig, run: RunView) -> tuple[GoodPosters, GoodPosters]:
    """The posters to learn from, and those held out; raises as `open_set`, or ValueError for too few rows."""
    index = Path(config.path or "") / INDEX
    if config.path and index.is_file() and any(pictures_of(row) for _, row in islice(read_rows(index), 1)):
        train, heldout = (_of_pairs(Path(config.path), split, config.tasks) for split in ("train", "heldout"))
    else:
        settings = SetConfig(path=config.path, tasks=config.tasks, count=config.count, seed=config.seed,
                             sizes=config.sizes, heldout=config.heldout)  # fmt: skip
        posters = open_set(settings, run, Posters(settings, tuple(config.tasks or ("text", *TASKS))))
        train, heldout = (GoodPosters(one.rows, lambda number, one=one: (one[number], None)) for one in posters)
    if not heldout.rows:
        cut = max(0, len(train.rows) - config.heldout)
        train, heldout = train.part(range(cut)), train.part(range(cut, len(train.rows)))
        run.print(f"{config.path}: holds nothing out; its last {len(heldout.rows)} posters are held out")
    if not train.rows or not heldout.rows:
        raise ValueError(f"{config.path}: too few rows: {len(train.rows)} to learn from, {len(heldout.rows)} held out")
    return train, heldout


def _of_pairs(folder: Path, split: str, tasks: list[str] | None) -> GoodPosters:
    pairs = open_preferences(folder, split)
    numbers = [number for number, row in enumerate(pairs.rows) if tasks is None or row.get("task") in tasks]
    good = GoodPosters(pairs.rows, lambda number: (pairs[number].chosen, pairs[number].rejected))
    return good.part(numbers)
