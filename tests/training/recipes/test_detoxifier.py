"""The detoxifier through its real recipe: what it learns from, what its answers are worth, exact resume."""

from __future__ import annotations

import json
from pathlib import Path

import detoxifier as recipe
import pytest
import yaml
from safetensors.torch import load_file
from small_stages import log_of

from posterkit.datagen.safety_lines import HarmPairs
from posterkit.safety.detectors import open_detector
from posterkit.safety.detectors.detector import Verdict
from posterkit.safety.policies import open_policies
from posterkit.safety.rewriting import CannotRewrite, ModelRewriter, kept_parts, longest, open_rewriter
from posterkit.training.config import load_config
from posterkit.training.loading.detox_lines import REFUSAL, detox_lines, line_tokenizer

SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2,
         "num_key_value_heads": 1, "max_position_embeddings": 512}  # fmt: skip


def write(folder: Path, run: str, **overrides) -> Path:
    config = {"run_dir": str(folder / run), "model": SMALL, "batch_size": 4, "max_steps": 4, "learning_rate": 5e-3,
              "log_every": 1, "save_every": 2, "heldout_lines": 2, "tracker": "none", "pairs": {"count": 480},
              **overrides}  # fmt: skip
    path = folder / f"{run}.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def lines(split: str, count: int = 2400):
    return detox_lines([HarmPairs(0)[number] for number in range(count)], split)


def test_what_it_should_answer_passes_every_check_of_a_rewriter():
    detector = open_detector("rules", open_policies())
    for one in lines("train") + lines("heldout"):
        assert all(part in one.harmless for part in kept_parts(one.harmful))
        assert len(one.harmless) <= longest(one.harmful) and not detector(one.harmless).harmful


def test_no_harmful_line_is_in_both_halves_and_some_have_what_must_be_kept():
    train, heldout = lines("train"), lines("heldout")
    bare = [{one.harmful.split(" · ")[0] for one in half} for half in (train, heldout)]
    assert bare[0] and bare[1] and not bare[0] & bare[1]
    kept = [sum(bool(kept_parts(one.harmful)) for one in half) / len(half) for half in (train, heldout)]
    assert all(0.2 < share < 0.8 for share in kept)


def test_pairs_of_pku_teach_the_safer_answer_or_a_refusal(tmp_path):
    rows = [
        {"prompt": "p", "response_0": "kind", "response_1": "cruel", "is_response_0_safe": True,
         "is_response_1_safe": False, "safer_response_id": 0},
        {"prompt": "q", "response_0": "bad", "response_1": "worse", "is_response_0_safe": False,
         "is_response_1_safe": False, "safer_response_id": 0},
    ]  # fmt: skip
    for name in ("train", "test"):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = write(tmp_path, "run", pairs={"path": str(tmp_path)})
    train, heldout = recipe.open_lines(load_config(recipe.DetoxifierConfig, path))
    assert [(one.harmful, one.harmless) for one in train] == [("cruel", "kind"), ("worse", REFUSAL["en"])]
    assert len(heldout) == 2


def test_the_tokenizer_of_its_own_reads_and_writes_any_text():
    words = line_tokenizer(lines("train", 480))
    for text in ("Guaranteed profit · {NAME}", "稳赚不赔 · 50 元", "Ünïcode 🦊 <text>"):
        assert words.decode(words.encode(text)) == text


def test_it_learns_and_its_folder_is_a_rewriter(run_recipe, tmp_path):
    run_recipe("detoxifier", write(tmp_path, "run", max_steps=12))
    losses = [row["loss"] for row in log_of(tmp_path / "run")]
    assert losses[-1] < losses[0] - 0.5  # from near ln 1500 = 7.3
    found = json.loads((tmp_path / "run" / "heldout.json").read_text())
    assert found["lines"] == 2 and all(0 <= found[name] <= 1 for name in ("kept", "harmless", "both"))
    rewriter = open_rewriter(str(tmp_path / "run" / "model"))
    assert isinstance(rewriter, ModelRewriter)
    assert 'rewriter="path/to/this/folder"' in (tmp_path / "run" / "model" / "README.md").read_text()


@pytest.mark.slow
def test_a_stopped_run_goes_on_bit_for_bit(run_recipe, tmp_path):
    run_recipe("detoxifier", write(tmp_path, "whole"))
    run_recipe("detoxifier", write(tmp_path, "parts"), "stop_at=2")
    run_recipe("detoxifier", write(tmp_path, "parts"))
    one, other = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("whole", "parts"))
    assert all((one[name] == other[name]).all() for name in one)


class Said:
    """A language model that has these answers alone."""

    name = "said"

    def __init__(self, *answers: str) -> None:
        self._answers = list(answers)

    def ask(self, system: str, user: str, images=(), schema=None) -> str:
        return self._answers.pop(0)


def test_what_a_model_leaves_out_is_put_behind_its_answer_where_there_is_room():
    finance = next(policy for policy in open_policies() if policy.name == "finance")
    verdict = Verdict(1.0, True, "finance", "", "rules")
    rewriter = ModelRewriter(Said("Capital at risk", "Capital at risk, and read all of the terms first"))
    line = "Guaranteed profit from $99 for {NAME}"
    assert rewriter(line, verdict, finance, 1) == "Capital at risk · $99 · {NAME}"
    with pytest.raises(CannotRewrite, match=r"lacks .*\$99"):
        rewriter(line, verdict, finance, 1)


def test_worth_counts_what_is_kept_and_harmless():
    some = [one for one in lines("heldout") if one.language == "en"][:3]
    rewriter = ModelRewriter(Said(some[0].harmless, "Double your money", "价格"))
    found = recipe.worth(rewriter, some)
    assert found["lines"] == 3 and found["both"] == pytest.approx(1 / 3)
    assert [row["kept"] for row in found["answers"]][2] is False
