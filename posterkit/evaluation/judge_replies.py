"""Reads a judge's reply: right, misled, neither, ambiguous, or no answer."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Literal

Outcome = Literal["right", "followed", "other", "ambiguous", "refused", "failed"]
_TOKEN = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+(?:'[^\W\d_]+)?|[.,;:!?\n]")
_THOUGHTS = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)
_BREAKS = frozenset((*".,;:!?\n", "but", "however", "while"))
_NEGATIONS = frozenset(
    ("not", "no", "never", "neither", "nor", "without", "isn't", "wasn't", "aren't", "cannot", "unlike")
)
_PAIRS = frozenset((("instead", "of"), ("rather", "than"), ("other", "than")))
_REACH = 6  # words
_REFUSAL = re.compile(
    r"\b(?:sorry|unable|can(?:no|')t|do(?:n't| not) know|not (?:sure|stated|given|mentioned|specified))\b"
)


def read_reply(reply: str, answer: str, misleading: Sequence[str], shown: str | None = None) -> Outcome:
    """What a reply amounts to.

    An answer counts where its words stand in the reply as whole words and are not negated: "bored" is not "red", and
    "not Paris but Oslo" is Oslo. Case, accents, currency signs and a plus behind a number do not matter.

    Args:
        answer: the true one.
        misleading: the wrong ones.
        shown: the wrong one that the picture or the caption suggests; None where it suggests none.

    Returns:
        "right", "followed" (it gives the answer that was shown), "ambiguous" (several answers), "refused" (no answer,
        and says so) or "other".
    """
    said = asserted(reply, (answer, *misleading))
    if said == {answer}:
        return "right"
    if shown is not None and said == {shown}:
        return "followed"
    if len(said) > 1:
        return "ambiguous"
    return "refused" if not said and _REFUSAL.search(_plain(reply)) else "other"


def asserted(reply: str, answers: Sequence[str]) -> set[str]:
    """Which of some answers a reply gives; where one contains another, the longer one is meant."""
    tokens = _tokens(_THOUGHTS.sub(" ", reply))
    taken = [False] * len(tokens)
    found = set()
    for answer in sorted(answers, key=lambda one: -len(_tokens(one))):
        words = _tokens(answer)
        for start in range(len(tokens) - len(words) + 1):
            stop = start + len(words)
            if tokens[start:stop] == words and not any(taken[start:stop]):
                taken[start:stop] = [True] * len(words)
                if not _negated(tokens[:start]):
                    found.add(answer)
    return found


def _negated(before: list[str]) -> bool:
    """Whether the words before an answer deny it, as far back as its clause goes."""
    for place in range(len(before) - 1, max(-1, len(before) - 1 - _REACH), -1):
        if before[place] in _BREAKS:
            return False
        if before[place] in _NEGATIONS or tuple(before[place : place + 2]) in _PAIRS:
            return True
    return False


def _tokens(text: str) -> list[str]:
    return _TOKEN.findall(_plain(text))


def _plain(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text.replace("’", "'").casefold())
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))
