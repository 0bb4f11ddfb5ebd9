"""PosterRequest: what it takes, what it refuses."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from posterkit.schema import PosterRequest, sides
from posterkit.sizing import Size
from posterkit.tasks import TASKS


def test_lists_become_tuples_and_a_size_a_size() -> None:
    request = PosterRequest("a lighthouse", texts=["NORTH LIGHT"], size=(832, 1216), seed=1)
    assert request.texts == ("NORTH LIGHT",) and request.size == Size(832, 1216)
    assert (request.width, request.height) == (832, 1216) and request == replace(request)
    assert PosterRequest(texts="ONE").texts == ("ONE",)  # not its letters
    with pytest.raises(FrozenInstanceError):
        request.seed = 2  # type: ignore[misc]


def test_one_side_may_be_left_to_the_task() -> None:
    assert PosterRequest(size=sides(300, None)).width == 300 and PosterRequest(size=sides(300, None)).height is None
    assert sides(None, None) is None and PosterRequest(size=sides(None, None)).width is None


def test_the_instruction_is_the_prompt_in_its_tasks_frame_unless_it_is_given() -> None:
    assert PosterRequest("waves").as_instruction() == "waves"
    assert PosterRequest("waves", expanded="calm waves").as_instruction() == "calm waves"
    framed = PosterRequest("waves", task="style_driven")
    assert framed.as_instruction() == TASKS["style_driven"].instruction("waves")
    assert replace(framed, instruction="Paint waves.").as_instruction() == "Paint waves."


@pytest.mark.parametrize("kind", ["file", "picture", "array"])
def test_images_and_masks_come_from_files_or_from_memory(tmp_path: Path, kind: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 4, 3), dtype=np.uint8)
    hole = np.zeros((6, 4), np.uint8)
    hole[:3] = 255
    made = []
    for name, array in (("p.png", pixels), ("m.png", hole)):
        Image.fromarray(array).save(tmp_path / name)
        made.append({"file": tmp_path / name, "picture": Image.fromarray(array), "array": array}[kind])
    request = PosterRequest(task="filling", images=[made[0]], mask=made[1])
    assert np.array_equal(request.references[0], pixels) and request.mask_array is not None
    assert np.array_equal(request.mask_array, hole)
    assert np.array_equal(np.asarray(request.pictures()[0]), pixels)
    blank = np.asarray(request.inputs()[0])
    assert (blank[:3] == 128).all() and np.array_equal(blank[3:], pixels[3:])


def test_a_mask_of_another_size_than_its_image_is_refused(tmp_path: Path) -> None:
    Image.new("RGB", (4, 6)).save(tmp_path / "p.png")
    Image.new("L", (5, 6), 255).save(tmp_path / "m.png")
    with pytest.raises(ValueError, match="the mask is 5x6, its image 4x6"):
        PosterRequest(task="filling", images=[tmp_path / "p.png"], mask=tmp_path / "m.png").mask_picture()


def test_everything_that_contradicts_the_task_comes_in_one_line() -> None:
    with pytest.raises(ValueError, match=r"takes 1 image, found 0; .* needs a mask; .*; .* takes no anchor"):
        PosterRequest(task="filling", anchor="top").check()
    PosterRequest(task="extending", images=["a.png"], anchor="top").check()
