"""--best-of: several seeds are drawn, a reward chooses, and the file says between what."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from served_rewards import Marks, reward_servers

from posterkit.cli.main import main
from posterkit.generate import maker
from posterkit.generate.checkpoint import Settings
from posterkit.generate.choose import Scorer, scored_request
from posterkit.generate.draw import prepare
from posterkit.generate.maker import PosterMaker
from posterkit.generate.metadata import read_record
from posterkit.rewards.parts.preservation import canvas_of
from posterkit.schema import PosterRequest
from posterkit.sizing import Size

Serve = Callable[[Marks], str]


def run(*argv: object) -> int:
    return main([str(word) for word in argv])


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def same(a: Path, b: Path) -> bool:
    """As equal as posters that were drawn in batches of different sizes can be."""
    return bool(np.abs(pixels(a) - pixels(b)).max() <= 1)


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "ledger.jsonl").read_text(encoding="utf-8").splitlines()]


def manifest(folder: Path, *rows: dict[str, Any]) -> Path:
    path = folder / "jobs.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


@pytest.fixture
def serve() -> Iterator[Serve]:
    with reward_servers() as start:
        yield start


def test_the_seed_that_the_reward_likes_best_is_kept_and_made_again_alone(
    tmp_path: Path, craft: str, serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    out, alone, again = (tmp_path / name for name in ("a.png", "b.png", "c.png"))
    argv = ["generate", "waves", "--native", "--model", craft]
    marks = Marks(0.25, 0.75, 0.5)
    assert run(*argv, "--seed", 7, "--best-of", 3, "--reward", serve(marks), "-o", out) == 0
    assert "seed 8" in capsys.readouterr().out
    record = read_record(out)
    chosen = record["chosen"]
    assert (chosen["by"], chosen["seed"], chosen["value"]) == ("marks", 8, 0.75)
    told = [(row["seed"], row["value"], row["parts"]) for row in chosen["candidates"]]
    assert told == [(7, 0.25, {"looks": 0.25}), (8, 0.75, {"looks": 0.75}), (9, 0.5, {"looks": 0.5})]
    assert record["row"]["seed"] == 7 and record["row"]["best_of"] == 3
    assert run(*argv, "--seed", 8, "-o", alone) == 0 and same(out, alone)
    assert run("generate", "--from-image", out, "-o", again) == 0
    assert np.array_equal(pixels(alone), pixels(again)) and len(marks.rows) == 3
    assert read_record(again)["row"] == read_record(alone)["row"]
    capsys.readouterr()
    assert run("info", out) == 0
    shown = capsys.readouterr().out
    assert "8, the best of 3 from 7" in shown and "0.250 (looks 0.25): as told" in shown


def test_of_equals_the_first_seed_is_kept(
    tmp_path: Path, craft: str, serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["generate", "waves", "--native", "--model", craft, "--seed", 7, "--best-of", 3]
    assert run(*argv, "--reward", serve(Marks(0.5, 0.6, 0.6)), "-o", tmp_path / "a.png") == 0
    assert read_record(tmp_path / "a.png")["chosen"]["seed"] == 8 and "tells none" not in capsys.readouterr().out
    assert run(*argv, "--reward", serve(Marks(0.5, 0.5, 0.5)), "-o", tmp_path / "b.png") == 0
    assert read_record(tmp_path / "b.png")["chosen"]["seed"] == 7
    assert "the reward tells none of them apart; the first is kept" in capsys.readouterr().out


def test_a_candidate_that_cannot_be_scored_is_left_out_and_without_any_there_is_no_poster(
    tmp_path: Path, craft: str, serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    out, none = tmp_path / "a.png", tmp_path / "b.png"
    argv = ["generate", "waves", "--native", "--model", craft, "--seed", 7, "--best-of", 3]
    assert run(*argv, "--reward", serve(Marks(None, 0.1, float("nan"))), "-o", out) == 0
    chosen = read_record(out)["chosen"]
    assert chosen["seed"] == 8 and "no eyes" in chosen["candidates"][0]["fault"]
    said = capsys.readouterr().err
    assert "seed 7 is left out: " in said and "no eyes for this one" in said and "seed 9 is left out: " in said
    assert run(*argv, "--reward", serve(Marks(None, None, None)), "-o", none) == 1
    assert "none of 3 candidates could be scored: " in capsys.readouterr().err and not none.exists()


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["generate", "x", "--best-of", "0"], "--best-of: must be a whole number from 1 to 1000, found 0"),
        (["generate", "x", "--best-of", "2", "--reward", "rulse"], "did you mean 'rules'?"),
        (["generate", "x", "--reward", "text"], "--reward chooses between posters"),
        (["transform", "extending", "x.png", "--reward", "text"], "ask for several with --best-of N\n"),
        (["batch", "jobs.jsonl", "--reward", "text"], "--reward chooses between posters"),
        (["generate", "x", "--best-of", "2", "--reward", "reward+http://"], "names a host"),
        (["generate", "x", "--best-of", "2", "--reward", "own.yaml"], "weighs nothing for text, but for filling"),
        (["generate", "x", "--refine", "1", "--reward", "own.yaml"], "own.yaml: weighs nothing for text"),
        (["batch", "jobs.jsonl", "--best-of", "2", "--reward", "own.yaml"], "own.yaml: weighs nothing for text"),
        (["generate", "x", "--best-of", "2", "--reward", "none.yaml"], "none.yaml: there is no such file"),
        (["generate", "x", "--best-of", "2", "--reward", "http://127.0.0.1:9/v1"], "127.0.0.1:9/v1: nobody answers ("),
    ],
)
def test_what_cannot_choose_is_refused_in_a_line(
    argv: list[str], said: str, tmp_path: Path, craft: str, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    manifest(tmp_path, {"prompt": "x"})
    (tmp_path / "own.yaml").write_text("weights: {filling: {completion: 1}}")
    assert run(*argv, "--model", craft, "-o", "a.png") == 2
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1 and not (tmp_path / "a.png").exists()


def test_a_batch_chooses_row_by_row_and_says_between_what(
    tmp_path: Path, craft: str, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    draw = maker.draw_prepared
    monkeypatch.setattr(
        maker, "draw_prepared", lambda pipe, some, *rest: calls.append(len(some)) or draw(pipe, some, *rest)
    )
    two = {"best_of": 2, "seed": 5}
    rows = [{"prompt": "a"} | two, {"prompt": "b", "seed": 1}, {"prompt": "c"} | two, {"prompt": "d"} | two]
    out = tmp_path / "out"
    argv = ("batch", manifest(tmp_path, *rows), "-o", out, "--native", "--model", craft, "--batch-size", 4)
    marks = Marks(0.2, 0.3, None, 0.9, None, None)
    assert run(*argv, "--reward", (url := serve(marks))) == 1
    assert calls == [4, 2, 1] and len(marks.rows) == 6
    told = [(line["status"], line["seed"], line["value"]) for line in lines(out)]
    assert told == [("done", 6, 0.3), ("done", None, None), ("done", 6, 0.9), ("failed", None, None)]
    assert "seed 5 is left out" in lines(out)[2]["notes"][0] and "none of 2 candidates" in lines(out)[3]["why"]
    # what was made stays, also where the ledger is lost; what failed is tried again
    before = {path: path.stat().st_mtime_ns for path in out.glob("poster-*.png")}
    (out / "ledger.jsonl").unlink()
    marks.marks = [0.5, 0.4]
    assert run(*argv, "--reward", url) == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before and len(marks.rows) == 8
    assert [(line["seed"], line["value"]) for line in lines(out)] == [(6, 0.3), (None, None), (6, 0.9), (5, 0.5)]


def test_the_id_of_a_row_follows_how_many_there_are_to_choose_from_and_who_chooses(craft: str) -> None:
    def made(best_of: int | None, reward: str | None) -> str:
        return PosterMaker(model=craft, reward=reward).plan(PosterRequest("x", seed=1, best_of=best_of)).id

    assert made(None, None) == made(1, None) == made(1, "text")
    assert len({made(1, None), made(2, None), made(3, None), made(2, "text")}) == 4
    assert made(2, "rules") == made(2, None)


def test_a_kept_photograph_is_told_to_the_reward_where_it_lies(tmp_path: Path, photo: Path, omni: str) -> None:
    out = tmp_path / "p.png"
    argv = ["transform", "extending", photo, "--anchor", "31,77", "--width", 300, "--height", 400, "--seed", 1]
    assert run(*argv, "--best-of", 2, "--reward", "preservation", "--model", omni, "-o", out) == 0
    chosen = read_record(out)["chosen"]
    assert chosen["seed"] == 1 and [row["value"] for row in chosen["candidates"]] == [1.0, 1.0]
    request = PosterRequest(task="extending", images=[photo], anchor=(31, 77), size=Size(300, 400), seed=1)
    asked = scored_request(prepare(PosterMaker(model=omni).plan(request)))
    canvas, made = canvas_of(asked)
    assert asked.size == (300, 400) and asked.placed == (31, 77, 211, 197) and asked.texts is None
    assert np.array_equal(canvas[77:197, 31:211], pixels(photo)) and made.sum() == 300 * 400 - 180 * 120


def test_a_poster_larger_than_rewards_look_is_told_at_the_size_they_see(tmp_path: Path, omni: str) -> None:
    Image.new("RGB", (3000, 1500), "teal").save(tmp_path / "p.png")
    hole = Image.new("L", (3000, 1500), 0)
    hole.paste(255, (1500, 0, 3000, 1500))
    hole.save(tmp_path / "m.png")
    request = PosterRequest(task="filling", images=[tmp_path / "p.png"], mask=tmp_path / "m.png", seed=1)
    plan = PosterMaker(model=omni).plan(request)
    asked = scored_request(prepare(plan))
    assert plan.finished == (3000, 1500) and asked.size == Size(2048, 1024)
    assert (
        asked.mask_array is not None and asked.mask_array.shape == (1024, 2048) and asked.placed == (0, 0, 2048, 1024)
    )
    canvas, made = canvas_of(asked)
    assert made[:, 1024:].all() and not made[:, :1024].any() and (canvas[:, :1020] == (0, 128, 128)).all()


@pytest.mark.parametrize(
    ("row", "settings", "texts", "prompt"),
    [
        (
            PosterRequest('a "JAZZ" night', texts=["8 pm"]),
            {},
            ("JAZZ", "8 pm"),
            'a "JAZZ" night with the text "8 pm".',
        ),
        (PosterRequest("waves"), {}, (), "waves"),
        (PosterRequest("waves"), {"draw_text": True}, None, "waves"),
        (PosterRequest("waves", expanded="calm waves"), {}, (), "calm waves"),
        (PosterRequest(texts=["SURF"]), {}, ("SURF",), 'with the text "SURF".'),
    ],
)
def test_the_reward_knows_what_the_poster_must_say(
    craft: str, row: PosterRequest, settings: dict[str, Any], texts: tuple[str, ...] | None, prompt: str
) -> None:
    asked = scored_request(prepare(PosterMaker(model=craft, **settings).plan(row, 1)))
    assert (asked.texts, asked.prompt) == (texts, prompt)


def test_a_judge_that_was_measured_over_its_bounds_is_a_warning(tmp_path):
    figures = {"follow": {"mean": 0.5}, "acc_none": {"mean": 1.0}}
    (tmp_path / "judge").mkdir()
    (tmp_path / "judge" / "config.json").write_text('{"architectures": ["Qwen2_5_VLForConditionalGeneration"]}')
    spec = str(tmp_path / "judge")
    file = tmp_path / "judge" / "judge.json"
    file.write_text(json.dumps({"version": 1, "spec": spec, "fingerprint": "", "complete": True, "rows": 8,
                                "failed": 0, "tracks": {"pictures": figures}}))  # fmt: skip
    with pytest.warns(UserWarning, match="follows 50% of misleading pictures"):
        Scorer(Settings(reward=spec), ["text"])
