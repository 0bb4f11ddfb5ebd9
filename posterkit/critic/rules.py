"""The judge that asks nobody: OCR, layout, contrast and palette measures; the offline default."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
from PIL import Image

from posterkit.critic.critic import Score, Suggestions
from posterkit.metrics.appearance import MARGIN, Looks, TextLook
from posterkit.metrics.color import nearest_color_name
from posterkit.metrics.demands import as_asked, demands
from posterkit.metrics.lettering import SeenText, find_texts, has_credit_block, has_watermark, sure_lines
from posterkit.metrics.text import CachedReader, Line, TextAccuracy, TextReader, text_accuracy
from posterkit.prompts import in_quotes, quoted_texts
from posterkit.typeset.contrast import MINIMUM

_KEPT = 8  # posters whose lines are remembered: one is asked about several times in a row
_LONGEST = 1000  # characters of a text that are quoted


class RulesCritic:
    """Judges by measures alone; the same poster always gets the same answer, on every machine.

    It reads texts, colours and arrangement, and cannot tell what a picture shows. Safe from several threads; one
    poster is read at a time.

    Args:
        read_text: without it nothing is read, which is far quicker: there are no texts and no blemishes, and scores
            leave text out (their `text` is 1).
        cache: a folder that keeps what was read; None reads anew each time.
    """

    def __init__(self, read_text: bool = True, cache: str | Path | None = None) -> None:
        self.read_text = read_text
        self._reader = CachedReader(TextReader(), cache) if cache else TextReader()
        self._lock, self._last = threading.Lock(), threading.local()
        self._read: OrderedDict[bytes, list[Line]] = OrderedDict()

    @property
    def name(self) -> str:
        return "rules" if self.read_text else "rules-blind"

    def texts(self, poster: Image.Image) -> tuple[SeenText, ...]:
        """What OCR reads, merged into texts, top to bottom; `find_texts` gives the roles."""
        return find_texts(self._lines(poster), poster.size)

    def looks(self, poster: Image.Image) -> Looks:
        """Its measures; worked out once where a thread asks several questions about one poster in a row."""
        picture = poster.convert("RGB")
        key = _digest(picture)  # and not the object, which may be drawn on between two questions
        last = getattr(self._last, "seen", None)
        if last is None or last[0] != key:
            last = self._last.seen = key, Looks(picture, self.texts(poster))
        return last[1]

    def blemishes(self, poster: Image.Image) -> tuple[str, ...]:
        """ "credit block" and "watermark", see `posterkit.metrics.lettering`; only what OCR can read is found."""
        lines = self._lines(poster)
        found = {"credit block": has_credit_block, "watermark": has_watermark}
        return tuple(name for name, has in found.items() if has(lines, poster.size))

    def caption(self, poster: Image.Image) -> str:
        """Style, colours and arrangement in English, and each text in quotes as `posterkit.prompts` reads them."""
        looks = self.looks(poster)
        medium = "flat" if looks.flat > 0.55 else "detailed" if looks.flat < 0.3 else ""
        light = "dark" if looks.lightness < 35 else "bright" if looks.lightness > 70 else ""
        chroma = "muted" if looks.chroma < 10 else "vivid" if looks.chroma > 32 else ""
        tones = "high-contrast" if looks.tones > 0.85 else "low-contrast" if looks.tones < 0.4 else ""
        words = ", ".join(word for word in (medium, light, chroma, tones) if word)
        names = [nearest_color_name(color) for color in looks.palette.colors[looks.palette.weights > 0.05]]
        others = [name for name in dict.fromkeys(names) if name != looks.background][:3]
        said = f"A {words} poster" if words else "A poster"
        said += f" on {_a(looks.background)} background"
        said += f" with {_listed(others)}." if others else "."
        if looks.balance:
            said += f" The main subject is {place(*looks.subject)}."
        if self.read_text and not looks.texts:
            said += " There is no text."
        return said + "".join(f" {_clause(look, poster.size)}." for look in looks.texts)

    def score(self, poster: Image.Image, prompt: str) -> Score:
        """What the poster measures for a prompt.

        Aesthetics is `Looks.aesthetics`. Text is the mean of the words' F-score and the similarity of
        `posterkit.metrics.text.text_accuracy`. Content is the mean of `posterkit.metrics.demands`, 1 where the prompt
        asks nothing that can be measured; objects are not seen.
        """
        looks = self.looks(poster)
        asked = demands(prompt, looks, self._seen(poster))
        content = float(np.mean([demand.met for demand in asked])) if asked else 1.0
        accuracy = self._accuracy(poster, prompt)
        text = (accuracy.f_score + accuracy.similarity) / 2 if accuracy else 1.0
        weakest = min(looks.parts().items(), key=lambda part: part[1])
        why = f"weakest in {weakest[0]} ({weakest[1]:.2f})"
        unmet = [demand.remedy for demand in asked if demand.met < 0.5]
        why += f"; to do: {'; '.join(unmet[:2])}" if unmet else ""
        return Score(looks.aesthetics, text, content, " ".join(why.split()))

    def suggest(self, poster: Image.Image, prompt: str, better: Image.Image | None = None) -> Suggestions:
        """The most pressing things to change, up to three of content and three of style, else what to keep."""
        looks = self.looks(poster)
        goal = self.looks(better).parts() if better else {}
        return put_together(looks, *remedies(looks, prompt, self._seen(poster), goal))

    def _lines(self, poster: Image.Image) -> list[Line]:
        if not self.read_text:
            return []
        picture = poster.convert("RGB")
        key = _digest(picture)
        with self._lock:  # the reader keeps state while it works
            if key not in self._read:
                self._read[key] = sure_lines(self._reader(picture))
                if len(self._read) > _KEPT:
                    self._read.popitem(last=False)
            return self._read[key]

    def _seen(self, poster: Image.Image) -> tuple[SeenText, ...] | None:
        return self.texts(poster) if self.read_text else None

    def _accuracy(self, poster: Image.Image, prompt: str) -> TextAccuracy | None:
        return accuracy_of(prompt, self._seen(poster))


def remedies(
    looks: Looks, prompt: str, texts: Sequence[SeenText] | None, goal: dict[str, float] | None = None
) -> tuple[list[str], list[str]]:
    """What to change in a poster, the most pressing first: of its content, and of its style.

    Args:
        looks: of the poster, with the texts on it.
        texts: what stands on it; None where nothing was read, and nothing is said of texts then.
        goal: parts of looks that can be had; what falls behind them counts as weak.
    """
    content = _text_remedies(accuracy_of(prompt, texts))
    content += [d.remedy for d in sorted(demands(prompt, looks, texts), key=lambda d: d.met)
                if d.met < 0.7 and not (content and d.remedy.startswith("write "))]  # fmt: skip
    return content, _text_style(looks) + _style(looks, goal or {})


def put_together(looks: Looks, content: Sequence[str], style: Sequence[str]) -> Suggestions:
    """Up to three remedies of each kind as sentences, else what to keep."""
    kept = f"keep the {looks.background} background and the arrangement, and refine the edges and the spacing"
    if content:  # it may be these that are to change
        kept = "keep the style"
    return Suggestions(_sentences(content[:3] or ["keep what it shows and says"]), _sentences(style[:3] or [kept]))


def accuracy_of(prompt: str, texts: Sequence[SeenText] | None) -> TextAccuracy | None:
    """How well the texts on a poster match what the prompt quotes; None where nothing was read."""
    if texts is None:
        return None
    asked = quoted_texts(prompt)
    return text_accuracy(asked, as_asked(asked, [text.text for text in texts]))


def _digest(picture: Image.Image) -> bytes:
    return sha256(repr(picture.size).encode() + picture.tobytes()).digest()


def place(x: float, y: float) -> str:
    """One of nine places in words; 0 to 1 from the left and from the top."""
    row, column = ("top", "", "bottom")[min(2, int(3 * y))], ("left", "", "right")[min(2, int(3 * x))]
    if row and column:
        return f"at the {row} {column}"
    return f"at the {row}" if row else f"on the {column}" if column else "in the middle"


def _clause(look: TextLook, size: tuple[int, int]) -> str:
    x0, y0, x1, y1 = look.box
    where = place((x0 + x1) / 2 / size[0], (y0 + y1) / 2 / size[1])
    kind = "The title" if look.role == "major" else "The text"
    letters = "large" if look.role == "major" else "small"
    return f"{kind} {_quoted(look.text)} in {letters} {look.color} letters {where}"


def _quoted(text: str) -> str:
    return in_quotes(text[:_LONGEST].strip())


def _some(words: list[str], most: int = 6) -> str:
    more = f" and {len(words) - most} more" if len(words) > most else ""
    return _quoted(" ".join(words[:most])) + more


def _a(word: str) -> str:
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _sentences(orders: Sequence[str]) -> str:
    return " ".join(f"{order[0].upper()}{order[1:]}." for order in orders)


def _text_remedies(found: TextAccuracy | None) -> list[str]:
    if found is None:
        return []
    orders = [f"spell {_quoted(want)} rightly instead of {_quoted(have)}" for want, have in found.misspelt.items()][:2]
    if found.missing:
        orders.append(f"add the missing words {_some(found.missing)}")
    if found.extra:
        orders.append(f"remove the words {_some(found.extra)}, which nobody asked for")
    return orders


def _text_style(looks: Looks) -> list[str]:
    orders = []
    for look in sorted(looks.texts, key=lambda look: look.contrast):
        name = _quoted(look.text)
        if look.contrast < MINIMUM:
            orders.append(f"raise the contrast of {name} against the ground behind it")
        elif look.busy > 0.5:
            orders.append(f"calm the busy area behind {name}")
        if look.margin < MARGIN:
            orders.append(f"move {name} away from the edge")
    return orders[:2]


# part of the looks -> from where on it is weak, and what to do then
_REMEDIES = {
    "sharpness": (0.4, "draw edges crisply, since the picture is blurred"),
    "order": (0.35, "reduce the clutter to fewer and larger shapes with empty space around them"),
    "tones": (0.5, "use a wider range from dark to light"),
    "balance": (0.6, "bring the main subject nearer to the middle and leave the margins quiet"),
    "color": (0.55, "take stronger colours, and only two or three hues that go together"),
    "legibility": (0.5, "set the texts in a colour that stands out more clearly"),
}


def _style(looks: Looks, goal: dict[str, float]) -> list[str]:
    """Remedies of the weak parts, and of those that fall behind what can be had, the weakest first."""
    parts = looks.parts()
    behind = {name: max(_REMEDIES[name][0] - value, goal.get(name, 0) - 0.1 - value) for name, value in parts.items()}
    return [_REMEDIES[name][1] for name in sorted(behind, key=lambda name: -behind[name]) if behind[name] > 0]
