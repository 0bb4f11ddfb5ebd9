"""`posterkit plan`, and posters that are typeset after a plan; no model."""

import json
from pathlib import Path

import pytest
from PIL import Image

from posterkit.cli.main import main
from posterkit.layout.json_form import layout_from_json
from posterkit.layout.svg_form import layout_from_svg

TEXTS = ["--text", "NORTH LIGHT", "--text", "An evening by the sea", "--text", "Friday 8 pm", "--text", "Book now"]


def _plan(tmp_path: Path, *options: str) -> Path:
    assert main(["plan", "a lighthouse", *TEXTS, "-o", str(tmp_path / "plan.json"), *options]) == 0
    return tmp_path / "plan.json"


def test_a_plan_is_written_as_json_svg_and_picture(tmp_path, capsys):
    plan = _plan(tmp_path, "-o", str(tmp_path / "plan.svg"), "-o", str(tmp_path / "plan.png"), "--logo", "2")
    layout = layout_from_json(plan.read_text())
    assert [one.role for one in layout] == ["title", "subtitle", "body", "cta", "subject", "logo"]
    assert [one.text for one in layout.texts] == TEXTS[1::2]
    drawn = layout_from_svg((tmp_path / "plan.svg").read_text())
    assert [one.box for one in drawn] == [one.box for one in layout]
    with Image.open(tmp_path / "plan.png") as picture:
        assert picture.size == (832, 1216)
        x0, y0, x1, y1 = layout.elements[4].box
        assert picture.getpixel((int(x0 + x1) // 2, int(y0 + y1) // 2)) == (176, 176, 176)
    assert "832x1216, grammar: " in capsys.readouterr().out


@pytest.mark.parametrize("planner", ["llm", "cot"])
def test_the_shipped_model_plans_where_none_is_named(tmp_path, planner):
    layout = layout_from_json(_plan(tmp_path, "--planner", planner).read_text())
    assert layout.planner == planner and [one.text for one in layout.texts] == TEXTS[1::2]
    assert sum(step.name.startswith("coarse") for step in layout.trace) == 10
    assert any(step.words for step in layout.trace)  # its own answers, not the grammar's plan


@pytest.mark.parametrize("ending", ["json", "svg"])
def test_texts_stand_where_the_plan_says(tmp_path, ending):
    plan = _plan(tmp_path, "-o", str(tmp_path / "plan.svg"))
    picture = tmp_path / "night.png"
    Image.new("RGB", (832, 1216), (20, 30, 60)).save(picture)
    poster = tmp_path / "poster.png"
    assert main(["typeset", str(picture), "--plan", str(tmp_path / f"plan.{ending}"), "-o", str(poster)]) == 0
    with Image.open(poster) as made:
        record = json.loads(made.info["posterkit"])
    places = layout_from_json(plan.read_text()).texts
    assert [text["text"] for text in record["typeset"]] == [one.text for one in places]
    for text, one in zip(record["typeset"], places, strict=True):
        x0, y0, x1, y1 = text["box"]
        assert one.box.grown(1.5).shared(one.box._replace(x0=x0, y0=y0, x1=x1, y1=y1)) == pytest.approx(
            (x1 - x0) * (y1 - y0), rel=0.02
        )
    # the poster carries its plan
    again = tmp_path / "again.png"
    assert main(["typeset", str(picture), "--plan", str(poster), "-o", str(again)]) == 0
    with Image.open(poster) as made, Image.open(again) as twice:
        assert made.tobytes() == twice.tobytes()


def test_a_plan_follows_a_poster_of_another_size(tmp_path):
    plan = _plan(tmp_path)
    picture = tmp_path / "square.png"
    Image.new("RGB", (900, 900), (20, 30, 60)).save(picture)
    assert main(["typeset", str(picture), "--plan", str(plan), "-o", str(tmp_path / "p.png")]) == 0


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["plan", "a lighthouse"], "plan needs texts"),
        (["plan", "--text", "A", "-o", "plan.txt"], "must end in .json or .svg or .png"),
        (["plan", "--text", "A", "--planner", "gramar"], "did you mean 'grammar'"),
        (["plan", "--text", "A", "--planner", "cot:/nowhere"], "cannot load this language model"),
        (["plan", "--text", "A", "--logo", "50"], "from 0.1 to 10"),
        (["plan", "--text", "A", "--exemplars", "none.jsonl", "--planner", "retrieval"], "none.jsonl"),
        (["plan", "--text", "A", "--text", "word " * 500], "does not fit"),
        (["typeset", "{picture}", "--plan", "{plan}", "--text", "Jazz"], "has no place for 'Jazz'"),
        (["typeset", "{picture}", "--plan", "{plan}", "--text", "NORTH LIGHT"], "a place for 'An evening by the sea'"),
        (["typeset", "{picture}", "--plan", "{picture}"], "carries no posterkit record"),
        (["typeset", "{picture}", "--plan", "{plan}", "--planner", "grammar"], "give one of them"),
        (["typeset", "{picture}", "--plan", "{empty}"], "not JSON"),
        (["generate", "x", "--text", "A", "--planner", "llm:/nowhere"], "cannot load this language model"),
        (["bench", "layout", "--planner", "x"], "unknown planner"),
        (["bench", "layout", "--pku", "{folder}"], "has no boxes.pt"),
    ],
)
def test_a_wrong_call_is_one_line(tmp_path, capsys, monkeypatch, argv, said):
    monkeypatch.chdir(tmp_path)
    plan = _plan(tmp_path)
    picture, empty = tmp_path / "night.png", tmp_path / "empty.json"
    Image.new("RGB", (832, 1216), (20, 30, 60)).save(picture)
    empty.write_text("")
    capsys.readouterr()
    files = {"picture": picture, "plan": plan, "empty": empty, "folder": tmp_path}
    assert main([word.format(**files) if word.startswith("{") else word for word in argv]) == 2
    shown = capsys.readouterr().err
    assert said in shown and shown.count("\n") == 1


def test_a_planner_places_the_texts_of_a_picture(tmp_path, capsys):
    picture = tmp_path / "night.png"
    Image.new("RGB", (832, 1216), (20, 30, 60)).save(picture)
    poster = tmp_path / "poster.png"
    assert main(["typeset", str(picture), *TEXTS, "--planner", "retrieval", "-o", str(poster)]) == 0
    capsys.readouterr()
    assert main(["info", str(poster)]) == 0
    assert "--planner retrieval" in capsys.readouterr().out.replace("\n", " ")


def _places(poster: Path) -> dict[str, list[float]]:
    with Image.open(poster) as made:
        return {text["text"]: text["box"] for text in json.loads(made.info["posterkit"])["typeset"]}


@pytest.mark.slow
def test_transform_and_batch_take_plans_and_planners(tmp_path, capsys):
    """A plan as JSON, as SVG in a manifest, a planner for a whole folder; each is followed to the poster."""
    plan = _plan(tmp_path, "-o", str(tmp_path / "plan.svg"), "--underlay")
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.linear_gradient("L").resize((832, 1216)).convert("RGB").save(photos / "sea.png")
    small = ["--width", "416", "--height", "608", "--steps", "8"]
    made = tmp_path / "made.png"
    call = ["transform", "style_driven", str(photos / "sea.png"), "--plan", str(plan), "-o", str(made), *small]
    assert main(call) == 0
    expected = {one.text: one.box.scaled(0.5, 0.5) for one in layout_from_json(plan.read_text()).texts}
    row = {"task": "style_driven", "images": ["photos/sea.png"], "texts": [*expected], "plan": "plan.svg"}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    assert main(["batch", str(tmp_path / "rows.jsonl"), "-o", str(tmp_path / "out"), *small]) == 0
    (from_manifest,) = (path for path in (tmp_path / "out").glob("*.png") if path.stem != "contact_sheet")
    for poster in (made, from_manifest):
        for text, box in _places(poster).items():
            middle = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
            x0, y0, x1, y1 = expected[text].grown(2)
            assert x0 < middle[0] < x1 and y0 < middle[1] < y1
    (photos / "sea.txt").write_text('"JAZZ NIGHT" "Friday 8 pm"')
    planned = {}
    for planner in ("grammar", "retrieval"):
        out = tmp_path / planner
        call = ["batch", str(photos), "--task", "style_driven", "--planner", planner, "-o", str(out), *small]
        assert main(call) == 0
        planned[planner] = _places(out / "sea.png")
    assert set(planned["grammar"]) == {"JAZZ NIGHT", "Friday 8 pm"} and planned["grammar"] != planned["retrieval"]
