"""Build a Text-Render set: pictures with clean texts, captions that say every letter (PosterCraft, stage 1).

    python data_tools/render_text.py photos/ --out sets/text --count 2000 --size 512x512 --scripts latin chinese

A photo's own caption is read from NAME.txt beside it. `synthetic` draws pictures of its own.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from random import Random

from PIL import Image, ImageOps

from posterkit.datagen.command_line import Options, make_set, run_tool, size, whole
from posterkit.datagen.engine import Drop, Flow, Outcome
from posterkit.datagen.poster_scan import check_outside, fingerprint, list_posters, read_own_caption
from posterkit.datagen.text_render import SCRIPTS, Wording, read_wording, render_text, shipped_wording
from posterkit.datasets import PosterSample
from posterkit.image_io import read_image
from posterkit.schema import encode_sample
from posterkit.sizing import Size
from posterkit.synthetic import draw_art
from posterkit.typeset.fonts import FACES, Face, load_face


@dataclass(frozen=True)
class Picture:
    """What a sample starts from: its number, a picture and what it shows."""

    number: int
    image: Image.Image
    caption: str
    theme: str
    source: str


@dataclass(frozen=True)
class Photos:
    """The photos of a folder, over and over, each time cropped anew."""

    folder: Path
    names: tuple[str, ...]
    seed: int
    size: Size

    def __getitem__(self, number: int) -> Picture | Drop:
        name = self.names[number % len(self.names)]
        try:
            image, caption = read_image(self.folder / name), read_own_caption(self.folder / name)
        except (OSError, ValueError) as error:
            return Drop("unreadable", str(error), fault=True)
        rng = Random(f"{self.seed} crop {number}")
        image = ImageOps.fit(image, self.size, Image.Resampling.LANCZOS, centering=(rng.random(), rng.random()))
        return Picture(number, image, caption, "photo", name)


@dataclass(frozen=True)
class Art:
    """Procedural art without a text."""

    seed: int
    size: Size

    def __getitem__(self, number: int) -> Picture:
        image, caption, theme = draw_art(Random(f"{self.seed} art {number}"), self.size)
        return Picture(number, Image.fromarray(image), caption, theme, "synthetic")


@dataclass(frozen=True)
class SetText:
    """The tool's one step."""

    seed: int
    wordings: tuple[Wording, ...]
    faces: tuple[Face, ...]
    texts: int | None
    licence: str

    def __call__(self, picture: Picture) -> PosterSample | Drop:
        rng = Random(f"{self.seed} text {picture.number}")
        try:
            return render_text(
                picture.image, picture.caption, rng, self.wordings, self.faces, name=f"text-{picture.number:08d}",
                count=self.texts, theme=picture.theme, source=picture.source, licence=self.licence,
            )  # fmt: skip
        except ValueError as error:
            return Drop("no text fits", str(error), picture.image)


def main() -> Outcome:
    wordings = [shipped_wording(script) for script in GIVEN.scripts] + [read_wording(path) for path in GIVEN.words]
    faces = tuple(load_face(path) for path in GIVEN.fonts) or FACES
    photos = ""
    if GIVEN.input == "synthetic":
        source, count, licence = Art(GIVEN.seed, GIVEN.size), GIVEN.count or 2000, "CC0-1.0"
    else:
        folder = Path(GIVEN.input)
        names, licence = list_posters(folder), GIVEN.licence
        check_outside(GIVEN.out, folder)
        source, count = Photos(folder, names, GIVEN.seed, GIVEN.size), GIVEN.count or len(names)
        photos = fingerprint(folder, names)
    step = SetText(GIVEN.seed, tuple(wordings), faces, GIVEN.texts, licence)
    inputs = repr((wordings, [face.name for face in faces], photos))
    settings = {"tool": "render_text", "input": GIVEN.input, "seed": GIVEN.seed, "size": str(GIVEN.size),
                "scripts": GIVEN.scripts, "words": [str(path) for path in GIVEN.words],
                "fonts": [str(path) for path in GIVEN.fonts], "texts": GIVEN.texts, "licence": licence,
                "inputs": hashlib.sha256(inputs.encode()).hexdigest()[:16]}  # fmt: skip
    return make_set(Flow(source, count, (("text", step),), encode_sample, settings), GIVEN)


if __name__ == "__main__":
    options = Options(__doc__)
    options.add_argument("input", help='a folder of photos, or "synthetic"')
    options.add_argument("--count", type=whole, metavar="N", help="samples (default: the photos, or 2000 synthetic)")
    options.add_argument("--size", type=size, default=Size(512, 512), metavar="WxH", help="default 512x512")
    options.add_argument("--scripts", nargs="+", choices=SCRIPTS, default=["latin"], help="default latin")
    options.add_argument("--words", nargs="+", type=Path, default=[], metavar="FILE", help="word lists of your own")
    options.add_argument("--fonts", nargs="+", type=Path, default=[], metavar="FILE", help="fonts of your own instead")
    options.add_argument("--texts", type=whole, choices=(1, 2, 3), help="on each picture (default: drawn)")
    options.add_argument("--licence", default="unknown", help="SPDX name of the photos' licence, for the rows")
    GIVEN = options.parse_args()
    run_tool(main, GIVEN.debug)
