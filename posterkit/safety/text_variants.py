"""A text as a reader sees it: without invisible letters, look-alikes, digits for letters and split words.

Traditional Chinese reads as Simplified: policies and the training lines of the small detector are in Simplified.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import Any

# Cyrillic and Greek letters, and signs, that look like a Latin letter
_LOOKALIKES = str.maketrans(
    "абвгԁеһіјкӏмнорстуѵхуѕіԛԝαβεζηικμνορτυχϲℓıǀꓲ",
    "abbrdehijklmhopctyvxysiqwabezhikmvoptuxclill",
)
_LEET = str.maketrans("01345678@$!|€", "oieasgtbasile")
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]"
)
_MARKS = re.compile("[\u0300-\u036f\u0489]")
_DISGUISED = re.compile(r"[\w@$!|€]+")
_LEET_SIGNS = frozenset("01345678@$!|€")
_SPLIT = re.compile(r"(?<!\w)(?:\w[\s.\-_*·/|]{1,3}){3,}\w(?!\w)")
_WITHIN = re.compile(r"(?<=[^\W\d_])[.\-_*·~/|+]+(?=[^\W\d_])")
_HAN = r"[\u4e00-\u9fff]"
_HAN_LETTER = re.compile(_HAN)
_SPLIT_CJK = re.compile(rf"(?<!{_HAN})(?:{_HAN}[\s.\-_*·~/|,，。、]{{1,3}}){{2,}}{_HAN}(?!{_HAN})")


def plain(text: str) -> str:
    """NFKC, without invisible letters and stacked marks, small letters, single blanks, Simplified Chinese."""
    text = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text))
    if not text.isascii():
        text = simplified(unicodedata.normalize("NFC", _MARKS.sub("", unicodedata.normalize("NFD", text))))
    return " ".join(text.casefold().split())


@lru_cache(256)
def simplified(text: str) -> str:
    """Traditional Chinese in Simplified letters; any other text as it is."""
    return _converter("t2s").convert(text) if _HAN_LETTER.search(text) else text


def traditional(text: str) -> str:
    """Simplified Chinese in Traditional letters."""
    return _converter("s2t").convert(text)


@cache
def _converter(config: str) -> Any:
    import opencc  # reads its dictionaries, so only where there is Chinese

    return opencc.OpenCC(config)


def variants(text: str) -> Iterator[str]:
    """The plain text, then what it reads as where something in it looks disguised; most texts have none of these."""
    first = plain(text)
    found = {first}
    yield first
    for undo in (_without_lookalikes, _without_leet, _joined, _without_marks_within):
        for known in tuple(found):
            changed = undo(known)
            if changed not in found:
                found.add(changed)
                yield changed


def _without_lookalikes(text: str) -> str:
    """Foreign letters as the Latin ones that they look like, in words that have both or look wholly Latin."""
    if text.isascii():
        return text
    words = text.split(" ")
    for place, word in enumerate(words):
        if not word.isascii():
            folded = word.translate(_LOOKALIKES)
            if folded.isascii():
                words[place] = folded
    return " ".join(words)


def _without_leet(text: str) -> str:
    """Digits and signs for letters, in words that have letters as well; marks at a word's end stay."""

    def read(match: re.Match[str]) -> str:
        word = match[0].rstrip("!|")
        mixed = not _LEET_SIGNS.isdisjoint(word) and any(letter.isalpha() for letter in word)
        return (word.translate(_LEET) if mixed else word) + match[0][len(word) :]

    return text if _LEET_SIGNS.isdisjoint(text) else _DISGUISED.sub(read, text)


def _joined(text: str) -> str:
    """Single letters with something between them as one word: g u n, g.u.n.s."""
    for split in (_SPLIT, _SPLIT_CJK):
        text = split.sub(lambda match: re.sub(r"[\W_]", "", match[0]), text)
    return text


def _without_marks_within(text: str) -> str:
    return _WITHIN.sub("", text)


def squeezed(text: str) -> str | None:
    """The letters alone of a text that is split into single letters, where no blank tells words apart; None else."""
    first = plain(text)
    return re.sub(r"[\W_]", "", first) if _SPLIT.search(first) else None
