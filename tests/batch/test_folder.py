from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from posterkit.batch.manifest import read_requests
from posterkit.batch.rows import BadRow
from posterkit.schema import PosterRequest


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 30), "teal").save(path)
    return path


def rows(source: Path, task: str = "", **common: Any) -> dict[str, Any]:
    return {row.id: row for row in read_requests(source, PosterRequest(task=task, **common))}


def test_the_nearest_file_says_what_holds_for_a_picture(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg", "beach/c.jpg"):
        picture(tmp_path / name)
    (tmp_path / "posterkit.yaml").write_text("task: style_driven\nprompt: a lake\ntexts: [SUMMER]\nwidth: 400\n")
    (tmp_path / "beach" / "posterkit.yaml").write_text("task: extending\nprompt: a beach\nanchor: top\n")
    (tmp_path / "b.yaml").write_text("prompt: a hill\nheight: 600\nseed: 3\n")
    (tmp_path / "b.txt").write_text("a mountain")
    found = rows(tmp_path, texts=("OPTION",), steps=7)
    a, b = found["a.jpg"], found["b.jpg"]
    assert (a.task, a.prompt, a.texts, a.width, a.steps) == ("style_driven", "a lake", ("SUMMER",), 400, 7)
    assert (b.prompt, b.height, b.width, b.seed) == ("a mountain", 600, 400, 3)
    c = found["beach/c.jpg"]
    assert len(found) == 3 and (c.task, c.anchor, c.prompt, c.width) == ("extending", "top", "a beach", 400)


def test_files_that_a_key_file_names_count_from_its_folder(tmp_path: Path) -> None:
    picture(tmp_path / "in" / "a.jpg")
    picture(tmp_path / "in" / "sketch.png").rename(tmp_path / "in" / ".sketch.png")
    (tmp_path / "in" / "a.yaml").write_text("draft: .sketch.png\nfonts: [Bebas Neue]\n")
    (request,) = rows(tmp_path, "extending").values()
    assert request.draft == tmp_path / "in" / ".sketch.png" and request.lettering.fonts == ("Bebas Neue",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("widht: 3", 'posterkit.yaml: unknown key "widht" (did you mean "width"?)'),
        ("- a", "posterkit.yaml: must hold keys of a row"),
        ("out: a.png", "posterkit.yaml: out is of one picture; say it in NAME.yaml beside it"),
        ("a: [", "not YAML"),
    ],
)
def test_a_faulty_folder_file_stops_the_call(tmp_path: Path, text: str, said: str) -> None:
    picture(tmp_path / "a.jpg")
    (tmp_path / "posterkit.yaml").write_text(text)
    with pytest.raises(ValueError) as error:
        rows(tmp_path, "style_driven")
    assert said in str(error.value)


def test_a_faulty_file_beside_a_picture_costs_its_row(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        picture(tmp_path / name)
    (tmp_path / "a.yaml").write_text("width: big")
    found = rows(tmp_path, "style_driven")
    assert isinstance(found["a.jpg"], BadRow) and found["a.jpg"].why.startswith("a.yaml: width must be a whole number")
    assert isinstance(found["b.jpg"], PosterRequest)


def test_a_pattern_takes_pictures_with_what_lies_beside_them(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.png", "sub/c.jpg", "sub/deep/d.jpg"):
        picture(tmp_path / "in" / name)
    (tmp_path / "in" / "sub" / "posterkit.yaml").write_text("prompt: below\n")
    (tmp_path / "in" / "sub" / "c.txt").write_text("by the sea")
    found = rows(tmp_path / "in" / "**" / "*.jpg", "style_driven")
    assert [(row.id, row.prompt, row.out) for row in found.values()] == [
        ("a.jpg", "", "a.png"), ("sub/c.jpg", "by the sea", "sub/c.png"),
        ("sub/deep/d.jpg", "below", "sub/deep/d.png"),
    ]  # fmt: skip
    with pytest.raises(ValueError, match="no image that posterkit reads matches"):
        rows(tmp_path / "in" / "*.tif", "style_driven")
    with pytest.raises(ValueError, match=r"images need --task"):
        rows(tmp_path / "in" / "*.jpg")


def test_posters_of_other_batches_are_no_rows_unless_their_folder_is_named(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg")
    made = picture(tmp_path / "earlier" / "a.png").parent
    for name in (".posterkit.lock", "ledger.jsonl", "contact_sheet.html"):
        (made / name).write_text("")
    picture(made / "contact_sheet.png")
    with pytest.warns(UserWarning, match=r"earlier: holds the posters of a batch; it is left out"):
        assert list(rows(tmp_path, "extending")) == ["a.jpg"]
    assert list(rows(made, "extending")) == ["a.png"] == list(rows(made / "*.png", "extending"))


def test_a_link_to_nothing_says_so(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg")
    (tmp_path / "b.jpg").symlink_to("gone.jpg")
    bad = rows(tmp_path, "extending")["b.jpg"]
    assert isinstance(bad, BadRow) and bad.why == "a link to gone.jpg, which is not there"


def test_an_unknown_task_is_a_wrong_call_and_no_fault_of_rows(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg")
    with pytest.raises(ValueError, match=r"unknown task 'extnding' \(did you mean 'extending'"):
        rows(tmp_path, "extnding")
