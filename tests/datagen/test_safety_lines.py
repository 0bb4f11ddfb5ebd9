"""Pairs for the harm detector."""

from __future__ import annotations

import json

import pytest

from posterkit.datagen.safety_lines import HarmPairs, encode_pair, read_pairs
from posterkit.safety.detectors.tiny import CATEGORIES

PAIRS = [HarmPairs(0)[number] for number in range(960)]


def test_a_pair_has_a_harmless_and_a_harmful_side_with_all_gaps_filled():
    for pair in PAIRS:
        assert not pair.safer.harmful and pair.other.harmful
        assert pair.safer.text.strip() and pair.other.text.strip()
        assert "{" not in pair.safer.text + pair.other.text and " | " not in pair.other.text


def test_categories_languages_and_halves_come_equally_often():
    for name in CATEGORIES:
        of_category = [pair for pair in PAIRS if pair.category == name]
        assert len(of_category) == 80
        assert sum(pair.split == "heldout" for pair in of_category) == 40
        assert sum(pair.language == "zh" for pair in of_category) == 40


def test_no_line_of_the_held_out_half_is_trained_on():
    train, heldout = ({pair.sources[1] for pair in PAIRS if pair.split == split} for split in ("train", "heldout"))
    assert not train & heldout
    train, heldout = ({pair.other.text for pair in PAIRS if pair.split == split} for split in ("train", "heldout"))
    assert not train & heldout


def test_a_line_in_context_is_harmless_in_another_one():
    pairs = [pair for pair in PAIRS if pair.kind == "context"]
    assert pairs
    for pair in pairs:
        assert pair.safer.text == pair.other.text and pair.safer.context != pair.other.context


def test_pairs_are_read_again_as_they_were_written(tmp_path):
    rows = [json.dumps(encode_pair(pair)[0]) for pair in PAIRS[:20]]
    (tmp_path / "safety.jsonl").write_text("\n".join(rows))
    assert list(read_pairs(tmp_path)) == PAIRS[:20]


def test_a_folder_of_pku_saferlhf_is_read_with_the_safer_response_first(tmp_path):
    row = {"prompt": "p", "response_0": "bad", "response_1": "good", "is_response_0_safe": False,
           "is_response_1_safe": True, "better_response_id": 0, "safer_response_id": 1}  # fmt: skip
    for name in ("train", "test"):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(row))
    test, train = sorted(read_pairs(tmp_path), key=lambda pair: pair.split)
    assert (test.split, train.split) == ("heldout", "train")
    assert train.safer.text == "good" and not train.safer.harmful and train.safer.context == "p"
    assert train.other.text == "bad" and train.other.harmful and train.category is None


def test_what_is_no_pair_is_refused_by_its_line(tmp_path):
    (tmp_path / "train.jsonl").write_text('{"prompt": "p"}')
    with pytest.raises(ValueError, match="line 1"):
        list(read_pairs(tmp_path))
    with pytest.raises(ValueError, match="holds no pairs"):
        list(read_pairs(tmp_path / "none"))
