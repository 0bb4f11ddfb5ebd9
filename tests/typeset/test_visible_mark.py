"""The small line in a corner, in every form that a poster is written in."""

from __future__ import annotations

import numpy as np
import pypdf
import pytest
from PIL import Image

from posterkit.lettering import Lettering
from posterkit.prompts import PosterBrief
from posterkit.safety.gate import open_gate
from posterkit.schema import PosterRequest
from posterkit.typeset.poster import typeset

MARK = "Made with AI"


def picture(size=(400, 560)) -> Image.Image:
    noise = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(noise)


def test_it_stands_in_a_free_corner_and_can_be_read():
    poster = typeset(picture(), PosterBrief(texts=["FOX", "Saturday 8 pm"]), visible_mark=MARK)
    *texts, mark = poster.boxes
    assert [one.text for one in texts] == ["FOX", "Saturday 8 pm"] and mark.text == MARK
    assert mark.contrast >= 4.5 and mark.size == 8.0  # 1.6 % of 400 pixels is less than the smallest legible size
    assert mark.box.x0 > 0 and mark.box.x1 < 400 and mark.box.y0 > 0 and mark.box.y1 < 560
    taken = [box for one in texts for box in ([one.button] if one.button else one.line_boxes())]
    assert not any(mark.box.overlaps(box) for box in taken)
    plain = typeset(picture(), PosterBrief(texts=["FOX", "Saturday 8 pm"]))
    changed = (np.asarray(poster.image) != np.asarray(plain.image)).any(2)
    x0, y0, x1, y1 = mark.box.pixels((400, 560))
    assert changed[y0:y1, x0:x1].any() and [one.box for one in texts] == [one.box for one in plain.boxes]


def test_it_is_live_text_in_svg_and_pdf(tmp_path):
    poster = typeset(picture(), PosterBrief(texts=["FOX"]), visible_mark=MARK)
    assert MARK in poster.svg()
    (tmp_path / "p.pdf").write_bytes(poster.pdf())
    assert MARK in pypdf.PdfReader(tmp_path / "p.pdf").pages[0].extract_text()


def test_it_can_stand_alone():
    (mark,) = typeset(picture(), PosterBrief(), visible_mark=MARK).boxes
    assert mark.text == MARK and mark.box.x1 > 350 and mark.box.y1 > 530  # bottom right


def test_it_moves_where_a_text_stands_in_its_corner():
    boxes = [(200, 500, 400, 560)]
    free, moved = (
        typeset(picture(), PosterBrief(texts=["SUMMER"]), boxes=where, visible_mark=MARK).boxes[-1].box
        for where in ([(10, 10, 390, 200)], boxes)
    )
    assert free.x0 > 200 and moved.x1 < 200 and moved.y1 > 500


def test_what_is_too_long_is_refused():
    with pytest.raises(ValueError, match="too long"):
        typeset(picture(), PosterBrief(texts=["FOX"]), visible_mark="words " * 40)


def test_the_gate_reads_it_as_copy():
    gate = open_gate("off,copy=block", detector="rules")
    assert gate is not None
    fine = PosterRequest("a fox", lettering=Lettering(visible_mark=MARK))
    assert gate.check_request(fine)[0] == fine
    with pytest.raises(ValueError, match=r"blocked \(copy\)"):
        gate.check_request(PosterRequest("a fox", lettering=Lettering(visible_mark="Guaranteed profit")))
