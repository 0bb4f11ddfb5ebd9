"""The validator names every fault with its row."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from posterkit.datagen.engine import Flow, run_flow
from posterkit.datasets import PosterDataset, SyntheticPosters, write_sample
from posterkit.datasets.sample_files import encode_for_shards, encode_sample
from posterkit.datasets.validation import validate
from posterkit.tasks import TASKS

SOURCE = SyntheticPosters(seed=3, size=(64, 96))
ROOT = Path(__file__).parents[2]


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    """A sound set of one sample a task; row n is task n, filling is line 3."""
    for number, task in enumerate(("text", *TASKS)):
        write_sample(SOURCE.sample(number, task=task), tmp_path)
    return tmp_path


def change(folder: Path, line: int, **values) -> dict:
    """Change keys of a row; returns the row as it was."""
    path = folder / "samples.jsonl"
    rows = [json.loads(text) for text in path.read_text().splitlines()]
    before = dict(rows[line - 1])
    rows[line - 1] |= values
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return before


def faults(folder: Path, **options) -> list[str]:
    return [str(fault) for fault in validate(folder, **options).faults]


def test_a_sound_set_has_no_fault_in_folders_and_in_tar_shards(sound, tmp_path):
    assert faults(sound) == []
    for layout in ("folder", "webdataset"):
        source = PosterDataset(sound)
        run_flow(Flow(source, len(source), (), encode_sample, {}), tmp_path / layout, shard=3, layout=layout)
        assert faults(tmp_path / layout) == faults(tmp_path / layout, workers=2) == []
        read, truth = PosterDataset(tmp_path / layout), SOURCE.sample(2, task="filling")
        assert len(read) == 7 and (read[2].target == truth.target).all() and (read[2].mask == truth.mask).all()


def test_tar_shards_have_the_same_members_for_every_task_and_none_that_belongs_to_no_row(sound):
    source, folder = PosterDataset(sound), sound / "shards"
    run_flow(Flow(source, len(source), (), encode_for_shards, {}), folder, layout="webdataset")
    with tarfile.open(folder / "00000.tar") as file:
        members = [name.split(".", 1) for name in file.getnames()]
    parts = [[part for name, part in members if name == row["id"]] for row in source.rows]
    assert parts == [["png", "ref0.png", "ref1.png", "ref2.png", "ref3.png", "mask.png", "json"]] * 7
    assert faults(folder) == []
    index = folder / "samples.jsonl"
    index.write_text("".join(index.read_text().splitlines(keepends=True)[1:]))
    assert faults(folder)[0] == f"00000.tar {source.rows[0]['id']}.png: belongs to no row"


def test_the_rows_in_tar_shards_have_the_same_keys_and_nothing_but_texts(sound):
    source, folder = PosterDataset(sound), sound / "shards"
    run_flow(Flow(source, len(source), (), encode_for_shards, {}), folder, layout="webdataset")
    with tarfile.open(folder / "00000.tar") as file:
        rows = [json.loads(file.extractfile(name).read()) for name in file.getnames() if name.endswith(".json")]
    assert len(rows) == 7 and len({tuple(sorted(row)) for row in rows}) == 1
    assert {type(value) for row in rows for value in row.values()} == {str}
    (filling,) = [row for row in rows if row["task"] == "filling"]
    assert json.loads(filling["placed"]) == list(SOURCE.sample(2, task="filling").placed) and rows[0]["placed"] == ""


def test_a_damaged_tar_shard_is_a_fault_of_each_of_its_rows(sound):
    source, folder = PosterDataset(sound), sound / "shards"
    run_flow(Flow(source, len(source), (), encode_for_shards, {}), folder, shard=4, layout="webdataset")
    shard = folder / "00001.tar"
    for damage in (shard.read_bytes()[:700], b"no tar"):
        shard.write_bytes(damage)
        found = faults(folder)
        assert {fault.split(" ")[0] for fault in found} == {f"samples.jsonl:{line}" for line in (5, 6, 7)}
        assert all("00001.tar: damaged tar file" in fault for fault in found), found
        with pytest.raises(ValueError, match="damaged tar file"):
            PosterDataset(folder)[6]


WRONG_KINDS = {
    "id": 7, "task": ["text"], "caption": 5, "references": {"a": 1}, "mask": 5, "shard": 5, "texts": [5],
    "regions": [{"box": None}], "palette": 5, "split": ["a"], "subject": 3,
}  # fmt: skip


@pytest.mark.parametrize("key", WRONG_KINDS)
def test_a_value_of_the_wrong_kind_is_a_fault_of_its_row_and_no_crash(sound, key):
    change(sound, 3, **{key: WRONG_KINDS[key]})
    assert any(fault.startswith("samples.jsonl:3") for fault in faults(sound))


def picture(**options):
    """A row's picture replaced by another one."""

    def breaks(folder: Path) -> None:
        row = change(folder, 3)
        name = row[options.get("key", "target")]
        save = {"exif": options["exif"]} if "exif" in options else {}
        size = options.get("size", (64, 96))
        Image.new(options.get("mode", "RGB"), size, options.get("color")).save(folder / name, "PNG", **save)

    return breaks


def content(data: bytes):
    return lambda folder: (folder / change(folder, 3)["target"]).write_bytes(data)


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def values(**changed):
    return lambda folder: change(folder, 3, **changed)


BREAKS = {
    "missing picture": (values(target="gone.png"), "gone.png: there is no such file"),
    "empty file": (content(b""), "the file is empty"),
    "damaged": (content(b"\x89PNG\r\n\x1a\nrubbish"), "damaged image"),
    "no image": (content(b"a thesis"), "not an image that posterkit reads"),
    "turned": (picture(exif=turned()), "is turned by its EXIF"),
    "alpha": (picture(mode="RGBA"), "has an alpha channel"),
    "grey": (picture(mode="L"), "its mode is L, target must be RGB"),
    "coloured mask": (picture(key="mask"), "its mode is RGB, mask must be L"),
    "mask of another size": (picture(key="mask", mode="L", size=(32, 48), color=255),
        "the mask is 32x48, the target 64x96"),
    "empty mask": (picture(key="mask", mode="L", color=0), "the mask marks nothing"),
    "full mask": (picture(key="mask", mode="L", color=255), "the mask marks everything"),
    "box off the canvas": (values(subject=[0, 0, 65, 10]),
        "subject [0, 0, 65, 10] is empty or leaves the canvas of 64x96"),
    "no box": (values(texts=[{"text": "A", "box": [1, 2]}]), "texts[0].box must be [x0, y0, x1, y1]"),
    "inverted box": (values(regions=[{"box": [9, 9, 5, 20], "role": "minor", "text": "A"}]),
        "regions[0].box [9, 9, 5, 20] is empty"),
    "role": (values(regions=[{"box": [1, 1, 5, 20], "role": "huge", "text": "A"}]),
        "regions[0] needs a role, major or minor"),
    "unsaid text": (values(regions=[{"box": [1, 1, 5, 20], "role": "major", "text": "JAZZ"}]),
        "the text 'JAZZ' is not in the caption"),
    "unknown task": (values(task="folding"), "unknown task 'folding'"),
    "too many references": (values(references=["a.png", "b.png"]), 'task "filling" takes 1 to 1 references, found 2'),
    "no mask": (values(mask=None), 'task "filling" needs a mask'),
    "no instruction": (values(instruction=""), 'task "filling" needs an instruction'),
    "split": (values(split="dev"), "split 'dev' is unknown"),
    "no caption": (values(caption=None), '"caption" must be a text, found None'),
    "escapes": (values(target="../../etc/passwd.png"), "lies outside the set"),
    "references no list": (values(references="a.png"), '"references" must be a list'),
}  # fmt: skip


@pytest.mark.parametrize("name", BREAKS)
def test_each_fault_is_named_with_its_row(sound, name):
    breaks, said = BREAKS[name]
    breaks(sound)
    found = [fault for fault in faults(sound) if fault.startswith("samples.jsonl:3 ")]
    assert any(said in fault for fault in found), found


def test_a_line_that_is_no_json_costs_only_itself(sound):
    with (sound / "samples.jsonl").open("a") as file:
        file.write("{broken\n[1, 2]\n")
    assert [fault.split(" at ")[0] for fault in faults(sound)] == [
        "samples.jsonl:8: not JSON: Expecting property name enclosed in double quotes",
        "samples.jsonl:9: a row must be a JSON object, found list",
    ]


def test_what_shows_only_across_rows(sound):
    first = change(sound, 1)
    change(sound, 2, id=first["id"])
    change(sound, 5, target=first["target"], split="heldout")
    (sound / "stray.png").write_bytes((sound / first["target"]).read_bytes())
    found = "\n".join(faults(sound))
    assert f"id '{first['id']}' stands in 2 rows, first in samples.jsonl:1" in found
    assert f"split heldout has the very target of samples.jsonl:1 {first['id']} in split train" in found
    assert "stray.png: no row names this picture" in found


def test_sizes_that_fill_no_batch_are_named(sound):
    assert faults(sound, batch_size=7) == []
    assert "7 targets are 64x96, fewer than a batch of 8" in faults(sound, batch_size=8)[0]
    assert validate(sound, batch_size=4).counts["dropped by buckets"] == {"64x96": 3}


@pytest.mark.slow
def test_the_tool_exits_1_on_any_fault_and_2_where_there_is_no_set(sound, tmp_path):
    def run(folder: Path) -> tuple[int, str]:
        command = [sys.executable, ROOT / "data_tools/validate.py", folder, "--workers", "1"]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
        return ended.returncode, ended.stdout + ended.stderr

    assert run(sound)[0] == 0
    change(sound, 3, mask=None)
    code, said = run(sound)
    assert code == 1 and 'task "filling" needs a mask' in said and "7 rows, 2 faults" in said
    assert run(tmp_path / "nothing") == (
        2,
        f"posterkit: {tmp_path / 'nothing'}: there is no such file; a set has its rows there\n",
    )
