"""Finished posters opened again: what a designer moves, as her program would write it, stays where it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pptx
import psd_tools
import pytest
import skimage.data
from lxml import etree
from PIL import Image

from posterkit.cli.main import main
from posterkit.generate.edit_finished import edit_poster
from posterkit.generate.metadata import read_record, record_id
from posterkit.generate.record import typeset_record, write_poster
from posterkit.lettering import Lettering
from posterkit.prompts import PosterBrief
from posterkit.typeset.graphics import GraphicWish
from posterkit.typeset.poster import TypesetPoster, typeset

TEXTS = ["JAZZ", "Friday 8 pm\nby the river", "Book now"]
NEW = ["BLUES", "Samstag 20 Uhr\nam Fluss", "Karten"]
SVG = "{http://www.w3.org/2000/svg}"
FORMS = ("png", "svg", "psd", "pptx")


@pytest.fixture(scope="module")
def poster() -> TypesetPoster:
    picture = Image.fromarray(skimage.data.coffee()).resize((500, 750))
    wishes = [GraphicWish("qr", "https://example.org", "bottom-right")]
    return typeset(picture, PosterBrief(texts=TEXTS), roles=["title", "body", "cta"], graphics=wishes,
                   planner="archetypes")  # fmt: skip


@pytest.fixture(scope="module")
def folder(poster: TypesetPoster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("posters")
    poster.picture.save(folder / "cup.png")
    record = typeset_record(folder / "cup.png", poster, TEXTS, Lettering())
    for form in FORMS:
        write_poster(poster, folder / f"p.{form}", record)
    return folder


def svg_lines(path: Path) -> dict[str, tuple[float, float]]:
    """Each line of an SVG, and where it begins."""
    root = etree.parse(path).getroot()
    return {"".join(text.itertext()): (float(text.get("x")), float(text.get("y"))) for text in root.iter(f"{SVG}text")}


def live(path: Path) -> list[psd_tools.api.layers.TypeLayer]:
    return [layer for layer in psd_tools.PSDImage.open(path).descendants() if layer.kind == "type"]


def boxes(path: Path) -> dict[str, object]:
    return {shape.text_frame.text: shape for shape in pptx.Presentation(str(path)).slides[0].shapes
            if shape.has_text_frame and shape.text_frame.text}  # fmt: skip


def test_the_texts_are_found_in_every_form(folder: Path) -> None:
    for form in FORMS:
        found = edit_poster(folder / f"p.{form}", None).found
        assert [(one.role, one.text) for one in found] == list(zip(("title", "body", "cta"), TEXTS, strict=True)), form


def test_new_words_stand_where_the_old_ones_stood(poster: TypesetPoster, folder: Path, tmp_path: Path) -> None:
    for form in FORMS:
        edit_poster(folder / f"p.{form}", NEW).save(tmp_path / f"q.{form}")
    first = [text.placed_lines[0] for text in poster.boxes]
    lines = svg_lines(tmp_path / "q.svg")
    assert list(lines) == ["BLUES", "Samstag 20 Uhr", "am Fluss", "Karten"]
    assert lines["Samstag 20 Uhr"][1] == pytest.approx(first[1].baseline, abs=0.1)
    layers = live(tmp_path / "q.psd")
    assert [layer.text for layer in layers] == ["BLUES", "Samstag 20 Uhr\ram Fluss", "Karten"]
    assert layers[1].transform[5] == pytest.approx(first[1].baseline, abs=0.1)
    shapes = boxes(tmp_path / "q.pptx")
    assert list(shapes) == ["BLUES", "Samstag 20 Uhr\vam Fluss", "Karten"]
    old = boxes(folder / "p.pptx")[TEXTS[1].replace("\n", "\v")]
    assert abs(shapes["Samstag 20 Uhr\vam Fluss"].top - old.top) <= 0.2 * 9525
    assert [text["text"] for text in read_record(tmp_path / "q.png")["typeset"]] == NEW


def test_the_same_words_are_the_same_pixels(folder: Path, tmp_path: Path) -> None:
    edit_poster(folder / "p.png", ["@title:BLUES"]).save(tmp_path / "q.png")
    edit_poster(tmp_path / "q.png", ["@title:JAZZ"]).save(tmp_path / "r.png")
    was, is_, changed = (np.asarray(Image.open(path).convert("RGB"))
                         for path in (folder / "p.png", tmp_path / "r.png", tmp_path / "q.png"))  # fmt: skip
    assert not np.array_equal(was, changed)
    half = len(was) // 2
    assert np.array_equal(was[half:], changed[half:])  # the other texts, the button and the code
    title = edit_poster(folder / "p.png", None).found[0]
    assert is_.shape == was.shape and (is_ != was).any(axis=2).mean() < 0.05 and title.text == "JAZZ"


def test_a_text_moved_in_an_svg_stays_there(folder: Path, tmp_path: Path) -> None:
    tree = etree.parse(folder / "p.svg")
    title, *_ = tree.getroot().iter(f"{SVG}text")
    title.set("y", "400")
    title.set("style", "fill:#ff0000;opacity:0.8")
    title.getparent().set("transform", "translate(10 20)")
    etree.SubElement(tree.getroot(), f"{SVG}circle", r="9", id="mine")
    tree.write(tmp_path / "moved.svg")
    edit_poster(tmp_path / "moved.svg", ["@title:BLUES"]).save(tmp_path / "q.svg")
    root = etree.parse(tmp_path / "q.svg").getroot()
    new, *others = root.iter(f"{SVG}text")
    assert "".join(new.itertext()) == "BLUES" and new.get("fill") == "#ff0000" and new.get("style") == "opacity:0.8"
    assert new.getparent().get("transform") == "translate(10 20)" and 300 < float(new.get("y")) <= 400
    assert root.find(f"{SVG}circle[@id='mine']") is not None
    assert ["".join(text.itertext()) for text in others] == ["Friday 8 pm", "by the river", "Book now"]


def test_a_layer_moved_in_a_psd_stays_there_and_the_merged_picture_follows(folder: Path, tmp_path: Path) -> None:
    document = psd_tools.PSDImage.open(folder / "p.psd")
    body = next(layer for layer in document if layer.name.startswith("body: "))
    body.offset = (body.left - 30, body.top - 200)
    setting = body._data
    setting.transform = (*setting.transform[:4], setting.transform[4] - 30, setting.transform[5] - 200)
    body.opacity = 128
    document.save(tmp_path / "moved.psd")
    edit_poster(tmp_path / "moved.psd", ["@body:Samstag"]).save(tmp_path / "q.psd")
    found = psd_tools.PSDImage.open(tmp_path / "q.psd")
    old, new = (next(layer for layer in one if layer.kind == "type" and layer.name.startswith("body: "))
                for one in (psd_tools.PSDImage.open(tmp_path / "moved.psd"), found))  # fmt: skip
    assert new.text == "Samstag" and new.opacity == 128 and new.transform[5] == pytest.approx(old.transform[5])
    assert abs(new.top - old.top) < 0.3 * old.height and [a.name for a in found] == [
        "body: Samstag" if b is body else b.name for b in document
    ]
    merged = np.asarray(found.topil().convert("RGB"), np.int16)
    laid = np.asarray(found.composite(force=True, ignore_preview=True).convert("RGB"), np.int16)
    assert np.abs(merged - laid).max() <= 1


def test_a_layer_that_was_moved_out_of_the_picture_is_named(folder: Path, tmp_path: Path) -> None:
    document = psd_tools.PSDImage.open(folder / "p.psd")
    setting = next(layer for layer in document if layer.name.startswith("body: "))._data
    setting.transform = (*setting.transform[:5], -900.0)
    document.save(tmp_path / "moved.psd")
    with pytest.raises(ValueError, match=r"moved\.psd: the type layer 'body: .*' stands outside the picture"):
        edit_poster(tmp_path / "moved.psd", ["@body:Samstag"])


def test_a_layer_is_named_after_its_new_words_unless_a_designer_has_named_it(folder: Path, tmp_path: Path) -> None:
    document = psd_tools.PSDImage.open(folder / "p.psd")
    next(layer for layer in document if layer.name.startswith("title: ")).name = "Headline"
    document.save(tmp_path / "named.psd")
    edit_poster(tmp_path / "named.psd", NEW).save(tmp_path / "q.psd")
    names = [layer.name for layer in psd_tools.PSDImage.open(tmp_path / "q.psd")]
    assert names[-4:] == ["Headline", "body: Samstag 20 Uhr am Fluss", "button: Karten", "cta: Karten"]
    again = edit_poster(tmp_path / "q.psd", None).found[2]
    assert again.button is not None and again.button == edit_poster(folder / "p.psd", None).found[2].button


def test_the_gate_is_asked_about_new_words(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for form in FORMS:
        out = tmp_path / f"q.{form}"
        argv = ["edit", str(folder / f"p.{form}"), "-o", str(out), "--detector", "rules"]
        assert main([*argv, "--text", "@title:Guaranteed profit", "--safety", "copy=block"]) == 2, form
        assert "blocked (copy): " in capsys.readouterr().err and not out.exists()
        house = ["--policy", "superlatives", "--safety", "copy=rewrite"]
        assert main([*argv, "--text", "@title:The best pizza", *house]) == 0, form
        assert '"The best pizza" is now "Good pizza"' in " ".join(capsys.readouterr().err.split())
        assert edit_poster(out, None).found[0].text == "Good pizza"
        (decision,) = read_record(out)["edited"]["safety"]
        assert decision["action"] == "rewrite" and decision["original"] == "The best pizza"


def test_a_box_moved_in_powerpoint_stays_there(folder: Path, tmp_path: Path) -> None:
    deck = pptx.Presentation(str(folder / "p.pptx"))
    title = next(shape for shape in deck.slides[0].shapes if shape.name.startswith("title: "))
    title.left, title.top = 0, 3_000_000
    deck.save(tmp_path / "moved.pptx")
    edit_poster(tmp_path / "moved.pptx", ["@title:TRIO"]).save(tmp_path / "q.pptx")
    new = boxes(tmp_path / "q.pptx")["TRIO"]
    assert new.left == 0 and abs(new.top - 3_000_000) <= 9525
    assert new.text_frame.paragraphs[0].runs[0].font.color.rgb == title.text_frame.paragraphs[0].runs[0].font.color.rgb


def test_long_words_run_into_nothing(poster: TypesetPoster, folder: Path) -> None:
    long = ["A SUMMER OF JAZZ IN THE CITY", "Freitag 20 Uhr im alten Hafen, Halle 3\nam großen Fluss", "Karten kaufen"]
    edited = edit_poster(folder / "p.png", long)
    made = edited.save.args[0]  # type: ignore[attr-defined]
    code = poster.graphics[0].box
    for text in made.boxes:
        assert text.box.x0 >= 0 and text.box.x1 <= 500 and not text.box.overlaps(code)
    assert made.boxes[2].button == poster.boxes[2].button and made.boxes[2].button.holds(made.boxes[2].box)
    with pytest.raises(ValueError, match="does not fit"):
        edit_poster(folder / "p.png", ["@cta:" + "sehr lange Einladung " * 20])


def test_another_script_is_set_in_a_font_that_has_it(folder: Path, tmp_path: Path) -> None:
    for form in FORMS:
        edit_poster(folder / f"p.{form}", ["@title:夏フェス"]).save(tmp_path / f"q.{form}")
    svg = (tmp_path / "q.svg").read_text(encoding="utf-8")
    assert 'xml:lang="ja"' in svg and svg.count("@font-face{font-family:'Posterkit Sans CJK'") == 1
    fonts = [font["Name"].value for font in live(tmp_path / "q.psd")[0].resource_dict["FontSet"]]
    assert fonts[0] == "PosterkitSansCJK-Bold"


def test_a_png_becomes_any_form(folder: Path, tmp_path: Path) -> None:
    out = [tmp_path / f"q.{ending}" for ending in ("pdf", "psd", "svg")]
    argv = ["edit", str(folder / "p.png"), "--text", "@title:BLUES"]
    assert main([*argv, *(word for path in out for word in ("-o", str(path)))]) == 0
    assert live(out[1])[0].text == "BLUES" and "BLUES" in svg_lines(out[2])


def test_an_edited_poster_has_an_id_of_its_own_and_says_what_it_was(folder: Path, tmp_path: Path) -> None:
    was = record_id(folder / "p.png")
    for form in FORMS:
        edit_poster(folder / f"p.{form}", NEW).save(tmp_path / f"q.{form}")
        record = read_record(tmp_path / f"q.{form}")
        assert record["edited"] == {"from": was, "texts": NEW}, form
        assert record["id"] == record_id(tmp_path / f"q.{form}") != was


def test_the_command_lists_texts_and_writes_beside(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "p.svg"
    copy.write_bytes((folder / "p.svg").read_bytes())
    assert main(["edit", str(copy)]) == 0 and capsys.readouterr().out.splitlines()[1] == (
        "@body: Friday 8 pm / by the river"
    )
    assert main(["edit", str(copy), "--text", "@title:BLUES"]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "p-edited.svg")
    assert copy.read_bytes() == (folder / "p.svg").read_bytes()


@pytest.mark.parametrize(("words", "said"), [
    (["p.svg", "--text", "one"], "1 texts for 3"),
    (["p.svg", "--text", "@titel:one"], "unknown mark '@titel:' (did you mean '@title:'?)"),
    (["p.svg", "--text", "@subtitle:x"], "no further text of the role 'subtitle'"),
    (["p.psd", "--text", "@title:x", "-o", "q.svg"], "edited as what it is"),
    (["p.svg", "--text", "@title:x", "-o", "p.svg"], "-o names the poster itself"),
    (["p.pdf", "--text", "x"], "cannot be edited"),
    (["photo.jpg", "--text", "x"], "photo.jpg: cannot be edited; .png, .svg, .psd, .pptx can"),
    (["foreign.svg", "--text", "x"], "foreign.svg: a text names no font; give its file with --font"),
    (["head.psd", "--text", "x"], "head.psd: is no PSD that can be read\n"),
    (["none.svg", "--text", "x"], "there is no such file"),
    (["cup.png", "--text", "x"], "carries no posterkit record"),
    (["bad.svg", "--text", "x"], "is no SVG"),
    (["bomb.svg", "--text", "x"], "entities, which are not read"),
    (["bad.psd", "--text", "x"], "is no PSD"),
    (["bad.pptx", "--text", "x"], "is no PPTX"),
])  # fmt: skip
def test_what_cannot_be_edited_is_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    monkeypatch.chdir(folder)
    for name in ("bad.svg", "bad.psd", "bad.pptx"):
        Path(name).write_bytes(b"nothing of the kind")
    Path("head.psd").write_bytes(b"8BPS" + bytes(30))
    Path("foreign.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"><text y="9">Hi</text></svg>')
    Path("bomb.svg").write_text('<!DOCTYPE svg [<!ENTITY a "aa">]><svg xmlns="http://www.w3.org/2000/svg"/>')
    before = {path.name for path in folder.iterdir()}
    assert main(["edit", *words]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1 and {path.name for path in folder.iterdir()} == before


@pytest.mark.parametrize("form", FORMS)
def test_a_damaged_file_is_edited_or_refused_in_one_line(folder: Path, tmp_path: Path, form: str) -> None:
    content = (folder / f"p.{form}").read_bytes()
    random = np.random.default_rng(7)
    for number in range(12):
        damaged = bytearray(content)
        for at in random.integers(0, len(content) if number % 2 else min(len(content), 4000), 3):
            damaged[at] = random.integers(256)
        damaged = damaged[: random.integers(1, len(damaged))] if number % 3 == 0 else damaged
        path = tmp_path / f"d{number}.{form}"
        path.write_bytes(damaged)
        try:
            edit_poster(path, ["@title:BLUES"])
        except ValueError as error:
            assert str(error).startswith(str(path)) and "\n" not in str(error)


def test_a_text_larger_than_its_poster_is_refused(folder: Path, tmp_path: Path) -> None:
    svg = (folder / "p.svg").read_text(encoding="utf-8")
    start = svg.index('font-size="') + len('font-size="')
    (tmp_path / "p.svg").write_text(svg[:start] + "90000000" + svg[svg.index('"', start) :], encoding="utf-8")
    with pytest.raises(ValueError, match="cannot be set"):
        edit_poster(tmp_path / "p.svg", ["@title:BLUES"])
