"""Nothing shifts, zooms or leaks: a model that copies reference 0 must give reference 0 back, pixel on pixel."""

from __future__ import annotations

import identity_qwen
import numpy as np
import pytest
from PIL import Image

from posterkit import PosterOmniPipeline
from posterkit.pipelines.keep import keep_pixels, seam_width
from posterkit.tasks import BLANK


@pytest.fixture(scope="module")
def copying() -> PosterOmniPipeline:
    return identity_qwen.pipeline(native_area=96 * 144, reference_area=96 * 144)


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    """Noise: it agrees with no shifted, zoomed or smoothed copy of itself."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


@pytest.mark.parametrize("anchor, corner", [("center", (16, 40)), ("top-left", (0, 0)), ((5, 3), (5, 3))])
def test_extending_draws_the_photo_where_the_anchor_puts_it(copying, anchor, corner) -> None:
    photo = picture(64, 64)
    out = copying(photo, task="extending", width=96, height=144, anchor=anchor, preserve=False).images[0]
    expected = np.full((144, 96, 3), BLANK)
    x, y = corner
    expected[y : y + 64, x : x + 64] = photo
    assert np.abs(pixels(out) - expected).max() <= 1


@pytest.mark.parametrize("size", [(96, 144), (144, 96), (112, 112), (240, 48)])
def test_filling_keeps_every_pixel_in_its_place_without_pasting(copying, size) -> None:
    photo, mask = picture(*size), np.zeros(size[::-1], np.uint8)
    mask[16:32, 20:44] = 255
    out = copying(photo, task="filling", mask_image=mask, width=size[0], height=size[1], preserve=False).images[0]
    expected = np.where(mask[..., None] == 255, BLANK, pixels(photo))
    assert np.abs(pixels(out) - expected).max() <= 1


def test_a_checkpoint_may_ask_for_the_nearest_kept_pixels_where_it_has_to_make_the_picture() -> None:
    pipe = identity_qwen.pipeline(native_area=96 * 144, replicate_edges=True)
    photo, mask = picture(96, 144), np.zeros((144, 96), np.uint8)
    mask[16:32, :20] = 255
    secret = pixels(photo)
    secret[mask == 255] = (255, 0, 0)
    out = pipe(Image.fromarray(secret.astype(np.uint8)), task="filling", mask_image=mask, preserve=False).images[0]
    assert np.abs(pixels(out)[:16] - pixels(photo)[:16]).max() <= 1
    assert np.abs(pixels(out)[20, 2] - pixels(photo)[15, 2]).max() <= 1  # nearest upwards
    assert np.abs(pixels(out)[24, 18] - pixels(photo)[24, 20]).max() <= 1  # nearest to the right
    corner = photo.crop((0, 0, 64, 64))
    extended = pipe(corner, task="extending", width=96, height=144, anchor=(16, 40), preserve=False).images[0]
    assert np.abs(pixels(extended)[0, 40] - pixels(photo)[0, 24]).max() <= 1


def test_all_masked_leaves_nothing_to_replicate() -> None:
    pipe = identity_qwen.pipeline(native_area=96 * 144, replicate_edges=True)
    out = pipe(picture(96, 144), task="filling", mask_image=Image.new("L", (96, 144), 255), preserve=False).images[0]
    assert np.abs(pixels(out) - 128).max() <= 1


@pytest.mark.parametrize("task", ["layout_driven", "id_driven", "style_driven"])
def test_a_reference_of_the_posters_shape_lies_cell_on_cell(copying, task) -> None:
    photo = picture(96, 144)
    out = copying(photo, task=task, width=96, height=144).images[0]
    assert np.abs(pixels(out) - pixels(photo)).max() <= 1


def test_a_photo_off_the_grid_is_drawn_at_the_nearest_size_of_its_shape(copying) -> None:
    photo, mask = picture(301, 452), Image.new("L", (301, 452))
    mask.paste(255, (100, 100, 200, 200))
    out = copying(photo, task="filling", mask_image=mask, preserve=False).images[0]
    assert out.size == (96, 144)  # 301 : 452 is 2 : 3 within 0.1 %
    assert abs(pixels(out)[:28] - pixels(photo.resize((96, 144), Image.Resampling.LANCZOS))[:28]).max() <= 1


def test_the_canvas_has_the_targets_position_codes(copying) -> None:
    copying.transformer.shapes.clear()
    copying([picture(50, 70)], task="extending", width=96, height=144)
    assert copying.transformer.shapes[0] == [[(1, 9, 6), (1, 9, 6)]]


@pytest.mark.parametrize("output_type", ["pil", "np", "pt"])
def test_preserved_pixels_come_back_exactly(copying, output_type) -> None:
    copying_badly = identity_qwen.pipeline(native_area=96 * 144)
    decode = copying_badly.vae.decode
    copying_badly.vae.decode = lambda latents, return_dict: (decode(latents, return_dict)[0] * 0.8 + 0.1,)
    photo = picture(64, 80)
    out = copying_badly(photo, task="extending", width=96, height=144, anchor=(16, 32), output_type=output_type).images
    one = out[0].permute(1, 2, 0).numpy() if output_type == "pt" else np.asarray(out[0])
    kept = one[32 : 32 + 80, 16 : 16 + 64] * (1 if output_type == "pil" else 255)
    assert np.abs(kept - pixels(photo)).max() <= (0 if output_type == "pil" else 1e-4)


def test_preserve_false_returns_what_the_model_drew() -> None:
    pipe = identity_qwen.pipeline(native_area=96 * 144)
    pipe.vae.decode = lambda latents, return_dict: (latents.new_zeros(1, 3, 1, 144, 96),)
    photo = Image.new("RGB", (64, 80), (200, 10, 10))
    out = pipe(photo, task="extending", width=96, height=144, preserve=False).images[0]
    assert set(out.get_flattened_data()) == {(128, 128, 128)}


def left_kept(width: int = 96, height: int = 64, columns: int = 40) -> Image.Image:
    region = Image.new("L", (width, height), 255)
    region.paste(0, (0, 0, columns, height))
    return region


def test_a_colour_cast_goes_from_the_whole_made_side_and_kept_pixels_stay() -> None:
    truth = np.asarray(picture(12, 8).resize((96, 64), Image.Resampling.BICUBIC)) * 0.6 + 40
    canvas = Image.fromarray(truth.astype(np.uint8))
    truth = np.asarray(canvas, dtype=np.float32) / 255
    out = keep_pixels(truth + np.float32([0.1, -0.05, 0.03]), canvas, left_kept())
    assert np.abs(out - truth).max() < 2e-3
    assert np.array_equal((out[:, :40] * 255).round(), np.asarray(canvas)[:, :40])


def test_between_two_casts_the_correction_goes_over_from_one_to_the_other() -> None:
    region = left_kept(columns=24)
    region.paste(0, (72, 0, 96, 64))
    canvas = np.full((64, 96, 3), 128, np.uint8)
    canvas[:, :24] = 178
    made = np.full((64, 96, 3), 128 / 255, np.float32)
    middle = keep_pixels(made, Image.fromarray(canvas), region, width=8)[32, 24:72, 0] * 255
    assert np.all(np.diff(middle) <= 0.1)
    assert middle[0] > 170 and middle[-1] < 135 and middle[24] == pytest.approx(153, abs=5)


def test_what_is_off_without_a_cast_changes_nothing_beyond_the_seam() -> None:
    made = np.full((64, 96, 3), 0.5, np.float32)
    checks = (np.indices((64, 96)).sum(0) // 2 % 2)[..., None] * 0.4 + 0.3
    canvas = Image.fromarray((checks * 255).round().astype(np.uint8).repeat(3, axis=2))
    out = keep_pixels(made, canvas, left_kept(), width=8)
    assert np.abs(out[:, 48:] - 0.5).max() < 0.02
    assert np.array_equal((out[:, :40] * 255).round(), np.asarray(canvas)[:, :40])


def test_the_seam_grows_with_the_poster() -> None:
    assert [seam_width(size) for size in ((128, 192), (832, 1216))] == [8, 26]


def test_a_perfect_copy_has_no_seam() -> None:
    photo = picture(64, 64)
    region = Image.new("L", (64, 64), 0)
    region.paste(255, (20, 20, 40, 40))
    made = np.asarray(photo, dtype=np.float32) / 255
    assert np.abs(keep_pixels(made, photo, region) - made).max() < 1e-6
