"""The form as a row, and a record as the form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from posterkit.app.ui.form import brushed_mask, form_from, sent_from, texts_of


def test_each_field_is_a_text_of_its_role_and_a_blank_line_begins_another(small):
    form = small | {"body": "Doors 7 pm\nShow 8 pm\n\nFree entry\n\n", "title": "  "}
    said = ["@subtitle:From 6 May", "@body:Doors 7 pm\nShow 8 pm", "@body:Free entry", "@cta:Book now"]
    assert texts_of(form) == said


def test_what_is_written_as_a_number_is_one_and_an_empty_field_says_nothing(small, tmp_path: Path):
    said = small | {"seed": "7", "steps": "12", "guidance": "2.5"}
    assert {key: sent_from(said, tmp_path).row[key] for key in ("seed", "steps", "guidance")} == {
        "seed": 7, "steps": 12, "guidance": 2.5,
    }  # fmt: skip
    empty = sent_from(small | {"seed": "", "steps": None, "guidance": ""}, tmp_path).row
    assert not {"seed", "steps", "guidance"} & set(empty)
    assert sent_from(small | {"steps": "many"}, tmp_path).row["steps"] == "many"  # the row's check names it


def test_uploads_are_copied_and_named_in_the_row(small, cup: Path, tmp_path: Path):
    sent = sent_from(small | {"task": "extending", "files": [str(cup)], "anchor": "top"}, tmp_path)
    assert sent.row["images"] == ["cup.jpg"] and sent.row["anchor"] == "top" and sent.files == {"cup.jpg"}
    assert (tmp_path / "cup.jpg").read_bytes() == cup.read_bytes()
    assert "images" not in sent_from(small | {"files": [str(cup)]}, tmp_path).row  # words alone take none


def test_what_was_painted_is_white_at_the_photographs_size(small, cup: Path, tmp_path: Path):
    layer = np.zeros((80, 120, 4), np.uint8)
    layer[20:40, 30:60] = (184, 50, 26, 140)
    editor = {"background": None, "layers": [Image.fromarray(layer)], "composite": None}
    sent = sent_from(small | {"task": "filling", "files": [str(cup)], "mask": editor}, tmp_path)
    mask = np.asarray(Image.open(tmp_path / sent.row["mask"]))
    assert mask.shape == (160, 240) and mask[45:75, 65:115].min() == 255 and mask[:30].max() == 0
    assert "size" not in sent.row  # the poster has the photograph's
    assert brushed_mask({"layers": [Image.new("RGBA", (9, 9))]}) is None


@pytest.mark.parametrize("task", ["text", "extending"])
def test_a_posters_record_fills_the_form_that_makes_it_again(desk, maker, small, cup: Path, tmp_path: Path, task):
    form = small | {"colors": "#ffd400, white", "style": "slab", "negative_prompt": "fog", "body": "Doors 7 pm"}
    form |= {"task": task, "files": [str(cup)] if task == "extending" else None, "anchor": "bottom"}
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (plan,), _ = desk.intake.plans(sent_from(form, tmp_path / "a"))
    (poster,) = maker.make([plan])
    again, notes = form_from(poster.record)
    assert bool(notes) == (task == "extending")
    (second,), _ = desk.intake.plans(sent_from(again | {"files": form["files"]}, tmp_path / "b"))
    assert second.id == plan.id == poster.record["id"]


def test_a_record_that_says_too_little_is_refused(small):
    with pytest.raises(ValueError, match="only that posterkit made it"):
        form_from({"metadata": "label"})
    with pytest.raises(ValueError, match="damaged"):
        form_from({"row": {"task": "text"}})
