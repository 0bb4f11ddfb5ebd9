"""Every hostile input ends in one line or a result, within 30 s and 1 GiB, and writes nothing anywhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hostile_corpus import KINDS, build

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


@pytest.mark.slow
def test_there_are_more_than_three_hundred_inputs() -> None:
    assert sum(1 for kind, cases in KINDS.items() if kind != "large" for _ in cases()) >= 300


def listed(folder: Path) -> set[str]:
    return {str(path) for path in folder.rglob("*")}


# those with many inputs, and those that import torch
SLOW = {"images", "large", "manifests", "servers", "sets", "shards", "loras", "weights", "folders"}


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.slow) if kind in SLOW else kind for kind in KINDS]
)
def test_every_input_ends_in_one_line_or_a_result(tmp_path_factory: pytest.TempPathFactory, kind: str) -> None:
    corpus, tmp_path = tmp_path_factory.mktemp("corpus"), tmp_path_factory.mktemp("work")
    build(corpus, [kind])
    before = listed(corpus)
    cache = str(tmp_path_factory.mktemp("cache"))  # where the libraries keep what they fetch and compile
    paths = os.pathsep.join(map(str, (ROOT, HERE, ROOT / "tests" / "support")))
    done = subprocess.run(
        [sys.executable, HERE / "hostile_reader.py", kind, corpus / kind],
        cwd=tmp_path, capture_output=True, text=True, timeout=600,
        env={**os.environ, "PYTHONPATH": paths, "HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1",
             "HF_HOME": cache, "XDG_CACHE_HOME": cache},
    )  # fmt: skip
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    ended = {row["input"]: row for row in rows if "input" in row}
    begun = [row["begun"] for row in rows if "begun" in row]
    assert set(begun) == {path.name for path in (corpus / kind).iterdir()} == set(ended), (
        begun[-1:],
        done.stderr[-2000:],
    )
    assert [row for row in ended.values() if row["wrong"]] == []
    assert [row for row in ended.values() if row["seconds"] > 30] == []
    assert listed(corpus) == before and list(tmp_path.iterdir()) == []
    if table := os.environ.get("POSTERKIT_HOSTILE_TABLE"):
        with open(table, "a", encoding="utf-8") as file:
            file.writelines(json.dumps({"kind": kind, **row}) + "\n" for row in ended.values())
