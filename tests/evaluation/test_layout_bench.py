import pytest

from posterkit.datagen.layout_requests import SIZES, draw_request
from posterkit.evaluation.layout_bench import as_markdown, compare
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


@pytest.fixture(scope="module")
def rows():
    return compare(["random", "grammar"], 6)


def test_a_plan_beats_none(rows):
    random, grammar = rows
    means = [{name: row.estimate(name).mean for name in ("hard", "occ", "subject")} for row in (random, grammar)]
    assert means[1]["hard"] == 0 and all(means[1][name] <= means[0][name] for name in means[0])


def test_the_table_names_form_and_intervals(rows):
    table = as_markdown(rows, 6)
    assert "corrected form" in table and "95 % bootstrap" in table and "| grammar | 0.000 (0.000 to 0.000)" in table
