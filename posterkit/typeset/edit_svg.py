"""Other words in an SVG poster; everything else in the file stays as it is."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from posterkit.layout import Box
from posterkit.lettering import ALIGNS
from posterkit.messages import one_line
from posterkit.typeset.contrast import parse_color
from posterkit.typeset.editing import Choose, FoundText, face_named, reset
from posterkit.typeset.fonts import Face, for_text
from posterkit.typeset.line_breaking import COLUMN
from posterkit.typeset.shaping import shape
from posterkit.typeset.svg import font_face, text_element

_NS = "{http://www.w3.org/2000/svg}"
_MANIFEST = "{http://c2pa.org/manifest}manifest"  # content credentials
_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}"
_FACE = re.compile(r"@font-face\{font-family:'([^']*)';src:url\([^)]*\)\}")
# what a text's look is read from and written to; the rest of a designer's attributes and styles stays
_OURS = ("x", "y", "font-family", "font-size", "fill", "letter-spacing")
_LENGTH = re.compile(r"\s*(-?\d+(?:\.\d+)?(?:e-?\d+)?)\s*(?:px)?\s*")


def edit_svg(content: bytes, choose: Choose, revise: Callable[[str], str], extra: Sequence[Face]) -> bytes:
    """An SVG with other words.

    Args:
        choose: the new words of the texts that are found.
        revise: makes the new record of the old one.
        extra: the user's own faces.

    Raises:
        ValueError: it is no SVG, has no texts, or the words do not fit.
    """
    from lxml import etree  # pyright: ignore[reportAttributeAccessIssue]

    if re.search(rb"<!(?!--|\[CDATA)", content):
        raise ValueError("declares a document type or entities, which are not read")
    try:
        root = etree.fromstring(content, etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=True))
    except etree.XMLSyntaxError as error:
        raise ValueError(f"is no SVG ({one_line(str(error.msg), 120)})") from None
    groups = [group for group in root.iter(f"{_NS}g") if group.get("data-align") and _texts(group)]
    groups = groups or list(root.iter(f"{_NS}text"))
    found = [_found(group, extra) for group in groups]
    canvas = _canvas(root)
    taken = [*(one.box for one in found), *_graphics(root)]
    used: dict[Face, set[str]] = {}
    for group, one, new in zip(groups, found, choose(found), strict=True):
        if new is None:
            continue
        placed = reset(one, new, taken, canvas)
        lines = "".join(text_element(placed, at) for at in placed.placed_lines)
        _rewrite(group, list(etree.fromstring(f'<svg xmlns="{_NS[1:-1]}">{lines}</svg>')))
        for run in (run for at in placed.placed_lines for run in at.line.runs):
            used.setdefault(run.face, set()).update(run.text)
    _embed(root, used)
    for manifest in [*root.iter(_MANIFEST)]:  # of the file as it was
        manifest.getparent().remove(manifest)
    for record in root.iter(f"{_NS}metadata"):
        if record.get("id") == "posterkit" and record.text:
            record.text = revise(record.text)
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")


def _graphics(root: Any) -> list[Box]:
    """The boxes of logos and codes."""
    groups = [group for group in root.iter(f"{_NS}g") if group.get("data-role") in ("logo", "qr")]
    return [_box(part) for group in groups for part in group if part.tag in (f"{_NS}rect", f"{_NS}image")]


def _texts(group: Any) -> list[Any]:
    return [group] if group.tag == f"{_NS}text" else list(group.iter(f"{_NS}text"))


def _canvas(root: Any) -> tuple[float, float]:
    sides = (root.get("viewBox") or f"0 0 {root.get('width', '0')} {root.get('height', '0')}").split()[2:]
    try:
        return float(sides[0].removesuffix("px")), float(sides[1].removesuffix("px"))
    except (ValueError, IndexError):
        raise ValueError("has no size that can be read") from None


def _look(element: Any) -> dict[str, str]:
    """An element's properties; those in its style count before its attributes."""
    found = {name: value for name, value in element.attrib.items() if isinstance(name, str)}
    for part in (element.get("style") or "").split(";"):
        name, _, value = part.partition(":")
        found[name.strip()] = value.strip() or found.get(name.strip(), "")
    return found


def _number(text: str | None, otherwise: float = 0.0) -> float:
    match = _LENGTH.fullmatch((text or "").split(" ")[0])
    return float(match[1]) if match else otherwise


def _found(group: Any, extra: Sequence[Face]) -> FoundText:
    """A text of the file as it stands; lines are its elements."""
    rows: dict[float, list[Any]] = {}
    for line in _texts(group):
        rows.setdefault(round(_number(line.get("y")), 2), []).append(line)
    lines = [rows[y] for y in sorted(rows)]
    look = _look(lines[0][0])
    size = _number(look.get("font-size"), 16.0)
    names = [name.strip().strip("'\"") for line in lines for part in line[0].iter() if isinstance(part.tag, str)
             for name in _look(part).get("font-family", "").split(",") if name.strip()]  # fmt: skip
    faces = tuple(dict.fromkeys(face for name in names if (face := face_named([name], extra))))
    if not faces:
        named = f"is set in {names[0]!r}, which is not shipped" if names else "names no font"
        raise ValueError(f"a text {named}; give its file with --font")
    tracking = _number(look.get("letter-spacing")) / size
    shaped = [shape(words, for_text(words, extra=faces), tracking) for words in map(_row_words, lines)]
    width = max((line.width for line in shaped), default=1.0) * size
    align = group.get("data-align") if group.get("data-align") in ALIGNS else "left"
    x = _number(look.get("x"))
    if look.get("direction") == "rtl" and look.get("text-anchor") != "end":
        x -= shaped[0].width * size if shaped else 0.0
    first = (shaped[0].width if shaped else 1.0) * size
    x += {"left": 0.0, "center": 0.5, "right": 1.0}[align] * first
    ys = sorted(rows)
    leading = ys[1] - ys[0] if len(ys) > 1 else 1.2 * size
    color = parse_color(look.get("fill", "")) or (0, 0, 0)
    button = next(iter(group.findall(f"{_NS}rect")), None)
    return FoundText(
        "\n".join(_row_words(row) for row in lines), group.get("data-role", "text"), faces, size, color, align, x,
        ys[0], width, (len(ys) - 1) * leading + 0.75 * size, leading, tracking,
        None if button is None else _box(button),
    )  # fmt: skip


def _words(line: Any) -> str:
    return "".join(line.itertext())


def _row_words(row: Sequence[Any]) -> str:
    """A line's words; a price that stands apart comes behind some blanks."""
    return COLUMN.join(_words(line) for line in row)


def _box(rect: Any) -> Box:
    x, y, width, height = (_number(rect.get(name)) for name in ("x", "y", "width", "height"))
    return Box(x, y, x + width, y + height)


def _rewrite(group: Any, lines: Sequence[Any]) -> None:
    """Put new lines in the place of a text's old ones, with what a designer has added to the first of these."""
    old = _texts(group)
    first, parent = old[0], old[0].getparent()
    kept = {name: value for name, value in first.attrib.items() if name not in (*_OURS, "style", "id")}
    style = ";".join(
        part for part in (first.get("style") or "").split(";") if part.partition(":")[0].strip() not in (*_OURS, "")
    )
    at = parent.index(first)
    for line in old:
        line.getparent().remove(line)
    for number, line in enumerate(lines):
        for name, value in kept.items():
            if name not in ("direction", "unicode-bidi", "text-anchor", f"{_LANGUAGE}lang"):
                line.set(name, value)
        if style:
            line.set("style", style)
        parent.insert(at + number, line)


def _embed(root: Any, used: dict[Face, set[str]]) -> None:
    """Embed the fonts of new words with their characters and those that the file had of them."""
    style = next((one for one in root.iter(f"{_NS}style") if one.text and "@font-face" in one.text), None)
    if style is None:
        return
    everything = set("".join("".join(text.itertext()) for text in root.iter(f"{_NS}text")))
    for face in used:
        rule = font_face(face, everything)
        others = "".join(match[0] for match in _FACE.finditer(style.text) if match[1] != face.family)
        style.text = others + rule + _FACE.sub("", style.text)
