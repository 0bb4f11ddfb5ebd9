"""Answers on disk: what makes a question the same, what is not kept, and several writers at once."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from chat_server import chat, reply, servers
from pictures import grain
from PIL import Image

from posterkit.critic.model import ModelCritic
from posterkit.llm.answer_cache import CachedClient
from posterkit.llm.client import AnswerError
from posterkit.llm.endpoint import Endpoint

PICTURE = Image.fromarray(grain(40, 60))
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}


class Counting:
    """A chat that says how often it was asked."""

    def __init__(self, name: str = "m", temperature: float = 0.0, answer: str = "") -> None:
        self.name, self.temperature, self.answer, self.count = name, temperature, answer, 0
        self._lock = threading.Lock()

    def ask(
        self, system: str, user: str, images: Sequence[Image.Image] = (), schema: dict[str, Any] | None = None
    ) -> str:
        with self._lock:
            self.count += 1
        if user == "fail":
            raise AnswerError("m: no")
        return self.answer or f"answer {self.count}"


def test_the_same_question_is_asked_once_and_answered_by_another_object_too(tmp_path):
    inner = Counting()
    first = CachedClient(inner, tmp_path).ask("s", "u", [PICTURE], None)
    assert first == "answer 1"
    assert CachedClient(inner, tmp_path).ask("s", "u", [PICTURE.copy()], None) == first
    assert inner.count == 1


def test_whatever_decides_the_answer_makes_another_question(tmp_path):
    other = PICTURE.copy()
    other.putpixel((0, 0), (1, 2, 3))
    turned = PICTURE.transpose(Image.Transpose.ROTATE_90)
    inner = Counting()
    cached = CachedClient(inner, tmp_path)
    questions = [
        ("s", "u", [PICTURE], None), ("t", "u", [PICTURE], None), ("s", "v", [PICTURE], None), ("s", "u", [], None),
        ("s", "u", [other], None), ("s", "u", [turned], None), ("s", "u", [PICTURE, other], None),
        ("s", "u", [other, PICTURE], None), ("su", "", [PICTURE], None),
    ]  # fmt: skip
    answers = {cached.ask(*question) for question in questions}
    answers |= {CachedClient(model, tmp_path).ask(*questions[0]) for model in (Counting("n", answer="n"),)}
    answers |= {CachedClient(model, tmp_path).ask(*questions[0]) for model in (Counting(temperature=1.0, answer="t"),)}
    assert len(answers) == len(questions) + 2
    assert inner.count == len(questions)


def test_pictures_of_one_size_in_bytes_but_another_shape_differ(tmp_path):
    pixels = grain(40, 60)
    inner = Counting()
    cached = CachedClient(inner, tmp_path)
    cached.ask("s", "u", [Image.fromarray(pixels)])
    cached.ask("s", "u", [Image.fromarray(pixels.reshape(40, 60, 3))])
    assert inner.count == 2


def test_errors_and_answers_that_do_not_fit_their_schema_are_not_kept(tmp_path):
    inner = Counting(answer="no JSON at all")
    cached = CachedClient(inner, tmp_path)
    for _ in range(2):
        with pytest.raises(AnswerError, match="m: no"):
            cached.ask("s", "fail")
        assert cached.ask("s", "u", schema=SCHEMA) == "no JSON at all"
    assert inner.count == 4 and not list(tmp_path.rglob("*.json"))
    inner.answer = '{"a": "x"}'
    assert cached.ask("s", "u", schema=SCHEMA) == cached.ask("s", "u", schema=SCHEMA) == '{"a": "x"}'
    assert inner.count == 5


@pytest.mark.parametrize("damage", [b"", b"{", b"[1, 2]", b'{"answer": 7}', b"\xff\xfe", b"[" * 100_000])
def test_a_damaged_entry_is_asked_for_again_and_mended(tmp_path, damage):
    inner = Counting()
    cached = CachedClient(inner, tmp_path)
    cached.ask("s", "u")
    (entry,) = tmp_path.rglob("*.json")
    entry.write_bytes(damage)
    assert cached.ask("s", "u") == cached.ask("s", "u") == "answer 2"
    assert json.loads(entry.read_text(encoding="utf-8"))["answer"] == "answer 2"


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file"):
        CachedClient(Counting(), tmp_path / "file").ask("s", "u")


def test_threads_that_ask_the_same_leave_one_whole_entry(tmp_path):
    inner = Counting(answer="x" * 10_000)
    cached = CachedClient(inner, tmp_path)
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: cached.ask("s", "u", [PICTURE]), range(64))) == {"x" * 10_000}
    assert [path.suffix for path in tmp_path.rglob("*") if path.is_file()] == [".json"]


SCRIPT = """
import sys
from PIL import Image
from posterkit.llm.answer_cache import CachedClient
from posterkit.llm.endpoint import Endpoint
from posterkit.critic.model import ModelCritic
judge = ModelCritic(CachedClient(Endpoint(sys.argv[1], "m"), sys.argv[2]))
for number in range(20):
    print(judge.caption(Image.new("RGB", (16, 24), (number, 0, 0))))
"""


@pytest.mark.slow
def test_two_processes_share_one_folder(tmp_path):
    counted = []

    def answer(handler: Any, body: dict[str, Any]) -> None:
        counted.append(1)
        reply(handler, chat(json.dumps({"caption": f"n{len(counted)}"})))

    with servers() as start:
        server = start(answer)
        command = [sys.executable, "-c", SCRIPT, server.url, str(tmp_path)]
        running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
        outputs = [process.communicate(timeout=60)[0].split() for process in running]
        assert [process.returncode for process in running] == [0, 0]
        assert [len(output) for output in outputs] == [20, 20]
        asked = len(counted)
        # both may have asked the same at the same moment, never more than that
        assert 20 <= asked <= 40
        judge = ModelCritic(CachedClient(Endpoint(server.url, "m"), tmp_path))
        kept = [judge.caption(Image.new("RGB", (16, 24), (number, 0, 0))) for number in range(20)]
        assert len(counted) == asked
        assert all(words in (outputs[0][n], outputs[1][n]) for n, words in enumerate(kept))
    assert len(list(tmp_path.rglob("*.json"))) == 20 and not list(tmp_path.rglob("*.tmp"))


def test_an_endpoint_that_names_its_model_late_is_kept_under_that_name(tmp_path):
    def answer(handler: Any, body: dict[str, Any]) -> None:
        reply(handler, chat("fine") if body else json.dumps({"data": [{"id": "late"}]}).encode())

    with servers() as start:
        server = start(answer)
        CachedClient(Endpoint(server.url), Path(tmp_path)).ask("s", "u")
        CachedClient(Endpoint(server.url, "late"), Path(tmp_path)).ask("s", "u")
        assert [path for path, *_ in server.asked] == ["/v1/models", "/v1/chat/completions"]
