"""Several rewards as one, their spec, and their cache."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from odd_rewards import Odd
from PIL import Image

from posterkit.llm.answer_cache import code_version
from posterkit.rewards import RewardResult, open_reward
from posterkit.rewards import reward as reward_module
from posterkit.rewards.composition import RULES_FILE, TEXT, ComposedReward, Gate, read_composition
from posterkit.rewards.reward import CachedReward
from posterkit.schema import PosterRequest
from posterkit.tasks import TASKS

POSTER, ROW = Image.new("RGB", (8, 8), (51, 0, 0)), PosterRequest()


class Fixed:
    """Always the same result; counts its posters."""

    def __init__(self, value: float, parts: dict[str, float] | None = None, why: str = "so it is") -> None:
        self.value, self.parts, self.why, self.posters = value, parts if parts is not None else {"a": value}, why, 0
        self.name = f"fixed {value}"

    def __call__(self, images, rows):
        self.posters += len(rows)
        return [RewardResult(self.value, self.parts, self.why) for _ in rows]


def test_the_whole_is_the_weighted_mean_and_keeps_the_parts():
    whole = ComposedReward("both", {"a": Fixed(0.2), "b": Fixed(0.8)}, {"text": {"a": 1, "b": 3}})
    (result,) = whole([POSTER], [ROW])
    assert result.value == pytest.approx(0.65)  # (0.2 + 3 * 0.8) / 4
    assert result.parts == {"a": 0.2, "b": 0.8, "a/a": 0.2, "b/a": 0.8}
    assert result.why == "a 0.20 (so it is)"


def test_below_a_gate_the_whole_is_capped_and_says_so():
    rewards = {"a": Fixed(0.1), "b": Fixed(1.0)}
    table = {"text": {"a": 1, "b": 9}}
    capped = ComposedReward("g", rewards, table, [Gate("a", 0.2, 0.3)])([POSTER], [ROW])[0]
    assert capped.value == 0.3 and "a below 0.2" in capped.why
    assert ComposedReward("g", rewards, table, [Gate("a", 0.2)])([POSTER], [ROW])[0].value == 0
    assert ComposedReward("g", rewards, table, [Gate("a", 0.1)])([POSTER], [ROW])[0].value == pytest.approx(0.91)


def test_what_there_is_nothing_to_judge_of_weighs_nothing():
    silent = Fixed(1.0, {}, "nothing to judge")
    assert (
        ComposedReward("s", {"a": silent, "b": Fixed(0.4)}, {"text": {"a": 9, "b": 1}})([POSTER], [ROW])[0].value
        == 0.4
    )


def test_only_the_rows_of_a_task_ask_its_parts():
    a, b = Fixed(0.2), Fixed(0.8)
    table = {"text": {"a": 1}, "filling": {"a": 1, "b": 1}}
    results = ComposedReward("t", {"a": a, "b": b}, table)([POSTER] * 3, [ROW, replace(ROW, task="filling"), ROW])
    assert [result.value for result in results] == [0.2, 0.5, 0.2] and (a.posters, b.posters) == (3, 1)
    with pytest.raises(ValueError, match=r"'extending'.*text, filling"):
        ComposedReward("t", {"a": a, "b": b}, table)([POSTER], [replace(ROW, task="extending")])


def test_a_part_that_is_no_number_makes_the_whole_none():
    result = ComposedReward("n", {"a": Fixed(float("nan")), "b": Fixed(1.0)}, {"text": {"a": 1, "b": 1}})(
        [POSTER], [ROW]
    )[0]
    assert np.isnan(result.value)


def test_the_name_changes_with_everything_that_decides_the_result():
    rewards = {"a": Fixed(0.1), "b": Fixed(0.9)}
    made = [
        ComposedReward("x", rewards, {"text": {"a": 1, "b": 1}}),
        ComposedReward("x", rewards, {"text": {"a": 1, "b": 2}}),
        ComposedReward("x", rewards, {"text": {"a": 1, "b": 1}}, [Gate("a", 0.2)]),
        ComposedReward("x", {**rewards, "a": Fixed(0.2)}, {"text": {"a": 1, "b": 1}}),
    ]
    assert len({reward.name for reward in made}) == 4
    assert made[0].name == ComposedReward("x", rewards, {"text": {"a": 1, "b": 1}}).name
    assert open_reward("rules", fast=True).name != open_reward("rules").name


def test_the_default_knows_all_seven_tasks_and_the_generic_one_looks_at_none():
    rules, generic = open_reward("rules"), open_reward("generic")
    assert isinstance(rules, ComposedReward) and isinstance(generic, ComposedReward)
    weights, _ = read_composition(RULES_FILE)
    assert set(rules.weights) == set(weights) == {TEXT, *TASKS}
    for parts in weights.values():
        assert sum(parts.values()) == pytest.approx(1)
    assert {gate.part for gate in rules.gates} <= set(rules.rewards)
    assert {tuple(parts) for parts in generic.weights.values()} == {("aesthetics", "agreement")}


def test_a_sum_of_parts_weighs_them_as_it_says():
    both = open_reward("text:0.6+aesthetics:0.4")
    assert isinstance(both, ComposedReward) and both.weights["filling"] == {"text": 0.6, "aesthetics": 0.4}
    assert open_reward("style").name == "style"
    assert open_reward("rules", sources={"text": "glyphs"}).rewards["text"].name == "glyphs"  # type: ignore[attr-defined]
    far = open_reward("text:2+reward+http://host:8990:0.5")
    assert isinstance(far, ComposedReward) and far.weights["text"] == {"text": 2.0, "reward+http://host:8990": 0.5}
    plain = open_reward("text+http://host:8990")
    assert isinstance(plain, ComposedReward) and plain.weights["text"] == {"text": 1.0, "http://host:8990": 1.0}


def test_a_file_says_the_weights_of_each_task_and_its_gates(tmp_path):
    file = tmp_path / "own.yaml"
    file.write_text(
        "weights:\n  text: {text: 1, aesthetics: 3}\n  style_driven: {style: 1e-1}\n"
        "gates:\n  - {part: style, least: 0.2, cap: 0.4}\n"
    )
    own = open_reward(str(file))
    assert (
        isinstance(own, ComposedReward)
        and own.name.startswith("own ")
        and set(own.rewards) == {"text", "aesthetics", "style"}
    )
    assert own.weights == {"text": {"text": 1.0, "aesthetics": 3.0}, "style_driven": {"style": 0.1}}
    assert own.gates == (Gate("style", 0.2, 0.4),)
    with pytest.raises(ValueError, match=r"'r' is of 'filling'; it knows text, style_driven"):
        own([POSTER], [PosterRequest(task="filling", id="r")])
    with pytest.raises(ValueError, match=r"own.yaml: weighs nothing for filling, but for text, style_driven"):
        open_reward(str(file), tasks=("text", "filling"))
    assert open_reward(str(file), tasks=["text"]).name == own.name
    assert open_reward("style", tasks=TASKS).name == "style"


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ("weights: {text: {text: 0.5}", r"own\.yaml: not YAML"),
        ("", "must say weights: .* it says none of them"),
        ("- text", "it says none of them"),
        ("gates: []", r"it says gates: \[\]"),
        ("weights: [text]", r"it says weights: \['text'\]"),
        ("weights: {text: {text: 1}}\ngates:", "gates: None"),
        ("weights: {text: {text: 1}}\ngate: []", r"nothing else; .*gate: \[\]"),
        ("weights: {text: {text: much}}", "could not convert string to float: 'much'"),
        ("weights: {text: {text: 1}}\ngates: [{part: text, most: 1}]", "'most'"),
        ("weights: {text: {text: 1}}\ngates: [{part: text, least: 7}]", r"lie in \[0, 1\], got 7"),
        ("weights: {text: {text: 1}}\ngates: [{part: style, least: 0.1}]", "a gate on 'style', which no task weighs"),
        ("weights: {}", "no task has weights"),
        ("weights: {text: {}}", "text weighs nothing"),
        ("weights: {text: {text: .inf}}", "above 0 and finite, got inf"),
        ("weights: {text: {astethics: 1}}", "did you mean 'aesthetics'"),
        ("weights: {texts: {text: 1}}", "unknown task 'texts'"),
        ("weights: {text: {text: -1}}", "above 0 and finite, got -1"),
    ],
)
def test_a_file_that_says_otherwise_is_refused_in_one_line(tmp_path, said, fault):
    file = tmp_path / "own.yaml"
    file.write_text(said)
    with pytest.raises(ValueError, match=fault) as error:
        open_reward(str(file))
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"own\.yaml: there is no such file"):
        open_reward(str(tmp_path / "own.yaml"))


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("rulez", "did you mean 'rules'"),
        ("text:0.6+astethics:0.4", "did you mean 'aesthetics'"),
        ("text+text", "'text' stands twice"),
        ("text:0+style", "above 0"),
        ("text++style", "no name"),
        ("", "no name"),
        ("reward+ftp://host", "http"),
    ],
)
def test_a_mistyped_reward_is_refused_and_the_nearest_one_named(source, said):
    with pytest.raises(ValueError, match=said) as error:
        open_reward(source)
    assert "\n" not in str(error.value)


def test_a_folder_without_a_model_and_a_part_that_no_model_judges_are_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no model"):
        open_reward(str(tmp_path))
    with pytest.raises(ValueError, match="no model can judge 'layout'"):
        open_reward("rules", sources={"layout": str(tmp_path)})


def test_a_second_pass_scores_nothing_and_another_poster_row_or_reward_does(tmp_path):
    inner = Fixed(0.25, {"a": 0.5}, "why")
    reward = CachedReward(inner, tmp_path)
    first = reward([POSTER, POSTER], [ROW, replace(ROW, prompt="else")])
    assert inner.posters == 2
    assert CachedReward(inner, tmp_path)([POSTER], [replace(ROW, id="another name")]) == first[:1]
    assert inner.posters == 2
    reward([Image.new("RGB", (8, 8), (52, 0, 0))], [ROW])
    reward([POSTER], [replace(ROW, images=(np.zeros((2, 2, 3), np.uint8),))])
    reward([POSTER], [replace(ROW, images=(np.ones((2, 2, 3), np.uint8),))])
    assert inner.posters == 5
    for file in tmp_path.rglob("*.json"):
        file.write_text(file.read_text()[:30])
    assert reward([POSTER], [ROW]) == first[:1] and inner.posters == 6


def test_a_kept_value_of_other_code_is_computed_again(tmp_path, monkeypatch):
    class Counting:
        name, calls = "counting", 0

        def __call__(self, images, requests):
            self.calls += len(images)
            return [RewardResult(0.5)] * len(images)

    measures, inner = tmp_path / "measures", Counting()
    measures.mkdir()
    monkeypatch.setattr(reward_module, "_MEASURES", (measures,))
    for content, calls in (("sharpness = 1", 1), ("sharpness = 1", 1), ("sharpness = 2", 2), ("sharpness = 1", 2)):
        (measures / "measure.py").write_text(content)
        code_version.cache_clear()
        CachedReward(inner, tmp_path / "cache")([POSTER], [ROW])
        assert inner.calls == calls
    code_version.cache_clear()


def test_a_result_that_is_no_number_is_not_kept(tmp_path):
    for _ in range(2):
        (result,) = CachedReward(Odd(), tmp_path)([POSTER], [PosterRequest("nan")])
        assert np.isnan(result.value)
    assert not list(tmp_path.rglob("*.json"))


def test_opening_the_default_reward_loads_neither_torch_nor_the_ocr():
    told = "import sys; from posterkit.rewards import open_reward; open_reward('rules').name; " \
           "print([name for name in ('torch', 'transformers', 'rapidocr') if name in sys.modules])"  # fmt: skip
    made = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert made.stdout.strip() == "[]"
