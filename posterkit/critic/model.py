"""A critic that asks a vision-language model: its questions, their JSON schemas, and the reading of the answers."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from PIL import Image

from posterkit.critic.critic import Suggestions
from posterkit.llm.answers import read_answer
from posterkit.llm.client import AnswerError, LanguageModel
from posterkit.metrics.text_regions import DetectedText

MOST_TEXTS = 60


@dataclass(frozen=True)
class Question:
    """A system prompt and the JSON schema of its answer."""

    system: str
    schema: dict[str, Any]


def _object(**properties: dict[str, Any]) -> dict[str, Any]:
    # as endpoints want schemas that they hold a model to: every key required, no other allowed
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


_TEXT, _YES = {"type": "string"}, {"type": "boolean"}

CAPTION = Question(
    """\
You describe posters for training an image model. Describe the poster in one English paragraph of at most 200 words:
- its medium and style, its colours and mood, the composition, and what it shows and where;
- every text on it, letter for letter in straight double quotes, each with its place, colour and kind of letters.
Put nothing else in quotes. Do not guess what cannot be seen. If there is no text, say so.
Answer with JSON alone: {"caption": "..."}""",
    _object(caption=_TEXT),
)

BLEMISHES = Question(
    """\
You sort out posters that are unfit for training an image model. Say for this poster:
- credit_block: does it carry a large block of small print, such as the billing block of a film (cast and crew), legal
  or copyright lines, or rows of logos? A date, a place or a short slogan is none.
- watermark: does it carry a watermark: a stock site's name, a semi-transparent mark or text laid over the picture, a
  repeated mark, "sample" or "preview"?
Answer with JSON alone: {"credit_block": true or false, "watermark": true or false}""",
    _object(credit_block=_YES, watermark=_YES),
)

TEXTS = Question(
    f"""\
You find the texts on posters. List every text on this poster from top to bottom, at most {MOST_TEXTS}; lines that
belong together are one text. For each give:
- text: letter for letter, as written, lines joined by a blank;
- box: [x0, y0, x1, y1], left, top, right and bottom as whole numbers from 0 to 1000, where 1000 is the poster's full
  width or height;
- role: "major" for the title and other large texts that carry the design, "minor" for small ones.
If there is no text, the list is empty.
Answer with JSON alone: {{"texts": [{{"text": "...", "box": [x0, y0, x1, y1], "role": "major"}}, ...]}}""",
    _object(
        texts={
            "type": "array",
            "maxItems": MOST_TEXTS,
            "items": _object(
                text=_TEXT,
                box={"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 4},
                role={"type": "string", "enum": ["major", "minor"]},
            ),
        }
    ),
)

_CRITIC = """\
You are the critic of a poster designer. You get a poster and the prompt that it was made for. Say how to improve it:
- content_suggestions: what to change in what it shows and says: subjects, details, texts and their spelling, anything
  that the prompt asks for and that is missing, wrong or too much.
- style_suggestions: what to change in how it looks: layout, colours, light, typography, finish.
Each is one to three sentences that tell the designer what to do, concrete enough to be drawn.
{more}Answer with JSON alone: {{"content_suggestions": "...", "style_suggestions": "..."}}"""
_CRITIQUE = _object(content_suggestions=_TEXT, style_suggestions=_TEXT)

SUGGEST = Question(_CRITIC.format(more="Speak of this poster alone.\n"), _CRITIQUE)

# PosterCraft: the comparison is internal, since whoever reads the suggestions never sees the second picture
SUGGEST_SILENTLY = Question(
    _CRITIC.format(
        more="""\
You get two pictures. The first one is the poster to improve. The second one is a better poster for the same prompt,
for your eyes only: compare the two in silence to see what the first one lacks. The designer never sees the second
picture and must not learn of it: speak of the first one alone, as if there were no other, and never write words such
as "reference", "second", "other image", "compared to" or "the better one".
"""
    ),
    _CRITIQUE,
)

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

    After an answer that is not usable the question is asked once more, with the fault; then it is an AnswerError.

    Args:
        model: as many threads may use the critic as may use the model.
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

        return self._ask(CAPTION, "Describe this poster.", [poster], read)

    def blemishes(self, poster: Image.Image) -> tuple[str, ...]:
        """ "credit block" and "watermark", where the model sees them."""
        return self._ask(
            BLEMISHES, "Look at this poster.", [poster],
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

        return self._ask(TEXTS, "Find the texts on this poster.", [poster], read)

    def suggest(self, poster: Image.Image, prompt: str, better: Image.Image | None = None) -> Suggestions:
        """Content and style suggestions; an answer that speaks of a second picture is not usable."""

        def read(answer: dict[str, Any]) -> Suggestions:
            content, style = (" ".join(answer[f"{kind}_suggestions"].split()) for kind in ("content", "style"))
            if not (content and style):
                raise AnswerError("one of the two suggestions is empty")
            if leak := speaks_of_another(f"{content} {style}"):
                raise AnswerError(f'it speaks of another picture: "{leak}"')
            return Suggestions(content, style)

        question, pictures = (SUGGEST, [poster]) if better is None else (SUGGEST_SILENTLY, [poster, better])
        return self._ask(question, f"Prompt of this poster: {prompt}", pictures, read)

    def _ask(
        self, question: Question, user: str, pictures: Sequence[Image.Image], read: Callable[[dict[str, Any]], Found]
    ) -> Found:
        complaint = ""
        for last in (False, True):
            answer = self.model.ask(question.system, user + complaint, pictures, question.schema)
            try:
                return read(read_answer(answer, question.schema, "your last answer"))
            except AnswerError as fault:
                if last:
                    why = str(fault).removeprefix("your last answer: ")
                    raise AnswerError(f"{self.name}: no usable answer: {why}") from None
                complaint = f"\n\nYour last answer could not be used: {fault}. Answer again, with the JSON alone."
        raise AssertionError


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
