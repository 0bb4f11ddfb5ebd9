"""PSD posters, looked at with psd-tools and with Pillow."""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import psd_tools
import pytest
import skimage.data
from fontTools.ttLib import TTFont
from PIL import Image, ImageChops
from psd_tools.composite.composite import composite
from psd_tools.constants import Resource

from posterkit.paper import Sheet
from posterkit.prompts import PosterBrief
from posterkit.typeset.fonts import Face
from posterkit.typeset.placed_text import PictureParts
from posterkit.typeset.poster import TypesetPoster, typeset

TEXTS = ["JAZZ 爵士", "Friday 8 pm\nby the river", "Book now"]


@pytest.fixture(scope="module")
def poster() -> TypesetPoster:
    picture = Image.fromarray(skimage.data.coffee())
    return typeset(picture, PosterBrief(texts=TEXTS), roles=["title", "body", "cta"], planner="archetypes")


@pytest.fixture(scope="module")
def document(poster: TypesetPoster) -> psd_tools.PSDImage:
    return psd_tools.PSDImage.open(io.BytesIO(poster.psd(dpi=144)))


def laid(document: psd_tools.PSDImage) -> np.ndarray:
    """The layers over each other, rounded (psd-tools' own picture of them is cut off below)."""
    return np.rint(255 * composite(document, force=True)[0]).astype(np.int16)


def test_the_merged_picture_is_the_raster(poster: TypesetPoster) -> None:
    merged = Image.open(io.BytesIO(poster.psd()))
    assert merged.mode == "RGB" and np.array_equal(np.asarray(merged), np.asarray(poster.image))


def test_the_layers_laid_over_each_other_are_the_raster(poster: TypesetPoster, document: psd_tools.PSDImage) -> None:
    off = np.abs(laid(document) - np.asarray(poster.image))
    assert poster.underlays and off.max() <= 1  # the background is dithered by a quarter step


def test_each_text_is_a_layer_by_its_role_and_words_where_its_ink_is(
    poster: TypesetPoster, document: psd_tools.PSDImage
) -> None:
    names = [layer.name for layer in document]
    assert names[0] == "picture" and set(names[1:-4]) == {"underlay", "rule"}
    assert names[-4:] == ["title: JAZZ 爵士", "body: Friday 8 pm by the river", "button: Book now", "cta: Book now"]
    drawn = ImageChops.difference(poster.image, poster.background)
    for layer, placed in zip((document[-4], document[-3], document[-1]), poster.boxes, strict=True):
        assert all(abs(a - b) <= 0.3 * placed.size for a, b in zip(layer.bbox, placed.box, strict=True))
        assert layer.topil().convert("RGB").getcolors() == [(layer.width * layer.height, placed.color)]
    x0, y0, x1, y1 = document[-4].bbox
    around = drawn.crop((x0 - 3, y0 - 3, x1 + 3, y1 + 3)).convert("L").point(lambda value: 255 * (value > 8)).getbbox()
    assert around is not None and np.abs(np.subtract(around, (3, 3, x1 - x0 + 3, y1 - y0 + 3))).max() <= 1


def test_texts_are_live_type_in_their_fonts_sizes_and_colours(
    poster: TypesetPoster, document: psd_tools.PSDImage
) -> None:
    live = [layer for layer in document if layer.kind == "type"]
    assert [layer.text for layer in live] == ["JAZZ 爵士", "Friday 8 pm\rby the river", "Book now"]
    for layer, placed in zip(live, poster.boxes, strict=True):
        runs = layer.engine_dict["StyleRun"]
        fonts = [font["Name"].value for font in layer.resource_dict["FontSet"]]
        styles = [run["StyleSheet"]["StyleSheetData"] for run in runs["RunArray"]]
        assert all(style["FontSize"] == pytest.approx(placed.size) for style in styles)
        color = [round(255 * float(value)) for value in styles[0]["FillColor"]["Values"]][1:]
        assert tuple(color) == placed.color and sum(runs["RunLengthArray"]) == len(layer.text) + 1
        words = {fonts[int(style["Font"])] for style in styles}
        assert words == {face_name(run.face) for at in placed.placed_lines for run in at.line.runs}
        assert layer.transform[5] == pytest.approx(placed.placed_lines[0].baseline)


def face_name(face: Face) -> str:
    return str(TTFont(str(face.path))["name"].getDebugName(6))


def test_letters_that_the_format_escapes_come_back() -> None:
    words = ["(50 %) \\ off", "表示ソ（小）", "Ĩ ŀ Ŝ"]  # the last have ( ) and \ among their bytes
    poster = typeset(Image.new("RGB", (400, 600), "navy"), PosterBrief(texts=words))
    found = psd_tools.PSDImage.open(io.BytesIO(poster.psd()))
    live = [layer.text.replace("\r", " ") for layer in found if layer.kind == "type"]
    assert live == [" ".join(line for line in text.lines) for text in poster.boxes]


def test_a_menu_is_two_layers_dishes_left_and_prices_right() -> None:
    menu = "Soup\t5.00\nFish of the day\t12.50"
    poster = typeset(Image.new("RGB", (400, 600), "navy"), PosterBrief(texts=["MENU", menu]))
    live = [layer for layer in psd_tools.PSDImage.open(io.BytesIO(poster.psd())) if layer.kind == "type"]
    assert [layer.text for layer in live[1:]] == ["Soup\rFish of the day", "5.00\r12.50"]
    sides = [layer.engine_dict["ParagraphRun"]["RunArray"][0]["ParagraphSheet"]["Properties"]["Justification"]
             for layer in live[1:]]  # fmt: skip
    assert sides == [0, 1]


def test_cut_outs_and_kept_pixels_are_layers_that_add_up() -> None:
    ground = Image.fromarray(skimage.data.coffee())
    subject = Image.new("RGBA", ground.size)
    subject.paste((200, 30, 30, 255), (250, 150, 350, 300))
    kept = Image.new("L", ground.size)
    kept.paste(255, (0, 0, 300, 400))
    picture = Image.alpha_composite(ground.convert("RGBA"), subject).convert("RGB")
    poster = typeset(picture, PosterBrief(texts=TEXTS[1:]))
    poster = replace(poster, parts=PictureParts(ground, (("subject", subject),), kept))
    found = psd_tools.PSDImage.open(io.BytesIO(poster.psd()))
    assert [layer.name for layer in found][:3] == ["picture", "kept pixels", "subject"]
    assert found[1].has_mask() and found[2].bbox == (250, 150, 350, 300)
    assert np.array_equal(np.asarray(found[1].mask.topil()), np.full((400, 300), 255))
    assert np.abs(laid(found) - np.asarray(poster.image)).max() <= 1


def test_guides_stand_at_the_cut_and_round_the_safe_area() -> None:
    poster = typeset(Image.new("RGB", (476, 651), "navy"), PosterBrief(texts=["JAZZ"]), sheet=Sheet(72, 10, 8))
    found = psd_tools.PSDImage.open(io.BytesIO(poster.psd()))
    guides = found.image_resources.get_data(Resource.GRID_AND_GUIDES_INFO).data
    assert {place / 32 for place, direction in guides if direction == 0} == {28, 448, 51, 425}
    assert {place / 32 for place, direction in guides if direction == 1} == {28, 623, 51, 600}


def test_the_picture_layer_has_no_underlay(poster: TypesetPoster, document: psd_tools.PSDImage) -> None:
    assert np.array_equal(np.asarray(document[0].topil().convert("RGB")), skimage.data.coffee())


def test_the_resolution_is_written(document: psd_tools.PSDImage) -> None:
    assert document.image_resources.get_data(Resource.RESOLUTION_INFO).horizontal / 2**16 == 144


def test_without_psd_tools_one_line_says_what_to_install(
    poster: TypesetPoster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psd_tools", None)
    with pytest.raises(ValueError, match=r"pip install posterkit\[print\]"):
        poster.save(tmp_path / "p.psd")
    assert not list(tmp_path.iterdir())
