"""Subject, layout, style and copies, on pictures whose likeness is known by construction."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from posterkit.rewards.parts.preservation import PreservationReward, canvas_of, made_parts
from posterkit.rewards.parts.reference import CompletionReward, IdentityReward, LayoutReward, StyleReward, copied
from posterkit.schema import PosterRequest
from posterkit.sizing import Size
from posterkit.tasks import BLANK


def figure(size: tuple[int, int], ground: str, box: tuple[int, int, int, int], mirror: bool = False) -> Image.Image:
    """A red head on a blue body with a yellow left arm, upright in its box."""
    picture = Image.new("RGB", size, ground)
    draw = ImageDraw.Draw(picture)
    x0, y0, x1, y1 = box
    w, h = x1 - x0, y1 - y0
    draw.rectangle((x0 + w // 4, y0, x1 - w // 4, y0 + h // 3), fill="red")
    draw.rectangle((x0 + w // 4, y0 + h // 3, x1 - w // 4, y1), fill="blue")
    arm = (x1 - w // 4, x1) if mirror else (x0, x0 + w // 4)
    draw.rectangle((arm[0], y0 + h // 3, arm[1], y0 + 2 * h // 3), fill="yellow")
    return picture


REFERENCE = np.asarray(figure((90, 90), "white", (10, 10, 80, 80)))


def request(task: str, **more) -> PosterRequest:
    return PosterRequest(task=task, texts=(), images=(REFERENCE,), size=Size(120, 180), **more)


def test_a_subject_is_known_again_at_another_size_place_and_ground_and_mirrored():
    posters = [
        figure((120, 180), "green", (30, 60, 90, 120)),
        figure((120, 180), "black", (50, 90, 90, 130), mirror=True),
    ]
    for result in IdentityReward()(posters, [request("id_driven")] * 2):
        assert result.value > 0.8


def test_a_subject_whose_pieces_stand_in_another_order_scores_less_in_patches():
    whole = figure((120, 180), "green", (30, 60, 90, 120))
    pieces = np.asarray(whole).copy()
    pieces[60:120] = pieces[60:120][::-1]  # upside down: the same colours and edges
    honest, turned = IdentityReward()([whole, Image.fromarray(pieces)], [request("id_driven")] * 2)
    assert turned.parts["presence"] == pytest.approx(honest.parts["presence"], abs=0.1)
    assert turned.parts["patches"] < honest.parts["patches"] - 0.15
    blank = IdentityReward()([Image.new("RGB", (120, 180), "green")], [request("id_driven")])[0]
    assert blank.value < 0.2


@pytest.mark.parametrize("how", ["stretched", "cropped", "framed", "pasted small"])
def test_a_reference_handed_back_is_found_however_it_lies(how):
    photo = Image.fromarray(REFERENCE)
    if how == "stretched":
        poster = photo.resize((120, 180))
    elif how == "cropped":
        poster = photo.resize((180, 180)).crop((30, 0, 150, 180))
    else:
        side = 120 if how == "framed" else 70
        poster = Image.new("RGB", (120, 180), "orange")
        poster.paste(photo.resize((side, side)), (0, 40) if how == "framed" else (31, 77))
    assert copied(np.asarray(poster), REFERENCE) > 0.8
    assert CompletionReward()([poster], [request("id_driven")])[0].value < 0.25
    # the same subject, lower and broader and turned
    other = figure((120, 180), "green", (10, 90, 110, 150), mirror=True)
    assert CompletionReward()([other], [request("id_driven")])[0].value > 0.9


def test_style_is_1_for_the_same_picture_and_falls_with_the_palette():
    same = StyleReward()([Image.fromarray(REFERENCE)], [request("style_driven")])[0]
    assert same.value == pytest.approx(1) and same.parts["palette"] == pytest.approx(1)
    negative = StyleReward()([Image.fromarray(255 - REFERENCE)], [request("style_driven")])[0]
    assert negative.value < 0.5 and "unlike" in negative.why
    assert negative.parts["strokes"] > 0.6  # the same edges, whatever their colours


def test_layout_is_the_reference_arrangement_in_other_colours():
    one = figure((120, 180), "white", (30, 30, 90, 90))
    row = PosterRequest(task="layout_driven", texts=(), images=(np.asarray(one),), size=Size(120, 180))
    swapped = Image.fromarray(np.asarray(one)[..., ::-1].copy())  # red is blue
    moved = figure((120, 180), "white", (30, 110, 90, 170))
    there, elsewhere = LayoutReward()([swapped, moved], [row] * 2)
    assert there.value > 0.8 > 0.3 > elsewhere.value and "elsewhere" in elsewhere.why


def extended() -> tuple[Image.Image, PosterRequest]:
    """A poster with a bar that ends beyond the kept part, and the row that keeps its middle."""
    poster = Image.new("RGB", (120, 180), (200, 220, 240))
    ImageDraw.Draw(poster).rectangle((40, 60, 100, 120), fill="red")
    mask = np.full((180, 120), 255, np.uint8)
    mask[50:130, 20:90] = 0
    photo = np.asarray(poster)[50:130, 20:90].copy()
    return poster, PosterRequest(
        task="extending", texts=(), images=(photo,), mask=mask, placed=(20, 50, 90, 130), size=Size(120, 180)
    )


def test_kept_pixels_score_1_when_they_are_exact_and_psnr_falls_as_the_formula_says():
    poster, row = extended()
    exact = PreservationReward()([poster], [row])[0]
    assert exact.value == 1 and exact.parts == {"psnr": 1.0, "ssim": 1.0}
    off = np.asarray(poster).astype(int)
    off[:, :, 1] = np.where(off[:, :, 1] > 20, off[:, :, 1] - 20, off[:, :, 1] + 20)
    # one channel of three off by 20: MSE 400 / 3, 10 log10(255^2 / (400 / 3)) = 26.88 dB
    shifted = PreservationReward()([Image.fromarray(off.astype(np.uint8))], [row])[0]
    assert shifted.parts["psnr"] == pytest.approx((26.88 - 15) / 25, abs=1e-3)
    elsewhere = np.asarray(poster).copy()
    elsewhere[row.mask == 255] = 0  # type: ignore[index]
    assert PreservationReward()([Image.fromarray(elsewhere)], [row])[0].parts["psnr"] == 1


def test_a_made_area_that_needs_no_model_scores_nothing():
    poster, row = extended()
    canvas, made = canvas_of(row)
    assert (canvas[0, 0] == BLANK).all() and made[0, 0] and not made[60, 50]
    assert made_parts(np.asarray(poster), canvas, made) == {"filled": 1.0, "seam": 1.0, "drawn": 1.0}
    untouched = made_parts(canvas, canvas, made)
    assert untouched["filled"] == 0 and untouched["seam"] < 0.2
    rows = np.clip(np.arange(180), 50, 129)[:, None]
    drawn_out = np.asarray(poster)[rows, np.clip(np.arange(120), 20, 89)]
    assert made_parts(drawn_out, canvas, made)["drawn"] == 0
    assert CompletionReward()([Image.fromarray(drawn_out)], [row])[0].value == 0


def test_a_poster_of_another_size_is_measured_at_the_rows():
    poster, row = extended()
    large = poster.resize((240, 360), Image.Resampling.NEAREST)
    assert PreservationReward()([large], [row])[0].value > 0.9 and CompletionReward()([large], [row])[0].value == 1
