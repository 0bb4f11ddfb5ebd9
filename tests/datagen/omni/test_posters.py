"""Finished posters as sources: their texts, captions, splits and subjects."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from omni_posters import COFFEE, synthetic_set
from PIL import Image

from posterkit.datagen.engine import Drop
from posterkit.datagen.omni.posters import (
    PosterTask,
    PosterTasks,
    SourcePoster,
    find_subjects,
    open_source,
    read_texts,
    spelt_as_in,
    with_titles,
)
from posterkit.datasets import PosterDataset, SyntheticPosters, write_sample
from posterkit.metrics.text_regions import DetectedText
from posterkit.prompts import quoted_texts
from posterkit.sizing import Size


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


def test_the_next_poster_of_the_same_split_lends_its_scene(tmp_path):
    source = open_source(synthetic_set(tmp_path / "set", 4), "unknown", 20)  # the second is held out
    jobs = [PosterTasks(source, ("style_driven", "filling"))[number] for number in range(8)]
    assert all(isinstance(job, PosterTask) for job in jobs)
    others = [job.other.name if job.other else None for job in jobs if isinstance(job, PosterTask)]
    names = source.names
    assert others == [names[2], None, None, None, names[3], None, names[0], None]


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
