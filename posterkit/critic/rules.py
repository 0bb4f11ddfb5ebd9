"""The critic by rules: OCR, and measures of composition, contrast and palette; the offline default."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from posterkit.critic.critic import Suggestions
from posterkit.llm.answer_cache import pixel_hash
from posterkit.metrics.appearance import MARGIN, Appearance, TextAppearance
from posterkit.metrics.color import nearest_color_name
from posterkit.metrics.ocr import TextAccuracy
from posterkit.metrics.poster_reader import open_poster_reader
from posterkit.metrics.prompt_requirements import requirements
from posterkit.metrics.text_regions import DetectedText, has_credit_block, has_watermark
from posterkit.prompts import in_quotes, quoted_texts
from posterkit.rewards.parts.text_reward import accuracy
from posterkit.typeset.contrast import MINIMUM

_LONGEST = 1000  # characters of a text that are quoted


class RulesCritic:
    """Speaks from measures and OCR alone; the same poster always gets the same words, on every machine.

    It reads texts, colours and composition, and cannot tell what a picture shows. Several threads may share one.

    Args:
        read_text: without OCR it is much faster, and finds no texts and no blemishes.
        cache: a folder that keeps the texts read.
    """

    def __init__(self, read_text: bool = True, cache: str | Path | None = None) -> None:
        self.read_text = read_text
        self.reader = open_poster_reader(cache=None if cache is None else str(cache))
        self._last = threading.local()

    @property
    def name(self) -> str:
        return "rules" if self.read_text else "rules-blind"

    def texts(self, poster: Image.Image) -> tuple[DetectedText, ...]:
        """The texts by OCR, top to bottom; see `find_texts`."""
        return self.reader.texts(poster) if self.read_text else ()

    def blemishes(self, poster: Image.Image) -> tuple[str, ...]:
        """ "credit block" and "watermark", see `posterkit.metrics.text_regions`, as far as OCR can read them."""
        lines = self.reader.lines(poster) if self.read_text else []
        found = {"credit block": has_credit_block, "watermark": has_watermark}
        return tuple(name for name, has in found.items() if has(lines, poster.size))

    def caption(self, poster: Image.Image) -> str:
        """Style, colours and composition in English, and each text in quotes as `posterkit.prompts` reads them."""
        appearance = self._appearance(poster)
        medium = "flat" if appearance.flat > 0.55 else "detailed" if appearance.flat < 0.3 else ""
        light = "dark" if appearance.lightness < 35 else "bright" if appearance.lightness > 70 else ""
        chroma = "muted" if appearance.chroma < 10 else "vivid" if appearance.chroma > 32 else ""
        tones = "high-contrast" if appearance.tones > 0.85 else "low-contrast" if appearance.tones < 0.4 else ""
        words = ", ".join(word for word in (medium, light, chroma, tones) if word)
        colors = appearance.palette.colors[appearance.palette.weights > 0.05]
        names = dict.fromkeys(nearest_color_name(color) for color in colors)
        others = [name for name in names if name != appearance.background][:3]
        caption = f"A {words} poster" if words else "A poster"
        article = "an" if appearance.background[0] in "aeiou" else "a"
        caption += f" on {article} {appearance.background} background"
        listed = " and ".join(filter(None, (", ".join(others[:-1]), *others[-1:])))
        caption += f" with {listed}." if others else "."
        if appearance.balance:
            caption += f" The main subject is {place(*appearance.subject)}."
        if self.read_text and not appearance.texts:
            caption += " There is no text."
        return caption + "".join(f" {_clause(text, poster.size)}." for text in appearance.texts)

    def suggest(self, poster: Image.Image, prompt: str, better: Image.Image | None = None) -> Suggestions:
        """The most important things to change, up to three of content and three of style, else what to keep."""
        appearance = self._appearance(poster)
        goal = self._appearance(better).parts() if better else {}
        return as_suggestions(
            appearance, *remedies(appearance, prompt, self.texts(poster) if self.read_text else None, goal)
        )

    def _appearance(self, poster: Image.Image) -> Appearance:
        """Its measures; kept where a thread asks several questions about one poster in a row."""
        picture = poster.convert("RGB")
        key = pixel_hash(picture)  # and not the object, which may be drawn on between two questions
        last = getattr(self._last, "found", None)
        if last is None or last[0] != key:
            last = self._last.found = key, Appearance(picture, self.texts(picture))
        return last[1]


def remedies(
    appearance: Appearance, prompt: str, texts: Sequence[DetectedText] | None, goal: Mapping[str, float] | None = None
) -> tuple[list[str], list[str]]:
    """What to change in a poster, the most important first: of its content, and of its style.

    Args:
        texts: on the poster; None where OCR is off, and then nothing is said of texts.
        goal: measures of appearance that a better poster has; those that fall behind count as weak.
    """
    content: list[str] = []
    if texts is not None:
        content += _text_remedies(accuracy(quoted_texts(prompt), [text.text for text in texts]))
    found = sorted(requirements(prompt, appearance, texts), key=lambda requirement: requirement.met)
    content += [
        requirement.remedy for requirement in found
        if requirement.met < 0.7 and not (content and requirement.remedy.startswith("write "))
    ]  # fmt: skip
    behind = {
        name: max(_REMEDIES[name][0] - value, (goal or {}).get(name, 0) - 0.1 - value)
        for name, value in appearance.parts().items()
    }
    weak = sorted((name for name in behind if behind[name] > 0), key=lambda name: -behind[name])  # the weakest first
    return content, _text_style(appearance) + [_REMEDIES[name][1] for name in weak]


def as_suggestions(appearance: Appearance, content: Sequence[str], style: Sequence[str]) -> Suggestions:
    """Up to three remedies of each kind as sentences, else what to keep."""
    kept = f"keep the {appearance.background} background and the arrangement, and refine the edges and the spacing"
    if content:  # it may be these that are to change
        kept = "keep the style"
    return Suggestions(_sentences(content[:3] or ["keep what it shows and says"]), _sentences(style[:3] or [kept]))


def place(x: float, y: float) -> str:
    """One of nine places in words; 0 to 1 from the left and from the top."""
    row, column = ("top", "", "bottom")[min(2, int(3 * y))], ("left", "", "right")[min(2, int(3 * x))]
    if row and column:
        return f"at the {row} {column}"
    return f"at the {row}" if row else f"on the {column}" if column else "in the middle"


def _clause(text: TextAppearance, size: tuple[int, int]) -> str:
    x0, y0, x1, y1 = text.box
    where = place((x0 + x1) / 2 / size[0], (y0 + y1) / 2 / size[1])
    kind, letters = ("The title", "large") if text.role == "major" else ("The text", "small")
    return f"{kind} {_quoted(text.text)} in {letters} {text.color} letters {where}"


def _quoted(text: str) -> str:
    return in_quotes(text[:_LONGEST].strip())


def _some(words: list[str], most: int = 6) -> str:
    more = f" and {len(words) - most} more" if len(words) > most else ""
    return _quoted(" ".join(words[:most])) + more


def _sentences(orders: Sequence[str]) -> str:
    return " ".join(f"{order[0].upper()}{order[1:]}." for order in orders)


def _text_remedies(found: TextAccuracy) -> list[str]:
    orders = [f"spell {_quoted(want)} rightly instead of {_quoted(have)}" for want, have in found.misspelt.items()][:2]
    if found.missing:
        orders.append(f"add the missing words {_some(found.missing)}")
    if found.extra:
        orders.append(f"remove the words {_some(found.extra)}, which nobody asked for")
    return orders


def _text_style(appearance: Appearance) -> list[str]:
    orders = []
    for text in sorted(appearance.texts, key=lambda text: text.contrast):
        name = _quoted(text.text)
        if text.contrast < MINIMUM:
            orders.append(f"raise the contrast of {name} against the ground behind it")
        elif text.busy > 0.5:
            orders.append(f"calm the busy area behind {name}")
        if text.margin < MARGIN:
            orders.append(f"move {name} away from the edge")
    return orders[:2]


# measure of appearance -> the value below which it is weak, and what to do then
_REMEDIES = {
    "sharpness": (0.4, "draw edges crisply, since the picture is blurred"),
    "order": (0.35, "reduce the clutter to fewer and larger shapes with empty space around them"),
    "tones": (0.5, "use a wider range from dark to light"),
    "balance": (0.6, "bring the main subject nearer to the middle and leave the margins quiet"),
    "color": (0.55, "take stronger colours, and only two or three hues that go together"),
    "soundness": (0.85, "draw clean pixels, without blocks, grain, seams, smears and burnt-out colours"),
    "picture": (0.5, "give the picture beside the words more room"),
    "legibility": (0.5, "set the texts in a colour that stands out more clearly"),
}
