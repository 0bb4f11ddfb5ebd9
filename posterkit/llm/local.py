"""A language or vision-language model from a transformers folder, the hub or `mini`, run on this machine."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Sequence
from typing import Any
from zlib import crc32

import torch
from PIL import Image
from torch.nn.utils.rnn import pad_sequence
from transformers import LogitsProcessorList

from posterkit import mini
from posterkit.image_io import reduced
from posterkit.llm.client import IMAGE_SIDE, AnswerError, Images, Schema
from posterkit.llm.coca import CoCAProcessor
from posterkit.llm.principle import Principle
from posterkit.messages import error_line

_OF_TOKENS = ("input_ids", "attention_mask", "mm_token_type_ids", "token_type_ids")  # of a processor, (1, L) each


class LocalModel:
    """A model with a chat template: text alone (Qwen3) or with images (Qwen2.5-VL).

    Safetensors only, in the dtype of its files; no code of its folder runs, and torchvision is not needed. Several
    threads may share one; it answers one question at a time.

    Args:
        source: a folder, a hub id, or `mini:planner`.
        device: where it runs; the caller knows the hardware.
        temperature: of sampling; 0 is greedy.
        max_new_tokens: of the answer.
        seed: the same question gets the same answer; another question, another draw.
        principle: what answers in words are steered by; each then takes two passes a token.

    Attributes:
        sees: whether it takes images.

    Raises:
        AnswerError: it cannot be loaded, or does not fit on the device.
    """

    def __init__(
        self,
        source: str,
        *,
        device: str | torch.device = "cpu",
        temperature: float = 0.6,
        max_new_tokens: int = 4096,
        seed: int = 0,
        principle: Principle | None = None,
    ) -> None:
        self._source = source
        self._steer(principle)
        self.temperature, self.max_new_tokens, self.seed = temperature, max_new_tokens, seed
        self._lock = threading.Lock()
        try:
            self.sees, processor, model = _load(source)
            self._model = model.to(device).eval()
        except Exception as fault:  # a foreign folder and a device fail in their own ways
            raise AnswerError(f"{source}: cannot load this language model: {error_line(fault)}") from None
        self._processor = with_chat_template(processor, source)

    def steered(self, principle: Principle | None) -> LocalModel:
        """The same weights under another principle, or under none."""
        other = copy.copy(self)
        other._steer(principle)
        return other

    def _steer(self, principle: Principle | None) -> None:
        self.principle, self.name = principle, self._source + (f" ({principle.name})" if principle else "")

    def ask_all(self, system: str, users: Sequence[str]) -> list[str]:
        """The answers to several questions without images in one batch; an answer may be empty.

        Raises:
            AnswerError: as `ask`.
        """
        if self.principle or self.sees or len(users) == 1:  # these take one question at a time
            return [self.ask(system, user) for user in users]
        return self._run(self._answers, system, users, ())

    def ask(self, system: str, user: str, images: Images = (), schema: Schema | None = None) -> str:
        """The answer to one question, without thinking; the schema is not enforced, so the prompt must name the form.

        Raises:
            AnswerError: there is no answer, or there are images and this model takes text alone.
        """
        questions = [self.principle.before(user), user] if self.principle else [user]
        answer = self._run(self._answer, system, questions, images)
        if not answer.strip():
            raise AnswerError(f"{self.name}: the answer is empty")
        return answer

    def choice_probabilities(
        self, system: str, questions: Sequence[str], choices: Sequence[str], images: Images = ()
    ) -> list[list[float]]:
        """The probability of each choice among all of them, from the first token's logits.

        Raises:
            AnswerError: as `ask`, or a choice is more than one token to this model.
        """
        tokens = [self._tokens(choice) for choice in choices]
        for choice, ids in zip(choices, tokens, strict=True):
            if len(ids) != 1:
                raise AnswerError(f"{self.name}: {choice!r} is {len(ids)} tokens to this language model, not one")
        logits = self._run(self._first_logits, system, questions, images)
        return [row[[ids[0] for ids in tokens]].softmax(0).tolist() for row in logits]

    def log_odds(self, system: str, questions: Sequence[str], one: str, other: str) -> list[float]:
        """log p(one) / p(other) after each question, by the first token in which the two answers differ.

        Raises:
            AnswerError: as `ask`, or they are the same to this model.
        """
        first = next(
            (pair for pair in zip(self._tokens(one), self._tokens(other), strict=False) if len({*pair}) > 1), ()
        )
        if not first:
            raise AnswerError(f"{self.name}: {one!r} and {other!r} begin alike to this language model")
        logits = self._run(self._first_logits, system, questions, ())
        return [(row[first[0]] - row[first[1]]).item() for row in logits]

    def _tokens(self, text: str) -> list[int]:
        return getattr(self._processor, "tokenizer", self._processor).encode(text, add_special_tokens=False)

    def _run(self, answer: Callable[..., Any], system: str, users: Sequence[str], images: Images) -> Any:
        if images and not self.sees:
            raise AnswerError(f"{self.name}: this language model reads text alone and cannot see pictures")
        try:
            with self._lock, torch.no_grad():
                pictures = [reduced(image, IMAGE_SIDE) for image in images]
                return answer([self._inputs(system, user, pictures) for user in users])
        except Exception as fault:  # its own template, and a device out of memory
            raise AnswerError(f"{self.name}: this language model fails: {error_line(fault)}") from None

    def _inputs(self, system: str, user: str, pictures: list[Image.Image]) -> Any:
        messages: list[dict[str, Any]] = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        if self.sees:
            for message in messages:
                message["content"] = [{"type": "text", "text": message["content"]}]
            messages[1]["content"][:0] = [{"type": "image", "image": picture} for picture in pictures]
        # a template without this switch would hand it on to the image processor
        thinking = {"enable_thinking": False} if "enable_thinking" in str(self._processor.chat_template) else {}
        return self._processor.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt", **thinking
        ).to(self._model.device)

    def _first_logits(self, questions: list[Any]) -> list[torch.Tensor]:
        """The logits after each question; their common beginning, images included, is read once, the rest together."""
        ids = [one["input_ids"] for one in questions]
        shortest = min(one.shape[1] for one in ids)
        unlike = torch.stack([one[0, :shortest] != ids[0][0, :shortest] for one in ids]).any(0)
        shared = min(int(unlike.int().argmax()) if unlike.any() else shortest, shortest - 1)
        inputs = {name: value[:, :shared] if name in _OF_TOKENS else value for name, value in questions[0].items()}
        read = self._model(**inputs, use_cache=True).past_key_values
        read.batch_repeat_interleave(len(ids))
        rests = [one[0, shared:] for one in ids]
        # no token sees what stands behind it, so that padding on the right changes nothing
        rows = pad_sequence(rests, batch_first=True)
        logits = self._model(input_ids=rows, past_key_values=read, use_cache=True).logits
        return [row[len(rest) - 1].float().cpu() for row, rest in zip(logits, rests, strict=True)]

    def _answer(self, questions: list[Any]) -> str:
        # with a principle there are two: the question with it and without it
        steered = LogitsProcessorList()
        if (by := self.principle) is not None:
            steered.append(CoCAProcessor(self._model, questions[1], by.alpha, first_n=by.first_n))
        return self._made(questions[0], steered)[0]

    def _answers(self, questions: list[Any]) -> list[str]:
        """Of text alone, padded on the left."""
        rows = [one["input_ids"][0] for one in questions]
        longest = max(len(row) for row in rows)
        ids, known = torch.zeros(2, len(rows), longest, dtype=torch.long, device=self._model.device)
        for at, row in enumerate(rows):
            ids[at, longest - len(row) :], known[at, longest - len(row) :] = row, 1
        return self._made({"input_ids": ids, "attention_mask": known}, LogitsProcessorList())

    def _made(self, inputs: Any, steered: LogitsProcessorList) -> list[str]:
        ids = inputs["input_ids"]
        room = getattr(self._model.config.get_text_config(), "max_position_embeddings", 1 << 30) - ids.shape[1]
        if room < 1:
            raise ValueError(f"the question has {ids.shape[1]} tokens, more than it reads")
        sampling = {"do_sample": True, "temperature": self.temperature} if self.temperature else {"do_sample": False}
        on_gpu = [self._model.device] if self._model.device.type == "cuda" else []
        with torch.random.fork_rng(devices=on_gpu):
            torch.manual_seed(self.seed + crc32(ids.cpu().numpy().tobytes()))
            made = self._model.generate(
                **inputs, **sampling, max_new_tokens=min(self.max_new_tokens, room), logits_processor=steered
            )
        return self._processor.batch_decode(made[:, ids.shape[1] :], skip_special_tokens=True)


def _load(source: str) -> tuple[bool, Any, Any]:
    """Whether the model sees, its processor (or tokenizer, where it does not), and the model."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

    if source.startswith("mini:"):
        source = mini.path(source.removeprefix("mini:"))
    config = type(AutoConfig.from_pretrained(source, trust_remote_code=False))
    sees = config in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
    processor: Any = None
    if sees:  # the processor without its part for videos, which needs torchvision; posters are no videos
        known: Any = PROCESSOR_MAPPING[config]
        attributes = [name for name in known.get_attributes() if name != "video_processor"]
        processor = type(known.__name__, (known,), {"get_attributes": classmethod(lambda cls: attributes)})
    kind: Any = AutoModelForImageTextToText if sees else AutoModelForCausalLM
    model, loaded = kind.from_pretrained(
        source, trust_remote_code=False, use_safetensors=True, dtype="auto", output_loading_info=True
    )
    if loaded["missing_keys"]:  # what is made up in their place would answer at random
        raise ValueError(f"its files lack {sorted(loaded['missing_keys'])[0]}")
    return sees, processor.from_pretrained(source, trust_remote_code=False) if sees else open_tokenizer(source), model


def with_chat_template(processor: Any, source: str) -> Any:
    """A model's processor or tokenizer, as it is; AnswerError where it cannot word a conversation."""
    if not processor.chat_template:
        raise AnswerError(f"{source}: its tokenizer has no chat template; take an instruction-tuned model")
    return processor


def open_tokenizer(source: str) -> Any:
    """The tokenizer of a language model's folder or hub id, as its `tokenizer.json` has it where the folder says so.

    AutoTokenizer alone takes Qwen2's own rules for every Qwen2, whatever the folder says. OSError or ValueError where
    there is none.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast
    from transformers.models.auto.tokenization_auto import get_tokenizer_config

    declared = get_tokenizer_config(source).get("tokenizer_class")
    written = declared in ("TokenizersBackend", "PreTrainedTokenizerFast")
    kind: Any = PreTrainedTokenizerFast if written else AutoTokenizer
    return kind.from_pretrained(source, trust_remote_code=False)
