"""Poster prompts from an entity library and a style library, in English and Chinese (PosterOmni section 4)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from random import Random

from posterkit.datasets.sample_files import Row
from posterkit.documents import table_lines
from posterkit.llm.client import LanguageModel
from posterkit.llm.open_model import open_language_model, opened_once
from posterkit.prompts import PosterBrief, quotes
from posterkit.prompts.expansion import asking

WORDS = Path(__file__).parent / "words"
LANGUAGES = ("en", "zh")
# as it stands in a prompt, by language
THEMES: dict[str, tuple[str, str]] = {
    "products": ("products", "产品"), "food": ("food", "美食"), "events_travel": ("events and travel", "活动与旅行"),
    "nature": ("nature", "自然"), "education": ("education", "教育"), "entertainment": ("entertainment", "文娱"),
}  # fmt: skip


@dataclass(frozen=True)
class PosterPrompt:
    """A structured poster prompt; every part is in the prompt's language."""

    id: str  # unique within a set
    prompt: str  # in prose, `texts` in quotes
    texts: tuple[str, str]  # title and subtitle
    theme: str
    language: str
    entity: str
    style: str
    colors: str
    composition: str
    light: str
    split: str
    by: str = "rules"  # author of the prose: "rules" or a model's name
    why_not: str | None = None  # why a model's prose was not taken


@lru_cache
def word_list(name: str) -> dict[str, tuple[tuple[str, str], ...]]:
    """A shipped bilingual list by section ("" where it has none): pairs of English and Chinese."""
    found: dict[str, list[tuple[str, str]]] = {}
    section = ""
    for line in table_lines(WORDS / f"{name}.txt"):
        if line.startswith("["):
            section = line.strip("[]")
        else:
            english, chinese = line.split(" | ")
            found.setdefault(section, []).append((english, chinese))
    return {section: tuple(pairs) for section, pairs in found.items()}


@dataclass(frozen=True)
class PosterPrompts:
    """Prompts by number; prompt i follows from the arguments and i, and no two are equal.

    Languages take turns, then themes; within a theme each pair of entity and style comes once before any comes again.
    About one in `heldout` pairs of entity and style is held out, none for 0. ValueError for an unknown language or
    theme.
    """

    seed: int
    languages: tuple[str, ...] = LANGUAGES
    themes: tuple[str, ...] = tuple(THEMES)
    heldout: int = 20

    def __post_init__(self) -> None:
        for given, known, what in ((self.languages, LANGUAGES, "language"), (self.themes, tuple(THEMES), "theme")):
            for one in given:
                if one not in known:
                    raise ValueError(f"unknown {what} {one!r}; there are {', '.join(known)}")

    @property
    def most(self) -> int:
        """How many different prompts there are at least."""
        fewest = min(len(_pairs(self.seed, theme)) for theme in self.themes)
        return fewest * len(word_list("looks")["composition"]) * len(self.themes) * len(self.languages)

    def __getitem__(self, number: int) -> PosterPrompt:
        place, language = divmod(number, len(self.languages))
        place, theme = divmod(place, len(self.themes))
        language, theme = self.languages[language], self.themes[theme]
        pairs = _pairs(self.seed, theme)
        entity, style = pairs[place % len(pairs)]
        rng = Random(f"{self.seed} prompt {number}")
        looks, column = word_list("looks"), LANGUAGES.index(language)
        # a pair that comes again has another composition, so that no prompt comes twice
        first = Random(f"{self.seed} {theme} {entity} {style}").randrange(len(looks["composition"]))
        composition = looks["composition"][(first + place // len(pairs)) % len(looks["composition"])][column]
        digest = hashlib.sha256(f"{self.seed} {theme} {entity} {style}".encode()).digest()
        heldout = self.heldout and int.from_bytes(digest[:4]) % self.heldout == 0
        parts = {
            "entity": word_list("entities")[theme][entity][column], "style": word_list("styles")[""][style][column],
            "colors": rng.choice(looks["colors"])[column], "light": rng.choice(looks["light"])[column],
            "composition": composition,
        }  # fmt: skip
        texts = draw_texts(rng, theme, language)
        prompt = _prose(rng, language, THEMES[theme][column], texts, parts)
        parts["entity"] = parts["entity"].removeprefix("~ ")
        return PosterPrompt(
            f"prompt-{number:08d}", prompt, texts, theme, language, split="heldout" if heldout else "train", **parts
        )


@lru_cache
def _pairs(seed: int, theme: str) -> tuple[tuple[int, int], ...]:
    """Every entity of a theme with every style, by number, in an order of the seed's."""
    entities, styles = len(word_list("entities")[theme]), len(word_list("styles")[""])
    pairs = [(entity, style) for entity in range(entities) for style in range(styles)]
    Random(f"{seed} pairs {theme}").shuffle(pairs)
    return tuple(pairs)


def draw_texts(rng: Random, theme: str, language: str) -> tuple[str, str]:
    """A title and a subtitle of a theme."""
    column, titles = LANGUAGES.index(language), word_list("titles")
    return rng.choice(titles[f"{theme} titles"])[column], rng.choice(titles[f"{theme} subtitles"])[column]


def text_like(text: str, major: bool, rng: Random) -> str:
    """Another text about as long as this one and in its language: a title where `major`, else a subtitle."""
    column = LANGUAGES.index(language_of(text))
    kind = "titles" if major else "subtitles"
    pool = [pair[column] for theme in THEMES for pair in word_list("titles")[f"{theme} {kind}"]]
    drawn = [other for other in rng.sample(pool, 24) if other.casefold() != text.casefold()]
    found = min(drawn, key=lambda other: abs(len(other) - len(text)))
    return found.upper() if text.isupper() else found


def language_of(text: str) -> str:
    """ "zh" where most letters are Chinese, else "en"."""
    letters = [letter for letter in text if letter.isalpha()]
    return "zh" if 2 * sum("\u4e00" <= letter <= "\u9fff" for letter in letters) > len(letters) else "en"


def without_text_sentences(prompt: str) -> str:
    """The prompt without the sentences that quote a text, for a model that leaves the texts to typeset."""
    inside = {at for quote in quotes(prompt) for at in range(quote.start, quote.end)}
    kept, start = "", 0
    for at, letter in enumerate(prompt):
        last = at + 1 == len(prompt)
        if last or (
            at not in inside and letter in ".!?。！？\n" and (letter in "。！？\n" or prompt[at + 1].isspace())
        ):
            if not inside.intersection(range(start, at + 1)):
                kept += prompt[start : at + 1]
            start = at + 1
    return kept.strip()


def _prose(rng: Random, language: str, theme: str, texts: tuple[str, str], parts: dict[str, str]) -> str:
    column, frames = LANGUAGES.index(language), word_list("sentences")
    said = rng.choice(frames["texts"])[column].format(title=texts[0], subtitle=texts[1])
    words = dict(parts)
    if language == "en":
        words["entity"] = with_article(parts["entity"])
        words |= {"a style": with_article(parts["style"]), "Entity": _capital(words["entity"])}
        words["A style"] = _capital(words["a style"])
    return rng.choice(frames["sentences"])[column].format(theme=theme, texts=said, **words)


def with_article(noun: str) -> str:
    """An English noun with its indefinite article; one after `~ ` takes none."""
    if noun.startswith("~ "):
        return noun.removeprefix("~ ")
    sounded = noun[0].lower() in "aeiou" and not noun.lower().startswith(("uk", "uni", "eu"))
    return f"{'an' if sounded else 'a'} {noun}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


open_writer = opened_once()(open_language_model)


def rewrite_prose(draft: PosterPrompt, open_model: Callable[[], LanguageModel]) -> PosterPrompt:
    """The prompt in a language model's words; where these change the quoted texts, as it was, with the reason.

    Raises:
        AnswerError: there is no answer.
    """
    chat, brief = open_model(), PosterBrief.from_prompt(draft.prompt)
    answer = asking(chat)(brief)
    try:
        prompt = PosterBrief.from_answer(answer, brief).prompt
    except ValueError as fault:
        return replace(draft, why_not=f"{chat.name}: {fault}")
    return replace(draft, prompt=prompt, by=chat.name)


def encode_prompt(prompt: PosterPrompt) -> tuple[Row, dict[str, bytes]]:
    """A prompt as its row; it has no files."""
    row = {key: value for key, value in vars(prompt).items() if value is not None}
    return row | {"texts": list(prompt.texts)}, {}


def check_count(prompts: PosterPrompts, count: int) -> None:
    """Raise a ValueError where so many different prompts cannot be had."""
    if count > prompts.most:
        raise ValueError(f"--count {count}: there are {prompts.most} different prompts of these languages and themes")
