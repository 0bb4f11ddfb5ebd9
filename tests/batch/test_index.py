from __future__ import annotations

import json
import tracemalloc
from itertools import pairwise
from pathlib import Path

import pytest

from posterkit.batch.index import RowIndex
from posterkit.batch.manifest import read_requests
from posterkit.batch.rows import BadRow
from posterkit.batch.shard import Shard
from posterkit.schema import PosterRequest
from posterkit.sizing import Size


def test_rows_in_memory_and_rows_of_a_manifest_are_the_same(tmp_path: Path) -> None:
    (tmp_path / "jobs.jsonl").write_text('{"prompt": "a"}\n{"prompt": "b", "out": "b.png"}\nnone\n')
    read = read_requests(tmp_path / "jobs.jsonl", PosterRequest(task=""))
    assert list(RowIndex.of(list(read))) == list(read) == read[:]
    assert read[-1] == BadRow("jobs.jsonl:3", "not JSON: Expecting value at column 1")


def test_windows_hold_each_row_of_a_shard_once_and_rows_of_one_kind_together() -> None:
    tasks = ["extending", "text"] * 700
    rows = [
        PosterRequest("x", task=task, images=["a.png"] * (task != "text"), size=Size(64, 64 + 16 * (n % 3)), id=str(n))
        for n, task in enumerate(tasks)
    ]
    index = RowIndex.of(rows)
    orders = [[number for window in index.windows(Shard(part, 3)) for number in window] for part in range(3)]
    assert sorted(number for order in orders for number in order) == list(range(1400))
    for order in orders:
        kinds = [(tasks[number], rows[number].size) for number in order]
        changes = sum(one != other for one, other in pairwise(kinds))
        assert changes == len(set(kinds)) - 1 and kinds[0][0] == "text"


def test_many_equal_stems_are_numbered_in_order() -> None:
    index = RowIndex.of([PosterRequest(task="style_driven", images=["in/cat.jpg"], id=str(n)) for n in range(2000)])
    names = [row.out for row in index if isinstance(row, PosterRequest)]
    assert names[:3] == ["cat.png", "cat-2.png", "cat-3.png"] and names[-1] == "cat-2000.png"


@pytest.mark.slow
def test_a_long_manifest_takes_no_more_memory_than_a_short_one(tmp_path: Path) -> None:
    def peak(rows: int) -> int:
        path = tmp_path / f"{rows}.jsonl"
        with path.open("w") as file:
            file.writelines(json.dumps({"prompt": f"a poster of number {n}", "seed": n}) + "\n" for n in range(rows))
        tracemalloc.start()
        index = read_requests(path, PosterRequest(task=""))
        assert sum(len(window) for window in index.windows()) == len(index) == rows
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(3000) < peak(300) + 2**20  # 3000 rows in memory are more than 5 MB
