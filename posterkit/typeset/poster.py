"""`TypesetPoster`: the finished poster, as pixels, as SVG and as PDF."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from posterkit.layout import Box, Layout
from posterkit.typeset.placed import PlacedText


@dataclass(frozen=True)
class TypesetPoster:
    """A picture with its texts set.

    Attributes:
        image: RGB, the size of the picture that came in.
        background: the same without texts, buttons and rules, but with any underlay.
        boxes: the texts in the brief's order.
        rules: thin rectangles with their colours.
        layout: what the planner decided.
        style: the typographic pairing.
    """

    image: Image.Image
    background: Image.Image
    boxes: list[PlacedText]
    rules: list[tuple[Box, tuple[int, int, int]]]
    layout: Layout
    style: str

    def svg(self) -> str:
        """An SVG of the same size in pixels: the background embedded as PNG, the texts live, their fonts embedded."""
        from posterkit.typeset.svg import to_svg

        return to_svg(self)

    def pdf(self) -> bytes:
        """A PDF page (1 px = 0.75 pt) with selectable text in embedded fonts over the background."""
        from posterkit.typeset.pdf import to_pdf

        return to_pdf(self)

    def save(self, path: str | Path) -> Path:
        """Write the poster; the suffix decides: .png, .jpg, .webp, .tif, .svg or .pdf.

        Raises:
            ValueError: another suffix.
        """
        file = Path(path)
        suffix = file.suffix.lower()
        if suffix == ".svg":
            file.write_text(self.svg(), encoding="utf-8")
        elif suffix == ".pdf":
            file.write_bytes(self.pdf())
        elif suffix in (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff"):
            self.image.save(file, quality=95) if suffix in (".jpg", ".jpeg", ".webp") else self.image.save(file)
        else:
            raise ValueError(f"{file}: cannot save a poster as {suffix or 'a file without suffix'}; "
                             "use .png, .jpg, .webp, .tif, .svg or .pdf")  # fmt: skip
        return file
