"""--refine: a critic suggests, the poster is redrawn, and the better one is kept; whatever fails, the draft stays."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chat_server import Behaviour, Server, chat, reply, servers
from PIL import Image
from served_rewards import Marks, reward_servers

from posterkit.cli.main import main
from posterkit.generate.maker import PosterMaker
from posterkit.generate.metadata import read_record
from posterkit.generate.refine import untaught
from posterkit.rewards import open_reward
from posterkit.schema import PosterRequest

SAID = {"content_suggestions": "Place the wave lower.", "style_suggestions": "Use warmer light."}


def run(*argv: object) -> int:
    return main([str(word) for word in argv])


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def critic(answer: Any) -> Behaviour:
    """A model at an endpoint that always says the same."""

    def behave(handler: Any, body: dict[str, Any]) -> None:
        reply(handler, b'{"data": [{"id": "eye"}]}' if handler.command == "GET" else chat(json.dumps(answer)))

    return behave


@pytest.fixture
def serve() -> Iterator[Callable[[Marks], str]]:
    with reward_servers() as start:
        yield start


@pytest.fixture
def endpoint() -> Iterator[Callable[..., Server]]:
    with servers() as start:
        yield start


@pytest.fixture
def draft(tmp_path: Path, craft: str) -> Path:
    path = tmp_path / "draft.png"
    assert run("generate", "waves", "--native", "--seed", 7, "--model", craft, "-o", path) == 0
    return path


@pytest.mark.slow
def test_rounds_are_kept_while_they_are_better_and_come_back_without_critic_and_reward(
    tmp_path: Path, craft: str, draft: Path, serve: Any, endpoint: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    marks, eye = Marks(0.5, 0.6, 0.7, 0.65), endpoint(critic(SAID))
    out, again, changed = (tmp_path / name for name in ("a.png", "b.png", "c.png"))
    argv = ["generate", "waves", "--native", "--seed", 7, "--model", craft, "--refine", 5, "-o", out]
    assert run(*argv, "--reward", serve(marks), "--critic", eye.url) == 0
    record = read_record(out)
    refined = record["refined"]
    assert refined["draft"]["value"] == 0.5 and refined["by"] == "marks" and "eye" in refined["critic"]
    told = [(row["content"], row["style"], row["value"], row["kept"]) for row in refined["rounds"]]
    both = tuple(SAID.values())
    assert told == [(*both, 0.6, True), (*both, 0.7, True), (*both, 0.65, False)] and marks.marks == []
    assert record["drawn"]["draft"] is True and record["drawn"]["feedback"] == list(both)
    assert not np.array_equal(pixels(out), pixels(draft))
    assert "refined: 0.500 to 0.700, 2 of 3 rounds better" in capsys.readouterr().out
    asked = len(eye.asked)
    assert run("generate", "--from-image", out, "-o", again) == 0
    assert np.array_equal(pixels(out), pixels(again)) and len(eye.asked) == asked and len(marks.rows) == 4
    assert read_record(again)["row"]["feedback"] == [list(both)] * 2
    capsys.readouterr()
    assert run("info", out) == 0
    shown = capsys.readouterr().out
    assert "Place the wave lower." in shown and "not kept, 0.650" in shown
    # a changed poster has another draft, of which nothing was said
    assert run("generate", "--from-image", out, "--seed", 8, "-o", changed) == 0
    assert "feedback" not in read_record(changed)["row"] and "is drawn anew" in capsys.readouterr().err


def test_the_critic_sees_what_the_model_drew_and_reads_what_it_was_told(
    tmp_path: Path, craft: str, serve: Any, endpoint: Any
) -> None:
    eye = endpoint(critic(SAID))
    argv = ["generate", 'a "JAZZ" night', "--width", 208, "--height", 304, "--seed", 7, "--model", craft]
    url = serve(Marks(0.5, 0.4))
    assert run(*argv, "--refine", 1, "--reward", url, "--critic", eye.url, "-o", tmp_path / "a.png") == 0
    parts = eye.asked[-1][2]["messages"][1]["content"]
    shown = [part["image_url"]["url"] for part in parts if "image_url" in part]
    assert Image.open(io.BytesIO(base64.b64decode(shown[0].split(",", 1)[1]))).size == (64, 96) and len(shown) == 1
    said = next(part["text"] for part in parts if "text" in part)
    assert "no text" in said and "JAZZ" not in said


def test_the_best_of_several_is_refined(tmp_path: Path, craft: str, serve: Any, endpoint: Any) -> None:
    out, again = tmp_path / "a.png", tmp_path / "b.png"
    argv = ["generate", "waves", "--native", "--seed", 7, "--best-of", 2, "--refine", 1, "--model", craft, "-o", out]
    assert run(*argv, "--reward", serve(Marks(0.1, 0.4, 0.4, 0.8)), "--critic", endpoint(critic(SAID)).url) == 0
    record = read_record(out)
    assert record["chosen"]["seed"] == 8 and record["refined"]["draft"]["value"] == 0.4
    assert [row["kept"] for row in record["refined"]["rounds"]] == [True]
    assert run("generate", "--from-image", out, "-o", again) == 0
    assert np.abs(pixels(out).astype(int) - pixels(again)).max() <= 2  # its draft was drawn beside another one


@pytest.mark.parametrize(
    ("marks", "answer", "said"),
    [
        ((0.5,), {"content_suggestions": "", "style_suggestions": ""}, "no usable answer"),
        ((0.5,), "no idea", "no usable answer"),
        ((0.5, None), SAID, "no eyes for this one"),
        ((None,), SAID, "no eyes for this one"),
    ],
)
def test_a_critic_or_a_reward_without_an_answer_costs_a_note_and_not_the_draft(
    tmp_path: Path, craft: str, draft: Path, serve: Any, endpoint: Any, capsys: pytest.CaptureFixture[str],
    marks: tuple[float | None, ...], answer: Any, said: str,
) -> None:  # fmt: skip
    out, eye = tmp_path / "a.png", endpoint(critic(answer))
    argv = ["generate", "waves", "--native", "--seed", 7, "--model", craft, "--refine", 2, "-o", out]
    assert run(*argv, "--reward", serve(Marks(*marks)), "--critic", eye.url) == 0
    assert np.array_equal(pixels(out), pixels(draft))
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "refining ended" in line]
    assert said in line and "the draft is kept" in line and "AnswerError" not in line
    assert not any(row["kept"] for row in read_record(out)["refined"]["rounds"])


@pytest.mark.slow
def test_the_poster_is_never_worth_less_than_its_draft_by_its_own_reward(tmp_path: Path, craft: str) -> None:
    reward = open_reward("agreement")
    prompt = "a red sun over green waves, navy background"
    argv = ["generate", prompt, "--native", "--model", craft]
    asked = PosterRequest(prompt)
    better = 0
    for seed in range(2):
        first, out = tmp_path / f"{seed}a.png", tmp_path / f"{seed}b.png"
        assert run(*argv, "--seed", seed, "-o", first) == 0
        assert run(*argv, "--seed", seed, "--refine", 2, "--reward", "agreement", "-o", out) == 0
        was, now = (reward([Image.open(path)], [asked])[0].value for path in (first, out))
        rounds = read_record(out)["refined"]["rounds"]
        assert rounds and now == pytest.approx(max([was, *(row["value"] for row in rounds)]), abs=1e-4)
        better += now > was
    assert better  # or nothing was compared


def test_only_posters_from_text_are_refined(
    tmp_path: Path, photo: Path, omni: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "a.png"
    argv = ["transform", "style_driven", photo, "--native", "--model", omni, "-o", out]
    for call in ([*argv, "--refine", 2], ["batch", tmp_path, "-o", tmp_path / "out", "--refine", 2]):
        assert run(*call) == 2
        assert "--refine works with posterkit generate" in capsys.readouterr().err
    assert run(*argv) == 0
    assert run("generate", "--from-image", out, "--refine", 1, "-o", tmp_path / "b.png") == 2
    assert "task 'style_driven' cannot be refined" in capsys.readouterr().err
    assert run("generate", "x", "--critic", "rules", "-o", tmp_path / "b.png") == 2
    assert "say how many rounds" in capsys.readouterr().err


def test_a_checkpoint_whose_card_names_another_recipe_is_said_not_to_heed_drafts(tmp_path: Path, craft: str) -> None:
    def told(**settings: Any) -> str | None:
        return untaught(PosterMaker(**settings).plan(PosterRequest("x", seed=1)))

    assert told(model=craft) is None  # no card, no guess
    assert "not trained to redraw" in (told() or "")  # mini's card names its recipe
    for recipe, silent in (("stage3_reward", False), ("stage4_reflect", True)):
        folder = tmp_path / recipe
        folder.mkdir()
        (folder / "README.md").write_text(f"---\nposterkit: {{recipe: {recipe}}}\n---\n", encoding="utf-8")
        (folder / "pytorch_lora_weights.safetensors").write_bytes(b"")
        for lora in (folder, folder / "pytorch_lora_weights.safetensors"):
            assert (told(model=craft, lora=str(lora)) is None) == silent
            assert (told(lora=f"{lora}=0.8") is None) == silent
