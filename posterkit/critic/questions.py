"""What a model is asked about a poster: the words and the JSON schema of each question, in one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

MOST_TEXTS = 60
SCALE = 10  # scores are asked as whole numbers from 0 to this; models are steadier with them than with fractions


@dataclass(frozen=True)
class Question:
    """A system prompt and the JSON schema of its answer."""

    system: str
    schema: dict[str, Any]


def _object(**properties: dict[str, Any]) -> dict[str, Any]:
    # as endpoints want schemas that they hold a model to: every key required, no other allowed
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


_TEXT, _YES = {"type": "string"}, {"type": "boolean"}
_MARK = {"type": "integer", "minimum": 0, "maximum": SCALE}

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

SCORE = Question(
    f"""\
You judge posters strictly. You get a poster and the prompt that it was made for. Give three marks, whole numbers from
0 (unusable) to {SCALE} (flawless), each for its own question alone:
- aesthetics: does it look good as a poster: composition, colour, typography, finish, no broken parts?
- text: is every text that the prompt puts in quotes there, spelt letter for letter and legible, without garbled or
  needless other text? If the prompt quotes no text and the poster has none, this is {SCALE}.
- content: does it show what the prompt says: subjects, their number and colours, style, places?
- why: the most important reason in one short sentence.
Answer with JSON alone: {{"why": "...", "aesthetics": n, "text": n, "content": n}}""",
    _object(why=_TEXT, aesthetics=_MARK, text=_MARK, content=_MARK),
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
