"""Edge width, Fréchet distance and boxes, each against an answer in closed form."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter

from posterkit.synthetic import SyntheticPosters

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def modules():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield importlib.import_module("picture_measures"), importlib.import_module("recogniser")
    for name in ("picture_measures", "recogniser"):
        sys.modules.pop(name)


def _step(turn: float) -> np.ndarray:
    """A straight edge through the middle, dark to light, float `(240, 240)`."""
    y, x = np.mgrid[-120:120, -120:120] + 0.5
    return np.where(x * np.cos(turn) + y * np.sin(turn) > 0, 200.0, 40.0)


@pytest.mark.parametrize("turn", [0.0, 0.4, np.pi / 2])
@pytest.mark.parametrize("sigma", [2.0, 4.0])
def test_a_step_under_a_gaussian_rises_from_10_to_90_percent_in_2_56_sigma(modules, turn, sigma):
    picture = np.repeat(gaussian_filter(_step(turn), sigma).round().astype(np.uint8)[..., None], 3, -1)
    assert modules[0].edge_width(picture) == pytest.approx(2.563 * sigma, rel=0.06)


def test_a_faint_edge_and_a_slow_slope_are_no_edges(modules):
    slope = np.linspace(0, 255, 240).round().astype(np.uint8)
    faint = np.where(np.arange(240) < 120, 100, 130).astype(np.uint8)
    for row in (slope, faint):
        picture = np.repeat(np.tile(row, (240, 1))[..., None], 3, -1)
        assert np.isnan(modules[0].edge_width(picture))


def test_the_frechet_distance_of_two_gaussians_is_the_closed_form(modules):
    random = np.random.default_rng(0)
    one = random.normal(size=(40_000, 3)) * (1, 2, 3)
    other = random.normal(size=(40_000, 3)) * (2, 2, 1) + (0, 1, 2)
    # diagonal covariances: squared distance of the means, and of the standard deviations
    assert modules[0].frechet_distance(one, other) == pytest.approx((0 + 1 + 4) + (1 + 0 + 4), rel=0.03)
    assert modules[0].frechet_distance(one, one) == pytest.approx(0, abs=1e-6)


def test_overlap_is_the_shared_area_over_the_covered_one(modules):
    overlap = modules[1].overlap
    assert overlap((0, 0, 2, 2), (1, 1, 3, 3)) == pytest.approx(1 / 7)
    assert overlap((0, 0, 1, 1), (2, 0, 3, 1)) == 0


def test_lettering_is_found_on_a_title_and_not_on_a_plain_card(modules):
    detector = modules[0].LetteringDetector()
    card = Image.new("RGB", (256, 384), (26, 38, 86))
    assert detector(np.asarray(card)) == 0
    ImageDraw.Draw(card).text((30, 40), "JAZZ NIGHT", fill="white", font_size=34)
    assert detector(np.asarray(card)) == 1


@pytest.mark.slow
def test_a_recogniser_learns_to_tell_what_it_is_shown(modules):
    recogniser = modules[1]
    source = SyntheticPosters(seed=1, tasks=("text",), lettering=False, captions="short")
    samples = [source[i] for i in range(12)]
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    model = recogniser.Recogniser(width=8)
    pixels = recogniser._tensor([sample.target for sample in samples])
    optimizer = torch.optim.AdamW(model.parameters(), 4e-3)
    for _ in range(120):
        optimizer.zero_grad()
        recogniser.loss_of(model, pixels, samples, generator).backward()
        optimizer.step()
    reading = recogniser.read(model, [sample.target for sample in samples])
    right = recogniser.right(reading, samples)
    assert np.mean(right["subject"]) > 0.9 and np.mean(right["place"]) > 0.9
    shifted = samples[1:] + samples[:1]
    assert np.mean(recogniser.right(reading, shifted)["subject"]) < 0.4
