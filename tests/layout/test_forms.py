import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posterkit.layout import THINGS, Box, Element, ElementRequest, Layout, LayoutRequest, Obstacle, Relation, Stage
from posterkit.layout.html_form import grid_of, layout_from_html, layout_to_html
from posterkit.layout.json_form import layout_from_json, layout_to_json, request_from_json, request_to_json
from posterkit.layout.svg_form import layout_from_svg, layout_to_svg
from posterkit.lettering import ALIGNS, ROLES

# what a file can hold: letters of any script, quotes, markup, line breaks; no control characters
WORDS = st.text(st.characters(exclude_categories=("Cc", "Cs", "Cn")) | st.just("\n"), max_size=30)
TEXT = WORDS.filter(lambda text: text.strip())


@st.composite
def boxes(draw, width, height):
    """Boxes on the canvas, in hundredths of a pixel."""
    x = sorted(draw(st.integers(0, 100 * width)) for _ in range(2))
    y = sorted(draw(st.integers(0, 100 * height)) for _ in range(2))
    return Box(x[0] / 100, y[0] / 100, x[1] / 100, y[1] / 100)


@st.composite
def layouts(draw):
    width, height = draw(st.integers(16, 4000)), draw(st.integers(16, 4000))
    box = boxes(width, height)
    elements = []
    for index in range(draw(st.integers(1, 8))):
        role = draw(st.sampled_from((*ROLES, *THINGS)))
        size = draw(st.integers(100, 50000).map(lambda size: size / 100) | st.just(math.inf))
        text = draw(TEXT) if role in ROLES else ""
        align, group = draw(st.sampled_from(ALIGNS)), draw(st.integers(0, 5))
        elements.append(Element(index, text, role, draw(box), align, size, group))
    return Layout(width, height, tuple(elements), tuple(draw(st.lists(box, max_size=3))))


@settings(deadline=None, max_examples=30)
@given(layouts())
def test_a_layout_comes_back_from_json(layout):
    traced = replace(layout, archetype="swiss", score=0.25, notes={"title": 0.5}, planner="cot", trace=(
        Stage("position", True, 0.5, ("title is off the canvas",), (layout.elements[0].box,), "words"),
    ))  # fmt: skip
    assert layout_from_json(layout_to_json(traced)) == traced


@settings(deadline=None, max_examples=30)
@given(layouts())
def test_a_layout_comes_back_from_svg(layout):
    assert layout_from_svg(layout_to_svg(layout)) == layout


@settings(deadline=None, max_examples=30)
@given(layouts())
def test_a_layout_comes_back_from_html_to_half_a_cell(layout):
    grid = grid_of(layout.size)
    said = layout_to_html(layout, texts=True)
    back = layout_from_html(said, layout.size)
    assert layout_to_html(back, texts=True) == said
    assert [(one.index, one.role, one.text) for one in back] == [(one.index, one.role, one.text) for one in layout]
    for one, other in zip(layout, back, strict=True):
        for side, (a, b) in enumerate(zip(one.box, other.box, strict=True)):
            cell = layout.size[side % 2] / grid[side % 2]
            thin = one.box[2 + side % 2] - one.box[side % 2] < cell  # such a box gets a whole cell
            assert abs(a - b) <= (1.5 if thin else 0.5) * cell + 1e-6


def test_the_html_is_layoutprompters():
    layout = Layout(1020, 1500, (Element(0, "Jazz", "title", Box(100, 50, 920, 250)),))
    assert layout_to_html(layout, (102, 150)) == (
        '<html>\n<body>\n<div class="canvas" style="left: 0px; top: 0px; width: 102px; height: 150px"></div>\n'
        '<div class="title" style="index: 0; left: 10px; top: 5px; width: 82px; height: 20px"></div>\n</body>\n</html>'
    )


@settings(deadline=None, max_examples=30)
@given(layouts(), st.data())
def test_a_request_comes_back_from_json(layout, data):
    elements = [ElementRequest(one.role, one.text, one.box) for one in layout]
    elements.append(ElementRequest("logo", size=(40.0, 20.0), aspect=2.0))
    relations = (Relation(0, data.draw(st.sampled_from(("top", "center"))), None),)
    request = LayoutRequest(*layout.size, tuple(elements), relations, layout.rules,
                            tuple(Obstacle(box, "face") for box in layout.rules), "a poster", "left", 3)  # fmt: skip
    assert request_from_json(request_to_json(request)) == request


def _element(**given):
    return ElementRequest("title", "Jazz", **given)


@pytest.mark.parametrize(
    ("request_", "task"),
    [
        (LayoutRequest(100, 100, (_element(),)), "gen-t"),
        (LayoutRequest(100, 100, (_element(size=(50.0, 10.0)),)), "gen-ts"),
        (LayoutRequest(100, 100, (_element(),), relations=(Relation(0, "top"),)), "gen-r"),
        (LayoutRequest(100, 100, (_element(box=Box(0, 0, 9, 9), fixed=True), _element())), "completion"),
        (LayoutRequest(100, 100, (_element(box=Box(0, 0, 9, 9)),)), "refinement"),
        (LayoutRequest(100, 100, (_element(),), content=(Box(0, 0, 9, 9),)), "content-aware"),
        (LayoutRequest(100, 100, (_element(),), description="a jazz night"), "text-to-layout"),
    ],
)
def test_what_is_given_says_the_task(request_, task):
    assert request_.task == task


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (LayoutRequest(0, 100, (_element(),)), "0x100"),
        (LayoutRequest(100, 100, ()), "0 elements"),
        (LayoutRequest(100, 100, (_element(fixed=True),)), "fixed, and has no box"),
        (LayoutRequest(100, 100, (_element(box=Box(0, 0, 200, 9), fixed=True),)), "not on the canvas"),
        (LayoutRequest(100, 100, (ElementRequest("title"),)), "without a text"),
        (LayoutRequest(100, 100, (_element(),), relations=(Relation(0, "top", 4),)), "there are 0 to 0"),
        (LayoutRequest(100, 100, (_element(),), relations=(Relation(0, "left"),)), "use top, center or bottom"),
        (
            LayoutRequest(100, 100, (_element(), _element()), (Relation(0, "top", 1), Relation(1, "top", 0))),
            "relations 1 and 2 contradict",
        ),
    ],
)
def test_a_request_that_contradicts_itself_is_refused_in_one_line(request_, said):
    with pytest.raises(ValueError, match=said) as caught:
        request_.check()
    assert "\n" not in str(caught.value)


PLAN = layout_to_json(Layout(100, 100, (Element(0, "Jazz", "title", Box(1, 2, 30, 40)),)))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not JSON"),
        ("[]", "not an object"),
        ("{}", "lacks 'width'"),
        (PLAN.replace('"version": 1', '"version": 9'), "version is 9"),
        (PLAN.replace("[1, 2, 30, 40]", "[1, 2, 30]").replace("[1.0, 2.0, 30.0, 40.0]", "[1, 2, 30]"), "not"),
        (PLAN.replace("1.0, 2.0, 30.0, 40.0", "30, 2, 1, 40"), "is no box"),
        (PLAN.replace("1.0, 2.0, 30.0, 40.0", '1, 2, "x", 40'), "not .x0, y0, x1, y1."),
        (PLAN.replace('"center"', '"middle"'), "unknown align"),
        (PLAN.replace('"width": 100', '"width": 1e9'), "width is 1000000000"),
        (PLAN.replace('"width": 100', '"width": NaN'), "NaN"),
    ],
)
def test_a_bad_plan_is_one_line(text, said):
    with pytest.raises(ValueError, match=said) as caught:
        layout_from_json(text, "plan.json")
    assert str(caught.value).startswith("plan.json: ") and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no <div class=.canvas.>"),
        ("I cannot help with that.", "no <div class=.canvas.>"),
        ('<div class="canvas" style="width: 10px; height: 20px"></div>', "has 0 elements"),
        (
            '<div class="canvas" style="width: 10px; height: 20px"></div><div class="title" style="left: 2px"></div>',
            "element 1 .title. lacks top",
        ),
        ("<div>" * 100_000, "characters of HTML"),
    ],
)
def test_bad_html_is_one_line(text, said):
    with pytest.raises(ValueError, match=said) as caught:
        layout_from_html(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no SVG"),
        ("<svg/>", "no <rect class=.canvas.>"),
        ('<!DOCTYPE svg [<!ENTITY a "b">]><svg>&a;</svg>', "document type"),
        ('<svg><rect class="canvas" width="10" height="10"/></svg>', "has 0 elements"),
        ('<svg><rect class="canvas" width="10" height="wide"/></svg>', "height is 'wide'"),
        ('<svg><rect class="canvas" width="9" height="9"/><rect class="title" width="1"/></svg>', "height is 'miss"),
    ],
)
def test_a_bad_svg_is_one_line(text, said):
    with pytest.raises(ValueError, match=said) as caught:
        layout_from_svg(text)
    assert "\n" not in str(caught.value)


def test_a_scaled_layout_keeps_its_shares():
    layout = Layout(100, 200, (Element(0, "Jazz", "title", Box(10, 20, 50, 40), size=12),), (Box(0, 0, 100, 2),))
    scaled = layout.scaled_to(200, 600)
    assert scaled.elements[0].box == Box(20, 60, 100, 120) and scaled.elements[0].size == 24
    assert scaled.rules == (Box(0, 0, 200, 6),)


@pytest.mark.parametrize(
    ("kind", "box"),
    [
        ("top", Box(40, 0, 60, 20)), ("bottom", Box(40, 80, 60, 100)), ("left", Box(0, 40, 20, 60)),
        ("right", Box(80, 40, 100, 60)), ("center", Box(45, 45, 55, 55)),
    ],
)  # fmt: skip
def test_an_element_is_above_below_beside_or_on_another(kind, box):
    middle = Box(40, 40, 60, 60)
    assert Relation(0, kind, 1).holds([box, middle], 100)
    assert not any(Relation(0, other, 1).holds([box, middle], 100) for other in ALL if other != kind)


ALL = ("top", "bottom", "left", "right", "center")


def test_areas_within_a_tenth_are_equal():
    boxes = [Box(0, 0, 10, 10), Box(0, 0, 10, 10.9), Box(0, 0, 10, 12)]
    assert Relation(0, "equal", 1).holds(boxes, 100)
    assert Relation(0, "smaller", 2).holds(boxes, 100)
    assert Relation(2, "larger", 0).holds(boxes, 100)
