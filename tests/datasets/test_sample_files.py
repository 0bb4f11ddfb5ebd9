"""Samples on disk: one JSON line each, paths relative to it."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from posterkit.datasets import SyntheticPosters, read_sample, write_sample
from posterkit.tasks import TASKS


@pytest.mark.parametrize("lettering", [True, False])
@pytest.mark.parametrize("task", ["text", *TASKS])
def test_a_sample_read_back_equals_the_one_written(tmp_path, task, lettering):
    written = SyntheticPosters(seed=3, lettering=lettering).sample(4, task=task)
    write_sample(written, tmp_path)
    (line,) = (tmp_path / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    read = read_sample(line, tmp_path)
    for field in dataclasses.fields(written):
        one, other = getattr(written, field.name), getattr(read, field.name)
        if field.name == "references":
            assert len(one) == len(other) and all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
        elif isinstance(one, np.ndarray):
            assert np.array_equal(one, other)
        else:
            assert one == other, field.name


def test_the_line_has_the_contracts_keys_and_relative_paths(tmp_path):
    row = write_sample(SyntheticPosters(seed=3).sample(0, task="filling"), tmp_path)
    contract = {"id", "task", "target", "references", "mask", "regions", "texts", "caption", "instruction",
                "theme", "source",
                "licence", "split"}  # fmt: skip
    assert contract <= set(row)
    for path in (row["target"], row["mask"], *row["references"]):
        assert "/" not in path and (tmp_path / path).is_file()
    json.dumps(row)


def test_a_line_without_a_target_is_an_error_that_names_it(tmp_path):
    with pytest.raises(ValueError, match="target"):
        read_sample('{"id": "a", "task": "text"}', tmp_path)
