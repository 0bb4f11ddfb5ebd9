"""batch through the real pipelines: good rows get posters, bad rows their lines, nothing is made twice."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import bomb, grain
from PIL import Image

from posterkit.batch.claims import LOCK, FolderClaims
from posterkit.cli.main import main
from posterkit.generate import maker, record
from posterkit.generate.metadata import read_record

SMALL = ("--width", "96", "--height", "144")


def run(*argv: object) -> int:
    return main([str(word) for word in argv])


def ledger(out: Path) -> dict[str, dict[str, Any]]:
    lines = [json.loads(line) for line in (out / "ledger.jsonl").read_text(encoding="utf-8").splitlines()]
    return {line["row"]: line for line in lines}


def contents(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.glob("*.png") if path.name != "contact_sheet.png"}


def times(out: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in out.glob("*.png") if path.name != "contact_sheet.png"}


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A folder as designers have them."""
    folder = tmp_path / "photos"
    (folder / "mascot").mkdir(parents=True)
    photo = Image.fromarray(grain(90, 60))
    turned = Image.Exif()
    turned[0x0112] = 6
    photo.save(folder / "turned.jpg", exif=turned)
    photo.convert("CMYK").save(folder / "print.tif")
    Image.fromarray(grain(90, 60)[..., 0].astype(np.uint16) * 257).save(folder / "deep.png")
    photo.save(folder / "same.png")
    photo.save(folder / "same.webp")
    photo.save(folder / "moving.gif", save_all=True, append_images=[Image.fromarray(grain(90, 60, seed=1))])
    photo.save(folder / "mascot" / "one.png")
    (folder / "same.txt").write_text("by the sea", encoding="utf-8")
    (folder / "notes.docx").write_bytes(b"PK")
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "bomb.png").write_bytes(bomb())
    photo.save(folder / "cut.jpg")
    (folder / "cut.jpg").write_bytes((folder / "cut.jpg").read_bytes()[:-400])
    (folder / "text.png").write_text("this is no picture")
    return folder


GOOD = {"turned.jpg", "print.tif", "deep.png", "same.png", "same.webp", "moving.gif", "mascot/"}
BAD = {"notes.docx", "empty.jpg", "bomb.png", "cut.jpg", "text.png"}


@pytest.mark.slow
def test_a_mixed_folder_gives_every_good_file_a_poster_and_every_bad_one_a_line(
    tmp_path: Path, mixed: Path, omni: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run("batch", mixed, "--task", "id_driven", "-o", out, *SMALL, "--model", omni) == 1
    lines = ledger(out)
    assert {row for row, line in lines.items() if line["status"] == "done"} == GOOD
    assert {row for row, line in lines.items() if line["status"] == "failed"} == BAD
    assert all(lines[row]["why"] for row in BAD)
    names = {"turned.png", "print.png", "deep.png", "same.png", "same-2.png", "moving.png", "mascot.png"}
    assert set(contents(out)) == names and (out / "contact_sheet.png").is_file()
    assert all(Image.open(out / name).size == (96, 144) for name in names)
    assert "2 frames" in lines["moving.gif"]["notes"][0]
    assert read_record(out / "same.png")["row"]["prompt"] == "by the sea"
    shown = capsys.readouterr()
    assert "7 made, 0 made before, 5 failed, of 12 rows" in shown.out
    assert all(row in shown.err for row in BAD)


@pytest.mark.slow
def test_a_second_run_makes_nothing_again_and_tries_only_what_failed(tmp_path: Path, mixed: Path, omni: str) -> None:
    out = tmp_path / "out"
    argv = ("batch", mixed, "--task", "id_driven", "-o", out, *SMALL, "--model", omni)
    assert run(*argv) == 1
    before, lines = times(out), ledger(out)
    for name in BAD:
        (mixed / name).unlink()
    Image.fromarray(grain(90, 60)).save(mixed / "cut.jpg")
    assert run(*argv) == 0
    after = times(out)
    assert {name: after[name] for name in before} == before and set(after) - set(before) == {"cut.png"}
    assert ledger(out)["same.png"] == lines["same.png"] and set(ledger(out)) == GOOD | {"cut.jpg"}


@pytest.mark.slow
def test_changed_words_or_a_changed_picture_make_a_poster_beside_the_earlier_one(
    tmp_path: Path, mixed: Path, omni: str
) -> None:
    for name in BAD:
        (mixed / name).unlink()
    out = tmp_path / "out"
    argv = ("batch", mixed, "--task", "id_driven", "-o", out, *SMALL, "--model", omni)
    assert run(*argv) == 0
    before, files, earlier = times(out), contents(out), ledger(out)
    (mixed / "same.txt").write_text("in the hills", encoding="utf-8")  # belongs to same.png and same.webp
    Image.fromarray(grain(91, 60)).save(mixed / "deep.png")
    assert run(*argv) == 0
    after = times(out)
    assert {name: after[name] for name in before} == before and {name: contents(out)[name] for name in files} == files
    assert set(after) - set(before) == {"same-3.png", "same-2-2.png", "deep-2.png"}
    lines = [json.loads(line) for line in (out / "ledger.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line for line in lines if line["out"] in ("same.png", "deep.png")] == [
        earlier["deep.png"], earlier["same.png"]
    ]  # fmt: skip
    assert ledger(out)["deep.png"]["notes"][-1] == "deep.png is another poster; this one is deep-2.png"
    assert run(*argv) == 0 and times(out) == after  # and each is found again under its name


@pytest.mark.slow
def test_another_text_on_the_same_photographs_leaves_the_first_posters_alone(tmp_path: Path, omni: str) -> None:
    folder, out = tmp_path / "photos", tmp_path / "out"
    folder.mkdir()
    for name in ("a", "b"):
        Image.fromarray(grain(90, 60)).save(folder / f"{name}.png")
    argv = ("batch", folder, "--task", "extending", "-o", out, *SMALL, "--model", omni)
    assert run(*argv, "--text", "SPRING") == 0
    first = contents(out)
    assert run(*argv, "--text", "AUTUMN") == 0
    both = contents(out)
    assert {name: both[name] for name in first} == first and set(both) == {"a.png", "b.png", "a-2.png", "b-2.png"}
    said = {name: read_record(out / name)["typeset"][0]["text"] for name in both}
    assert said == {"a.png": "SPRING", "b.png": "SPRING", "a-2.png": "AUTUMN", "b-2.png": "AUTUMN"}


def manifest(folder: Path, rows: list[Any]) -> Path:
    path = folder / "jobs.jsonl"
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), encoding="utf-8")
    return path


def test_a_manifest_names_its_faulty_rows_and_makes_the_others(tmp_path: Path, craft: str) -> None:
    rows = [
        {"prompt": "waves", "texts": ["SURF"], "out": "surf.png", "seed": 1}, {"prompt": "x", "widht": 3}, "{broken",
        {"prompt": "hills"}, {"prompt": "again", "out": "surf.png"},
    ]  # fmt: skip
    out = tmp_path / "out"
    assert run("batch", manifest(tmp_path, rows), "-o", out, *SMALL, "--model", craft) == 1
    lines = ledger(out)
    assert [lines[f"jobs.jsonl:{n}"]["status"] for n in range(1, 6)] == ["done", "failed", "failed", "done", "failed"]
    assert 'did you mean "width"?' in lines["jobs.jsonl:2"]["why"]
    assert set(contents(out)) == {"surf.png", "poster-0004.png"}
    assert read_record(out / "surf.png")["typeset"][0]["text"] == "SURF"


def test_no_file_of_the_users_is_replaced(tmp_path: Path, omni: str, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("cat.png", "dog.png", "contact_sheet.png"):
        Image.fromarray(grain(90, 60)).save(tmp_path / name)
    before = contents(tmp_path) | {"sheet": (tmp_path / "contact_sheet.png").read_bytes()}
    same = {"task": "id_driven", "images": ["cat.png"]}
    rows = [same, same | {"out": "dog.png"}, same | {"out": "ours.png"}]
    argv = ("batch", manifest(tmp_path, rows), "-o", tmp_path, *SMALL, "--model", omni)
    assert run(*argv) == 1
    after = contents(tmp_path) | {"sheet": (tmp_path / "contact_sheet.png").read_bytes()}
    assert {name: after[name] for name in before} == before and set(after) - set(before) == {"ours.png"}
    lines = ledger(tmp_path)
    assert "cat.png is an input of this run; choose another -o or out" in lines["jobs.jsonl:1"]["why"]
    assert "dog.png is there already and is no poster of posterkit" in lines["jobs.jsonl:2"]["why"]
    shown = capsys.readouterr()
    assert "no contact sheet is written" in shown.err and "contact_sheet.png" not in shown.out

    # a poster that is the source of another one is an input too, once it would be made anew
    rows = [same | {"out": "ours.png", "seed": 7}, same | {"images": ["ours.png"], "out": "next.png"}]
    made = (tmp_path / "ours.png").read_bytes()
    assert run(*argv[:1], manifest(tmp_path, rows), *argv[2:]) == 1
    assert (tmp_path / "ours.png").read_bytes() == made and read_record(tmp_path / "next.png")["source_depth"] == 2


@pytest.mark.parametrize("left", [0, -40, *(pytest.param(size, marks=pytest.mark.slow) for size in (30, 200))])
def test_a_poster_that_was_cut_off_is_made_again(tmp_path: Path, craft: str, left: int) -> None:
    out = tmp_path / "out"
    argv = ("batch", manifest(tmp_path, [{"prompt": "x"}]), "-o", out, "--native", "--model", craft)
    assert run(*argv) == 0
    whole = contents(out)
    (out / "poster-0001.png").write_bytes(whole["poster-0001.png"][:left])
    assert run(*argv) == 0
    assert contents(out) == whole


@pytest.mark.parametrize("theirs", ['{"prompt": "x"}\n', "takings, July\n", "[1]\n", '{"row": "a"}\n', "3\n"])
def test_a_ledger_of_something_else_stops_the_call(
    tmp_path: Path, craft: str, theirs: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = manifest(tmp_path, [{"prompt": "x"}])
    (tmp_path / "ledger.jsonl").write_text(theirs)
    assert run("batch", path, "-o", tmp_path, "--model", craft) == 2
    assert "ledger.jsonl: is no ledger of posterkit; choose another -o" in capsys.readouterr().err
    assert (tmp_path / "ledger.jsonl").read_text() == theirs and not contents(tmp_path)


@pytest.mark.slow
def test_two_batches_in_one_folder_share_its_rows(tmp_path: Path, craft: str) -> None:
    """The first is halted once it has made a poster and goes on once the other has made one too."""
    path = manifest(tmp_path, [{"prompt": f"poster {n}"} for n in range(24)])
    argv = ["batch", str(path), "--model", craft, "--steps", "6", *SMALL]
    out, whole = tmp_path / "out", tmp_path / "whole"
    first = _start([*argv, "-o", str(out)])
    _wait_for_first(out, first)
    first.send_signal(signal.SIGSTOP)
    there, until = set(contents(out)), time.monotonic() + 120
    second = _start([*argv, "-o", str(out)])
    while set(contents(out)) == there and time.monotonic() < until:
        time.sleep(0.02)
    first.send_signal(signal.SIGCONT)
    both = first, second
    said = [process.communicate(timeout=240) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    made = [int(re.match(r"(\d+) made, ", shown)[1]) for shown, _ in said]  # type: ignore[index]
    assert sum(made) == 24 and all(made), said
    assert main([*argv, "-o", str(whole)]) == 0
    assert contents(out) == contents(whole) and len(ledger(out)) == 24


def test_a_row_that_another_batch_makes_is_waited_for(
    tmp_path: Path, craft: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    argv = ("batch", manifest(tmp_path, [{"prompt": "x"}, {"prompt": "y"}]), "--native", "--model", craft)
    assert run(*argv, "-o", tmp_path / "theirs") == 0
    capsys.readouterr()
    other = FolderClaims(out)
    assert other.take("poster-0002.png")

    def finish() -> None:
        until = time.monotonic() + 60
        while "poster-0001.png" not in contents(out) and time.monotonic() < until:
            time.sleep(0.02)
        (out / "poster-0002.png").write_bytes((tmp_path / "theirs" / "poster-0002.png").read_bytes())
        other.give_back("poster-0002.png")

    thread = threading.Thread(target=finish)
    thread.start()
    assert run(*argv, "-o", out) == 0
    thread.join()
    assert "1 made, 1 made before, 0 failed" in capsys.readouterr().out


def test_a_full_disk_ends_the_run_with_a_summary(
    tmp_path: Path, craft: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    saved, save = [], record.FinishedPoster.save

    def until_full(poster: record.FinishedPoster, path: Path, **how: object) -> None:
        saved.append(path)
        if len(saved) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        save(poster, path)

    out = tmp_path / "out"
    argv = ("batch", manifest(tmp_path, [{"prompt": f"p {n}"} for n in range(5)]), "-o", out, "--native")
    with monkeypatch.context() as patch:
        patch.setattr(record.FinishedPoster, "save", until_full)
        assert run(*argv, "--model", craft, "--batch-size", 1) == 1
    shown = capsys.readouterr()
    assert len(saved) == 2 and "1 made, 0 made before, 0 failed, of 5 rows" in shown.out
    assert "the disk is full, 4 rows are left; free some space" in shown.err
    assert run(*argv, "--model", craft) == 0 and len(contents(out)) == 5


def test_a_disk_that_is_full_for_the_contact_sheet_alone_leaves_no_rows(
    tmp_path: Path, craft: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*of_any: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("posterkit.batch.engines.write_sheet", full)
    source = manifest(tmp_path, [{"prompt": "p"}])
    assert run("batch", source, "-o", tmp_path / "out", "--native", "--model", craft) == 0
    shown = capsys.readouterr()
    assert "1 made" in shown.out and "the disk is full, the contact sheets are not whole; free some" in shown.err


def test_a_ledger_torn_inside_a_letter_and_rows_that_moved_are_read(tmp_path: Path, craft: str) -> None:
    out = tmp_path / "out"
    options = ("-o", out, "--native", "--model", craft)
    rows = [{"prompt": "夜", "out": "a.png"}, {"prompt": "x", "out": "b.png"}]
    assert run("batch", manifest(tmp_path, rows), *options) == 0
    lines = ledger(out)
    with (out / "ledger.jsonl").open("ab") as file:
        file.write('{"row": "夜'.encode()[:-1])
    assert run("batch", manifest(tmp_path, [{"prompt": "new", "out": "c.png"}, *rows]), *options) == 0
    for was, now in ((1, 2), (2, 3)):
        moved = ledger(out)[f"jobs.jsonl:{now}"]
        assert moved == lines[f"jobs.jsonl:{was}"] | {"row": f"jobs.jsonl:{now}"}


def test_a_name_that_is_not_utf_8_stops_nobody(tmp_path: Path, omni: str) -> None:
    folder, out = tmp_path / "photos", tmp_path / "out"
    folder.mkdir()
    try:
        Image.fromarray(grain(90, 60)).save(folder / "caf\udce9.png")
    except (OSError, UnicodeError):
        pytest.skip("this file system takes only UTF-8 names")
    (folder / "t\udce9.docx").write_bytes(b"PK")
    Image.fromarray(grain(90, 60)).save(folder / "tea.png")
    argv = ("batch", folder, "--task", "id_driven", "-o", out, *SMALL, "--model", omni)
    assert run(*argv) == 1
    lines = ledger(out)
    assert {row for row, line in lines.items() if line["status"] == "done"} == {"caf\udce9.png", "tea.png"}
    assert (out / "contact_sheet.png").is_file()
    made = times(out)
    assert run(*argv) == 1 and times(out) == made
    again = out / "\udcff.png"
    assert run("generate", "--from-image", out / "caf\udce9.png", "-o", again) == 0
    assert run("info", again) == 0 and run("info", again, "--json") == 0


def test_a_row_that_cannot_be_finished_costs_no_other_row(
    tmp_path: Path, craft: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    draw = maker.draw_prepared
    monkeypatch.setattr(maker, "draw_prepared", lambda *args: calls.append(len(args[1])) or draw(*args))
    rows = [{"prompt": "x"}, {"prompt": "x", "texts": ["far too long a text " * 40]}, {"prompt": "x", "texts": ["A"]}]
    out = tmp_path / "out"
    assert run("batch", manifest(tmp_path, rows), "-o", out, "--native", "--model", craft, "--batch-size", 8) == 1
    lines = ledger(out)
    assert [line["status"] for line in lines.values()] == ["done", "failed", "done"]
    assert calls == [2]  # what cannot be set is refused before anything is drawn
    assert lines["jobs.jsonl:2"]["why"] and set(contents(out)) == {"poster-0001.png", "poster-0003.png"}


@pytest.mark.slow
def test_rows_drawn_together_equal_rows_drawn_alone(tmp_path: Path, craft: str) -> None:
    path = manifest(tmp_path, [{"prompt": f"poster {n}"} for n in range(5)])
    assert run("batch", path, "-o", tmp_path / "a", "--native", "--model", craft, "--batch-size", 5) == 0
    assert run("batch", path, "-o", tmp_path / "b", "--native", "--model", craft, "--batch-size", 1) == 0
    together, alone = contents(tmp_path / "a"), contents(tmp_path / "b")
    assert set(together) == set(alone) and len(together) == 5
    for name in together:
        a, b = (np.asarray(Image.open(tmp_path / folder / name)).astype(int) for folder in ("a", "b"))
        assert np.abs(a - b).max() <= 1  # a batch multiplies in another order


def test_photographs_of_different_shapes_are_extended_in_one_call_each_kept_to_the_pixel(
    tmp_path: Path, omni: str
) -> None:
    folder, out = tmp_path / "photos", tmp_path / "out"
    folder.mkdir()
    sizes = {"a": (90, 60), "b": (50, 140), "c": (60, 60)}
    for name, size in sizes.items():
        Image.fromarray(grain(*size)).save(folder / f"{name}.png")
    argv = ("batch", folder, "--task", "extending", "-o", out, "--anchor", "top-left", "--model", omni)
    assert run(*argv, "--width", 160, "--height", 240, "--batch-size", 3) == 0
    for name, (width, height) in sizes.items():
        made = np.asarray(Image.open(out / f"{name}.png"))
        assert np.array_equal(made[:height, :width], grain(width, height))


@pytest.mark.slow
def test_a_row_made_again_from_its_poster_is_the_same(tmp_path: Path, mixed: Path, omni: str) -> None:
    out = tmp_path / "out"
    argv = ("batch", mixed, "--task", "extending", "-o", out, "--anchor", "top", *SMALL, "--model", omni)
    run(*argv, "--batch-size", 1)
    assert run("generate", "--from-image", out / "deep.png", "-o", tmp_path / "again.png") == 0
    assert np.array_equal(np.asarray(Image.open(out / "deep.png")), np.asarray(Image.open(tmp_path / "again.png")))


def test_a_rows_lora_works_on_that_row_alone(tmp_path: Path, craft: str) -> None:
    import torch
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    from posterkit import PosterCraftPipeline

    pipe = PosterCraftPipeline.from_pretrained(craft)
    torch.manual_seed(0)
    pipe.transformer.add_adapter(LoraConfig(r=2, init_lora_weights=False, target_modules=["to_q", "to_v"]))
    pipe.save_lora_weights(tmp_path, transformer_lora_layers=get_peft_model_state_dict(pipe.transformer))
    (lora,) = tmp_path.glob("*.safetensors")
    same = {"prompt": "waves", "seed": 1}
    rows = [same, same | {"lora": lora.name}, same | {"lora": f"{lora.name}=0"}, same | {"lora": "none.safetensors"}]
    out = tmp_path / "out"
    assert run("batch", manifest(tmp_path, rows), "-o", out, "--native", "--model", craft) == 1
    plain, with_lora, weightless = (np.asarray(Image.open(out / f"poster-000{n}.png")) for n in (1, 2, 3))
    assert (plain != with_lora).any() and np.array_equal(plain, weightless)
    lines = ledger(out)
    assert lines["jobs.jsonl:4"]["status"] == "failed" and "none.safetensors" in lines["jobs.jsonl:4"]["why"]
    assert len({line["id"] for line in lines.values()}) == 4


def test_masks_in_the_folder_are_used(tmp_path: Path, omni: str) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a", "b", "c"):
        Image.fromarray(grain(96, 64)).save(folder / f"{name}.png")
    hole = Image.new("L", (96, 64), 0)
    hole.paste(255, (20, 20, 50, 40))
    hole.save(folder / "a.mask.png")
    Image.new("L", (10, 10), 255).save(folder / "b.mask.png")
    out = tmp_path / "out"
    assert run("batch", folder, "--task", "filling", "-o", out, "--model", omni) == 1
    lines = ledger(out)
    assert lines["a.png"]["status"] == "done" and set(contents(out)) == {"a.png"}
    assert "the mask is 10x10, its image 96x64" in lines["b.png"]["why"] and "needs a mask" in lines["c.png"]["why"]
    kept = np.asarray(hole) == 0
    assert np.array_equal(np.asarray(Image.open(out / "a.png"))[kept], grain(96, 64)[kept])


def test_rows_of_both_kinds_with_one_model_are_a_wrong_call(
    tmp_path: Path, photo: Path, craft: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = manifest(tmp_path, [{"prompt": "x"}, {"task": "style_driven", "images": [photo.name]}])
    assert run("batch", path, "-o", tmp_path / "out", "--model", craft) == 2
    assert "these rows are of both kinds" in capsys.readouterr().err


def _start(argv: list[str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "posterkit.cli.main", *argv]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _wait_for_first(out: Path, process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 120
    while not contents(out) and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    assert contents(out), process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_a_batch_that_was_stopped_goes_on_where_it_was(tmp_path: Path, craft: str, how: signal.Signals) -> None:
    # the second takes long, so that the signal comes while it is drawn
    rows = [{"prompt": f"poster {n}", "steps": 400 if n == 1 else 2} for n in range(6)]
    argv = ["batch", str(manifest(tmp_path, rows)), "--model", craft, "--batch-size", "1", *SMALL]
    out, whole = tmp_path / "out", tmp_path / "whole"
    process = _start([*argv, "-o", str(out)])
    _wait_for_first(out, process)
    process.send_signal(how)
    _, said = process.communicate(timeout=120)
    made = contents(out)
    assert 1 <= len(made) < 6, said
    if how is not signal.SIGKILL:
        assert process.returncode == 1 and "the same command goes on from here" in said
        assert set(made) == {line["out"] for line in ledger(out).values()} and (out / "contact_sheet.png").is_file()
    before = times(out)

    assert main([*argv, "-o", str(out)]) == 0
    after = times(out)
    assert {name: after[name] for name in before} == before
    assert main([*argv, "-o", str(whole)]) == 0
    assert contents(out) == contents(whole) and len(contents(out)) == 6
    assert {row: line["id"] for row, line in ledger(out).items()} == {
        row: line["id"] for row, line in ledger(whole).items()
    }
    assert not list(out.glob(".*.tmp"))


@pytest.mark.slow
def test_a_shard_makes_its_rows_and_the_shards_together_all_of_them(
    tmp_path: Path, craft: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = manifest(tmp_path, [{"prompt": f"poster {n}"} for n in range(5)])
    argv = ("batch", path, "--native", "--model", craft)
    assert run(*argv, "-o", tmp_path / "whole") == 0
    assert run(*argv, "-o", tmp_path / "out", "--shard", "2/2") == 0
    assert set(contents(tmp_path / "out")) == {"poster-0002.png", "poster-0004.png"}
    assert "2 made, 0 made before, 0 failed, of part 2/2 of 5 rows" in capsys.readouterr().out
    assert run(*argv, "-o", tmp_path / "out", "--shard", "1/2") == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert list(ledger(tmp_path / "out")) == [f"jobs.jsonl:{n}" for n in range(1, 6)]


@pytest.mark.slow
def test_several_devices_share_the_rows(
    tmp_path: Path, craft: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """This process draws nothing until the other one has made a poster."""
    path = manifest(tmp_path, [{"prompt": f"poster {n}"} for n in range(10)])
    argv = ("batch", path, "--model", craft, "--steps", 6, *SMALL, "-o", tmp_path / "out")
    draw = maker.draw_prepared

    def draw_second(*given: Any) -> Any:
        until = time.monotonic() + 120
        while not contents(tmp_path / "out") and time.monotonic() < until:
            time.sleep(0.02)
        return draw(*given)

    monkeypatch.setattr(maker, "draw_prepared", draw_second)
    assert run(*argv, "--device", "cpu,cpu") == 0
    said = capsys.readouterr().out
    made = int(re.match(r"(\d+) made, ", said)[1])  # type: ignore[index]
    assert "0 failed, of 10 rows" in said and 0 < made < 10, said
    assert len(contents(tmp_path / "out")) == len(ledger(tmp_path / "out")) == 10
    assert run(*argv, "--device", "cpu") == 0 and "0 made, 10 made before" in capsys.readouterr().out
    assert run(*argv, "--device", "cpu,cpu", "--shard", "1/2") == 2


@pytest.mark.slow
def test_several_sizes_of_a_row_show_one_picture_and_are_made_up_for(tmp_path: Path, craft: str) -> None:
    out = tmp_path / "out"
    rows = [{"prompt": "waves", "texts": ["SURF"], "out": "surf.png"}, {"prompt": "hills", "sizes": ["96x96"]}]
    argv = ("batch", manifest(tmp_path, rows), "-o", out, "--model", craft, "--sizes", "96x144,240x60,48x72mm")
    assert run(*argv, "--dpi", 72) == 0
    names = {"surf-96x144.png", "surf-240x60.png", "surf-48x72mm.png", "poster-0002-96x96.png"}
    assert set(contents(out)) == names
    assert Image.open(out / "surf-240x60.png").size == (240, 60)
    assert Image.open(out / "surf-48x72mm.png").size == (136, 204)
    seeds = {name: read_record(out / name)["row"]["seed"] for name in names}
    assert len({seed for name, seed in seeds.items() if name.startswith("surf")}) == 1
    before = contents(out)
    (out / "surf-240x60.png").unlink()
    assert run(*argv, "--dpi", 72) == 0 and contents(out) == before


@pytest.mark.slow
def test_posters_are_written_as_svg_and_pdf_too(tmp_path: Path, craft: str) -> None:
    out = tmp_path / "out"
    rows = [{"prompt": "x", "texts": ["A"], "out": "a.png"}, {"prompt": "y", "texts": ["B"], "out": "b.pdf"}]
    argv = ("batch", manifest(tmp_path, rows), "-o", out, *SMALL, "--model", craft)
    assert run(*argv, "--svg") == 0
    names = {"a.png", "a.svg", "b.pdf", "b.svg"}
    assert {path.name for path in out.iterdir()} == {
        *names,
        "ledger.jsonl",
        "contact_sheet.png",
        "contact_sheet.html",
        LOCK,
    }
    assert {read_record(out / name)["row"]["prompt"] for name in ("a.png", "a.svg")} == {"x"}
    assert read_record(out / "b.pdf")["id"] == read_record(out / "b.svg")["id"]
    before = {name: (out / name).stat().st_mtime_ns for name in names}
    assert run(*argv, "--svg") == 0
    assert {name: (out / name).stat().st_mtime_ns for name in names} == before
    (out / "a.svg").unlink()
    assert run(*argv, "--svg") == 0 and (out / "a.svg").is_file() and not (out / "a-2.png").exists()
    (out / "a.pdf").write_bytes(b"a flyer of theirs")
    assert run(*argv, "--pdf") == 0 and (out / "a.pdf").read_bytes() == b"a flyer of theirs"


def test_a_file_beside_a_poster_never_takes_the_name_of_another_rows_result(tmp_path: Path, craft: str) -> None:
    out = tmp_path / "out"
    rows = [{"prompt": "x", "texts": ["A"], "out": "a.png"}, {"prompt": "y", "texts": ["B"], "out": "a.svg"}]
    argv = ("batch", manifest(tmp_path, rows), "-o", out, *SMALL, "--model", craft, "--svg")
    for _ in range(2):
        assert run(*argv) == 0
        assert [read_record(out / name)["row"]["prompt"] for name in ("a.png", "a.svg")] == ["x", "y"]
        assert not list(out.glob("a-2*"))
    first = json.loads((out / "ledger.jsonl").read_text().splitlines()[0])
    assert first["out"] == "a.png" and any("another row's result" in note for note in first["notes"])
