"""Critiques of synthetic posters that are true by construction, answers that are not, and a check of both.

A critique has one form, so that every claim in it can be compared with what was drawn:

    Subject: red fox. Background: navy. Texts: 2. Title: "FOX CLUB" at the top, white letters. Line: "Open daily".
    Fault: none. Verdict: pass.

BPO (arXiv 2403.08730) rejects answers that the model gives on a weakened picture and answers with injected errors.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from string import digits
from typing import NamedTuple

import numpy as np
from PIL import Image

from posterkit.critic.rules import place
from posterkit.datagen import weakening
from posterkit.prompts import COLORS
from posterkit.schema import Box
from posterkit.sizing import Size
from posterkit.synthetic import background_name, captions, draw_poster, render
from posterkit.synthetic.contents import SUBJECTS, read_contents
from posterkit.synthetic.palettes import color_name, distance
from posterkit.synthetic.synthetic_poster import motif_area

QUESTION = (
    'This poster was to have the title "{asked}". Judge it in one line of this form: Subject: COLOR THING. '
    'Background: COLOR. Texts: HOW MANY. Title: "LETTERS" PLACE, COLOR letters. Line: "LETTERS" or none. '
    "Fault: title misspelt, or none. Verdict: pass or fail."
)
ERRORS = ("wrong_text", "wrong_count", "wrong_position", "wrong_colour", "phantom_element", "missed_defect",
          "inverted_verdict")  # fmt: skip
WEAKENED = (*(f"noise-{step}" for step in weakening.NOISE_STEPS), "illegible", "text_blur", "text_mask", "blank")
_NOUNS = sorted({noun for names in SUBJECTS.values() for noun in names})
_KIN = [{"sun", "striped sun"}, {"moon", "crescent moon"}, {"planet", "ringed planet"}, {"rings", "circles", "record"},
        {"shapes", "tiles", "circles", "arches"}, {"lights", "ribbons"}, {"bouquet", "flower", "wreath", "branch"},
        {"bottle", "jar", "can", "perfume", "box"}, {"fruit", "pear", "cherries"}]  # fmt: skip
# colours that people call by either name; neither is an error for the other
_NEAR = {
    "navy": "blue black purple", "teal": "green blue", "beige": "white yellow orange gray pink", "gray": "white black",
    "brown": "orange red black", "pink": "red purple", "orange": "red yellow", "purple": "blue", "yellow": "white",
}  # fmt: skip
_NAMED = 18.0  # Lab distance of letters from the colour that their name stands for
_LEAST = 64  # pixels of a poster's side
_OPPOSITE = {"top": "bottom", "bottom": "top", "left": "right", "right": "left"}


@dataclass(frozen=True)
class PosterFacts:
    """What was drawn on a poster.

    Attributes:
        asked: the title that it was to have.
        texts: what it bears, the title first.
        where: the title's place, one of nine, such as "at the top".
        letters, background: colour names.
        subject, color: its thing, and that one's colour where it has one.
        things: every noun that is drawn.
    """

    asked: str
    texts: Sequence[str]
    where: str
    letters: str
    background: str
    subject: str
    color: str | None
    things: frozenset[str]

    @property
    def sound(self) -> bool:
        return self.texts[0] == self.asked

    def critique(self) -> str:
        """The true critique."""
        line = f'"{self.texts[1]}"' if len(self.texts) > 1 else "none"
        return (
            f"Subject: {f'{self.color} ' if self.color else ''}{self.subject}. Background: {self.background}. "
            f'Texts: {len(self.texts)}. Title: "{self.texts[0]}" {self.where}, {self.letters} letters. Line: {line}. '
            f"Fault: {'none' if self.sound else 'title misspelt'}. Verdict: {'pass' if self.sound else 'fail'}."
        )


class CriticPoster(NamedTuple):
    """A drawn poster, what is on it, and the boxes of its texts in pixels."""

    picture: Image.Image
    facts: PosterFacts
    boxes: tuple[Box, ...]


def draw_critic_poster(rng: Random, size: Size) -> CriticPoster:
    """A synthetic poster with a title; on every second one two letters of the title have changed places.

    Letters of a colour that no name fits are drawn anew.
    """
    misspelt = rng.random() < 0.5
    while True:
        plan = draw_poster(rng, aspect=size.aspect, text=True)
        assert plan.lettering is not None
        asked = plan.lettering.title
        if misspelt and (shown := _misspelt(rng, asked)):
            plan = replace(plan, lettering=replace(plan.lettering, title=shown))
        drawn = render(plan, size)
        title = drawn.texts[0]
        assert title.box is not None and title.color is not None
        letters = color_name(title.color)
        if distance(title.color, COLORS[letters]) < _NAMED:
            break
    shows = read_contents(plan, motif_area(plan, size), size, background_name(drawn.image))
    x0, y0, x1, y1 = title.box
    things = {shows.subject, *(noun for _, noun in (*shows.details, *shows.setting) if noun)}
    where = place((x0 + x1) / 2 / size.width, (y0 + y1) / 2 / size.height)
    texts = tuple(text.text for text in drawn.texts)
    facts = PosterFacts(asked, texts, where, letters, shows.background, shows.subject, shows.color, frozenset(things))
    return CriticPoster(Image.fromarray(drawn.image), facts, tuple(text.box for text in drawn.texts if text.box))


def check_size(size: Size) -> None:
    """ValueError where posters are so small that nobody could read them."""
    if min(size) < _LEAST:
        raise ValueError(
            f"posters of {size} pixels: nobody reads their letters; at least {_LEAST}x{_LEAST} are needed"
        )


def weaken(poster: CriticPoster, kind: str, seed: int) -> Image.Image:
    """A poster weakened as one of `WEAKENED` says."""
    pixels = np.asarray(poster.picture)
    if kind.startswith("noise-"):
        made = weakening.noised(pixels, int(kind.removeprefix("noise-")), seed)
    elif kind == "blank":
        made = weakening.blank(pixels)
    elif kind == "illegible":
        made, _ = weakening.illegible(pixels, poster.boxes)
    else:
        made = {"text_blur": weakening.text_blurred, "text_mask": weakening.text_masked}[kind](pixels, poster.boxes)
    return Image.fromarray(made)


def inject_error(rng: Random, facts: PosterFacts, kind: str) -> str | None:
    """The critique with one error; None where such an error cannot be made of this poster.

    Args:
        kind: one of `ERRORS`.
    """
    true = facts.critique()
    if kind == "wrong_text":
        wrong = weakening.text_error(rng, facts.texts[0], _LETTERS)
        return None if wrong is None else true.replace(f'Title: "{facts.texts[0]}"', f'Title: "{wrong[0]}"')
    if kind == "wrong_count":
        count = rng.choice([one for one in range(1, 5) if one != len(facts.texts)])
        return true.replace(f"Texts: {len(facts.texts)}", f"Texts: {count}")
    if kind == "wrong_position":
        words = [_OPPOSITE.get(word, word) for word in facts.where.split()]
        return None if " ".join(words) == facts.where else true.replace(f"{facts.where},", f"{' '.join(words)},")
    if kind == "wrong_colour":
        forms = [(f"Background: {facts.background}", "Background: {}", facts.background),
                 (f", {facts.letters} letters", ", {} letters", facts.letters)]  # fmt: skip
        if facts.color:
            forms.append((f"Subject: {facts.color} ", "Subject: {} ", facts.color))
        old, new, color = rng.choice(forms)
        return true.replace(old, new.format(rng.choice([one for one in COLORS if not _alike(one, color)])))
    if kind == "phantom_element":
        strange = [noun for noun in _NOUNS if not any(_kin(noun, thing) for thing in facts.things)]
        return true.replace(". Background", f", {rng.choice(strange)}. Background")
    if kind == "missed_defect":
        missed = true.replace("title misspelt", "none").replace("Verdict: fail", "Verdict: pass")
        return None if facts.sound else missed
    turned = "fail" if facts.sound else "pass"
    return true.replace(f"Verdict: {'pass' if facts.sound else 'fail'}", f"Verdict: {turned}")


def false_claims(answer: str, facts: PosterFacts) -> list[tuple[str, str]]:
    """What an answer says that is not so: the kind of error, one of `ERRORS`, and what is wrong, for each claim.

    What it does not say is not false. Colours that share a name in ordinary speech, places next to each other and
    things of one kind are not errors.
    """
    found: list[tuple[str, str]] = []

    def claim(kind: str, name: str, said: str, true: str) -> None:
        found.append((kind, f"{name} is {true}, not {said}"))

    if (match := re.search(r"Subject: ([^.]+)", answer)) is not None:
        for part in match[1].split(","):
            color, thing = _subject(part)
            if thing and not any(_kin(thing, own) for own in facts.things):
                claim("phantom_element", "the subject", thing, facts.subject)
            elif color and facts.color and thing == facts.subject and not _alike(color, facts.color):
                claim("wrong_colour", "the subject's colour", color, facts.color)
    colors = {
        "the background": (r"Background: (\w+)", facts.background),
        "the title's colour": (r", (\w+) letters", facts.letters),
    }
    for name, (pattern, color) in colors.items():
        if (match := re.search(pattern, answer)) and match[1] in COLORS and not _alike(match[1], color):
            claim("wrong_colour", name, match[1], color)
    if (match := re.search(r"Texts: (\d+)", answer)) and int(match[1]) != len(facts.texts):
        claim("wrong_count", "the number of texts", match[1], str(len(facts.texts)))
    for number, pattern in enumerate((r'Title: "([^"]*)"', r'Line: "([^"]*)"')):
        own = facts.texts[number] if number < len(facts.texts) else ""
        if (match := re.search(pattern, answer)) and _words(match[1]) != _words(own):
            claim("wrong_text", ("the title", "the line")[number], f'"{match[1]}"', f'"{own}"' if own else "not there")
    match = re.search(r'Title: "[^"]*" ((?:at|on|in) [\w ]+),', answer)
    if match and any(_OPPOSITE.get(word) in facts.where.split() for word in match[1].split()):
        claim("wrong_position", "the title", match[1], facts.where)
    if not facts.sound and re.search(r"Fault: none", answer):
        found.append(("missed_defect", f'the title is "{facts.texts[0]}", not "{facts.asked}"'))
    verdict = re.search(r"Verdict: (pass|fail)", answer)
    if verdict and (verdict[1] == "pass") != facts.sound:
        claim("inverted_verdict", "the verdict", verdict[1], "pass" if facts.sound else "fail")
    return found


def match_length(answer: str, chosen: str, tolerance: float = 0.2) -> str | None:
    """An answer cut at a sentence's end to the length of the chosen one in words; None where that cannot be.

    Preference training learns length where one side is always the longer.
    """
    aim, kept = len(chosen.split()), " ".join(answer.split())
    while len(kept.split()) > (1 + tolerance) * aim and ". " in kept.rstrip("."):
        kept = kept.rstrip(".").rpartition(". ")[0] + "."
    return kept if abs(len(kept.split()) - aim) <= tolerance * aim else None


def _misspelt(rng: Random, title: str) -> str | None:
    places = [n for n in range(len(title) - 1) if title[n].isalpha() and title[n + 1].isalpha()
              and title[n].casefold() != title[n + 1].casefold()]  # fmt: skip
    if not places:
        return None
    n = rng.choice(places)
    return title[:n] + title[n + 1] + title[n] + title[n + 2 :]


def _subject(part: str) -> tuple[str | None, str | None]:
    """The colour and the thing that a part of a subject names, as far as they are known."""
    words = part.split()
    color = words.pop(0) if words and words[0] in COLORS else None
    thing = " ".join(words)
    return color, thing if thing in _NOUNS else None


def _kin(one: str, other: str) -> bool:
    return one == other or any({one, other} <= kin for kin in _KIN)


def _alike(one: str, other: str) -> bool:
    return one == other or other in _NEAR.get(one, "").split() or one in _NEAR.get(other, "").split()


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


_LETTERS = weakening.letters_of([*(title for titles in captions.TITLES.values() for title in titles), digits])
