"""generate, transform and info through the real pipelines with tiny weights."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from posterkit.cli.main import main
from posterkit.generate.maker import PosterMaker
from posterkit.generate.metadata import is_foreign, read_record, record_id
from posterkit.generate.record import write_png


def run(*argv: object) -> int:
    return main([str(word) for word in argv])


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def test_generate_writes_a_poster_of_the_asked_size_in_four_formats(tmp_path: Path, craft: str) -> None:
    out = tmp_path / "p.png"
    argv = ["generate", 'a "JAZZ" night', "--width", 208, "--height", 304, "--seed", 3, "--model", craft, "-o", out]
    assert run(*argv, "--svg", tmp_path / "p.svg", "--pdf", tmp_path / "p.pdf", "--psd", tmp_path / "p.psd") == 0
    assert Image.open(out).size == (208, 304)
    assert "JAZZ" in (tmp_path / "p.svg").read_text(encoding="utf-8")
    assert (tmp_path / "p.pdf").read_bytes().startswith(b"%PDF")
    assert np.array_equal(pixels(tmp_path / "p.psd"), pixels(out))


def test_the_record_holds_everything_that_made_the_poster(tmp_path: Path, craft: str) -> None:
    out = tmp_path / "p.png"
    argv = ["generate", "waves", "--text", "SURF", "--seed", 3, "--steps", 1, "--guidance", 2, "--model", craft]
    assert run(*argv, "-o", out) == 0
    record = read_record(out)
    row = record["row"]
    assert (row["task"], row["prompt"], row["texts"]) == ("text", "waves", ["SURF"])
    assert (row["seed"], row["steps"], row["guidance"], row["width"], row["height"]) == (3, 1, 2.0, 832, 1216)
    assert record["drawn"]["size"] == [64, 96] and record["enlarged"]["resampler"] == "mitchell-shock"
    assert record["model"]["name"] == craft and len(record["model"]["revision"]) == 16
    assert record["typeset"][0]["text"] == "SURF" and record["source_depth"] == 1
    assert {"torch", "diffusers", "transformers"} <= set(record["versions"])


def test_from_image_makes_the_same_poster_again(tmp_path: Path, craft: str) -> None:
    first, again, other = (tmp_path / name for name in ("a.png", "b.png", "c.png"))
    assert run("generate", 'a "JAZZ" night', "--width", 208, "--height", 304, "--model", craft, "-o", first) == 0
    assert run("generate", "--from-image", first, "-o", again) == 0
    assert np.array_equal(pixels(first), pixels(again))
    assert read_record(first) == read_record(again)
    assert run("generate", "--from-image", first, "--seed", 77, "-o", other) == 0
    assert not np.array_equal(pixels(first), pixels(other)) and read_record(other)["row"]["seed"] == 77


@pytest.mark.parametrize("ending", [".svg", ".pdf", ".psd"])
def test_a_poster_without_texts_is_exported_as_its_picture(tmp_path: Path, craft: str, ending: str) -> None:
    out, also = tmp_path / f"p{ending}", tmp_path / f"also{ending}"
    argv = ["generate", "waves", "--native", "--seed", 1, "--model", craft, "-o", out, f"--{ending[1:]}", also]
    assert run(*argv) == 0
    assert out.read_bytes() == also.read_bytes() and out.stat().st_size > 1000
    assert ending != ".svg" or "<image" in out.read_text(encoding="utf-8")


@pytest.mark.slow
def test_another_prompt_brings_its_own_quoted_texts(tmp_path: Path, craft: str) -> None:
    first, other, same = (tmp_path / name for name in ("a.png", "b.png", "c.png"))
    argv = ["generate", 'a "JAZZ" night', "--text", "8 pm", "--width", 208, "--height", 304, "--model", craft]
    assert run(*argv, "-o", first) == 0
    assert run("generate", "--from-image", first, 'a "BLUES" night', "-o", other) == 0
    assert read_record(other)["row"]["texts"] == ["BLUES", "8 pm"]
    assert run("generate", "--from-image", first, "-o", same) == 0
    assert read_record(same) == read_record(first) and np.array_equal(pixels(first), pixels(same))


def test_a_poster_is_made_again_from_another_folder(
    tmp_path: Path, craft: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    shutil.copytree(craft, tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    argv = ["generate", "x", "--native", "--seed", 1, "--model", "model", "--transformer", "model"]
    assert run(*argv, "-o", "a.png") == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert run("generate", "--from-image", "../a.png", "-o", "b.png") == 0
    assert read_record("b.png") == read_record("../a.png")


def test_from_image_never_writes_over_what_the_poster_was_made_from(
    tmp_path: Path, photo: Path, omni: str, capsys: pytest.CaptureFixture[str]
) -> None:
    first, before = tmp_path / "a.png", photo.read_bytes()
    assert run("transform", "style_driven", photo, "--native", "--seed", 1, "--model", omni, "-o", first) == 0
    for target in (photo, first):
        assert run("generate", "--from-image", first, "-o", target) == 2
        assert f"{target}: -o names an input" in capsys.readouterr().err
    assert photo.read_bytes() == before


def test_from_image_rebuilds_a_transformed_photograph_wherever_both_were_moved(
    tmp_path: Path, photo: Path, omni: str, capsys: pytest.CaptureFixture[str]
) -> None:
    first = tmp_path / "made" / "a.png"
    argv = ["transform", "extending", photo, "--anchor", "10,20", "--width", 260, "--height", 300, "--model", omni]
    assert run(*argv, "-o", first) == 0
    moved = tmp_path.with_name(tmp_path.name + "-moved")
    tmp_path.rename(moved)
    assert run("generate", "--from-image", moved / "made" / "a.png", "-o", moved / "b.png") == 0
    assert np.array_equal(pixels(moved / "made" / "a.png"), pixels(moved / "b.png"))
    capsys.readouterr()

    (moved / photo.name).write_bytes((moved / photo.name).read_bytes() + b"x")
    assert run("generate", "--from-image", moved / "made" / "a.png", "-o", moved / "c.png") == 2
    assert "which has changed since" in capsys.readouterr().err
    (moved / photo.name).unlink()
    assert run("generate", "--from-image", moved / "made" / "a.png", "-o", moved / "c.png") == 2
    assert "which is gone" in capsys.readouterr().err


def test_another_revision_of_the_model_is_said(tmp_path: Path, craft: str, capsys: pytest.CaptureFixture[str]) -> None:
    import shutil

    model = tmp_path / "model"
    shutil.copytree(craft, model)
    assert run("generate", "x", "--native", "--model", model, "-o", tmp_path / "a.png") == 0
    index = json.loads((model / "model_index.json").read_text())
    (model / "model_index.json").write_text(json.dumps(index | {"num_inference_steps": 3}))
    assert run("generate", "--from-image", tmp_path / "a.png", "-o", tmp_path / "b.png") == 0
    assert "is another revision now" in capsys.readouterr().err


@pytest.mark.parametrize("task", ["extending", "rescaling", "id_driven", "layout_driven", "style_driven"])
def test_every_task_makes_a_poster(tmp_path: Path, photo: Path, omni: str, task: str) -> None:
    out = tmp_path / "p.png"
    assert run("transform", task, photo, "--width", 160, "--height", 240, "--model", omni, "-o", out) == 0
    assert Image.open(out).size == (160, 240) and read_record(out)["row"]["task"] == task


def test_extending_keeps_the_photograph_to_the_pixel(tmp_path: Path, photo: Path, omni: str) -> None:
    out = tmp_path / "p.png"
    argv = ["transform", "extending", photo, "--anchor", "31,77", "--width", 300, "--height", 400, "--model", omni]
    assert run(*argv, "-o", out) == 0
    assert np.array_equal(pixels(out)[77:197, 31:211], pixels(photo))


def test_filling_keeps_the_photographs_size_and_all_that_is_not_masked(tmp_path: Path, photo: Path, omni: str) -> None:
    mask = Image.new("L", (180, 120), 0)
    mask.paste(255, (60, 40, 101, 83))
    mask.save(tmp_path / "m.png")
    out = tmp_path / "p.png"
    assert run("transform", "filling", photo, "--mask", tmp_path / "m.png", "--model", omni, "-o", out) == 0
    same = (pixels(out) == pixels(photo)).all(axis=2)
    assert same[np.asarray(mask) == 0].all() and not same[np.asarray(mask) > 0].all()


def test_a_poster_of_a_poster_counts_its_generations(
    tmp_path: Path, photo: Path, omni: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source = photo
    for depth in (1, 2, 3):
        out = tmp_path / f"{depth}.png"
        assert run("transform", "style_driven", source, "--native", "--model", omni, "-o", out) == 0
        assert read_record(out)["source_depth"] == depth
        source = out
    assert "has drawn this 2 times; start from the original" in capsys.readouterr().err


def test_info_shows_the_record_as_a_table_and_as_json(
    tmp_path: Path, craft: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "p.png"
    assert run("generate", "waves at dawn", "--seed", 12345, "--native", "--model", craft, "-o", out) == 0
    capsys.readouterr()
    assert run("info", out) == 0
    shown = capsys.readouterr().out
    assert "waves at dawn" in shown and "12345" in shown and "--from-image" in shown
    assert run("info", out, "--json") == 0
    assert json.loads(capsys.readouterr().out) == read_record(out)


def test_a_damaged_record_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.png"
    for record in ({}, {"row": {"images": [3]}}, {"row": {}, "model": {}, "drawn": {}, "enlarged": {}}):
        write_png(Image.new("RGB", (4, 4)), path, record)
        assert run("info", path) == 2
        assert capsys.readouterr().err == f"posterkit: {path}: its record is damaged\n"


@pytest.mark.parametrize(("option", "said"), [("preserve", "own, its outline by rules"), ("no-preserve", "anew")])
def test_info_says_whether_a_subject_keeps_its_pixels(
    tmp_path: Path, omni: str, capsys: pytest.CaptureFixture[str], option: str, said: str
) -> None:
    picture = Image.new("RGBA", (48, 48))
    picture.paste("red", (12, 12, 36, 36))
    picture.save(tmp_path / "cup.png")
    out = tmp_path / "poster.png"
    command = ["transform", "id_driven", tmp_path / "cup.png", f"--{option}", "--native", "--model", omni]
    command += ["--draft", "auto"] if option == "preserve" else []
    assert run(*command, "-o", out) == 0
    assert run("info", out) == 0
    shown = capsys.readouterr().out
    (line,) = (line for line in shown.splitlines() if line.split()[:1] == ["pixels"])
    assert line.rstrip().endswith(said)
    assert ("a studio around the subject" in shown) == (option == "preserve")


def test_the_line_that_makes_a_poster_again_can_be_pasted(
    tmp_path: Path, craft: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "my first poster.png"
    assert run("generate", "x", "--native", "--model", craft, "-o", out) == 0
    capsys.readouterr()
    assert run("info", out) == 0
    line = capsys.readouterr().out.rstrip().splitlines()[-1].partition(": posterkit ")[2]
    assert run(*shlex.split(line)[:-1], tmp_path / "again.png") == 0
    assert read_record(tmp_path / "again.png") == read_record(out)


def test_generate_without_a_seed_says_which_one_it_took(
    tmp_path: Path, craft: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("generate", "x", "--native", "--model", craft, "-o", tmp_path / "p.png") == 0
    assert f"seed {read_record(tmp_path / 'p.png')['row']['seed']}" in capsys.readouterr().out


def test_an_expanded_prompt_is_recorded_and_comes_back_without_expanding_again(tmp_path: Path, craft: str) -> None:
    first, again = tmp_path / "a.png", tmp_path / "b.png"
    argv = ["generate", 'a jazz concert "BLUE"', "--expand", "rules", "--native", "--seed", 1, "--model", craft]
    assert run(*argv, "-o", first) == 0
    row = read_record(first)["row"]
    assert row["prompt"] == 'a jazz concert "BLUE"' and '"BLUE"' in row["expanded"]
    assert len(row["expanded"]) > len(row["prompt"]) and row["texts"] == ["BLUE"]
    assert run("generate", "--from-image", first, "-o", again) == 0
    assert np.array_equal(pixels(first), pixels(again))


def test_an_expansion_that_was_refused_is_not_recorded(
    tmp_path: Path, craft: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "a.png"
    argv = ["generate", "waves", "--expand", tmp_path / "no model", "--native", "--seed", 1, "--model", craft]
    assert run(*argv, "-o", out) == 0
    assert read_record(out)["row"]["expanded"] is None
    assert "the prompt stays as it is" in capsys.readouterr().err


def test_a_local_language_model_runs_where_the_poster_is_drawn(
    tmp_path: Path, craft: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from posterkit.pipelines import presets
    from posterkit.prompts import Expansion
    from posterkit.prompts import expansion as expand

    asked = []
    card = presets.Hardware(torch.device("cuda:1"), "a card", 24.0, 64.0)
    real = presets.hardware
    monkeypatch.setattr(presets, "hardware", lambda device=None: card if device is None else real(device))
    answer = Expansion("waves at dawn", "waves", "model", True)
    monkeypatch.setattr(expand, "expand_prompt", lambda *_, device: asked.append(device) or answer)
    monkeypatch.setattr(PosterMaker, "plan", lambda *_: (_ for _ in ()).throw(ValueError("enough")))
    argv = ["generate", "waves", "--expand", "folder", "--model", craft, "-o", tmp_path / "a.png"]
    assert run(*argv) == 2 and run(*argv, "--device", "cpu") == 2
    assert asked == ["cuda:1", "cpu"]


def test_a_negative_prompt_changes_a_text_poster(tmp_path: Path, craft: str) -> None:
    argv = ["generate", "waves", "--native", "--seed", 1, "--model", craft]
    assert run(*argv, "-o", tmp_path / "a.png") == 0
    assert run(*argv, "--negative-prompt", "people", "-o", tmp_path / "b.png") == 0
    assert not np.array_equal(pixels(tmp_path / "a.png"), pixels(tmp_path / "b.png"))


def test_a_script_that_the_model_cannot_draw_is_typeset_with_a_note(
    tmp_path: Path, craft: str, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    model = tmp_path / "model"
    shutil.copytree(craft, model)
    (model / "README.md").write_text("---\nlanguage: en\n---\nA model.\n", encoding="utf-8")
    out = tmp_path / "p.png"
    argv = ["generate", "waves", "--text", "SURF", "--text", "ПРИБОЙ", "--width", 208, "--height", 304, "--seed", 1]
    assert run(*argv, "--model", model, "-o", out) == 0
    record = read_record(out)
    assert [text["text"] for text in record["typeset"]] == ["ПРИБОЙ"]
    assert '"SURF"' in record["drawn"]["words"] and "ПРИБОЙ" not in record["drawn"]["words"]
    assert "cannot draw 'ПРИБОЙ' (cyrillic)" in capsys.readouterr().err


def test_a_photograph_that_would_be_a_stamp_is_enlarged_with_a_note(
    tmp_path: Path, omni: str, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = tmp_path / "small.png"
    Image.new("RGB", (60, 40), (200, 30, 30)).save(photo)
    argv = ["transform", "extending", photo, "--width", 248, "--height", 351, "--model", omni]
    assert run(*argv, "-o", tmp_path / "a.png") == 0
    said = capsys.readouterr().err
    assert "the photo is 60x40 and the poster 248x351: it is enlarged 4.1 times and will look soft" in said
    wide = (pixels(tmp_path / "a.png") == (200, 30, 30)).all(axis=2)
    assert wide[351 // 2].mean() > 0.95 and wide[:, 124].sum() in range(150, 170)  # from side to side, in its shape
    assert run(*argv, "--anchor", "10,20", "-o", tmp_path / "b.png") == 0  # a place in pixels keeps the size
    assert (pixels(tmp_path / "b.png")[20:60, 10:70] == (200, 30, 30)).all()


def test_another_poster_of_the_same_name_is_not_written_over(
    tmp_path: Path, craft: str, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["generate", "waves", "--native", "--model", craft, "-o", tmp_path / "p.png", "--pdf", tmp_path / "p.pdf"]
    assert run(*argv, "--seed", 1) == 0
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert run(*argv, "--seed", 2) == 0
    assert "p.png is there already and is another file; this poster is" in capsys.readouterr().err
    assert run(*argv, "--seed", 1) == 0  # the same poster again takes its own name
    found = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(found) == {"p.png", "p.pdf", "p-2.png", "p-2.pdf"}
    assert {name: found[name] for name in first} == first


@pytest.mark.parametrize("ending", [".svg", ".pdf", ".psd"])
def test_a_vector_poster_carries_its_record_and_is_made_again_from_it(
    tmp_path: Path, craft: str, ending: str, capsys: pytest.CaptureFixture[str]
) -> None:
    first, again = tmp_path / f"a{ending}", tmp_path / "b.png"
    argv = ["generate", 'a "R&B <live>" night', "--width", 208, "--height", 304, "--seed", 3, "--model", craft]
    assert run(*argv, "-o", first, "--svg", tmp_path / "same.svg") == 0
    assert read_record(first)["row"]["texts"] == ["R&B <live>"]
    assert run("generate", "--from-image", first, "-o", again) == 0
    assert read_record(again) == read_record(first)
    assert run("info", first) == 0 and "R&B <live>" in capsys.readouterr().out
    assert not is_foreign(first) and record_id(first) == read_record(again)["id"]
    first.write_bytes(first.read_bytes()[:-100])
    assert record_id(first) is None  # cut off by a full disk
    Path(tmp_path / "theirs.svg").write_text("<svg/>")
    assert is_foreign(tmp_path / "theirs.svg")
