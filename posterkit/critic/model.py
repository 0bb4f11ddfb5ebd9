"""A judge that asks a model which can see: at an endpoint, in a local folder, any `LanguageModel`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from PIL import Image

from posterkit.critic.critic import Score, Suggestions
from posterkit.critic.questions import (
    BLEMISHES,
    CAPTION,
    SCALE,
    SCORE,
    SUGGEST,
    SUGGEST_SILENTLY,
    TEXTS,
    Question,
)
from posterkit.llm.answers import read_answer
from posterkit.llm.client import AnswerError, LanguageModel
from posterkit.messages import one_line
from posterkit.metrics.lettering import SeenText

Found = TypeVar("Found")

# words that give a second picture away; "the poster a", "a reference to jazz" and "two tables" do not
_PICTURE = r"(?:posters?|images?|pictures?|versions?|designs?|examples?|samples?|one)\b"
_OTHER_PICTURE = re.compile(
    rf"\breference\s+{_PICTURE}|\bthe\s+reference\b(?!\s+to)|\b(?:the\s+other|second|2nd|better|superior|target)\s+{_PICTURE}"
    rf"|\banother\s+(?:poster|version)|\b(?:first|1st)\s+{_PICTURE}|\bboth\s+(?:posters|images|pictures|versions|designs)"
    r"|\b(?:image|poster|picture|version)\s+(?:[12]\b|(?-i:[AB]\b))|\btwo\s+(?:posters|images|pictures|versions)"
    r"|\bcompar(?:ed|ing)\s+(?:to|with)\b|\bin\s+comparison\b|\bthe\s+better\b|\bthan\s+the\s+(?:other|first|second)\b"
    r"|参考|另外?一?(?:张|幅|个|份)的?(?:图|海报|版|作品)|第[一二12](?:张|幅)|(?:^|[^\u4e00-\u9fff]|[比和与如像在按照])图片?[一二12](?!\d)"
    r"|两(?:张|幅)(?:图|海报|画)|相比|对比(?:图|海报|之下)|对照|更好的(?:那|图|海报|版|一)",
    re.IGNORECASE,
)


class ModelCritic:
    """Judges by asking a model that can see, one question a method, with JSON answers (`posterkit.critic.questions`).

    An answer that cannot be used is asked for once more, with a word on what was wrong; then it is an AnswerError.

    Args:
        chat: the model; as safe from several threads as it is itself.
    """

    def __init__(self, chat: LanguageModel) -> None:
        self.chat = chat

    @property
    def name(self) -> str:
        return self.chat.name

    def caption(self, poster: Image.Image) -> str:
        """One paragraph in English, without line breaks."""

        def read(answer: dict[str, Any]) -> str:
            words = " ".join(answer["caption"].split())
            if not words:
                raise AnswerError("the caption is empty")
            return words

        return self._asked(CAPTION, "Describe this poster.", [poster], read)

    def blemishes(self, poster: Image.Image) -> tuple[str, ...]:
        """ "credit block" and "watermark", where the model sees them."""
        return self._asked(
            BLEMISHES, "Look at this poster.", [poster],
            lambda answer: tuple(key.replace("_", " ") for key, seen in answer.items() if seen),
        )  # fmt: skip

    def texts(self, poster: Image.Image) -> tuple[SeenText, ...]:
        """The texts as the model reads them: asked for on a scale of 1000, given in pixels, cut to the canvas.

        Texts without a letter and boxes without an area are left out; where no box has any, the answer counts as
        unusable (another scale, most likely).
        """

        def read(answer: dict[str, Any]) -> tuple[SeenText, ...]:
            seen = []
            for found in answer["texts"]:
                box, words = _in_pixels(found["box"], poster.size), " ".join(found["text"].split())
                if words and box[0] < box[2] and box[1] < box[3]:
                    seen.append(SeenText(words, box, found["role"]))
            if answer["texts"] and not seen:
                raise AnswerError(f"no box lies on the poster; the first is {answer['texts'][0]['box']}")
            return tuple(sorted(seen, key=lambda text: (text.box[1] + text.box[3], text.box[0])))

        return self._asked(TEXTS, "Find the texts on this poster.", [poster], read)

    def score(self, poster: Image.Image, prompt: str) -> Score:
        """Three marks on a scale of ten, in [0, 1]."""

        def read(answer: dict[str, Any]) -> Score:
            marks = {name: answer[name] / SCALE for name in ("aesthetics", "text", "content")}
            return Score(**marks, why=one_line(answer["why"], 300))

        return self._asked(SCORE, f"Prompt of this poster: {prompt}", [poster], read)

    def suggest(self, poster: Image.Image, prompt: str, better: Image.Image | None = None) -> Suggestions:
        """Content and style suggestions; an answer that speaks of a second picture is not taken."""

        def read(answer: dict[str, Any]) -> Suggestions:
            content, style = (" ".join(answer[f"{kind}_suggestions"].split()) for kind in ("content", "style"))
            if not (content and style):
                raise AnswerError("one of the two suggestions is empty")
            if leak := speaks_of_another(f"{content} {style}"):
                raise AnswerError(f'it speaks of another picture: "{leak}"')
            return Suggestions(content, style)

        question, pictures = (SUGGEST, [poster]) if better is None else (SUGGEST_SILENTLY, [poster, better])
        return self._asked(question, f"Prompt of this poster: {prompt}", pictures, read)

    def _asked(
        self, question: Question, user: str, pictures: Sequence[Image.Image], read: Callable[[dict[str, Any]], Found]
    ) -> Found:
        complaint = ""
        for last in (False, True):
            answer = self.chat.ask(question.system, user + complaint, pictures, question.schema)
            try:
                return read(read_answer(answer, question.schema, "your last answer"))
            except AnswerError as fault:
                if last:
                    said = str(fault).removeprefix("your last answer: ")
                    raise AnswerError(f"{self.name}: no usable answer: {said}") from None
                complaint = f"\n\nYour last answer could not be used: {fault}. Answer again, with the JSON alone."
        raise AssertionError


def speaks_of_another(words: str) -> str:
    """The first words that give away a second picture, in English or Chinese; empty where none do."""
    found = _OTHER_PICTURE.search(words)
    return found[0] if found else ""


def _in_pixels(box: Sequence[float], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """From a scale of 1000 to whole pixels on the canvas."""
    x0, y0, x1, y1 = (
        min(side, max(0, round(value * side / 1000))) for value, side in zip(box, (*size, *size), strict=True)
    )
    return x0, y0, x1, y1
