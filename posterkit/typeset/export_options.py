"""How a poster's file is written, whatever its form."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from posterkit.typeset.xmp import NOTHING, FileNotes


@dataclass(frozen=True)
class SigningKey:
    """What a file's content credentials are signed with: PEM files of the certificate chain and the private key."""

    certificates: Path
    key: Path


@dataclass(frozen=True)
class ExportOptions:
    """How a poster's file is written.

    Attributes:
        dpi: pixels an inch of a page; by default its sheet's, or those at which the picture is a paper format, else
            300 for large pictures and 96 for small ones.
        profile: the ICC profile of a press: a PDF is in its inks, a soft proof shows them.
        marks: crop marks around a PDF's page.
        whole_fonts: an SVG embeds its fonts with every character that they have.
        notes: what the file says beside its picture.
        signing: signs a manifest of the file's origin, see `posterkit.safety.content_credentials`; None writes none.
    """

    dpi: int | None = None
    profile: Path | None = None
    marks: bool = False
    whole_fonts: bool = False
    notes: FileNotes = NOTHING
    signing: SigningKey | None = None


DEFAULTS = ExportOptions()
