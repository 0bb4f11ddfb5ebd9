"""Sets that a stage cannot be trained on, through the real recipes: one line, code 2, and nothing encoded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_omni import save_tiny_qwen
from small_stages import save_tiny_flux, write_posters, write_stage

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def flux(tmp_path_factory) -> Path:
    return save_tiny_flux(tmp_path_factory.mktemp("flux"))


@pytest.fixture(scope="module")
def omni(tmp_path_factory) -> Path:
    return save_tiny_qwen(tmp_path_factory.mktemp("omni"))


def change(folder: Path, edit: Callable[[Rows], Any]) -> None:
    index = folder / "samples.jsonl"
    rows = [json.loads(line) for line in index.read_text().splitlines()]
    edit(rows)
    index.write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def refused(run_recipe, capsys, recipe: str, config: Path) -> str:
    """The one line that a recipe ends with."""
    with pytest.raises(SystemExit) as ended:
        run_recipe(recipe, config)
    said = capsys.readouterr().err
    assert ended.value.code == 2 and said.count("\n") == 1 and said.startswith("posterkit: ")
    assert not list(config.parent.rglob("*.safetensors"))
    return said


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda rows: rows[1].pop("caption"), ":2: {1}: there is no caption; a row of task text says there"),
        (lambda rows: rows[2].update(caption=7), ":3: {2}: the caption is 7; "),
        (lambda rows: rows[0].update(caption=" "), ":1: {0}: the caption is ' '; "),
        (lambda rows: rows[2].update(id=rows[0]["id"]), ":3: the id '{0}' is that of line 1 too"),
        (lambda rows: rows[1].pop("id"), ":2: its id is None; a row has a string of its own"),
        (lambda rows: [row.update(split="heldout") for row in rows], "all 3 are of the split heldout"),
        (lambda rows: rows[1].update(task="filling", instruction="x"), ":2: {1}: holds a sample of filling"),
        (lambda rows: [row.update(target="gone.png") for row in rows], ":1: {0}: cannot be read ("),
    ],
    ids=["no caption", "number", "blank", "twice", "no id", "heldout", "foreign task", "nothing left"],
)  # fmt: skip
def test_a_row_that_no_stage_can_take_is_named(flux, run_recipe, tmp_path, capsys, edit, said):
    posters = write_posters(tmp_path / "set", 3)
    ids = [json.loads(line)["id"] for line in (posters / "samples.jsonl").read_text().splitlines()]
    change(posters, edit)
    line = refused(run_recipe, capsys, "stage1_text_render", write_stage(tmp_path, "run", flux, posters))
    assert str(posters / "samples.jsonl") in line
    for number, name in enumerate(ids):
        said = said.replace(f"{{{number}}}", name)
    assert said in line


def test_what_remains_of_nothing_is_all_in_the_report(flux, run_recipe, tmp_path, capsys):
    posters = write_posters(tmp_path / "set", 3)
    for path in posters.glob("*.png"):
        path.write_bytes(b"no picture")
    line = refused(run_recipe, capsys, "stage1_text_render", write_stage(tmp_path, "run", flux, posters))
    assert "none of 3 rows is left to train on" in line and "run/data_report.json names all" in line
    (found,) = json.loads((tmp_path / "run" / "data_report.json").read_text()).values()
    assert len(found["left_out"]["cannot be read"]) == 3 and found["posters"] == 0


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda rows: rows[1].update(regions=[{"box": [0, 0, 9, 9], "role": "a"}]), "regions[0] has the role 'a'"),
        (lambda rows: rows[1].update(regions=3), "regions is 3; it takes a list of boxes with a role"),
        (lambda rows: [row.update(regions=[]) for row in rows], "no row has regions; this stage needs text boxes"),
    ],
)  # fmt: skip
def test_regions_without_their_roles_are_named(flux, run_recipe, tmp_path, capsys, edit, said):
    posters = write_posters(tmp_path / "set", 3)
    change(posters, edit)
    assert said in refused(run_recipe, capsys, "stage2_region_sft", write_stage(tmp_path, "run", flux, posters))


def test_a_path_without_a_set_is_named(flux, run_recipe, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    for path, said in ((tmp_path / "gone", "there is no such folder"), (tmp_path / "empty", "there is no set here")):
        line = refused(run_recipe, capsys, "stage1_text_render", write_stage(tmp_path, "run", flux, path))
        assert line.startswith(f"posterkit: {path}: {said}")


def test_a_line_that_is_no_row_is_named(flux, run_recipe, tmp_path, capsys):
    posters = write_posters(tmp_path / "set", 2)
    with (posters / "samples.jsonl").open("a") as index:
        index.write("{half\n")
    line = refused(run_recipe, capsys, "stage1_text_render", write_stage(tmp_path, "run", flux, posters))
    assert "samples.jsonl:3: not JSON" in line


def test_posteromni_names_a_row_without_an_instruction_and_a_task_that_no_row_has(omni, run_recipe, tmp_path, capsys):
    posters = write_posters(tmp_path / "set", 4, ("extending", "filling", "rescaling", "id_driven"))
    settings = {"group": "local", "text_share": 0, "trainable": {"weights": "lora", "rank": 2}}
    change(posters, lambda rows: rows[2].update(instruction=["x"]))
    config = write_stage(tmp_path, "run", omni, posters, **settings)
    assert "the instruction is ['x']" in refused(run_recipe, capsys, "stage2_experts", config)
    change(posters, lambda rows: rows.pop(2))
    assert "holds no sample of rescaling; see data.tasks" in refused(run_recipe, capsys, "stage2_experts", config)
