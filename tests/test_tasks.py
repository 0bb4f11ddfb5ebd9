from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from posterkit.sizing import Size
from posterkit.tasks import BLANK, TASKS, filling_canvas, get_task, place

PHOTO = Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 40, 3), dtype=np.uint8))


def test_the_six_tasks_stand_in_two_groups() -> None:
    groups = {name: task.group for name, task in TASKS.items()}
    assert groups == {
        "extending": "local", "filling": "local", "rescaling": "local", "id_driven": "local",
        "layout_driven": "global", "style_driven": "global",
    }  # fmt: skip
    assert [name for name, task in TASKS.items() if task.keeps_pixels] == ["extending", "filling"]
    assert [name for name, task in TASKS.items() if task.needs_mask] == ["filling"]
    assert {name: task.references[-1] for name, task in TASKS.items() if len(task.references) > 1} == {"id_driven": 4}


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_an_instruction_holds_the_users_words_or_the_default(task) -> None:
    assert 'with "SALE {50 %}"' in task.instruction('  with "SALE {50 %}"  ')
    assert task.instruction(None) == task.instruction("") == task.frame.format(prompt=task.default)


def test_an_unknown_task_names_those_there_are() -> None:
    with pytest.raises(ValueError, match="unknown task 'fill'; the tasks are extending, filling, rescaling"):
        get_task("fill")


def corners(size: tuple[int, int]) -> dict[str, tuple[int, int]]:
    x, y = size
    return {
        "top-left": (0, 0), "top": (x // 2, 0), "top-right": (x, 0), "left": (0, y // 2), "center": (x // 2, y // 2),
        "right": (x, y // 2), "bottom-left": (0, y), "bottom": (x // 2, y), "bottom-right": (x, y),
    }  # fmt: skip


@pytest.mark.parametrize("anchor, corner", corners((80, 132)).items())
def test_extending_puts_the_photo_at_its_own_scale_where_the_anchor_says(anchor, corner) -> None:
    placed, region = place(get_task("extending"), [PHOTO], Size(120, 192), anchor=anchor)
    x, y = corner
    canvas, made = np.asarray(placed[0]), np.asarray(region)
    assert np.array_equal(canvas[y : y + 60, x : x + 40], np.asarray(PHOTO))
    assert np.all(made[y : y + 60, x : x + 40] == 0) and (made == 0).sum() == 40 * 60
    assert np.all(canvas[made == 255] == BLANK)


def test_a_photo_larger_than_the_target_is_reduced_to_fit() -> None:
    _, region = place(get_task("extending"), [PHOTO.resize((400, 200))], Size(96, 144))
    assert (np.asarray(region) == 0).sum() == 96 * 48


def test_a_photo_that_would_cover_the_target_leaves_a_border_to_make() -> None:
    _, region = place(get_task("extending"), [PHOTO], Size(40, 60))
    assert (np.asarray(region) == 0).sum() == 30 * 45


def test_a_photo_almost_of_the_targets_shape_leaves_a_border_worth_making() -> None:
    box = get_task("extending").canvas(Size(4000, 6000), Size(832, 1216), "center")
    assert Size(box[2] - box[0], box[3] - box[1]) == (608, 912)
    wide = get_task("extending").canvas(Size(900, 1200), Size(832, 1216), "center")
    assert Size(wide[2] - wide[0], wide[3] - wide[1]) == (832, 1109)


def test_filling_blanks_what_the_mask_marks_and_keeps_the_rest() -> None:
    mask = Image.new("L", PHOTO.size)
    mask.paste(255, (5, 10, 15, 30))
    placed, region = place(get_task("filling"), [PHOTO], Size(40, 60), mask)
    made = np.asarray(region) == 255
    assert np.array_equal(made, np.asarray(mask) == 255)
    assert np.array_equal(np.asarray(placed[0])[~made], np.asarray(PHOTO)[~made])
    assert np.all(np.asarray(placed[0])[made] == BLANK)


def test_a_pixel_that_the_mask_only_touches_is_made_too() -> None:
    mask = Image.new("L", (400, 600))
    mask.putpixel((199, 301), 255)
    _, region = place(get_task("filling"), [PHOTO.resize((400, 600))], Size(40, 60), mask)
    assert np.argwhere(np.asarray(region) == 255).tolist() == [[30, 19]]


def test_filling_refuses_another_shape() -> None:
    with pytest.raises(ValueError, match="keeps the picture's shape: the image is 40x60, the asked size 60x40"):
        filling_canvas(Size(40, 60), Size(60, 40))


@pytest.mark.parametrize("name", ["rescaling", "id_driven", "layout_driven", "style_driven"])
def test_the_other_tasks_place_nothing(name) -> None:
    placed, region = place(get_task(name), [PHOTO], Size(96, 96))
    assert placed == [PHOTO] and region is None
