"""Colour measures against scikit-image, scipy and numbers worked out by hand."""

import numpy as np
import pytest
from scipy.stats import wasserstein_distance
from skimage import color as skcolor
from skimage import data

from posterkit.metrics import color
from posterkit.prompts import COLORS

RNG = np.random.default_rng(7)


def test_lab_agrees_with_scikit_image():
    rgb = RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    np.testing.assert_allclose(color.srgb_to_lab(rgb), skcolor.rgb2lab(rgb), atol=1e-3)


def test_lab_of_white_and_black_is_exact():
    lab = color.srgb_to_lab(np.array([[255, 255, 255], [0, 0, 0]], dtype=np.uint8))
    np.testing.assert_allclose(lab, [[100, 0, 0], [0, 0, 0]], atol=0.01)


def test_lab_and_back_returns_the_colour():
    rgb = RNG.random((500, 3))
    np.testing.assert_allclose(color.lab_to_srgb(color.srgb_to_lab(rgb)), rgb, atol=1e-6)


def test_lab_outside_the_gamut_is_clipped():
    assert color.lab_to_srgb(np.array([50.0, 120.0, -120.0])).min() >= 0


def test_a_missing_channel_axis_is_refused():
    with pytest.raises(ValueError, match="last axis of 3"):
        color.srgb_to_lab(np.zeros((4, 4), dtype=np.uint8))


@pytest.mark.parametrize("name", COLORS)
def test_each_named_colour_is_nearest_to_itself_even_when_a_little_off(name: str):
    lab = skcolor.rgb2lab(np.array(COLORS[name], dtype=np.uint8)[None])[0]
    assert color.nearest_color_name(lab + np.array([2, -2, 2])) == name


def test_the_border_colour_ignores_the_middle_and_a_few_border_pixels():
    image = np.full((100, 50, 3), COLORS["teal"], dtype=np.uint8)
    image[6:94, 3:47] = COLORS["red"]
    image[0, :10] = 255
    np.testing.assert_allclose(color.border_color(image), skcolor.rgb2lab(image)[50, 0], atol=1e-3)


def test_the_border_is_six_percent_of_each_side():
    image = np.zeros((100, 100, 3), dtype=np.uint8)
    image[:7] = image[-7:] = 255
    image[:, :5] = image[:, -5:] = 255
    assert color.border_color(image)[0] == pytest.approx(100, abs=0.1)
    image[:5] = image[-5:] = 0
    image[:, :4] = image[:, -4:] = 0
    assert color.border_color(image)[0] == pytest.approx(0, abs=0.1)


def test_a_palette_finds_flat_colours_and_their_shares():
    image = np.zeros((40, 40, 3), dtype=np.uint8)
    image[:20], image[20:30], image[30:] = COLORS["navy"], COLORS["yellow"], COLORS["red"]
    found = color.palette(image, 6)
    np.testing.assert_allclose(found.weights, [0.5, 0.25, 0.25])
    expected = skcolor.rgb2lab(np.array([[COLORS[n]] for n in ("navy", "yellow", "red")], dtype=np.uint8))[:, 0]
    assert {tuple(np.round(c, 1)) for c in found.colors} == {tuple(np.round(c, 1)) for c in expected}


def test_a_palette_is_the_same_every_time():
    first, again = color.palette(data.coffee()), color.palette(data.coffee())
    assert np.array_equal(first.colors, again.colors) and np.array_equal(first.weights, again.weights)


def test_a_palette_of_a_masked_part_holds_only_that_part():
    image = np.full((20, 20, 3), COLORS["pink"], dtype=np.uint8)
    image[5:10, 5:10] = COLORS["green"]
    found = color.palette(image, 4, keep=(image == COLORS["green"]).all(2))
    assert len(found.weights) == 1 and color.nearest_color_name(found.colors[0]) == "green"


def test_a_palette_of_no_pixels_is_refused():
    with pytest.raises(ValueError, match="at least one pixel"):
        color.palette(np.zeros((4, 4, 3), dtype=np.uint8), keep=np.zeros((4, 4), dtype=bool))


def test_a_palette_is_zero_from_itself_and_symmetric():
    a, b = color.palette(data.coffee()), color.palette(data.chelsea())
    assert color.palette_distance(a, a) == pytest.approx(0, abs=1e-9)
    assert color.palette_distance(a, b) == pytest.approx(color.palette_distance(b, a))


def test_palettes_on_one_line_agree_with_scipys_wasserstein_distance():
    rng = np.random.default_rng(3)
    grays, weights = rng.uniform(0, 100, (2, 5)), rng.dirichlet(np.ones(5), 2)
    a, b = (color.Palette(np.stack([g, np.zeros(5), np.zeros(5)], 1), w) for g, w in zip(grays, weights, strict=True))
    expected = wasserstein_distance(grays[0], grays[1], weights[0], weights[1])
    assert color.palette_distance(a, b) == pytest.approx(expected)


def test_moving_a_quarter_of_the_weight_by_eight_units_costs_two():
    a = color.Palette(np.array([[50.0, 0, 0], [50, 0, 40]]), np.array([0.75, 0.25]))
    b = color.Palette(np.array([[50.0, 0, 0], [50, 8, 40]]), np.array([0.75, 0.25]))
    assert color.palette_distance(a, b) == pytest.approx(2)


def test_a_colour_histogram_sums_to_one_and_shares_a_colour_between_nodes():
    histogram = color.color_histogram(np.array([[30.0, 0.0, 0.0]]))
    assert histogram.sum() == pytest.approx(1)
    assert histogram[1, 5, 5] == histogram[2, 5, 5] == pytest.approx(0.5)


def test_colour_histograms_part_by_as_much_as_the_colours_share_of_a_step():
    here = np.array([[40.0, 20.0, 0.0]])
    assert color.color_histogram_distance(here, here) == 0
    assert color.color_histogram_distance(here, here + np.array([5, 0, 0])) == pytest.approx(0.25)
    assert color.color_histogram_distance(here, here + np.array([40, 0, 0])) == pytest.approx(1)


def test_a_named_colour_belongs_to_its_name_and_a_halfway_one_to_both():
    names, table = list(COLORS), skcolor.rgb2lab(np.array([list(COLORS.values())], dtype=np.uint8))[0]
    shares = color.named_shares(table)
    assert (shares.argmax(1) == np.arange(14)).all() and np.allclose(shares.sum(1), 1)
    gray, black = names.index("gray"), names.index("black")
    halfway = color.named_shares((table[gray] + table[black]) / 2)
    assert halfway[gray] == pytest.approx(halfway[black], rel=1e-3)
