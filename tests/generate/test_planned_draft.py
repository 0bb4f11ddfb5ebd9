"""Drafts that are drawn after a plan, and what the record says of the plan; no model."""

import numpy as np
import pytest

from posterkit.generate.draft import DraftPlan, drawn_after
from posterkit.layout import Box, Element, ElementRequest, Layout, LayoutRequest
from posterkit.layout.json_form import layout_to_json
from posterkit.layout.planner import estimate
from posterkit.layout.planners.grammar import GrammarPlanner
from posterkit.lettering import Lettering
from posterkit.metrics.color import border_color, srgb_to_lab
from posterkit.schema import PosterRequest
from posterkit.sizing import Size


def _plan(*elements):
    return Layout(400, 600, tuple(Element(at, text, role, box) for at, (role, text, box) in enumerate(elements)))


@pytest.mark.parametrize("subject", [Box(40, 220, 360, 560), Box(40, 40, 360, 380)])
def test_a_draft_has_its_subject_where_the_plan_has_it(subject):
    title = Box(40, 50, 360, 150) if subject.y0 > 200 else Box(40, 450, 360, 550)
    layout = drawn_after(_plan(("title", "Burger", title), ("subject", "", subject)))
    request = PosterRequest("a burger on a plain white ground", texts=["Burger"], seed=3)
    drawn = np.asarray(DraftPlan(0.6, layout=layout).picture(request, Size(400, 600)))
    ground = border_color(drawn)
    unlike = np.linalg.norm(srgb_to_lab(drawn / 255) - ground, axis=-1) > 25
    y, x = np.nonzero(unlike)
    assert subject.x0 <= np.median(x) <= subject.x1 and subject.y0 <= np.median(y) <= subject.y1


def test_a_plan_without_a_subject_leaves_the_draft_alone():
    assert drawn_after(_plan(("title", "Burger", Box(40, 50, 360, 150)))) is None


def test_room_for_the_title_is_what_stands_with_it():
    plan = GrammarPlanner().plan(
        LayoutRequest.of_texts((832, 1216), ["JAZZ", "The trio", "Friday", "Book now"], None,
                               [ElementRequest("subject")]), estimate,
    )  # fmt: skip
    layout = drawn_after(plan)
    assert layout is not None
    title = plan.elements[0].box.scaled(1 / 832, 1 / 1216)
    assert Box(*layout.title).shared(title) == pytest.approx(title.area)
    assert not Box(*layout.title).overlaps(Box(*layout.subject))


def test_lettering_says_one_thing_of_where_texts_stand():
    plan = layout_to_json(_plan(("title", "Burger", Box(40, 50, 360, 150))))
    assert Lettering(plan=plan).given() == {"plan": plan}
    assert Lettering(plan=plan, planner="grammar").faults() == [
        "plan says where the texts stand, and so does planner; give one of them"
    ]
    assert "did you mean 'retrieval'" in Lettering(planner="retrival").faults()[0]
