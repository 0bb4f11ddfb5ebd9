"""Logos and QR codes on posters, decoded by zxing-cpp."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pptx
import psd_tools
import pytest
import skimage.data
import zxingcpp
from PIL import Image, ImageDraw
from press_profile import write_press_profile

from posterkit.layout import Box
from posterkit.lettering import PLACES
from posterkit.paper import Sheet
from posterkit.prompts import PosterBrief
from posterkit.tasks import ANCHORS
from posterkit.typeset.graphics import GraphicWish, qr_modules
from posterkit.typeset.poster import TypesetPoster, typeset

ADDRESS = "https://example.org/tickets?id=1234&lang=de"
TEXTS = ["JAZZ NIGHT", "Friday 8 pm\nby the river", "Book now"]


def decoded(image: Image.Image) -> list[str]:
    return [code.text for code in zxingcpp.read_barcodes(np.asarray(image.convert("L")))]


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    return Image.fromarray(skimage.data.coffee()).resize((624, 912))


@pytest.fixture(scope="module")
def logo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    image = Image.new("RGBA", (300, 120))
    pen = ImageDraw.Draw(image)
    pen.ellipse((10, 10, 110, 110), fill=(250, 240, 90, 255))
    pen.rectangle((130, 40, 289, 80), fill=(250, 240, 90, 255))
    image.save(tmp_path_factory.mktemp("logo") / "logo.png")
    return tmp_path_factory.getbasetemp() / "logo0" / "logo.png"


@pytest.fixture(scope="module")
def poster(picture: Image.Image, logo: Path) -> TypesetPoster:
    wishes = [GraphicWish("logo", str(logo)), GraphicWish("qr", ADDRESS)]
    return typeset(picture, PosterBrief(texts=TEXTS), roles=["title", "body", "cta"], graphics=wishes)


def test_a_code_is_read_again_from_every_form(poster: TypesetPoster, tmp_path: Path) -> None:
    assert decoded(poster.image) == [ADDRESS]
    layers = psd_tools.PSDImage.open(io.BytesIO(poster.psd())).composite(force=True, ignore_preview=True)
    assert layers is not None and decoded(layers) == [ADDRESS]
    slide = pptx.Presentation(str(poster.save(tmp_path / "p.pptx"))).slides[0]
    (code,) = (shape for shape in slide.shapes if shape.name.startswith("qr: "))
    assert decoded(Image.open(io.BytesIO(code.image.blob))) == [ADDRESS]
    poster.save(tmp_path / "p.proof.png", profile=write_press_profile(tmp_path / "press.icc"))
    assert decoded(Image.open(tmp_path / "p.proof.png")) == [ADDRESS]


def test_a_code_is_whole_pixels_a_module_with_four_light_ones_around(poster: TypesetPoster) -> None:
    (code,) = (one for one in poster.graphics if one.role == "qr")
    modules = len(qr_modules(ADDRESS))
    each = code.inner.width / modules
    assert each == int(each) and code.box.width == (modules + 8) * each
    pixels = np.asarray(poster.image.convert("L").crop(code.box.pixels(poster.image.size)))
    cells = pixels.reshape(modules + 8, int(each), modules + 8, int(each)).transpose(0, 2, 1, 3)
    assert set(np.unique(cells)) == {0, 255} and (cells == cells[:, :, :1, :1]).all()
    assert np.array_equal(cells[4:-4, 4:-4, 0, 0] == 0, np.asarray(qr_modules(ADDRESS)))
    assert (cells[:4] == 255).all() and (cells[:, -4:] == 255).all()


def test_nothing_stands_on_a_logo_or_code(poster: TypesetPoster) -> None:
    for one in poster.graphics:
        for text in poster.boxes:
            assert not any(one.area.overlaps(box) for box in ([text.button] if text.button else text.line_boxes()))
    first, second = poster.graphics
    assert not first.area.overlaps(second.box)


def test_a_logo_keeps_its_colours_and_shape(poster: TypesetPoster) -> None:
    (one,) = (one for one in poster.graphics if one.role == "logo")
    assert one.inner.width / one.inner.height == pytest.approx(280 / 101, rel=0.02)  # what is seen of the file
    shown = np.asarray(poster.image.crop(one.inner.pixels(poster.image.size)))
    solid = np.asarray(one.picture)[..., 3] == 255
    assert solid.mean() > 0.4 and np.array_equal(shown[solid], np.asarray(one.picture)[solid][:, :3])
    assert tuple(np.median(shown[solid], axis=0)) == (250, 240, 90)  # near its edges it is resampled


@pytest.mark.parametrize(("ground", "panel"), [("white", True), ("#101010", False), ("#f5f0a0", True)])
def test_a_logo_that_would_not_be_seen_gets_a_panel(logo: Path, ground: str, panel: bool) -> None:
    flat = Image.new("RGB", (400, 600), ground)
    (one,) = typeset(flat, PosterBrief(texts=["JAZZ"]), graphics=[GraphicWish("logo", str(logo))]).graphics
    assert (one.panel is not None) == panel and (not panel or max(one.panel or ()) < 60)
    assert Box(0, 0, 400, 600).holds(one.box, loose=0)


def test_a_faint_logo_is_set_as_it_is(tmp_path: Path) -> None:
    faint = Image.new("RGBA", (60, 30))
    faint.paste((20, 20, 20, 90), (10, 5, 50, 25))
    faint.save(tmp_path / "faint.png")
    poster = typeset(Image.new("RGB", (624, 912), "white"), PosterBrief(texts=["JAZZ"]),
                     graphics=[GraphicWish("logo", str(tmp_path / "faint.png"), "bottom-right")])  # fmt: skip
    (placed,) = poster.graphics
    assert placed.picture is not None and placed.picture.getchannel("A").getextrema() == (90, 90)


def test_a_box_or_a_corner_is_kept(picture: Image.Image) -> None:
    wish = GraphicWish("qr", ADDRESS, (100.0, 500.0, 300.0, 700.0))
    (code,) = typeset(picture, PosterBrief(texts=["JAZZ"]), graphics=[wish]).graphics
    assert Box(100, 500, 300, 700).holds(code.box, loose=0) and code.box.width > 200 - 42
    assert (code.box.x0 + code.box.x1) / 2 == pytest.approx(200, abs=0.5)
    (corner,) = typeset(
        picture, PosterBrief(texts=["JAZZ"]), graphics=[GraphicWish("qr", ADDRESS, "top-left")]
    ).graphics
    assert corner.box.x0 == corner.box.y0 == round(0.07 * 624)


def test_texts_move_out_of_the_way_of_a_code_in_their_place(picture: Image.Image) -> None:
    brief = PosterBrief(texts=["JAZZ NIGHT", "Friday 8 pm"])
    box = typeset(picture, brief).boxes[0].box
    wish = GraphicWish("qr", ADDRESS, (box.x0, max(0.0, box.y0 - 60), box.x0 + 160, max(160.0, box.y0 + 100)))
    moved = typeset(picture, brief, graphics=[wish])
    assert all(not moved.graphics[0].area.overlaps(line) for text in moved.boxes for line in text.line_boxes())


@pytest.mark.parametrize("planner", ["archetypes", "grammar", "retrieval"])
def test_every_planner_leaves_a_code_free(picture: Image.Image, planner: str) -> None:
    wish = GraphicWish("qr", ADDRESS, (40.0, 40.0, 240.0, 240.0))
    poster = typeset(picture, PosterBrief(texts=["JAZZ NIGHT", "Friday 8 pm"]), graphics=[wish], planner=planner)
    area = poster.graphics[0].area
    assert not any(area.overlaps(line) for text in poster.boxes for line in text.line_boxes())


def test_a_code_keeps_inside_the_safe_area_of_a_sheet() -> None:
    flat = Image.new("RGB", (476, 651), "navy")
    poster = typeset(flat, PosterBrief(texts=["JAZZ"]), sheet=Sheet(72, 10, 20), graphics=[GraphicWish("qr", "x")])
    assert Box(28 + 57, 28 + 57, 448 - 57, 623 - 57).holds(poster.graphics[0].box)


def test_a_poster_may_have_a_code_and_no_texts(picture: Image.Image) -> None:
    poster = typeset(picture, PosterBrief(), graphics=[GraphicWish("qr", ADDRESS)])
    assert decoded(poster.image) == [ADDRESS] and not poster.boxes
    assert poster.svg().count("<path") == 1 and poster.pdf().startswith(b"%PDF")


def test_what_cannot_be_placed_is_one_line(
    picture: Image.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def why(*wishes: GraphicWish, **how: object) -> str:
        with pytest.raises(ValueError) as caught:
            typeset(picture, PosterBrief(texts=["JAZZ"]), graphics=wishes, **how)  # type: ignore[arg-type]
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "too many for a QR code" in why(GraphicWish("qr", "x" * 5000))
    assert "needs words" in why(GraphicWish("qr", " "))
    assert "none.png" in why(GraphicWish("logo", str(tmp_path / "none.png")))
    Image.new("RGBA", (60, 30)).save(tmp_path / "clear.png")
    assert "clear.png: a logo of which nothing is seen" in why(GraphicWish("logo", str(tmp_path / "clear.png")))
    assert "place 'middle' is unknown" in why(GraphicWish("qr", ADDRESS, "middle"))
    assert "is not x0,y0,x1,y1 in the 624x912 poster" in why(GraphicWish("qr", ADDRESS, (0.0, 0.0, 700.0, 300.0)))
    assert "larger box" in why(GraphicWish("qr", ADDRESS, (0.0, 0.0, 40.0, 40.0)))
    everything = (10.0, 10.0, 614.0, 902.0)
    assert "no place is free" in why(GraphicWish("qr", ADDRESS, everything))
    monkeypatch.setitem(sys.modules, "segno", None)
    qr_modules.cache_clear()
    assert "pip install posterkit[print]" in why(GraphicWish("qr", ADDRESS))


def test_places_have_the_names_of_anchors() -> None:
    assert set(PLACES) == set(ANCHORS)
