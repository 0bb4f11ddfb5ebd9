import json
import math

import numpy as np
import pytest

from posterkit.datagen.layout_requests import draw_request
from posterkit.evaluation.layout_bench import LADDER, Ladder, Row, as_markdown, compare, open_contenders
from posterkit.layout.planners.grammar import GrammarPlanner
from posterkit.layout.planners.questions import STAGES
from posterkit.typeset.line_breaking import measure

REQUESTS = [draw_request(seed) for seed in range(6)]


@pytest.fixture(scope="module")
def rows():
    return compare(open_contenders(["random", "grammar"], []), REQUESTS, seeds=2)


def test_a_plan_beats_none(rows):
    random, grammar = rows
    means = [{name: row.estimate(name).mean for name in ("hard", "occ", "subject")} for row in (random, grammar)]
    assert means[1]["hard"] == 0 and all(means[1][name] <= means[0][name] for name in means[0])


def test_the_tables_name_form_intervals_and_comparisons(rows):
    table = as_markdown(rows, "6 requests")
    assert "corrected form" in table and "95 % bootstrap" in table and "| grammar | 0.000 (0.000 to 0.000)" in table
    assert "for 1 comparisons" in table


def test_a_paired_difference_is_tighter_than_its_two_means_and_wider_for_more_comparisons():
    rng = np.random.default_rng(0)
    hard = rng.normal(size=200)
    one, other = (Row(name, {"occ": list(hard + step)}, 0) for name, step in (("a", 0.2), ("grammar", 0.0)))
    alone, of_ten = (one.against(other, "occ", count) for count in (1, 10))
    assert alone.mean == pytest.approx(0.2) and alone.low == pytest.approx(0.2) == alone.high
    noisy = Row("b", {"occ": list(hard + rng.normal(size=200))}, 0)
    alone, of_ten = (noisy.against(other, "occ", count) for count in (1, 10))
    assert of_ten.high - of_ten.low > alone.high - alone.low


@pytest.mark.slow
def test_a_stopped_bench_goes_on_and_another_one_is_refused(tmp_path, rows):
    kept = tmp_path / "results.jsonl"
    contenders = open_contenders(["random", "grammar"], [])
    compare(contenders, REQUESTS[:2], 2, kept)
    before = kept.read_text()
    found = compare(contenders, REQUESTS, 2, kept)
    assert kept.read_text().startswith(before) and len(kept.read_text().splitlines()) == 6
    for one, other in zip(found, rows, strict=True):
        assert one.values["occ"] == other.values["occ"]
    with pytest.raises(ValueError, match="another bench"):
        compare(contenders[:1], REQUESTS, 2, kept)


class Recorded:
    """Always the same answer, and the questions that it was asked."""

    name = "recorded"

    def __init__(self, answer: str) -> None:
        self.answer, self.asked = answer, []

    def ask(self, system, user, images=(), schema=None):
        self.asked.append(user)
        return self.answer


def test_all_rows_of_a_model_stand_on_one_coarse_step():
    drawn = REQUESTS[3]
    count = len(drawn.request.elements)
    cell = [{"id": at, "l": 2, "t": 2 + 3 * at, "w": 60, "h": 30} for at in range(count)]
    model = Recorded(json.dumps({"boxes": cell}))
    made = Ladder.of("m", model).plan(drawn.request, measure_of(drawn))
    assert list(made) == [f"m, {name}" for name in LADDER]
    coarse = [question for question in model.asked if question.endswith("Place every id.")]
    merged = [question for question in model.asked if all(task[:20] in question for task in STAGES.values())]
    assert len(coarse) == 10 and len(merged) == 1
    assert {question.count("<html>") for question in model.asked if question not in coarse} == {2, 4, 6}
    assert all(math.isfinite(layout.score) for layout, _ in made.values())


def test_a_model_without_an_answer_leaves_its_rows_to_the_grammar():
    drawn = REQUESTS[1]
    with pytest.warns(UserWarning, match="the grammar plans in its place"):
        made = Ladder.of("m", Recorded("no")).plan(drawn.request, measure_of(drawn))
    grammar = GrammarPlanner().plan(drawn.request, measure_of(drawn))
    assert {layout.elements for layout, _ in made.values()} == {grammar.elements}


def measure_of(drawn):
    def measurer(text, role, width, height, size):
        return measure(text, role, width, height, size, style="modern", least=8.0)

    return measurer
