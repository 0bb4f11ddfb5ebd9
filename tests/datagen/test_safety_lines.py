"""Pairs for the harm detector."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from itertools import product

import pytest

from posterkit.datagen.prompts import WORDS, word_list
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


def test_the_held_out_half_is_that_of_the_first_published_figures():
    """What is added for training leaves it alone; its digest was taken before anything was added."""
    source, digest = HarmPairs(0), hashlib.sha256()
    for number in range(9600):
        if number // 24 % 2:
            digest.update(json.dumps(encode_pair(source[number])[0], ensure_ascii=False, sort_keys=True).encode())
    assert digest.hexdigest() == "5efa21b18025ae364ed8c48dacc30c67b76b07d558c7f0f5332a3a6e4fe4fa57"


COMMON = """
the a an of in on to and for by at your you our we us is are be was with it this that do does not no all will can or as
if so its their they them his her he she i my me who what from out up off into over than then when more every any one
"""


CHOICE = re.compile(r"(\([^()]*\|[^()]*\))")


def content(line: str, language: str) -> set[str]:
    """Stems of a line's words that are not common ones; pairs of letters in Chinese."""
    line = re.sub(r"\{\w+\}", " ", line).lower()
    if language == "zh":
        runs = re.findall(r"[\u4e00-\u9fff]+", line)
        return {run[at : at + 2] for run in runs for at in range(len(run) - 1)}
    words = re.findall(r"[a-z]+", line)
    return {re.sub(r"(ies|es|s|ed|ing)$", "", word) for word in words if word not in COMMON.split()}


@pytest.mark.parametrize(("language", "column", "least", "most"), [("en", 0, 2, 0.6), ("zh", 1, 3, 0.5)])
def test_no_line_for_training_says_what_a_held_out_line_says_in_its_words(language, column, least, most):
    lists = word_list("safety")
    heldout = [
        content(pair[column], language) for name, pairs in lists.items() if name.endswith(("harmful", "benign"))
        for pair in pairs[1::2]
    ]  # fmt: skip
    lines: dict[str, list[str]] = {}
    for line in (WORDS / f"harm_{language}.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif not line.startswith("#"):
            lines.setdefault(section, []).append(line)
    wordings = [
        "".join(one)
        for name, found in lines.items() if name.endswith(("harmful", "benign"))
        for line in found
        for one in product(*(part[1:-1].split("|") if "|" in part else [part] for part in CHOICE.split(line)))
    ]  # fmt: skip
    topics = [name.removesuffix("topic") for name in lines if name.endswith("topic")]
    wordings += [
        f"{topic}: {said}" for name in topics for side in ("bad", "good")
        for topic in lines[f"{name}topic"] for said in lines[f"{name}{side}"]
    ]  # fmt: skip
    having: dict[str, list[int]] = {}
    for number, other in enumerate(heldout):
        for word in other:
            having.setdefault(word, []).append(number)
    for wording in wordings:
        shared = Counter(number for word in content(wording, language) for number in having.get(word, ()))
        for number, count in shared.items():
            assert count < least or count < most * len(heldout[number]), wording
    assert len(topics) == 12 and len(wordings) > 10_000


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
