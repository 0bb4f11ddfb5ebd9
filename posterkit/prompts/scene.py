"""A prompt in ordinary words becomes a scene that mini can draw, and a caption in mini's language.

    scene = read_scene("Ein Leuchtturm bei Nacht, tiefblauer Hintergrund")
    scene.caption()     # "lighthouse navy background"
    scene.notes         # ("mini draws no violins; it drew bars instead",) where a subject was replaced

Understands English, German, French, Spanish, Russian, Chinese and Japanese: subjects by synonyms and nearest kin
(`words/subjects.txt`), colours with their modifiers and hex values, places, styles, moods and what a scene implies
("at night" is navy). Rules only: the same prompt always gives the same scene. Models that read ordinary prompts get
the prompt as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Literal, NamedTuple

from posterkit.documents import table_lines
from posterkit.prompts.vocabulary import COLOR_WORDS, COLORS, MOODS, STYLES, Vocabulary, read_table

Detail = tuple[str | None, str]
_TABLES = dict(line.split(": ") for line in table_lines(Path(__file__).with_suffix(".txt")))
_STYLE_OF, _MOOD_OF, _ABSTRACT, _DARKER, _LIGHTER, _NAMES = (
    dict(pair.split(" = ") for pair in _TABLES[name].split(", "))
    for name in ("style", "mood", "abstract", "darker", "lighter", "named")
)
_BACKGROUND = re.compile(
    r"\b(?:back(?:ground|drop)|sky|hintergrund\w*|grund|himmel\w*|fond|ciel|arrière-plan|fondo|cielo|фон\w*|неб\w+)\b"
    r"|背景|天空|底色|夜空|空の|空|地色",
    re.IGNORECASE,
)
_ON = re.compile(
    r"(?:\b(?:on|against|auf|vor|sur|sobre|на)|в цвете)\s+(?:(?:a|an|the|fond|fondo)\s+)?$", re.IGNORECASE
)
_BREAK = re.compile(r"[,;.:，。；、\n]")
_DARK = re.compile(
    r"dark|deep|midnight|dunkel|tief|mitternacht|foncé|sombre|profond|oscur|profundo|medianoche|т[её]мн|глубок"
    r"|полуноч|深|暗|午夜|濃|ダーク", re.IGNORECASE,
)  # fmt: skip
_LIGHT = re.compile(
    r"light|pale|pastel|hell|pastell|zart|clair|pâle|clar|pálid|светл|бледн|нежн|浅|淡|薄|ライト|パステル",
    re.IGNORECASE,
)
_AFTER = re.compile(
    r"\s*(foncé\w*|sombre|profond\w*|clair\w*|pâle|oscur\w*|profund\w*|medianoche|clar[oa]s?|pálid\w*|pastel)\b",
    re.IGNORECASE,
)
_HEX = re.compile(r"#([0-9a-f]{6}|[0-9a-f]{3})\b", re.IGNORECASE)
_POSTER = re.compile("海[报報]")  # it means a poster, and begins with the character of the sea
_CJK = re.compile(r"[\u2e80-\u9fff\u3040-\u30ff]")
_ADJECTIVES_FOLLOW = re.compile(
    r"\b(?:le|la|les|un|une|des|sur|fond|el|los|las|una|sobre|fondo|con|avec)\b", re.IGNORECASE
)


@dataclass(frozen=True)
class Scene:
    """What a picture shall show; None and () leave it to the draw.

    Attributes:
        subject: one of those in `words/subjects.txt`.
        color: colour name of the subject, a key of `COLORS`.
        details: (colour name or None, noun) of what belongs to the subject or the scene.
        place: "center", "left", "right", "top" or "bottom".
        background: colour name of the border.
        style: "flat", "gradient", "outlined" or "halftone".
        mood: "calm", "bold", "playful", "dreamy", "dark", "bright", "warm", "cool", "elegant" or "fresh".
        notes: what the prompt asks and mini cannot draw, a sentence each.
    """

    subject: str
    color: str | None = None
    details: tuple[Detail, ...] = ()
    place: str | None = None
    background: str | None = None
    style: str | None = None
    mood: str | None = None
    notes: tuple[str, ...] = field(default=(), compare=False)

    def caption(self) -> str:
        """The scene in mini's language: at most 24 words, each one token, without punctuation."""
        said = [self.color, self.subject, *(word for detail in self.details for word in detail), self.place]
        said += [f"{self.background} background" if self.background else None, self.style, self.mood]
        return " ".join(word for word in said if word)


class Span(NamedTuple):
    """A word of the prompt that means something here."""

    start: int
    end: int
    kind: Literal["subject", "kin", "detail", "color", "background"]
    name: str


@cache
def table(name: str) -> tuple[Vocabulary, frozenset[str]]:
    """A table in `words/`, and those of its words that stand for nearest kin."""
    lines, kin = [], set()
    for line in read_table(name):
        if line.startswith("~"):
            kin |= {word.lower() for word in line.split(":")[1].split()}
        lines.append(line.lstrip("~ "))
    return Vocabulary(lines), frozenset(kin)


def read_scene(prompt: str) -> Scene:
    """The scene that a prompt describes, as near as mini can draw it.

    Args:
        prompt: ordinary words in any of the seven languages; quoted texts should be taken out before.
    """
    prose = _POSTER.sub(" ", prompt).strip()
    if own := _own_caption().fullmatch(prose):  # a caption in mini's language already
        color, subject, details, place, background, style, mood = own.groups()
        return Scene(subject, color, tuple(_own_details(details)), place, background, style, mood)
    spans = _spans(prose)
    found = [span for span in spans if span.kind in ("subject", "kin")]
    exact = [span for span in found if span.kind == "subject"]
    styles, moods = STYLES.take(prose)[0], MOODS.take(COLOR_WORDS.take(prose)[1])[0]
    mood = next((_MOOD_OF.get(name, name) for name in moods if _MOOD_OF.get(name, name) in _ABSTRACT), None)
    notes: list[str] = []
    if exact:
        main = next((span for span in exact if span.name not in _ORBS), exact[0])
        if main.name == "bottle":  # of perfume
            main = next((span for span in exact if span.name == "perfume"), main)
        subject = "ringed planet" if main.name == "planet" and _RINGS.search(prose) else main.name
    elif found:
        main = found[0]
        subject = main.name
        notes.append(f'mini draws no "{prose[main.start : main.end].lower()}"; it drew {_named(subject)} instead')
    else:
        main, subject = None, _ABSTRACT.get(mood or "bold", "shapes")
        what = " ".join(re.sub(r"[^\w\s'-]", " ", prose).split()[:6])
        notes.append(f'mini draws nothing like "{what}"; it drew an abstract scene of {_named(subject)} instead')
    background, colors = _assign_colors(prose, spans)
    if background is None:
        background = next(iter(table("backgrounds")[0].take(prose)[0]), None)
    color = next((colors[span] for span in found if main and span.name == main.name and span in colors), None)
    if color == background and color is not None:
        color = None
    details = tuple(
        (colors.get(span), span.name) for span in spans if span.kind == "detail" and fits(subject, span.name)
    )
    place = next(iter(table("places")[0].take(prose)[0]), None)
    style = next((_STYLE_OF[name] for name in styles if name in _STYLE_OF), None)
    details = tuple({noun: (tone, noun) for tone, noun in details}.values())
    return Scene(subject, color, details, place, background, style, mood, tuple(notes))


@cache
def _own_caption() -> re.Pattern[str]:
    """Matches what `Scene.caption` writes."""
    subjects, nouns, places = (set(table(name)[0].names.values()) for name in ("subjects", "details", "places"))
    color, noun = "|".join(COLORS), "|".join(sorted({*nouns, *_OWN_NOUNS}, key=len, reverse=True))
    subject = "|".join(sorted(subjects, key=len, reverse=True))
    return re.compile(
        rf"(?:({color}) )?({subject})((?: (?:{color}|{noun}))*?)(?: ({'|'.join(places)}))?(?: ({color}) background)?"
        rf"(?: ({'|'.join(sorted(set(_STYLE_OF.values())))}))?(?: ({'|'.join(_ABSTRACT)}))?"
    )


def _own_details(words: str) -> Iterator[Detail]:
    """The details of a caption: colours, nouns, and nouns behind their colours."""
    color = None
    for word in re.findall("crescent moon|striped sun|\\w+", words):
        if word in COLORS:
            if color:
                yield color, ""
            color = word
        else:
            yield color, word
            color = None
    if color:
        yield color, ""


def _named(subject: str) -> str:
    """A subject as people would name it."""
    if subject in _NAMES or subject.endswith("s"):
        return _NAMES.get(subject, subject)
    return f"{'an' if subject[0] in 'aeio' else 'a'} {subject}"


_ORBS = ("sun", "striped sun", "moon", "crescent moon")
# details of captions that no word of a prompt names
_OWN_NOUNS = (*_ORBS, "window", "frame", "porthole", "border", "disc", "label", "sleeve", "leaves", "vase", "belly",
              "moons", "arch")  # fmt: skip
_RINGS = re.compile(r"\b(?:rings?|ring(?:en)?|anneaux|anillos|кольц\w+)\b|光环|光環|环|環", re.IGNORECASE)
_SCENERY = (*_ORBS, "mountains", "city", "sailboat", "lighthouse", "whale")
_ANIMALS = ("cat", "bear", "rabbit", "owl", "robot", "frog", "fox", "penguin")
_BESIDE: dict[str, tuple[str, ...]] = {
    "clouds": _ORBS, "hills": _ORBS, "snow": ("mountains",), "trees": ("mountains",), "windows": ("city",),
    "waves": ("sailboat", "lighthouse", "whale"), "stars": ("planet", "ringed planet", "rocket"),
    "scarf": _ANIMALS, "bow": _ANIMALS, "hat": _ANIMALS, "glasses": _ANIMALS,
}  # fmt: skip


def fits(subject: str, detail: str) -> bool:
    """Whether mini draws a detail beside a subject."""
    # confetti, rays, plinth and floor go with what stands alone
    return subject in _BESIDE[detail] if detail in _BESIDE else subject not in _SCENERY


def _spans(prose: str) -> list[Span]:
    """Everything in a prompt that means something here, in order; of words within words the longest."""
    (words, kin), (details, _) = table("subjects"), table("details")
    found = [Span(*at, "kin" if word in kin else "subject", words.names[word]) for at, word in words.find(prose)]
    found += [Span(*at, "detail", details.names[word]) for at, word in details.find(prose)]
    found += [Span(*match.span(), "background", "") for match in _BACKGROUND.finditer(prose)]
    found += list(_colors(prose))
    kept: list[Span] = []
    for span in sorted(found, key=lambda one: (one.start - one.end, one.kind != "color", one.start)):
        if all(span.end <= other.start or span.start >= other.end for other in kept):
            kept.append(span)
    kept.sort()
    # "roses" and "rosas" are flowers, but pink behind another noun
    for n, span in enumerate(kept):
        behind = n and kept[n - 1].kind in ("subject", "kin", "background")
        if behind and prose[span.start : span.end].lower() in ("rose", "roses", "rosas"):
            kept[n] = span._replace(kind="color", name="pink")
    return kept


def _colors(prose: str) -> Iterator[Span]:
    """Colour words with their modifiers, and hex values; of "chocolate brown" the last word counts."""
    pending: Span | None = None
    for (start, end), word in COLOR_WORDS.find(prose):
        name = COLOR_WORDS.names[word]
        after = _AFTER.match(prose, end)
        end = after.end() if after else end
        if _DARK.search(prose, start, end) and not _DARK.search(word):
            name = _DARKER.get(name, name)
        elif _LIGHT.search(prose, start, end) and not _LIGHT.search(word):
            name = _LIGHTER.get(name, name)
        if pending and pending.end < start and not prose[pending.end : start].strip(" -"):
            pending = Span(pending.start, end, "color", name)
            continue
        if pending:
            yield pending
        pending = Span(start, end, "color", name)
    if pending:
        yield pending
    for match in _HEX.finditer(prose):
        digits = match.group(1) if len(match.group(1)) == 6 else "".join(2 * digit for digit in match.group(1))
        yield Span(*match.span(), "color", nearest_color(*bytes.fromhex(digits)))


def nearest_color(red: int, green: int, blue: int) -> str:
    """The name nearest to an sRGB colour, by the "redmean" distance of 0 to 255 values."""

    def far(name: str) -> float:
        r, g, b = COLORS[name]
        mean = (r + red) / 2
        return (2 + mean / 256) * (r - red) ** 2 + 4 * (g - green) ** 2 + (2 + (255 - mean) / 256) * (b - blue) ** 2

    return min(COLORS, key=far)


def _assign_colors(prose: str, spans: list[Span]) -> tuple[str | None, dict[Span, str]]:
    """The background's colour, and the colours of subjects and details.

    A colour belongs to the noun beside it in its clause: the one behind it, in French and Spanish the one before it.
    One that follows "on" with no noun behind, or stands alone in its clause, is the background's.
    """
    background: str | None = None
    owned: dict[Span, str] = {}
    cuts = [0, *(match.end() for match in _BREAK.finditer(prose)), len(prose) + 1]
    follow = bool(_ADJECTIVES_FOLLOW.search(prose)) and not _CJK.search(prose)
    for first, last in pairwise(cuts):
        clause = [span for span in spans if first <= span.start < last]
        nouns = [span for span in clause if span.kind != "color"]
        for span in (one for one in clause if one.kind == "color"):
            before = [noun for noun in nouns if noun.end <= span.start]
            behind = [noun for noun in nouns if noun.start >= span.end]
            if _ON.search(prose, 0, span.start) and not (behind and _near(prose, span, behind[0])):
                background = background or span.name
                continue
            order = (before[-1:], behind[:1]) if follow else (behind[:1], before[-1:])
            noun = next((one[0] for one in order if one), None)
            if noun and noun.kind == "kin" and any(span.kind == "subject" for span in spans):
                background = background or span.name  # a sea or a forest around the subject
                continue
            if noun is None or noun.kind == "background":
                background = span.name if noun is not None else background or span.name
            else:
                owned.setdefault(noun, span.name)
    return background, owned


def _near(prose: str, color: Span, noun: Span) -> bool:
    """Whether a noun follows a colour with at most two words between."""
    between = prose[color.end : noun.start]
    return len(between.split()) <= 2 and not _BREAK.search(between)
