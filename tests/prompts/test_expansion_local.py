"""Expansion by a language model in a local folder: a real Qwen3, tiny and untrained; folders that are wrong."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
import torch
from tokenizers.pre_tokenizers import ByteLevel
from transformers import Qwen2Tokenizer, Qwen3Config, Qwen3ForCausalLM

from posterkit.llm.client import AnswerError
from posterkit.llm.local import LocalModel
from posterkit.prompts.expansion import expand_prompt

# the shape of Qwen3's own template: an empty thought is written where thinking is off
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("qwen3")
    vocab = {symbol: index for index, symbol in enumerate([*sorted(ByteLevel.alphabet()), "<|endoftext|>"])}
    tokenizer = Qwen2Tokenizer(vocab=vocab, merges=[], extra_special_tokens=["<|im_start|>", "<|im_end|>"])
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(path)
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=8, eos_token_id=tokenizer.convert_tokens_to_ids("<|im_end|>"),
        pad_token_id=tokenizer.convert_tokens_to_ids("<|endoftext|>"),
    )  # fmt: skip
    Qwen3ForCausalLM(config).save_pretrained(path)
    return path


def test_a_local_model_answers_and_the_same_seed_answers_the_same(folder):
    model = LocalModel(str(folder), max_new_tokens=12)
    state = torch.random.get_rng_state()
    first = model.ask("Be brief.", "Say something.")
    assert first == model.ask("Be brief.", "Say something.")
    assert first != LocalModel(str(folder), max_new_tokens=12, seed=1).ask("Be brief.", "Say something.")
    assert torch.equal(state, torch.random.get_rng_state())  # the caller's random numbers are left alone


def test_the_question_is_put_in_the_chat_template_with_thinking_off(folder):
    seen = []
    model = LocalModel(str(folder), max_new_tokens=1)
    model._model.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs["input_ids"]), with_kwargs=True
    )
    with contextlib.suppress(AnswerError):  # one token may be no letter
        model.ask("SYSTEM", "USER")
    read = model._processor.decode(seen[0][0])
    assert read == (
        "<|im_start|>system\nSYSTEM<|im_end|>\n<|im_start|>user\nUSER<|im_end|>\n"
        "<|im_start|>assistant\n<think>\n\n</think>\n\n"
    )


def test_an_untrained_model_breaks_the_contract_so_the_prompt_stays(folder, monkeypatch):
    monkeypatch.setattr(
        LocalModel.__init__, "__kwdefaults__", LocalModel.__init__.__kwdefaults__ | {"max_new_tokens": 20}
    )
    with pytest.warns(UserWarning, match="the prompt stays as it is"):
        result = expand_prompt('A jazz poster "JAZZ NIGHT"', str(folder))
    assert (result.prompt, result.used, result.by) == ('A jazz poster "JAZZ NIGHT"', False, str(folder))
    assert "lacks the text 'JAZZ NIGHT'" in str(result.why_not)


def copy(folder: Path, target: Path) -> Path:
    import shutil

    return shutil.copytree(folder, target)


def test_pickled_weights_are_not_read(folder, tmp_path):
    other = copy(folder, tmp_path / "pickled")
    (other / "model.safetensors").unlink()
    torch.save({}, other / "pytorch_model.bin")
    with pytest.raises(AnswerError, match="cannot load this language model") as error:
        LocalModel(str(other))
    assert "\n" not in str(error.value)


def test_code_in_the_folder_does_not_run(folder, tmp_path):
    other = copy(folder, tmp_path / "code")
    config = json.loads((other / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoConfig": "mine.Config", "AutoModelForCausalLM": "mine.Model"}}
    (other / "config.json").write_text(json.dumps(config))
    (other / "mine.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    with pytest.raises(AnswerError):
        LocalModel(str(other))
    assert not (tmp_path / "ran").exists()


def test_a_model_without_a_chat_template_is_refused(folder, tmp_path):
    other = copy(folder, tmp_path / "bare")
    for file in other.glob("chat_template*"):
        file.unlink()
    with pytest.raises(AnswerError, match="no chat template"):
        LocalModel(str(other))


def test_a_truncated_file_of_weights_is_one_line_that_names_the_folder(folder, tmp_path):
    other = copy(folder, tmp_path / "truncated")
    file = other / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(AnswerError, match=r"truncated: cannot load this language model: .") as error:
        LocalModel(str(other))
    assert "\n" not in str(error.value)


def test_a_device_that_is_not_there_is_one_line(folder):
    with pytest.raises(AnswerError, match=r"qwen3.*: cannot load this language model: .") as error:
        LocalModel(str(folder), device="cuda:99")
    assert "\n" not in str(error.value)


def test_a_template_that_refuses_the_question_leaves_the_prompt_and_says_so(folder, tmp_path):
    other = copy(folder, tmp_path / "strict")
    (other / "chat_template.jinja").write_text("{{ raise_exception('System role not supported') }}")
    with pytest.warns(UserWarning, match="strict: .* fails: TemplateError: System role not supported"):
        result = expand_prompt('A jazz poster "JAZZ NIGHT"', str(other))
    assert (result.prompt, result.used) == ('A jazz poster "JAZZ NIGHT"', False)


def test_a_device_that_runs_out_of_memory_is_one_line(folder):
    model = LocalModel(str(folder))

    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 9 GiB")

    model._model.register_forward_pre_hook(full)
    with pytest.raises(AnswerError, match=r"qwen3.*: this language model fails: OutOfMemoryError: CUDA out") as error:
        model.ask("s", "u")
    assert "\n" not in str(error.value)


def test_a_folder_that_is_not_there_leaves_the_prompt_and_says_so(tmp_path):
    with pytest.warns(UserWarning, match="the prompt stays as it is: .*missing: cannot load"):
        result = expand_prompt("A poster", str(tmp_path / "missing"))
    assert (result.prompt, result.used) == ("A poster", False)
