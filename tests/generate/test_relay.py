"""One picture in several sizes, through the real pipelines."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pictures import grain
from PIL import Image, ImageDraw

from posterkit import PosterMaker, PosterRequest
from posterkit.generate.record import request_from_poster
from posterkit.generate.relay import relaid
from posterkit.generate.reshape import continued, window_of
from posterkit.paper import Sheet
from posterkit.schema import Design
from posterkit.sizing import Size

DESIGN = Design(Size(96, 144))
WAVES = PosterRequest("waves", texts=["SURF"], seed=3, steps=1, size=Size(96, 144))


def test_a_window_holds_what_stays_whole_in_the_wanted_shape_where_the_picture_allows_it() -> None:
    assert window_of((100, 200), 1.0, [(40, 150, 60, 180)]) == (0, 100, 100, 200)  # a square as low as can be
    assert window_of((100, 200), 4.0, [(10, 50, 90, 150)]) == (0, 45, 100, 155)  # a banner that is too low for it


def test_edges_go_on_where_a_picture_is_too_small() -> None:
    part = Image.new("RGB", (10, 20), "red")
    part.paste("blue", (9, 0, 10, 20))
    pixels = np.asarray(continued(part, Size(30, 20)))
    assert pixels.shape == (20, 30, 3)
    assert (pixels[:, :19] == (255, 0, 0)).all() and (pixels[:, 19:] == (0, 0, 255)).all()


@pytest.mark.parametrize("size", [Size(400, 100), Size(100, 400), Size(200, 200)])
def test_the_subject_stays_whole_and_nothing_is_resampled(size: Size) -> None:
    picture = Image.new("RGB", (160, 240), (230, 220, 200))
    ImageDraw.Draw(picture).ellipse((60, 130, 110, 180), fill=(200, 30, 40))
    shown = relaid(picture, size, lettered=False)
    assert abs(shown.width / shown.height / size.aspect - 1) < 0.02
    red = (np.asarray(picture)[..., 1] == 30).sum()
    assert (np.asarray(shown)[..., 1] == 30).sum() == red


def test_posters_of_one_design_show_one_drawing(craft: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from posterkit.generate import maker as module

    drawn = []
    draw = module.draw_prepared
    monkeypatch.setattr(module, "draw_prepared", lambda *args: drawn.append(len(args[1])) or draw(*args))
    with PosterMaker(model=craft) as maker:
        sheet = Sheet(72, bleed=1)
        sizes = [(WAVES.size, None), (Size(240, 60), None), (Size(150, 200), sheet)]
        rows = [replace(WAVES, size=size, sheet=sheet, design=DESIGN) for size, sheet in sizes]
        first, banner, printed = maker.make([maker.plan(row) for row in rows])
        assert drawn == [1]
        alone = maker(WAVES)
        again = maker(rows[1])
    assert np.array_equal(first.image, alone.image) and first.record["id"] == alone.record["id"]
    assert np.array_equal(banner.image, again.image) and banner.record == again.record
    assert np.array_equal(banner.drawing, first.drawing) and banner.image.size == (240, 60)
    assert printed.image.size == (150, 200) and len({one.record["id"] for one in (first, banner, printed)}) == 3
    assert banner.record["row"]["design"] == {"width": 96, "height": 144}


def test_a_relaid_poster_is_made_again_from_its_record(craft: str, tmp_path: Path) -> None:
    with PosterMaker(model=craft) as maker:
        made = maker(replace(WAVES, size=Size(240, 80), design=DESIGN))
        made.save(tmp_path / "banner.png")
        request, _, _ = request_from_poster(tmp_path / "banner.png")
        assert request.design == DESIGN
        assert np.array_equal(maker(request).image, made.image)


def test_a_task_that_keeps_pixels_draws_each_size(omni: str, tmp_path: Path) -> None:
    Image.fromarray(grain(90, 60)).save(tmp_path / "photo.png")
    request = PosterRequest(task="extending", images=[tmp_path / "photo.png"], size=Size(160, 96), seed=1, steps=1,
                            anchor="top-left", design=Design(Size(96, 160)))  # fmt: skip
    with PosterMaker(model=omni) as maker:
        made = maker(request)
    assert np.array_equal(np.asarray(made.image)[:60, :90], grain(90, 60)) and "design" not in made.record["row"]


def test_what_contradicts_several_sizes_is_said(craft: str) -> None:
    with pytest.raises(ValueError, match="best_of chooses a picture for one size"):
        replace(WAVES, design=DESIGN, best_of=2).check()
    with pytest.raises(ValueError, match="native keeps the size"):
        PosterMaker(model=craft, native=True).plan(replace(WAVES, size=Size(200, 200), design=DESIGN))
