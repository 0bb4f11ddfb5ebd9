"""Requirements of a prompt that need no recognition of objects: colours, background, texts and their places."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from posterkit.metrics.appearance import Appearance
from posterkit.metrics.color import border_color, named_shares
from posterkit.metrics.ocr import edit_distance, words
from posterkit.metrics.text_regions import DetectedText
from posterkit.prompts import COLORS, in_quotes, quotes, without_quotes
from posterkit.prompts.vocabulary import COLOR_WORDS

ENOUGH = 0.02  # of the poster; a colour that is named covers at least so much
_BACKGROUND = re.compile(
    r"((?:[\w-]+ ){0,2})\b(?:back)?(?:ground|drop)\b((?:(?: in| of| is|:) [\w-]+)?(?: [\w-]+)?)"
    r"|(\w{2,4}?)?的?背景(?:[为是：]?(\w{2,4}))?",
    re.IGNORECASE,
)
# words for where a text stands -> the half of the poster, across and down, that they mean
_PLACES = {
    "top": (0, -1), "upper": (0, -1), "bottom": (0, 1), "lower": (0, 1), "left": (-1, 0), "right": (1, 0),
    "顶部": (0, -1), "上方": (0, -1), "底部": (0, 1), "下方": (0, 1), "左侧": (-1, 0), "右侧": (1, 0),
    "左上": (-1, -1), "右上": (1, -1), "左下": (-1, 1), "右下": (1, 1),
}  # fmt: skip
_PLACE = re.compile(r"\b(?:top|upper|bottom|lower|left|right)\b|顶部|底部|[上下]方|[左右][上下侧]")


@dataclass(frozen=True)
class Requirement:
    """One requirement of a prompt: how far it is met, in [0, 1], and what to do where it is not."""

    met: float
    remedy: str


def requirements(prompt: str, looks: Appearance, texts: Sequence[DetectedText] | None) -> list[Requirement]:
    """The measurable requirements of a prompt, in the order: texts, their places, background, colours.

    Args:
        texts: what was read on the poster; None leaves texts out of the requirements.
    """
    found: list[Requirement] = []
    if texts is not None:
        found += [*_wordings(prompt, texts), *_places(prompt, texts, looks.poster.size)]
    background = requested_background(prompt)
    if background:
        share = float(named_shares(border_color(looks.pixels))[list(COLORS).index(background)])
        found.append(Requirement(min(1.0, 2 * share), f"make the background {background}; it is {looks.background}"))
    for color in _named_colors(prompt):
        if color != background:
            share = float(looks.shares[list(COLORS).index(color)])
            found.append(Requirement(min(1.0, share / ENOUGH), f"bring in the {color} that the prompt names"))
    return found


@lru_cache(256)  # a search for colour words takes milliseconds, and many posters have one prompt
def _named_colors(prompt: str) -> list[str]:
    return COLOR_WORDS.named(without_quotes(prompt))


@lru_cache(256)
def requested_background(prompt: str) -> str | None:
    """The colour name that the prompt gives the background; None where it gives none."""
    for match in _BACKGROUND.finditer(without_quotes(prompt)):
        before, behind, *chinese = (COLOR_WORDS.named(words) if words else [] for words in match.groups())
        if found := before[-1:] or behind[:1] or chinese[0][-1:] or chinese[1][:1]:
            return found[0]
    return None


def in_expected_order(expected: Sequence[str], read: Sequence[str]) -> list[str]:
    """The texts that were read, in the order of the expected ones that they resemble most; the others last."""
    left, ordered = list(read), []
    for text in expected:
        if left:
            nearest = min(left, key=lambda other: unlikeness(text, other))
            if unlikeness(text, nearest) < 0.7:
                left.remove(nearest)
                ordered.append(nearest)
    return ordered + left


def _wordings(prompt: str, texts: Sequence[DetectedText]) -> list[Requirement]:
    read = "".join(words(" ".join(text.text for text in texts)))
    found = []
    for quote in quotes(prompt):
        expected = words(quote.text)
        if expected:
            met = sum(word in read for word in expected) / len(expected)
            found.append(Requirement(met, f"write {in_quotes(quote.text)} in full and letter for letter"))
    return found


def _places(prompt: str, texts: Sequence[DetectedText], size: tuple[int, int]) -> list[Requirement]:
    """For each quoted text that is on the poster, whether it stands in the half that the words behind it name."""
    found, every = [], quotes(prompt)
    ends = [*(quote.start for quote in every), len(prompt)][1:]
    for quote, end in zip(every, ends, strict=True):
        clause = re.split(r"[.;。；]", prompt[quote.end : min(end, quote.end + 80)])[0]
        named = _PLACE.findall(clause.lower())
        across = next((_PLACES[word][0] for word in named if _PLACES[word][0]), 0)
        down = next((_PLACES[word][1] for word in named if _PLACES[word][1]), 0)
        seen = min(texts, key=lambda text: unlikeness(quote.text, text.text), default=None)
        if seen is None or not (across or down) or unlikeness(quote.text, seen.text) > 0.5:
            continue
        x0, y0, x1, y1 = seen.box
        right, low = (x0 + x1) / size[0] - 1, (y0 + y1) / size[1] - 1  # of the poster's middle, in [-1, 1]
        # a text as wide as the poster stands left and right at once
        met = across * right >= -0.1 and down * low >= -0.1
        where = " ".join(word for word in (("", "bottom", "top")[down], ("", "right", "left")[across]) if word)
        found.append(Requirement(float(met), f"move {in_quotes(quote.text)} to the {where}"))
    return found


def unlikeness(a: str, b: str) -> float:
    """Edit distance as a part of the longer text, blanks and capitals left out, in [0, 1]."""
    one, other = "".join(words(a)), "".join(words(b))
    return edit_distance(one, other) / max(1, len(one), len(other))
