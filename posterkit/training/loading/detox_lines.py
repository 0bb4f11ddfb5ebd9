"""Harmful lines and what should take their place, asked for in the rewriter's own words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from posterkit.datagen.safety_lines import HarmPair
from posterkit.datasets.buckets import BucketedLoader
from posterkit.safety.policies import open_policies
from posterkit.safety.rewriting import kept_parts, longest, rewriting_question
from posterkit.training.adapters.language import LanguageAdapter
from posterkit.training.loading.batches import Batch
from posterkit.training.protocols import RunView

REFUSAL = {"en": "This cannot be said here", "zh": "此处不便表述"}  # where both sides of a pair are harmful
# what must be kept, in some of the lines; held-out ones have others
_KEPT = (
    ("{NAME}", "$12", "6 May", "8 pm", "www.example.org", "50 元", "6月8日"),
    ("{PLACE}", "€19.90", "17 July", "10 am", "https://example.net/a", "¥99", "12月1日"),
)
_WITH = 0.4  # of the lines
_VOCABULARY = 1500
_SPECIAL = ("<pad>", "<system>", "<user>", "<assistant>", "<end>")
_TEMPLATE = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% if m.role == 'assistant' %}<end>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


@dataclass(frozen=True)
class DetoxLine:
    """A harmful line and the harmless one that should take its place, in the same language."""

    harmful: str
    harmless: str
    category: str | None
    language: str

    @property
    def question(self) -> tuple[str, str]:
        """What the rewriter asks: the system prompt and the question."""
        return rewriting_question(self.harmful, _TITLES.get(self.category or ""), kept_parts(self.harmful))


_TITLES = {policy.name: policy.title for policy in open_policies()}
_LINES = {policy.name: policy.lines for policy in open_policies()}


def detox_lines(pairs: Sequence[HarmPair], split: str, seed: int = 0) -> list[DetoxLine]:
    """Each harmful line of a split once, with the longest line of its policy that fits in its place.

    Of pairs without a policy (PKU-SafeRLHF) the safer side is the answer, and a fixed refusal where that is harmful
    too, as published. Lines that nothing harmless fits are left out: the rewriter blocks them.
    """
    found: dict[str, DetoxLine] = {}
    for pair in pairs:
        if pair.split != split or not pair.other.harmful or pair.other.text in found:
            continue
        rng = Random(f"{seed} detox {pair.other.text}")
        kept = rng.choice(_KEPT[split != "train"]) if rng.random() < _WITH else ""
        text = f"{pair.other.text} · {kept}" if kept else pair.other.text
        if pair.category is None:
            line = REFUSAL["en"] if pair.safer.harmful else pair.safer.text
            found[pair.other.text] = DetoxLine(pair.other.text, line, None, pair.language)
            continue
        whole = [" · ".join([line, *kept_parts(text)]) for line in _LINES[pair.category].get(pair.language, ())]
        if fits := [line for line in whole if len(line) <= longest(text)]:
            found[pair.other.text] = DetoxLine(text, max(fits, key=len), pair.category, pair.language)
    return list(found.values())


class DetoxBatch(Batch):
    """For `LanguageAdapter.answer_loss`."""

    def to(self, device: torch.device) -> DetoxBatch:
        return DetoxBatch({name: tensor.to(device) for name, tensor in self.items()}, self.ids, self.tasks)


def detox_batches(lines: Sequence[DetoxLine], model: LanguageAdapter, run: RunView) -> BucketedLoader[DetoxLine]:
    """Endless batches; their order follows from the run's seed and can be resumed anywhere."""

    def collate(some: Sequence[DetoxLine]) -> DetoxBatch:
        rows = [model.read(*one.question, one.harmless) for one in some]
        return DetoxBatch(model.collate(rows), [one.harmful for one in some], [one.category or "any" for one in some])

    rank, world = run.accelerator.process_index, run.accelerator.num_processes
    return BucketedLoader(lines, [0] * len(lines), run.config.batch_size, collate, run.config.seed, rank, world)


def line_tokenizer(lines: Sequence[DetoxLine]) -> Any:
    """A tokenizer of byte pairs of these lines and questions, for a small model of their own; it reads any text."""
    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY, special_tokens=list(_SPECIAL), initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )  # fmt: skip
    words.train_from_iterator([text for one in lines for text in (*one.question, one.harmless)], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", eos_token="<end>", chat_template=_TEMPLATE,
        additional_special_tokens=list(_SPECIAL[1:4]),
    )  # fmt: skip
