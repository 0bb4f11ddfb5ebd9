"""Finished posters to the six tasks: what goes in, what must come out untouched, and what must never be copied."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image, ImageOps
from skimage import data
from skimage.feature import match_template

from posterkit import typeset
from posterkit.datagen.engine import Drop
from posterkit.datagen.omni.build import BUILDERS, build_task
from posterkit.datagen.omni.cutouts import background_of, cut_subject, cut_text, reshaped
from posterkit.datagen.omni.leaks import LEAKED, leaked_share
from posterkit.datagen.omni.painters import open_painter
from posterkit.datagen.omni.portraits import copied_share
from posterkit.datagen.omni.posters import (
    CannotBuild,
    PosterTask,
    PosterTasks,
    SourcePoster,
    find_subjects,
    open_source,
    read_texts,
    spelt_as_in,
    with_titles,
)
from posterkit.datagen.omni.rearrangement import rearranged
from posterkit.datagen.omni.subject_quality import GOOD, subject_quality
from posterkit.datasets import PosterDataset, PosterSample, SyntheticPosters, write_sample
from posterkit.datasets.validation import validate
from posterkit.metrics.arrangement import arrangement_similarity
from posterkit.metrics.color import palette, palette_distance
from posterkit.metrics.text_regions import DetectedText
from posterkit.pipelines.segmenters import Subject
from posterkit.prompts import PosterBrief, quoted_texts
from posterkit.schema import PosterRequest
from posterkit.sizing import Size
from posterkit.synthetic.scene_draft import draft
from posterkit.tasks import BLANK, TASKS, place

ROOT = Path(__file__).parents[2]
NONE = open_painter("none")


def coffee() -> SourcePoster:
    """A typeset photograph with what is known of it: the texts from the typesetter, the cup by hand."""
    photo = ImageOps.fit(Image.fromarray(data.coffee()), (320, 448))
    made = typeset(photo, PosterBrief(texts=["SLOW MORNING", "Fresh every day"]), archetype="bottom-stack")
    roles = ("major", "minor")
    texts = tuple(
        DetectedText(t.text, t.box.pixels(photo.size), role) for t, role in zip(made.boxes, roles, strict=True)
    )
    y, x = np.mgrid[0:448, 0:320]
    cup = ((x - 160) / 110) ** 2 + ((y - 130) / 100) ** 2 < 1
    subject = Subject(np.where(cup, 255, 0).astype(np.uint8), (51, 31, 270, 230))
    caption = 'A cup of coffee on a red saucer. The title reads "SLOW MORNING", below it "Fresh every day".'
    return SourcePoster(
        "coffee.png", made.image, caption, "poster", "coffee.png", "CC0-1.0", "train", texts, (subject,)
    )


COFFEE = coffee()


def built(task: str, number: int = 0, poster: SourcePoster = COFFEE) -> PosterSample:
    made = build_task(PosterTask(number, task, poster), 0, lambda: NONE)
    assert isinstance(made, PosterSample), made
    return made


@pytest.mark.parametrize("task", list(TASKS))
def test_the_target_is_the_finished_poster_byte_for_byte(task):
    made = built(task)
    assert (made.target == COFFEE.pixels).all() and made.caption == COFFEE.caption
    assert made.instruction == TASKS[task].instruction(made.words)
    assert len(made.references) in TASKS[task].references
    assert [(text.text, text.box) for text in made.texts] == [(text.text, text.box) for text in COFFEE.texts or ()]
    assert made.judged["references"]["said"]


@pytest.mark.parametrize("number", range(12))
def test_extending_keeps_the_whole_subject_in_the_crop(number):
    made = built("extending", number)
    x0, y0, x1, y1 = made.placed or (0, 0, 0, 0)
    a, b, c, d = COFFEE.subjects[0].box
    assert x0 <= a and y0 <= b and x1 >= c and y1 >= d
    assert (made.references[0] == COFFEE.pixels[y0:y1, x0:x1]).all()
    assert made.mask is not None and (made.mask[y0:y1, x0:x1] == 0).all()
    assert np.count_nonzero(made.mask == 0) == (x1 - x0) * (y1 - y0) < 0.86 * made.mask.size


@pytest.mark.parametrize("number", range(12))
def test_filling_blanks_what_the_mask_covers_and_nothing_else(number):
    made = built("filling", number)
    assert made.mask is not None and 0.03 <= (made.mask > 0).mean() <= 0.45
    hole = made.mask == 255
    assert (made.references[0][hole] == BLANK).all()
    assert (made.references[0][~hole] == COFFEE.pixels[~hole]).all()
    # the pipeline lays the pair out as it would lay out the untouched poster: nothing else is lost
    mask, size = Image.fromarray(made.mask), Size(320, 448)
    ours, _ = place(TASKS["filling"], [Image.fromarray(made.references[0])], size, mask)
    whole, _ = place(TASKS["filling"], [COFFEE.picture], size, mask)
    assert (np.asarray(ours[0]) == np.asarray(whole[0])).all()


def test_filling_erases_subjects_texts_and_areas_and_says_what_stood_there():
    made = {built("filling", number).judged["references"]["said"]: built("filling", number) for number in range(40)}
    assert set(made) == {"erased subject", "erased text", "erased area"}
    subject = made["erased subject"]
    assert subject.mask is not None and (subject.mask[COFFEE.subjects[0].mask > 0] == 255).all()
    assert subject.words == "A cup of coffee on a red saucer."
    (quoted,) = quoted_texts(made["erased text"].instruction)
    (text,) = [text for text in COFFEE.texts or () if text.text == quoted]
    x0, y0, x1, y1 = text.box
    assert (made["erased text"].mask[y0:y1, x0:x1] == 255).all()


@pytest.mark.parametrize("number", range(6))
def test_rescaling_shows_the_poster_in_another_shape(number):
    made = built("rescaling", number)
    h, w = made.references[0].shape[:2]
    assert abs(np.log((w / h) / (320 / 448))) > 0.2 and 0.8 < w * h / (320 * 448) < 1.2
    # the cup was moved, not stretched: at one scale alike in both directions it is found again
    cup = np.asarray(COFFEE.picture.convert("L"))[70:190, 90:230]
    scores = []
    for scale in np.linspace(0.3, 1.45, 24):
        piece = np.asarray(Image.fromarray(cup).resize((round(140 * scale), round(120 * scale))))
        canvas = np.asarray(Image.fromarray(made.references[0]).convert("L"))
        if piece.shape[0] < h and piece.shape[1] < w:
            scores.append(float(match_template(canvas, piece).max()))
    assert max(scores) > 0.9


def test_parts_never_leave_the_canvas_or_meet_and_texts_keep_their_order():
    rng = Random(0)
    old = Size(400, 600)
    tried = 0
    for _ in range(300):
        new = Size(rng.randrange(300, 800), rng.randrange(300, 800))
        subject = (rng.randrange(20, 100), rng.randrange(200, 260), rng.randrange(200, 380), rng.randrange(300, 420))
        texts = [
            (30, 30, 30 + rng.randrange(60, 340), 90),
            (30, 110, 30 + rng.randrange(60, 300), 135),
            (40, 520, 200, 545),
        ]
        try:
            made = rearranged(old, new, [subject], texts, rng)
        except CannotBuild:
            continue
        tried += 1
        boxes = [*made.subjects, *made.texts]
        for n, (x0, y0, x1, y1) in enumerate(boxes):
            assert 0 <= x0 < x1 <= new.width and 0 <= y0 < y1 <= new.height
            for a, b, c, d in boxes[:n]:
                assert x1 <= a or c <= x0 or y1 <= b or d <= y0
        tops = [box[1] for box in made.texts]
        assert tops == sorted(tops)
        (x0, y0, x1, y1), (a, b, c, d) = made.subjects[0], subject
        assert (x1 - x0) / (c - a) == pytest.approx((y1 - y0) / (d - b), abs=0.03)
    assert tried > 200


def test_a_subject_that_runs_off_two_opposite_sides_cannot_be_rearranged():
    with pytest.raises(CannotBuild):
        rearranged(Size(400, 600), Size(600, 400), [(0, 200, 400, 400)], [], Random(0))
    made = rearranged(Size(400, 600), Size(600, 400), [(100, 300, 300, 600)], [(20, 20, 200, 60)], Random(0))
    assert made.subjects[0][3] == 400  # what ran off the lower side runs off it again


@pytest.mark.parametrize("number", range(8))
def test_an_id_reference_is_no_pixel_copy_of_the_target(number):
    made = built("id_driven", number)
    for reference in made.references:
        assert copied_share(reference, made.target) < 0.001
    # nor is it the same pose: the cup does not lie on its like, though it is the same cup
    x0, y0, x1, y1 = COFFEE.subjects[0].box
    cup = np.asarray(COFFEE.picture.crop((x0, y0, x1, y1)).convert("L"), float)
    canvas = made.references[0].astype(float)
    shown = np.abs(canvas - np.median(canvas[:4], axis=(0, 1))).max(2) > 30
    rows, columns = np.flatnonzero(shown.any(1)), np.flatnonzero(shown.any(0))
    crop = Image.fromarray(made.references[0]).crop((int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])))
    again = np.asarray(crop.convert("L").resize(cup.shape[::-1]), float)
    assert np.corrcoef(cup.ravel(), again.ravel())[0, 1] < 0.97
    assert np.abs(cup - again).mean() > 8


def test_a_copy_is_told_from_what_is_no_copy():
    target = COFFEE.pixels
    assert copied_share(target[40:200, 60:260], target) == 1.0
    pasted = np.full((200, 200, 3), 240, np.uint8)
    pasted[50:150, 50:150] = target[60:160, 100:200]
    assert copied_share(pasted, target) > 0.5
    assert copied_share(np.asarray(COFFEE.picture.rotate(9)), target) < 0.001
    assert copied_share((target * 0.9).astype(np.uint8), target) < 0.001
    assert copied_share(np.full((64, 64, 3), 200, np.uint8), target) == 0.0


def test_each_subject_of_a_poster_is_a_reference_of_its_own():
    second = np.zeros((448, 320), np.uint8)
    second[240:300, 220:300] = 255
    poster = replace(COFFEE, subjects=(*COFFEE.subjects, Subject(second, (220, 240, 300, 300))))
    made = built("id_driven", 1, poster)
    assert len(made.references) == 2 and made.references[0].shape == made.references[1].shape


def test_a_layout_reference_has_the_arrangement_and_neither_content_nor_colours():
    made = [built("layout_driven", number) for number in range(12)]
    ways = {sample.judged["references"]["said"] for sample in made}
    assert ways == {"wireframe", "re-rendered in other colours"}
    other = np.asarray(
        typeset(Image.new("RGB", (320, 448), "teal"), PosterBrief(texts=["JAZZ"]), archetype="top-stack").image
    )
    for sample in made:
        reference = sample.references[0]
        assert reference.shape == sample.target.shape
        if sample.judged["references"]["said"] != "wireframe":
            assert arrangement_similarity(reference, sample.target) > arrangement_similarity(other, sample.target)
            assert palette_distance(palette(reference), palette(sample.target)) > 12
        assert copied_share(reference, sample.target) < 0.001


def test_small_print_does_not_keep_a_poster_from_being_re_rendered():
    fine = replace(COFFEE, texts=(*(COFFEE.texts or ()), DetectedText("by nobody", (5, 440, 60, 445), "minor")))
    assert all(built("layout_driven", number, fine).references for number in range(6))
    tiny = replace(COFFEE, texts=(DetectedText("TITLE", (5, 440, 60, 445), "major"),))
    made = [build_task(PosterTask(number, "layout_driven", tiny), 0, lambda: NONE) for number in range(8)]
    assert {one.reason for one in made if isinstance(one, Drop)} == {"texts too small"}


def test_a_wireframe_shows_blocks_where_subject_and_texts_stand():
    number = next(n for n in range(12) if built("layout_driven", n).judged["references"]["said"] == "wireframe")
    reference = built("layout_driven", number).references[0]
    for text in COFFEE.texts or ():
        x0, y0, x1, y1 = text.box
        assert len(np.unique(reference[y0:y1, x0:x1].reshape(-1, 3), axis=0)) == 1
        assert reference[y0, x0, 0] == (96 if text.role == "major" else 140)
    assert reference[130, 160, 0] == 176 and reference[2, 2, 0] == 252


@pytest.mark.parametrize("number", range(4))
def test_a_style_reference_has_the_colours_and_another_picture(number):
    made = built("style_driven", number)
    stranger = ImageOps.fit(Image.fromarray(data.rocket()), (320, 448))
    own, target = palette(made.references[0]), palette(made.target)
    assert palette_distance(own, target) < palette_distance(palette(np.asarray(stranger)), target)
    assert copied_share(made.references[0], made.target) < 0.02


def test_the_cut_subject_is_the_posters_own_pixels():
    cut = cut_subject(COFFEE, 0)
    pixels, own = np.asarray(cut.picture), np.asarray(COFFEE.picture.crop(cut.box))
    assert pixels.shape[:2] == (199, 219) and pixels[100, 110, 3] == 255 and pixels[0, 0, 3] == 0
    assert (pixels[..., :3] == own).all()


def test_a_text_is_cut_without_its_ground_and_with_its_button():
    text = (COFFEE.texts or ())[0]
    cut = cut_text(COFFEE, text.box, background_of(COFFEE, NONE, 0))
    alpha = np.asarray(cut.picture)[..., 3] / 255
    own = np.asarray(COFFEE.picture.crop(text.box)).astype(float)
    assert cut.ink is not None and min(cut.ink) > 200  # the letters are white
    assert alpha[own.min(2) > 230].mean() > 0.9 > 0.2 > alpha[own.max(2) < 120].mean()
    button = COFFEE.picture.copy()
    button.paste((120, 20, 20), (0, 300, 320, 340))
    ground = Image.new("RGB", button.size, (120, 200, 120))
    cut = cut_text(replace(COFFEE, picture=button), (40, 310, 200, 330), ground)
    assert cut.ink is None and np.asarray(cut.picture)[..., 3].min() == 255


def test_the_ground_keeps_what_is_neither_subject_nor_text():
    ground = np.asarray(background_of(COFFEE, NONE, 0))
    same = (ground == COFFEE.pixels).all(2)
    assert same[:20].all() and not same[COFFEE.subjects[0].mask > 0].all()
    x0, y0, x1, y1 = (COFFEE.texts or ())[0].box
    assert np.abs(ground[y0:y1, x0:x1].astype(int) - 255).min() > 20  # white letters are gone


def test_a_ground_in_another_shape_is_not_stretched():
    checks = np.kron(np.indices((28, 20)).sum(0) % 2, np.ones((16, 16)))[..., None].repeat(3, 2)
    wide = np.asarray(
        reshaped(Image.fromarray((60 + 120 * checks).astype(np.uint8)), (480, 320), NONE, 0).convert("L")
    )
    middle = wide[110:210, 180:300].astype(float) - 120
    spectra = [np.abs(np.fft.rfft(middle, 512, axis=axis)).mean(1 - axis)[4:].argmax() for axis in (0, 1)]
    assert abs(int(spectra[0]) - int(spectra[1])) <= 1


def seen(text: str, role="major") -> DetectedText:
    return DetectedText(text, (0, 0, 10, 10), role)


def test_what_was_misread_is_spelt_as_the_caption_quotes_it():
    read = spelt_as_in('A poster. It says "Jazz Night".', (seen("JAZ2 NIGHT"), seen("Friday")))
    assert [text.text for text in read] == ["Jazz Night", "Friday"]


def test_a_title_that_the_caption_does_not_say_is_added_in_its_language():
    assert with_titles("A cat.", (seen("MEOW"), seen("small", "minor"))) == 'A cat. The title reads "MEOW".'
    assert with_titles("一只猫。", (seen("喵"),)) == '一只猫。 标题写着"喵"。'
    assert with_titles('"MEOW" and a cat.', (seen("MEOW"),)) == '"MEOW" and a cat.'


def test_a_title_that_nobody_spelt_and_nobody_surely_read_costs_its_poster():
    unsure = DetectedText("OFTHE SEA", (10, 10, 200, 60), "major", 0.7)
    poster = replace(COFFEE, texts=None, caption="", judged={})
    critic = Reading((unsure,))
    dropped = read_texts(PosterTask(0, "filling", poster), lambda: critic)
    assert isinstance(dropped, Drop) and dropped.reason == "unsure title" and "coffee.texts.txt" in dropped.detail
    told = replace(poster, caption='A cup. "Of the Sea"', name="told.png")
    made = read_texts(PosterTask(0, "filling", told), lambda: critic)
    assert isinstance(made, PosterTask) and [text.text for text in made.poster.texts or ()] == ["Of the Sea"]


def test_texts_that_a_person_wrote_down_are_spelt_so_and_nothing_else_is_text(tmp_path):
    Image.new("RGB", (200, 300), "navy").save(tmp_path / "a.png")
    (tmp_path / "a.texts.txt").write_text("Lunar New Year\n\nOf the Sea\n")
    source = open_source(tmp_path, "", 0)
    job = PosterTasks(source, ("filling",))[0]
    assert isinstance(job, PosterTask) and job.poster.wording == ("Lunar New Year", "Of the Sea")
    read = tuple(DetectedText(text, (0, n, 9, n + 9), "major", 0.7) for n, text in enumerate(
        ("LunarNew Year", "OFTHE SEA", "B-AB 1234")))  # fmt: skip
    made = read_texts(job, lambda: Reading(read))
    assert isinstance(made, PosterTask)
    assert [text.text for text in made.poster.texts or ()] == ["Lunar New Year", "Of the Sea"]
    assert quoted_texts(made.poster.caption) == ["Lunar New Year", "Of the Sea"]


class Reading:
    """A critic that reads what it was given and says next to nothing."""

    name = "given"

    def __init__(self, texts: tuple[DetectedText, ...]) -> None:
        self.read = texts

    def texts(self, poster: Image.Image) -> tuple[DetectedText, ...]:
        return self.read

    def caption(self, poster: Image.Image) -> str:
        return "A poster."


def test_a_small_folder_holds_a_poster_out_and_all_its_copies_with_it(tmp_path):
    for number in range(9):
        pixels = np.random.default_rng(number).integers(0, 255, (160, 140, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        Image.fromarray(pixels).save(tmp_path / f"{number}-copy.png")
    splits = {}
    for job in (PosterTasks(open_source(tmp_path, "", 20), ("filling",))[number] for number in range(18)):
        assert isinstance(job, PosterTask)
        splits.setdefault(job.poster.name[0], set()).add(job.poster.split)
    assert all(len(one) == 1 for one in splits.values())
    assert 1 <= sum(one == {"heldout"} for one in splits.values()) <= 3
    none = [PosterTasks(open_source(tmp_path, "", 0), ("filling",))[number] for number in range(18)]
    assert {job.poster.split for job in none if isinstance(job, PosterTask)} == {"train"}


def cut(box, hole: np.ndarray) -> bool:
    """Whether an area takes a part of a box and not the whole."""
    share = hole[box[1] : box[3], box[0] : box[2]].mean()
    return bool(0 < share < 1)


@pytest.mark.parametrize("task", ["filling", "extending"])
def test_no_text_is_cut_and_every_text_in_the_hole_is_named(task):
    named = 0
    for number in range(40):
        made = build_task(PosterTask(number, task, COFFEE), 0, lambda: NONE)
        if isinstance(made, Drop):
            continue
        assert made.mask is not None
        hole, quoted = made.mask > 0, quoted_texts(made.instruction)
        for text in COFFEE.texts or ():
            assert not cut(text.box, hole), (number, text)
            inside = bool(hole[text.box[1] : text.box[3], text.box[0] : text.box[2]].any())
            assert (text.text in quoted) == inside, (number, made.instruction)
            named += inside
    assert named > 10


def test_a_rearranged_poster_that_does_not_read_as_the_poster_does_is_dropped():
    broken = replace(
        COFFEE, texts=(*(COFFEE.texts or ()), DetectedText("NOT THERE AT ALL", (20, 250, 300, 280), "major"))
    )
    made = [build_task(PosterTask(number, "rescaling", broken), 0, lambda: NONE) for number in range(3)]
    assert {one.reason for one in made if isinstance(one, Drop)} == {"texts damaged"}


BOXES = [part.box for part in (*(COFFEE.texts or ()), *COFFEE.subjects)]


def scenes() -> list[SourcePoster]:
    """Two typeset photographs and what is known of them."""
    found = []
    for name in ("chelsea", "astronaut"):
        photo = ImageOps.fit(Image.fromarray(getattr(data, name)()), (320, 448))
        made = typeset(photo, PosterBrief(texts=["OTHER SCENE"]), archetype="bottom-stack")
        text = DetectedText("OTHER SCENE", made.boxes[0].box.pixels(photo.size), "major")
        mask = np.zeros((448, 320), np.uint8)
        mask[60:200, 80:240] = 255
        subject = Subject(mask, (80, 60, 240, 200))
        found.append(SourcePoster(name, made.image, "A scene.", "", name, "", "train", (text,), (subject,)))
    return found


@pytest.mark.parametrize("other", [None, *scenes()], ids=["alone", "cat", "astronaut"])
@pytest.mark.parametrize("task", ["layout_driven", "style_driven"])
def test_no_reference_of_layout_or_style_shows_the_targets_scene(task, other):
    for number in range(4):
        made = build_task(PosterTask(number, task, COFFEE, other), 0, lambda: NONE)
        assert isinstance(made, PosterSample)
        assert leaked_share(made.references[0], made.target, BOXES) <= LEAKED


def test_the_targets_own_scene_is_a_leak_mirrored_recoloured_cropped_or_at_another_size():
    cat, target = scenes()
    ground = background_of(target, NONE, 0)
    hidden = [part.box for part in (*(target.texts or ()), *target.subjects)]
    for shown in (
        ImageOps.mirror(ground),
        ImageOps.colorize(ground.convert("L"), "navy", "orange"),
        ground.crop((0, 20, 320, 440)),
        ImageOps.mirror(ground).resize((400, 560)),
    ):
        assert leaked_share(np.asarray(shown), target.pixels, hidden) > LEAKED
    for stranger in (cat, COFFEE):
        assert leaked_share(stranger.pixels, target.pixels, hidden) <= LEAKED


def test_the_next_poster_of_the_same_split_lends_its_scene(tmp_path):
    source = open_source(synthetic_set(tmp_path / "set", 4), "unknown", 20)  # the second is held out
    jobs = [PosterTasks(source, ("style_driven", "filling"))[number] for number in range(8)]
    assert all(isinstance(job, PosterTask) for job in jobs)
    others = [job.other.name if job.other else None for job in jobs if isinstance(job, PosterTask)]
    names = source.names
    assert others == [names[2], None, None, None, names[3], None, names[0], None]


def test_a_good_subject_is_told_from_a_patch_of_sky_a_strip_and_a_part():
    y, x = np.mgrid[0:300, 0:200]
    disc = (x - 100) ** 2 + (y - 120) ** 2 < 50**2
    picture = np.zeros((300, 200, 3), np.uint8) + np.uint8((200, 210, 230))
    picture[disc] = (180, 40, 40)
    hidden = np.zeros((300, 200), bool)

    def quality(mask: np.ndarray) -> float:
        return subject_quality(Image.fromarray(picture), np.where(mask, 255, 0).astype(np.uint8), hidden)

    assert quality(disc) > 0.9
    assert quality(disc & (y < 120)) < GOOD  # half of it
    assert quality((y > 220) & (y < 260) & (x > 50) & (x < 150)) < GOOD  # nothing but ground
    picture[250:262] = (60, 120, 60)
    assert quality((y >= 250) & (y < 262)) < GOOD  # a ridge from side to side


def test_a_subject_of_no_quality_is_no_cut_out(tmp_path):
    space = ImageOps.fit(Image.fromarray(data.hubble_deep_field()), (320, 448))
    poster = SourcePoster("space.png", space, "Stars.", "", "space.png", "", "train", ())
    for task, reason in (("id_driven", "bad cut-out"), ("rescaling", "bad cut-out")):
        found = find_subjects(PosterTask(0, task, poster), "rules")
        assert isinstance(found, Drop) and found.reason == reason and "quality" in found.detail


def synthetic_set(folder: Path, count: int = 3) -> Path:
    source = SyntheticPosters(3, Size(160, 240), ("text",), "train")
    for number in range(count):
        sample = source.sample(number, task="text")
        sample.split = "heldout" if number == 1 else "train"
        write_sample(sample, folder)
    return folder


def test_a_set_keeps_its_splits_captions_and_texts(tmp_path):
    source = open_source(synthetic_set(tmp_path / "set"), "unknown", 20)
    jobs = [PosterTasks(source, ("extending", "filling"))[number] for number in range(6)]
    own = list(PosterDataset(tmp_path / "set"))
    for number, job in enumerate(jobs):
        assert isinstance(job, PosterTask) and job.task == ("extending", "filling")[number % 2]
        sample = own[number // 2]
        assert (job.poster.pixels == sample.target).all() and job.poster.split == sample.split
        assert job.poster.caption == sample.caption and job.poster.licence == "CC0-1.0"
        assert [text.text for text in job.poster.texts or ()] == [text.text for text in sample.texts]


def test_a_set_without_finished_posters_is_refused(tmp_path):
    sample = SyntheticPosters(3, Size(160, 240), ("filling",), "train").sample(0, task="filling")
    write_sample(sample, tmp_path)
    with pytest.raises(ValueError, match='holds no sample of task "text"'):
        open_source(tmp_path, "unknown", 20)
    with pytest.raises(ValueError, match="there is no such folder"):
        open_source(tmp_path / "nothing", "unknown", 20)


def test_a_poster_without_a_subject_is_dropped_with_a_reason_and_a_picture():
    empty = SourcePoster("e.png", Image.new("RGB", (200, 300), "navy"), "Navy.", "", "e.png", "", "train", ())
    found = find_subjects(PosterTask(0, "filling", empty), "rules")
    assert isinstance(found, Drop) and found.reason == "no subject" and found.picture is not None and not found.fault


def posters(folder: Path) -> Path:
    """Three typeset photographs, a damaged file and an empty ground."""
    folder.mkdir(parents=True)
    for name, photo in (("coffee", data.coffee()), ("rocket", data.rocket()), ("cat", data.chelsea())):
        ground = ImageOps.fit(Image.fromarray(photo), (256, 384))
        typeset(ground, PosterBrief(texts=[name.upper()])).image.save(folder / f"{name}.png")
        (folder / f"{name}.txt").write_text(f'A {name}. The title reads "{name.upper()}".')
    Image.new("RGB", (256, 384), "navy").save(folder / "empty.jpg")
    (folder / "torn.png").write_bytes((folder / "coffee.png").read_bytes()[:900])
    return folder


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "data_tools/build_omni.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.slow
def test_the_tool_makes_the_same_valid_set_with_one_worker_and_with_two(tmp_path):
    folder = posters(tmp_path / "posters")
    for name, prompt in (("fox", "an orange fox on cream"), ("bottle", "a green bottle on a white ground")):
        drawn = draft(PosterRequest(prompt, texts=[name.upper()], size=(256, 384), seed=1))  # with a clean outline
        typeset(drawn, PosterBrief(texts=[name.upper()])).image.save(folder / f"{name}.png")
        (folder / f"{name}.txt").write_text(f'A {name}. The title reads "{name.upper()}".')
    for name, workers in (("one", 1), ("two", 2)):
        made = run(folder, "--out", tmp_path / name, "--painter", "none", "--workers", workers, "--shard", 8)
        assert made.returncode == 1, made.stderr  # the torn file
    assert content(tmp_path / "one") == content(tmp_path / "two")
    checked = validate(tmp_path / "one")
    assert checked.faults == [] and checked.rows >= 16
    dropped = [json.loads(line) for line in (tmp_path / "one/dropped.jsonl").read_text().splitlines()]
    assert {row["reason"] for row in dropped if row["id"].startswith("torn")} == {"unreadable"}
    empty = [row for row in dropped if row["id"].startswith("empty")]
    assert len(empty) == 6 and {row["reason"] for row in empty} == {"no subject"} and empty[0]["thumbnail"]
    samples = list(PosterDataset(tmp_path / "one"))
    assert {sample.task for sample in samples} == set(TASKS)
    for sample in samples:
        with Image.open(folder / sample.source) as own:
            assert (np.asarray(own.convert("RGB")) == sample.target).all()
        assert sample.judged["texts"]["by"] == sample.judged["subjects"]["by"] == "rules"
        assert [region.role for region in sample.regions].count("major") >= 1


@pytest.mark.slow
def test_tar_shards_and_the_mini_painter(tmp_path):
    made = run(synthetic_set(tmp_path / "set"), "--out", tmp_path / "out", "--steps", 1, "--workers", 1,
               "--layout", "webdataset", "--tasks", "rescaling", "style_driven")  # fmt: skip
    assert made.returncode == 0, made.stderr
    assert validate(tmp_path / "out").faults == []
    assert all(s.judged["references"]["by"] == "painter mini" for s in PosterDataset(tmp_path / "out"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere"], "nowhere: there is no such folder"),
        (["{posters}", "--size", "64x64"], "finished posters keep their own size"),
        (["synthetic", "--size", "100x100"], "off the grid of 16 pixels"),
        (["{posters}", "--heldout", "-1"], "must be a whole number of at least 0"),
        (["{posters}", "--tasks", "extendin"], "unknown task 'extendin'"),
        (["{posters}", "--painter", "{posters}"], "there is no model_index.json"),
    ],
)
def test_a_wrong_call_is_one_line_and_exit_code_two(tmp_path, arguments, says):
    (tmp_path / "posters").mkdir()
    Image.fromarray(data.coffee()).save(tmp_path / "posters/a.png")
    made = run(
        *(part.format(posters=tmp_path / "posters") for part in arguments), "--out", tmp_path / "out", "--workers", 1
    )
    assert made.returncode == 2 and says in made.stderr and "Traceback" not in made.stderr
    assert not (tmp_path / "out").exists()


def test_every_task_has_a_builder():
    assert list(BUILDERS) == list(TASKS)
