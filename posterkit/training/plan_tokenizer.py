"""Word-level tokenizers for models too small to read prose: of the plan language, and of briefs.

That of the plan language reads a planner's question in the form that every language model gets, and keeps what a plan
is made of: roles, numbers, faults, and which question it is. Of the examples it keeps the first two, of a text its
length and whether its letters are wide. An answer is written in whole pieces of its JSON, so that what is decoded can
be read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from posterkit.layout.planners.questions import STAGES
from posterkit.layout.types import THINGS
from posterkit.lettering import ALIGNS, ROLES

EXAMPLES = 2  # of a question that are read
NUMBERS = 320  # 0 to 319 are tokens: cells of the grid, lengths of texts, pixels of a fault
SPECIAL = ("<pad>", "<unk>", "<question>", "<answer>", "<end>")
TEMPLATE = (
    "{% for m in messages %}{% if m.role == 'user' %}<question>{{ m.content }}"
    "{% elif m.role == 'assistant' %}<answer>{{ m.content }}<end>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<answer>{% endif %}"
)
# an answer's JSON, and what stands between the words of its reasoning
PIECES = (
    '{"reasoning": "', '", "boxes": [{"id": ', '{"boxes": [{"id": ', '}, {"id": ', ', "l": ', ', "t": ', ', "w": ',
    ', "h": ', "}]}", "; ",
)  # fmt: skip
_ARRANGEMENTS = ("head-and-foot", "foot", "head", "title-below", "column", "column-head-and-foot", "free-ground")
_ZONES = tuple(f"{row}-{column}" for row in ("top", "middle", "bottom") for column in ALIGNS)
_QUESTION = ("canvas", "id", "clear", "now", "far", "wrong", "narrow", "wide", "coarse", "like", *STAGES)
_FAULTS = (
    "missing", "off", "inside", "smaller", "small", "overlap", "fit", "before", "large", "covers", "lies", "left",
    "fixed", "nothing", "underlay", "wrapped", "face", "lettering", "top", "bottom", "center", "right", "larger",
    "equal", "must",
)  # fmt: skip
_WORDS = tuple(dict.fromkeys((*ROLES, *THINGS, *_QUESTION, *_FAULTS, *ALIGNS, *_ARRANGEMENTS, *_ZONES)))
_NUMBER = r"(?<![\d.])(?:[12]\d\d|3[01]\d|[1-9]?\d)(?![\d.]*\d)"
_PIECE = r"\n?</?\w+>| ?“”| ?text \d+| ?[\w'’-]+|."  # of a brief or a reasoning
_WIDE = r"[\u1100-\u11ff\u2e80-\u9fff\uac00-\ud7af\uff00-\uffef]"
# from a question in prose to the plan language, in this order
_RULES = (
    (rf"(?m)(?:<html>.*?</html>\s+){{{EXAMPLES}}}\K.*(?=Now plan a poster)", ""),
    (r"It shows: [^\n]*\n", ""),
    (r"index: \d+; |left: |</?(?:html|body)>", ""),
    (r"px; (?:top|width|height): ", " "),
    (rf"['\"][^\n]*{_WIDE}[^\n]*['\"](?=, \d+ characters)", "wide"),
    (r"['\"][^\n]*['\"](?=, \d+ characters)", "narrow"),
    (r'(?m), "[ltwh]": (?=.*\nWhat is wrong)', " "),
    (r'(?m)\}, \{"id": (?=.*\nWhat is wrong)', " "),
    (r"Place every id\.", "coarse"),
)


def plan_tokenizer() -> Any:
    """The tokenizer of the plan language."""
    words = "|".join(rf"(?<![\w-]){re.escape(word)}(?![\w-])" for word in sorted(_WORDS, key=len, reverse=True))
    pieces = "|".join(re.escape(piece) for piece in sorted(PIECES, key=len, reverse=True))
    tokens = dict.fromkeys((*SPECIAL, *PIECES, *_WORDS, *map(str, range(NUMBERS))))
    tokenizer = Tokenizer(models.WordLevel({token: at for at, token in enumerate(tokens)}, unk_token="<unk>"))
    stages = [(re.escape(_opening(task)) + r"[^\n]*", name) for name, task in STAGES.items()]
    tokenizer.normalizer = normalizers.Sequence(  # pyright: ignore[reportAttributeAccessIssue]
        [normalizers.Replace(Regex(pattern), said) for pattern, said in (*_RULES, *stages)]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split(  # pyright: ignore[reportAttributeAccessIssue]
        Regex(f"{pieces}|{words}|{_NUMBER}"), "removed", invert=True
    )
    return _chatting(tokenizer)


def brief_tokenizer(texts: Iterable[str]) -> Any:
    """A word-level tokenizer of briefs and of reasonings about them, for models too small to spell.

    Every word of `texts` and every number of a text is one token; others are unknown. Of a quoted text it reads that
    there is one: briefs have to name texts by their numbers. A reasoning comes back letter for letter.
    """
    quotes = normalizers.Replace(Regex("“[^”]*”"), "“”")
    cut = pre_tokenizers.Split(Regex(_PIECE), "isolated")
    pieces = sorted({piece for text in texts for piece, _ in cut.pre_tokenize_str(quotes.normalize_str(text))})
    tokens = dict.fromkeys((*SPECIAL, *pieces))
    tokenizer = Tokenizer(models.WordLevel({token: at for at, token in enumerate(tokens)}, unk_token="<unk>"))
    tokenizer.normalizer = quotes  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.pre_tokenizer = cut  # pyright: ignore[reportAttributeAccessIssue]
    return _chatting(tokenizer)


def _chatting(tokenizer: Tokenizer) -> Any:
    """The tokenizer with its chat template: system prompts are not read."""
    tokenizer.decoder = decoders.Fuse()  # pyright: ignore[reportAttributeAccessIssue]
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", eos_token="<end>",
        additional_special_tokens=["<question>", "<answer>"], chat_template=TEMPLATE, padding_side="left",
        clean_up_tokenization_spaces=False, model_max_length=1024,
    )  # fmt: skip


def _opening(task: str) -> str:
    """What a stage's question begins with, before its first number."""
    return re.split(r"[{\d]", task)[0][:30]
