"""One poster in every form, as other programs render it, side by side; and a PDF/X's boxes as pikepdf reads them.

    python benchmarks/print_forms.py --out docs

An A6 poster with bleed, crop marks, a logo and a QR code, in the inks of an imagined press. Chromium shows the SVG,
Poppler the PDFs, psd-tools the PSD, LibreOffice the PPTX; all four have to be installed, and the shipped fonts for
LibreOffice (`posterkit/typeset/fonts`).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pikepdf
import psd_tools
import skimage.data
from PIL import Image, ImageDraw, ImageFont

from posterkit.image_io import read_image
from posterkit.paper import Sheet
from posterkit.prompts import PosterBrief
from posterkit.typeset.fonts import load_face
from posterkit.typeset.graphics import GraphicWish
from posterkit.typeset.poster import TypesetPoster, typeset

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))

from press_profile import write_press_profile  # noqa: E402

TEXTS = ["RIVER JAZZ", "Live by the water,\nevery Friday at 8 pm", "Book a table"]
SHEET = Sheet(dpi=300, bleed=3, safe=5)
HEIGHT, GAP, GROUND = 640, 16, (235, 236, 232)
POINTS = 72 / 25.4  # in a millimetre


def poster(folder: Path) -> TypesetPoster:
    picture = Image.fromarray(skimage.data.coffee()[:, 140:425]).resize(
        (1240 + 70, 1748 + 70), Image.Resampling.LANCZOS
    )
    mark = Image.new("RGBA", (640, 200), (0, 0, 0, 0))
    pen = ImageDraw.Draw(mark)
    pen.rectangle((0, 0, 639, 199), fill=(24, 24, 26, 255))
    pen.ellipse((40, 60, 120, 140), outline="white", width=26)
    pen.text((150, 42), "riverbar", fill="white", font=ImageFont.truetype(load_face("Manrope").path, 96))
    mark.save(folder / "riverbar.png")
    wishes = [GraphicWish("logo", str(folder / "riverbar.png")), GraphicWish("qr", "https://example.org")]
    return typeset(picture, PosterBrief(texts=TEXTS), sheet=SHEET, graphics=wishes, planner="archetypes")


def rendered(made: TypesetPoster, folder: Path) -> list[Image.Image]:
    """PNG, SVG, PDF, PDF/X-4, soft proof, PSD, PPTX."""
    press = write_press_profile(folder / "press.icc")
    for name in ("p.png", "p.svg", "p.pdf", "p.psd", "p.pptx"):
        made.save(folder / name)
    made.save(folder / "x.pdf", profile=press, marks=True)
    made.save(folder / "p.proof.png", profile=press)
    width, height = made.image.size
    (folder / "p.html").write_text(f'<body style="margin:0"><img src="p.svg" width="{width}" height="{height}">')
    shot = f"--screenshot={folder / 'svg.png'}", f"--window-size={width},{height}", (folder / "p.html").as_uri()
    _run("chromium", "--headless", "--no-sandbox", "--hide-scrollbars", "--virtual-time-budget=5000", *shot)
    _run(
        "soffice",
        "--headless",
        "--convert-to",
        "pdf:impress_pdf_Export",
        "--outdir",
        folder / "slide",
        folder / "p.pptx",
    )
    for page, name in (("p.pdf", "pdf"), ("x.pdf", "x"), ("slide/p.pdf", "slide")):
        _run("pdftoppm", "-singlefile", "-png", "-r", 300, folder / page, folder / name)
    psd_tools.PSDImage.open(folder / "p.psd").composite(force=True).save(folder / "psd.png")
    return [read_image(folder / f"{name}.png") for name in ("p", "svg", "pdf", "x", "p.proof", "psd", "slide")]


def boxes(path: Path) -> str:
    """What a PDF/X says of its page and of its inks."""
    with pikepdf.open(path) as pdf:
        page, intent = pdf.pages[0], pdf.Root["/OutputIntents"][0]
        found = [f"PDF {pdf.pdf_version}", f"OutputIntent {str(intent['/S'])[1:]}, "
                 f"{len(intent['/DestOutputProfile'].read_bytes())} bytes of profile"]  # fmt: skip
        for name in ("MediaBox", "BleedBox", "TrimBox"):
            found.append(f"{name} {', '.join(f'{float(value) / POINTS:.1f}' for value in page[f'/{name}'])} mm")
        fonts = [str(font["/BaseFont"])[1:] for font in page.Resources.Font.values()]
        return "\n".join([*found, f"fonts {', '.join(sorted(fonts))}"])


def side_by_side(pictures: list[Image.Image]) -> Image.Image:
    small = [picture.resize((round(picture.width * HEIGHT / picture.height), HEIGHT), Image.Resampling.LANCZOS)
             for picture in pictures]  # fmt: skip
    sheet = Image.new("RGB", (sum(one.width + GAP for one in small) + GAP, HEIGHT + 2 * GAP), GROUND)
    x = GAP
    for one in small:
        sheet.paste(one, (x, GAP))
        x += one.width + GAP
    return sheet


def _run(*command: object) -> None:
    subprocess.run([str(word) for word in command], check=True, capture_output=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs"), help="the folder of print_forms.jpg")
    out = parser.parse_args().out
    with TemporaryDirectory() as folder:
        made = poster(Path(folder))
        side_by_side(rendered(made, Path(folder))).save(out / "print_forms.jpg", quality=86, optimize=True)
        print(boxes(Path(folder) / "x.pdf"))


if __name__ == "__main__":
    main()
