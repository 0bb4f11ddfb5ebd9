"""PosterMaker: models open late, any number of threads share one, and what it made it makes again."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from posterkit import PosterMaker, PosterRequest
from posterkit.generate.draw import at_size, pipeline_call
from posterkit.generate.metadata import read_record
from posterkit.generate.record import request_from_poster
from posterkit.sizing import Size

SMALL = PosterRequest('a "JAZZ" night', texts=["8 pm"], size=(96, 144), seed=3)


def test_a_poster_is_saved_as_picture_and_with_live_text(tmp_path: Path, craft: str) -> None:
    poster = PosterMaker(model=craft)(SMALL)
    for name in ("p.png", "p.svg", "p.pdf", "p.psd"):
        poster.save(tmp_path / "sub" / name)
    with Image.open(tmp_path / "sub" / "p.png") as saved:
        assert saved.size == (96, 144) and np.array_equal(np.asarray(saved), np.asarray(poster.image))
    assert "JAZZ" in (tmp_path / "sub" / "p.svg").read_text(encoding="utf-8")
    assert (tmp_path / "sub" / "p.pdf").read_bytes().startswith(b"%PDF")
    assert [text.text for text in poster.typeset.boxes] == ["JAZZ", "8 pm"] if poster.typeset else False
    with pytest.raises(ValueError, match=r"p\.gif: a poster is written as \.png, \.svg, \.pdf, \.psd"):
        poster.save(tmp_path / "p.gif")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("row", "model"),
    [
        (PosterRequest("waves", size=(96, 144)), "craft"),
        (PosterRequest("waves", best_of=2, steps=1), "craft"),
        (PosterRequest(task="extending", images=["photo.png"], anchor=(10, 20), size=(260, 300)), "omni"),
    ],
)
def test_its_request_makes_the_same_file_again(
    row: PosterRequest, model: str, tmp_path: Path, photo: Path, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(model)
    given = replace(row, images=[photo for _ in row.images])
    first = PosterMaker(model=folder, native=model == "craft", reward="aesthetics")(given)
    again = PosterMaker(model=folder, native=model == "craft", reward="aesthetics")(first.request)
    for name, poster in (("a.png", first), ("b.png", again)):
        poster.save(tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    made = first.request
    assert None not in (made.seed, made.steps, made.guidance, made.size) and made.size == first.image.size


def test_nothing_is_loaded_before_a_poster_is_drawn(tmp_path: Path, craft: str) -> None:
    hollow = tmp_path / "hollow"
    shutil.copytree(craft, hollow, ignore=shutil.ignore_patterns("*.safetensors"))
    with pytest.raises(ValueError, match='the task "text" needs a prompt or texts'):
        PosterMaker(model=str(hollow))(PosterRequest())
    maker = PosterMaker(model=str(hollow))
    assert maker.plan(SMALL).words == "a night, no text, empty space at the top."
    with pytest.raises(ValueError, match="hollow: cannot be loaded"):
        maker(SMALL)


@pytest.mark.slow
def test_threads_share_a_maker_and_get_what_each_would_alone(craft: str, omni: str, photo: Path) -> None:
    rows = [replace(SMALL, seed=seed) for seed in range(3)]
    alone = [PosterMaker(model=craft)(row).image.tobytes() for row in rows]
    maker = PosterMaker(model=craft)
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda row: maker(row).image.tobytes(), rows * 2))
    assert together == alone * 2


@pytest.mark.slow
def test_one_maker_makes_both_kinds_with_mini_and_lets_models_go(photo: Path) -> None:
    with PosterMaker(native=True) as maker:
        text = maker(PosterRequest("a red sun", steps=2, seed=1))
        image = maker(PosterRequest(task="style_driven", images=[photo], steps=2, seed=1))
        again = maker(PosterRequest("a red sun", steps=2, seed=1))
    assert (text.record["model"]["name"], image.record["model"]["name"]) == ("mini:postercraft", "mini:posteromni")
    assert text.image.tobytes() == again.image.tobytes()


def test_a_run_folder_stands_for_its_averaged_weights(tmp_path: Path, craft: str) -> None:
    shutil.copytree(craft, tmp_path / "run" / "ema")
    ids = [
        PosterMaker(model=str(model)).plan(SMALL).id for model in (craft, tmp_path / "run", tmp_path / "run" / "ema")
    ]
    assert len(set(ids)) == 1


def test_pictures_in_memory_make_the_poster_that_their_files_make(tmp_path: Path, photo: Path, omni: str) -> None:
    mask = np.zeros((120, 180), np.uint8)
    mask[40:83, 60:101] = 255
    Image.fromarray(mask).save(tmp_path / "m.png")
    picture = Image.open(photo).convert("RGB")
    before = picture.tobytes()
    maker = PosterMaker(model=omni)
    filling = PosterRequest(task="filling", images=[photo], mask=tmp_path / "m.png", seed=1)
    by_file = maker(filling)
    for source in (picture, np.asarray(picture)):
        poster = maker(replace(filling, images=[source], mask=mask))
        assert poster.image.tobytes() == by_file.image.tobytes() and picture.tobytes() == before
    poster.save(tmp_path / "p.png")
    assert read_record(tmp_path / "p.png")["row"]["images"][0]["path"] is None
    with pytest.raises(ValueError, match="was made from a picture that was no file"):
        request_from_poster(tmp_path / "p.png")
    other = replace(filling, images=[np.asarray(picture)[:, ::-1].copy()])
    ids = [maker.plan(replace(filling, images=[one])).id for one in (picture, np.asarray(picture), other.images[0])]
    assert ids[0] == ids[1] != ids[2]


def test_a_large_picture_in_memory_stays_as_it_is(omni: str) -> None:
    picture = Image.new("RGB", (2600, 40), "teal")
    PosterMaker(model=omni, native=True)(PosterRequest(task="style_driven", images=[picture], seed=1, steps=1))
    assert picture.size == (2600, 40)


def test_a_pipelines_call_says_what_the_request_says_and_nothing_else() -> None:
    text = pipeline_call([PosterRequest("waves", guidance=2.5, steps=7, size=(64, 96), seed=5)])
    assert text.pop("generator")[0].initial_seed() == 5
    assert text == {
        "prompt": ["waves"],
        "guidance_scale": 2.5,
        "num_inference_steps": 7,
        "width": 64,
        "height": 96,
    }
    away = pipeline_call([PosterRequest("waves", negative_prompt="people", guidance=1)])
    assert away == {
        "prompt": ["waves"],
        "negative_prompt": ["people"],
        "true_cfg_scale": 1.01,
        "guidance_scale": 1.0,
    }
    picture = Image.new("RGB", (8, 8))
    image = pipeline_call([PosterRequest(task="extending", images=[picture], placed=(3, 4, 11, 12))], seeds=[1, 2])
    assert [one.initial_seed() for one in image.pop("generator")] == [1, 2]
    assert image == {
        "prompt": [""],
        "num_images_per_prompt": 2,
        "task": "extending",
        "image": [[picture]],
        "anchor": [(3, 4)],
    }


def test_at_another_size_what_lies_on_the_poster_is_scaled_with_it() -> None:
    photo = Image.new("RGB", (40, 60), "teal")
    request = PosterRequest(task="extending", images=[photo], placed=(10, 20, 50, 80), size=(80, 120))
    half = at_size(request, Size(40, 60))
    assert half.placed == (5, 10, 25, 40) and half.pictures()[0].size == (20, 30) and half.size == (40, 60)
    style = PosterRequest(task="style_driven", images=[photo], size=(80, 120))
    assert at_size(style, Size(40, 60)).pictures()[0].size == (40, 60)
    mask = np.zeros((120, 80), np.uint8)
    mask[0, 0] = 255
    filling = PosterRequest(task="filling", images=[Image.new("RGB", (80, 120))], mask=mask, size=(80, 120))
    small = at_size(filling, Size(40, 60))
    assert small.mask_array is not None and small.mask_array.shape == (60, 40)
    assert small.mask_array[0, 0] == 255 and small.mask_array.sum() == 255  # touched at all
