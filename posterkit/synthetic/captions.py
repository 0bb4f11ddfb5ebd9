"""Titles, captions and instructions from a closed vocabulary."""

from __future__ import annotations

import re
from random import Random
from typing import Any

from posterkit.prompts import COLORS
from posterkit.synthetic.food import Food
from posterkit.synthetic.layouts import LAYOUTS, PLACES
from posterkit.synthetic.mascots import Mascot
from posterkit.synthetic.plans import pick, read_table
from posterkit.synthetic.products import Product
from posterkit.tasks import TASKS

Slots = dict[str, Any]  # of a plan

TITLES = {theme: tuple(titles.split(", ")) for theme, titles in read_table("titles")}
SUBTITLES = TITLES.pop("subtitles")
_THEMES = tuple(TITLES)
MOODS = ("calm", "bold", "playful", "dreamy", "dark", "bright", "warm", "cool", "elegant", "fresh")
_MENTIONED = {"clouds": 1, "snow": 1, "trees": 0.7, "windows": 0.6, "core": 1, "belly": 0.4}  # how often, where drawn
_ORBS = ("sun", "moon", "crescent moon", "striped sun")
_LISTS = ("{0}", "{0} and {1}", "{0}, {1} and {2}")
PHRASES, BACKDROP_PHRASES = (
    {key: tuple(phrase.replace("+", " ") for phrase in phrases.split(" | ")) for key, phrases in read_table(name)}
    for name in ("phrases", "backdrops")
)
_STYLES, PANEL_PHRASES, FOOD_NAMES = (
    dict(pair.split(" = ") for pair in pairs.split(", ")) for _, pairs in read_table("names")
)
STYLE_WORDS = {style: words.split() for style, words in _STYLES.items()}
_SENTENCES = {use: forms.split(" | ") for use, forms in read_table("sentences")}
WITH_SMALL = (" and a small line", " with a small line")
NO_TEXT = ("no text", "no text, empty space {where}")


def title_words() -> list[str]:
    """Every word that a title can contain, in both spellings, sorted."""
    words = {word for titles in TITLES.values() for title in titles for word in title.split()}
    return sorted(words | {word.capitalize() for word in words})


def caption_vocabulary() -> list[str]:
    """Every word that captions and instructions can contain outside quotes, in lower case, sorted."""
    tables = (PHRASES, BACKDROP_PHRASES, STYLE_WORDS, _SENTENCES)
    phrases = [phrase for table in tables for entry in table.values() for phrase in entry]
    frames = [text for task in TASKS.values() for text in (task.frame, task.default)]
    texts = [*phrases, *PANEL_PHRASES.values(), *FOOD_NAMES.values(), *WITH_SMALL, *NO_TEXT, *MOODS, *_ORBS, *COLORS,
             *PLACES, *_LISTS, *frames, *Mascot.kinds, *Mascot.extras, *Product.kinds, *Food.kinds,
             *(layout.where for layout in LAYOUTS),
             "sailboat lighthouse whale planet ringed rocket a an one two title"]  # fmt: skip
    return sorted({word for text in texts for word in words_of(re.sub(r"\{\w*\}", " ", text))})


def words_of(text: str) -> list[str]:
    """The words of a text outside double quotes, in lower case."""
    return re.findall(r"[a-z]+", re.sub(r'"[^"]*"', " ", text).lower())


def draw_title(rng: Random, theme: str) -> str:
    """A title that suits a theme, in capitals or capitalised."""
    titles = TITLES[theme] if rng.random() < 0.75 else TITLES[pick(rng, _THEMES)]
    title = pick(rng, titles)
    return title if rng.random() < 0.7 else " ".join(word.capitalize() for word in title.split())


def _fill(rng: Random, key: str, slots: Slots, colors: bool) -> str:
    phrase = re.sub(r"\[(.*?)\]", r"\1" if colors else "", pick(rng, PHRASES[key]))
    values = {}
    for name, value in slots.items():
        if isinstance(value, tuple):
            color, noun = value
            values[name] = ("" if noun == "glasses" else "a ") + (f"{color} {noun}" if colors else noun)
        elif isinstance(value, list):
            values[name] = _LISTS[len(value) - 1].format(*value)
        elif name in ("kind", "n"):
            values[name] = value
        else:
            values[name] = value if colors else ""
    return phrase.format(**values)


def content(rng: Random, theme: str, slots: Slots, backdrop: Slots | None = None, colors: bool = True) -> str:
    """What a poster shows, in words; without colour names where they have to come from a reference."""
    if theme == "food":
        slots = slots | {"kind": FOOD_NAMES[slots["kind"]]}
        main = "drawn food"
    else:
        main = slots["kind"] if theme in ("geometric", "aurora", "music", "botanical") else theme
    words = _fill(rng, main, slots, colors)
    for key, share in _MENTIONED.items():
        if slots.get(key) and (share == 1 or rng.random() < share):
            words += _fill(rng, key, slots, colors)
    if slots.get("moons"):
        many = slots["moons"] > 1
        color = slots["moon_color"] if colors else ""
        words += PHRASES["moons"][many].format(n="two" if many else "a", moon_color=color)
    if slots.get("extra") and (theme == "mascot" or slots["kind"] == "record"):
        words += _fill(rng, "extra" if theme == "mascot" else "cover", slots, colors)
    return _tidy(words + (backdrop_words(rng, backdrop, colors) if backdrop else ""))


def backdrop_words(rng: Random, backdrop: Slots, colors: bool = True) -> str:
    """What stands behind a subject, in words, with a leading space; empty for a plain background."""
    phrases = BACKDROP_PHRASES[backdrop["kind"]]
    return pick(rng, phrases).format(color=backdrop["color"] if colors else "")


def title_clause(rng: Random, title: str | None, subtitle: bool, where: str, place: bool = True) -> str:
    """The words for a poster's text, or for its absence."""
    if title is None:
        return NO_TEXT[int(rng.random() * 2) if place else 0].format(where=where)
    words = f'title "{title}"' + (f" {where}" if place else "")
    return words + (WITH_SMALL[int(rng.random() * 2)] if subtitle else "")


def compose(rng: Random, use: str, **words: str) -> str:
    """A sentence for a use: "poster", "brief", "colorless" (names no colour), "short" or "subject"."""
    form = pick(rng, _SENTENCES[use])
    values = words | {key.capitalize(): value[:1].upper() + value[1:] for key, value in words.items()}
    return _tidy(form.format(**values))


def _tidy(text: str) -> str:
    text = re.sub(r" {2,}", " ", text)
    text = re.sub(r" (?=[,.])", "", text)
    return re.sub(r"\b([aA])(?= [aeiouAEIOU])(?! one)", r"\1n", text)
