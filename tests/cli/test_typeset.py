"""posterkit typeset, and a designer's words in the other commands."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pikepdf
import pytest
import skimage.data
from PIL import Image
from press_profile import write_press_profile

from posterkit.cli.main import main
from posterkit.generate.metadata import read_record
from posterkit.generate.obstacles import find_obstacles, find_subject


def run(*argv: object) -> int:
    return main([str(word) for word in argv])


@pytest.fixture
def cup(tmp_path: Path) -> Path:
    Image.fromarray(skimage.data.coffee()).save(tmp_path / "cup.png")
    return tmp_path / "cup.png"


@pytest.mark.slow
def test_texts_are_set_on_a_picture_and_written_in_every_format(
    tmp_path: Path, cup: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [tmp_path / f"p.{ending}" for ending in ("pdf", "svg", "png")]
    argv = ["typeset", cup, "--text", "-70%", "--text", "Winter sale", "--role", "title", "--role", "subtitle"]
    argv += ["--style", "elegant", "--color", "#ffd400", "--align", "left", "--layout", "bottom-stack"]
    assert run(*argv, "-o", names[0], "--svg", names[1]) == 0
    assert "bottom-stack" in capsys.readouterr().out
    assert run(*argv, "-o", names[2]) == 0
    assert Image.open(names[2]).size == (600, 400) and names[0].read_bytes().startswith(b"%PDF")
    svg = names[1].read_text(encoding="utf-8")
    assert "Noto Serif Display" in svg and 'fill="#ffd400"' in svg and svg.index("-70%") < svg.index("Winter sale")


@pytest.mark.parametrize(
    "ending", ["png", "pdf", "psd", *(pytest.param(one, marks=pytest.mark.slow) for one in ("svg", "pptx"))]
)
def test_info_says_what_was_set_and_the_command_that_sets_it_again(
    tmp_path: Path, cup: Path, capsys: pytest.CaptureFixture[str], ending: str
) -> None:
    out = tmp_path / f"p.{ending}"
    argv = ["typeset", cup, "--text", "@cta:-70%", "--text", "it's on", "--color", "#ffd400", "--font", "Bebas Neue"]
    argv += ["--box", "10%,5%,90%,40%", "--box", "60,200,540,300", "-o", out]
    assert run(*argv) == 0
    record, first = read_record(out), out.read_bytes()
    assert [text["text"] for text in record["typeset"]] == record["row"]["texts"] == ["-70%", "it's on"]
    assert record["source_depth"] == 0 and record["row"]["images"][0]["path"] == "cup.png"
    assert run(*argv) == 0 and out.read_bytes() == first and not (tmp_path / f"p-2.{ending}").exists()
    capsys.readouterr()
    assert run("info", out) == 0
    shown = capsys.readouterr().out
    again = tmp_path / f"again.{ending}"
    command = shlex.split(shown.partition("make it again: posterkit ")[2].replace("again.png", str(again)))
    assert run(*command) == 0 and again.read_bytes() == first
    capsys.readouterr()
    assert run("generate", "--from-image", out, "-o", tmp_path / "q.png") == 2
    assert "was typeset and drawn by no model" in capsys.readouterr().err


def test_a_text_may_begin_with_a_dash_and_an_option_stays_one(
    tmp_path: Path, cup: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    svg = tmp_path / "p.svg"
    assert run("typeset", cup, "--text", "-70%", "-o", svg) == 0 and ">-70%<" in svg.read_text(encoding="utf-8")
    assert run("typeset", cup, "--text", "--svg", tmp_path / "q.svg") == 2
    assert "--text: expected one argument" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "typeset needs --text"),
        (
            ["--text", "Party 🎉"],
            "no font has 🎉 (U+1F389 PARTY POPPER); take it out, or give a font file that has it (--font",
        ),
        (["--text", "A", "--role", "title", "--role", "body"], "2 roles for 1 texts"),
        (["--text", "A", "--color", "puce-ish"], "unknown colour 'puce-ish'"),
        (["--text", "A", "--font", "none.ttf"], "none.ttf: no such font file"),
        (["--text", "A", "--box", "1,2"], "is not x0,y0,x1,y1"),
        (["--text", "A", "--box", "0,0,700,50"], "in the 600x400 picture"),
        (["--text", "@titel:SALE"], "unknown mark '@titel:' (did you mean '@title:'?)"),
        (["--text", "A", "--qr", ""], "qr is empty"),
        (["--text", "A", "--box", "-5,0,100,100"], "box '-5,0,100,100' is not x0,y0,x1,y1"),
        (["--text", "A", "--font", "Bebas Neu"], "(did you mean 'Bebas Neue'?)"),
        (["--text", "A", "--brand", "none.yaml"], "posterkit: none.yaml: no such file or directory"),
        (["--text", "A", "--svg", "/etc/hostname/p.svg"], "cannot be written; /etc/hostname is no folder"),
        (["--text", "word " * 500], "does not fit on a 600x400 poster"),
    ],
)
def test_a_wrong_call_is_one_line(
    tmp_path: Path, cup: Path, argv: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("typeset", cup, *argv, "-o", tmp_path / "p.png") == 2
    shown = capsys.readouterr().err
    assert said in shown and shown.count("\n") == 1 and not (tmp_path / "p.png").exists()


def test_how_the_texts_are_set_is_recorded_and_comes_back(tmp_path: Path, craft: str) -> None:
    first, again = tmp_path / "a.png", tmp_path / "b.png"
    argv = ["generate", 'a "SALE" poster', "--text", "@title:-70%", "--style", "slab", "--color", "#d00020"]
    argv += ["--font", "Bebas Neue", "--width", 208, "--height", 304, "--seed", 1, "--model", craft]
    assert run(*argv, "-o", first) == 0
    record = read_record(first)
    assert [(text["text"], text["role"]) for text in record["typeset"]] == [("SALE", "subtitle"), ("-70%", "title")]
    assert record["typeset"][1]["color"] == [0xD0, 0, 0x20] and record["typeset"][1]["font"] == "Bebas Neue"
    assert run("generate", "--from-image", first, "-o", again) == 0
    assert read_record(again) == record and np.array_equal(Image.open(first), Image.open(again))


def test_a_manifest_row_and_the_command_line_set_texts_alike(tmp_path: Path, craft: str) -> None:
    how = {"style": "swiss", "align": "right", "boxes": [["10%", "10%", "90%", "40%"]], "seed": 5}
    (tmp_path / "jobs.jsonl").write_text(json.dumps({"prompt": "waves", "texts": ["SURF"], "out": "a.png", **how}))
    size = ("--width", 208, "--height", 304, "--model", craft)
    assert run("batch", tmp_path / "jobs.jsonl", "-o", tmp_path / "out", *size) == 0
    argv = ["generate", "waves", "--text", "SURF", "--style", "swiss", "--align", "right", "--box", "10%,10%,90%,40%"]
    assert run(*argv, "--seed", 5, *size, "-o", tmp_path / "b.png") == 0
    made, typed = read_record(tmp_path / "out" / "a.png"), read_record(tmp_path / "b.png")
    assert made["typeset"] == typed["typeset"] and made["id"] == typed["id"]


def test_a_face_and_lettering_of_the_picture_are_found() -> None:
    astronaut = Image.fromarray(skimage.data.astronaut())
    (face,) = (thing.box for thing in find_obstacles(astronaut) if thing.kind == "face")
    assert face.x0 < 190 and face.x1 > 265 and face.y0 < 75 and face.y1 > 165  # read off the picture by eye
    assert face.x0 < 140 and face.y0 < 40  # and the hair
    page = Image.fromarray(skimage.data.page()).convert("RGB")
    assert sum(thing.kind == "lettering" for thing in find_obstacles(page)) >= 5
    assert not find_obstacles(Image.fromarray(skimage.data.chelsea()))


def test_texts_keep_off_the_subject_of_a_photograph(tmp_path: Path) -> None:
    picture = Image.fromarray(skimage.data.rocket())
    picture.save(tmp_path / "rocket.png")
    argv = ["--text", "LIFT-OFF", "--text", "Watch the launch with us", "--text", "11 February, 6:03 pm"]
    assert run("typeset", tmp_path / "rocket.png", *argv, "-o", tmp_path / "p.png") == 0
    (subject,) = (thing.box for thing in find_subject(picture))
    covered = 0.0
    for text in read_record(tmp_path / "p.png")["typeset"]:
        x0, y0, x1, y1 = text["box"]
        wide, high = min(x1, subject.x1) - max(x0, subject.x0), min(y1, subject.y1) - max(y0, subject.y0)
        covered += max(0.0, wide) * max(0.0, high)
    assert covered < 3000  # pixels; 26,000 where nobody looks for the rocket


@pytest.mark.slow
def test_a_sheet_for_a_press_is_written_in_several_forms_and_made_again(
    tmp_path: Path, cup: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    profile = write_press_profile(tmp_path / "press.icc")
    names = [tmp_path / f"p.{ending}" for ending in ("png", "pdf", "proof.png")]
    argv = [
        "typeset",
        cup,
        "--text",
        "JAZZ NIGHT",
        "--size",
        "a5",
        "--dpi",
        "60",
        "--bleed",
        "3mm",
        "--safe",
        "0.25in",
    ]
    argv += ["--marks", "--cmyk", profile, *(word for name in names for word in ("-o", name))]
    assert run(*argv) == 0 and "looks soft" not in capsys.readouterr().err
    whole = (350 + 14, 496 + 14)  # 148 x 210 mm at 60 dpi, and 7 pixels of bleed on each side
    assert Image.open(names[0]).size == Image.open(names[2]).size == whole
    with pikepdf.open(names[1]) as document:
        box = [float(side) for side in document.pages[0].TrimBox]
        assert "/OutputIntents" in document.Root and box[2] - box[0] == pytest.approx(350 * 72 / 60)
    assert read_record(names[2])["id"] == read_record(names[1])["id"]
    first = [name.read_bytes() for name in names]
    assert run(*argv) == 0 and [name.read_bytes() for name in names] == first
    proof = ["-o", names[2]]
    assert run("typeset", cup, "--text", "BLUES", "--cmyk", profile, *proof) == 0
    assert (tmp_path / "p-2.proof.png").is_file() and names[2].read_bytes() == first[2]
    capsys.readouterr()
    assert run("info", names[0]) == 0
    command = shlex.split(capsys.readouterr().out.partition("make it again: posterkit ")[2])
    assert run(*command[:-1], tmp_path / "again.png") == 0 and (tmp_path / "again.png").read_bytes() == first[0]


@pytest.mark.parametrize(("words", "said"), [
    (["--size", "a33"], "did you mean"),
    (["--bleed", "3mm"], "need a sheet"),
    (["--bleed", "3 miles", "--size", "a5"], "must be a length"),
    (["--size", "a0", "--dpi", "600"], "megapixels"),
    (["--size", "a5", "--safe", "10mm", "--box", "0,0,100%,40%"], "safe area"),
    (["-o", "p.proof.png"], "name its ICC profile"),
    (["-o", "p.pdf", "--cmyk", "none.icc"], "no such ICC profile"),
])  # fmt: skip
def test_what_cannot_be_printed_is_one_line(
    tmp_path: Path, cup: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    own = [] if "-o" in words else ["-o", tmp_path / "p.png"]
    assert run("typeset", cup, "--text", "JAZZ", *words, *own) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1 and not list(tmp_path.glob("p.*"))


def test_a_logo_and_a_code_are_in_the_record_and_made_again(
    tmp_path: Path, cup: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logo = Image.new("RGBA", (60, 30), (250, 240, 90, 255))
    logo.putpixel((0, 0), (0, 0, 0, 0))
    logo.save(tmp_path / "logo.png")
    argv = ["typeset", cup, "--logo", tmp_path / "logo.png", "--logo-at", "5%,70%,25%,95%"]
    argv += ["--qr", "https://example.org", "--qr-at", "top-right", "-o", tmp_path / "p.pdf", "-o", tmp_path / "p.png"]
    assert run(*argv) == 0
    lettering = read_record(tmp_path / "p.pdf")["row"]["lettering"]
    assert lettering["qr"] == "https://example.org" and lettering["logo"]["path"] == "logo.png"
    capsys.readouterr()
    assert run("info", tmp_path / "p.pdf") == 0
    command = shlex.split(capsys.readouterr().out.partition("make it again: posterkit ")[2])
    assert run(*command[:-1], tmp_path / "again.png") == 0
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "p.png").read_bytes()
    assert run("typeset", cup, "--text", "JAZZ", "--qr-at", "top", "-o", tmp_path / "q.png") == 2
    assert "there is no qr" in capsys.readouterr().err
