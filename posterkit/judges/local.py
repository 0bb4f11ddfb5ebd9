"""A language model in a local transformers folder, or one of the hub's."""

from __future__ import annotations

from typing import Any

import torch

from posterkit.judges.chat import AnswerError


class LocalModel:
    """A causal language model with a chat template (Qwen3 and alike); safetensors only, no code of its folder runs.

    Args:
        source: a folder, or a hub id.
        device: where it runs; the caller knows the hardware.
        dtype: None means the dtype of its files.
        temperature: of the sampling; 0 takes the likeliest token each time.
        max_new_tokens: of the answer.
        seed: the same question gets the same answer.

    Raises:
        AnswerError: it cannot be loaded, or does not fit on the device.
    """

    def __init__(
        self,
        source: str,
        *,
        device: str | torch.device = "cpu",
        dtype: torch.dtype | None = None,
        temperature: float = 0.6,
        max_new_tokens: int = 4096,
        seed: int = 0,
    ) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.name = source
        self.temperature, self.max_new_tokens, self.seed = temperature, max_new_tokens, seed
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
            model: Any = AutoModelForCausalLM.from_pretrained(
                source, trust_remote_code=False, use_safetensors=True, dtype=dtype or "auto"
            )
            self._model = model.to(device).eval()
        except Exception as fault:  # a foreign folder and a device fail in their own ways
            raise AnswerError(f"{source}: cannot load this language model: {_first_line(fault)}") from None
        if not self._tokenizer.chat_template:
            raise AnswerError(f"{source}: its tokenizer has no chat template; take an instruction-tuned model")

    @torch.no_grad()
    def ask(self, system: str, user: str) -> str:
        """The answer to one question, thinking off; AnswerError where there is none."""
        try:
            answer = self._answer(system, user)
        except Exception as fault:  # its own template, and a device out of memory
            raise AnswerError(f"{self.name}: this language model fails: {_first_line(fault)}") from None
        if not answer.strip():
            raise AnswerError(f"{self.name}: the answer is empty")
        return answer

    def _answer(self, system: str, user: str) -> str:
        messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        inputs = self._tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, enable_thinking=False, return_dict=True, return_tensors="pt"
        ).to(self._model.device)
        sampling = (
            {"do_sample": True, "temperature": self.temperature} if self.temperature > 0 else {"do_sample": False}
        )
        on_gpu = [self._model.device] if self._model.device.type == "cuda" else []
        with torch.random.fork_rng(devices=on_gpu):
            torch.manual_seed(self.seed)
            made = self._model.generate(**inputs, **sampling, max_new_tokens=self.max_new_tokens)
        return self._tokenizer.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


def _first_line(fault: BaseException) -> str:
    return (str(fault).strip() or type(fault).__name__).split("\n")[0][:200]
