"""Rewards by models: tiny folders of the real classes, and a real endpoint on loopback."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import tiny_chat
import torch
from chat_server import chat, reply, servers
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny_clip import SIDE, VISION, save_clip
from transformers import (
    AutoTokenizer,
    BitImageProcessorPil,
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    CLIPVisionModel,
    Dinov2Config,
    Dinov2Model,
    Qwen2_5_VLForConditionalGeneration,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from posterkit.llm.client import AnswerError
from posterkit.llm.local import LocalModel
from posterkit.rewards import open_reward
from posterkit.rewards.models import vision_language as marks
from posterkit.rewards.models.image_text import ImageTextModel, windows
from posterkit.rewards.specs import kind_of
from posterkit.schema import PosterRequest

REFERENCE = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8).repeat(6, 0).repeat(6, 1)
POSTERS = [Image.fromarray(REFERENCE).resize((64, 96)), Image.new("RGB", (64, 96), "navy")]
ROWS = [
    PosterRequest(
        task="id_driven", instruction="the prompt", texts=(), images=(REFERENCE,), caption="a poster of a lake"
    )
] * 2


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """One of each kind."""
    made = {name: tmp_path_factory.mktemp(name) for name in ("dino", "eyes")}
    torch.manual_seed(0)
    side = {"height": SIDE, "width": SIDE}
    Dinov2Model(
        Dinov2Config(hidden_size=32, num_attention_heads=4, num_hidden_layers=2, image_size=SIDE, patch_size=8)
    ).save_pretrained(made["dino"])
    BitImageProcessorPil(size=side, crop_size=side).save_pretrained(made["dino"])
    CLIPVisionModel(CLIPVisionConfig(**VISION)).save_pretrained(made["eyes"])
    CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size=side).save_pretrained(made["eyes"])
    made["clip"] = save_clip(tmp_path_factory.mktemp("clip"))
    return {name: str(folder) for name, folder in made.items()}


@pytest.fixture(scope="module")
def seer(tmp_path_factory):
    return tiny_chat.save(tmp_path_factory.mktemp("seer"))


@pytest.fixture
def scored(tmp_path):
    """A folder as ms-swift's seq_cls saves it: the generating class's name, a score head, and no head for words."""
    folder = tiny_chat.save(tmp_path / "scored")
    weights = load_file(folder / "model.safetensors")
    weights.pop("lm_head.weight")
    weights["score.weight"] = torch.linspace(-1, 1, 16)[None] * 0.5
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"id2label": {"0": "LABEL_0"}}))
    return folder


def test_a_folder_is_known_by_its_config(folders):
    assert {name: kind_of(folder) for name, folder in folders.items()} == {
        "dino": "vision", "eyes": "vision", "clip": "clip",
    }  # fmt: skip


def test_a_clip_folder_gives_the_cosine_with_the_caption_of_which_0_4_is_full(folders):
    results = open_reward(folders["clip"])(POSTERS, ROWS)
    cosines = ImageTextModel(folders["clip"]).score(POSTERS, ["a poster of a lake"] * 2)
    assert [result.value for result in results] == pytest.approx([min(1, max(0, cosine / 0.4)) for cosine in cosines])


@pytest.mark.parametrize("kind", ["dino", "eyes", "clip"])
def test_identity_by_features_is_1_where_a_window_is_the_reference_and_less_elsewhere(folders, kind):
    reward = open_reward("identity", sources={"identity": folders[kind]})
    poster = Image.new("RGB", (96, 96), "white")
    poster.paste(Image.fromarray(REFERENCE), (0, 48))  # a half of it, at the bottom left: one of the windows
    there, elsewhere = reward([poster, POSTERS[1]], ROWS)
    assert there.value == pytest.approx(1, abs=1e-4) and elsewhere.value < there.value
    assert np.asarray(poster.crop((0, 48, 48, 96))).tobytes() in [np.asarray(one).tobytes() for one in windows(poster)]
    assert len(windows(poster)) == 14


def test_a_model_that_sees_gives_the_expected_digit_of_its_answer(seer):
    """By hand from the stock model's logits, for the request and both pictures."""
    reward = open_reward("agreement", sources={"agreement": str(seer)})
    (result,) = reward(POSTERS[:1], ROWS[:1])
    model = LocalModel(str(seer))
    question = marks.QUESTION.format(request="the prompt", question=marks.QUESTIONS["agreement"])
    pictures = [Image.fromarray(REFERENCE), POSTERS[0]]
    with torch.no_grad():
        logits = model._model(**model._inputs(marks.SYSTEM, question, pictures)).logits[0, -1]
    digits = [model._processor.tokenizer.convert_tokens_to_ids(digit) for digit in "012345"]
    chances = logits[digits].double().softmax(0)
    assert result.value == pytest.approx(float((chances * torch.arange(6)).sum() / 5), abs=1e-4)
    alone = replace(ROWS[0], images=())
    assert reward(POSTERS[:1], [alone])[0].value != result.value  # what went in is seen


def test_as_a_whole_it_is_the_mean_of_three_marks_and_identity_needs_something_that_went_in(seer):
    (result,) = open_reward(str(seer))(POSTERS[:1], ROWS[:1])
    assert set(result.parts) == {"aesthetics", "text", "agreement"} and 0 <= result.value <= 1
    assert result.value == pytest.approx(sum(result.parts.values()) / 3)
    identity = open_reward("identity", sources={"identity": str(seer)})
    assert set(identity(POSTERS[:1], ROWS[:1])[0].parts) == {"identity"}
    assert identity(POSTERS[:1], [replace(ROWS[0], images=())])[0].why == "nothing to judge"


def test_an_endpoint_gives_its_three_marks_or_the_one_that_a_part_wants():
    said, asked = {"look good": "1", "quotes": "5", "asks for": "0"}, []

    def answering(handler, body):
        told = json.dumps(body["messages"]) if body else ""
        asked.extend([told] if told else [])
        digits = [digit for words, digit in said.items() if words in told]
        reply(handler, chat(digits[0]) if body else b'{"data": [{"id": "seer"}]}')

    with servers() as start:
        url = f"{start(answering).url}/v1"
        (whole,) = open_reward(url)(POSTERS[:1], ROWS[:1])
        assert whole.value == pytest.approx(0.4) and whole.why == "weakest in agreement (0.00)"
        assert whole.parts == {"aesthetics": 0.2, "text": 1.0, "agreement": 0.0}
        (before,) = {told.split(r"the prompt\n")[0] for told in asked}  # a server that keeps prefixes reads it once
        assert len(asked) == 3 and before.count("data:image") == 2
        for part, mark in (("aesthetics", 0.2), ("text", 1.0), ("agreement", 0.0)):
            assert open_reward(part, sources={part: url})(POSTERS[:1], ROWS[:1])[0].value == mark


def test_a_model_with_a_scalar_head_gives_the_sigmoid_of_its_score_for_poster_and_caption(scored):
    """By hand: the stock model's last state before its head for words, times the head that the folder has."""
    assert kind_of(str(scored)) == "scored"
    first, second = open_reward(str(scored))(POSTERS, ROWS)
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(scored)
    picture = Qwen2VLImageProcessorPil.from_pretrained(scored)([POSTERS[0]], return_tensors="pt")
    cells = "<|image_pad|>" * (picture["image_grid_thw"].prod().item() // 4)
    words = (
        f"<|im_start|>user\n<|vision_start|>{cells}<|vision_end|>a poster of a lake<|im_end|>\n<|im_start|>assistant\n"
    )
    ids = AutoTokenizer.from_pretrained(scored)(words, return_tensors="pt")["input_ids"]
    kinds = (ids == model.config.image_token_id).int()
    with torch.no_grad():
        states = model.model(input_ids=ids, mm_token_type_ids=kinds, **picture).last_hidden_state
    score = float(states[0, -1] @ load_file(scored / "model.safetensors")["score.weight"][0])
    assert first.value == pytest.approx(1 / (1 + math.exp(-score)), abs=1e-5) and abs(score) > 0.05
    assert first.value != second.value and first.why == f"score {score:+.2f}"
    other = replace(ROWS[0], caption="another <|image_pad|> wish")  # words place no pictures
    assert open_reward(str(scored))(POSTERS[:1], [other])[0].value != first.value


def test_a_head_of_several_layers_and_missing_weights_are_refused_in_one_line(scored):
    weights = load_file(scored / "model.safetensors")
    for changed, said in (
        ({"score.0.weight": torch.ones(2, 2)}, r"must be one linear layer.*score.0.weight \(2, 2\)"),
        ({"score.weight": torch.ones(2, 16)}, r"score.weight \(2, 16\)"),
        ({"model.norm.weight": None}, r"lack language_model.norm.weight"),
        ({"score.weight": None}, "it has none"),
    ):
        kept = {name: value for name, value in (weights | changed).items() if value is not None}
        save_file(kept, scored / "model.safetensors", {"format": "pt"})
        with pytest.raises(AnswerError, match=said) as error:
            open_reward(str(scored))(POSTERS[:1], ROWS[:1])
        assert "\n" not in str(error.value)


def test_a_chat_model_without_its_head_for_words_is_no_judge(scored):
    config = json.loads((scored / "config.json").read_text())
    config.pop("id2label")
    (scored / "config.json").write_text(json.dumps(config))
    with pytest.raises(AnswerError, match=r"its files lack lm_head.weight"):
        open_reward(str(scored))(POSTERS[:1], ROWS[:1])


def test_a_model_that_cannot_judge_a_part_is_refused(folders):
    with pytest.raises(ValueError, match="vision model, which cannot judge that"):
        open_reward("rules", sources={"aesthetics": folders["dino"]})
    assert open_reward("rules", sources={"aesthetics": folders["clip"], "identity": folders["dino"]}).name
