from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from posterkit.batch.manifest import read_requests
from posterkit.batch.rows import BadRow
from posterkit.batch.variants import Variants
from posterkit.lettering import Lettering
from posterkit.schema import PosterRequest

NONE = PosterRequest(task="")


def rows_of(path: Path, rows: list[dict[str, Any]], common: PosterRequest = NONE, **more: Any) -> list[Any]:
    path = path / "jobs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return list(read_requests(path, common, **more))


def test_columns_fill_the_words_of_the_call(tmp_path: Path) -> None:
    table = "name,town,texts,out,phone\nAnna,Köln,,{name}.png,1\nBen,,@cta:Call,,2\n"
    (tmp_path / "people.csv").write_text(table, encoding="utf-8")
    common = PosterRequest("a street in {town}", task="", texts=["@title:Hello {name}", "{town}"])
    anna, ben = read_requests(tmp_path / "people.csv", common)
    assert isinstance(anna, PosterRequest) and isinstance(ben, PosterRequest)
    assert (anna.prompt, anna.texts, anna.out) == ("a street in Köln", ("Hello Anna", "Köln"), "Anna.png")
    assert anna.lettering.marks == (("Hello Anna", "title"),)
    assert (ben.prompt, ben.texts) == ("a street in ", ("Call",))  # the row's own texts stand in place of the call's


def test_an_empty_text_is_left_out(tmp_path: Path) -> None:
    common = PosterRequest("x", task="", texts=["{name}", "@body:{note}"])
    (request,) = rows_of(tmp_path, [{"name": "Anna", "note": ""}], common)
    assert request.texts == ("Anna",)


def test_a_pictures_own_name_and_its_number_are_columns(tmp_path: Path) -> None:
    Image.new("RGB", (40, 30)).save(tmp_path / "Mara.jpg")
    (row,) = read_requests(tmp_path, PosterRequest("no {number}", task="style_driven", texts=["{name}"]))
    assert isinstance(row, PosterRequest) and (row.prompt, row.texts) == ("no 1", ("Mara",))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"prompt": "a {twon}", "town": "Köln"}, "{twon} names no column (did you mean {town}?); {{ and }} stand for"),
        ({"prompt": "a {town}", "town": "Köln", "widht": 300}, 'unknown key "widht" (did you mean "width"?)'),
        (
            {"prompt": "a town", "town": "Köln"},
            'unknown key "town"; {town} in a prompt or a text would use it; the keys',
        ),
        ({"prompt": "a", "town": "Köln", "greeting": "Hi"}, 'unknown keys "town", "greeting"; {town} in a prompt or'),
    ],
)
def test_slips_are_named(tmp_path: Path, row: dict[str, Any], said: str) -> None:
    (found,) = rows_of(tmp_path, [row])
    assert isinstance(found, BadRow) and said in found.why


def test_double_braces_are_braces(tmp_path: Path) -> None:
    (request,) = rows_of(tmp_path, [{"prompt": "a {{sign}}", "texts": ["}{"]}])
    assert request.prompt == "a {sign}" and request.texts == ("}{",)


def test_marks_of_the_call_belong_to_the_filled_text_alone(tmp_path: Path) -> None:
    common = PosterRequest("x", task="", texts=["@cta:{name}"], lettering=Lettering(style="slab"))
    one, two = rows_of(tmp_path, [{"name": "A"}, {"name": "B"}], common)
    assert one.lettering == Lettering(style="slab", marks=(("A", "cta"),)) and two.lettering.marks == (("B", "cta"),)


def test_variants_have_names_and_seeds_of_their_own(tmp_path: Path) -> None:
    rows = [{"prompt": "a", "seed": 7, "out": "sea.pdf"}, {"prompt": "b"}, {"prompt": "c", "seeds": 1}]
    found = rows_of(tmp_path, rows, variants=Variants(3))
    assert [row.out for row in found] == [
        "sea-v1.pdf", "sea-v2.pdf", "sea-v3.pdf", "poster-0002-v1.png", "poster-0002-v2.png", "poster-0002-v3.png",
        "poster-0003.png",
    ]  # fmt: skip
    assert [row.id for row in found[:2]] == ["jobs.jsonl:1 v1", "jobs.jsonl:1 v2"]
    seeds = [row.seed for row in found]
    assert seeds[:3] == [7, 8, 9] and seeds[4:6] == [seeds[3] + 1, seeds[3] + 2] and seeds[6] is None
    assert [row.seed for row in rows_of(tmp_path, rows, variants=Variants(2, seed=1))][2] == seeds[3] + 1
