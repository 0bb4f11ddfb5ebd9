"""A studio around things that are cut out."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from posterkit.metrics.color import border_color, nearest_color_name
from posterkit.prompts.scene import read_scene
from posterkit.synthetic.studio import studio_scene

SIZE = (208, 304)


def box_of(things: Image.Image) -> tuple[int, int, int, int]:
    box = things.getchannel("A").getbbox()
    assert box is not None
    return box


def block(width: int, height: int, color: str = "red") -> Image.Image:
    return Image.new("RGBA", (width, height), color)


@pytest.mark.parametrize("name", ["teal", "yellow", "navy"])
def test_the_background_is_the_one_that_is_named(name):
    studio = studio_scene(read_scene(f"a bottle, {name} background"), [block(60, 90)], SIZE, framed=True)
    assert nearest_color_name(border_color(np.asarray(studio.ground))) == name


def test_the_upper_quarter_stays_free_for_a_title():
    for seed in range(6):
        studio = studio_scene(read_scene("a bottle"), [block(60, 90)], SIZE, seed)
        assert box_of(studio.things)[1] > 0.25 * SIZE[1]


@pytest.mark.parametrize(("place", "side"), [("left", -1), ("right", 1)])
def test_a_thing_stands_where_the_prompt_says(place, side):
    x0, _, x1, _ = box_of(studio_scene(read_scene(f"a bottle on the {place}"), [block(40, 90)], SIZE).things)
    assert ((x0 + x1) / 2 - SIZE[0] / 2) * side > 0.1 * SIZE[0]


def test_several_things_have_one_height_and_do_not_touch():
    studio = studio_scene(read_scene("two bottles"), [block(40, 90), block(60, 60, "blue")], SIZE)
    pixels = np.asarray(studio.things)
    red, blue = pixels[..., 0] > 200, pixels[..., 2] > 200
    assert abs(int(red.any(1).sum()) - int(blue.any(1).sum())) <= 1
    assert np.flatnonzero(red.any(0)).max() < np.flatnonzero(blue.any(0)).min() - 2


def test_a_thing_is_never_more_than_twice_its_own_pixels():
    x0, y0, x1, y1 = box_of(studio_scene(read_scene("a bottle"), [block(20, 30)], (832, 1216)).things)
    assert (x1 - x0, y1 - y0) == (40, 60)


def test_a_photograph_fills_a_poster_for_print_and_says_how_much_it_is_enlarged():
    studio = studio_scene(read_scene("a bottle"), [block(500, 500)], (2480, 3508), framed=True)
    x0, _, x1, _ = box_of(studio.things)
    assert x1 - x0 > 0.7 * 2480
    assert studio.enlarged == pytest.approx((x1 - x0) / 500)


def test_on_a_wide_poster_a_thing_stands_high_beside_the_title():
    x0, y0, _, y1 = box_of(studio_scene(read_scene("a bottle"), [block(240, 900)], (1920, 1080)).things)
    assert x0 > 0.45 * 1920
    assert y1 - y0 > 0.7 * 1080


def test_a_shadow_is_a_layer_of_its_own_below_the_thing():
    studio = studio_scene(read_scene("a bottle"), [block(80, 100)], SIZE)
    x0, y0, x1, foot = box_of(studio.things)
    left, top, right, bottom = box_of(studio.shadows)
    assert left < x0 < x1 < right
    assert y0 < top < foot < bottom


def test_below_a_standing_thing_the_ground_is_darker():
    thing = block(80, 100)
    studio = studio_scene(read_scene("a bottle, white background, flat"), [thing], SIZE, seed=2)
    _, _, _, foot = box_of(studio.things)
    ground = np.asarray(studio.picture()).astype(float).mean(2)
    assert ground[foot + 1, SIZE[0] // 2] < ground[foot + 1, 8] - 15


def test_the_same_seed_draws_the_same_studio():
    one, same, other = (studio_scene(read_scene("a cup"), [block(60, 60)], SIZE, seed) for seed in (1, 1, 2))
    assert one.picture().tobytes() == same.picture().tobytes() != other.picture().tobytes()
