"""PowerPoint posters, read back by python-pptx and as the XML that they are."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pptx
import pytest
import skimage.data
from PIL import Image
from pptx.util import Emu, Inches

from posterkit.generate.metadata import read_poster, read_record, record_id
from posterkit.generate.record import typeset_record, write_poster
from posterkit.lettering import Lettering
from posterkit.prompts import PosterBrief
from posterkit.typeset.poster import TypesetPoster, typeset

TEXTS = ["JAZZ 爵士", "Friday 8 pm\nby the river", "Book now", "מוזיקה"]
PX = 914400 / 96  # EMU a pixel of a poster of the screen


@pytest.fixture(scope="module")
def poster() -> TypesetPoster:
    picture = Image.fromarray(skimage.data.coffee())
    return typeset(picture, PosterBrief(texts=TEXTS), roles=["title", "body", "cta", "body"])


@pytest.fixture(scope="module")
def shapes(poster: TypesetPoster, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    file = poster.save(tmp_path_factory.mktemp("pptx") / "p.pptx")
    deck = pptx.Presentation(str(file))
    assert (deck.slide_width, deck.slide_height) == (Emu(round(600 * PX)), Emu(round(400 * PX)))
    (slide,) = deck.slides
    return {shape.name: shape for shape in slide.shapes}


def test_the_picture_fills_the_slide_and_has_no_texts(poster: TypesetPoster, shapes: dict) -> None:
    picture = shapes["picture"]
    assert (picture.left, picture.top) == (0, 0) and picture.width == round(600 * PX)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(picture.image.blob))), np.asarray(poster.background))


def test_each_text_is_a_box_of_words_where_its_ink_is(poster: TypesetPoster, shapes: dict) -> None:
    for placed in poster.boxes:
        shape = shapes[f"{placed.role}: {' '.join(placed.text.split())}"]
        assert shape.text_frame.text.split("\v") == list(placed.lines)
        sides = [side / PX for side in (shape.left, shape.top, shape.left + shape.width, shape.top + shape.height)]
        assert sides[0] <= placed.box[0] + 1 and sides[2] >= placed.box[2] - 1
        (paragraph,) = shape.text_frame.paragraphs
        for run in paragraph.runs:
            assert run.font.size == pytest.approx(placed.size * PX, abs=7000)  # a hundredth of a point
            assert tuple(run.font.color.rgb) == placed.color
        # the first baseline, by PowerPoint's rule for lines of exact height
        baseline = sides[1] + (paragraph.line_spacing - 0.2 * placed.size * PX) / PX
        assert baseline == pytest.approx(placed.placed_lines[0].baseline, abs=0.1)


def test_fonts_languages_and_directions_are_named(shapes: dict) -> None:
    title, hebrew = shapes["title: JAZZ 爵士"], shapes["body: מוזיקה"]
    assert [run.font.name for run in title.text_frame.paragraphs[0].runs][-1] == "Posterkit Sans CJK"
    assert 'lang="zh-Hans"' in title._element.xml and '<a:ea typeface="Posterkit Sans CJK"/>' in title._element.xml
    assert 'rtl="1"' in hebrew._element.xml and 'lang="he"' in hebrew._element.xml


def test_the_button_is_a_rounded_shape_under_its_words(poster: TypesetPoster, shapes: dict) -> None:
    button, placed = shapes["button: Book now"], poster.boxes[2]
    assert placed.button is not None
    sides = [side / PX for side in (button.left, button.top, button.width, button.height)]
    assert sides == pytest.approx([placed.button.x0, placed.button.y0, placed.button.width, placed.button.height])
    assert tuple(button.fill.fore_color.rgb) == placed.button_color
    names = list(shapes)
    assert names.index("button: Book now") < names.index("cta: Book now")


def test_a_sheet_larger_than_powerpoint_takes_is_made_smaller_in_proportion() -> None:
    poster = typeset(Image.new("RGB", (600, 900), "navy"), PosterBrief(texts=["JAZZ"]))
    from posterkit.typeset.export_options import ExportOptions
    from posterkit.typeset.exporters import export

    deck = pptx.Presentation(io.BytesIO(export(poster, ".pptx", ExportOptions(dpi=10))))
    assert deck.slide_height == Inches(56) and deck.slide_width == pytest.approx(Inches(56) * 2 / 3, abs=1)


def test_the_record_and_a_small_picture_are_found_and_the_bytes_are_the_same_again(
    poster: TypesetPoster, tmp_path: Path
) -> None:
    source = tmp_path / "cup.png"
    poster.picture.save(source)
    record = typeset_record(source, poster, TEXTS, Lettering())
    write_poster(poster, tmp_path / "p.pptx", record)
    first = (tmp_path / "p.pptx").read_bytes()
    write_poster(poster, tmp_path / "p.pptx", record)
    assert (tmp_path / "p.pptx").read_bytes() == first
    assert record_id(tmp_path / "p.pptx") == record["id"] and read_record(tmp_path / "p.pptx")["row"]["texts"] == TEXTS
    assert read_poster(tmp_path / "p.pptx").size == (400, 267)
    with zipfile.ZipFile(tmp_path / "p.pptx") as parts:
        assert parts.testzip() is None
    (tmp_path / "p.pptx").write_bytes(first[:-30])
    assert record_id(tmp_path / "p.pptx") is None
