"""The page's brand kit: from its fields, or from a kit's files, to what posters keep to."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import yaml

from posterkit.app.service_errors import service_error
from posterkit.app.ui.form import number
from posterkit.app.ui.preview import error_html, status_html
from posterkit.app.ui.session import Session
from posterkit.typeset.brand_kit import BrandKit, read_brand_kit

KIT = "brand.yaml"
BRAND: dict[str, Any] = {
    "name": "", "palette": "", "families": [], "font_files": None, "logo": None, "logo_at": "", "clear_space": None,
    "margin": "", "avoid": "", "keep": "", "look": "",
}  # fmt: skip
BRAND_FIELDS = tuple(BRAND)


def use_kit(session: Session, said: Mapping[str, Any], parent: Path) -> tuple[str, str | None]:
    """Take a kit from the page's fields: the line about it, and its file."""
    folder = _fresh(session, parent)
    own = {
        "name": said["name"].strip(), "palette": _words(said["palette"]),
        "fonts": [*(said["families"] or ()), *(_copied(path, folder) for path in said["font_files"] or ())],
        "margin": said["margin"].strip(),
    }  # fmt: skip
    if said["logo"]:
        clear = number(said["clear_space"], float)
        logo = {"file": _copied(said["logo"], folder), "at": said["logo_at"], "clear_space": clear}
        own["logo"] = {key: value for key, value in logo.items() if value}
    voice = {"avoid": _words(said["avoid"]), "keep": _words(said["keep"]), "look": said["look"].strip()}
    own["voice"] = {key: value for key, value in voice.items() if value}
    kit = {key: value for key, value in own.items() if value}
    (folder / KIT).write_text(yaml.safe_dump(kit, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return _read(session, folder / KIT)


def open_kit(session: Session, paths: list[str], parent: Path) -> tuple[dict[str, Any], str, str | None]:
    """Take a kit from its YAML file, with its fonts and its logo beside it: the fields, the line, its file."""
    folder = _fresh(session, parent)
    names = [_copied(path, folder) for path in paths]
    kits = [name for name in names if name.lower().endswith((".yaml", ".yml"))]
    if len(kits) != 1:
        return {}, error_html(f"a kit is one .yaml file with its fonts and its logo; found {len(kits)}"), None
    line, file = _read(session, folder / kits[0])
    return (_fields(session.kit) if session.kit else {}), line, file


def kit_html(kit: BrandKit | None) -> str:
    """What a kit says, to look at."""
    if kit is None:
        return '<p class="pk-hint">No brand kit: every poster chooses its own colours and faces.</p>'
    swatches = "".join(
        f'<li><span class="pk-swatch" style="background: {escape(color)}"></span>{escape(color)}</li>'
        for color in kit.palette
    )
    said = {
        "Fonts": ", ".join(Path(font).name for font in kit.fonts), "Logo": Path(kit.logo).name if kit.logo else "",
        "Margin": kit.margin or "", "Avoids": ", ".join(kit.avoid), "Keeps": ", ".join(kit.keep), "Look": kit.look,
    }  # fmt: skip
    rows = "".join(f"<dt>{key}</dt><dd>{escape(value)}</dd>" for key, value in said.items() if value)
    return (
        f'<section class="pk-kit"><h3>{escape(kit.name)}</h3><ul class="pk-swatches">{swatches}</ul><dl>{rows}</dl>'
        "</section>"
    )


def _fresh(session: Session, parent: Path) -> Path:
    """An empty folder for a kit; the one before stays for posters that are drawn by it."""
    place = session.place(parent)
    folder = place / f"kit-{len(list(place.glob('kit-*')))}"
    folder.mkdir()
    return folder


def _read(session: Session, path: Path) -> tuple[str, str | None]:
    try:
        session.kit = read_brand_kit(path)
    except (ValueError, OSError) as error:
        session.kit = None
        return error_html(str(service_error(error, path.parent))), None
    return status_html(f"Posters keep to {session.kit.name} now"), str(path)


def _fields(kit: BrandKit) -> dict[str, Any]:
    files = [font for font in kit.fonts if Path(font).is_file()]
    return {
        "name": kit.name, "palette": ", ".join(kit.palette),
        "families": [font for font in kit.fonts if font not in files], "font_files": files or None, "logo": kit.logo,
        "logo_at": kit.logo_at or "", "clear_space": kit.clear_space, "margin": kit.margin or "",
        "avoid": ", ".join(kit.avoid), "keep": ", ".join(kit.keep), "look": kit.look,
    }  # fmt: skip


def _words(text: str) -> list[str]:
    return [word.strip() for word in (text or "").split(",") if word.strip()]


def _copied(path: str, folder: Path) -> str:
    name = Path(path).name
    shutil.copyfile(path, folder / name)
    return name
