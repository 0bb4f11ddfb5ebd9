"""Tokenizers of the small models, planned: every word that captions use is one token, everything else is spelt."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from typing import Any

from tokenizers import Regex, pre_tokenizers
from transformers import CLIPTokenizer, Qwen2Tokenizer, T5Tokenizer

QWEN_SPECIAL = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
    "<|image_pad|>", "<|video_pad|>",
)  # fmt: skip
# how Qwen2 and CLIP cut text into words before merging
QWEN_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CLIP_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
# Latin with diacritics, Greek and Cyrillic, so that T5 spells what it has no word for
LETTERS = "".join(map(chr, [*range(33, 127), *range(0xA1, 0x180), *range(0x391, 0x3CA), *range(0x410, 0x450)]))


def words_of(captions: Iterable[str]) -> list[str]:
    """The words to plan for a set's captions, sorted, in small letters; what stands in quotes is to be spelt."""
    said = " ".join(re.sub('"[^"]*"', "", caption.lower()) for caption in captions)
    return sorted(set(re.findall(r"[^\W\d_]+", said)))


def qwen_tokenizer(texts: Iterable[str]) -> Qwen2Tokenizer:
    """A byte-level Qwen2 tokenizer in which every word of `texts` is one token.

    Qwen's own vocabulary has every word of the edit template as one token, so a template whose words are all planned
    here counts the same 64 tokens.
    """
    cut = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN_WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = _plan_merges(([*word] for text in texts for word, _ in cut.pre_tokenize_str(text)))
    tokens = [*alphabet, *(a + b for a, b in merges), *QWEN_SPECIAL]
    return Qwen2Tokenizer(
        vocab={token: index for index, token in enumerate(tokens)},
        merges=merges,
        additional_special_tokens=list(QWEN_SPECIAL[1:]),
        model_max_length=1024,
    )


def clip_tokenizer(texts: Iterable[str], length: int = 77) -> CLIPTokenizer:
    """A CLIP tokenizer (lower case, byte level) in which every word of `texts` is one token."""
    cut = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(CLIP_WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = ([*word[:-1], word[-1] + "</w>"] for text in texts for word, _ in cut.pre_tokenize_str(text.lower()))
    merges = _plan_merges(words)
    tokens = [*alphabet, *(letter + "</w>" for letter in alphabet), *(a + b for a, b in merges)]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(
        vocab={token: index for index, token in enumerate(tokens)}, merges=merges, model_max_length=length
    )


def t5_tokenizer(texts: Iterable[str], length: int = 512) -> T5Tokenizer:
    """A unigram T5 tokenizer: every word of `texts` is one piece, other words are spelt letter by letter."""
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -4.0)]
    pieces += [(letter, -6.0) for letter in LETTERS]
    known = {piece for piece, _ in pieces}
    planned = dict.fromkeys("▁" + word for text in texts for word in re.findall(r"\w+", text))
    pieces += [(word, -5.0) for word in planned if word not in known]
    return T5Tokenizer(vocab=pieces, extra_ids=0, additional_special_tokens=[], model_max_length=length)


def _plan_merges(words: Iterable[list[str]]) -> Any:
    """Merges (a list of pairs) under which each word becomes one token.

    Each word is first merged by what is planned already; what is left is joined from the left. A later merge has a
    lower rank than every earlier one, so it cannot disturb a word that is whole.
    """
    ranks: dict[tuple[str, str], int] = {}
    for symbols in dict.fromkeys(map(tuple, words)):
        symbols = list(symbols)
        while len(symbols) > 1:
            pair = min(itertools.pairwise(symbols), key=lambda pair: ranks.get(pair, len(ranks)))
            if pair not in ranks:
                pair = (symbols[0], symbols[1])
                ranks[pair] = len(ranks)
            symbols = _join(symbols, pair)
    return list(ranks)


def _join(symbols: list[str], pair: tuple[str, str]) -> list[str]:
    joined, index = [], 0
    while index < len(symbols):
        if tuple(symbols[index : index + 2]) == pair:
            joined.append(symbols[index] + symbols[index + 1])
            index += 2
        else:
            joined.append(symbols[index])
            index += 1
    return joined
