"""Every bad call is one clear ValueError before any model runs; every kind of image is read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tiny_qwen
import torch
from PIL import Image

from posterkit import TASKS, PosterOmniPipeline
from posterkit.pipelines.references import read_image, read_mask
from posterkit.sizing import Size

PHOTO = Image.new("RGB", (64, 96), (200, 60, 20))
MASK = Image.new("L", (64, 96), 255)
FILL: dict[str, Any] = {"task": "filling", "image": PHOTO, "mask_image": MASK}
SUBJECT: dict[str, Any] = {"task": "id_driven", "image": PHOTO, "prompt": "a poster"}
TWO: dict[str, Any] = {"task": "id_driven", "image": [[PHOTO], [PHOTO]], "prompt": ["a", "b"]}
EMBEDS = torch.zeros(1, 4, 16)


@pytest.fixture(scope="module")
def pipe() -> PosterOmniPipeline:
    made = PosterOmniPipeline(
        **tiny_qwen.components(),
        native_area=64 * 96,
        reference_area=48 * 48,
        condition_area=56 * 56,
        num_inference_steps=1,
        true_cfg_scale=1.0,
        max_sequence_length=200,
    )
    made.set_progress_bar_config(disable=True)
    return made


BAD = {
    "unknown task": (SUBJECT | {"task": "extendng"}, "unknown task 'extendng'; the tasks are extending, filling"),
    "no image": (SUBJECT | {"image": None}, "image is missing"),
    "empty list": (SUBJECT | {"image": []}, "image is missing"),
    "empty references": (TWO | {"image": [[PHOTO], []]}, "no reference for poster 1"),
    "too many references": (
        SUBJECT | {"task": "style_driven", "image": [PHOTO] * 2},
        "takes 1 reference image.*got 2",
    ),
    "five subjects": (SUBJECT | {"image": [PHOTO] * 5}, "takes 1 to 4 reference image.*got 5"),
    "too many for one of two": (TWO | {"image": [[PHOTO], [PHOTO] * 5]}, "got 5 for poster 1"),
    "mask missing": (FILL | {"mask_image": None}, 'task "filling" needs mask_image'),
    "mask of another size": (
        FILL | {"mask_image": MASK.resize((32, 32))},
        "mask_image is 32x32 but its image is 64x96",
    ),
    "mask marks nothing": (FILL | {"mask_image": Image.new("L", (64, 96))}, "marks nothing"),
    "one mask for two": (FILL | {"image": [[PHOTO], [PHOTO]]}, "1 mask_image for 2 posters"),
    "mask where none is taken": (SUBJECT | {"mask_image": MASK}, 'task "id_driven" takes no mask_image'),
    "mask for a plain edit": ({"image": PHOTO, "prompt": "x", "mask_image": MASK}, "a plain edit takes no mask_image"),
    "off the grid": (SUBJECT | {"width": 100, "height": 96}, "100x96 is off the grid of 16 pixels.*96x96"),
    "zero size": (SUBJECT | {"width": 0, "height": 96}, "off the grid"),
    "one side only": (SUBJECT | {"width": 96}, "both width and height"),
    "another shape": (FILL | {"width": 96, "height": 64}, "filling keeps the picture's shape"),
    "anchor unknown": ({"task": "extending", "image": PHOTO, "anchor": "middle"}, "anchor 'middle' is unknown"),
    "anchor off the canvas": ({"task": "extending", "image": PHOTO, "anchor": (900, 0)}, "off the"),
    "anchor between pixels": ({"task": "extending", "image": PHOTO, "anchor": (1.5, 2)}, "in whole pixels"),
    "anchor of three numbers": ({"task": "extending", "image": PHOTO, "anchor": (1, 2, 3)}, "in whole pixels"),
    "no anchor": ({"task": "extending", "image": PHOTO, "anchor": None}, "anchor None: use one of top-left"),
    "a size in floats": (SUBJECT | {"width": 64.0, "height": 96}, "width is a float; give whole pixels"),
    "a size in words": (SUBJECT | {"width": 64, "height": "96"}, "height is a str; give whole pixels"),
    "no reference area": (SUBJECT | {"reference_area": 0}, "reference_area must be positive, got 0"),
    "a negative area": ({"image": PHOTO, "prompt": "x", "condition_area": -5}, "condition_area must be positive"),
    "anchor for another task": (SUBJECT | {"anchor": "top"}, 'only task "extending" takes an anchor'),
    "nothing to preserve": (SUBJECT | {"preserve": True}, 'task "id_driven" keeps no pixels'),
    "more prompts than posters": (SUBJECT | {"prompt": ["a", "b"]}, "2 prompts for 1 poster"),
    "fewer prompts than posters": (TWO | {"prompt": ["a"]}, "1 prompts for 2 poster"),
    "flat list for two prompts": (
        SUBJECT | {"image": [PHOTO, PHOTO], "prompt": ["a", "b"]},
        "one list of references for",
    ),
    "images and lists mixed": (TWO | {"image": [[PHOTO], PHOTO]}, "mixes images and lists"),
    "negative prompts of another number": (TWO | {"negative_prompt": ["x"] * 3}, "3 negative_prompts for 2 poster"),
    "prompt of a wrong type": (SUBJECT | {"prompt": 7}, "prompt is a int"),
    "no prompt for a plain edit": ({"image": PHOTO}, "prompt is missing"),
    "prompt and embeddings": (SUBJECT | {"prompt_embeds": EMBEDS}, "prompt or prompt_embeds, not both"),
    "embeddings of another number": ({"image": [[PHOTO], [PHOTO]], "prompt_embeds": EMBEDS}, "1 rows for 2 poster"),
    "mask of other embeddings": (
        {"image": PHOTO, "prompt_embeds": EMBEDS, "prompt_embeds_mask": torch.ones(1, 3)},
        r"prompt_embeds_mask is \(1, 3\), but prompt_embeds is \(1, 4\)",
    ),
    "prompt too long": (SUBJECT | {"prompt": "word " * 60}, "tokens, at most 200 fit"),
    "negative prompt too long": (SUBJECT | {"negative_prompt": "w" * 201, "true_cfg_scale": 2.0}, "at most 200 fit"),
    "control tokens": (SUBJECT | {"prompt": "a <|image_pad|> b"}, r"holds <\|image_pad\|>"),
    "limit out of range": (SUBJECT | {"max_sequence_length": 2000}, "must be 1 to 1024"),
    "generators of another number": (TWO | {"generator": [torch.Generator()] * 3}, "3 generators for 2 image"),
    "noise of another shape": (SUBJECT | {"latents": torch.zeros(1, 5, 16)}, r"latents are 1 x \(5, 16\)"),
    "unknown output type": (SUBJECT | {"output_type": "jpeg"}, "output_type 'jpeg' is unknown"),
    "unknown callback tensor": (
        SUBJECT | {"callback_on_step_end_tensor_inputs": ["noise"]},
        r"\['noise'\] are unknown",
    ),
    "no steps": (SUBJECT | {"num_inference_steps": 0}, "num_inference_steps must be at least 1"),
    "no images": (SUBJECT | {"num_images_per_prompt": 0}, "num_images_per_prompt must be at least 1"),
    "negative guidance": (SUBJECT | {"true_cfg_scale": -1.0}, "must not be negative"),
    "a path instead of an image": (SUBJECT | {"image": "photo.png"}, "image is a str"),
    "a batch in one array": (SUBJECT | {"image": np.zeros((2, 8, 8, 3), np.uint8)}, r"shape \(2, 8, 8, 3\)"),
    "floats beyond one": (SUBJECT | {"image": np.full((8, 8, 3), 3.0)}, r"float64 in \[3, 3\]"),
}


@pytest.mark.parametrize("call, message", BAD.values(), ids=BAD)
def test_a_bad_call_is_one_clear_line_before_any_work(pipe, monkeypatch, call, message) -> None:
    for model in (pipe.text_encoder, pipe.transformer, pipe.vae):
        monkeypatch.setattr(model, "forward", _must_not_run)
    monkeypatch.setattr(pipe.vae, "encode", _must_not_run)
    with pytest.raises(ValueError, match=message) as error:
        pipe(**call)
    assert "\n" not in str(error.value)


def _must_not_run(*args: Any, **kwargs: Any) -> None:
    raise AssertionError("a model ran before the call was found wrong")


def test_guidance_without_an_encoder_asks_for_negative_embeddings(pipe) -> None:
    bare = PosterOmniPipeline(**(pipe.components | {"text_encoder": None}))
    with pytest.raises(ValueError, match="negative_prompt_embeds"):
        bare(PHOTO, task="id_driven", prompt_embeds=EMBEDS, true_cfg_scale=4.0)
    with pytest.raises(ValueError, match="no text encoder; pass prompt_embeds"):
        bare(PHOTO, "a poster", task="id_driven", true_cfg_scale=1.0)


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_every_task_runs_with_its_default_wording(pipe, task) -> None:
    out = pipe(PHOTO, task=task.name, mask_image=MASK if task.needs_mask else None)
    row = out.parameters[0]
    assert out.images[0].size == (row["width"], row["height"])
    assert task.default in row["instruction"] and row["preserve"] == task.keeps_pixels
    # about the native area, in a shape of the task's own: a 2:3 photo stays one, rescaling turns it
    assert out.images[0].size == ((96, 64) if task.name == "rescaling" else (64, 96))


def test_a_checkpoint_carries_its_own_defaults(pipe) -> None:
    row = pipe(PHOTO, task="id_driven").parameters[0]
    assert (row["num_inference_steps"], row["true_cfg_scale"]) == (1, 1.0)
    assert row["references"] == [[32, 48]] and row["pictures"] == [[56, 84]]  # 2:3, on grids of 16 and 28
    row = pipe(PHOTO, task="id_driven", num_inference_steps=2, reference_area=64 * 96).parameters[0]
    assert row["num_inference_steps"] == 2 and row["references"] == [[64, 96]]


def test_a_tuple_comes_back_where_no_output_object_is_asked_for(pipe) -> None:
    images = pipe(PHOTO, task="id_driven", return_dict=False)
    assert isinstance(images, tuple) and isinstance(images[0][0], Image.Image)


ARRAY = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    "image",
    [
        ARRAY, ARRAY[None], ARRAY / 255, torch.from_numpy(ARRAY).permute(2, 0, 1),
        torch.from_numpy(ARRAY / 255).permute(2, 0, 1)[None], Image.fromarray(ARRAY),
    ],
)  # fmt: skip
def test_every_kind_of_image_is_the_same_picture(image) -> None:
    assert np.array_equal(np.asarray(read_image(image)), ARRAY)


def test_what_is_transparent_is_white_and_grey_is_rgb() -> None:
    clear = Image.new("RGBA", (2, 2), (255, 0, 0, 0))
    assert read_image(clear).getpixel((0, 0)) == (255, 255, 255)
    assert read_image(Image.new("L", (2, 2), 7)).getpixel((1, 1)) == (7, 7, 7)
    assert read_image(np.full((2, 2), 7, np.uint8)).getpixel((1, 1)) == (7, 7, 7)


@pytest.mark.parametrize(
    "mask",
    [
        np.eye(4, dtype=bool), np.eye(4), np.eye(4, dtype=np.uint8) * 255, torch.eye(4), torch.eye(4)[None, None],
        torch.eye(4, dtype=torch.bool), Image.fromarray(np.eye(4, dtype=np.uint8) * 255),
    ],
)  # fmt: skip
def test_every_kind_of_mask_is_the_same_mask(mask) -> None:
    assert np.array_equal(np.asarray(read_mask(mask, Size(4, 4))), np.eye(4) * 255)
