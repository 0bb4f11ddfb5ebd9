"""A critic that asks a vision-language model the questions of `questions.yaml`, and reads its answers."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from PIL import Image

from posterkit.critic.critic import Suggestions
from posterkit.documents import read_text, read_yaml
from posterkit.llm.answers import read_answer
from posterkit.llm.client import AnswerError, LanguageModel
from posterkit.metrics.text_regions import DetectedText

Found = TypeVar("Found")

# words that reveal a second picture; "the poster a", "a reference to jazz" and "two tables" do not
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
    """Asks a vision-language model one question a method and reads its JSON answer.

    After an answer that is not usable the question is asked once more, with the fault; then it is an AnswerError. As
    many threads may use the critic as may use the model.
    """

    def __init__(self, model: LanguageModel) -> None:
        self.model = model

    @property
    def name(self) -> str:
        return self.model.name

    def caption(self, poster: Image.Image) -> str:
        """One paragraph in English, without line breaks."""

        def read(answer: dict[str, Any]) -> str:
            words = " ".join(answer["caption"].split())
            if not words:
                raise AnswerError("the caption is empty")
            return words

        return self._ask("caption", "Describe this poster.", [poster], read)

    def blemishes(self, poster: Image.Image) -> tuple[str, ...]:
        """ "credit block" and "watermark", where the model sees them."""
        return self._ask(
            "blemishes", "Look at this poster.", [poster],
            lambda answer: tuple(key.replace("_", " ") for key, seen in answer.items() if seen),
        )  # fmt: skip

    def texts(self, poster: Image.Image) -> tuple[DetectedText, ...]:
        """The texts as the model reads them; it answers on a scale of 1000, the boxes are pixels on the canvas.

        Texts without a letter and boxes without an area are left out; where no box has any, the answer is not usable
        (most likely it is on another scale).
        """

        def read(answer: dict[str, Any]) -> tuple[DetectedText, ...]:
            seen = []
            for found in answer["texts"]:
                box, words = _in_pixels(found["box"], poster.size), " ".join(found["text"].split())
                if words and box[0] < box[2] and box[1] < box[3]:
                    seen.append(DetectedText(words, box, found["role"]))
            if answer["texts"] and not seen:
                raise AnswerError(f"no box lies on the poster; the first is {answer['texts'][0]['box']}")
            return tuple(sorted(seen, key=lambda text: (text.box[1] + text.box[3], text.box[0])))

        return self._ask("texts", "Find the texts on this poster.", [poster], read)

    def suggest(self, poster: Image.Image, prompt: str, better: Image.Image | None = None) -> Suggestions:
        """Content and style suggestions; an answer that speaks of a second picture is not usable."""

        def read(answer: dict[str, Any]) -> Suggestions:
            content, style = (" ".join(answer[f"{kind}_suggestions"].split()) for kind in ("content", "style"))
            if not (content and style):
                raise AnswerError("one of the two suggestions is empty")
            if leak := speaks_of_another(f"{content} {style}"):
                raise AnswerError(f'it speaks of another picture: "{leak}"')
            return Suggestions(content, style)

        pictures = [poster] if better is None else [poster, better]
        return self._ask("suggest", f"Prompt of this poster: {prompt}", pictures, read)

    def _ask(
        self, question: str, user: str, pictures: Sequence[Image.Image], read: Callable[[dict[str, Any]], Found]
    ) -> Found:
        complaint, (system, schema) = "", question_about(question, len(pictures))
        for last in (False, True):
            answer = self.model.ask(system, user + complaint, pictures, schema)
            try:
                return read(read_answer(answer, schema, "your last answer"))
            except AnswerError as fault:
                if last:
                    why = str(fault).removeprefix("your last answer: ")
                    raise AnswerError(f"{self.name}: no usable answer: {why}") from None
                complaint = f"\n\nYour last answer could not be used: {fault}. Answer again, with the JSON alone."
        raise AssertionError


@cache
def question_about(name: str, pictures: int) -> tuple[str, dict[str, Any]]:
    """The system prompt of a question about one picture or two, and the JSON schema of its answer."""
    asked = read_yaml(read_text(Path(__file__).with_name("questions.yaml")))[name]
    words = asked["system"]
    if "pictures" in asked:
        words = words.replace("{pictures}", asked["pictures"][pictures - 1])
    return words, asked["schema"]


def speaks_of_another(words: str) -> str:
    """The first words that reveal a second picture, in English or Chinese; empty where there are none."""
    found = _OTHER_PICTURE.search(words)
    return found[0] if found else ""


def _in_pixels(box: Sequence[float], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """A box on a scale of 1000 in whole pixels on the canvas."""
    x0, y0, x1, y1 = (
        min(side, max(0, round(value * side / 1000))) for value, side in zip(box, (*size, *size), strict=True)
    )
    return x0, y0, x1, y1
