"""What a run says of its set: what is left out, which words are cut, which shapes are rare."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from small_omni import save_tiny_qwen
from small_stages import SIZE, save_tiny_flux

from posterkit.datasets import DrawnText, PosterDataset, PosterSample, write_sample
from posterkit.training.config import RunConfig
from posterkit.training.loading.batches import encoded_batches
from posterkit.training.loading.data_report import beyond_limit
from posterkit.training.loading.sets import Posters, SetConfig, open_set
from posterkit.training.run import Run
from posterkit.training.stages import open_start


@pytest.fixture(scope="module")
def flux(tmp_path_factory):
    return open_start(str(save_tiny_flux(tmp_path_factory.mktemp("flux"))), "postercraft")


@pytest.fixture(scope="module")
def omni(tmp_path_factory):
    return open_start(str(save_tiny_qwen(tmp_path_factory.mktemp("omni"))), "posteromni")


@pytest.fixture
def run(tmp_path) -> Run:
    return Run(RunConfig(run_dir=str(tmp_path / "run"), batch_size=4))


def picture(width: int, height: int, shade: int = 0) -> np.ndarray:
    return np.full((height, width, 3), shade, np.uint8)


def write(folder: Path, *samples: PosterSample) -> PosterDataset:
    for sample in samples:
        write_sample(sample, folder)
    return PosterDataset(folder)


def report(run: Run) -> dict:
    (found,) = json.loads((run.folder / "data_report.json").read_text()).values()
    return found


def test_captions_are_cut_where_t5_ends_and_texts_that_are_lost_are_counted(flux, tmp_path):
    # the tiny tokenizer has a token for each letter, and for each blank: 15 are read and the end mark
    said = [
        ("short", 'says "HELLO"', ["HELLO"]),
        ("lost", 'A poster of a hill with the title "SUMMER FAIR"', ["SUMMER FAIR"]),
        ("harmless", '"JAZZ" over an orange sun and far too many more words', ["JAZZ"]),
        ("elsewhere", "A poster of a hill without its title in the caption", ["SUMMER FAIR"]),
        ("halved", 'It says "SUMMER FAIR" over it', ["SUMMER FAIR"]),
    ]
    samples = [
        PosterSample(name, "text", picture(*SIZE), caption=caption, texts=[DrawnText(text) for text in texts])
        for name, caption, texts in said
    ]
    found = {one.id: one for one in beyond_limit(flux, write(tmp_path, *samples), range(5))}
    t5 = flux.parts["tokenizer_2"]
    for name, caption, _ in said:
        whole = len(t5(caption).input_ids) > 16
        assert (name in found) == whole
        if whole:
            read = t5(caption, truncation=True, max_length=16, return_offsets_mapping=True)["offset_mapping"]
            assert found[name].rest == caption[read[-2][1] :].strip()
    assert [found[name].texts for name in ("lost", "harmless", "elsewhere", "halved")] == [
        ["SUMMER FAIR"], [], [], ["SUMMER FAIR"],
    ]  # fmt: skip
    assert found["lost"].line == 2


def test_posteromni_says_which_instructions_the_pipeline_would_refuse(omni, run, tmp_path, capsys):
    long = "Fill it. " * 80  # 720 tokens of a byte each; the checkpoint takes 512
    write(
        tmp_path / "set",
        *(PosterSample(f"p{n}", "rescaling", picture(*SIZE), [picture(64, 48)], instruction=said, caption="x")
          for n, said in enumerate(("short", long))),
    )  # fmt: skip
    posters = open_set(SetConfig(path=str(tmp_path / "set")), run, Posters(SetConfig()))
    encoded_batches(posters, omni, run, SetConfig())
    said = capsys.readouterr().out
    assert "instructions of more than 512 tokens: 1, learnt whole, but the pipeline refuses them: p1" in said
    assert [row["id"] for row in report(run)["beyond_limit"]["rows"]] == ["p1"]
    with pytest.raises(ValueError, match="at most 512 fit"):
        omni.pipeline().check_instructions([long])


def test_the_file_names_every_row_that_is_left_out_with_its_line(flux, run, tmp_path, capsys):
    good = [PosterSample(f"good{n}", "text", picture(*SIZE, n), caption="red") for n in range(2)]
    tiny = [PosterSample(f"tiny{n}", "text", picture(20, 30), caption="red") for n in range(5)]
    write(tmp_path / "set", *good, *tiny, PosterSample("broken", "text", picture(*SIZE), caption="red"))
    (tmp_path / "set" / "broken.png").write_bytes(b"no picture")
    posters = open_set(SetConfig(path=str(tmp_path / "set")), run, Posters(SetConfig()))
    encoded_batches(posters, flux, run, SetConfig())
    said, found = capsys.readouterr().out, report(run)
    assert "left out: 6, all named in " in said
    assert "5 would be enlarged more than 1.5 times: tiny0 (20x30); tiny1 (20x30); tiny2 (20x30) and 2 more" in said
    assert [(row["id"], row["line"]) for row in found["left_out"]["would be enlarged more than 1.5 times"]] == [
        (f"tiny{n}", n + 3) for n in range(5)
    ]
    (broken,) = found["left_out"]["cannot be read"]
    assert (broken["id"], broken["line"]) == ("broken", 8)
    assert broken["found"].startswith("broken.png: not an image that posterkit reads (PNG, ")
    assert (found["rows"], found["posters"], found["batches_an_epoch"]) == (8, 2, 0.5)


def test_one_to_three_references_of_mixed_shapes_share_batches_with_their_like_alone(omni, run, tmp_path, capsys):
    shapes = {"one": [(64, 48)], "two": [(64, 48), (48, 64)], "three": [(64, 48), (48, 64), (60, 60)]}
    samples = [
        PosterSample(f"{name}{n}", "style_driven", picture(*SIZE, n), [picture(*shape, 9 * n) for shape in references],
                     instruction=f"Draw a poster in the style of {name} {n}", caption="x")
        for name, references in shapes.items() for n in range({"one": 5, "two": 3, "three": 1}[name])
    ]  # fmt: skip
    write(tmp_path / "set", *samples)
    posters = open_set(SetConfig(path=str(tmp_path / "set")), run, Posters(SetConfig()))
    batches = encoded_batches(posters, omni, run, SetConfig())
    seen: Counter[str] = Counter()
    for batch in itertools.islice(batches, 9):  # four epochs of 9 / 4 batches
        (kind,) = {name.rstrip("0123456789") for name in batch.ids}
        x0, condition = omni.encode(batch)
        assert len(condition.shapes) == 1 + len(shapes[kind]) and len(x0) == 4
        assert condition.references.shape[1] == sum(h * w for _, h, w in condition.shapes[1:])
        assert omni.velocity(x0, x0.new_full((4,), 0.5), condition).shape == x0.shape
        seen.update(batch.ids)
    assert seen == {sample.id: 4 for sample in samples}
    said = capsys.readouterr().out
    assert "64x96 global: 9 posters" in said
    assert (
        "of these 4 posters in 2 shapes of fewer than a batch, which come every few epochs (the rarest every 4)"
        in said
    )
    assert [bucket["references"].__len__() for bucket in report(run)["buckets"]] == [1, 2, 3]


def test_both_sets_of_a_run_stand_in_one_report(flux, run, tmp_path):
    for name in ("first", "second"):
        write(tmp_path / name, PosterSample(name, "text", picture(*SIZE), caption=name))
        posters = open_set(SetConfig(path=str(tmp_path / name)), run, Posters(SetConfig()))
        encoded_batches(posters, flux, run, SetConfig())
    found = json.loads((run.folder / "data_report.json").read_text())
    assert [Path(name).parent.name for name in found] == ["first", "second"]
