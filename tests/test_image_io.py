from __future__ import annotations

import io
import struct
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from posterkit import image_io, srgb
from posterkit.image_io import as_rgb, open_image, read_image, read_mask, read_size, remove_unfinished, written_whole
from posterkit.messages import error_line


def pattern(width: int = 6, height: int = 4) -> Image.Image:
    """Red left half, blue right half: turning it shows."""
    image = Image.new("RGB", (width, height), (255, 0, 0))
    image.paste((0, 0, 255), (width // 2, 0, width, height))
    return image


def test_an_image_turned_by_exif_comes_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held so that the picture must be turned clockwise by a quarter
    pattern().save(tmp_path / "turned.png", exif=exif)
    image = read_image(tmp_path / "turned.png")
    assert image.size == (4, 6) == read_size(tmp_path / "turned.png")
    assert image.getpixel((0, 0)) == (255, 0, 0) and image.getpixel((0, 5)) == (0, 0, 255)
    assert "exif" not in image.info


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_agrees_with_its_size(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    pattern().save(tmp_path / "a.jpg", exif=exif)
    assert read_image(tmp_path / "a.jpg").size == tuple(read_size(tmp_path / "a.jpg"))
    assert read_size(tmp_path / "a.jpg") == ((6, 4) if orientation < 5 else (4, 6))


@pytest.mark.parametrize(("alpha", "expected"), [(0, (255, 255, 255)), (255, (10, 20, 30)), (128, (132, 137, 142))])
def test_alpha_lies_on_white(tmp_path: Path, alpha: int, expected: tuple[int, ...]) -> None:
    Image.new("RGBA", (2, 2), (10, 20, 30, alpha)).save(tmp_path / "a.png")
    found = read_image(tmp_path / "a.png").getpixel((0, 0))
    assert np.abs(np.subtract(found, expected)).max() <= 1  # type: ignore[arg-type]


def test_a_palette_with_a_transparent_entry_lies_on_white(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([0, 0, 0, 200, 10, 10])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "a.png", transparency=0)
    found = read_image(tmp_path / "a.png")
    assert found.getpixel((0, 0)) == (255, 255, 255) and found.getpixel((1, 0)) == (200, 10, 10)


def test_cmyk_without_a_profile_is_converted_by_the_plain_formula(tmp_path: Path) -> None:
    Image.new("CMYK", (8, 8), (255, 0, 0, 0)).save(tmp_path / "a.tif")
    assert read_image(tmp_path / "a.tif").getpixel((4, 4)) == (0, 255, 255)


def test_a_wide_gamut_image_goes_to_srgb_by_its_profile(tmp_path: Path) -> None:
    # sRGB's pure red in the connection space (D50) is L* 54.3, a* 80.8, b* 69.9; bytes count a*, b* from 128
    lab = Image.new("LAB", (4, 4), (round(54.3 * 2.55), 128 + 81, 128 + 70))
    lab.save(tmp_path / "a.tif")
    found = np.asarray(read_image(tmp_path / "a.tif")).astype(int)[0, 0]
    assert np.abs(found - [255, 0, 0]).max() <= 6


def test_an_srgb_profile_changes_no_pixel(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png", icc_profile=profile)
    assert np.array_equal(np.asarray(read_image(tmp_path / "a.png")), noise)


def test_a_broken_profile_is_left_aside(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4), (1, 2, 3)).save(tmp_path / "a.png", icc_profile=b"not a profile at all")
    assert read_image(tmp_path / "a.png").getpixel((0, 0)) == (1, 2, 3)


def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path) -> None:
    values = np.array([[0, 257 * 100, 65535]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    found = np.asarray(read_image(tmp_path / "a.png"))[0, :, 0]
    assert found.tolist() == [0, 100, 255]


def test_a_sixteen_bit_tiff_reads_as_the_png_does(tmp_path: Path) -> None:
    values = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    for name in ("a.png", "a.tif"):
        Image.fromarray(values).save(tmp_path / name)
    assert np.array_equal(np.asarray(read_image(tmp_path / "a.png")), np.asarray(read_image(tmp_path / "a.tif")))


def test_of_an_animation_the_first_frame_is_taken_with_a_warning(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "green", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    with pytest.warns(UserWarning, match="3 frames"):
        assert read_image(tmp_path / "a.gif").getpixel((0, 0)) == (255, 0, 0)


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims to be huge."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [11000, 60000])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path: Path, side: int) -> None:
    (tmp_path / "bomb.png").write_bytes(bomb(side, side))
    with pytest.raises(ValueError, match=r"bomb\.png: .*megapixels"):
        read_image(tmp_path / "bomb.png")


def test_a_cut_off_file_is_called_damaged(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(buffer, "JPEG")
    (tmp_path / "cut.jpg").write_bytes(buffer.getvalue()[:-900])
    with pytest.raises(ValueError, match=r"cut\.jpg: damaged image"):
        read_image(tmp_path / "cut.jpg")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.png", b"", "the file is empty"),
        ("a.png", b"hello", "not an image"),
        ("a.heic", b"\0\0\0\x18ftypheic", "convert it to PNG or JPEG"),
        ("a.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
    ],
)
def test_what_is_no_image_is_named_in_one_line(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=said) as error:
        read_image(tmp_path / name)
    assert name in str(error.value) and "\n" not in str(error.value)


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no such file"):
        read_image(tmp_path / "none.png")
    with pytest.raises(ValueError, match="is a folder"):
        read_image(tmp_path)


def test_a_mask_is_white_where_something_is_to_be_made(tmp_path: Path) -> None:
    mask = Image.new("RGBA", (4, 2), (0, 0, 0, 0))  # transparent: keep
    mask.putpixel((1, 0), (255, 255, 255, 255))
    mask.putpixel((2, 0), (90, 90, 90, 255))
    mask.save(tmp_path / "m.png")
    found = np.asarray(read_mask(tmp_path / "m.png", (4, 2)))
    assert found.tolist() == [[0, 255, 0, 0], [0, 0, 0, 0]]


def test_a_mask_of_another_size_or_without_white_is_refused(tmp_path: Path) -> None:
    Image.new("L", (4, 2), 0).save(tmp_path / "m.png")
    with pytest.raises(ValueError, match="4x2, its image 8x2"):
        read_mask(tmp_path / "m.png", (8, 2))
    with pytest.raises(ValueError, match="the mask is empty"):
        read_mask(tmp_path / "m.png", (4, 2))


def test_an_open_image_is_read_as_its_file_is() -> None:
    turned = Image.new("RGB", (64, 96), (10, 20, 30))
    turned.getexif()[0x0112] = 6
    assert as_rgb(turned).size == (96, 64)
    glass = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    assert as_rgb(glass).getpixel((0, 0)) == (255, 255, 255)
    assert as_rgb(glass, "black").getpixel((0, 0)) == (0, 0, 0)
    deep = Image.fromarray(np.full((8, 8), 20000, np.uint16))
    assert as_rgb(deep).getpixel((0, 0)) == (round(20000 / 65535 * 255),) * 3
    plain = Image.new("RGB", (8, 8))
    assert as_rgb(plain) is plain  # one object stays one object, so that it is encoded once


def test_a_write_that_fails_leaves_the_file_as_it_was_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.json"
    with written_whole(path) as temporary:
        temporary.write_text("old")
        assert temporary.name == "a.json" and not path.exists()
    with pytest.raises(RuntimeError), written_whole(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old" and [file.name for file in path.parent.iterdir()] == ["a.json"]


def test_a_place_that_cannot_be_written_is_said_by_its_own_name(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "p.png"
    with pytest.raises(OSError) as caught, written_whole(path):
        pass
    assert error_line(caught.value).startswith(f"{path}: ")
    assert "Errno" not in error_line(caught.value)


def test_a_folder_replaces_a_folder_and_a_file_never_does(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    for name in ("first", "second"):
        with written_whole(folder) as temporary:
            temporary.mkdir()
            (temporary / name).touch()
    assert [file.name for file in folder.iterdir()] == ["second"]
    with pytest.raises(OSError), written_whole(folder) as temporary:
        temporary.write_text("a file")
    assert [file.name for file in tmp_path.rglob("*")] == ["model", "second"]


def test_many_threads_that_write_one_file_leave_one_whole_file(tmp_path: Path) -> None:
    def write(number: int) -> None:
        with written_whole(tmp_path / ("name" * 40)) as temporary:
            temporary.write_text(str(number) * 10_000)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(10, 60)))
    (file,) = tmp_path.iterdir()
    assert len(file.read_text()) == 20_000 and len(set(file.read_text()[::2])) == 1


def many_scans(side: int, scans: int) -> bytes:
    """A progressive JPEG whose last scan stands there again and again: small in the file, a pass over all pixels."""
    buffer = io.BytesIO()
    Image.new("L", (side, side), 90).save(buffer, "JPEG", progressive=True)
    whole = buffer.getvalue()
    last, end = whole.rindex(b"\xff\xda"), whole.rindex(b"\xff\xd9")
    return whole[:end] + whole[last:end] * scans + whole[end:]


def test_a_picture_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "slow.jpg"
    path.write_bytes(many_scans(1024, 40_000))
    began = time.monotonic()
    said = r"slow\.jpg: takes longer to decode than the limit of 0\.5 s"
    with pytest.raises(ValueError, match=said), open_image(path, max_seconds=0.5) as image:
        image.load()
    assert time.monotonic() - began < 15
    path.write_bytes(many_scans(64, 3))
    assert read_image(path).getpixel((0, 0)) == (90, 90, 90)


def test_a_decoder_that_wraps_the_end_of_its_time_ran_out_of_time(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="takes longer to decode"), open_image(tmp_path / "a.png"):
        raise SystemError("decode returned a result with an exception set") from image_io._OutOfTime()


def test_a_file_of_too_many_bytes_is_not_opened(tmp_path: Path) -> None:
    pattern().save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"a\.png: 0 MiB are more than the limit of"):
        open_image(tmp_path / "a.png", max_bytes=10).__enter__()


def test_a_tile_larger_than_any_picture_is_refused_before_its_buffer_is_made() -> None:
    # width, height, bits, deflate, black is zero, channels, tile width and height, where and how long the tile is
    tags = {256: 64, 257: 64, 258: 8, 259: 8, 262: 1, 277: 1, 322: 60_000, 323: 60_000, 324: 0, 325: 9}
    entries = b"".join(struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in tags.items())
    content = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)
    with pytest.raises(ValueError, match=r"x\.tif: its tiles are 60000x60000, the limit is 100 megapixels"):
        read_image(content, name="x.tif")


def test_the_bytes_of_a_file_are_read_as_the_file_is(tmp_path: Path) -> None:
    pattern().save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    assert read_image(content).tobytes() == read_image(tmp_path / "a.png").tobytes()
    assert read_size(content) == (6, 4)
    with pytest.raises(ValueError, match=r"^row 3: a: damaged image"):
        read_image(content[:50], name="row 3: a")


def test_exif_that_cannot_be_read_spoils_no_picture(tmp_path: Path) -> None:
    pattern().save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\xff", quality=95)
    assert read_image(tmp_path / "a.jpg").size == (6, 4) == read_size(tmp_path / "a.jpg")


def test_what_is_converted_in_bands_equals_what_is_converted_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0)
    glass = Image.fromarray(noise.integers(0, 256, (50, 40, 4), np.uint8), "RGBA")
    deep = Image.fromarray(noise.integers(0, 2**16, (50, 40), np.uint16))
    whole = [as_rgb(glass).tobytes(), as_rgb(deep).tobytes()]
    monkeypatch.setattr(srgb, "_BAND", 40 * 7)
    assert [as_rgb(glass).tobytes(), as_rgb(deep).tobytes()] == whole
    on_white = Image.alpha_composite(Image.new("RGBA", glass.size, "white"), glass).convert("RGB")
    assert whole[0] == on_white.tobytes()


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    unfinished = written_whole(tmp_path / "a.json")
    unfinished.__enter__().write_text("half")
    remove_unfinished(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> Iterator[Path]:
    """A JPEG 2000 file of 4 megapixels, whose decoder cannot be stopped from within the process, counts as large."""
    path = tmp_path_factory.mktemp("large") / "large.jp2"
    noise = np.random.default_rng(0).integers(0, 256, (410, 410, 3), np.uint8)
    Image.fromarray(noise).resize((2050, 2050)).save(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(image_io, "_LARGE", 2**22)
        yield path


def test_a_large_picture_that_decodes_in_one_go_is_ended_after_its_time(large):
    began = time.monotonic()
    with (
        pytest.raises(ValueError, match=r"large\.jp2: takes longer to decode than the limit of 0\.2 s"),
        open_image(large, max_seconds=0.2) as image,
    ):
        image.load()
    assert time.monotonic() - began < 5


def test_a_large_picture_may_not_take_more_memory_than_its_limit(large, monkeypatch):
    monkeypatch.setattr(image_io, "MAX_MEMORY", 2**26)
    with (
        pytest.raises(ValueError, match=r"large\.jp2: takes more memory to decode than there is|damaged image"),
        open_image(large) as image,
    ):
        image.load()


def test_a_large_picture_within_its_limits_is_read_and_its_head_is_read_at_once(large):
    assert read_image(large).size == (2050, 2050)
    began = time.monotonic()
    assert read_size(large) == (2050, 2050)
    assert time.monotonic() - began < 0.2


def test_a_large_picture_cut_short_is_damaged(large, tmp_path):
    (tmp_path / "cut.jp2").write_bytes(large.read_bytes()[:200_000])
    with pytest.raises(ValueError, match=r"cut\.jp2: damaged image"):
        read_image(tmp_path / "cut.jp2")
