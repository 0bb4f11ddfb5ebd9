"""A local model that sees: a real Qwen2.5-VL, tiny and untrained, loaded without torchvision."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import tiny_chat
import tiny_qwen
import torch
from pictures import grain
from PIL import Image
from small_scorer import save_tiny_qwen3
from transformers import Qwen3Config, Qwen3ForCausalLM

from posterkit.critic import open_critic
from posterkit.llm.client import AnswerError
from posterkit.llm.local import LocalModel

ONE, TWO = Image.fromarray(grain(112, 168)), Image.fromarray(grain(168, 112, seed=1))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_chat.save(tmp_path_factory.mktemp("vision"))


@pytest.fixture(scope="module")
def model(folder: Path) -> LocalModel:
    return LocalModel(str(folder), temperature=0.0, max_new_tokens=16)


def read_by(model: LocalModel, monkeypatch: pytest.MonkeyPatch, *pictures: Image.Image) -> dict:
    """What the model is given for a question about the pictures."""
    seen = []
    generate = model._model.generate
    monkeypatch.setattr(model._model, "generate", lambda **given: seen.append(given) or generate(**given))
    model.ask("SYSTEM", "USER", pictures)
    return seen[0]


def test_it_answers_about_pictures_and_the_same_question_gets_the_same_answer(model):
    assert model.sees
    first = model.ask("s", "What is this?", [ONE])
    assert first == model.ask("s", "What is this?", [ONE]) and first.strip()
    assert model.ask("s", "What is this?").strip()  # it may be asked without one too


def test_pictures_stand_before_the_question_one_token_for_each_28_pixels_square(model, monkeypatch):
    given = read_by(model, monkeypatch, ONE, TWO)
    pad = "<|image_pad|>" * (4 * 6)  # 112 x 168 px
    read = model._processor.decode(given["input_ids"][0])
    assert read == (
        "<|im_start|>system\nSYSTEM<|im_end|>\n<|im_start|>user\n"
        f"<|vision_start|>{pad}<|vision_end|><|vision_start|>{pad}<|vision_end|>USER<|im_end|>\n<|im_start|>assistant\n"
    )
    assert given["image_grid_thw"].tolist() == [[1, 12, 8], [1, 8, 12]]  # patches of 14 px, rows and columns


def test_large_pictures_are_reduced_before_they_are_read(model, monkeypatch):
    given = read_by(model, monkeypatch, Image.new("RGB", (1400, 2800), "navy"))
    (grid,) = given["image_grid_thw"].tolist()
    assert grid == [1, 2 * 37, 2 * 18]  # 1024 x 512 px are 36.6 x 18.3 squares of 28 px, each of 2 x 2 patches


def test_a_picture_changes_what_it_reads_out_of_the_same_words(model, monkeypatch):
    with torch.no_grad():
        logits = [
            model._model(**{key: value for key, value in read_by(model, monkeypatch, picture).items()
                            if key in ("input_ids", "attention_mask", "pixel_values", "image_grid_thw")}).logits[0, -1]
            for picture in (ONE, Image.new("RGB", ONE.size, "white"))
        ]  # fmt: skip
    assert not torch.allclose(*logits)


@pytest.mark.parametrize("save", [tiny_chat.save, save_tiny_qwen3], ids=["Qwen2.5-VL", "Qwen3-VL"])
def test_answers_are_weighed_by_the_logits_of_the_first_token_and_what_goes_in_is_seen_once(tmp_path, save):
    (save(tmp_path) / "chat_template.jinja").write_text(tiny_chat.TEMPLATE)
    model = LocalModel(str(tmp_path))
    torch.manual_seed(1)
    for parameter in model._model.parameters():  # strong ones, so that a place off by one would be seen
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.6)
    digits, pictures = [model._processor.tokenizer.convert_tokens_to_ids(digit) for digit in "045"], [ONE, TWO]
    users = ["A poster.\nFine?", "A poster.\nLegible, all of it?", "A poster.\nFine?"]
    with torch.no_grad():
        logits = [model._model(**model._inputs("SYSTEM", user, pictures)).logits[0, -1] for user in users]
    wanted = [row[digits].softmax(0).tolist() for row in logits]
    looks, look = [], model._model.model.visual.forward
    model._model.model.visual.forward = lambda *given, **more: looks.append(1) or look(*given, **more)
    found = model.choice_probabilities("SYSTEM", users, "045", pictures)
    assert looks == [1] and wanted[0] != pytest.approx(wanted[1], rel=1e-2)
    assert found == [pytest.approx(row, rel=1e-4, abs=1e-6) for row in wanted]
    assert model.choice_probabilities("SYSTEM", users[1:2], "045", pictures) == [
        pytest.approx(wanted[1], rel=1e-4, abs=1e-6)
    ]
    with pytest.raises(AnswerError, match="'10' is 2 tokens to this language model, not one"):
        model.choice_probabilities("SYSTEM", ["USER"], ["5", "10"], [ONE])


def test_threads_share_one_model(model):
    alone = [model.ask("s", f"question {n}", [ONE]) for n in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda n: model.ask("s", f"question {n}", [ONE]), range(4))) == alone


@pytest.mark.slow
def test_as_a_judge_an_untrained_model_gives_an_error_that_names_it(folder, monkeypatch):
    monkeypatch.setitem(LocalModel.__init__.__kwdefaults__, "max_new_tokens", 8)
    judge = open_critic(str(folder))
    assert judge is open_critic(str(folder)) and judge.name == str(folder)
    with pytest.raises(AnswerError, match=r"vision.*: no usable answer: the answer holds no JSON"):
        judge.blemishes(ONE)


def test_a_model_of_text_alone_cannot_be_asked_about_pictures_nor_be_a_judge(tmp_path):
    words = tiny_qwen.tokenizer()
    words.chat_template = tiny_chat.TEMPLATE
    words.save_pretrained(tmp_path)
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=len(words), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, head_dim=8, eos_token_id=1, bos_token_id=1, pad_token_id=1,
    )  # fmt: skip
    Qwen3ForCausalLM(config).save_pretrained(tmp_path)
    with pytest.raises(AnswerError, match="reads text alone and cannot see pictures"):
        LocalModel(str(tmp_path)).ask("s", "u", [ONE])
    with pytest.raises(ValueError, match="reads text alone; a judge has to see"):
        open_critic(str(tmp_path))


def test_pickled_weights_and_code_of_the_folder_are_left_alone(folder, tmp_path):
    pickled = shutil.copytree(folder, tmp_path / "pickled")
    (pickled / "model.safetensors").unlink()
    torch.save({}, pickled / "pytorch_model.bin")
    with pytest.raises(AnswerError, match="pickled: cannot load this language model") as error:
        open_critic(str(pickled))
    assert "\n" not in str(error.value)
    coded = shutil.copytree(folder, tmp_path / "coded")
    config = json.loads((coded / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoConfig": "mine.Config"}}
    (coded / "config.json").write_text(json.dumps(config))
    (coded / "mine.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    with pytest.raises(AnswerError):
        open_critic(str(coded))
    assert not (tmp_path / "ran").exists()
