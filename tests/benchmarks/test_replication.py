"""What the replication's verdicts hang on: paired intervals, and losses read off at equal task loss."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from glyph_posters import GlyphPosters
from PIL import Image, ImageColor
from scipy import stats

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def replication(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    module = importlib.import_module("replication")
    monkeypatch.setattr(module, "RESULTS", tmp_path)
    yield module
    for name in [name for name in sys.modules if name.startswith(("replication", "nano_", "mini_report"))]:
        sys.modules.pop(name)


def test_the_interval_is_that_of_the_paired_t_test(replication):
    first, second = [0.71, 0.64, 0.80, 0.69, 0.75], [0.60, 0.62, 0.70, 0.66, 0.64]
    found = replication.paired(first, second)
    expected = stats.ttest_rel(first, second).confidence_interval(0.95)
    assert found.mean == pytest.approx(np.mean(first) - np.mean(second))
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_intervals_of_many_rows_hold_together(replication):
    first, second = [0.71, 0.64, 0.80, 0.69, 0.75], [0.60, 0.62, 0.70, 0.66, 0.64]
    found = replication.paired(first, second, rows=20)
    expected = stats.ttest_rel(first, second).confidence_interval(1 - 0.05 / 20)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert sum(map(len, replication.TABLES.values())) == replication.ROWS > 80


@pytest.mark.parametrize(
    ("low", "high", "sign", "verdict"),
    [(0.1, 0.3, 1, "agrees"), (0.1, 0.3, -1, "disagrees"), (-0.3, -0.1, -1, "agrees"), (-0.1, 0.3, 1, "cannot tell")],
)
def test_a_verdict_needs_the_whole_interval_on_one_side(replication, low, high, sign, verdict):
    assert replication.Finding([], (low + high) / 2, low, high).verdict(sign) == verdict


def test_a_verdict_on_three_bases_needs_the_sign_of_each(replication):
    assert replication.Finding([], 0.2, 0.1, 0.3, (0.3, 0.2, 0.1)).verdict(1) == "agrees"
    assert replication.Finding([], 0.2, 0.1, 0.3, (0.4, 0.3, -0.1)).verdict(1) == "cannot tell"
    assert replication.Finding([], -0.2, -0.3, -0.1, (-0.3, -0.2, -0.1)).verdict(1) == "disagrees"


def test_the_means_of_three_bases_are_those_of_their_two_seeds(replication, tmp_path):
    (tmp_path / "bases").mkdir()
    gained = (0.10, 0.21, 0.30, 0.12, 0.19, 0.32)  # seeds 0 and 3 begin with base 0, and so on
    for seed, gain in enumerate(gained):
        for arm, loss in (("distilled", 0.5 - gain), ("posteromni", 0.5), ("expert_local", 0.2)):
            measures = dict.fromkeys(("local", "global", "loss_local", "loss_global", "letters", "loss_title"), loss)
            record = {"arm": f"bases/{arm}", "seed": seed, "measures": measures}
            (tmp_path / "bases" / f"{arm}-{seed}.json").write_text(json.dumps(record))
    claim = next(claim for claim in replication.STUDENTS if claim.measure == "loss_local")
    assert replication.finding(claim).bases == pytest.approx((-0.11, -0.20, -0.31))
    (row,) = (line for line in replication.beside().splitlines() if line.startswith("| distilled |"))
    assert "| 6 | 0.2933 |" in row and row.endswith("| 69%, – |")  # 0.2067 of 0.3; no global expert


def test_seeds_of_one_base_begin_alike_and_those_of_another_do_not(replication):
    nano_arms = importlib.import_module("nano_arms")
    starts = [nano_arms.ARMS["bases/joint"].changes[0].format(base=nano_arms.base_of(seed)) for seed in range(6)]
    assert starts[:3] == starts[3:] and len({*starts}) == 3
    seeds = [seed for name, (_, seed) in nano_arms.BASES.items() if name[-1].isdigit()]
    assert seeds == [0, 1, 2]


def test_one_seed_makes_no_interval(replication):
    with pytest.raises(ValueError, match="at least two"):
        replication.paired([0.5], [0.4])


def test_losses_are_read_off_where_the_slower_run_ends(replication):
    fast = [(1.0, 0.10), (0.6, 0.30), (0.2, 0.50)]
    slow = [(1.0, 0.10), (0.8, 0.15), (0.4, 0.25)]
    # the slow one ends at 0.4, where the fast one is half way between 0.6 and 0.2
    assert replication.at_equal_task([fast, slow]) == pytest.approx([0.40, 0.25])


def test_a_run_that_only_made_the_task_worse_meets_the_other_where_it_began(replication):
    wrecked = [(0.5, 0.1), (2.0, 3.0), (0.9, 1.5)]
    learnt = [(0.5, 0.1), (0.4, 0.2), (0.3, 0.3)]
    assert replication.at_equal_task([wrecked, learnt]) == pytest.approx([1.5, 0.1])


def test_a_claim_is_found_from_the_results_on_disk_by_seed(replication, tmp_path):
    rows = {"stage1": {0: 0.8, 1: 0.851, 2: 0.899, 7: 0.1}, "postercraft": {0: 0.6, 1: 0.65, 2: 0.7}}
    for arm, of_seed in rows.items():
        for seed, letters in of_seed.items():
            record = {"arm": arm, "seed": seed, "measures": {"letters": letters, "ocr": letters}}
            (tmp_path / f"{arm}-{seed}.json").write_text(json.dumps(record))
    claim = next(claim for claim in replication.TUNING if claim.measure == "letters" and claim.arm == "stage1")
    found = replication.finding(claim)
    assert found.differences == pytest.approx([0.2, 0.201, 0.199])  # seed 7 has no partner
    assert "| 3 | **agrees** |" in replication.table()
    assert "not run" in replication.table()


def test_every_claim_compares_arms_and_measures_that_there_are(replication):
    nano_arms = importlib.import_module("nano_arms")
    arms, of_letters = nano_arms.ARMS, {"measure_rewarded", "measure_refined", "measure_best_of_2"}
    for claim in importlib.import_module("replication_claims").CLAIMS:
        assert claim.arm in arms and claim.than in arms and claim.sign in (1, -1)
        measures = {arms[claim.arm].measure.__name__, arms[claim.than].measure.__name__}
        assert len(measures) == 1 or measures <= of_letters  # which count the same letters of the same posters
    for arm in arms.values():
        assert all(need in arms for need in arm.needs)
        assert arm.recipe is None or (BENCHMARKS.parent / "configs" / "nano" / f"{arm.recipe}.yaml").is_file()


def test_the_critic_says_what_a_poster_lacks_of_its_prompt_and_nothing_of_a_right_one(replication):
    reflections, (right, other) = importlib.import_module("nano_reflections"), _two_posters()
    said = reflections.critique(right, right.target)
    assert (said.content, said.style) == ("", "")
    assert reflections.worth(right, right.target) > 0.9 > reflections.worth(right, other.target)
    said = reflections.critique(right, other.target)
    assert f'"{right.texts[0].text}"' in said.content and right.caption.count(said.content) == 1
    assert said.style in right.caption


def _two_posters():
    """Glyph posters of different letters and grounds whose titles stand at the same end."""
    source = GlyphPosters(3)
    first = source[0]
    others = (source[number] for number in range(1, 99))
    return first, next(
        one for one in others
        if one.background != first.background and one.layout.split()[0] == first.layout.split()[0]
        and not set(one.texts[0].text) & set(first.texts[0].text)
    )  # fmt: skip


def test_the_rewards_of_a_run_are_those_of_its_epochs(replication, tmp_path):
    rows = [{"step": 1, "reward": 0.51234}, {"step": 2}, {"step": 3, "reward": 0.75}]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert importlib.import_module("nano_arms").rewards_of(tmp_path) == [0.5123, 0.75]


@pytest.mark.slow
def test_the_pictures_of_the_page_are_drawn(replication, tmp_path):
    plots = importlib.import_module("replication_plots")
    claims = [replication.TUNING[0], next(c for c in replication.TUNING if c.measure == "others@task")]
    amounts = []  # of pixels in the colour of each verdict; the legend has some of all
    for towards in (1, -1):
        found = [
            (claim, replication.Finding([0.1 * side, 0.3 * side], 0.2 * side, *sorted((0.05 * side, 0.35 * side))))
            for claim in claims
            for side in [towards * claim.sign]
        ]
        plots.forest(found, tmp_path / "claims.png")
        counts = {color: n for n, color in Image.open(tmp_path / "claims.png").convert("RGB").getcolors(1 << 20) or []}
        amounts.append({verdict: counts[ImageColor.getrgb(color)] for verdict, color in plots.COLORS.items()})
    for_it, against_it = amounts
    assert for_it["agrees"] > 2 * against_it["agrees"] and against_it["disagrees"] > 2 * for_it["disagrees"]
    curves = [[(1.0, 0.1), (0.5, 0.2)], [(1.0, 0.1), (0.4, 0.3)]]
    plots.retention({"end_to_end": curves, "lopt_input": curves, "lopt_input_slow": curves}, tmp_path / "curves.png")
    drawn = {"nft": [[0.1, 0.2, 0.3, 0.4, 0.5, 0.6]] * 2}
    plots.rewards(drawn, drawn, tmp_path / "rewards.png")
    for name in ("claims.png", "curves.png", "rewards.png"):
        picture = np.asarray(Image.open(tmp_path / name).convert("L"))
        assert picture.shape[1] > 600 and picture.std() > 5
