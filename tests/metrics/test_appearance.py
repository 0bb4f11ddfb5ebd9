"""The measures of how a poster looks: each moves the right way, and sound posters come out over damaged ones."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_posters import SIZE, cluttered, noise, photo, poster
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from posterkit.metrics.appearance import Appearance
from posterkit.metrics.text_regions import DetectedText

SOUND = [1, 2, 3, 5, "coffee", "chelsea", "rocket", "astronaut"]


def aesthetics(image: Image.Image) -> float:
    return Appearance(image).aesthetics


@pytest.mark.parametrize("name", SOUND)
def test_a_typeset_poster_is_better_than_itself_blurred_faded_or_cluttered(name):
    sound = poster(name)
    score = aesthetics(sound)
    assert score > 0.65
    assert aesthetics(sound.filter(ImageFilter.GaussianBlur(3))) < score - 0.15
    assert aesthetics(ImageEnhance.Contrast(sound).enhance(0.2)) < score - 0.1
    assert aesthetics(cluttered(sound)) < score - 0.1


@pytest.mark.parametrize(
    "worthless",
    [
        noise(),
        Image.new("RGB", SIZE, "white"),
        Image.new("RGB", SIZE, "black"),
        Image.linear_gradient("L").resize(SIZE).convert("RGB"),
        Image.fromarray(np.random.default_rng(1).integers(0, 256, (75, 50, 3), np.uint8)).resize(SIZE, 0),
    ],
    ids=["noise", "white", "black", "gradient", "coarse noise"],
)
def test_what_is_no_poster_scores_clearly_under_every_sound_one(worthless):
    assert aesthetics(worthless) < min(aesthetics(poster(name)) for name in SOUND) - 0.2


def test_sharpness_falls_with_blur_and_nothing_has_none():
    sharp = [Appearance(poster(3).filter(ImageFilter.GaussianBlur(sigma))).sharpness for sigma in (0, 1, 2, 4)]
    assert sharp == sorted(sharp, reverse=True) and sharp[0] > 0.9 and sharp[-1] < 0.1
    assert Appearance(Image.new("RGB", SIZE, "red")).sharpness == 0


def test_tones_are_the_range_of_lightness():
    halves = np.zeros((90, 90, 3), np.uint8)
    halves[:, 45:] = 255
    assert Appearance(Image.fromarray(halves)).tones == 1
    # sRGB 119 is L 50 by the book, so black to it is 50 of 85 units
    halves[:, 45:] = 119
    assert Appearance(Image.fromarray(halves)).tones == pytest.approx(50 / 85, abs=0.01)


def test_order_is_one_without_an_edge_and_none_in_noise():
    assert Appearance(Image.new("RGB", SIZE, "teal")).order == 1
    assert Appearance(noise()).order == 0
    assert Appearance(poster(3)).order > Appearance(cluttered(poster(3))).order


def test_a_subject_in_the_middle_is_better_balanced_than_one_at_the_side():
    def disc(x: int) -> Appearance:
        image = Image.new("RGB", (300, 300), "white")
        ImageDraw.Draw(image).ellipse((x - 40, 110, x + 40, 190), fill="navy")
        return Appearance(image)

    assert disc(150).subject == pytest.approx((0.5, 0.5), abs=0.03)
    assert disc(70).subject[0] < 0.4 < 0.6 < disc(230).subject[0]
    assert disc(150).balance > disc(90).balance > disc(50).balance


def test_the_subject_is_found_beside_the_texts_and_not_in_them():
    image = Image.new("RGB", (300, 600), "white")
    draw = ImageDraw.Draw(image)
    draw.ellipse((90, 380, 210, 500), fill="navy")
    draw.text((20, 30), "JAZZ", fill="black", font_size=100)
    title = DetectedText("JAZZ", (15, 30, 285, 150), "major")
    assert Appearance(image, [title]).subject == pytest.approx((0.5, 440 / 600), abs=0.05)
    assert Appearance(image).subject[1] < 0.6  # whoever does not read takes the title for a motif
    assert Appearance(image, [title]).weight == Appearance(image).weight


def test_grey_is_harmonious_and_every_hue_at_once_is_not():
    hues = Image.fromarray(
        np.stack([np.tile(np.linspace(0, 255, 360), (90, 1)), *np.full((2, 90, 360), 255)], -1).astype(np.uint8), "HSV"
    ).convert("RGB")
    assert Appearance(Image.new("RGB", SIZE, "gray")).color == pytest.approx(0.5, abs=0.05)  # no colour, all harmony
    duotone = Image.new("RGB", (360, 90), (200, 90, 20))
    duotone.paste((20, 120, 200), (180, 0, 360, 90))
    assert Appearance(duotone).color > Appearance(hues).color


def text_on(ink: tuple[int, int, int], ground: tuple[int, int, int]) -> Appearance:
    image = Image.new("RGB", (300, 120), ground)
    ImageDraw.Draw(image).text((40, 30), "HELLO", fill=ink, font_size=60)
    x0, y0, x1, y1 = ImageDraw.Draw(image).textbbox((40, 30), "HELLO", font_size=60)
    return Appearance(
        image, [DetectedText("HELLO", (round(x0) - 4, round(y0) - 4, round(x1) + 4, round(y1) + 4), "major")]
    )


@pytest.mark.parametrize(
    ("ink", "ground", "contrast"),
    # WCAG's own arithmetic: (1 + .05) / (.05), and pairs worked out with its formula
    [
        ((0, 0, 0), (255, 255, 255), 21.0),
        ((255, 255, 255), (119, 119, 119), 4.48),
        ((255, 0, 0), (255, 255, 255), 4.0),
    ],
)
def test_the_contrast_of_a_text_is_wcags(ink, ground, contrast):
    (look,) = text_on(ink, ground).texts
    assert look.contrast == pytest.approx(contrast, rel=0.02)
    assert look.busy == 0


def test_legibility_rises_with_contrast_and_is_left_out_where_nothing_is_read():
    steps = [text_on((grey, grey, grey), (255, 255, 255)) for grey in (235, 190, 140, 80)]
    values = [looks.legibility for looks in steps]
    assert values == sorted(values) and values[0] < 0.1 and values[-1] == 1
    assert Appearance(poster(1)).legibility is None and "legibility" not in Appearance(poster(1)).parts()


def test_the_ground_around_a_text_is_busy_on_a_pattern_and_the_edge_of_the_poster_is_near():
    stripes = np.zeros((120, 300, 3), np.uint8)
    stripes[:, ::6] = stripes[:, 1::6] = stripes[:, 2::6] = 200
    image = Image.fromarray(stripes)
    ImageDraw.Draw(image).text((4, 30), "HELLO", fill="red", font_size=60)
    (look,) = Appearance(image, [DetectedText("HELLO", (1, 34, 210, 84), "major")]).texts
    assert look.busy > 0.8 and look.margin == pytest.approx(1 / 120) and look.color == "red"


@pytest.mark.parametrize("ground", ["coffee", "chelsea"])
def test_aesthetics_is_the_geometric_mean_of_its_measures_times_soundness_and_half_without_a_picture(ground):
    looks = Appearance(photo(ground))
    parts = looks.parts()
    assert all(0 < part <= 1 for part in parts.values())
    factor = parts.pop("soundness") * (1 + parts.pop("picture")) / 2
    measures = list(parts.values())
    assert looks.aesthetics == pytest.approx(np.prod(measures) ** (1 / len(measures)) * factor)


@pytest.mark.parametrize("size", [(1, 1), (2, 300), (300, 2), (7, 7), (4000, 30)])
def test_pictures_of_any_shape_are_measured(size):
    assert 0 <= aesthetics(noise().resize(size)) <= 1
