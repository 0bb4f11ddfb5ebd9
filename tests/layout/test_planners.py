"""Planners on requests without pictures: what must hold whatever they are asked."""

import json
import math
from dataclasses import replace
from functools import partial
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from posterkit.layout import Box, Element, ElementRequest, Layout, LayoutRequest, Obstacle, Relation, legible_size
from posterkit.layout.faults import find_faults, hard_count
from posterkit.layout.ground import Ground
from posterkit.layout.html_form import grid_of, layout_to_html, on_grid
from posterkit.layout.planner import estimate
from posterkit.layout.planners.archetype_planner import ArchetypePlanner
from posterkit.layout.planners.grammar import GrammarPlanner
from posterkit.layout.planners.models import CotPlanner, ModelPlanner
from posterkit.layout.planners.planner_names import open_planner
from posterkit.layout.planners.questions import STAGES, asked_ids
from posterkit.layout.planners.retrieval_planner import RetrievalPlanner, shipped_index
from posterkit.layout.ranking import best_first, scored
from posterkit.layout.repair import repair
from posterkit.llm.replay import ReplayModel
from posterkit.typeset.line_breaking import measure

INDEX = shipped_index()
SIZES = ((832, 1216), (1024, 1024), (1216, 832), (720, 1280))
TEXTS = (
    ["NORTH LIGHT", "An evening by the sea", "Friday 12 June, 8 pm", "Harbour Hall, Pier 4", "Doors at seven",
     "With live music until late", "Book now"],
    ["春日市集", "面包、鲜花与奶酪", "每周六上午九点", "老城广场", "适合八至十四岁", "门票五十元", "立即购票"],
)  # fmt: skip


def _request(number):
    """A request of 2 to 8 elements: four shapes, English and Chinese, a subject somewhere, a logo now and then."""
    rng = Random(number)
    w, h = SIZES[number % 4]
    count = 2 + number // 8 % 7
    texts = TEXTS[number // 4 % 2]
    logo = [ElementRequest("logo", aspect=2.0)] * (count > 3 and number % 3 == 0)
    chosen = [*texts[: count - len(logo) - 1], *([texts[-1]] if count - len(logo) > 1 else [])]
    wide, high = rng.uniform(0.3, 0.55) * w, rng.uniform(0.3, 0.5) * h
    x, y = rng.uniform(0, w - wide), rng.uniform(0, h - high)
    subject = Box(x, y, x + wide, y + high)
    return LayoutRequest.of_texts((w, h), chosen, None, logo, content=(subject,),
                                  avoid=(Obstacle(subject, "subject"),), seed=number)  # fmt: skip


@pytest.mark.slow
def test_the_grammar_plans_100_requests_without_a_hard_fault():
    for number in range(100):
        request = _request(number)
        measurer = partial(measure, style="modern", least=legible_size(*request.size))
        layout = GrammarPlanner().plan(request, measurer)
        faults = [fault.words for fault in find_faults(layout, request, measurer) if fault.hard]
        assert not faults, (number, faults)
        assert [one.text for one in layout] == [one.text for one in request.elements]


@pytest.mark.parametrize("planner", [ArchetypePlanner(), GrammarPlanner(), RetrievalPlanner(INDEX)])
def test_a_plan_is_the_same_every_time(planner):
    request = _request(11)
    assert planner.plan(request, estimate) == planner.plan(request, estimate)


def test_retrieval_plans_without_a_hard_fault():
    for number in range(0, 100, 7):
        request = _request(number)
        layout = RetrievalPlanner(INDEX).plan(request, estimate)
        assert not hard_count(find_faults(layout, request, estimate)), number


def _subject_picture():
    image = Image.new("RGB", (600, 900), (40, 60, 80))
    pen = ImageDraw.Draw(image)
    pen.ellipse((180, 80, 420, 320), fill=(240, 200, 60))
    for step in range(-100, 101, 20):
        pen.line((300 + step, 100, 300 - step, 300), fill=(160, 30, 30), width=6)
    return image


def test_texts_keep_off_what_the_picture_shows():
    request = LayoutRequest.of_texts((600, 900), ["Regatta", "Saturday 4 July"], picture=_subject_picture())
    layout = GrammarPlanner().plan(request, estimate)
    assert not any(one.box.overlaps(Box(190, 90, 410, 310)) for one in layout)


def test_a_subject_stands_where_the_picture_shows_one():
    request = LayoutRequest.of_texts((600, 900), ["Regatta"], None, [ElementRequest("subject")],
                                     picture=_subject_picture())  # fmt: skip
    box = GrammarPlanner().plan(request, estimate).elements[1].box
    drawn = Box(180, 80, 420, 320)
    assert box.shared(drawn) > 0.8 * drawn.area


def test_without_a_picture_the_subject_gets_the_free_ground():
    request = LayoutRequest.of_texts((832, 1216), ["Regatta", "Saturday 4 July"], None, [ElementRequest("subject")])
    layout = GrammarPlanner().plan(request, estimate)
    subject = layout.elements[2].box
    assert subject.area > 0.25 * 832 * 1216
    assert not any(one.box.overlaps(subject) for one in layout.texts)


def test_three_specks_in_a_corner_rank_last():
    request = replace(_request(16), elements=_request(16).elements[:3])
    ground = Ground(request)
    sound = GrammarPlanner().candidates(request, estimate, 4)
    specks = tuple(
        Element(index, one.text, one.role, Box(60, 60 + 9 * index, 76, 68 + 9 * index), "left", 14)
        for index, one in enumerate(request.elements)
    )
    layouts = [*sound, Layout(*request.size, specks)]
    ranked = best_first([scored(layout, request, ground) for layout in layouts])
    assert ranked[-1][0].elements == specks


def test_sizes_count_both_ways():
    request = LayoutRequest(1000, 1000, (ElementRequest("title", "Jazz"),))

    def score(side):
        box = Box(100, 100, 100 + side, 100 + side)
        return scored(Layout(1000, 1000, (Element(0, "Jazz", "title", box),)), request, Ground(request))[0].notes

    usual = score(300)["sizes"]
    assert usual == 0 and score(75)["sizes"] == pytest.approx(score(900)["sizes"], abs=0.25)
    assert min(score(75)["sizes"], score(900)["sizes"]) > 0.5


@st.composite
def _scattered(draw):
    """A request and a layout of it with boxes anywhere, also off the canvas."""
    request = _request(draw(st.integers(0, 99)))
    w, h = request.size
    elements = []
    for index, one in enumerate(request.elements):
        x, y = draw(st.integers(-w // 2, w)), draw(st.integers(-h // 2, h))
        wide, high = draw(st.integers(1, w)), draw(st.integers(1, h))
        size = draw(st.integers(8, 200))
        elements.append(Element(index, one.text, one.role, Box(x, y, x + wide, y + high), "left", float(size)))
    return request, Layout(w, h, tuple(elements))


@settings(deadline=None, max_examples=40)
@given(_scattered())
def test_repair_mends_and_what_is_mended_stays(made):
    request, layout = made
    ground = Ground(request)
    mended = repair(layout, request, estimate, ground)
    assert repair(mended, request, estimate, ground) == mended
    assert hard_count(find_faults(mended, request, estimate)) <= hard_count(find_faults(layout, request, estimate))
    assert [(one.role, one.text) for one in mended] == [(one.role, one.text) for one in layout]


def test_near_edges_become_one():
    request = LayoutRequest.of_texts((1000, 1000), ["Jazz", "Friday 8 pm", "Blue Note"])
    tops = (100, 400, 600)
    elements = tuple(
        Element(i, text, one.role, Box(100 + 3 * i, tops[i], 500, tops[i] + 40), "left", 30)
        for i, (text, one) in enumerate(zip(request.texts, request.elements, strict=True))
    )
    mended = repair(Layout(1000, 1000, elements), request, estimate, Ground(request))
    assert {one.box.x0 for one in mended} == {103}


# the other tasks


def test_completion_keeps_what_stands():
    place = Box(60, 900, 700, 1000)
    elements = (ElementRequest("title", "Jazz Night"), ElementRequest("body", "Friday 8 pm", place, fixed=True))
    request = LayoutRequest(832, 1216, elements)
    assert request.task == "completion"
    layout = GrammarPlanner().plan(request, estimate)
    assert place.grown(1).shared(layout.elements[1].box) == pytest.approx(layout.elements[1].box.area)
    assert not hard_count(find_faults(layout, request, estimate))


def test_refinement_stays_near_the_layout_it_gets():
    given_ = GrammarPlanner().plan(_request(16), estimate)
    rng = Random(0)
    shaken = replace(given_, elements=tuple(
        replace(one, box=one.box.moved(rng.gauss(0, 6), rng.gauss(0, 6))) for one in given_
    ))  # fmt: skip
    request = LayoutRequest.refining(shaken)
    refined = GrammarPlanner().plan(request, estimate)
    assert request.task == "refinement" and not hard_count(find_faults(refined, request, estimate))
    for one, other in zip(given_, refined, strict=True):
        assert math.dist(one.box[:2], other.box[:2]) < 0.12 * math.hypot(*request.size)


@pytest.mark.parametrize("kind", ["top", "bottom"])
def test_a_relation_to_the_canvas_is_kept(kind):
    request = replace(_request(3), content=(), avoid=(), relations=(Relation(0, kind),))
    layout = GrammarPlanner().plan(request, estimate)
    assert request.relations[0].holds([one.box for one in layout], request.height)


def test_more_text_than_fits_is_one_line():
    with pytest.raises(ValueError, match=r"text 2 .* does not fit") as caught:
        GrammarPlanner().plan(LayoutRequest.of_texts((300, 450), ["Jazz", "word " * 3000]), estimate)
    assert "\n" not in str(caught.value)


# language models, from recorded answers


def _answers(tmp_path, *answers):
    path = tmp_path / "answers.jsonl"
    path.write_text("".join(json.dumps({"answer": answer}) + "\n" for answer in answers), encoding="utf-8")
    return ReplayModel(path)


def _said(layout, request, ids=None):
    grid = grid_of(request.size)
    ids = asked_ids(request, Ground(request)) if ids is None else ids
    cells = {index: on_grid(layout.elements[index].box, request.size, grid) for index in ids}
    boxes = [dict(zip(("id", "l", "t", "w", "h"), (index, *cells[index]), strict=True)) for index in ids]
    return json.dumps({"reasoning": "as before", "boxes": boxes})


def _good_and_bad(request):
    good = GrammarPlanner().plan(request, estimate)
    heap = replace(good, elements=tuple(replace(one, box=Box(100, 100, 500, 300)) for one in good))
    return _said(good, request), _said(heap, request)


def test_the_best_answer_of_several_is_taken(tmp_path):
    request = _request(16)
    good, bad = _good_and_bad(request)
    model = _answers(tmp_path, bad, "I cannot help with that.", good)
    layout = ModelPlanner(model, INDEX, samples=3).plan(request, estimate)
    assert layout.planner == "llm" and not hard_count(find_faults(layout, request, estimate))
    assert [stage.kept for stage in layout.trace] == [False, False, True, True]
    assert "no JSON" in layout.trace[1].words and layout.trace[2].words == "as before"
    assert "<html>" in model.asked[0] and "NORTH LIGHT" in model.asked[0]
    assert len(set(model.asked)) == 3  # each time the exemplars stand in another order


def test_html_is_an_answer_too(tmp_path):
    request = _request(16)
    said = layout_to_html(GrammarPlanner().plan(request, estimate))
    layout = ModelPlanner(_answers(tmp_path, f"Here you are:\n{said}"), INDEX, samples=1).plan(request, estimate)
    assert layout.planner == "llm"


LONG = json.dumps({"boxes": [], "reasoning": "x" * 10_000_000})


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("", "holds no JSON"), ("{]", "holds no JSON"), ("I'm sorry, I can't.", "holds no JSON"),
        ('{"boxes": []}', "lacks id 0"), ('{"boxes": [{"id": 0, "l": 1, "t": 1, "w": 5}]}', "lacks"),
        ('{"boxes": [{"id": 0, "l": "left", "t": 1, "w": 5, "h": 5}]}', "not a number"), (LONG, "characters"),
    ],
)  # fmt: skip
def test_an_answer_of_no_use_leaves_it_to_the_grammar_and_says_so(tmp_path, answer, why):
    request = _request(16)
    with pytest.warns(UserWarning, match=why) as caught:
        layout = ModelPlanner(_answers(tmp_path, answer), INDEX, samples=1).plan(request, estimate)
    assert "the grammar plans in its place" in str(caught[0].message) and "\n" not in str(caught[0].message)
    assert layout.planner == "grammar" and [stage.name for stage in layout.trace] == ["coarse 1", "grammar"]
    assert [one.text for one in layout] == [one.text for one in request.elements]


NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**9), 10**9)


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_whatever_numbers_a_model_gives_the_copy_stays_and_stands_on_the_canvas(tmp_path_factory, data):
    request = _request(data.draw(st.integers(0, 99)))
    boxes = [
        {"id": index, "text": "changed", **{side: data.draw(NUMBERS) for side in "ltwh"}}
        for index in range(len(request.elements) + 1)
    ]
    model = _answers(tmp_path_factory.mktemp("answers"), json.dumps({"boxes": boxes}))
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        layout = ModelPlanner(model, INDEX, samples=1).plan(request, estimate)
    assert [(one.role, one.text) for one in layout] == [(one.role, one.text) for one in request.elements]
    assert not hard_count(find_faults(layout, request, estimate))


def _cot(tmp_path, *answers):
    return CotPlanner(ModelPlanner(_answers(tmp_path, *answers), INDEX, samples=1))


def test_a_stage_that_makes_it_worse_is_not_kept(tmp_path):
    request = _request(16)
    _, bad = _good_and_bad(request)
    good = GrammarPlanner().plan(request, estimate)
    # one text on the subject: that is a fault, and no hard one
    middle = request.content[0]
    on_it = replace(good.elements[2], box=Box(middle.x0, middle.y0, middle.x1, middle.y0 + 0.4 * middle.height))
    near = _said(replace(good, elements=(*good.elements[:2], on_it, *good.elements[3:])), request)
    layout = _cot(tmp_path, near, bad, bad, bad).plan(request, estimate)
    stages = {stage.name: stage for stage in layout.trace}
    assert "covers" in " ".join(stages["coarse 1"].faults)
    assert not any(stages[name].kept for name in STAGES)
    assert layout.planner == "cot" and stages["repair"].boxes == tuple(one.box for one in layout)


def test_the_stages_end_where_nothing_is_wrong(tmp_path):
    request = LayoutRequest.of_texts((832, 1216), ["Regatta", "Saturday 4 July"])
    planner = _cot(tmp_path, _said(GrammarPlanner().plan(request, estimate), request))
    layout = planner.plan(request, estimate)
    assert [stage.name for stage in layout.trace] == ["coarse 1", "position", "repair"]
    assert len(planner.coarse.model.asked) == 1


def test_each_stage_is_told_its_faults(tmp_path):
    request = _request(16)
    good, bad = _good_and_bad(request)
    planner = _cot(tmp_path, bad, bad, bad, good)
    layout = planner.plan(request, estimate)
    for question in planner.coarse.model.asked[1:]:
        assert "overlap by" in question and question.count("<html>") == 4
    assert [stage.kept for stage in layout.trace if stage.name == "numbers"] == [True]


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("gramar", "did you mean 'grammar'"), ("cot:/nowhere", "cannot load this language model"),
        ("grammar:x", "takes no model"),
    ],
)  # fmt: skip
def test_an_unknown_planner_is_one_line(spec, said):
    with pytest.raises((ValueError, OSError), match=said) as caught:
        open_planner(spec)
    assert "\n" not in str(caught.value)
