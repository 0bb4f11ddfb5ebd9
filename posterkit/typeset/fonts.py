"""The shipped fonts (and a user's own): which face covers which text, in which style, under which licence."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import uharfbuzz
from uniseg.graphemecluster import grapheme_clusters

from posterkit.documents import table_lines

hb: Any = uharfbuzz  # its compiled part carries no types

FONTS = Path(__file__).parent / "fonts"
Style = Literal["display", "text", "serif", "script"]


@dataclass(frozen=True)
class Face:
    """One font file."""

    family: str  # the name that SVG and PDF carry
    style: Style
    weight: int  # 100 to 900, as CSS counts
    path: Path
    scripts: tuple[str, ...]  # what it is meant for; coverage is read from the file
    licence: str = "OFL-1.1"  # SPDX name; the text lies beside the file
    joined: bool = False  # its letters connect, so they are never spaced apart

    @property
    def name(self) -> str:
        """The file's name without its suffix; unique among the shipped faces."""
        return self.path.stem

    def covers(self, text: str) -> bool:
        """Every character that needs a glyph has one."""
        return all(is_ignorable(chr(code)) for code in set(map(ord, text)) - coverage(self))


def _table(name: str) -> list[list[str]]:
    """The rows of a table beside the fonts, whose head says what its columns are."""
    return [[cell.strip() for cell in line.split("|")] for line in table_lines(FONTS / f"{name}.txt")]


FACES: tuple[Face, ...] = tuple(
    Face(family, style, int(weight), FONTS / file, tuple(scripts.split()), licence, bool(joined))  # type: ignore[arg-type]
    for family, file, style, weight, scripts, licence, *joined in _table("faces")
)
_BY_NAME = {face.name: face for face in FACES}


@dataclass(frozen=True)
class Pairing:
    """A typographic style: faces for the title and for the rest, in the order they are tried, and how it is set."""

    title: tuple[str, ...]
    text: tuple[str, ...]
    tracking: float = 0.0  # em, added to the title's letters
    words: tuple[str, ...] = ()  # a brief whose style, mood or theme has one of these takes this pairing


PAIRINGS: dict[str, Pairing] = {
    name: Pairing(tuple(title.split()), tuple(text.split()), float(tracking), tuple(words.split(", ")))
    for name, title, text, tracking, words in _table("pairings")
}


def pairing_for(words: Sequence[str], title: str) -> str:
    """The name of the pairing that the words ask for; else by the title: short capitals condensed, the rest modern."""
    text = f" {' '.join(words).lower()} "
    for name, pairing in PAIRINGS.items():
        if any(f" {word} " in text.replace(",", " ") for word in (name, *pairing.words)):
            return name
    return "condensed" if title.upper() == title and title.lower() != title and len(title) <= 32 else "modern"


@lru_cache(maxsize=64)
def hb_face(face: Face) -> Any:
    """HarfBuzz's view of the font file."""
    return hb.Face(hb.Blob.from_file_path(str(face.path)))


@lru_cache(maxsize=64)
def coverage(face: Face) -> frozenset[int]:
    """Code points that the font file maps to a glyph."""
    return frozenset(hb_face(face).unicodes)


def shipped_face(font: str) -> Face | None:
    """The shipped face of that family or name, of several weights the first; None where it must be a user's file."""
    word = font.casefold()
    exact = (face for face in FACES if word in (face.family.casefold(), face.name.casefold()))
    return next(exact, None) or next((face for face in FACES if face.family.casefold().startswith(f"{word} ")), None)


def load_face(path: str | Path) -> Face:
    """A user's own font file (TrueType or OpenType), or a shipped face by its family's name.

    Raises:
        ValueError: the file is missing or is no font.
    """
    file = Path(path)
    if (face := shipped_face(str(path))) is not None:
        return face
    if not file.is_file():
        families = {face.family.casefold(): face.family for face in FACES}
        near = difflib.get_close_matches(str(path).casefold(), families, 1)
        meant = f" (did you mean {families[near[0]]!r}?)" if near else ""
        raise ValueError(f"{file}: no such font file{meant}; give a .ttf or .otf, or a shipped family's name")
    found = Face(file.stem, "text", 400, file, (), licence="user's")
    if not coverage(found):
        raise ValueError(f"{file}: not a font that can be read; give a .ttf or .otf")
    return found


def faces_for(style: str, title: bool, extra: Sequence[Face] = ()) -> tuple[Face, ...]:
    """Faces to try in order: the user's own, the pairing's, then every other shipped one as a fallback.

    Raises:
        ValueError: no such style.
    """
    if style not in PAIRINGS:
        raise ValueError(f"unknown style {style!r}; there are {', '.join(PAIRINGS)}")
    pairing = PAIRINGS[style]
    preferred = [_BY_NAME[name] for name in (pairing.title if title else pairing.text)]
    weighty = ("display", "text") if title else ("text", "display")
    rest = sorted((face for face in FACES if face.style in weighty), key=lambda face: weighty.index(face.style))
    return tuple(dict.fromkeys([*extra, *preferred, *rest]))


def for_text(text: str, style: str = "modern", title: bool = False, extra: Sequence[Face] = ()) -> tuple[Face, ...]:
    """The faces that set this text: one that covers all of it if there is one, else one per part of it.

    The faces are in order of preference; a grapheme cluster (a letter with its marks) is set in the first that has
    all of it.

    Raises:
        ValueError: no face has one of the clusters; the message names each.
    """
    faces = faces_for(style, title, extra)
    preferred = faces[: len(extra) + len(PAIRINGS[style].title if title else PAIRINGS[style].text)]
    for face in preferred:
        if face.covers(text):
            return (face,)
    clusters = [cluster for cluster in dict.fromkeys(grapheme_clusters(text)) if not all(map(is_ignorable, cluster))]
    missing = [cluster for cluster in clusters if not any(face.covers(cluster) for face in faces)]
    if missing:
        named = ", ".join(f"{cluster} ({_names(cluster)})" for cluster in missing[:5])
        raise ValueError(
            f"text {text!r}: no font has {named}; take it out, or give a font file that has it (--font, fonts=)"
        )
    chosen: list[Face] = []
    left = set(clusters)
    # greedy, in order of preference, but a face that covers the rest of the words beats a patchwork
    for face in [*preferred, *sorted(faces, key=lambda face: -sum(map(face.covers, filter(_is_letter, clusters))))]:
        here = {cluster for cluster in left if face.covers(cluster)}
        if here and (face not in preferred or any(map(_is_letter, here)) or not any(map(_is_letter, left))):
            chosen.append(face)
            left -= here
    return _alike(chosen)


_BOLDER = {
    "Manrope-Medium": "Manrope-ExtraBold", "Inter-Medium": "InterDisplay-Black",
    "LeagueSpartan-SemiBold": "LeagueSpartan-Bold", "EBGaramond12-Regular": "NotoSerifDisplay-Bold",
}  # fmt: skip


def _alike(faces: Sequence[Face]) -> tuple[Face, ...]:
    """Faces that stand in one line, the light ones in place of which a bold one is shipped as bold as the others.

    The faces for Arabic, Hebrew, Thai, Devanagari and Han are bold.
    """
    if not any(face.style == "text" and face.weight >= 700 for face in faces):
        return tuple(faces)
    return tuple(_BY_NAME[_BOLDER.get(face.name, face.name)] if face in FACES else face for face in faces)


def _is_letter(cluster: str) -> bool:
    return cluster[0].isalpha()


def _names(cluster: str) -> str:
    return ", ".join(f"U+{ord(c):04X} {unicodedata.name(c, 'unnamed')}" for c in cluster)


def is_ignorable(character: str) -> bool:
    """Needs no glyph: line ends, joiners, variation selectors, direction marks."""
    return (
        character in "\n\t\u00ad\ufe0e\ufe0f" or "\u200b" <= character <= "\u200f" or "\u2060" <= character <= "\u2064"
    )
