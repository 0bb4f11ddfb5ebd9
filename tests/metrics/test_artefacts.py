"""Each fault of pixels is told from a sound picture, and as strong as it is by construction."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from posterkit.metrics.artefacts import SEAM, artefacts, blocks, clipping, grain, levels, seams, smears

PHOTOS = Path(__file__).parents[2] / "examples" / "photos"


def photo(name: str = "coffee") -> Image.Image:
    with Image.open(PHOTOS / f"{name}.jpg") as opened:
        return opened.convert("RGB").crop((100, 20, 420, 340))


def light(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture.convert("L"))


@pytest.mark.parametrize("name", ["coffee", "astronaut", "rocket"])
def test_a_photograph_has_next_to_none(name):
    picture = photo(name).resize((416, 416), Image.Resampling.LANCZOS)
    assert min(artefacts(np.asarray(picture)).values()) > 0.8


def test_strong_compression_leaves_blocks_and_weak_one_does_not():
    kept = {}
    for quality in (5, 95):
        file = io.BytesIO()
        photo().resize((300, 300)).save(file, "JPEG", quality=quality)
        with Image.open(file) as opened:
            kept[quality] = blocks(light(opened))
    assert kept[5] < 0.3 and kept[95] > 0.9


def test_checks_of_two_pixels_are_blocks():
    y, x = np.indices((96, 96))
    assert blocks((110 + 18 * ((y // 2 + x // 2) % 2)).astype(np.uint8)) == 0


def test_grain_is_the_noise_between_3_and_15_levels():
    for sigma, kept in ((1, 1.0), (9, 0.5), (20, 0.0)):
        noisy = np.random.default_rng(0).normal(128, sigma, (300, 300)).clip(0, 255).astype(np.uint8)
        assert grain(noisy) == pytest.approx(kept, abs=0.06)


def test_each_line_from_side_to_side_takes_its_share_and_a_shorter_one_none():
    picture = np.full((100, 80, 3), 120, np.uint8)
    assert seams(picture) == 1
    picture[50:] += 20
    assert seams(picture) == pytest.approx(SEAM)
    picture[:, 30:33] = 0
    assert seams(picture) == pytest.approx(SEAM**3)
    short = np.full((100, 80, 3), 120, np.uint8)
    short[50:, :60] += 20
    assert seams(short) == 1


def test_burnt_out_and_garish_colours_count_and_white_paper_does_not():
    picture = np.full((100, 100, 3), 255, np.uint8)
    assert clipping(picture) == 1
    for color in ((255, 240, 200), (0, 40, 230)):  # burnt out; nothing grey in it
        picture[:60] = color
        assert clipping(picture) == pytest.approx(0.4)
    picture[:60] = (210, 45, 35)  # a vivid red of print
    assert clipping(picture) == 1


def test_a_picture_of_eight_levels_is_posterised():
    ramp = np.tile(np.arange(256, dtype=np.uint8), (64, 1))
    assert levels(ramp) == 1
    assert levels(ramp // 32 * 32) == pytest.approx((8 - 4) / 36)


def test_a_part_that_is_drawn_out_is_a_smear_and_a_blurred_edge_is_none():
    picture = np.asarray(photo("astronaut"), float).copy()
    kept = smears(light(photo("astronaut")))
    picture[100:220] = np.stack([picture[100:220, n : n + 1].mean(1) for n in range(320)], 1)
    run = np.ones(81) / 81
    drawn = np.apply_along_axis(lambda row: np.convolve(row, run, "same"), 1, picture[100:220])
    picture[100:220] = drawn
    assert smears(light(Image.fromarray(picture.astype(np.uint8)))) < kept - 0.1
    edge = Image.new("L", (200, 200), 30)
    edge.paste(200, (100, 0, 200, 200))
    assert smears(np.asarray(edge.filter(ImageFilter.GaussianBlur(2)))) == 1


def test_a_tiny_picture_shows_none():
    assert set(artefacts(np.zeros((40, 300, 3), np.uint8)).values()) == {1.0}
