import json

import pytest

from posterkit.datagen.engine import Drop
from posterkit.datagen.plan_groups import (
    DIMENSIONS,
    FLAWS,
    NEGATIVES,
    PlanGroups,
    check_group,
    draw_task,
    encode_group,
    group_accuracy,
    numbered_brief,
    read_groups,
)
from posterkit.generate.plan_executor import execute, verify
from posterkit.layout.reasoning import coordinates_in, read_reasoning

ITEMS = [PlanGroups(0)[number] for number in range(12)]
# what each kind fails in some task, by the executor's checks; the others nobody can see in a layout
SEEN = {
    "wrong_primary_message": "hierarchy", "hierarchy_inverted": "order", "dropped_required_element": "texts",
    "contradictory_palette": "contrast", "unreadable_density": "subject",
}  # fmt: skip


def test_a_group_has_a_good_reasoning_and_five_flawed_ones_of_different_kinds():
    for _, group in ITEMS:
        (good,) = group.positives
        assert good.total == 1.0 and not coordinates_in(good.reasoning)
        assert len({one.kind for one in group.negatives}) == NEGATIVES
        for one in group.negatives:
            assert one.total < 1 and one.reasoning != good.reasoning and min(one.rubric.values()) == 0
    assert {one.kind for _, group in ITEMS for one in group.negatives} == set(FLAWS)


def test_a_flaw_shows_in_its_own_dimension_and_its_own_check():
    hit: dict[str, list[bool]] = {}
    for task, group in ITEMS:
        for one in group.negatives:
            assert bool(coordinates_in(one.reasoning)) == (one.kind == "leaked_coordinates")
            if one.kind == "leaked_coordinates":
                assert one.rubric["non_leakage"] == 0
            if one.kind in SEEN:
                hit.setdefault(one.kind, []).append(not verify(task, execute(task, one.reasoning))[SEEN[one.kind]])
    for kind, found in hit.items():
        assert sum(found) > 0.5 * len(found), kind


def test_the_brief_says_what_the_reasoning_knows():
    for task, group in ITEMS:
        title = next(task.texts[at] for at, role in task.reasoning.roles if role == "title")
        assert f"seen from afar is “{title}”" in group.brief
        assert all(text in group.brief for text in task.texts) and task.reasoning.subject[0] in group.brief
        assert read_reasoning(str(task.reasoning)).order == task.reasoning.order


def test_kept_groups_have_uplift_and_none_is_worse_than_a_flawed_one():
    kept = [item for item in ITEMS if not isinstance(check_group(item), Drop)]
    assert len(kept) > 0.8 * len(ITEMS)
    for task, group in kept[:6]:
        alone = sum(verify(task, execute(task, None)).values())
        good = sum(verify(task, execute(task, group.positives[0].reasoning)).values())
        assert good > alone


def test_splits_share_no_brief_and_the_same_number_is_the_same_group():
    briefs = {split: {g.brief for _, g in ITEMS if g.split == split} for split in ("train", "heldout")}
    assert briefs["heldout"] and not briefs["train"] & briefs["heldout"]
    again = PlanGroups(0)[3]
    assert again[1] == ITEMS[3][1]


def test_groups_are_read_back_and_published_ones_with_marks_to_ten(tmp_path):
    path = tmp_path / "groups.jsonl"
    rows = [encode_group(item)[0] for item in ITEMS[:2]]
    wrong = {"reasoning": "guess", "negative_kind": "wrong", "rubric": {"a": 3.9, "b": 8.0}}
    published = {"problem_id": "p", "problem": "2 + 2", "negative_bank": [wrong],
                 "positive_pool": [{"reasoning": "add", "rubric": {"a": 10}}]}  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, published]))
    first, second, other = read_groups(path)
    assert (first, second) == (ITEMS[0][1], ITEMS[1][1])
    assert other.negatives[0].rubric == {"a": 1, "b": 4} and other.positives[0].rubric == {"a": 4}
    assert set(rows[0]["positive_pool"][0]["rubric"]) == {*DIMENSIONS, "total"}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({}, "lacks problem_id"), ([], "lacks all"),
        ({"problem_id": 1, "problem": "", "positive_pool": [{}], "negative_bank": []}, "lacks its words"),
        ({"problem_id": 1, "problem": "", "positive_pool": [], "negative_bank": []}, "only one of them"),
    ],
)  # fmt: skip
def test_a_line_that_is_no_group_is_named(tmp_path, row, said):
    (tmp_path / "g.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(ValueError, match=said):
        list(read_groups(tmp_path / "g.jsonl"))


def test_accuracy_counts_pairs_and_whole_groups():
    groups = [group for _, group in ITEMS]
    lengths = group_accuracy(groups, lambda brief, said: float(len(said)))
    leaks = group_accuracy(groups, lambda brief, said: -float(len(coordinates_in(said))))
    known = {(g.brief, one.reasoning): one.total for g in groups for one in (*g.positives, *g.negatives)}
    assert group_accuracy(groups, lambda brief, said: known[brief, said]) == {"pairs": 1.0, "groups": 1.0}
    assert lengths["groups"] < 0.5 and leaks["groups"] == 0.0 < leaks["pairs"]


def test_a_numbered_brief_quotes_each_text_once():
    task = draw_task(11)
    said = numbered_brief(task.brief)
    assert said.count("“") == len(task.texts) < task.brief.count("“")
    title = next(at for at, role in task.reasoning.roles if role == "title")
    assert f"What must be seen from afar is text {title + 1}." in said
    assert "One reads " + ", then ".join(f"text {at + 1}" for at in task.reasoning.order) + "." in said
