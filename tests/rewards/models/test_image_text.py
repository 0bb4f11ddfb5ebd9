"""CLIP-like folders: the score is the cosine of the model's own vectors, and no code of a folder runs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tiny_flux
import torch
from PIL import Image
from tiny_clip import LAYERS, SIDE, TOKENS, VISION, save_clip
from transformers import CLIPModel, SiglipConfig, SiglipImageProcessorPil, SiglipModel

from posterkit.llm.client import AnswerError
from posterkit.rewards.models.image_text import ImageTextModel

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # OpenAI's, for CLIP


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return save_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def siglip(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("siglip")
    words = tiny_flux.t5_tokenizer()
    torch.manual_seed(0)
    special = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 0}
    text = {**LAYERS, **special, "vocab_size": len(words), "max_position_embeddings": TOKENS}
    SiglipModel(SiglipConfig(text_config=text, vision_config=VISION)).save_pretrained(folder)
    words.save_pretrained(folder)
    file = folder / "tokenizer_config.json"  # as SigLIP's own tokenizer has it: no attention mask
    file.write_text(json.dumps(json.loads(file.read_text()) | {"model_input_names": ["input_ids"]}))
    SiglipImageProcessorPil(size={"height": SIDE, "width": SIDE}).save_pretrained(folder)
    return folder


def picture(seed: int, side: int = SIDE) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8))


def pixels(image: Image.Image, mean=MEAN, std=STD) -> torch.Tensor:
    """What a picture of the model's own size becomes, by hand."""
    values = (np.asarray(image) / 255 - np.asarray(mean)) / np.asarray(std)
    return torch.tensor(values, dtype=torch.float32).permute(2, 0, 1)[None]


def test_the_score_is_the_models_logit_without_its_temperature(clip):
    model, words = CLIPModel.from_pretrained(clip), tiny_flux.clip_tokenizer()
    scores = ImageTextModel(clip).score([picture(0), picture(1)], ["a red poster", "jazz"])
    assert len(scores) == 2 and scores[0] != scores[1]
    for seed, text, score in ((0, "a red poster", scores[0]), (1, "jazz", scores[1])):
        with torch.no_grad():  # one pair at a time, without any padding
            tokens = words([text], return_tensors="pt")
            logit = model(pixel_values=pixels(picture(seed)), **tokens).logits_per_image
        assert score == pytest.approx((logit / model.logit_scale.exp()).item(), abs=1e-5)
        assert -1 <= score <= 1


def test_the_score_is_the_cosine_worked_out_by_hand(clip):
    judge = ImageTextModel(clip)
    image = judge.image_features([picture(3)])[0].tolist()
    text = judge.text_features(["night market"])[0].tolist()
    dot = sum(a * b for a, b in zip(image, text, strict=True))
    lengths = sum(a * a for a in image) ** 0.5 * sum(b * b for b in text) ** 0.5
    assert judge.score([picture(3)], ["night market"]) == pytest.approx([dot / lengths], abs=1e-6)


def test_siglip_is_filled_up_to_its_limit_as_it_was_trained(siglip):
    model, words = SiglipModel.from_pretrained(siglip), tiny_flux.t5_tokenizer()
    ids = words("tea house").input_ids
    ids = torch.tensor([ids + [words.pad_token_id] * (TOKENS - len(ids))])
    with torch.no_grad():
        logit = model(pixel_values=pixels(picture(0), [0.5] * 3, [0.5] * 3), input_ids=ids).logits_per_image
    expected = ((logit - model.logit_bias) / model.logit_scale.exp()).item()
    assert ImageTextModel(siglip).score([picture(0)], ["tea house"]) == pytest.approx([expected], abs=1e-5)


def test_what_a_long_caption_says_after_the_models_limit_does_not_count(clip):
    judge = ImageTextModel(clip)
    head = "abcdefghijklmnopqrstuvwxyz"
    one, other, changed = judge.score([picture(0)] * 3, [head + "1" * 500, head + "2" * 900, "b" + head])
    assert one == pytest.approx(other, abs=1e-6) and abs(one - changed) > 1e-4


def test_a_picture_of_any_size_and_mode_is_taken(clip):
    grey = picture(0, 90).convert("L").resize((333, 90))
    assert len(ImageTextModel(clip).score([grey], [""])) == 1


def test_unequal_numbers_are_refused_and_none_is_none(clip):
    judge = ImageTextModel(clip)
    assert judge.score([], []) == []
    with pytest.raises(ValueError, match="1 pictures for 2 texts"):
        judge.score([picture(0)], ["a", "b"])


def test_pickled_weights_are_refused(clip, tmp_path):
    for file in clip.iterdir():
        if file.suffix == ".json":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    torch.save(CLIPModel.from_pretrained(clip).state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(AnswerError, match="cannot load this image-text model"):
        ImageTextModel(tmp_path)


def test_code_in_the_folder_is_never_run(clip, tmp_path):
    for file in clip.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    ran = tmp_path / "ran"
    (tmp_path / "evil.py").write_text(f"open({str(ran)!r}, 'w')\nclass Evil: pass\n")
    for name, keys in (
        ("config.json", ("AutoConfig", "AutoModel")),
        ("preprocessor_config.json", ("AutoImageProcessor",)),
    ):
        file = tmp_path / name
        config = json.loads(file.read_text()) | {"auto_map": dict.fromkeys(keys, "evil.Evil")}
        file.write_text(json.dumps(config))
    assert len(ImageTextModel(tmp_path).score([picture(0)], ["a"])) == 1  # by the real classes
    assert not ran.exists()


def test_a_folder_without_both_encoders_is_refused(clip, tmp_path):
    words = tiny_flux.clip_tokenizer()
    tiny_flux.clip(words).save_pretrained(tmp_path)
    words.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_bytes((clip / "preprocessor_config.json").read_bytes())
    with pytest.raises(AnswerError, match="CLIPTextModel compares no pictures with texts"):
        ImageTextModel(tmp_path)
    with pytest.raises(AnswerError, match="nowhere: cannot load"):
        ImageTextModel(tmp_path / "nowhere")
