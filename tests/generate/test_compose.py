from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from posterkit.generate.compose import paste_kept
from posterkit.generate.enlarge import enlarge
from posterkit.generate.obstacles import find_subject
from posterkit.sizing import Size
from posterkit.tasks import TASKS, place


def shapes(width: int, height: int, over: int = 4) -> Image.Image:
    """Discs and bars over a gradient, antialiased by drawing them larger."""
    w, h = width * over, height * over
    rows = np.linspace(0, 1, h)[:, None, None]
    ground = np.broadcast_to((1 - rows) * (40, 60, 140) + rows * (230, 150, 80), (h, w, 3))
    image = Image.fromarray(ground.astype(np.uint8))
    draw = ImageDraw.Draw(image)
    draw.ellipse((w * 0.5, h * 0.1, w * 0.8, h * 0.1 + w * 0.3), fill=(250, 220, 120))
    draw.polygon([(0, h), (w * 0.1, h * 0.55), (w * 0.45, h * 0.8), (w, h * 0.5), (w, h)], fill=(40, 34, 70))
    draw.rectangle((w * 0.1, h * 0.2, w * 0.2, h * 0.5), fill=(204, 44, 44))
    return image.resize((width, height), Image.Resampling.BOX)


def psnr(a: Image.Image, b: Image.Image) -> float:
    error = np.mean((np.asarray(a, float) - np.asarray(b, float)) ** 2)
    return 10 * np.log10(255**2 / error)


def test_enlarged_shapes_are_nearer_to_the_truth_than_lanczos() -> None:
    truth, small = shapes(832, 1216), shapes(128, 192)
    ours, name = enlarge(small, (832, 1216))
    lanczos = small.resize((832, 1216), Image.Resampling.LANCZOS)
    assert name == "mitchell-shock"
    assert psnr(ours, truth) > psnr(lanczos, truth) + 0.5


def test_an_edge_gets_steep_without_over_or_undershoot() -> None:
    step = np.full((48, 48, 3), 50, np.uint8)
    step[:, 24:] = 200
    large = np.asarray(enlarge(Image.fromarray(step), (312, 312))[0])[156, :, 0].astype(int)
    assert large.min() == 50 and large.max() == 200
    # Lanczos needs one source pixel, 6.5 here, to rise from a tenth to nine tenths
    assert ((large > 65) & (large < 185)).sum() <= 4
    assert (np.diff(large) >= -1).all()


def test_a_smooth_gradient_stays_a_gradient() -> None:
    ramp = np.linspace(40, 220, 192)
    small = np.broadcast_to(ramp[:, None, None], (192, 128, 3)).round().astype(np.uint8)
    large = np.asarray(enlarge(Image.fromarray(small), (832, 1216))[0])[:, 400, 1].astype(float)
    exact = np.interp((np.arange(1216) + 0.5) * 192 / 1216 - 0.5, np.arange(192), ramp)
    assert np.abs(large - exact).max() <= 1.0
    assert np.diff(large).max() <= 1


def test_a_flat_picture_stays_flat() -> None:
    large = enlarge(Image.new("RGB", (32, 48), (12, 200, 77)), (400, 600))[0]
    assert large.getcolors() == [(400 * 600, (12, 200, 77))]


@pytest.mark.parametrize(
    ("size", "name"),
    [((64, 96), "none"), ((100, 150), "lanczos"), ((32, 48), "lanczos"), ((640, 960), "mitchell-shock")],
)
def test_the_resampler_is_named(size: tuple[int, int], name: str) -> None:
    large, found = enlarge(shapes(64, 96), size)
    assert (large.size, found) == (size, name)


def test_kept_pixels_come_back_exactly() -> None:
    rng = np.random.default_rng(1)
    photo = Image.fromarray(rng.integers(0, 256, (90, 120, 3), dtype=np.uint8))
    (canvas,), region = place(TASKS["extending"], [photo], Size(300, 420), anchor=(70, 33))
    assert region is not None
    drawn = Image.fromarray(rng.integers(0, 256, (420, 300, 3), dtype=np.uint8))
    result = paste_kept(drawn, canvas, region)
    assert np.array_equal(np.asarray(result)[33:123, 70:190], np.asarray(photo))


def test_a_hole_in_a_photograph_leaves_the_rest_untouched() -> None:
    rng = np.random.default_rng(2)
    photo = Image.fromarray(rng.integers(0, 256, (600, 800, 3), dtype=np.uint8))
    region = Image.new("L", photo.size, 0)
    region.paste(255, (300, 200, 360, 250))
    result = np.asarray(paste_kept(Image.new("RGB", photo.size, "red"), photo, region))
    outside = np.asarray(region) == 0
    assert np.array_equal(result[outside], np.asarray(photo)[outside])
    assert (result[200:250, 300:360] != np.asarray(photo)[200:250, 300:360]).any()


def test_a_colour_cast_of_the_drawing_does_not_show_as_a_step_at_the_seam() -> None:
    photo = Image.new("RGB", (200, 300), (120, 120, 120))
    region = Image.new("L", photo.size, 255)
    region.paste(0, (0, 0, 100, 300))
    drawn = Image.new("RGB", photo.size, (150, 110, 120))
    row = np.asarray(paste_kept(drawn, photo, region))[150].astype(int)
    assert np.abs(row[100] - row[99]).max() <= 3
    assert np.abs(row[199] - 120).max() <= 2  # nor anywhere else: the drawing shows a cast and nothing more


def test_pictures_of_different_sizes_are_refused() -> None:
    image, region = Image.new("RGB", (10, 10)), Image.new("L", (10, 12))
    with pytest.raises(ValueError, match="one size"):
        paste_kept(image, image, region)


@pytest.mark.parametrize(("edge", "found"), [(90, 1), (14, 0)])
def test_a_subject_that_leaves_no_room_for_texts_is_no_obstacle(edge: int, found: int) -> None:
    picture = Image.new("RGB", (300, 300), (236, 230, 214))
    ImageDraw.Draw(picture).ellipse((edge, edge, 299 - edge, 299 - edge), fill=(190, 40, 30))
    assert len(find_subject(picture)) == found
