"""PosterBrief: what the poster must say and show."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from posterkit.prompts.quotes import quoted_texts, tidy, without_quotes
from posterkit.prompts.vocabulary import COLOR_WORDS, MOODS, STYLES, THEMES

LONGEST_ANSWER = 4000  # characters; 300 words are asked for
_LISTS, _WORDS = ("texts", "colors", "mood"), ("theme", "style")


@dataclass
class PosterBrief:
    """What the poster must say and show.

    Attributes:
        prompt: the user's words, unchanged.
        texts: what must stand on the poster, letter for letter, the title first.
        colors: names from `COLORS`, in the order in which they were named.
        theme: what it is about, such as "music"; None where nothing is known.
        style: such as "retro".
        mood: such as ["calm", "warm"].
    """

    prompt: str = ""
    texts: list[str] = field(default_factory=list)
    colors: list[str] = field(default_factory=list)
    theme: str | None = None
    style: str | None = None
    mood: list[str] = field(default_factory=list)

    @classmethod
    def from_prompt(cls, prompt: str, texts: Sequence[str] = ()) -> PosterBrief:
        """Read a prompt: quoted strings are texts, the other words are searched for colours, theme, style and mood.

        Args:
            prompt: the user's words.
            texts: more texts, tidied like the quoted ones and behind them; those already quoted are not repeated.
        """
        quoted = quoted_texts(prompt)
        # in this order, so that "dark blue" is no mood and "art deco" no theme
        colors, prose = COLOR_WORDS.take(without_quotes(prompt))
        styles, prose = STYLES.take(prose)
        themes, prose = THEMES.take(prose)
        mood, _ = MOODS.take(prose)
        lines = quoted + [text for text in map(tidy, texts) if text not in quoted]
        return cls(prompt, lines, colors, themes[0] if themes else None, styles[0] if styles else None, mood)

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> PosterBrief:
        """Read a job row: what it names counts, and its prompt is searched for the rest; other keys are left alone.

        Raises:
            ValueError: a key holds something else than it should.
        """
        prompt = row.get("prompt") or ""
        if not isinstance(prompt, str):
            raise ValueError(f'key "prompt" must be a string, found {prompt!r}')
        brief = cls.from_prompt(prompt)
        for key in _LISTS:
            value = row.get(key)
            if value is not None:
                if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
                    raise ValueError(f'key "{key}" must be a list of strings, found {value!r}')
                setattr(brief, key, [tidy(item) for item in value])
        for key in _WORDS:
            value = row.get(key)
            if value is not None:
                if not isinstance(value, str):
                    raise ValueError(f'key "{key}" must be a string, found {value!r}')
                setattr(brief, key, value)
        return brief

    @classmethod
    def from_answer(cls, answer: str, original: PosterBrief) -> PosterBrief:
        """Read a language model's rewriting of `original`; the brief's prompt is the rewriting.

        Raises:
            ValueError: nothing is left of the answer, it is too long, or its quoted texts are not the original's.
        """
        prompt = _plain(answer)
        if not prompt:
            raise ValueError("the answer is empty")
        if len(prompt) > LONGEST_ANSWER:
            raise ValueError(f"the answer has {len(prompt)} characters, at most {LONGEST_ANSWER} are accepted")
        found, wanted = Counter(quoted_texts(prompt)), Counter(original.texts)
        for fault, texts in (("lacks", wanted - found), ("adds", found - wanted)):
            if texts:
                raise ValueError(f"the answer {fault} the text {', '.join(repr(text) for text in texts)}")
        brief = cls.from_prompt(prompt)
        brief.texts = list(original.texts)
        return brief

    def to_row(self) -> dict[str, Any]:
        """The brief as keys of a job row, empty ones left out; `from_row` gives an equal brief back."""
        row = {"prompt": self.prompt, "texts": list(self.texts), "colors": list(self.colors), "theme": self.theme,
               "style": self.style, "mood": list(self.mood)}  # fmt: skip
        return {key: value for key, value in row.items() if value or key in ("prompt", "texts")}


def _plain(answer: str) -> str:
    """The rewriting alone: no thoughts, no code fence, no label, no control characters."""
    answer = re.sub(r"<think>.*?(?:</think>|$)", "", tidy(answer), flags=re.DOTALL)
    fenced = re.search(r"```\w*\n(.*?)```", answer, flags=re.DOTALL)
    answer = (fenced[1] if fenced else answer).strip()
    answer = re.sub(
        r"^\**(?:(?:rewritten|expanded|final|enhanced)\s+)?prompt:?\**:?\s*", "", answer, flags=re.IGNORECASE
    )
    return "".join(letter for letter in answer if letter == "\n" or letter.isprintable()).strip()
