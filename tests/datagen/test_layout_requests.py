from random import Random

import pytest
from PIL import Image

from posterkit.datagen.layout_requests import SIZES, draw_request, requests_of, words_in
from posterkit.layout.layout_request import ElementRequest


def test_requests_have_2_to_8_elements_in_four_shapes_and_two_languages():
    drawn = [draw_request(seed) for seed in range(0, 56, 3)]
    assert {one.request.size for one in drawn} == set(SIZES) and {one.language for one in drawn} == {"en", "zh"}
    assert {len(one.request.elements) for one in drawn} == set(range(2, 9))
    for one in drawn:
        assert [element.role for element in one.request.elements].count("title") == 1
        assert one.subject.area > 0 and all(isinstance(element, ElementRequest) for element in one.request.elements)


def test_splits_share_no_picture():
    first, second = (draw_request(4, split).request.picture for split in ("train", "heldout"))
    assert first is not None and second is not None and first.tobytes() != second.tobytes()


def test_a_smaller_picture_has_its_subject_in_the_same_place_on_the_canvas():
    whole, small = draw_request(3), draw_request(3, scale=0.25)
    assert small.request.picture.size == (180, 320) and small.request.size == whole.request.size == (720, 1280)
    assert small.subject == pytest.approx(whole.subject, abs=8)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_words_have_about_the_length_that_is_asked_for(language):
    for length in (4, 30, 90):
        found = words_in(Random(0), language, length)
        assert len(found) > 0 and abs(len(found) - length) <= 14 and found == found.strip()


def test_a_layout_of_a_set_becomes_a_request_with_its_picture(tmp_path):
    rows = ["poster_path,total_elem,cls_elem,box_elem", 'train/0.png,2,1,"[51, 75, 461, 150]"',
            'train/0.png,2,3,"[40, 60, 470, 165]"']  # fmt: skip
    (tmp_path / "train.csv").write_text("\n".join(rows))
    Image.new("RGB", (100, 150), (200, 30, 30)).save(tmp_path / "0.png")
    (drawn,) = requests_of(tmp_path, "pku", 5)
    assert [one.role for one in drawn.request.elements] == ["title", "underlay"] and drawn.subject is None
    assert drawn.request.picture.size == drawn.request.size == (513, 750)
    drawn.request.check()
