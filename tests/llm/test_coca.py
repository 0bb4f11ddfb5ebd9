"""Constitutional calibration on tiny models, against a loop without caches and the guidance of transformers."""

from __future__ import annotations

from typing import Any

import pytest
import tiny_chat
import torch
from PIL import Image
from transformers import (
    LogitsProcessorList,
    Qwen2Config,
    Qwen2ForCausalLM,
    UnbatchedClassifierFreeGuidanceLogitsProcessor,
)

from posterkit.llm.coca import CoCAProcessor
from posterkit.llm.local import LocalModel
from posterkit.llm.open_model import open_language_model
from posterkit.llm.principle import Principle, read_principle

WITH, WITHOUT = [5, 9, 3, 7, 11], [3, 7, 11]
NEW = 6


@pytest.fixture(scope="module")
def text_model():
    torch.manual_seed(0)
    config = Qwen2Config(vocab_size=40, hidden_size=32, intermediate_size=32, num_hidden_layers=2,
                         num_attention_heads=2, num_key_value_heads=2, initializer_range=0.5)  # fmt: skip
    config.pad_token_id = 0
    return Qwen2ForCausalLM(config).eval()


def inputs(*rows: list[int]) -> dict[str, torch.Tensor]:
    """Rows padded on the left with 0."""
    longest = max(map(len, rows))
    ids = torch.tensor([[0] * (longest - len(row)) + row for row in rows])
    return {"input_ids": ids, "attention_mask": (ids > 0).long()}


def generate(model, given, processors=(), **more):
    return model.generate(
        **given, logits_processor=LogitsProcessorList(processors), max_new_tokens=NEW, min_new_tokens=NEW,
        do_sample=False, output_logits=True, output_scores=True, return_dict_in_generate=True, pad_token_id=0,
        **more,
    )  # fmt: skip


@torch.no_grad()
def naive(model, with_, without, alpha: float) -> tuple[list[int], list[torch.Tensor]]:
    """Two branches, read anew for each token."""
    said: list[int] = []
    scores = []
    for _ in range(NEW):
        helped, bare = (model(input_ids=torch.tensor([row + said])).logits[0, -1] for row in (with_, without))
        scores.append(helped + alpha * (helped - bare))
        said.append(int(scores[-1].argmax()))
    return said, scores


def steer(model, alpha, with_=(WITH,), without=(WITHOUT,), **more):
    return generate(model, inputs(*with_), [CoCAProcessor(model, inputs(*without), alpha, **more)])


@pytest.mark.parametrize("alpha", [0.5, 1.0, 4.0])
def test_it_is_the_formula_with_both_branches_read_anew_for_each_token(text_model, alpha):
    made, (said, scores) = steer(text_model, alpha), naive(text_model, WITH, WITHOUT, alpha)
    assert made.sequences[0, len(WITH) :].tolist() == said
    for found, expected in zip(made.scores, scores, strict=True):
        assert torch.allclose(found[0], expected, atol=1e-4)


def test_alpha_0_is_decoding_with_the_principle_to_the_bit(text_model):
    plain, made = generate(text_model, inputs(WITH)), steer(text_model, 0.0)
    assert torch.equal(plain.sequences, made.sequences)
    assert all(torch.equal(a, b) for a, b in zip(plain.scores, made.scores, strict=True))


def test_alpha_minus_1_is_decoding_without_the_principle(text_model):
    plain, made = generate(text_model, inputs(WITHOUT)), steer(text_model, -1.0)
    assert torch.equal(plain.sequences[0, len(WITHOUT) :], made.sequences[0, len(WITH) :])
    for a, b in zip(plain.scores, made.scores, strict=True):
        assert torch.allclose(a, b, atol=1e-4)


@pytest.mark.parametrize("alpha", [0.5, 3.0])
def test_it_is_guidance_of_scale_1_plus_alpha(text_model, alpha):
    negative = inputs(WITHOUT)
    guidance = UnbatchedClassifierFreeGuidanceLogitsProcessor(
        1 + alpha, text_model, negative["input_ids"], negative["attention_mask"]
    )
    guided, made = generate(text_model, inputs(WITH), [guidance]), steer(text_model, alpha)
    assert torch.equal(guided.sequences, made.sequences)
    for a, b in zip(guided.scores, made.scores, strict=True):
        assert torch.allclose(a.log_softmax(-1), b.log_softmax(-1), atol=1e-4)


def test_a_batch_padded_on_the_left_equals_single_calls(text_model):
    pairs = [(WITH, WITHOUT), ([8, 8, 2, 6], [6]), ([1, 2], [2])]
    batch = steer(text_model, 2.0, [one for one, _ in pairs], [other for _, other in pairs])
    for number, (with_, without) in enumerate(pairs):
        single = steer(text_model, 2.0, [with_], [without])
        assert torch.equal(batch.sequences[number, -NEW:], single.sequences[0, -NEW:])
        assert torch.allclose(batch.scores[-1][number], single.scores[-1][0], atol=1e-4)


def test_sampling_draws_from_the_calibrated_distribution_and_both_branches_go_on_with_what_was_drawn(text_model):
    torch.manual_seed(3)
    made = text_model.generate(
        **inputs(WITH), logits_processor=LogitsProcessorList([CoCAProcessor(text_model, inputs(WITHOUT), 2.0)]),
        max_new_tokens=NEW, min_new_tokens=NEW, do_sample=True, top_k=0, output_scores=True,
        return_dict_in_generate=True, pad_token_id=0,
    )  # fmt: skip
    said = made.sequences[0, len(WITH) :].tolist()
    for number in range(NEW):
        with torch.no_grad():
            helped, bare = (text_model(input_ids=torch.tensor([row + said[:number]])).logits[0, -1]
                     for row in (WITH, WITHOUT))  # fmt: skip
        assert torch.allclose(made.scores[number][0], helped + 2 * (helped - bare), atol=1e-4)


def test_only_the_first_tokens_are_steered_where_first_n_says_so(text_model):
    made = steer(text_model, 4.0, first_n=2)
    for number, (raw, score) in enumerate(zip(made.logits, made.scores, strict=True)):
        assert torch.equal(raw, score) is (number >= 2)


def test_the_plausibility_cut_rules_out_what_the_principle_finds_unlikely(text_model):
    made = steer(text_model, 4.0, plausibility=0.5)
    for raw, score in zip(made.logits, made.scores, strict=True):
        p = raw[0].softmax(-1)
        assert torch.equal(torch.isinf(score[0]), p < 0.5 * p.max())
    assert not any(torch.isinf(score).any() for score in steer(text_model, 4.0).scores)


def test_what_another_processor_rules_out_stays_ruled_out(text_model):
    made = text_model.generate(
        **inputs(WITH), logits_processor=LogitsProcessorList([CoCAProcessor(text_model, inputs(WITHOUT), -1.0)]),
        max_new_tokens=3, do_sample=False, suppress_tokens=[7, 8], output_scores=True, return_dict_in_generate=True,
        pad_token_id=0,
    )  # fmt: skip
    for score in made.scores:
        assert score[0, [7, 8]].isneginf().all() and not score.isnan().any()


def test_beams_and_a_second_call_are_refused(text_model):
    with pytest.raises(ValueError, match="beams"):
        generate(text_model, inputs(WITH), [CoCAProcessor(text_model, inputs(WITHOUT))], num_beams=2)
    processor = CoCAProcessor(text_model, inputs(WITHOUT))
    generate(text_model, inputs(WITH), [processor])
    with pytest.raises(ValueError, match="one call"):
        generate(text_model, inputs(WITH), [processor])


@pytest.mark.parametrize("wrong", [{"alpha": -2.0}, {"alpha": float("nan")}, {"plausibility": 0.0}])
def test_numbers_out_of_range_are_refused(text_model, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        CoCAProcessor(text_model, inputs(WITHOUT), **wrong)


@pytest.fixture(scope="module")
def seeing(tmp_path_factory):
    folder = tiny_chat.save(tmp_path_factory.mktemp("chat"))
    local = LocalModel(str(folder), max_new_tokens=NEW, temperature=0.0)
    picture = Image.effect_noise((64, 48), 80).convert("RGB")
    asked = {
        name: local._inputs("", words, [picture])
        for name, words in (("with", "be kind. what is this?"), ("without", "what is this?"))
    }
    local._model.generation_config.eos_token_id = None  # nothing ends an answer before it is NEW tokens long
    return local._model, asked


@torch.no_grad()
def naive_seeing(model: Any, asked, alpha: float) -> tuple[list[int], list[torch.Tensor]]:
    """As `naive`, with the picture read anew each time too."""
    said: list[int] = []
    scores = []
    for _ in range(NEW):
        branches = []
        for name in ("with", "without"):
            given, more = dict(asked[name]), torch.tensor([said], dtype=torch.long)
            given["input_ids"] = torch.cat([given["input_ids"], more], 1)
            given["attention_mask"] = torch.ones_like(given["input_ids"])
            if "mm_token_type_ids" in given:
                given["mm_token_type_ids"] = torch.cat([given["mm_token_type_ids"], torch.zeros_like(more)], 1)
            model.model.rope_deltas = None
            branches.append(model(**given).logits[0, -1].float())
        helped, bare = branches
        scores.append(helped + alpha * (helped - bare))
        said.append(int(scores[-1].argmax()))
    return said, scores


@pytest.mark.parametrize("alpha", [0.0, 2.0, -1.0])
def test_pictures_stay_in_both_branches_of_a_model_that_sees(seeing, alpha):
    model, asked = seeing
    made = generate(model, asked["with"], [CoCAProcessor(model, asked["without"], alpha)])
    said, scores = naive_seeing(model, asked, alpha)
    assert made.sequences[0, -NEW:].tolist() == said
    for found, expected in zip(made.scores, scores, strict=True):
        assert torch.allclose(found[0].float(), expected, atol=1e-3)


def test_alpha_0_and_the_next_plain_call_are_untouched_by_the_second_branch(seeing):
    model, asked = seeing
    plain = generate(model, asked["with"])
    made = generate(model, asked["with"], [CoCAProcessor(model, asked["without"], 0.0)])
    assert all(torch.equal(a, b) for a, b in zip(plain.scores, made.scores, strict=True))
    again = generate(model, asked["with"])
    assert all(torch.equal(a, b) for a, b in zip(plain.scores, again.scores, strict=True))


def test_without_the_picture_the_second_branch_says_something_else(seeing):
    model, asked = seeing
    blind = {name: asked["without"][name] for name in ("input_ids", "attention_mask")}
    seen = generate(model, asked["with"], [CoCAProcessor(model, asked["without"], 2.0)])
    unseen = generate(model, asked["with"], [CoCAProcessor(model, blind, 2.0)])
    assert not torch.allclose(seen.scores[0], unseen.scores[0], atol=1e-3)


def test_a_principle_is_a_text_file_that_is_not_empty(tmp_path):
    path = tmp_path / "principle.txt"
    path.write_text(" Be kind.\n")
    assert read_principle(path, 2.0) == Principle("Be kind.", 2.0)
    path.write_text(" ")
    with pytest.raises(ValueError, match=r"principle\.txt: .*1 to 8000"):
        read_principle(path)
    with pytest.raises(ValueError, match="at least -1"):
        Principle("Be kind.", -2.0)


def test_a_local_model_answers_by_the_principle_and_as_before_without_it(tmp_path):
    folder = str(tiny_chat.save(tmp_path))
    plain = LocalModel(folder, max_new_tokens=NEW, temperature=0.0)
    picture = Image.effect_noise((64, 48), 80).convert("RGB")
    stated, steered, undone = (
        LocalModel(folder, max_new_tokens=NEW, temperature=0.0, principle=Principle("Be kind.", alpha))
        for alpha in (0.0, 8.0, -1.0)
    )
    by_hand = plain.ask("You see.", "Be kind.\n\nWhat is this?", [picture])
    assert stated.ask("You see.", "What is this?", [picture]) == by_hand
    assert undone.ask("You see.", "What is this?", [picture]) == plain.ask("You see.", "What is this?", [picture])
    assert steered.ask("You see.", "What is this?", [picture]) != by_hand


def test_an_endpoint_cannot_be_steered():
    with pytest.raises(ValueError, match="local model"):
        open_language_model("http://127.0.0.1:9/v1", principle=Principle("Be kind."))
