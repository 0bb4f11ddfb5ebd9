import math

import numpy as np
import pytest
from PIL import Image, ImageDraw

from posterkit.layout import Box, Relation
from posterkit.layout.measures import (
    PKU_SIZE,
    alignment,
    area_ratio_score,
    covered_cells,
    gradient,
    mean_areas,
    overlap,
    poster_labels,
    poster_measures,
    violation,
)
from posterkit.layout.similarity import label_boxes


def _centered(*boxes):
    return [(x - w / 2, y - h / 2, x + w / 2, y + h / 2) for x, y, w, h in boxes]


# hand cases of RALF's tests
@pytest.mark.parametrize(
    ("labels", "boxes", "loose", "strict"),
    [
        (["text", "underlay"], [(0.5, 0.5, 0.2, 0.2), (0.5, 0.5, 0.4, 0.4)], 1, 1),
        (["text", "underlay"], [(0.1, 0.1, 0.2, 0.2), (0.9, 0.9, 0.2, 0.2)], 0, 0),
        (["text", "underlay"], [(0.5, 0.5, 0.2, 0.6), (0.5, 0.5, 0.6, 0.2)], 1 / 3, 0),
        (["text", "underlay", "text"], [(0.5, 0.5, 0.2, 0.6), (0.5, 0.5, 0.6, 0.2), (0.5, 0.5, 0.3, 0.1)], 1, 1),
        (["text", "underlay", "underlay"], [(0.5, 0.5, 0.2, 0.2), (0.5, 0.5, 0.3, 0.3), (0.5, 0.5, 0.4, 0.4)], 1, 1),
    ],
)
def test_underlays(labels, boxes, loose, strict):
    found = poster_measures([label_boxes(labels, _centered(*boxes))])
    assert (found["und_l"], found["und_s"]) == pytest.approx((loose, strict))


THREE = label_boxes(["text"] * 3, _centered(*((x, 0.5, 0.4, 0.4) for x in (0.3, 0.5, 0.7))))


def test_overlap_of_three_in_a_row():
    assert poster_measures([THREE])["ove"] == pytest.approx((1 / 3 + 1 / 3 + 0) / 3)
    # the published form divides by elements, not by pairs
    assert poster_measures([THREE], form="pku")["ove"] == pytest.approx((1 / 3 + 1 / 3) / 3 * (3 - 1) / 2)


def test_a_single_element_has_no_overlap_to_speak_of():
    single = label_boxes(["text"], [(0.1, 0.1, 0.5, 0.5)])
    assert math.isnan(poster_measures([single])["ove"])
    assert poster_measures([single], form="pku")["ove"] == 0


def test_the_published_test_of_underlays_does_not_look_at_the_right_edge():
    wide = label_boxes(["underlay", "text"], [(0.1, 0.1, 0.4, 0.4), (0.2, 0.2, 0.9, 0.3)])
    assert poster_measures([wide])["und_s"] == 0
    assert poster_measures([wide], form="pku")["und_s"] == 1


def test_a_thousandth_of_the_canvas_is_no_element():
    tiny = label_boxes(["text", "text"], [(0, 0, 0.03, 0.03), (0.2, 0.2, 0.4, 0.4)])
    assert poster_measures([tiny])["val"] == 0.5
    # what sticks out of the canvas counts in the corrected form alone
    out = label_boxes(["text"], [(0.99, 0, 1.5, 0.02)])
    assert (poster_measures([out])["val"], poster_measures([out], form="pku")["val"]) == (1, 0)


def test_alignment_by_hand():
    # the first two share their left edges; the third is 0.1 from the second's centre
    boxes = [(0.1, 0.1, 0.3, 0.2), (0.1, 0.4, 0.7, 0.5), (0.5, 0.8, 0.65, 0.93)]
    layout = label_boxes(["text"] * 3, boxes)
    assert alignment(label_boxes(["text"] * 2, boxes[:2])) == 0
    assert alignment(layout) == pytest.approx(-math.log(1 - 0.05) / 3)  # right edges 0.65 and 0.7
    assert poster_measures([layout])["ali"] == pytest.approx(-math.log10(1 - 0.05) / 3)
    # the published form takes the nearest pair of the layout for all three
    assert poster_measures([layout], form="pku")["ali"] == pytest.approx(0, abs=1e-6)


def test_overlap_counts_the_covered_part_of_each_element():
    layout = label_boxes(["text"] * 2, [(0, 0, 0.5, 0.5), (0.25, 0, 1.0, 0.5)])
    assert overlap(layout) == pytest.approx((0.5 + 1 / 3) / 2)


def test_violation_is_the_share_of_broken_relations():
    boxes = [Box(0, 0, 10, 10), Box(0, 50, 10, 60)]
    relations = [Relation(0, "top", 1), Relation(0, "bottom", 1), Relation(0, "equal", 1), Relation(1, "top")]
    assert violation(boxes, relations, 100) == 0.5
    assert violation(boxes, [], 100) == 0


def test_re_is_symmetric_but_for_the_published_form():
    usual = {"text": 0.1}
    assert area_ratio_score(usual, {"text": 0.105}) == 1
    small, large = ({"text": 0.1 * factor} for factor in (0.5, 2.0))
    assert area_ratio_score(usual, small) == pytest.approx(area_ratio_score(usual, large)) == pytest.approx(1.1 / 2)
    assert area_ratio_score(usual, small, "pku") == 1
    assert area_ratio_score(usual, large, "pku") == pytest.approx(1.1 / 2)
    # two labels: one right, one twice too large
    both = area_ratio_score({"text": 0.1, "logo": 0.1}, {"text": 0.1, "logo": 0.2})
    assert both == pytest.approx(math.exp(-math.log(2 / 1.1) / math.sqrt(2)))
    assert mean_areas([THREE]) == pytest.approx({"text": 0.16})


def test_occlusion_and_utility_on_a_half_salient_picture():
    seen = np.zeros((10, 10))
    seen[:, :5] = 1
    layout = label_boxes(["text"], [(0.4, 0, 0.8, 1)])  # one column of four on the salient half
    found = poster_measures([layout], saliency=[seen])
    assert found["occ"] == pytest.approx(0.25) and found["uti"] == pytest.approx(3 / 5)
    beside = poster_measures([label_boxes(["text"], [(0.6, 0, 0.8, 1)])], saliency=[seen], form="pku")
    assert beside["occ"] < 0.02 and beside["uti"] == pytest.approx(0.4, abs=0.02)


def test_cells_are_covered_by_their_centres():
    assert covered_cells(np.array([[0.05, 0.0, 0.25, 0.5]]), (2, 10)).sum() == 2  # of centres 0.05 and 0.15
    assert covered_cells(np.array([[-1.0, -1, 2, 2]]), (4, 4)).all()


def _step(left, right, size=(64, 64)):
    picture = Image.new("L", size, left)
    ImageDraw.Draw(picture).rectangle((32, 0, *size), fill=right)
    return picture.convert("RGB")


def test_rea_sees_falling_edges_that_the_published_form_does_not():
    layout = label_boxes(["text"], [(0.25, 0.25, 0.75, 0.75)])
    rising, falling = (poster_measures([layout], pictures=[_step(*tones)])["rea"] for tones in ((50, 150), (150, 50)))
    assert rising == pytest.approx(falling) and rising > 0.05
    published = [
        poster_measures([label_boxes(["text"], [(0, 0, 1, 1)])], pictures=[_step(*tones, PKU_SIZE)], form="pku")["rea"]
        for tones in ((50, 150), (150, 50))
    ]
    assert published == pytest.approx([2 / 513, 0])


def test_text_on_an_underlay_is_not_unreadable():
    layout = label_boxes(["text", "underlay"], [(0.25, 0.25, 0.75, 0.75)] * 2)
    assert math.isnan(poster_measures([layout], pictures=[_step(50, 150)])["rea"])


def test_the_gradient_of_a_step_is_at_the_step_alone():
    found = gradient(_step(50, 150))
    assert found.max() == 1 and set(np.flatnonzero(found[10])) == {31, 32}
    assert gradient(Image.new("RGB", (8, 8), "teal")).max() == 0


def test_texts_of_every_role_are_text_to_the_poster_measures():
    layout = label_boxes(["title", "cta", "subject", "logo"], [(0, 0, 1, 1)] * 4)
    assert poster_labels(layout).labels.tolist() == ["text", "text", "logo"]
