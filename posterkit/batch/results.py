"""Where a row's poster goes: names that are free, files of the user's that stay, results that are there already."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from pathlib import Path

from posterkit.batch.index import RowIndex
from posterkit.batch.worker import Files, Job, input_stamps
from posterkit.generate.metadata import is_foreign, record_id
from posterkit.generate.poster_plan import PosterPlan


class ResultPlaces:
    """The output folder as the rows of a batch find it."""

    def __init__(self, index: RowIndex, out: Path, files: Files) -> None:
        self.index, self.out, self.files = index, out, files

    def job(self, number: int, plan: PosterPlan) -> tuple[Job, bool]:
        """A row with the name that its poster takes, and whether it is there already.

        Its own name; -2, -3 behind it where another poster has that already, so that no poster is ever written over.
        """
        name, made = self._place(number, plan)
        if name != plan.request.out:
            self.index.take_name(number, name)
            plan = replace(plan, request=replace(plan.request, out=name))
        taken = frozenset(path for path in self.files.beside(self.out / name) if self._is_result(path))
        return Job(number, plan, taken, () if made else input_stamps(plan)), made

    def in_the_way(self, job: Job) -> str | None:
        """Why the file that has the poster's name must not be replaced: it is the user's own."""
        target = self.out / job.out
        if target.exists() and self.index.is_input(target):
            return f"its result {target} is an input of this run; choose another -o or out"
        if is_foreign(target):
            return f"its result {target} is there already and is no poster of posterkit; choose another -o or out"
        return None

    def _place(self, row: int, plan: PosterPlan) -> tuple[str, bool]:
        assert plan.request.out is not None
        first = Path(plan.request.out)
        for number in count(1):
            name = first.as_posix() if number == 1 else first.with_stem(f"{first.stem}-{number}").as_posix()
            if number > 1 and self.index.owner(name) not in (None, row):
                continue
            found = record_id(self.out / name)
            if found == plan.id:
                return name, all(self._is_done(path) for path in self.files.beside(self.out / name))
            if found is None or self.index.is_input(self.out / name):
                return name, False
        raise AssertionError

    def _is_done(self, beside: Path) -> bool:
        return self._is_result(beside) or is_foreign(beside) or record_id(beside) is not None

    def _is_result(self, path: Path) -> bool:
        return self.index.is_result(path.relative_to(self.out).as_posix())
