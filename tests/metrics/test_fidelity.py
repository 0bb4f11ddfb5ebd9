"""Fidelity measures against scikit-image and hand-made pictures."""

import math

import numpy as np
import pytest
from skimage import data, metrics

from posterkit.metrics import fidelity

PHOTO = data.chelsea()[:192, :128]
GRAY = np.full((64, 64, 3), 128, dtype=np.uint8)


def _noisy(image: np.ndarray, width: float) -> np.ndarray:
    noise = np.random.default_rng(1).normal(0, width, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def _stripes(period: int, upright: bool) -> np.ndarray:
    wave = 128 + 100 * np.sin(2 * np.pi * np.arange(64) / period)
    plane = np.tile(wave, (64, 1)) if upright else np.tile(wave[:, None], (1, 64))
    return np.repeat(plane[..., None], 3, axis=2).astype(np.uint8)


def test_psnr_agrees_with_scikit_image():
    other = _noisy(PHOTO, 12)
    assert fidelity.psnr(PHOTO, other) == pytest.approx(metrics.peak_signal_noise_ratio(PHOTO, other))


def test_psnr_of_equal_images_is_infinite():
    assert fidelity.psnr(PHOTO, PHOTO) == math.inf


def test_ssim_agrees_with_scikit_image():
    other = _noisy(PHOTO, 25)
    expected = metrics.structural_similarity(
        PHOTO, other, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert fidelity.ssim(PHOTO, other) == pytest.approx(expected)


def test_ssim_refuses_an_image_smaller_than_its_window():
    with pytest.raises(ValueError, match="sides above 10 px, got 8x8"):
        fidelity.ssim(GRAY[:8, :8], GRAY[:8, :8])


def test_images_of_different_size_are_refused():
    with pytest.raises(ValueError, match="differ in size: 64x64 and 64x32"):
        fidelity.psnr(GRAY, GRAY[:32])


def test_a_ramp_to_the_right_fills_only_the_first_orientation():
    histogram = fidelity.orientation_histogram(np.tile(np.arange(32.0) * 2, (32, 1)))
    np.testing.assert_allclose(histogram, [2, 0, 0, 0, 0, 0, 0, 0, 0], atol=1e-12)


def test_a_ramp_downwards_is_shared_by_the_two_middle_orientations():
    histogram = fidelity.orientation_histogram(np.tile(np.arange(32.0)[:, None], (1, 32)))
    np.testing.assert_allclose(histogram, [0, 0, 0, 0, 0.5, 0.5, 0, 0, 0], atol=1e-12)


def test_light_to_dark_and_dark_to_light_are_the_same_orientation():
    ramp = np.add.outer(np.arange(32.0), 3 * np.arange(32.0))
    np.testing.assert_allclose(fidelity.orientation_histogram(ramp), fidelity.orientation_histogram(-ramp), atol=1e-9)


def test_the_rim_of_a_region_is_no_edge():
    lightness = np.zeros((32, 32))
    lightness[8:24, 8:24] = 90
    region = lightness > 0
    assert fidelity.orientation_histogram(lightness, region).sum() == 0


def test_texture_is_far_from_none_and_from_texture_across_but_near_to_itself_moved():
    along, across = _stripes(8, True), _stripes(8, False)
    own, other, flat = (fidelity.orientation_histogram(i[..., 0] / 2.55) for i in (along, across, GRAY))
    moved = fidelity.orientation_histogram(np.roll(along, 3, axis=1)[..., 0] / 2.55)
    assert fidelity.orientation_distance(own, flat) > 0.95
    assert fidelity.orientation_distance(own, other) > 0.95
    assert fidelity.orientation_distance(own, moved) < 0.05
    assert fidelity.orientation_distance(flat, flat) == 0


def test_the_appearance_distance_is_zero_for_the_same_and_at_most_three():
    black, white = np.zeros_like(GRAY), np.full_like(GRAY, 255)
    assert fidelity.appearance_distance(PHOTO, PHOTO) == 0
    # pixel and histogram terms full, no texture in either
    assert fidelity.appearance_distance(black, white) == pytest.approx(2, abs=1e-3)


def test_a_pixel_error_prefers_flat_colour_where_the_appearance_distance_prefers_texture_out_of_place():
    truth, moved, flat = _stripes(8, True), np.roll(_stripes(8, True), 4, axis=1), GRAY
    assert fidelity.psnr(truth, flat) > fidelity.psnr(truth, moved)
    assert fidelity.appearance_distance(truth, moved) < fidelity.appearance_distance(truth, flat)


def test_only_the_region_counts():
    other = PHOTO.copy()
    other[:96] = 0
    region = np.zeros(PHOTO.shape[:2], dtype=bool)
    region[96:] = True
    assert fidelity.appearance_distance(PHOTO, other, region) == pytest.approx(0)
    assert fidelity.appearance_distance(PHOTO, other, ~region) > 1


def test_an_empty_region_is_refused():
    with pytest.raises(ValueError, match="not empty"):
        fidelity.appearance_distance(GRAY, GRAY, np.zeros((64, 64), dtype=bool))


def test_edge_replication_repeats_the_nearest_kept_pixel():
    image = np.arange(5, dtype=np.uint8)[None, :, None] * np.ones((3, 1, 3), dtype=np.uint8)
    made = np.zeros((3, 5), dtype=bool)
    made[:, 3:] = True
    assert fidelity.edge_replication(image, made)[0, :, 0].tolist() == [0, 1, 2, 2, 2]


@pytest.mark.parametrize("value", [True, False])
def test_baselines_need_kept_and_made_pixels(value: bool):
    with pytest.raises(ValueError, match="kept and made pixels"):
        fidelity.edge_replication(GRAY, np.full((64, 64), value))
