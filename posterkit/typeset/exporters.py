"""The forms that a poster is written in beside plain pixels: one table from a file's ending to what writes it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from posterkit.typeset.export_options import DEFAULTS, ExportOptions

if TYPE_CHECKING:
    from posterkit.typeset.placed_text import Composition


@dataclass(frozen=True)
class Exporter:
    """One form: what it is, the function that writes it as MODULE:NAME, and the modules and packages it needs."""

    title: str
    writer: str
    needs: tuple[tuple[str, str], ...] = ()


EXPORTERS: dict[str, Exporter] = {
    ".svg": Exporter("SVG with live text", "posterkit.typeset.svg:to_svg"),
    ".pdf": Exporter("PDF with live text", "posterkit.typeset.pdf:to_pdf"),
    ".psd": Exporter("PSD in layers with live text", "posterkit.typeset.psd:to_psd", (("psd_tools", "psd-tools"),)),
    ".pptx": Exporter("PowerPoint with text boxes", "posterkit.typeset.pptx:to_pptx", (("pptx", "python-pptx"),)),
    ".proof.png": Exporter("a picture of how a press prints it", "posterkit.typeset.press:to_proof"),
}
ENDINGS = tuple(EXPORTERS)
SIGNED = {  # forms that carry content credentials, and their media types
    ".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp", ".svg": "image/svg+xml",
    ".pdf": "application/pdf",
}  # fmt: skip
LAYERED = tuple(ending for ending in EXPORTERS if not ending.endswith(".png"))  # what is no plain picture


def ending_of(path: str | Path) -> str:
    """A file's ending in lower case: one of `ENDINGS`, else its suffix."""
    name = Path(path).name.lower()
    return next((ending for ending in ENDINGS if name.endswith(ending)), Path(name).suffix)


def check_export(path: str | Path, options: ExportOptions = DEFAULTS) -> None:
    """Refuse before any work what a form cannot do here; other endings pass.

    Raises:
        ValueError: a package is not installed, a profile is none of a press, a soft proof has no profile, or the form
            cannot be signed.
    """
    ending = ending_of(path)
    if options.signing and ending not in SIGNED:
        raise ValueError(f"{path}: carries no content credentials (--c2pa); {', '.join(SIGNED)} do")
    if ending not in EXPORTERS:
        return
    needs = list(EXPORTERS[ending].needs)
    if ending == ".pdf" and options.profile:
        needs.append(("pikepdf", "pikepdf"))
    for module, package in needs:
        try:
            missing = find_spec(module) is None
        except ValueError:  # a test has taken it away
            missing = True
        if missing:
            form = "a .pdf for a press" if module == "pikepdf" else f"a {ending}"
            raise ValueError(f"{form} needs {package}; pip install posterkit[print]")
    if ending == ".proof.png" and options.profile is None:
        raise ValueError(f"{path}: a soft proof shows how a press prints; name its ICC profile with --cmyk")
    if options.profile:
        from posterkit.typeset.press import open_press

        open_press(options.profile)


def export(poster: Composition, ending: str, options: ExportOptions = DEFAULTS) -> bytes:
    """A poster as the content of a file; ValueError as `check_export`."""
    check_export(f"poster{ending}", options)
    module, _, name = EXPORTERS[ending].writer.partition(":")
    return getattr(import_module(module), name)(poster, options)
