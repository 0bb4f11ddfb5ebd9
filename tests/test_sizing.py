from __future__ import annotations

import math

import pytest

from posterkit.sizing import Size, buckets, check_on_grid, contain, fit_area, nearest_bucket, round_sides


@pytest.mark.parametrize("size", [(832, 1216), (1024, 1024), (128, 192), (1344, 768)])
def test_a_size_on_the_grid_and_of_the_area_comes_back_unchanged(size) -> None:
    assert fit_area(size, size[0] * size[1]) == size


@pytest.mark.parametrize("size", [(4000, 3000), (301, 452), (1, 2), (777, 1001), (5000, 2100)])
@pytest.mark.parametrize("area", [24576, 1024 * 1024])
def test_the_nearest_size_is_on_the_grid_near_in_shape_and_area(size, area) -> None:
    found = fit_area(size, area)
    assert found.width % 16 == 0 and found.height % 16 == 0
    # a side is off by less than one cell, so shape and area are off by no more than a cell on each side allows
    cell = 16 / math.sqrt(area * min(size) / max(size))
    assert abs(math.log(found.aspect / (size[0] / size[1]))) < cell
    assert abs(math.log(found.area / area)) < 2 * cell


def test_the_poster_shape_is_832_by_1248_at_a_megapixel_and_128_by_192_at_minis_area() -> None:
    # 2:3 exactly: 832 x 1248 is 0.99 of 2^20, 128 x 192 is the area itself
    assert fit_area((2, 3), 1024 * 1024) == (832, 1248) and fit_area((2, 3), 128 * 192) == (128, 192)


@pytest.mark.parametrize("size, area", [((0, 5), 100), ((5, -1), 100), ((5, 5), 0)])
def test_a_size_without_area_is_an_error(size, area) -> None:
    with pytest.raises(ValueError, match="positive sides"):
        fit_area(size, area)


@pytest.mark.parametrize("width, height", [(100, 96), (96, 100), (0, 96), (-16, 16), (8, 16)])
def test_a_size_off_the_grid_names_one_on_it(width, height) -> None:
    with pytest.raises(ValueError, match=rf"size {width}x{height} is off the grid of 16 pixels; the nearest size is"):
        check_on_grid(width, height)


def test_containing_keeps_the_shape_and_never_enlarges() -> None:
    assert contain((400, 300), (200, 200)) == (200, 150)
    assert contain((100, 50), (200, 200)) == (100, 50)
    assert contain((1000, 1), (10, 10)) == (10, 1)


def test_stock_rounding_rounds_each_side_by_itself() -> None:
    # sqrt(2^20 * 2/3) = 836.1 and 1254.1: to multiples of 32 that is 832 and 1248
    assert round_sides((2, 3), 1024 * 1024) == (832, 1248)
    # 96 and 144 themselves: 144 lies half way and goes to the even multiple
    assert round_sides((96, 144), 96 * 144) == (96, 128)


def test_buckets_come_both_ways_up_on_the_grid_within_the_aspect() -> None:
    found = buckets(128 * 192)
    assert (128, 192) in found and (192, 128) in found
    assert set(found) == {Size(*reversed(size)) for size in found}
    assert all(size.width % 16 == 0 == size.height % 16 and 1 / 3 <= size.aspect <= 3 for size in found)
    assert nearest_bucket((1000, 1490), found) == (128, 192)
