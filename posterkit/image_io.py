"""Files: reads any image safely, from a file or as a Pillow object; writes any file whole or not at all."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image, UnidentifiedImageError

from posterkit.messages import caught_warnings, error_line, one_line
from posterkit.sizing import Size
from posterkit.srgb import lay_on, to_rgb

# formats that Pillow decodes by itself; EPS and PDF would start another program
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "PPM", "JPEG2000", "TGA")
SUFFIXES = frozenset((
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".avif", ".ppm", ".pgm",
    ".pbm", ".pnm", ".jp2", ".tga", ".heic", ".heif",
))  # fmt: skip
MAX_PIXELS = 100 * 2**20
MAX_BYTES = 512 * 2**20  # of a file
MAX_SECONDS = 20.0  # for one file; a phone's photograph takes a tenth of one
MAX_MEMORY = 4 * 2**30  # bytes for decoding one file in a process of its own
ImageFile = str | Path | bytes
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip
_TURNED = frozenset((5, 6, 7, 8))  # EXIF orientations that exchange width and height
_JPEG_BLOCK = 2**13  # bytes at a time: some hundred scans, each of which may be a pass over all pixels
# decoders that ask for no bytes on the way, so that nothing can stop them here, and from how many pixels that matters
_IN_ONE_GO = frozenset(("WEBP", "AVIF", "JPEG2000", "TIFF"))
_LARGE = 2**24
_DECODE = """
import io, sys
try:
    import resource
    resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[2]),) * 2)
except ImportError:  # Windows
    pass
from PIL import Image
Image.MAX_IMAGE_PIXELS = None
try:
    Image.open(io.BytesIO(sys.stdin.buffer.read()), formats=[sys.argv[1]]).load()
except Exception as error:
    full = isinstance(error, MemoryError) or "alloc" in str(error)
    sys.exit("memory" if full else f"{type(error).__name__}: {error}")
"""
_UNFINISHED = ".tmp"
_BEGINNINGS = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"II*\0", b"MM\0*", b"BM")
_KEPT = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp"}


def read_image(
    source: ImageFile, *, name: str | None = None, max_pixels: int = MAX_PIXELS, background: str = "white"
) -> Image.Image:
    """Read an image file as a designer sees it.

    EXIF orientation is applied, alpha is laid on `background`, CMYK, Lab and wide-gamut RGB go to sRGB by their own
    profile, 16-bit is scaled to 8-bit, and of an animation the first frame is taken with a warning.

    Args:
        source: PNG, JPEG, WebP, TIFF, BMP, GIF, AVIF, PPM, JPEG 2000 or TGA: a file, or its bytes.
        name: what errors call it; a file's path where None.
        max_pixels: refuse larger ones before any pixel is decoded.
        background: the colour behind transparent pixels.

    Returns:
        Mode RGB, uint8 0-255, without the file's metadata.

    Raises:
        ValueError: one line with the name: missing, not an image, damaged, or beyond a limit.
    """
    return read_image_and_kind(source, name=name, max_pixels=max_pixels, background=background)[0]


def read_image_and_kind(
    source: ImageFile,
    *,
    name: str | None = None,
    max_pixels: int = MAX_PIXELS,
    background: str = "white",
    least: int | None = None,
) -> tuple[Image.Image, str | None]:
    """As `read_image`, and whether the file itself can stand for the picture.

    Args:
        least: a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size, which takes less time, as long as its shorter
            side keeps this many pixels; None decodes it whole. Damage is found all the same.

    Returns:
        The picture, and the file's right suffix (.jpg, .png, .webp) where every program sees the same pixels in it
        as `read_image` does (8-bit RGB, upright, opaque, sRGB, one frame), else None.
    """
    with open_image(source, name=name, max_pixels=max_pixels) as image:
        frames = getattr(image, "n_frames", 1)
        # an MPO is a phone's JPEG with a preview behind it, not an animation
        if frames > 1 and image.format != "MPO":
            warnings.warn(f"{_name(source, name)}: has {frames} frames; the first is taken", stacklevel=3)
            image.seek(0)
        if least:
            image.draft(None, (least, least))
        image.load()
        flat = as_rgb(image, background)
        kind = _KEPT.get(image.format or "") if flat is image and frames == 1 else None
    if flat is not image:
        flat.info.clear()
        return flat, kind
    clean = Image.new("RGB", flat.size)
    clean.paste(flat)
    return clean, kind


def as_rgb(image: Image.Image, background: str = "white") -> Image.Image:
    """An open image as a designer sees it, see `read_image`; the very object where nothing is to be done."""
    profile = image.info.get("icc_profile")
    return lay_on(background, to_rgb(_upright(image), profile))


def reduced(image: Image.Image, side: int) -> Image.Image:
    """An RGB copy whose longer side is at most `side` pixels; it is never enlarged."""
    picture = image.convert("RGB")
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    return picture


def read_cutout(path: str | Path) -> Image.Image | None:
    """A picture with its transparency, mode RGBA; None where none of it is more than half transparent.

    Raises:
        ValueError: as `read_image`.
    """
    with open_image(path) as image:
        image.load()
        found = to_rgb(_upright(image), image.info.get("icc_profile"))
        clear = found.mode == "RGBA" and bool((np.asarray(found)[..., 3] < 128).any())
        return found.copy() if clear else None


def read_mask(path: str | Path, size: tuple[int, int]) -> Image.Image:
    """Read a mask: white = make this, black or transparent = keep.

    Args:
        path: any format that `read_image` takes.
        size: width and height that the mask must have, in pixels (its picture's, after EXIF).

    Returns:
        Mode L, 0 or 255.

    Raises:
        ValueError: unreadable, of another size, or nothing in it is white.
    """
    mask = read_image(path, background="black").convert("L")
    if mask.size != tuple(size):
        raise ValueError(f"{path}: the mask is {Size(*mask.size)}, its image {Size(*size)}; they must be the same")
    hard = mask.point([0] * 128 + [255] * 128)
    if hard.getbbox() is None:
        raise ValueError(f"{path}: the mask is empty; paint what posterkit shall make in white")
    return hard


def read_size(source: ImageFile, *, name: str | None = None) -> Size:
    """Width and height in pixels after EXIF orientation; the pixels are not decoded where the format allows it.

    Raises:
        ValueError: as `read_image`, but damage further back in the file is not seen.
    """
    with open_image(source, name=name, decodes=False) as image:
        turned = _orientation(image) in _TURNED
        return Size(image.height, image.width) if turned else Size(*image.size)


@contextmanager
def open_image(
    source: ImageFile,
    *,
    name: str | None = None,
    formats: tuple[str, ...] = FORMATS,
    max_pixels: int = MAX_PIXELS,
    max_bytes: int = MAX_BYTES,
    max_seconds: float = MAX_SECONDS,
    decodes: bool = True,
) -> Iterator[Image.Image]:
    """Open an image as Pillow has it, within limits; the only place that does. For pixels, see `read_image`.

    Whatever a decoder raises in the block becomes one line with the file's name.

    Args:
        source: a file, or its bytes.
        name: what errors call it; a file's path where None.
        formats: the only decoders that are tried.
        max_pixels: of the first frame, before any is decoded.
        max_bytes: of the file.
        max_seconds: from opening it to the end of the block; looked at whenever the decoder asks for more bytes. Large
            files whose decoder asks for none are decoded in a process of its own first, which is ended after it.
        decodes: the block looks at pixels; else at the head alone.

    Raises:
        ValueError: missing, not an image, damaged, or beyond a limit.
    """
    what = _name(source, name)
    with _bytes_of(source, what, max_bytes, time.monotonic() + max_seconds) as file:
        try:
            with caught_warnings():  # of sizes, which are checked here, and of tags
                Image.init()
                image = Image.open(file, formats=formats)  # noqa: TID251 - the one reader
        except UnidentifiedImageError:
            if Path(what).suffix.lower() in (".heic", ".heif"):
                raise ValueError(f"{what}: cannot read HEIC; convert it to PNG or JPEG") from None
            file.seek(0)
            if file.read(4).startswith(_BEGINNINGS) and formats is FORMATS:
                raise ValueError(f"{what}: damaged image (its head cannot be read)") from None
            raise ValueError(f"{what}: not an image that posterkit reads ({', '.join(formats)})") from None
        except Image.DecompressionBombError:
            raise ValueError(f"{what}: larger than the limit of {max_pixels / 2**20:g} megapixels") from None
        except Exception as error:
            raise _refused(what, error, max_seconds) from error
        with image:
            if image.width * image.height > max_pixels:
                found = f"{Size(*image.size)} is {image.width * image.height / 2**20:.0f} megapixels"
                raise ValueError(f"{what}: {found}, the limit is {max_pixels / 2**20:g}")
            if image.format == "TIFF":
                _check_tiles(image, what, max_pixels)
            if image.format in ("JPEG", "MPO"):
                image.decodermaxblock = _JPEG_BLOCK  # type: ignore[attr-defined]
            if image.format in _IN_ONE_GO and image.width * image.height > _LARGE and decodes:
                _check_decoding(file, str(image.format), what, max_seconds)
            try:
                yield image
            except Exception as error:
                raise _refused(what, error, max_seconds) from error


def _check_decoding(file: _TimedFile, kind: str, what: str, seconds: float) -> None:
    """Decode a picture in a process of its own, within limits on time and memory that hold for any decoder.

    Raises:
        ValueError: it is damaged, or takes more.
    """
    place = file.tell()
    file.seek(0)
    content = file.read()
    file.seek(place)
    command = [sys.executable, "-I", "-c", _DECODE, kind, str(MAX_MEMORY)]
    try:
        ended = subprocess.run(command, input=content, capture_output=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        raise _refused(what, _OutOfTime(), seconds) from None
    if ended.returncode:
        said = ended.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or ["its decoder crashed"]
        raise _refused(what, MemoryError() if said == ["memory"] else ValueError(said[0]), seconds)


class _OutOfTime(Exception):
    """A decoder asked for more bytes after its time."""


class _TimedFile(io.BufferedReader):
    """A file that ends a decoder which takes too long; decoders ask for bytes again and again."""

    deadline: float

    def read(self, size: int | None = -1, /) -> bytes:
        if time.monotonic() > self.deadline:
            raise _OutOfTime
        return super().read(size)


@contextmanager
def _bytes_of(source: ImageFile, what: str, most: int, deadline: float) -> Iterator[_TimedFile]:
    """The file, once its kind and length are known to be right."""
    if isinstance(source, bytes):
        length, raw = len(source), io.BytesIO(source)
    else:
        path = Path(source)
        try:
            if not path.is_file():
                found = "is a folder, not an image" if path.is_dir() else "there is no such file"
                raise ValueError(f"{what}: {found}")
            length, raw = path.stat().st_size, path.open("rb", buffering=0)
        except OSError as error:
            raise ValueError(f"{what}: cannot be read ({error.strerror})") from None
    with _TimedFile(raw, 2**16) as file:  # type: ignore[arg-type]
        if not length:
            raise ValueError(f"{what}: the file is empty")
        if length > most:
            raise ValueError(f"{what}: {length / 2**20:.0f} MiB are more than the limit of {most / 2**20:g}")
        file.deadline = deadline
        yield file


def _name(source: ImageFile, name: str | None) -> str:
    return one_line(name or ("picture" if isinstance(source, bytes) else str(source)), 400)


def _refused(what: str, error: Exception, seconds: float) -> ValueError:
    if isinstance(error, _OutOfTime) or isinstance(error.__cause__ or error.__context__, _OutOfTime):
        return ValueError(f"{what}: takes longer to decode than the limit of {seconds:g} s")
    if isinstance(error, MemoryError):
        return ValueError(f"{what}: takes more memory to decode than there is")
    return ValueError(f"{what}: damaged image ({error_line(error)})")


def _check_tiles(image: Image.Image, what: str, most: int) -> None:
    """Raise ValueError for tiles that are larger than any image, whose buffer a decoder would get before it looks."""
    tags = getattr(image, "tag_v2", {})
    width, height = tags.get(322, 0), tags.get(323, 0)
    if isinstance(width, int) and isinstance(height, int) and width * height > most:
        raise ValueError(f"{what}: its tiles are {Size(width, height)}, the limit is {most / 2**20:g} megapixels")


def _upright(image: Image.Image) -> Image.Image:
    turn = _TURNS.get(_orientation(image))
    return image if turn is None else image.transpose(turn)


def _orientation(image: Image.Image) -> int:
    """EXIF's; 1, upright, where there is none or it cannot be read."""
    try:
        with caught_warnings():
            return int(image.getexif().get(_ORIENTATION, 1))
    except _OutOfTime:
        raise
    except Exception:  # the parser of others' tags raises many kinds, and none of them spoils the pixels
        return 1


@contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """A place to write a file or a folder to, which becomes `path` when the block ends well and is removed if not.

        with written_whole("set/index.json") as temporary:
            temporary.write_text("{}")

    Nobody ever sees half of it. The temporary file has the name of `path`, in a hidden folder beside it whose name no
    other thread, process or machine uses. A folder replaces a folder. A block that writes nothing changes nothing.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        made = TemporaryDirectory(prefix=f".{path.name[:40]}.", suffix=_UNFINISHED, dir=path.parent)
    except OSError as error:
        error.filename = str(path)  # nobody knows the other names
        raise
    with made as folder:
        temporary = Path(folder, path.name)
        yield temporary
        if temporary.is_dir() and path.is_dir():
            path.rename(Path(folder, ".replaced"))
        if temporary.exists():
            os.replace(temporary, path)


def remove_unfinished(folder: str | Path) -> None:
    """Remove what `written_whole` left in a folder when the process was killed; nobody may be writing there."""
    for left in Path(folder).glob(f".*{_UNFINISHED}"):
        shutil.rmtree(left, ignore_errors=True)
