from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from posterkit.batch.contact_sheet import MAX_AREA, Frame, contact_sheet
from posterkit.generate.record import typeset_record, write_poster
from posterkit.lettering import Lettering
from posterkit.prompts import PosterBrief
from posterkit.typeset.poster import typeset


def test_every_poster_is_on_the_sheet_in_order() -> None:
    colors = [(200, 30, 30), (30, 200, 30), (30, 30, 200), (200, 200, 30), (30, 200, 200)]
    sheet = contact_sheet(
        [Frame(Image.new("RGB", (83, 121), color), f"poster {color}") for color in colors], columns=3
    )
    pixels = np.asarray(sheet).reshape(-1, 3)
    places = []
    for color in colors:
        where = np.flatnonzero((pixels == color).all(axis=1))
        places.append((where[0] // sheet.width, where[0] % sheet.width))
    assert places == sorted(places) and len({row for row, _ in places}) == 2


@pytest.mark.slow
def test_a_thousand_posters_still_fit_in_memory() -> None:
    poster = Image.new("RGB", (20, 30), "red")
    sheet = contact_sheet([Frame(poster, "a very long name that cannot fit under a stamp.png")] * 1000)
    assert sheet.width * sheet.height <= MAX_AREA * 1.3


def test_a_panorama_and_a_file_find_room(tmp_path: Path) -> None:
    Image.new("RGB", (900, 90), (1, 2, 3)).save(tmp_path / "wide.png")
    sheet = contact_sheet([Frame(tmp_path / "wide.png", "wide", "a note", [tmp_path / "wide.png"])])
    assert ((np.asarray(sheet) == (1, 2, 3)).all(axis=2)).any()


@pytest.mark.parametrize("ending", [".svg", ".pdf", ".psd"])
def test_a_poster_in_layers_is_shown_with_its_texts(tmp_path: Path, ending: str) -> None:
    picture = Image.new("RGB", (240, 360), (30, 60, 160))
    poster = typeset(picture, PosterBrief(texts=["WAVES"]))
    picture.save(tmp_path / "blue.png")
    record = typeset_record(tmp_path / "blue.png", poster, ["WAVES"], Lettering())
    write_poster(poster, tmp_path / f"p{ending}", record)
    shown, drawn = (
        np.asarray(contact_sheet([Frame(one, "p")]), np.int16) for one in (tmp_path / f"p{ending}", poster.image)
    )
    assert shown.shape == drawn.shape and np.abs(shown - drawn).mean() < 2
    bare = np.asarray(contact_sheet([Frame(picture, "p")]), np.int16)
    assert np.abs(shown - bare).mean() > 2 * np.abs(shown - drawn).mean()


def test_a_damaged_preview_leaves_its_place_empty(tmp_path: Path) -> None:
    (tmp_path / "p.svg").write_text('<svg><metadata id="preview">AAAA</metadata></svg>', encoding="utf-8")
    empty, gone = (np.asarray(contact_sheet([Frame(tmp_path / name, "p")])) for name in ("p.svg", "gone.svg"))
    assert np.array_equal(empty, gone)


def test_an_empty_sheet_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        contact_sheet([])


def test_a_picture_that_is_gone_leaves_its_place_empty(tmp_path: Path) -> None:
    blue = Image.new("RGB", (60, 90), (20, 20, 220))
    gone = tmp_path / "gone.png"
    sheet = contact_sheet([Frame(gone, "a"), Frame(blue, "b", sources=[gone, blue])])
    assert ((np.asarray(sheet) == (20, 20, 220)).all(axis=2)).any()
    assert sheet.size == contact_sheet([Frame(blue, "a"), Frame(blue, "b", sources=[blue])]).size


@pytest.mark.slow
def test_a_name_in_any_script_is_written_in_letters_and_not_in_boxes() -> None:
    blue = Image.new("RGB", (60, 90), (20, 20, 220))

    def title(words: str) -> np.ndarray:
        return np.asarray(contact_sheet([Frame(blue, words)]))[-84:]

    pictures = [title(words) for words in ("Grün", "Grun", "ラーメン", "한국어", "لحن", "夜市", "Gr?n")]
    for i, one in enumerate(pictures):
        assert (one < 128).any()  # something is written
        assert not any(np.array_equal(one, other) for other in pictures[i + 1 :])
    assert np.array_equal(title("Gr🎉n"), title("Gr?n")) and title("a" * 300).size
