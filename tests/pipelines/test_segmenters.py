"""What a finished poster shows: subjects found by rules and by SAM-2, grounds painted over."""

from __future__ import annotations

import numpy as np
import pytest
import tiny_qwen
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionInpaintPipeline, UNet2DConditionModel
from PIL import Image, ImageDraw
from tiny_flux import clip, clip_tokenizer
from tiny_sam2 import sam2

from posterkit.datagen.omni.painters import RulePainter, open_painter
from posterkit.metrics.arrangement import box_overlap
from posterkit.pipelines.posteromni import PosterOmniPipeline
from posterkit.pipelines.segmenters import RuleSegmenter, Sam2Segmenter, box_of, open_segmenter, touched_sides


def disc(size=(320, 480), box=(90, 180, 230, 320), color=(200, 60, 40), ground=(236, 228, 210)) -> Image.Image:
    poster = Image.new("RGB", size, ground)
    ImageDraw.Draw(poster).ellipse((box[0], box[1], box[2] - 1, box[3] - 1), fill=color)
    return poster


@pytest.mark.parametrize("box", [(90, 180, 230, 320), (20, 40, 140, 160), (150, 300, 300, 450)])
def test_a_disc_on_a_plain_ground_is_found_where_it_is(box):
    (found,) = RuleSegmenter()(disc(box=box), [])
    assert box_overlap(found.box, box) > 0.85
    drawn = np.asarray(disc(box=box))[..., 1] < 150
    assert (found.mask > 0)[drawn].mean() > 0.95 and (found.mask > 0)[~drawn].mean() < 0.02


def test_two_things_are_two_subjects_that_do_not_overlap():
    poster = disc(box=(40, 60, 160, 180))
    ImageDraw.Draw(poster).rectangle((170, 320, 290, 440), fill=(30, 70, 160))
    one, other = RuleSegmenter()(poster, [])
    assert not ((one.mask > 0) & (other.mask > 0)).any()
    assert {box[1] < 240 for box in (one.box, other.box)} == {True, False}


def test_a_text_is_no_subject():
    poster = disc()
    ImageDraw.Draw(poster).rectangle((30, 30, 290, 110), fill=(10, 10, 10))
    texts = [(30, 30, 290, 110)]
    assert all(box_overlap(found.box, texts[0]) == 0 for found in RuleSegmenter()(poster, texts))
    assert len(RuleSegmenter()(poster, texts)) == 1


@pytest.mark.parametrize("poster", [Image.new("RGB", (320, 480), "navy"), Image.linear_gradient("L").convert("RGB")])
def test_nothing_stands_out_on_an_empty_ground(poster):
    assert RuleSegmenter()(poster, []) == ()


def test_the_button_under_a_text_is_no_subject():
    poster = disc(box=(90, 80, 230, 220))
    ImageDraw.Draw(poster).rounded_rectangle((70, 380, 250, 430), 10, fill=(40, 90, 60))
    (found,) = RuleSegmenter()(poster, [(85, 392, 235, 418)])
    assert box_overlap(found.box, (90, 80, 230, 220)) > 0.85


def test_sides_that_a_box_touches():
    assert touched_sides((0, 50, 100, 200), (100, 200)) == {"left", "right", "bottom"}
    assert touched_sides((10, 10, 90, 90), (100, 100)) == set()


SEED = 6  # of random weights whose mask of the disc is neither next to nothing nor nearly all


@pytest.fixture(scope="module")
def sam2_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sam2")
    sam2(SEED).save_pretrained(folder)
    return str(folder)


def test_sam2_gets_the_poster_scaled_as_imagenet_is(sam2_folder):
    pixels = Sam2Segmenter(sam2_folder, "cpu").pixels(Image.new("RGB", (50, 90), (255, 0, 128)))
    assert pixels.shape == (1, 3, 64, 64) and pixels.dtype == torch.float32
    expected = [(1 - 0.485) / 0.229, (0 - 0.456) / 0.224, (128 / 255 - 0.406) / 0.225]
    torch.testing.assert_close(pixels[0, :, 5, 7], torch.tensor(expected))


def test_sam2_gives_the_mask_that_transformers_own_postprocessing_gives(sam2_folder):
    poster, segmenter = disc(), Sam2Segmenter(sam2_folder, "cpu")
    boxes, points = [[0.25, 0.3, 0.75, 0.7], [0.0, 0.0, 0.5, 0.5]], [[0.5, 0.5], [0.2, 0.2]]
    masks = segmenter.masks(poster, boxes, points)
    with torch.no_grad():
        made = sam2(SEED)(
            pixel_values=segmenter.pixels(poster), input_boxes=64 * torch.tensor([boxes]),
            input_points=64 * torch.tensor([[[point] for point in points]]),
            input_labels=torch.ones(1, 2, 1, dtype=torch.int32),
        )  # fmt: skip
    for number, mask in enumerate(masks):
        best = int(made.iou_scores[0, number].argmax())
        logits = torch.nn.functional.interpolate(made.pred_masks[0, number : number + 1, best : best + 1], (480, 320),
                                                 mode="bilinear", align_corners=False)  # fmt: skip
        assert mask.shape == (480, 320) and mask.dtype == bool
        assert (mask == (logits[0, 0] > 0).numpy()).all()


def test_sam2_finds_subjects_through_the_same_door_as_the_rules(sam2_folder):
    (found,) = open_segmenter(sam2_folder, "cpu")(disc(), [(0, 0, 320, 40)])
    assert found.mask.shape == (480, 320) and set(np.unique(found.mask)) == {0, 255}
    assert found.box == box_of(found.mask > 0) and found.box[1] >= 40


def test_a_folder_that_is_no_sam2_is_refused_in_one_line(tmp_path):
    with pytest.raises(ValueError, match="cannot load this SAM-2 model") as caught:
        open_segmenter(str(tmp_path), "cpu")
    assert "\n" not in str(caught.value)


HOLE = np.zeros((480, 320), bool)
HOLE[170:330, 80:240] = True


def test_a_hole_in_a_plain_ground_is_filled_with_it():
    made = np.asarray(RulePainter()(disc(), HOLE, "", 0)).astype(int)
    assert (made[~HOLE] == np.asarray(disc())[~HOLE]).all()
    assert np.abs(made - (236, 228, 210)).max() <= 4


def test_what_stood_in_the_hole_leaves_no_trace():
    one, other = (np.asarray(RulePainter()(disc(color=color), HOLE, "", 0)) for color in ((200, 60, 40), (0, 0, 255)))
    assert (one == other).all()


def test_a_gradient_goes_on_across_a_hole():
    ramp = np.repeat(np.linspace(40, 220, 320)[None, :, None], 480, 0).repeat(3, 2).astype(np.uint8)
    made = np.asarray(RulePainter()(Image.fromarray(ramp), HOLE, "", 0)).astype(int)
    assert np.abs(made - ramp).mean() < 3


@pytest.mark.slow
def test_mini_fills_and_keeps_the_rest():
    painter = open_painter("mini", 2, "cpu")
    made = np.asarray(painter(disc(), HOLE, "plain background", 3))
    assert painter.name == "mini" and not painter.draws
    assert (made[~HOLE] == np.asarray(disc())[~HOLE]).all() and (made[HOLE] != np.asarray(disc())[HOLE]).any()
    assert (made == np.asarray(painter(disc(), HOLE, "plain background", 3))).all()


def inpainting_folder(folder) -> str:
    torch.manual_seed(0)
    words = clip_tokenizer()
    unet = UNet2DConditionModel(
        sample_size=16, in_channels=9, out_channels=4, block_out_channels=(8, 16), layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=32, attention_head_dim=4, norm_num_groups=4,
    )  # fmt: skip
    vae = AutoencoderKL(
        in_channels=3, out_channels=3, down_block_types=("DownEncoderBlock2D",) * 2, latent_channels=4,
        up_block_types=("UpDecoderBlock2D",) * 2, block_out_channels=(4, 8), norm_num_groups=4,
    )  # fmt: skip
    StableDiffusionInpaintPipeline(
        vae=vae, text_encoder=clip(words), tokenizer=words, unet=unet, scheduler=DDIMScheduler(steps_offset=1),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    ).save_pretrained(folder)  # type: ignore[arg-type]  # fmt: skip
    return str(folder)


def test_any_diffusers_inpainting_folder_paints(tmp_path):
    painter = open_painter(inpainting_folder(tmp_path / "sd"), 2, "cpu")
    made = np.asarray(painter(disc(), HOLE, "a red apple", 3))
    assert painter.name == "sd" and painter.draws
    assert (made[~HOLE] == np.asarray(disc())[~HOLE]).all() and made[HOLE].std() > 0
    assert (made == np.asarray(painter(disc(), HOLE, "a red apple", 3))).all()
    assert (made != np.asarray(painter(disc(), HOLE, "a red apple", 4))).any()


def test_a_qwen_edit_folder_paints_by_the_task_filling(tmp_path):
    PosterOmniPipeline(**tiny_qwen.components()).save_pretrained(tmp_path / "qwen")
    painter = open_painter(str(tmp_path / "qwen"), 1, "cpu")
    painter.pipe.register_to_config(native_area=128 * 128)
    made = np.asarray(painter(disc(), HOLE, "a red apple", 3))
    assert painter.name == "qwen" and painter.draws  # a stock folder draws about 1 MP
    assert (made[~HOLE] == np.asarray(disc())[~HOLE]).all() and made[HOLE].std() > 0


def test_a_folder_that_does_not_inpaint_is_refused(tmp_path):
    (tmp_path / "model_index.json").write_text('{"_class_name": "DDPMPipeline"}')
    with pytest.raises(ValueError, match="no inpainting pipeline opens it"):
        open_painter(str(tmp_path), None, "cpu")
    with pytest.raises(ValueError, match="neither a folder nor a hub id"):
        open_painter(str(tmp_path / "not here"), None, "cpu")
