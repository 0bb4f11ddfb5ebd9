"""PSD posters, looked at with psd-tools and with Pillow."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import psd_tools
import pytest
import skimage.data
from PIL import Image, ImageChops
from psd_tools.constants import Resource

from posterkit.prompts import PosterBrief
from posterkit.typeset.poster import TypesetPoster, typeset

TEXTS = ["JAZZ 爵士", "Friday 8 pm\nby the river", "Book now"]


@pytest.fixture(scope="module")
def poster() -> TypesetPoster:
    picture = Image.fromarray(skimage.data.coffee())
    return typeset(picture, PosterBrief(texts=TEXTS), roles=["title", "body", "cta"])


@pytest.fixture(scope="module")
def document(poster: TypesetPoster) -> psd_tools.PSDImage:
    return psd_tools.PSDImage.open(io.BytesIO(poster.psd(dpi=144)))


def test_the_merged_picture_is_the_raster(poster: TypesetPoster) -> None:
    merged = Image.open(io.BytesIO(poster.psd()))
    assert merged.mode == "RGB" and np.array_equal(np.asarray(merged), np.asarray(poster.image))


def test_the_layers_laid_over_each_other_are_the_raster(poster: TypesetPoster, document: psd_tools.PSDImage) -> None:
    laid = document.composite(force=True, ignore_preview=True).convert("RGB")
    off = np.abs(np.asarray(laid, np.int16) - np.asarray(poster.image))
    assert poster.underlays and off.max() <= 3 and (off > 1).mean() < 0.01  # the background is dithered by half a step


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
