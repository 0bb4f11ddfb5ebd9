"""Questions about synthetic posters with exact answers, to teach a critic to read them: one question a row."""

from __future__ import annotations

import json
from dataclasses import dataclass
from random import Random

from PIL import Image

from posterkit.datagen.critiques import PosterFacts, check_size, draw_critic_poster
from posterkit.datasets.sample_files import Row, encoded
from posterkit.sizing import Size

ASKED = {
    "title": "What does the title say?", "count": "How many texts are there?", "place": "Where is the title?",
    "letters": "Which colour are the title's letters?", "background": "Which colour is the background?",
    "subject": "What does it show?", "color": "Which colour is what it shows?",
    "defect": 'Was the title "{asked}" set without a mistake?', "verdict": 'Judge it. Its title was to be "{asked}".',
}  # fmt: skip
_HELD_OUT = 10  # every so many-th poster


@dataclass(frozen=True)
class PosterQuestion:
    """A question about a poster, and its true answer; `question` is a key of `ASKED`."""

    id: str
    poster: Image.Image
    prompt: str
    answer: str
    question: str
    split: str


@dataclass(frozen=True)
class PosterQuestions:
    """Questions by number, the kinds in turn; the same for the same seed and number."""

    seed: int
    size: Size

    def __post_init__(self) -> None:
        check_size(self.size)

    def __getitem__(self, number: int) -> PosterQuestion:
        rng = Random(f"{self.seed} poster question {number}")
        poster = draw_critic_poster(rng, self.size)
        kind = [*ASKED][number % len(ASKED)]
        if kind == "color" and poster.facts.color is None:
            kind = "background"
        prompt = ASKED[kind].format(asked=poster.facts.asked)
        split = "heldout" if number // len(ASKED) % _HELD_OUT == _HELD_OUT - 1 else "train"
        name, answer = f"poster-{self.seed}-{number:06d}", answer_of(poster.facts, kind)
        return PosterQuestion(name, poster.picture, prompt, answer, kind, split)


def answer_of(facts: PosterFacts, kind: str) -> str:
    """The true answer to a kind of question; a verdict is JSON."""
    if kind == "verdict":
        verdict = {"title": facts.texts[0], "fault": "none" if facts.sound else "title misspelt",
                   "verdict": "pass" if facts.sound else "fail"}  # fmt: skip
        return json.dumps(verdict, ensure_ascii=False)
    answers = {
        "title": facts.texts[0], "count": str(len(facts.texts)), "place": facts.where, "letters": facts.letters,
        "background": facts.background, "subject": facts.subject, "color": facts.color or "",
        "defect": "yes" if facts.sound else "no",
    }  # fmt: skip
    return answers[kind]


def encode_poster_question(one: PosterQuestion) -> tuple[Row, dict[str, bytes]]:
    """A question as its row and its picture."""
    files = {f"{one.id}.png": encoded(one.poster)}
    row = {"id": one.id, "task": "text", "images": list(files), "prompt": one.prompt, "answer": one.answer,
           "question": one.question, "negative": None, "licence": "CC0-1.0", "split": one.split}  # fmt: skip
    return row, files
