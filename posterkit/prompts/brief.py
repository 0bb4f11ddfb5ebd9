"""What a poster must say and show."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from posterkit.prompts.quotes import quoted_texts, tidy, without_quotes
from posterkit.prompts.vocabulary import COLOR_WORDS, MOODS, STYLES, THEMES

LONGEST_ANSWER = 4000  # characters; 300 words are asked for


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
        found, expected = Counter(quoted_texts(prompt)), Counter(original.texts)
        for fault, texts in (("lacks", expected - found), ("adds", found - expected)):
            if texts:
                raise ValueError(f"the answer {fault} the text {', '.join(repr(text) for text in texts)}")
        brief = cls.from_prompt(prompt)
        brief.texts = list(original.texts)
        return brief


def _plain(answer: str) -> str:
    """The rewriting alone: no thoughts, no code fence, no label, no control characters."""
    answer = re.sub(r"<think>.*?(?:</think>|$)", "", tidy(answer), flags=re.DOTALL)
    fenced = re.search(r"```\w*\n(.*?)```", answer, flags=re.DOTALL)
    answer = (fenced[1] if fenced else answer).strip()
    answer = re.sub(
        r"^\**(?:(?:rewritten|expanded|final|enhanced)\s+)?prompt:?\**:?\s*", "", answer, flags=re.IGNORECASE
    )
    return "".join(letter for letter in answer if letter == "\n" or letter.isprintable()).strip()
