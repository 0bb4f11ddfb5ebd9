"""A language model in a local transformers folder, or one of the hub's; one that sees where its class does."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Sequence
from typing import Any

import torch
from PIL import Image

from posterkit.llm.answers import one_line
from posterkit.llm.client import IMAGE_SIDE, AnswerError, reduced

_OF_TOKENS = ("input_ids", "attention_mask", "mm_token_type_ids", "token_type_ids")  # of a processor, (1, L) each


class LocalModel:
    """A model with a chat template: Qwen3 and alike for text, Qwen2.5-VL and alike for pictures too.

    Safetensors only, no code of its folder runs, and torchvision is not needed. Several threads may share one; they
    are answered one after the other.

    Args:
        source: a folder, or a hub id.
        device: where it runs; the caller knows the hardware.
        dtype: None means the dtype of its files.
        temperature: of the sampling; 0 takes the likeliest token each time.
        max_new_tokens: of the answer.
        seed: the same question gets the same answer.
        image_side: longer side in pixels that pictures are reduced to; what is smaller stays as it is.

    Attributes:
        sees: whether it can be asked about pictures.

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
        image_side: int = IMAGE_SIDE,
    ) -> None:
        self.name = source
        self.temperature, self.max_new_tokens, self.seed = temperature, max_new_tokens, seed
        self.image_side = image_side
        self._lock = threading.Lock()
        try:
            self.sees, self._reader, model = _load(source, dtype or "auto")
            self._model = model.to(device).eval()
        except Exception as fault:  # a foreign folder and a device fail in their own ways
            raise AnswerError(f"{source}: cannot load this language model: {_first_line(fault)}") from None
        if not self._reader.chat_template:
            raise AnswerError(f"{source}: its tokenizer has no chat template; take an instruction-tuned model")

    def ask(
        self,
        system: str,
        user: str,
        images: Sequence[Image.Image] = (),
        schema: dict[str, Any] | None = None,
    ) -> str:
        """The answer to one question, thinking off; the schema is not enforced, the prompt has to say the form.

        Raises:
            AnswerError: there is none, or there are pictures and this model reads text alone.
        """
        answer = self._run(self._answer, system, [user], images)
        if not answer.strip():
            raise AnswerError(f"{self.name}: the answer is empty")
        return answer

    def weigh(
        self, system: str, users: Sequence[str], answers: Sequence[str], images: Sequence[Image.Image] = ()
    ) -> list[list[float]]:
        """How likely each of some answers is beside the others, from the first token's logits.

        Raises:
            AnswerError: as `ask`, or an answer is more than one token to this model.
        """
        tokenizer = getattr(self._reader, "tokenizer", self._reader)
        tokens = [tokenizer.encode(answer, add_special_tokens=False) for answer in answers]
        for answer, ids in zip(answers, tokens, strict=True):
            if len(ids) != 1:
                raise AnswerError(f"{self.name}: {answer!r} is {len(ids)} tokens to this language model, not one")
        logits = self._run(self._first_logits, system, users, images)
        return [row[[ids[0] for ids in tokens]].softmax(0).tolist() for row in logits]

    def _run(
        self, answer: Callable[..., Any], system: str, users: Sequence[str], images: Sequence[Image.Image]
    ) -> Any:
        if images and not self.sees:
            raise AnswerError(f"{self.name}: this language model reads text alone and cannot see pictures")
        try:
            with self._lock, torch.no_grad():
                pictures = [reduced(image, self.image_side) for image in images]
                return answer([self._inputs(system, user, pictures) for user in users])
        except Exception as fault:  # its own template, and a device out of memory
            raise AnswerError(f"{self.name}: this language model fails: {_first_line(fault)}") from None

    def _inputs(self, system: str, user: str, pictures: list[Image.Image]) -> Any:
        messages: list[dict[str, Any]] = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        if self.sees:
            for message in messages:
                message["content"] = [{"type": "text", "text": message["content"]}]
            messages[1]["content"][:0] = [{"type": "image", "image": picture} for picture in pictures]
        # a template that knows no thoughts would have the word handed on to the picture processor
        thinking = {"enable_thinking": False} if "enable_thinking" in str(self._reader.chat_template) else {}
        return self._reader.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt", **thinking
        ).to(self._model.device)

    def _first_logits(self, asked: list[Any]) -> list[torch.Tensor]:
        """After each question; what all of them begin with, the pictures with it, goes through the model once."""
        ids = [one["input_ids"] for one in asked]
        shortest = min(one.shape[1] for one in ids)
        unlike = torch.stack([one[0, :shortest] != ids[0][0, :shortest] for one in ids]).any(0)
        shared = min(int(unlike.int().argmax()) if unlike.any() else shortest, shortest - 1)
        inputs = {name: value[:, :shared] if name in _OF_TOKENS else value for name, value in asked[0].items()}
        read = self._model(**inputs, use_cache=True).past_key_values
        found = []
        for one in ids:
            rest = self._model(input_ids=one[:, shared:], past_key_values=copy.deepcopy(read), use_cache=True)
            found.append(rest.logits[0, -1].float().cpu())
        return found

    def _answer(self, asked: list[Any]) -> str:
        (inputs,) = asked
        sampling = (
            {"do_sample": True, "temperature": self.temperature} if self.temperature > 0 else {"do_sample": False}
        )
        on_gpu = [self._model.device] if self._model.device.type == "cuda" else []
        with torch.random.fork_rng(devices=on_gpu):
            torch.manual_seed(self.seed)
            made = self._model.generate(**inputs, **sampling, max_new_tokens=self.max_new_tokens)
        return self._reader.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


def _load(source: str, dtype: Any) -> tuple[bool, Any, Any]:
    """Whether the model sees, its processor (or tokenizer, where it does not), and the model."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText, AutoTokenizer
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

    config = type(AutoConfig.from_pretrained(source, trust_remote_code=False))
    sees = config in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
    reads = _without_videos(PROCESSOR_MAPPING[config]) if sees else AutoTokenizer
    kind: Any = AutoModelForImageTextToText if sees else AutoModelForCausalLM
    model, loaded = kind.from_pretrained(
        source, trust_remote_code=False, use_safetensors=True, dtype=dtype, output_loading_info=True
    )
    if loaded["missing_keys"]:  # what is made up in their place would answer at random
        raise ValueError(f"its files lack {sorted(loaded['missing_keys'])[0]}")
    return sees, reads.from_pretrained(source, trust_remote_code=False), model


def _without_videos(processor: Any) -> Any:
    """The processor class without its part for videos, which needs torchvision; posters are no videos."""
    attributes = [name for name in processor.get_attributes() if name != "video_processor"]
    return type(processor.__name__, (processor,), {"get_attributes": classmethod(lambda cls: attributes)})


def _first_line(fault: BaseException) -> str:
    return one_line((str(fault).strip() or type(fault).__name__).split("\n")[0], 200)
