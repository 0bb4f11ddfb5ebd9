"""From boxes to token weights, by hand and by pooling a pixel map."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from posterkit.datasets import SyntheticPosters
from posterkit.pipelines.latents import pack
from posterkit.schema import PosterSample, Region
from posterkit.training.loading.regions import region_shares, region_weights


def poster(width: int, height: int, *regions: tuple) -> PosterSample:
    boxes = [Region(box, role, "words") for box, role in regions]
    return PosterSample("p", "text", np.zeros((height, width, 3), np.uint8), regions=boxes)


def pixel_map(sample: PosterSample) -> torch.Tensor:
    """The paper's map, drawn pixel by pixel: 0.6 major, 0.2 minor over it, 1.0 elsewhere."""
    weight = torch.ones(sample.target.shape[:2])
    for role, value in (("major", 0.6), ("minor", 0.2)):
        for region in sample.regions:
            if region.role == role:
                x0, y0, x1, y1 = region.box
                weight[y0:y1, x0:x1] = value
    return weight


def test_half_a_token_of_title_weighs_eight_tenths():
    weights = region_weights(region_shares(poster(32, 32, ((0, 0, 8, 16), "major"), ((16, 16, 32, 20), "minor"))))
    assert weights.tolist() == pytest.approx([0.5 * 1 + 0.5 * 0.6, 1, 1, 0.75 * 1 + 0.25 * 0.2])


def test_the_smaller_weight_counts_where_boxes_overlap():
    shares = region_shares(poster(16, 16, ((0, 0, 16, 8), "major"), ((0, 4, 16, 12), "minor")))
    assert shares.tolist() == [[0.25, 0.25, 0.25]]
    assert region_weights(shares).item() == pytest.approx(0.25 * (1 + 0.6 + 0.2 + 0.2))
    assert region_weights(shares, major=0.1, minor=0.2).item() == pytest.approx(0.25 * (1 + 0.1 + 0.2 + 0.1))


def test_two_boxes_of_one_role_over_each_other_count_once():
    shares = region_shares(poster(16, 16, ((0, 0, 16, 8), "minor"), ((0, 0, 8, 16), "minor")))
    assert shares.tolist() == [[0, 0.75, 0]]


def test_weights_are_the_pixel_map_pooled_by_area_to_latent_cells_and_packed():
    source = SyntheticPosters(seed=3, tasks=("text",), sizes=((128, 192), (160, 96)))
    samples = [source[index] for index in range(6)]
    assert {region.role for sample in samples for region in sample.regions} == {"major", "minor"}
    for sample in samples:
        cells = F.interpolate(pixel_map(sample)[None, None], scale_factor=1 / 8, mode="area")
        assert torch.allclose(region_weights(region_shares(sample)), pack(cells)[0].mean(-1), atol=1e-6)


def test_a_poster_without_text_is_all_background():
    assert torch.equal(region_weights(region_shares(poster(48, 32))), torch.ones(6))


def test_weights_of_a_batch_come_out_of_half_precision_shares_unharmed_and_never_leave_the_unit_range():
    generator = np.random.default_rng(0)
    samples = []
    for _ in range(3):
        x, y = generator.integers(0, 40, 2)
        samples.append(poster(64, 64, ((int(x), int(y), 64, 64), "major"), ((0, 0, int(x) + 9, 50), "minor")))
    shares = torch.stack([region_shares(sample) for sample in samples])
    weights = region_weights(shares.half(), major=0.0, minor=0.0)
    assert weights.shape == (3, 16) and torch.equal(weights, region_weights(shares, major=0.0, minor=0.0))
    assert weights.min() >= 0 and weights.max() <= 1


@pytest.mark.parametrize(
    ("region", "said"),
    [
        (((0, 0, 8, 8), "title"), "has the role 'title'; accepted are major and minor"),
        (((0, 0, 40, 8), "major"), "its target is 32x32"),
        (((8, 8, 8, 16), "minor"), "its target is 32x32"),
    ],
)
def test_a_region_without_a_role_or_off_the_poster_names_its_sample(region, said):
    with pytest.raises(ValueError, match=said) as caught:
        region_shares(poster(32, 32, ((0, 0, 8, 8), "minor"), region))
    assert str(caught.value).startswith("sample p: regions[1]")


def test_a_poster_off_the_grid_is_refused():
    with pytest.raises(ValueError, match="16"):
        region_shares(poster(40, 32))
