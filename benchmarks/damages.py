"""What goes wrong with posters, done to sound ones: each damage is a pure function of a poster's layers and a seed.

OMP_NUM_THREADS=1 python benchmarks/damages.py --out damages.png     # a sheet of all of them
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
from damaged_posters import LayeredPoster, SetText, layered_posters, lettered
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImageOps
from scipy.ndimage import uniform_filter1d

from posterkit.prompts import COLORS
from posterkit.schema import Box
from posterkit.typeset.fonts import FACES

Draw = Callable[[LayeredPoster, int], Image.Image]
Pixels = NDArray[np.float64]


@dataclass(frozen=True)
class Damage:
    """How a poster is damaged, the task whose reward has to see it, and the parts that are there to see it."""

    draw: Draw
    parts: tuple[str, ...] = ()
    task: str = "text"


def erased(poster: LayeredPoster, *texts: SetText) -> Image.Image:
    """The poster without some of its texts."""
    image = poster.image.copy()
    for text in texts or poster.texts:
        box = _grown(text.box, 3)
        image.paste(poster.ground.crop(box), box[:2])
    return image


def layer(poster: LayeredPoster, text: SetText) -> Image.Image:
    """A text alone, RGBA, as large as its box: how far each pixel is from the ground to the ink."""
    box = _grown(text.box, 3)
    seen, bare = (np.asarray(one.crop(box), float) for one in (poster.image, poster.ground))
    ink = np.asarray(text.color) - bare
    alpha = ((seen - bare) * ink).sum(2) / np.maximum((ink**2).sum(2), 1)
    cut = np.empty((*alpha.shape, 4), np.uint8)
    cut[..., :3], cut[..., 3] = text.color, np.clip(255 * alpha, 0, 255)
    return Image.fromarray(cut)


def _grown(box: Box, by: int) -> Box:
    return box[0] - by, box[1] - by, box[2] + by, box[3] + by


def _laid(canvas: Image.Image, cut: Image.Image, at: tuple[float, float]) -> Image.Image:
    canvas.paste(cut.convert("RGB"), (round(at[0]), round(at[1])), cut.getchannel("A"))
    return canvas


# texts


def missing_text(poster: LayeredPoster, seed: int) -> Image.Image:
    return erased(poster, poster.texts[-1])


def _retitled(poster: LayeredPoster, lines: Sequence[str]) -> Image.Image:
    title = poster.texts[0]
    image = erased(poster, title)
    lettered(image, lines, title.box, title.color, title.font)
    return image


def misspelt_title(poster: LayeredPoster, seed: int) -> Image.Image:
    """Two neighbouring letters of its longest line change places, and one is doubled."""
    lines = list(poster.texts[0].lines)
    number = max(range(len(lines)), key=lambda n: len(lines[n]))
    line = lines[number]
    at = next(n for n in range(1, len(line) - 1) if line[n] != line[n + 1] and line[n : n + 2].isalpha())
    lines[number] = line[:at] + line[at + 1] + line[at] + line[at] + line[at + 2 :]
    return _retitled(poster, lines)


def wrong_language(poster: LayeredPoster, seed: int) -> Image.Image:
    """Its title in Russian."""
    words = ["СЕВЕРНЫЙ", "СВЕТ", "ЛЕТНИЙ", "ПРАЗДНИК"]
    return _retitled(poster, [words[(n + seed) % 4] for n in range(len(poster.texts[0].lines))])


def doubled_title(poster: LayeredPoster, seed: int) -> Image.Image:
    title = poster.texts[0]
    cut, (x0, y0, _, y1) = layer(poster, title), title.box
    down = y1 - y0 + 8
    return _laid(poster.image.copy(), cut, (x0 - 3, y0 - 3 + (down if y1 + down < poster.image.height else -down)))


def mirrored_title(poster: LayeredPoster, seed: int) -> Image.Image:
    title = poster.texts[0]
    return _laid(erased(poster, title), ImageOps.mirror(layer(poster, title)), _grown(title.box, 3)[:2])


def cut_off_title(poster: LayeredPoster, seed: int) -> Image.Image:
    """The title runs off the left side by a quarter of its width."""
    title = poster.texts[0]
    return _laid(
        erased(poster, title), layer(poster, title), (-0.25 * (title.box[2] - title.box[0]), title.box[1] - 3)
    )


def low_contrast(poster: LayeredPoster, seed: int) -> Image.Image:
    """Its texts have a fifth of their contrast."""
    return Image.blend(poster.ground, poster.image, 0.2)


def title_over_subject(poster: LayeredPoster, seed: int) -> Image.Image:
    x0, y0, x1, y1 = poster.subject
    title, middle = poster.texts[0], (y0 + y1) // 2
    image, (left, _, right, _) = erased(poster, title), title.box
    wide, high = right - left, (title.box[3] - title.box[1])
    x = min(max(0, (x0 + x1 - wide) // 2), poster.image.width - wide)
    return _laid(image, layer(poster, title), (x, middle - high // 2))


def overlapping_texts(poster: LayeredPoster, seed: int) -> Image.Image:
    """The second text stands over the title."""
    title, second = poster.texts[:2]
    image, cut = erased(poster, second), layer(poster, second)
    image = erased_on(image, poster, title)
    y = (title.box[1] + title.box[3]) / 2 - cut.height / 2
    wide = title.box[2] - title.box[0]
    cut = cut.resize((wide, max(1, round(cut.height * wide / cut.width))), Image.Resampling.BICUBIC)
    return _laid(image, cut, (title.box[0], y))


def erased_on(image: Image.Image, poster: LayeredPoster, kept: SetText) -> Image.Image:
    """The picture with one text put back whole, where another was erased over it."""
    return _laid(image, layer(poster, kept), _grown(kept.box, 3)[:2])


def tiny_texts(poster: LayeredPoster, seed: int) -> Image.Image:
    """Every text at a fifth of its size in its place."""
    image = erased(poster)
    for text in poster.texts:
        cut, (x0, y0, x1, y1) = layer(poster, text), text.box
        small = cut.resize((max(1, cut.width // 5), max(1, cut.height // 5)), Image.Resampling.BOX)
        _laid(image, small, ((x0 + x1 - small.width) / 2, (y0 + y1 - small.height) / 2))
    return image


def giant_title(poster: LayeredPoster, seed: int) -> Image.Image:
    """The title fills most of the poster, one word a line."""
    title, (wide, high) = poster.texts[0], poster.image.size
    image = poster.ground.copy()
    lettered(image, title.text.split(), (10, 30, wide - 10, high - 60), title.color, title.font)
    for text in poster.texts[1:]:
        _laid(image, layer(poster, text), _grown(text.box, 3)[:2])
    return image


def mixed_fonts(poster: LayeredPoster, seed: int) -> Image.Image:
    """Each letter of the title in another face, size and height."""
    title, rng = poster.texts[0], Random(seed)
    image = erased(poster, title)
    draw, (x0, y0, x1, y1) = ImageDraw.Draw(image), title.box
    faces = [face for face in FACES if "Latin" in face.scripts]
    high = (y1 - y0) / len(title.lines)
    for row, line in enumerate(title.lines):
        step = (x1 - x0) / len(line)
        for n, letter in enumerate(line):
            size = min(1.5 * step, high) * rng.uniform(0.6, 1.3)
            face = ImageFont.truetype(str(rng.choice(faces).path), max(8, round(size)))
            middle = x0 + (n + 0.5) * step, y0 + (row + 0.5) * high + rng.uniform(-0.15, 0.15) * high
            draw.text(middle, letter, title.color, face, anchor="mm")
    return image


def extra_pseudo_letters(poster: LayeredPoster, seed: int) -> Image.Image:
    """Two rows of signs that look like letters and are none, as diffusion models draw them."""
    rng, image, text = Random(seed), poster.image.copy(), poster.texts[-1]
    wide, high = image.size
    size = max(16, round(0.03 * high))
    draw, y = ImageDraw.Draw(image), _free_row(poster, 3 * size)
    for row in range(2):
        x, line = 0.12 * wide, y + row * 1.6 * size
        while x < 0.86 * wide:
            if rng.random() < 0.15:
                x += 0.6 * size
                continue
            for _ in range(rng.randint(2, 3)):
                xs, ys = ([rng.choice((0, 0.3, 0.6)) * size for _ in range(2)] for _ in range(2))
                points = [(x + xs[0], line + 1.6 * ys[0]), (x + xs[1], line + 1.6 * ys[1])]
                if rng.random() < 0.5:
                    draw.line(points, text.color, max(2, size // 8))
                else:
                    draw.arc((x, line, x + 0.6 * size, line + size), rng.randrange(360), rng.randrange(360, 620),
                             text.color, max(2, size // 8))  # fmt: skip
            x += 0.8 * size
    return image


def _free_row(poster: LayeredPoster, high: int) -> int:
    """Where rows of some height stand on no text: as low as it can be."""
    places = range(poster.image.height - high - 16, 16, -4)
    return next(y for y in places if all(one.box[3] + 8 < y or one.box[1] - 8 > y + high for one in poster.texts))


def extra_small_text(poster: LayeredPoster, seed: int) -> Image.Image:
    image, text = poster.image.copy(), poster.texts[-1]
    wide, high = image.size
    y = _free_row(poster, high // 50)
    lettered(image, ["terms and conditions apply while stocks last"], (wide // 4, y, wide * 3 // 4, y + high // 50),
             text.color, text.font)  # fmt: skip
    return image


def watermark(poster: LayeredPoster, seed: int) -> Image.Image:
    """A stock agency's word, half transparent and slanted, all over the poster."""
    wide, high = poster.image.size
    veil = Image.new("L", (2 * wide, 2 * high), 0)
    draw, face = ImageDraw.Draw(veil), ImageFont.truetype(str(FACES[0].path), wide // 11)
    for row, y in enumerate(range(0, 2 * high, high // 5)):
        for x in range(-wide // 4 * (row % 2), 2 * wide, wide * 2 // 3):
            draw.text((x, y), "STOCKPHOTO", fill=110, font=face)
    veil = veil.rotate(20).crop((wide // 2, high // 2, wide // 2 + wide, high // 2 + high))
    return Image.composite(Image.new("RGB", (wide, high), "white"), poster.image, veil)


def swapped_hierarchy(poster: LayeredPoster, seed: int) -> Image.Image:
    """The least text stands large in the title's place, across the poster, and the title small in its place."""
    title, last, wide = poster.texts[0], poster.texts[-1], poster.image.width
    image = erased(poster, title, last)
    words, rows = last.text.split(), len(title.lines)
    cut = [" ".join(words[n * len(words) // rows : (n + 1) * len(words) // rows]) for n in range(rows)]
    place = wide // 20, title.box[1], wide - wide // 20, title.box[3]
    lettered(image, [line for line in cut if line], place, title.color, title.font)
    x0, y0, x1, y1 = last.box
    lettered(image, [title.text], (x0, y0 + (y1 - y0) // 8, x1, y1 - (y1 - y0) // 8), last.color, last.font)
    return image


# the picture as a whole


def jpeg_blocks(poster: LayeredPoster, seed: int) -> Image.Image:
    file = io.BytesIO()
    poster.image.save(file, "JPEG", quality=5)
    return Image.open(file).convert("RGB")  # noqa: TID251 - written two lines above


def noise(poster: LayeredPoster, seed: int) -> Image.Image:
    pixels = np.asarray(poster.image, float)
    return _picture(pixels + np.random.default_rng(seed).normal(0, 25, pixels.shape))


def blur(poster: LayeredPoster, seed: int) -> Image.Image:
    return poster.image.filter(ImageFilter.GaussianBlur(2.5))


def upscaled(poster: LayeredPoster, seed: int) -> Image.Image:
    """A quarter of its size, enlarged again."""
    wide, high = poster.image.size
    return poster.image.resize((wide // 4, high // 4), Image.Resampling.BOX).resize(
        (wide, high), Image.Resampling.BICUBIC
    )


def banding(poster: LayeredPoster, seed: int) -> Image.Image:
    """A shade from top to bottom that comes in six steps."""
    pixels = np.asarray(poster.image, float)
    shade = np.linspace(0, 1, len(pixels))
    return _picture(pixels * (1.25 - 0.65 * np.floor(6 * shade * 0.999) / 5)[:, None, None])


def posterised(poster: LayeredPoster, seed: int) -> Image.Image:
    """Three steps of each channel."""
    return _picture(np.rint(np.asarray(poster.image, float) / 127.5) * 127.5)


def over_saturated(poster: LayeredPoster, seed: int) -> Image.Image:
    pixels = np.asarray(poster.image, float)
    grey = pixels @ [0.299, 0.587, 0.114]
    return _picture(grey[..., None] + 3.5 * (pixels - grey[..., None]))


def washed_out(poster: LayeredPoster, seed: int) -> Image.Image:
    return _picture(175 + 0.3 * (np.asarray(poster.image, float) - 128))


def colour_cast(poster: LayeredPoster, seed: int) -> Image.Image:
    return _picture(np.asarray(poster.image, float) * (0.6, 1.05, 0.6))


def dark(poster: LayeredPoster, seed: int) -> Image.Image:
    return _picture(np.asarray(poster.image, float) * 0.25)


def over_exposed(poster: LayeredPoster, seed: int) -> Image.Image:
    return _picture(np.asarray(poster.image, float) * 1.9 + 50)


def letterboxed(poster: LayeredPoster, seed: int) -> Image.Image:
    wide, high = poster.image.size
    image = Image.new("RGB", (wide, high), "black")
    image.paste(poster.image.resize((wide, round(0.72 * high)), Image.Resampling.LANCZOS), (0, round(0.14 * high)))
    return image


def stretched(poster: LayeredPoster, seed: int) -> Image.Image:
    """The picture half as high again as it is, its upper part alone; the texts stay."""
    wide, high = poster.image.size
    ground = poster.ground.resize((wide, high * 8 // 5), Image.Resampling.LANCZOS)
    return _with_texts(poster, ground.crop((0, high * 3 // 10, wide, high * 3 // 10 + high)))


def seams(poster: LayeredPoster, seed: int) -> Image.Image:
    """The poster in tiles that do not agree in lightness, as tiled decoding leaves it."""
    rng, pixels = np.random.default_rng(seed), np.asarray(poster.image, float).copy()
    high, wide = pixels.shape[0] // 3, pixels.shape[1] // 2
    for n, change in enumerate(rng.permutation([-26, -15, -6, 6, 15, 26])):
        y, x = n // 2 * high, n % 2 * wide
        pixels[y : y + high + 2, x : x + wide] += change
    return _picture(pixels)


def smear(poster: LayeredPoster, seed: int) -> Image.Image:
    """A third of it is drawn out sideways."""
    pixels = np.asarray(poster.image, float).copy()
    top = np.random.default_rng(seed).integers(len(pixels) // 6, len(pixels) // 2)
    band = np.s_[top : top + len(pixels) // 3]
    pixels[band] = uniform_filter1d(pixels[band], 61, axis=1, mode="nearest")
    return _picture(pixels)


def border_lines(poster: LayeredPoster, seed: int) -> Image.Image:
    """Stray lines along the sides, as a crop leaves them."""
    image = poster.image.copy()
    draw, (wide, high) = ImageDraw.Draw(image), image.size
    draw.rectangle((0, 0, 3, high), "white")
    draw.rectangle((0, high - 5, wide, high), "black")
    draw.rectangle((wide - 9, 0, wide - 7, high), "red")
    return image


def checkerboard(poster: LayeredPoster, seed: int) -> Image.Image:
    """Every second pixel is lighter, as transposed convolutions leave it."""
    pixels = np.asarray(poster.image, float)
    y, x = np.indices(pixels.shape[:2])
    return _picture(pixels + (18.0 * ((y // 2 + x // 2) % 2) - 9)[..., None])


def empty_picture(poster: LayeredPoster, seed: int) -> Image.Image:
    """Its texts on a flat ground of the border's colour."""
    pixels = np.asarray(poster.ground)
    rim = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    return _with_texts(poster, Image.new("RGB", poster.image.size, tuple(np.median(rim, axis=0).astype(int).tolist())))


def wrong_brand_colour(poster: LayeredPoster, seed: int) -> Image.Image:
    """What is of its accent colour, and near it, takes the opposite hue."""
    hsv = np.asarray(poster.image.convert("HSV")).copy()
    accent = Image.new("RGB", (1, 1), tuple(COLORS[poster.accent])).convert("HSV").getpixel((0, 0))
    apart = np.abs((hsv[..., 0].astype(int) - accent[0] + 128) % 256 - 128)  # type: ignore[index]
    turned = (apart < 32) & (hsv[..., 1] > 40)
    hsv[..., 0] = np.where(turned, (hsv[..., 0].astype(int) + 118) % 256, hsv[..., 0])
    return Image.fromarray(hsv, "HSV").convert("RGB")


def wrong_background(poster: LayeredPoster, seed: int) -> Image.Image:
    """The negative, its channels exchanged."""
    pixels = np.asarray(poster.image, float)
    return _picture(255 - pixels[..., [1, 2, 0]])


# the subject and the arrangement


def duplicated_subject(poster: LayeredPoster, seed: int) -> Image.Image:
    """A second one beside it, reduced, where it covers the first least."""
    box, (wide, high) = poster.subject, poster.image.size
    cut = poster.ground.crop(box)
    cut.thumbnail((wide * 2 // 5, high * 2 // 5))
    x = 0 if box[0] + box[2] > wide else wide - cut.width
    y = 0 if box[1] + box[3] > high else high - cut.height
    image = poster.ground.copy()
    image.paste(cut, (x, y))
    return _with_texts(poster, image)


def subject_cut_off(poster: LayeredPoster, seed: int) -> Image.Image:
    """The picture is moved until half of its subject is beyond the side."""
    x0, _, x1, _ = poster.subject
    pixels, wide = np.asarray(poster.ground), poster.image.width
    by = (x0 + x1) // 2
    moved = np.concatenate([pixels[:, by:], np.repeat(pixels[:, -1:], by, 1)], 1)[:, :wide]
    return _with_texts(poster, Image.fromarray(moved))


def another_subject(poster: LayeredPoster, seed: int) -> Image.Image:
    """The next poster's subject in the place of its own."""
    those = layered_posters()
    other = those[(next(n for n, one in enumerate(those) if one.name == poster.name) + 1) % len(those)]
    x0, y0, x1, y1 = poster.subject
    image = poster.ground.copy()
    image.paste(other.ground.crop(other.subject).resize((x1 - x0, y1 - y0), Image.Resampling.LANCZOS), (x0, y0))
    return _with_texts(poster, image)


def mirrored_poster(poster: LayeredPoster, seed: int) -> Image.Image:
    return ImageOps.mirror(poster.image)


def upside_down(poster: LayeredPoster, seed: int) -> Image.Image:
    return poster.image.rotate(180)


def repeated_poster(poster: LayeredPoster, seed: int) -> Image.Image:
    """Four small ones."""
    wide, high = poster.image.size
    small, image = poster.image.resize((wide // 2, high // 2), Image.Resampling.LANCZOS), poster.image.copy()
    for x, y in ((0, 0), (wide // 2, 0), (0, high // 2), (wide // 2, high // 2)):
        image.paste(small, (x, y))
    return image


def _with_texts(poster: LayeredPoster, ground: Image.Image) -> Image.Image:
    image = ground.copy()
    for text in poster.texts:
        _laid(image, layer(poster, text), _grown(text.box, 3)[:2])
    return image


def _picture(pixels: Pixels) -> Image.Image:
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))


WORDS, LOOKS = ("text", "agreement"), ("aesthetics",)
DAMAGES: dict[str, Damage] = {
    "missing text": Damage(missing_text, WORDS),
    "misspelt title": Damage(misspelt_title, WORDS),
    "wrong language": Damage(wrong_language, WORDS),
    "doubled title": Damage(doubled_title, ("text",)),
    "mirrored title": Damage(mirrored_title, WORDS),
    "title cut off": Damage(cut_off_title, WORDS),
    "overlapping texts": Damage(overlapping_texts, ("text",)),
    "tiny texts": Damage(tiny_texts, WORDS),
    "giant title": Damage(giant_title, LOOKS),
    "mixed fonts": Damage(mixed_fonts, ("layout",), "layout_driven"),
    "low contrast": Damage(low_contrast, LOOKS),
    "title over subject": Damage(title_over_subject, ("identity", "layout"), "layout_driven"),
    "swapped hierarchy": Damage(swapped_hierarchy, ("agreement",)),
    "extra pseudo-letters": Damage(extra_pseudo_letters, ("text",)),
    "extra small text": Damage(extra_small_text, ("text",)),
    "watermark": Damage(watermark, ("text",)),
    "JPEG blocks": Damage(jpeg_blocks, LOOKS),
    "noise": Damage(noise, LOOKS),
    "blur": Damage(blur, LOOKS),
    "upscaled": Damage(upscaled, LOOKS),
    "banding": Damage(banding, LOOKS),
    "posterised": Damage(posterised, LOOKS),
    "over-saturated": Damage(over_saturated, LOOKS),
    "washed out": Damage(washed_out, LOOKS),
    "dark": Damage(dark, LOOKS),
    "over-exposed": Damage(over_exposed, LOOKS),
    "letterboxed": Damage(letterboxed, LOOKS),
    "seams": Damage(seams, LOOKS),
    "smear": Damage(smear, LOOKS),
    "border lines": Damage(border_lines, LOOKS),
    "checkerboard": Damage(checkerboard, LOOKS),
    "empty picture": Damage(empty_picture, ("aesthetics", "agreement")),
    "colour cast": Damage(colour_cast, ("style",), "style_driven"),
    "wrong brand colour": Damage(wrong_brand_colour, ("agreement", "style")),
    "wrong background": Damage(wrong_background, ("agreement", "style")),
    "stretched": Damage(stretched, ("identity",), "id_driven"),
    "duplicated subject": Damage(duplicated_subject, ("layout",), "layout_driven"),
    "subject cut off": Damage(subject_cut_off, ("identity",), "id_driven"),
    "another subject": Damage(another_subject, ("identity",), "id_driven"),
    "mirrored poster": Damage(mirrored_poster, WORDS),
    "upside down": Damage(upside_down, WORDS),
    "repeated poster": Damage(repeated_poster, ("text", "layout")),
}  # fmt: skip


def sheet(posters: Sequence[LayeredPoster], out: Path, side: int = 208) -> None:
    """One column a poster, one row a damage, the sound poster first."""
    names, label = ["sound", *DAMAGES], 120
    wide, high = side, round(side * posters[0].image.height / posters[0].image.width)
    page = Image.new("RGB", (label + len(posters) * (wide + 6), len(names) * (high + 6)), "white")
    draw = ImageDraw.Draw(page)
    for row, name in enumerate(names):
        draw.text((4, row * (high + 6) + 8), name, "black", font_size=13)
        for column, poster in enumerate(posters):
            shown = poster.image if name == "sound" else DAMAGES[name].draw(poster, column)
            page.paste(
                shown.resize((wide, high), Image.Resampling.LANCZOS), (label + column * (wide + 6), row * (high + 6))
            )
    page.save(out)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--out", type=Path, required=True)
    sheet(layered_posters(), options.parse_args().out)
