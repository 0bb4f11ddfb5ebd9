from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from posterkit.batch.manifest import parse_row, read_requests
from posterkit.batch.rows import BadRow
from posterkit.lettering import Lettering
from posterkit.paper import Sheet
from posterkit.schema import PosterRequest
from posterkit.sizing import Size
from posterkit.tasks import TASKS, parse_anchor

NONE = PosterRequest(task="")


def fault(row: Any, common: PosterRequest = NONE) -> str:
    found = parse_row(row, "jobs.jsonl:1", Path("base"), common)
    assert isinstance(found, BadRow), found
    assert found.id == "jobs.jsonl:1" and "\n" not in found.why
    return found.why


def job(row: Any, common: PosterRequest = NONE) -> PosterRequest:
    found = parse_row(row, "jobs.jsonl:1", Path("base"), common)
    assert isinstance(found, PosterRequest), found
    return found


def picture(path: Path, color: str = "red") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (30, 40), color).save(path)
    return path


def test_a_row_says_everything_about_a_poster() -> None:
    row = {
        "task": "filling", "prompt": "a lake", "texts": ["LAKE"], "images": ["a.png"], "mask": "m.png", "width": 300,
        "height": 400, "seed": 7, "steps": 5, "guidance": 2.5, "negative_prompt": "people", "lora": "x.safetensors",
        "out": "sub/lake.png",
    }  # fmt: skip
    found = job(row)
    assert found == PosterRequest(
        "a lake",
        task="filling",
        texts=["LAKE"],
        images=[Path("base/a.png")],
        mask=Path("base/m.png"),
        size=Size(300, 400),
        seed=7,
        steps=5,
        guidance=2.5,
        negative_prompt="people",
        lora="x.safetensors",
        out="sub/lake.png",
        id="jobs.jsonl:1",
    )


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ([], "must be a JSON object, found list"),
        ({"prompt": "x", "widht": 3}, 'unknown key "widht" (did you mean "width"?)'),
        ({"task": "filing", "images": ["a.png"]}, "unknown task 'filing' (did you mean 'filling'?)"),
        ({"images": ["a.png"]}, "no task given"),
        ({}, 'the task "text" needs a prompt or texts'),
        ({"prompt": "x", "images": ["a.png"], "task": "text"}, 'the task "text" takes no images'),
        ({"task": "filling", "images": ["a.png"]}, "task 'filling' needs a mask; extending, rescaling, id_driven"),
        ({"task": "extending", "images": ["a.png"], "mask": "m.png"}, "takes no mask"),
        ({"task": "extending", "images": ["a.png", "b.png"]}, "takes 1 image, found 2"),
        ({"task": "id_driven", "images": ["a.png"] * 5}, "takes 1 to 4 images, found 5"),
        ({"task": "id_driven", "images": []}, "takes 1 to 4 images, found 0"),
        ({"task": "rescaling", "images": ["a.png"], "anchor": "top"}, "takes no anchor; extending does"),
        ({"prompt": "x", "width": 8}, "width must be a whole number of pixels from 16 to 16384, found 8"),
        ({"prompt": "x", "height": "big"}, 'height must be a whole number of pixels from 16 to 16384, found "big"'),
        ({"prompt": "x", "steps": True}, "steps must be a whole number from 1 to 1000, found true"),
        ({"prompt": "x", "best_of": 0}, "best_of must be a whole number from 1 to 1000, found 0"),
        ({"prompt": "x", "refine": 2}, 'unknown key "refine"'),
        ({"prompt": "x", "seed": -1}, "seed must be a whole number of at least 0"),
        ({"prompt": "x", "guidance": "hot"}, "guidance must be a number from 0 to 100"),
        ({"prompt": "x", "texts": "TITLE"}, "texts must be a list of non-empty texts"),
        ({"prompt": "x", "texts": ["A", ""]}, "texts must be a list of non-empty texts"),
        ({"prompt": "x", "anchor": "middle"}, "anchor must be one of top-left"),
        ({"prompt": "x", "out": "../escape.png"}, "out must be a .png name inside the output folder"),
        ({"prompt": "x", "out": "/tmp/escape.png"}, "out must be a .png name inside the output folder"),
        ({"prompt": "x", "out": "a\ud800.png"}, "out must be a .png name inside the output folder"),
        ({"prompt": "caf\udce9"}, "the words are not Unicode text"),
        ({"prompt": "x", "texts": ["caf\udce9"]}, "the words are not Unicode text"),
        ({"prompt": "x", "out": "a.jpg"}, "out must be a .png name inside the output folder"),
    ],
)
def test_a_fault_is_named_with_what_was_found_and_what_is_accepted(row: Any, said: str) -> None:
    assert said in fault(row)


@pytest.mark.parametrize("key", ["title", "titel", "Title"])
def test_a_role_is_no_key_and_the_fault_says_where_it_belongs(key: str) -> None:
    said = fault({"prompt": "a lake", key: "LAKE"})
    assert 'the text "@title:..." in texts' in said and 'the column is "title"' in said


def test_several_faults_of_a_row_come_together() -> None:
    why = fault({"prompt": 3, "widht": 3, "steps": 0})
    assert "prompt" in why and "widht" in why and "steps" in why


def test_the_command_line_fills_in_what_a_row_leaves_out() -> None:
    common = PosterRequest(
        "shared",
        task="extending",
        texts=("T",),
        anchor="top",
        steps=9,
        guidance=1.5,
        negative_prompt="no",
        seed=3,
        best_of=4,
        size=Size(100, 200),
    )
    found = job({"images": ["a.png"]}, common)
    assert (found.task, found.prompt, found.texts, found.anchor) == ("extending", "shared", ("T",), "top")
    assert (found.width, found.height, found.steps, found.guidance, found.negative_prompt) == (100, 200, 9, 1.5, "no")
    assert found.best_of == 4 and job({"images": ["a.png"], "best_of": 2}, common).best_of == 2


def test_a_row_with_one_side_does_not_take_the_other_from_the_command_line() -> None:
    found = job({"prompt": "x", "width": 64}, PosterRequest(task="", size=Size(100, 200)))
    assert (found.width, found.height) == (64, None)


@pytest.mark.parametrize(("text", "anchor"), [("top-left", "top-left"), ("12,-3", (12, -3)), (" 4 , 5", (4, 5))])
def test_an_anchor_is_a_word_or_a_point(text: str, anchor: Any) -> None:
    assert parse_anchor(text) == anchor


def test_a_manifest_names_its_faulty_lines_and_keeps_the_good_ones(tmp_path: Path) -> None:
    lines = ['{"prompt": "a"}', "", "not json", '{"prompt": "b", "out": "b.png"}', '{"prompt": "c", "out": "B.png"}']
    (tmp_path / "jobs.jsonl").write_text("\ufeff" + "\n".join(lines), encoding="utf-8")
    rows = read_requests(tmp_path / "jobs.jsonl", NONE)
    assert [row.id for row in rows] == ["jobs.jsonl:1", "jobs.jsonl:3", "jobs.jsonl:4", "jobs.jsonl:5"]
    assert [isinstance(row, PosterRequest) for row in rows] == [True, False, True, False]
    assert "not JSON" in rows[1].why and "already the name of jobs.jsonl:4" in rows[3].why  # type: ignore[union-attr]
    assert rows[0].out == "poster-0001.png"  # type: ignore[union-attr]


def test_a_text_may_hold_line_ends_that_json_lets_stand(tmp_path: Path) -> None:
    prompts = ["one\u2028two", "one\u0085two", "one\x7f\u2029two"]
    lines = [json.dumps({"prompt": prompt}, ensure_ascii=False) for prompt in prompts]
    (tmp_path / "jobs.jsonl").write_text("\r\n".join(lines), encoding="utf-8", newline="")
    rows = read_requests(tmp_path / "jobs.jsonl", NONE)
    assert [row.prompt for row in rows if isinstance(row, PosterRequest)] == prompts and len(rows) == 3


def test_a_result_has_one_name_however_it_is_spelt(tmp_path: Path) -> None:
    assert job({"prompt": "x", "out": "./sub//a.png"}).out == "sub/a.png"
    outs = ("a.png", "./a.png", "./contact_sheet.png", "b.png")
    (tmp_path / "jobs.jsonl").write_text("\n".join(json.dumps({"prompt": "x", "out": out}) for out in outs))
    rows = read_requests(tmp_path / "jobs.jsonl", NONE)
    assert [row.out for row in rows if isinstance(row, PosterRequest)] == ["a.png", "b.png"]
    assert "already the name of jobs.jsonl:1" in rows[1].why and "the contact sheet" in rows[2].why  # type: ignore[union-attr]


def test_paths_of_a_manifest_count_from_its_folder(tmp_path: Path) -> None:
    row = {"task": "extending", "images": ["pictures/a.png"]}
    (tmp_path / "jobs.jsonl").write_text(json.dumps(row))
    (found,) = read_requests(tmp_path / "jobs.jsonl", NONE)
    assert isinstance(found, PosterRequest) and found.images == (tmp_path / "pictures" / "a.png",)


def test_a_folder_gives_a_row_for_each_image_with_its_prompt_and_mask(tmp_path: Path) -> None:
    picture(tmp_path / "b.jpg")
    picture(tmp_path / "a.png")
    picture(tmp_path / "a.mask.png", "white")
    picture(tmp_path / "b.mask.png", "white")
    (tmp_path / "a.txt").write_text('a lake\nat "DAWN"\n', encoding="utf-8")
    rows = read_requests(tmp_path, PosterRequest("default", task="filling"))
    assert [(row.id, row.prompt, row.mask, row.out) for row in rows if isinstance(row, PosterRequest)] == [
        ("a.png", 'a lake at "DAWN"', tmp_path / "a.mask.png", "a.png"),
        ("b.jpg", "default", tmp_path / "b.mask.png", "b.png"),
    ]


def test_capitals_in_the_ending_of_a_prompt_or_a_mask_count_for_nothing(tmp_path: Path) -> None:
    picture(tmp_path / "a.PNG")
    picture(tmp_path / "a.MASK.PNG", "white")
    (tmp_path / "a.TXT").write_text("a lake")
    (found,) = read_requests(tmp_path, PosterRequest(task="filling"))
    assert isinstance(found, PosterRequest) and (found.prompt, found.mask) == ("a lake", tmp_path / "a.MASK.PNG")


def test_what_may_not_be_read_is_the_fault_of_its_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.png", "b.png", "locked/one.png"):
        picture(tmp_path / name)
    (tmp_path / "a.txt").write_text("x")

    def refusing(real: Any) -> Any:
        def call(path: Path, *args: Any, **options: Any) -> Any:
            if path.name in ("locked", "a.txt"):
                raise PermissionError(13, "Permission denied", str(path))
            return real(path, *args, **options)

        return call

    monkeypatch.setattr(Path, "iterdir", refusing(Path.iterdir))
    monkeypatch.setattr(Path, "open", refusing(Path.open))
    rows = {row.id: row for row in read_requests(tmp_path, PosterRequest(task="style_driven"))}
    assert isinstance(rows["b.png"], PosterRequest)
    assert rows["a.png"] == BadRow("a.png", "a.txt cannot be read (Permission denied)")
    assert rows["locked/"] == BadRow("locked/", "locked cannot be read (Permission denied)")


def test_the_output_folder_is_no_row_however_deep_it_lies(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    picture(tmp_path / "posters" / "june" / "a.png")
    picture(tmp_path / "mascot" / "one.png")
    picture(tmp_path / "mascot" / "made" / "mascot.png")
    for out, rows in (
        ("posters/june", ["a.png", "mascot/"]),
        ("posters/june/late", ["a.png", "mascot/", "posters/"]),
        ("mascot/made", ["a.png", "mascot/", "posters/"]),
    ):
        found = {row.id: row for row in read_requests(tmp_path, PosterRequest(task="id_driven"), skip=tmp_path / out)}
        assert list(found) == rows
        assert isinstance(found["mascot/"], PosterRequest) == (out == "mascot/made")


def test_a_sub_folder_is_one_row_with_several_references(tmp_path: Path) -> None:
    for name in ("two.png", "one.png"):
        picture(tmp_path / "mascot" / name)
    (tmp_path / "mascot.txt").write_text("on a bicycle")
    (found,) = read_requests(tmp_path, PosterRequest(task="id_driven"))
    assert isinstance(found, PosterRequest)
    assert [path.name for path in found.images] == ["one.png", "two.png"]
    assert (found.prompt, found.out) == ("on a bicycle", "mascot.png")


def test_names_that_clash_get_numbers(tmp_path: Path) -> None:
    for name in ("a.jpg", "a.png", "a.webp", "a-2.png", "contact_sheet.png"):
        picture(tmp_path / name)
    rows = read_requests(tmp_path, PosterRequest(task="style_driven"))
    outs = {row.id: row.out for row in rows if isinstance(row, PosterRequest)}
    assert len(set(outs.values())) == 5 and outs["contact_sheet.png"] == "contact_sheet-2.png"
    assert outs["a.jpg"] == "a.png" and outs["a-2.png"] == "a-2.png"


def test_strays_get_a_line_and_system_files_none(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    picture(tmp_path / "lost.mask.png")
    for name in ("notes.txt", "brief.docx", ".DS_Store", "Thumbs.db"):
        (tmp_path / name).write_text("x")
    (tmp_path / "empty").mkdir()
    (tmp_path / "mixed").mkdir()
    (tmp_path / "mixed" / "readme.md").write_text("x")
    picture(tmp_path / "out" / "a.png")
    with pytest.warns(UserWarning, match=r"notes.txt: belongs to no image"):
        rows = read_requests(tmp_path, PosterRequest(task="style_driven"), skip=tmp_path / "out")
    faults = {row.id: row.why for row in rows if isinstance(row, BadRow)}
    assert set(faults) == {"lost.mask.png", "brief.docx", "empty/", "mixed/readme.md"}
    assert "mask without its image" in faults["lost.mask.png"]
    assert [row.id for row in rows if isinstance(row, PosterRequest)] == ["a.png"]


def test_a_folder_needs_a_task_and_something_in_it(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs --task, one of extending"):
        read_requests(tmp_path, NONE)
    with pytest.raises(ValueError, match="nothing in this folder"):
        read_requests(tmp_path, PosterRequest(task="extending"))
    with pytest.raises(ValueError, match="no such folder or manifest"):
        read_requests(tmp_path / "none", PosterRequest(task="extending"))


def test_the_example_posters_cover_text_and_every_task() -> None:
    rows = read_requests(Path(__file__).parents[2] / "examples" / "posters.jsonl", NONE)
    jobs = [row for row in rows if isinstance(row, PosterRequest)]
    assert len(jobs) == len(rows) and {row.task for row in jobs} == {"text", *TASKS}
    assert all(path.is_file() for row in jobs for path in (*row.images, *((row.mask,) if row.mask else ())))


def test_a_row_says_how_its_texts_are_set(tmp_path: Path) -> None:
    (tmp_path / "mine.ttf").write_bytes(b"")
    row = {
        "prompt": "x", "texts": ["@title:-70%", "Sale"], "style": "elegant", "fonts": ["mine.ttf", "Bebas Neue"],
        "colors": ["#e4002b"], "align": "left", "boxes": [[0, 0, "50%", "20%"], [0, 100, 90, 130]],
    }  # fmt: skip
    found = parse_row(row, "jobs.jsonl:1", tmp_path, NONE)
    assert isinstance(found, PosterRequest) and found.texts == ("-70%", "Sale")
    assert found.lettering == Lettering(
        "elegant", (str(tmp_path / "mine.ttf"), "Bebas Neue"), ("#e4002b",), marks=(("-70%", "title"),), align="left",
        boxes=((0, 0, "50%", "20%"), (0, 100, 90, 130)),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"style": "gothic"}, "style must be one of modern"),
        ({"roles": ["headline"]}, "roles must be a list of title, subtitle, body, cta or auto"),
        ({"boxes": [[1, 2, 3]]}, "boxes must be a list of [x0, y0, x1, y1]"),
        ({"layout": "swiss", "boxes": [[1, 2, 3, 4]]}, "give one of them"),
        ({"fonts": "a.ttf"}, "fonts must be a list of font files"),
    ],
)
def test_a_fault_in_the_lettering_is_named(row: Any, said: str) -> None:
    assert said in fault({"prompt": "x", **row})


def test_the_command_lines_lettering_holds_where_a_row_says_nothing() -> None:
    common = PosterRequest(
        task="", texts=("A", "B"), lettering=Lettering(style="slab", colors=("red",), roles=("body", "title"))
    )
    assert job({"prompt": "x", "style": "swiss"}, common).lettering == Lettering(
        "swiss", colors=("red",), roles=("body", "title")
    )
    assert job({"prompt": "x", "texts": ["C"]}, common).lettering == Lettering("slab", colors=("red",))


@pytest.mark.parametrize(("cell", "kept"), [("TRUE", True), ("falsch", False), ("VRAI", True), ("", None)])
def test_a_spreadsheet_says_whether_a_subject_keeps_its_pixels(tmp_path: Path, cell: str, kept: bool | None) -> None:
    Image.new("RGB", (64, 64), "teal").save(tmp_path / "cup.png")
    (tmp_path / "jobs.csv").write_text(f"task;image;preserve\nid_driven;cup.png;{cell}\n", encoding="utf-8")
    (request,) = read_requests(tmp_path / "jobs.csv", NONE)
    assert isinstance(request, PosterRequest)
    assert request.preserve is kept


def test_a_spreadsheets_switch_that_is_none_is_refused(tmp_path: Path) -> None:
    Image.new("RGB", (64, 64), "teal").save(tmp_path / "cup.png")
    (tmp_path / "jobs.csv").write_text("task;image;preserve\nid_driven;cup.png;maybe\n", encoding="utf-8")
    (row,) = read_requests(tmp_path / "jobs.csv", NONE)
    assert 'true or false, found "maybe"' in str(row)


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_a_spreadsheets_csv_is_a_manifest(tmp_path: Path, mark: str) -> None:
    lines = [
        ["Prompt", "title", "text", "text", "seed", "color", "box", "out"],
        ["a lake", "-70%", "Sale", "Friday|8 pm", "7", "navy|white", "", "lake.png"],
        [],
        ["x", "A", "", "", "seven", "", "", ""],
        ["y", "A", "B", "", "", "", "0%,0%,50%,20%|1,2,3", ""],
        ["z"] * 9,
    ]
    with (tmp_path / "jobs.csv").open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file, delimiter=mark).writerows(lines)
    first, *bad = read_requests(tmp_path / "jobs.csv", NONE)
    assert isinstance(first, PosterRequest)
    assert (first.prompt, first.texts, first.seed, first.out) == (
        "a lake",
        ("-70%", "Sale", "Friday", "8 pm"),
        7,
        "lake.png",
    )
    assert first.lettering == Lettering(colors=("navy", "white"), marks=(("-70%", "title"),))
    assert [row.id for row in bad] == ["jobs.csv:4", "jobs.csv:5", "jobs.csv:6"]
    assert "seed must be a whole number" in bad[0].why and "boxes must be" in bad[1].why  # type: ignore[union-attr]
    assert "9 cells under 8 columns" in bad[2].why  # type: ignore[union-attr]


def test_marked_lines_beside_an_image_are_its_texts(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        picture(tmp_path / name)
    (tmp_path / "a.txt").write_text("by the sea\n@title: SUMMER\n@text: from 12 May\n", encoding="utf-8")
    a, b = read_requests(tmp_path, PosterRequest("default", task="style_driven", texts=("SHARED",)))
    assert isinstance(a, PosterRequest) and isinstance(b, PosterRequest)
    assert (a.prompt, a.texts, a.lettering.marks) == ("by the sea", ("SUMMER", "from 12 May"), (("SUMMER", "title"),))
    assert (b.prompt, b.texts) == ("default", ("SHARED",))


def test_the_images_of_a_sub_folder_are_rows_of_their_own_where_a_task_takes_one(tmp_path: Path) -> None:
    for name in ("a.png", "beach/one.jpg", "beach/two.jpg", "beach/deep/one.jpg"):
        picture(tmp_path / name)
    (tmp_path / "beach" / "two.txt").write_text("at dawn")
    rows = read_requests(tmp_path, PosterRequest(task="extending"))
    assert [(row.id, row.out, row.prompt) for row in rows if isinstance(row, PosterRequest)] == [
        ("a.png", "a.png", ""), ("beach/deep/one.jpg", "beach/deep/one.png", ""),
        ("beach/one.jpg", "beach/one.png", ""), ("beach/two.jpg", "beach/two.png", "at dawn"),
    ]  # fmt: skip


def test_a_link_back_to_a_folder_that_it_lies_in_is_one_bad_row(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    picture(tmp_path / "beach" / "b.png")
    (tmp_path / "self").symlink_to(".")
    (tmp_path / "beach" / "up").symlink_to("..")
    rows = list(read_requests(tmp_path, PosterRequest(task="extending")))
    bad = [row for row in rows if isinstance(row, BadRow)]
    assert [row.id for row in rows] == ["a.png", "beach/b.png", "beach/up/", "self/"] and bad == rows[2:]
    assert all("a link that leads back" in row.why for row in bad)


def test_one_picture_is_no_manifest_and_its_command_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is one image; take posterkit transform"):
        read_requests(picture(tmp_path / "a.png"), PosterRequest(task="extending"))


def test_a_quote_that_never_ends_swallows_no_row_in_silence(tmp_path: Path) -> None:
    (tmp_path / "jobs.csv").write_text('prompt,title\na hill,HILL\n"a lake,LAKE\na wood,WOOD\n', encoding="utf-8")
    good, bad = read_requests(tmp_path / "jobs.csv", NONE)
    assert isinstance(good, PosterRequest) and good.texts == ("HILL",)
    assert isinstance(bad, BadRow) and bad.why == "not CSV: unexpected end of data"


def test_a_column_that_holds_no_list_stands_once_in_a_table(tmp_path: Path) -> None:
    (tmp_path / "jobs.csv").write_text("prompt,text,text,prompt\na hill,A,B,a lake\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r'jobs\.csv: two columns are named "prompt"'):
        read_requests(tmp_path / "jobs.csv", NONE)


def test_a_spreadsheet_in_another_encoding_is_refused_with_the_cure(tmp_path: Path) -> None:
    (tmp_path / "jobs.csv").write_bytes("prompt,title\na lake,S\xfcden\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"not UTF-8 text \(line 2\); save it as CSV UTF-8"):
        list(read_requests(tmp_path / "jobs.csv", NONE))


def test_a_text_file_of_no_image_is_left_out_with_a_warning(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "notes.txt").write_text("call the printer")
    with pytest.warns(UserWarning, match=r"notes.txt: belongs to no image of this folder"):
        rows = read_requests(tmp_path, PosterRequest(task="extending"))
    assert [row.id for row in rows] == ["a.png"]


def test_a_row_says_its_sheet_and_takes_the_rest_from_all_rows() -> None:
    row = job({"prompt": "a lighthouse", "size": "a5", "dpi": 60, "bleed": "3mm", "safe": 5})
    assert row.sheet == Sheet(60, 3, 5) and row.size == (350 + 14, 496 + 14)
    common = replace(NONE, size=Size(364, 510), sheet=Sheet(60, 3, 5))
    assert job({"prompt": "a lighthouse"}, common).sheet == Sheet(60, 3, 5)
    other = job({"prompt": "a lighthouse", "size": "a6", "dpi": 60}, common)
    assert other.sheet == Sheet(60, 3, 5) and other.size == (248 + 14, 350 + 14)
    assert job({"prompt": "a lighthouse", "size": "instagram-story"}).sheet is None
    assert "unknown size" in fault({"prompt": "a lighthouse", "size": "a33"})
    assert "give one of them" in fault({"prompt": "a lighthouse", "size": "a5", "width": 400})
    assert "bleed must be" in fault({"prompt": "a lighthouse", "size": "a5", "bleed": "wide"})
