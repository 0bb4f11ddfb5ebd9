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

from posterkit.datagen.command_line import ToolParser, make_set, positive_int, run_tool, size
from posterkit.datagen.engine import Drop, Flow, FlowResult
from posterkit.datagen.picture_folder import check_outside, fingerprint, list_pictures, read_caption
from posterkit.datagen.text_render import SCRIPTS, Wording, check_faces, read_wording, render_text, shipped_wording
from posterkit.datasets import PosterSample
from posterkit.datasets.sample_files import encode_sample
from posterkit.image_io import read_image
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
            image, caption = read_image(self.folder / name), read_caption(self.folder / name)
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


def main() -> FlowResult:
    wordings = [shipped_wording(script) for script in ARGS.scripts] + [read_wording(path) for path in ARGS.words]
    faces = tuple(load_face(path) for path in ARGS.fonts) or FACES
    for name, wording in zip([*ARGS.scripts, *map(str, ARGS.words)], wordings, strict=True):
        check_faces(wording, faces, name)
    photos = ""
    if ARGS.input == "synthetic":
        source, count, licence = Art(ARGS.seed, ARGS.size), ARGS.count or 2000, "CC0-1.0"
    else:
        folder = Path(ARGS.input)
        names, licence = list_pictures(folder), ARGS.licence
        check_outside(ARGS.out, folder)
        source, count = Photos(folder, names, ARGS.seed, ARGS.size), ARGS.count or len(names)
        photos = fingerprint(folder, names)
    step = SetText(ARGS.seed, tuple(wordings), faces, ARGS.texts, licence)
    inputs = repr((wordings, [face.name for face in faces], photos))
    settings = {"tool": "render_text", "input": ARGS.input, "seed": ARGS.seed, "size": str(ARGS.size),
                "scripts": ARGS.scripts, "words": [str(path) for path in ARGS.words],
                "fonts": [str(path) for path in ARGS.fonts], "texts": ARGS.texts, "licence": licence,
                "inputs": hashlib.sha256(inputs.encode()).hexdigest()[:16]}  # fmt: skip
    return make_set(Flow(source, count, (("text", step),), encode_sample, settings), ARGS)


if __name__ == "__main__":
    options = ToolParser(__doc__)
    options.add_argument("input", help='a folder of photos, or "synthetic"')
    count = "samples (default: the photos, or 2000 synthetic)"
    options.add_argument("--count", type=positive_int, metavar="N", help=count)
    options.add_argument("--size", type=size, default=Size(512, 512), metavar="WxH", help="default 512x512")
    options.add_argument("--scripts", nargs="+", choices=SCRIPTS, default=["latin"], help="default latin")
    options.add_argument("--words", nargs="+", type=Path, default=[], metavar="FILE", help="word lists of your own")
    options.add_argument("--fonts", nargs="+", type=Path, default=[], metavar="FILE", help="fonts of your own instead")
    options.add_argument("--texts", type=positive_int, choices=(1, 2, 3), help="on each picture (default: drawn)")
    options.add_argument("--licence", default="unknown", help="SPDX name of the photos' licence, for the rows")
    ARGS = options.parse_args()
    run_tool(main, ARGS.debug)
