"""data_tools/build_omni.py: finished posters to the six tasks, as a command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from omni_posters import synthetic_set
from PIL import Image, ImageOps
from skimage import data

from posterkit import typeset
from posterkit.datasets import PosterDataset
from posterkit.datasets.validation import validate
from posterkit.prompts import PosterBrief
from posterkit.schema import PosterRequest
from posterkit.synthetic.scene_draft import draft
from posterkit.tasks import TASKS

ROOT = Path(__file__).parents[2]


def posters(folder: Path) -> Path:
    """Three typeset photographs, a damaged file and an empty ground."""
    folder.mkdir(parents=True)
    for name, photo in (("coffee", data.coffee()), ("rocket", data.rocket()), ("cat", data.chelsea())):
        ground = ImageOps.fit(Image.fromarray(photo), (256, 384))
        typeset(ground, PosterBrief(texts=[name.upper()])).image.save(folder / f"{name}.png")
        (folder / f"{name}.txt").write_text(f'A {name}. The title reads "{name.upper()}".')
    Image.new("RGB", (256, 384), "navy").save(folder / "empty.jpg")
    (folder / "torn.png").write_bytes((folder / "coffee.png").read_bytes()[:900])
    return folder


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "data_tools/build_omni.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.slow
def test_the_tool_makes_the_same_valid_set_with_one_worker_and_with_two(tmp_path):
    folder = posters(tmp_path / "posters")
    for name, prompt in (("fox", "an orange fox on cream"), ("bottle", "a green bottle on a white ground")):
        drawn = draft(PosterRequest(prompt, texts=[name.upper()], size=(256, 384), seed=1))  # with a clean outline
        typeset(drawn, PosterBrief(texts=[name.upper()])).image.save(folder / f"{name}.png")
        (folder / f"{name}.txt").write_text(f'A {name}. The title reads "{name.upper()}".')
    for name, workers in (("one", 1), ("two", 2)):
        made = run(folder, "--out", tmp_path / name, "--painter", "none", "--workers", workers, "--shard", 8)
        assert made.returncode == 1, made.stderr  # the torn file
    assert content(tmp_path / "one") == content(tmp_path / "two")
    checked = validate(tmp_path / "one")
    assert checked.faults == [] and checked.rows >= 16
    dropped = [json.loads(line) for line in (tmp_path / "one/dropped.jsonl").read_text().splitlines()]
    assert {row["reason"] for row in dropped if row["id"].startswith("torn")} == {"unreadable"}
    empty = [row for row in dropped if row["id"].startswith("empty")]
    assert len(empty) == 6 and {row["reason"] for row in empty} == {"no subject"} and empty[0]["thumbnail"]
    samples = list(PosterDataset(tmp_path / "one"))
    assert {sample.task for sample in samples} == set(TASKS)
    for sample in samples:
        with Image.open(folder / sample.source) as own:
            assert (np.asarray(own.convert("RGB")) == sample.target).all()
        assert sample.judged["texts"]["by"] == sample.judged["subjects"]["by"] == "rules"
        assert [region.role for region in sample.regions].count("major") >= 1


@pytest.mark.slow
def test_tar_shards_and_the_mini_painter(tmp_path):
    made = run(synthetic_set(tmp_path / "set"), "--out", tmp_path / "out", "--steps", 1, "--workers", 1,
               "--layout", "webdataset", "--tasks", "rescaling", "style_driven")  # fmt: skip
    assert made.returncode == 0, made.stderr
    assert validate(tmp_path / "out").faults == []
    assert all(s.judged["references"]["by"] == "painter mini" for s in PosterDataset(tmp_path / "out"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere"], "nowhere: there is no such folder"),
        (["{posters}", "--size", "64x64"], "finished posters keep their own size"),
        (["synthetic", "--size", "100x100"], "off the grid of 16 pixels"),
        (["{posters}", "--heldout", "-1"], "must be a whole number of at least 0"),
        (["{posters}", "--tasks", "extendin"], "unknown task 'extendin'"),
        (["{posters}", "--painter", "{posters}"], "there is no model_index.json"),
    ],
)
def test_a_wrong_call_is_one_line_and_exit_code_two(tmp_path, arguments, says):
    (tmp_path / "posters").mkdir()
    Image.fromarray(data.coffee()).save(tmp_path / "posters/a.png")
    made = run(
        *(part.format(posters=tmp_path / "posters") for part in arguments), "--out", tmp_path / "out", "--workers", 1
    )
    assert made.returncode == 2 and says in made.stderr and "Traceback" not in made.stderr
    assert not (tmp_path / "out").exists()
