"""A brand kit: palette, fonts, logo, margins and voice in one YAML file, checked and applied to posters."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from posterkit.documents import read_text, read_yaml
from posterkit.image_io import read_size
from posterkit.lettering import PLACES, is_margin, is_place
from posterkit.messages import one_line
from posterkit.prompts import PosterBrief
from posterkit.schema import PosterRequest, is_strings, is_text, value_faults
from posterkit.typeset.contrast import palette_word
from posterkit.typeset.fonts import load_face, shipped_face

_MOST_CLEAR = 2.0  # of a logo's height
_CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "name": (is_text, "a text"),
    "palette": (is_strings, "a list of colours: of the title, of the other texts, of the button, and more"),
    "fonts": (is_strings, "a list of font files or shipped families"),
    "logo": (lambda value: isinstance(value, dict | str), "an image file, or file, at and clear_space"),
    "margin": (is_margin, "pixels, or a per cent of the shorter side such as 6%"),
    "voice": (lambda value: isinstance(value, dict), "avoid, keep and look"),
}
_LOGO: dict[str, tuple[Callable[[Any], bool], str]] = {
    "file": (is_text, "an image file"),
    "at": (is_place, f"one of {', '.join(PLACES)}, or x0,y0,x1,y1"),
    "clear_space": (
        lambda value: isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= _MOST_CLEAR,
        f"a share of the logo's height above 0 and at most {_MOST_CLEAR:g}",
    ),
}
_VOICE: dict[str, tuple[Callable[[Any], bool], str]] = {
    "avoid": (is_strings, "a list of words"),
    "keep": (is_strings, "a list of names that a rewriter keeps"),
    "look": (is_text, "words for every prompt"),
}


@dataclass(frozen=True)
class BrandKit:
    """What a brand's posters have in common.

    Attributes:
        palette: colours of the title, of the other texts, of the button; a poster may say others of it.
        fonts: files or shipped families, the first that has a letter sets it; a poster may say others of them.
        logo: its file; None for none.
        logo_at: a corner or a box; None for the calmest free place.
        clear_space: what stays free around the logo, as a share of its height.
        margin: what texts and logo keep free at every edge: pixels, or a per cent of the shorter side.
        avoid: words that no text and no prompt may use.
        keep: names that the rewriter of the safety gate leaves alone.
        look: words for every prompt.
    """

    name: str
    palette: tuple[str, ...] = ()
    fonts: tuple[str, ...] = ()
    logo: str | None = None
    logo_at: str | None = None
    clear_space: float | None = None
    margin: str | None = None
    avoid: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    look: str = ""

    def applied(self, request: PosterRequest) -> PosterRequest:
        """The request with what it does not say itself.

        Raises:
            ValueError: it says a colour or a font that is none of the brand's, or a word that the brand avoids.
        """
        if faults := self._faults(request):
            raise ValueError(f"brand {self.name}: {'; '.join(faults)}")
        own = request.lettering
        lettering = replace(
            own,
            colors=own.colors or self.palette[:3],
            fonts=own.fonts or self.fonts,
            logo=own.logo or self.logo,
            logo_at=own.logo_at or (self.logo_at if own.logo in (None, self.logo) else None),
            logo_clear=own.logo_clear if own.logo_clear is not None else self.clear_space,
            margin=own.margin or self.margin,
        )
        prompt = request.prompt
        if self.look and self.look not in prompt:
            prompt = f"{prompt.rstrip(' ,.')}, {self.look}" if prompt.strip() else self.look
        return replace(request, lettering=lettering, prompt=prompt)

    def _faults(self, request: PosterRequest) -> list[str]:
        faults = []
        own = {palette_word(color): color for color in self.palette}
        for color in request.lettering.colors if own else ():
            if palette_word(color) not in own:
                faults.append(f"{color} is none of its colours ({', '.join(self.palette)})")
        if self.fonts:
            known = {Path(font).name.lower() for font in self.fonts}
            other = [font for font in request.lettering.fonts if Path(font).name.lower() not in known]
            faults += [f"{font} is none of its fonts ({', '.join(self.fonts)})" for font in other]
        for text in (*PosterBrief.from_prompt(request.prompt, request.texts or ()).texts, request.prompt):
            if word := next((word for word in self.avoid if _says(text, word)), None):
                faults.append(f"{one_line(text, 60)!r} says {word!r}, which it avoids")
                break
        return faults


def read_brand_kit(path: str | Path) -> BrandKit:
    """A kit from its file; its fonts and its logo count from the file's folder.

        name: Acme
        palette: ["#0a3d62", "#1e272e", "#f6b93b"]
        fonts: [Acme-Bold.ttf, Manrope Medium]
        logo: {file: acme.png, at: bottom-right, clear_space: 0.5}
        margin: 6%
        voice: {avoid: [cheap], keep: [Acme One], look: warm daylight}

    Raises:
        ValueError: a key is unknown or wrong, a colour is none, or a font or the logo cannot be read.
        OSError: the file cannot be read.
    """
    path = Path(path)
    said = read_yaml(read_text(path), str(path))
    if not isinstance(said, dict) or not said:
        raise ValueError(f"{path}: a brand kit has the keys {', '.join(_CHECKS)}")
    _check(said, _CHECKS, str(path))
    logo, voice = said.get("logo") or {}, said.get("voice") or {}
    logo: dict[str, Any] = {"file": logo} if isinstance(logo, str) else logo
    _check(logo, _LOGO, f"{path}: logo")
    _check(voice, _VOICE, f"{path}: voice")
    if logo and "file" not in logo:
        raise ValueError(f"{path}: logo: needs a file")
    try:
        for color in said.get("palette") or ():
            palette_word(color)
        fonts = [font if shipped_face(font) else str(path.parent / font) for font in said.get("fonts") or ()]
        for font in fonts:
            load_face(font)
        file = str(path.parent / logo["file"]) if logo else None
        if file:
            read_size(file)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    margin = said.get("margin")
    return BrandKit(
        said.get("name") or path.stem, tuple(said.get("palette") or ()), tuple(fonts), file, logo.get("at"),
        logo.get("clear_space"), None if margin is None else str(margin), tuple(voice.get("avoid") or ()),
        tuple(voice.get("keep") or ()), voice.get("look") or "",
    )  # fmt: skip


def _check(said: dict[Any, Any], checks: dict[str, tuple[Callable[[Any], bool], str]], where: str) -> None:
    for key in said:
        if key not in checks:
            near = difflib.get_close_matches(str(key), checks, 1)
            meant = f' (did you mean "{near[0]}"?)' if near else f"; the keys are {', '.join(checks)}"
            raise ValueError(f'{where}: unknown key "{one_line(str(key), 40)}"{meant}')
    if faults := value_faults(said, checks):
        raise ValueError(f"{where}: {'; '.join(faults)}")


def _says(text: str, word: str) -> bool:
    """Whether a text has a word, whole and in any case."""
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE) is not None
