"""The gate, the principle and the level of metadata from the command line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import tiny_chat
from PIL import Image

from posterkit.cli.main import main
from posterkit.generate.metadata import read_record, record_id
from posterkit.safety.provenance import MADE, read_marks

SMALL = ("--width", "96", "--height", "144", "--steps", "1", "--seed", "3")


def run(*argv: object) -> int:
    return main([str(word) for word in argv])


def test_a_rewritten_text_is_said_and_shown_by_info(tmp_path: Path, craft: str, capsys) -> None:
    out = tmp_path / "p.png"
    argv = (
        "generate",
        "a fox",
        "--text",
        "The best pizza",
        *SMALL,
        "--model",
        craft,
        "-o",
        out,
    )
    assert run(*argv, "--safety", "off,copy=rewrite", "--policy", "superlatives", "--detector", "rules") == 0
    assert '"The best pizza" is now "Good pizza"' in " ".join(capsys.readouterr().err.split())
    assert read_record(out)["row"]["texts"] == ["Good pizza"]
    assert run("info", out) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "no superlatives" in said and "Good pizza" in said and MADE in said


def test_a_brand_is_kept(tmp_path: Path, craft: str) -> None:
    out, text = tmp_path / "p.png", "Foxpizza: double your money with every slice"
    argv = ("generate", "a fox", "--text", text, "--brand", "Foxpizza", *SMALL, "--model", craft, "-o", out)
    assert run(*argv, "--safety", "off,copy=rewrite", "--detector", "rules") == 0
    (written,) = read_record(out)["row"]["texts"]
    assert written != text and "Foxpizza" in written


def test_a_blocked_text_is_one_line_and_exit_code_2(tmp_path: Path, craft: str, capsys) -> None:
    argv = ("generate", "a fox", "--text", "Guaranteed profit", *SMALL, "--model", craft, "-o", tmp_path / "p.png")
    assert run(*argv, "--safety", "block") == 2
    said = capsys.readouterr().err
    assert said.startswith("posterkit: blocked (copy): ") and said.count("\n") == 1
    assert not (tmp_path / "p.png").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--safety", "wran"), "did you mean warn"),
        (("--safety", ","), "names no mode"),
        (("--detector", "nothing"), "no such detector"),
        (("--safety", "rewrite", "--rewriter", "templat"), "no such language model"),
        (("--detector", "http://127.0.0.1:9/v1"), "127.0.0.1:9/v1"),
        (("--safety", "rewrite", "--rewriter", "http://127.0.0.1:9/v1"), "127.0.0.1:9/v1"),
        (("--policy", "nothing"), "no such policy"),
        (("--principle", "p.txt"), "--principle steers a local model"),
        (("--principle", "p.txt", "--planner", "grammar"), "--principle steers a local model"),
        (("--principle", "p.txt", "--planner", "llm:http://127.0.0.1:9/v1"), "local model"),
        (("--principle", "p.txt", "--refine", "1", "--critic", "http://127.0.0.1:9/v1"), "local model"),
        (("--alpha", "2"), "give the file"),
        (("--expand", "http://127.0.0.1:9/v1", "--principle", "p.txt"), "local model"),
    ],
)
def test_a_wrong_call_is_one_line(tmp_path: Path, craft: str, monkeypatch, capsys, words, said) -> None:
    monkeypatch.chdir(tmp_path)
    Path("p.txt").write_text("Be kind.")
    assert run("generate", "a fox", *SMALL, "--model", craft, "-o", "p.png", *words) == 2
    assert said in capsys.readouterr().err and not Path("p.png").exists()


def test_the_label_keeps_the_prompt_to_itself_and_a_batch_knows_its_posters_by_it(
    tmp_path: Path, craft: str, capsys
) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"task": "text", "prompt": "a secret lighthouse", "width": 96, "height": 144, "out": "a.png"}\n')
    argv = ("batch", rows, "--model", craft, "--steps", "1", "--seed", "3", "-o", tmp_path / "out", "--metadata")
    assert run(*argv, "label") == 0
    poster = tmp_path / "out" / "a.png"
    assert b"secret" not in poster.read_bytes() and record_id(poster)
    marks = read_marks(poster)
    assert marks is not None and marks.source_type == MADE
    assert run(*argv, "label") == 0 and "1 made before" in capsys.readouterr().out
    assert run("info", poster) == 2
    said = capsys.readouterr().err
    assert "--metadata label" in said and f"its origin: Made with AI by posterkit ({MADE})" in said
    assert run("generate", "--from-image", poster, "-o", tmp_path / "b.png") == 2
    assert run(*argv, "none") == 2


def test_a_principle_steers_the_expansion_by_a_local_model(tmp_path: Path, craft: str, capsys) -> None:
    folder = tiny_chat.save(tmp_path / "chat")
    (tmp_path / "p.txt").write_text("Be kind.")
    argv = ("generate", 'a fox, titled "FOX"', *SMALL, "--model", craft, "-o", tmp_path / "p.png", "--expand", folder)
    assert run(*argv, "--principle", tmp_path / "p.txt", "--alpha", "2") == 0
    said = " ".join(capsys.readouterr().err.split())  # an untrained model expands nothing
    assert re.search(r"the prompt stays as it is: .*\(principle [0-9a-f]{8}, alpha 2\)", said)
    assert read_record(tmp_path / "p.png")["row"]["expanded"] is None


@pytest.mark.slow
def test_a_principle_steers_a_planner_that_is_a_local_model(tmp_path: Path, capsys) -> None:
    folder, principle = tiny_chat.save(tmp_path / "chat"), tmp_path / "p.txt"
    principle.write_text("Be kind.")
    argv = ("plan", "a fox", "--text", "FOX", "-o", tmp_path / "plan.json", "--principle", principle, "--alpha", "2")
    assert run(*argv, "--planner", f"llm:{folder}") == 0
    said = " ".join(capsys.readouterr().err.split())  # an untrained model plans nothing
    assert re.search(r"\(principle [0-9a-f]{8}, alpha 2\)", said)
    assert run(*argv, "--planner", "grammar") == 2
    assert "the planner grammar is no language model" in capsys.readouterr().err


def test_a_principle_steers_the_planner_of_a_poster_that_can_be_made_again(tmp_path: Path, craft: str, capsys) -> None:
    folder, principle, out = tiny_chat.save(tmp_path / "chat"), tmp_path / "p.txt", tmp_path / "p.png"
    principle.write_text("Be kind.")
    argv = ("generate", "a fox", "--text", "FOX", *SMALL, "--model", craft, "-o", out, "--planner", f"llm:{folder}")
    assert run(*argv, "--principle", principle, "--alpha", "2") == 0
    steered = r"\(principle [0-9a-f]{8}, alpha 2\)"
    assert re.search(steered, " ".join(capsys.readouterr().err.split()))  # an untrained model plans nothing
    assert read_record(out)["row"]["principle"] == {"words": "Be kind.", "alpha": 2.0, "first_n": None}
    assert run("info", out) == 0 and "'Be kind.', alpha 2" in " ".join(capsys.readouterr().out.split())
    again = tmp_path / "again.png"
    assert run("generate", "--from-image", out, "-o", again) == 0
    assert re.search(steered, " ".join(capsys.readouterr().err.split())) and record_id(again) == record_id(out)


@pytest.mark.slow
def test_a_principle_steers_the_planner_of_a_batch_and_its_posters_are_known_by_it(
    tmp_path: Path, craft: str, capsys
) -> None:
    folder, principle, rows = tiny_chat.save(tmp_path / "chat"), tmp_path / "p.txt", tmp_path / "rows.jsonl"
    principle.write_text("Be kind.")
    rows.write_text(
        '{"task": "text", "prompt": "a fox", "texts": ["FOX"], "width": 96, "height": 144, "out": "a.png"}\n'
    )
    argv = ("batch", rows, "--model", craft, "--steps", "1", "-o", tmp_path / "out", "--planner", f"llm:{folder}")
    assert run(*argv, "--principle", principle, "--alpha", "2") == 0
    assert read_record(tmp_path / "out" / "a.png")["row"]["principle"]["alpha"] == 2.0
    assert run(*argv, "--principle", principle, "--alpha", "2") == 0 and "1 made before" in capsys.readouterr().out
    assert run(*argv, "--principle", principle, "--alpha", "3") == 0
    assert read_record(tmp_path / "out" / "a-2.png")["row"]["principle"]["alpha"] == 3.0  # another poster


@pytest.mark.parametrize(
    "argv", [("batch", "rows.jsonl", "-o", "out"), ("transform", "filling", "p.png", "-o", "o.png")]
)
def test_a_principle_without_a_local_planner_is_refused(tmp_path: Path, monkeypatch, capsys, argv) -> None:
    monkeypatch.chdir(tmp_path)
    Path("p.txt").write_text("Be kind.")
    Path("rows.jsonl").write_text('{"task": "text", "prompt": "a fox"}\n')
    Image.new("RGB", (64, 64), "navy").save("p.png")
    assert run(*argv, "--principle", "p.txt", "--planner", "grammar") == 2
    assert "name one with --planner llm:FOLDER" in capsys.readouterr().err
    assert run(*argv, "--alpha", "2") == 2 and "give the file" in capsys.readouterr().err


def test_a_typeset_picture_says_as_much_as_is_asked_for(tmp_path: Path, capsys) -> None:
    picture = tmp_path / "photo.png"
    Image.new("RGB", (416, 608), "navy").save(picture)
    for level in ("full", "label", "none"):
        out = tmp_path / f"{level}.png"
        assert run("typeset", picture, "--text", "a secret", "--metadata", level, "-o", out) == 0
    content = {level: (tmp_path / f"{level}.png").read_bytes() for level in ("full", "label", "none")}
    assert b'"row"' in content["full"] and b"posterkit" not in content["none"]
    assert b"posterkit" in content["label"] and b'"row"' not in content["label"]


def test_what_was_not_checked_is_not_called_safe(tmp_path: Path, craft: str, capsys) -> None:
    out = tmp_path / "p.png"
    assert run("generate", "a fox", "--text", "FOX", *SMALL, "--model", craft, "-o", out, "--safety", "off") == 0
    assert run("info", out) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "safety not checked" in said and "nothing found" not in said
