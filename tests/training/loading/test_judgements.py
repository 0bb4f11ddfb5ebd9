"""Free pairs: what is wrong with each rejected side is so, and is said."""

from __future__ import annotations

from collections import Counter
from random import Random

import numpy as np
import pytest
from PIL import Image
from small_scorer import write_pairs
from small_stages import write_posters

from posterkit.datagen.weakening import (
    illegible,
    letters_of,
    noise_strength,
    noised,
    requote,
    text_blurred,
    text_error,
    text_masked,
)
from posterkit.datasets.dataset import PosterDataset
from posterkit.metrics.ocr import edit_distance
from posterkit.prompts import quoted_texts
from posterkit.tasks import BLANK, TASKS
from posterkit.training.config import RunConfig
from posterkit.training.loading.good_posters import GoodPosters, JudgementConfig, open_good_posters
from posterkit.training.loading.judgements import KINDS, Judgements, Kinds
from posterkit.training.run import Run

FREE = Kinds(0.0, *[1.0] * (len(KINDS) - 1))


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> GoodPosters:
    posters = PosterDataset(write_posters(tmp_path_factory.mktemp("set"), 42, ("text", *TASKS)))
    return GoodPosters(posters.rows, lambda number: (posters[number], None))


def of_kind(good: GoodPosters, kind: str, count: int = 12) -> list:
    judgements = Judgements(good, Kinds(**{kind: 1.0}), seed=1)
    return [judgements[number] for number in range(count)]


@pytest.mark.parametrize(
    ("step", "kept", "noise"), [(500, 0.863, 0.505), (700, 0.593, 0.805), (900, 0.365, 0.931), (999, 0.285, 0.959)]
)
def test_noise_is_as_strong_as_bpos(step, kept, noise):
    assert noise_strength(step) == pytest.approx((kept, noise), abs=5e-4)


def test_a_noised_poster_keeps_as_much_of_itself_as_the_schedule_says():
    poster = np.zeros((200, 200, 3), np.uint8)
    poster[:, 100:] = 255
    made = noised(poster, 500, seed=3).astype(float)
    # about CLIP's mean, so that hardly anything is cut off at black and white
    grey = np.full((200, 200, 3), 118, np.uint8)
    assert noised(grey, 500, seed=3).std((0, 1)) == pytest.approx(
        255 * 0.505 * np.array([0.2686, 0.2613, 0.2758]), rel=0.03
    )
    assert made[:, 100:].mean() - made[:, :100].mean() > 100
    assert np.array_equal(noised(poster, 500, seed=3), noised(poster, 500, seed=3))


@pytest.mark.parametrize(
    ("text", "what"),
    [("JAZZ NIGHT", "character"), ("Only $19", "price"), ("5 May", "date"), ("12.11.", "date"), ("Hall 4", "digit"),
     ("Тихий лес", "character"), ("早安", "character")],
)  # fmt: skip
def test_an_error_is_one_letter_or_digit_of_the_same_kind(text, what):
    letters = letters_of([text, "ABC abc 0123456789", "Москва", "晚安"])
    for seed in range(20):
        wrong, said = text_error(Random(seed), text, letters)
        assert said == what and len(wrong) == len(text) and edit_distance(wrong, text) == 1
        (old, new), *_ = [(a, b) for a, b in zip(text, wrong, strict=True) if a != b]
        assert (old.isdigit(), old.isupper()) == (new.isdigit(), new.isupper())


def test_a_text_that_no_known_letter_can_change_is_left_alone():
    assert text_error(Random(0), "7", letters_of(["7", "abc"])) is None
    assert text_error(Random(0), "?!", letters_of(["abc"])) is None


@pytest.mark.parametrize(
    ("prompt", "changed"),
    [
        ('A poster, title "OLD", small "line"', 'A poster, title "NEW", small "line"'),
        ("Ein Plakat „OLD“", "Ein Plakat „NEW“"),
        ('title \\"OLD\\" here', 'title \\"NEW\\" here'),
    ],
)
def test_a_prompt_asks_for_another_text_in_the_same_marks(prompt, changed):
    assert requote(prompt, 0, "NEW") == changed


def test_a_text_that_would_end_its_own_quote_is_not_put_in():
    assert requote('title "OLD"', 0, 'NE"W') is None


def test_spoilt_text_leaves_the_rest_of_the_poster_as_it_is():
    rng = np.random.default_rng(0)
    poster = rng.integers(0, 255, (60, 80, 3), dtype=np.uint8)
    box = (10, 20, 50, 32)
    for spoil in (text_blurred, text_masked):
        made = spoil(poster, [box])
        changed = np.argwhere((made != poster).any(-1))
        assert (changed.min(0) >= (20, 10)).all() and (changed.max(0) <= (31, 49)).all()
        assert made[20:32, 10:50].std() < 0.5 * poster[20:32, 10:50].std()
    assert text_masked(poster, [(0, 0, 80, 5)]).shape == poster.shape  # at the edge


def test_an_illegible_posters_tallest_line_was_three_pixels_high():
    made, between = illegible(np.zeros((120, 80, 3), np.uint8), [(0, 0, 40, 12), (0, 20, 40, 26)])
    assert between == (20, 30) and made.shape == (120, 80, 3)


@pytest.mark.parametrize("kind", KINDS[1:])
def test_every_kind_says_what_is_wrong_and_leaves_the_chosen_side_alone(good, kind):
    targets = {row["id"]: good.read(number)[0].target for number, row in enumerate(good.rows)}
    for pair in of_kind(good, kind):
        assert pair.kind == kind and pair.why
        assert np.array_equal(pair.chosen.poster, targets[pair.id])
        same_poster = np.array_equal(pair.chosen.poster, pair.rejected.poster)
        same_wish = pair.chosen.request.as_instruction() == pair.rejected.request.as_instruction()
        assert (same_poster, same_wish) == ((True, False) if kind in ("wrong_text", "text_error") else (False, True))


def test_the_untouched_input_is_the_reference_and_blank_where_filling_has_to_make_it(good):
    pairs = of_kind(good, "unedited", 40)
    assert {pair.chosen.request.task for pair in pairs} == set(TASKS)
    for pair in pairs:
        asked, made = pair.chosen.request, pair.rejected.poster
        if asked.task == "filling":
            hole = asked.mask >= 128
            assert (made[hole] == np.array(Image.new("RGB", (1, 1), BLANK))[0, 0]).all()
            assert np.array_equal(made[~hole], asked.references[0][~hole])
        else:
            assert np.array_equal(made, asked.references[0])


def test_a_wrong_task_is_the_poster_of_a_row_of_another_task(good):
    by_picture = {good.read(number)[0].target.tobytes(): row["task"] for number, row in enumerate(good.rows)}
    for pair in of_kind(good, "wrong_task"):
        assert by_picture[pair.rejected.poster.tobytes()] != pair.chosen.request.task


def test_wrong_words_are_other_words_or_off_by_one_character(good):
    for pair in of_kind(good, "wrong_text"):
        asked, shown = (quoted_texts(side.request.as_instruction())[0] for side in (pair.rejected, pair.chosen))
        assert asked != shown and pair.why == f'wrong text: asked for "{asked}", shows "{shown}"'
    for pair in of_kind(good, "text_error"):
        asked, shown = (" ".join(quoted_texts(side.request.as_instruction())) for side in (pair.rejected, pair.chosen))
        assert edit_distance(asked, shown) == 1


def test_a_misspelt_poster_differs_in_its_lettering_alone_and_says_where(good):
    posters = {row["id"]: good.read(number)[0] for number, row in enumerate(good.rows)}
    for pair in of_kind(good, "misspelt"):
        assert pair.why.startswith("misspelt: ") and pair.rejected.request == pair.chosen.request
        changed = (pair.rejected.poster != pair.chosen.poster).any(-1)
        for text in posters[pair.id].texts:
            x0, y0, x1, y1 = text.box
            changed[max(0, y0 - 4) : y1 + 4, max(0, x0 - 4) : x1 + 4] = False
        assert not changed.any()


def test_a_judgement_follows_from_its_number_alone(good):
    one, other = Judgements(good, FREE, seed=5), Judgements(good, FREE, seed=5)
    ahead = [other[number] for number in (7, 3)]
    for number, found in zip((7, 3), ahead, strict=True):
        again = one[number]
        assert (again.id, again.kind, again.why) == (found.id, found.kind, found.why)
        assert np.array_equal(again.rejected.poster, found.rejected.poster)
    assert one[0].id != Judgements(good, FREE, seed=6)[0].id or one[1].id != Judgements(good, FREE, seed=6)[1].id


def test_kinds_are_drawn_by_their_shares_and_held_out_ones_in_turn(good):
    drawn = Judgements(good, Kinds(blank=3, unedited=1), seed=2)
    count = Counter(drawn[number].kind for number in range(200))
    assert set(count) == {"blank", "unedited"} and 0.65 < count["blank"] / 200 < 0.85
    evenly = Judgements(good, Kinds(blank=3, unedited=1), seed=2, evenly=True)
    assert [evenly[number].kind for number in range(4)] == ["unedited", "blank"] * 2


def test_kinds_that_nothing_can_be_made_of_are_named(tmp_path):
    posters = PosterDataset(write_posters(tmp_path, 3))
    good = GoodPosters(posters.rows, lambda number: (posters[number], None))
    assert Judgements(good, Kinds(unedited=1, wrong_task=1, blank=1), seed=0).missing == ["unedited", "wrong_task"]
    with pytest.raises(ValueError, match="no pair of the kinds candidates, unedited can be made"):
        Judgements(good, Kinds(candidates=1, unedited=1), seed=0)


def test_mined_pairs_keep_their_verdict_and_free_pairs_are_made_of_the_chosen_posters(tmp_path):
    run = Run(RunConfig(run_dir=str(tmp_path / "run")))
    train, heldout = open_good_posters(JudgementConfig(path=str(write_pairs(tmp_path / "pairs", 4))), run)
    assert (len(train.rows), len(heldout.rows)) == (4, 2)
    pair = Judgements(train, Kinds(candidates=1), seed=0)[0]
    level = int(pair.chosen.poster.flat[0])
    assert level >= 200 and pair.rejected.poster.flat[0] == level - 140 and pair.why == "judged worse by 0.5"
    free = Judgements(train, Kinds(text_error=1), seed=0)[0]
    assert free.chosen.poster.flat[0] >= 200 and "asked for" in free.why


def test_texts_of_mined_pairs_are_found_by_reading(tmp_path, good):
    drawn = next(sample for sample, _ in map(good.read, range(42)) if sample.texts and sample.task == "text")
    big = np.asarray(Image.fromarray(drawn.target).resize((256, 384), Image.Resampling.BICUBIC))
    folder = write_pairs(tmp_path / "pairs", 1)
    Image.fromarray(big).save(folder / "p0.chosen.png")
    train, _ = open_good_posters(JudgementConfig(path=str(folder)), Run(RunConfig(run_dir=str(tmp_path / "run"))))
    pair = Judgements(train, Kinds(text_mask=1), seed=0)[0]
    x0, y0, x1, y1 = (4 * side for side in drawn.texts[0].box)
    changed = (pair.rejected.poster != pair.chosen.poster).any(-1)
    assert changed[y0:y1, x0:x1].mean() > 0.5 and changed.mean() < 0.5


def test_a_set_that_holds_nothing_out_gives_its_last_posters(tmp_path, capsys):
    folder = write_posters(tmp_path / "set", 5)
    run = Run(RunConfig(run_dir=str(tmp_path / "run")))
    train, heldout = open_good_posters(JudgementConfig(path=str(folder), heldout=2), run)
    assert [len(train.rows), len(heldout.rows)] == [3, 2]
    assert "its last 2 posters are held out" in capsys.readouterr().out
    assert not {row["id"] for row in train.rows} & {row["id"] for row in heldout.rows}


@pytest.mark.parametrize(
    ("kinds", "said"),
    [
        (Kinds(blank=-1), "kinds.blank takes a share of at least 0, got -1"),
        (Kinds(blank=float("nan")), "kinds.blank takes a share"),
        (Kinds(), "leaves nothing to learn from"),
    ],
)
def test_shares_that_mean_nothing_are_refused(kinds, said):
    with pytest.raises(ValueError, match=said):
        kinds.check()
