import numpy as np
import pytest
from PIL import Image

from posterkit.layout import Box
from posterkit.typeset.contrast import (
    Ink,
    contrast,
    luminance,
    mix,
    needed_alpha,
    palette,
    parse_color,
    ratio,
    underlay,
)
from posterkit.typeset.painting import InkedGroup, with_underlays

WHITE, BLACK = (255, 255, 255), (0, 0, 0)


def test_black_on_white_is_21_to_1():
    assert float(ratio(BLACK, luminance(WHITE))) == pytest.approx(21.0, abs=1e-3)


def test_published_contrast_values_are_reproduced():
    # the grey that WebAIM and the W3C name as the lightest to pass and the next one, which fails
    assert float(ratio((0x76, 0x76, 0x76), luminance(WHITE))) == pytest.approx(4.54, abs=0.005)
    assert float(ratio((0x77, 0x77, 0x77), luminance(WHITE))) == pytest.approx(4.48, abs=0.005)
    assert float(luminance((255, 0, 0))) == pytest.approx(0.2126, abs=1e-4)


def test_contrast_is_against_the_worst_pixels_not_the_mean():
    pixels = np.zeros((100, 100, 3), np.uint8)
    pixels[:, :5] = 255
    assert contrast(WHITE, pixels) == pytest.approx(1.0)


def test_the_needed_alpha_is_enough_and_not_more():
    pixels = np.random.default_rng(0).integers(0, 256, (500, 3), np.uint8)
    alpha = needed_alpha(WHITE, BLACK, pixels)
    assert contrast(WHITE, mix(pixels, BLACK, alpha)) >= 4.5
    assert contrast(WHITE, mix(pixels, BLACK, alpha - 0.1)) < 4.8
    assert needed_alpha(WHITE, BLACK, np.zeros((10, 3), np.uint8)) == 0


@pytest.mark.parametrize(
    "box",
    [(40, 20, 260, 90), (40, 350, 260, 430), (80, 180, 220, 260), (10, 100, 120, 330), (5, 5, 295, 440)],
    ids=["top", "bottom", "middle", "left", "everywhere"],
)
def test_an_underlay_is_full_behind_the_text_and_fades_without_steps(box):
    strength = underlay((300, 450), [Box(*box)], 0.6)[..., 0]
    x0, y0, x1, y1 = box
    assert strength.shape == (450, 300)
    assert strength[y0:y1, x0:x1].min() >= 0.59
    assert strength.max() <= 0.9
    assert max(np.abs(np.diff(strength, axis=0)).max(), np.abs(np.diff(strength, axis=1)).max()) < 0.06


def test_an_underlay_grows_until_every_text_reads_however_far_off_its_first_strength_is():
    boxes = [Box(40, 20, 260, 90), Box(40, 350, 260, 430)]
    ink = Ink(WHITE, WHITE, (17, 17, 20), 0.0)
    groups = [InkedGroup(ink, ((box, WHITE, 4.5),), hides=False) for box in boxes]
    ground, _ = with_underlays(Image.new("RGB", (300, 450), "white"), groups)
    for box in boxes:
        assert contrast(WHITE, np.asarray(ground.crop(box.pixels(ground.size)))) >= 4.5


def test_colours_are_read_as_words_and_as_hex():
    assert parse_color("#FF8000") == (255, 128, 0)
    assert parse_color("Black") is not None
    assert parse_color("chartreuse-ish") is None


def test_the_palette_names_the_main_colours_most_frequent_first():
    image = Image.new("RGB", (90, 90), (200, 30, 30))
    image.paste((20, 20, 160), (0, 0, 90, 20))
    first, second = palette(image, 2)
    assert np.abs(np.subtract(first, (200, 30, 30))).max() <= 8
    assert np.abs(np.subtract(second, (20, 20, 160))).max() <= 8
