from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from PIL import Image

from posterkit.generate.checkpoint import Checkpoint, Settings, find_checkpoint
from posterkit.generate.poster_plan import finished_size, make_plan, native_box
from posterkit.pipelines.registry import FAMILIES
from posterkit.prompts import without_texts, words_for
from posterkit.schema import PosterRequest, sides
from posterkit.sizing import Size

SMALL = Checkpoint("small", "small", FAMILIES["postercraft"], "r1", 128 * 192, 20, 3.5)
LARGE = dataclasses.replace(SMALL, native_area=1024 * 1024)
PLAIN = Settings()


def picture(path: Path, size: tuple[int, int] = (600, 400)) -> Path:
    Image.new("RGB", size, "teal").save(path)
    return path


@pytest.mark.parametrize(
    ("task", "width", "height", "photo", "expected"),
    [
        ("text", None, None, None, (832, 1216)),
        ("text", 1000, 700, None, (1000, 700)),
        ("text", 416, None, None, (416, 608)),  # half of 832x1216
        ("text", None, 608, None, (416, 608)),
        ("extending", None, None, (600, 400), (832, 1216)),
        ("filling", None, None, (601, 399), (601, 399)),
        ("filling", 300, None, (600, 400), (300, 200)),
        ("rescaling", None, None, (300, 200), (832, 1216)),
        ("style_driven", None, None, (300, 200), (832, 1216)),
    ],
)
def test_a_poster_has_the_asked_size_or_its_tasks_own(
    task: str, width: int | None, height: int | None, photo: tuple[int, int] | None, expected: tuple[int, int]
) -> None:
    request = PosterRequest(task=task, size=sides(width, height))
    assert finished_size(request, Size(*photo) if photo else None) == expected


def test_layout_driven_keeps_the_references_shape_at_a_posters_area() -> None:
    size = finished_size(PosterRequest(task="layout_driven"), Size(1500, 1000))
    assert size.aspect == pytest.approx(1.5, rel=0.02) and size.area == pytest.approx(832 * 1216, rel=0.05)


def test_a_small_model_draws_small_in_the_same_shape_and_a_large_one_at_full_size() -> None:
    request = PosterRequest("x", seed=1, size=Size(832, 1216))
    small, large = make_plan(request, PLAIN, SMALL), make_plan(request, PLAIN, LARGE)
    assert (small.native, small.finished) == ((128, 192), (832, 1216))
    assert large.native == large.finished == (832, 1216)


def test_native_keeps_the_drawing_as_it_is() -> None:
    plan = make_plan(PosterRequest("x", seed=1), Settings(native=True), SMALL)
    assert plan.finished == plan.native == (128, 192)


@pytest.mark.parametrize("asked", [(2928, 352), (352, 2928), (832, 1216), (1000, 700), (900, 40), (4000, 333)])
@pytest.mark.parametrize("checkpoint", [SMALL, LARGE, dataclasses.replace(SMALL, native_area=832 * 1216)])
def test_a_native_size_asked_for_again_stays(asked: tuple[int, int], checkpoint: Checkpoint) -> None:
    native = Settings(native=True)
    first = make_plan(PosterRequest("x", seed=1, size=sides(asked[0], asked[1])), native, checkpoint)
    again = dataclasses.replace(first.request, size=first.finished)
    plan = make_plan(again, native, checkpoint)
    assert (plan.finished, plan.native, plan.id) == (first.finished, first.native, first.id)
    assert first.finished.area < 1.25 * checkpoint.native_area


def test_a_native_size_far_above_the_models_area_is_reduced() -> None:
    plan = make_plan(PosterRequest("x", seed=1, size=Size(2048, 2048)), Settings(native=True), LARGE)
    assert plan.finished == (1024, 1024)


def test_a_box_on_the_poster_holds_only_whole_native_pixels() -> None:
    # one native pixel is 6.5 x 6.333 pixels here: 33 / 6.5 = 5.08 -> 6, 433 / 6.5 = 66.6 -> 66
    assert native_box((33, 38, 433, 304), Size(832, 1216), Size(128, 192)) == (6, 6, 66, 48)
    assert native_box((0, 0, 832, 1216), Size(832, 1216), Size(128, 192)) == (0, 0, 128, 192)
    assert native_box((829, 1, 832, 3), Size(832, 1216), Size(128, 192)) == (127, 1, 128, 2)


def test_texts_are_typeset_for_a_small_model_and_drawn_by_a_large_one() -> None:
    request = PosterRequest('a jazz poster titled "JAZZ NIGHT" in blue', texts=("Friday 8 pm",), seed=1)
    small, large = make_plan(request, PLAIN, SMALL), make_plan(request, PLAIN, LARGE)
    assert small.brief is not None and small.brief.texts == ["JAZZ NIGHT", "Friday 8 pm"]
    assert small.words == "a jazz poster in blue, no text, empty space at the top."
    assert large.brief is None and '"Friday 8 pm"' in large.words and '"JAZZ NIGHT"' in large.words
    assert make_plan(request, Settings(draw_text=True), SMALL).brief is None
    assert make_plan(request, Settings(draw_text=False), LARGE).brief == small.brief


@pytest.mark.parametrize(
    ("prompt", "left"),
    [
        ('a poster that says "OPEN" on teal', "a poster on teal"),
        ("“Été”, a beach", "a beach"),
        ("concert «ВЕЧЕР» in red", "concert in red"),
        ("夜の「音楽」ポスター", "夜の ポスター"),
        ('waves, title "SURF", navy', "waves, navy"),
        ("a rock 'n' roll night", "a rock 'n' roll night"),
    ],
)
def test_quoted_texts_leave_the_prompt(prompt: str, left: str) -> None:
    assert without_texts(prompt) == left


def test_a_model_that_letters_reads_every_text_in_quotes() -> None:
    words = words_for("text", "waves.", ["SURF", "8 pm"], True)
    assert words == 'waves, title "SURF" at the top, a small line "8 pm".'
    assert words_for("text", 'waves, "SURF"', ["SURF"], True) == 'waves, "SURF"'


def test_a_picture_that_is_kept_is_not_asked_to_lose_its_text() -> None:
    assert words_for("extending", "the sea", ["SURF"], False) == "the sea"
    assert words_for("style_driven", "the sea", [], False) == "the sea, no text."


def test_equal_rows_with_different_names_get_different_seeds_that_stay() -> None:
    first, second = (make_plan(PosterRequest("x", out=out), PLAIN, SMALL) for out in ("a.png", "b.png"))
    assert first.request.seed != second.request.seed
    assert make_plan(PosterRequest("x", out="a.png"), PLAIN, SMALL) == first
    assert make_plan(PosterRequest("x", out="a.png", seed=5), PLAIN, SMALL).request.seed == 5


def test_the_id_follows_everything_that_changes_the_poster() -> None:
    request = PosterRequest("x", seed=1, out="a.png")
    plans = [
        make_plan(request, PLAIN, SMALL),
        make_plan(dataclasses.replace(request, prompt="y"), PLAIN, SMALL),
        make_plan(dataclasses.replace(request, steps=3), PLAIN, SMALL),
        make_plan(dataclasses.replace(request, texts=("T",)), PLAIN, SMALL),
        make_plan(dataclasses.replace(request, size=sides(400, None)), PLAIN, SMALL),
        make_plan(request, Settings(native=True), SMALL),
        make_plan(request, Settings(draw_text=True), SMALL),
        make_plan(request, PLAIN, dataclasses.replace(SMALL, revision="r2")),
    ]
    assert len({plan.id for plan in plans}) == len(plans)
    assert make_plan(dataclasses.replace(request, out="moved.png"), PLAIN, SMALL).id == plans[0].id


def test_the_id_follows_what_lies_in_the_picture_not_its_name(tmp_path: Path) -> None:
    paths = [picture(tmp_path / name) for name in ("a.png", "b.png")]
    other = picture(tmp_path / "c.png", (601, 400))
    ids = [
        make_plan(PosterRequest(task="style_driven", images=(path,), seed=1), PLAIN, LARGE).id
        for path in (*paths, other)
    ]
    assert ids[0] == ids[1] != ids[2]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (PosterRequest(task="extending", anchor=(800, 0)), "puts the 600x400 photo off the 832x1216 canvas"),
        (PosterRequest(task="filling", size=Size(400, 400)), "filling keeps the picture's shape"),
    ],
)
def test_sizes_that_contradict_each_other_are_refused(tmp_path: Path, asked: PosterRequest, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make_plan(dataclasses.replace(asked, images=(picture(tmp_path / "a.png"),)), PLAIN, SMALL)


def test_a_side_that_follows_from_the_other_may_not_vanish(tmp_path: Path) -> None:
    panorama = picture(tmp_path / "a.png", (4000, 40))
    with pytest.raises(ValueError, match="the poster would be 400x4; both sides must be 16 to 16384 pixels"):
        make_plan(PosterRequest(task="filling", images=(panorama,), size=sides(400, None)), PLAIN, SMALL)


def test_a_poster_that_could_not_be_read_again_is_refused_before_it_is_drawn() -> None:
    with pytest.raises(ValueError, match="the poster would be 16384x16384, 256 megapixels; the limit is 100"):
        finished_size(PosterRequest(size=Size(16384, 16384)), None)
    assert finished_size(PosterRequest(size=Size(10240, 10240)), None).area == 100 * 2**20


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (PosterRequest("x", texts=("AB\U00012000",)), "no font has .* CUNEIFORM SIGN A"),
        (PosterRequest('x "TITLE"', texts=("  ",)), "text 2 is empty"),
        (PosterRequest("x", texts=("A\x07B",)), "has the character U\\+0007, which cannot be set"),
        (PosterRequest('x "TITLE"', size=Size(200, 40)), "the poster would be 200x40; text needs at least 48 pixels"),
    ],
)
def test_a_text_that_cannot_be_set_is_refused_before_anything_is_drawn(asked: PosterRequest, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make_plan(asked, PLAIN, SMALL)
    assert make_plan(asked, Settings(draw_text=True), SMALL).brief is None


def test_a_result_whose_name_is_not_utf_8_gets_a_seed_too() -> None:
    assert make_plan(PosterRequest("x", out="caf\udce9.png"), PLAIN, SMALL).request.seed >= 0


def test_the_id_follows_what_a_lora_holds_and_weighs_not_where_it_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, content in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        (tmp_path / f"{name}.safetensors").write_bytes(content)
    loras = ("a.safetensors", str(tmp_path / "b.safetensors"), "c.safetensors", "a.safetensors=0.5", None)
    ids = [make_plan(PosterRequest("x", seed=1, lora=lora), PLAIN, SMALL).id for lora in loras]
    assert ids[0] == ids[1] and len(set(ids)) == 4


def test_a_folder_of_the_other_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "FluxPipeline"}))
    assert find_checkpoint(Settings(model=str(tmp_path)), "text").native_area == 832 * 1216
    with pytest.raises(ValueError, match="is a FluxPipeline; image tasks need Qwen-Image-Edit"):
        find_checkpoint(Settings(model=str(tmp_path)), "extending")


def test_a_checkpoint_brings_its_own_defaults(craft: str, omni: str) -> None:
    text, image = find_checkpoint(Settings(model=craft), "text"), find_checkpoint(Settings(model=omni), "extending")
    assert (text.native_area, text.steps, text.guidance) == (64 * 96, 2, 3.5)
    assert (image.native_area, image.steps, image.guidance) == (64 * 96, 2, 4.0)


def test_a_folder_without_an_index_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no model_index\.json in this folder"):
        find_checkpoint(Settings(model=str(tmp_path)), "text")


@pytest.mark.parametrize("option", ["segmenter", "upscaler"])
def test_a_tool_that_is_not_there_is_refused_before_anything_is_read(option):
    with pytest.raises(ValueError, match=f"nosuch: there is no such {option}"):
        find_checkpoint(Settings(**{option: "nosuch"}), "id_driven")
