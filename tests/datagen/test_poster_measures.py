"""The measures of a set and of a folder of posters, on posters whose faults are known."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image, ImageOps
from skimage import data

from posterkit import PosterBrief, typeset
from posterkit.cli.main import main
from posterkit.datagen.picture_folder import recorded_words
from posterkit.datagen.poster_measures import measures_of
from posterkit.datasets import write_sample
from posterkit.schema import DrawnText, PosterSample


def poster(title: str, photo: str = "coffee") -> tuple[Image.Image, tuple[int, int, int, int]]:
    ground = ImageOps.fit(Image.fromarray(getattr(data, photo)()), (320, 448))
    made = typeset(ground, PosterBrief(texts=[title]), archetype="bottom-stack")
    return made.image, made.boxes[0].box.pixels(ground.size)


@pytest.mark.slow
def test_a_set_says_recall_unnamed_texts_leaks_and_what_was_dropped(tmp_path):
    picture, box = poster("SLOW MORNING")
    pixels = np.asarray(picture)
    mask = np.zeros((448, 320), np.uint8)
    mask[box[1] - 4 : box[3] + 4] = 255
    right = {"target": pixels, "texts": [DrawnText("SLOW MORNING", box)], "references": [pixels]}
    wrong = {**right, "texts": [DrawnText("FAST EVENING", box)]}
    other = np.asarray(ImageOps.fit(Image.fromarray(data.astronaut()), (320, 448)))
    for sample in (
        PosterSample("named", "filling", **right, mask=mask, placed=(0, 0, 320, 448),
                     instruction='Fill it. It says "SLOW MORNING" there.'),
        PosterSample("unnamed", "filling", **wrong, mask=mask, placed=(0, 0, 320, 448), instruction="Fill it."),
        PosterSample("leak", "style_driven", **right, instruction="In this style."),
        PosterSample("sound", "style_driven", **{**right, "references": [other]}, instruction="In this style."),
    ):  # fmt: skip
        write_sample(sample, tmp_path)
    lines = [
        {"id": "a", "reason": "no subject"},
        {"id": "b", "reason": "bad cut-out"},
        {"id": "c", "reason": "no subject"},
    ]
    (tmp_path / "dropped.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    recall, rearranged, unnamed, leaks, dropped = measures_of(tmp_path)
    assert recall == "text recall of targets: 0.750 over 4 (unnamed)"
    assert rearranged == "text recall of rearranged inputs: nothing to read"
    assert unnamed == "texts in a hole that no instruction names: 1 samples (unnamed)"
    assert leaks == "leaks: 1 of 2 samples whose reference is another picture (leak)"
    assert dropped == "dropped: 3; no subject 2, bad cut-out 1"


@pytest.mark.slow
def test_a_folder_of_posters_says_recall_and_what_becomes_of_subjects(tmp_path):
    poster("SLOW MORNING")[0].save(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text('A cup. "SLOW MORNING"')
    poster("LIFT OFF", "rocket")[0].save(tmp_path / "b.png")
    (tmp_path / "b.texts.txt").write_text("LIFT OFF\nNEVER SET\n")
    Image.new("RGB", (200, 300), "navy").save(tmp_path / "empty.png")
    recall, subjects = measures_of(tmp_path)
    assert recall == "text recall of posters: 0.750 over 2 (b.png)"  # two of two words, two of four
    assert subjects.startswith("subjects: ") and "no subject 1" in subjects


def test_a_poster_of_posterkit_says_its_texts_itself(tmp_path):
    photo, out = tmp_path / "coffee.png", tmp_path / "posters" / "own.png"
    Image.fromarray(data.coffee()).resize((480, 320)).save(photo)
    out.parent.mkdir()
    assert main(["typeset", str(photo), "--text", "SLOW MORNING", "--text", "from 8", "-o", str(out)]) == 0
    assert recorded_words(out) == ("", ("SLOW MORNING", "from 8")) and recorded_words(photo) == ("", ())
    assert measures_of(out.parent)[0] == "text recall of posters: 1.000 over 1"


def test_a_folder_without_a_picture_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no picture"):
        measures_of(tmp_path)
