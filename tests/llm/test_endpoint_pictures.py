"""What the endpoint is sent with pictures and schemas, and how long it is waited for."""

from __future__ import annotations

import base64
import io
import json
import math
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import numpy as np
import pytest
from chat_server import Server, chat, reply, says, servers
from pictures import grain
from PIL import Image

from posterkit.llm import http as module
from posterkit.llm.client import AnswerError
from posterkit.llm.endpoint import Endpoint

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    with servers() as start:
        yield start


def sent(server: Server, number: int = 0) -> list[Image.Image]:
    parts = server.asked[number][2]["messages"][1]["content"]
    urls = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
    return [Image.open(io.BytesIO(base64.b64decode(url.removeprefix("data:image/jpeg;base64,")))) for url in urls]


def test_pictures_are_sent_before_the_words_in_order_and_no_larger_than_asked(serve):
    server = serve(says("fine"))
    large, small = Image.fromarray(grain(1500, 3000)), Image.fromarray(grain(90, 60, seed=1))
    assert Endpoint(server.url, "m").ask("s", "u", [large, small]) == "fine"
    assert [part["type"] for part in server.asked[0][2]["messages"][1]["content"]] == [
        "image_url",
        "image_url",
        "text",
    ]
    assert [picture.size for picture in sent(server)] == [(512, 1024), (90, 60)]
    assert large.size == (1500, 3000)
    error = np.abs(np.asarray(sent(server)[1], float) - np.asarray(small, float)).mean()
    assert error < 5  # of 255, on grain with a deviation of 8


def test_the_longer_side_can_be_chosen_and_transparent_pictures_go_too(serve):
    server = serve(says("fine"))
    Endpoint(server.url, "m", image_side=100).ask("s", "u", [Image.new("RGBA", (300, 200), "red")])
    assert sent(server)[0].size == (100, 67)


def test_without_pictures_the_message_is_plain_text_and_without_a_schema_nothing_is_asked_of_the_form(serve):
    server = serve(says("fine"))
    Endpoint(server.url, "m").ask("s", "u")
    body = server.asked[0][2]
    assert body["messages"][1] == {"role": "user", "content": "u"} and "response_format" not in body


@pytest.mark.parametrize("status", [400, 422])
def test_an_endpoint_that_refuses_schemas_is_asked_without_and_that_is_remembered(serve, status):
    def strict(handler: Any, body: dict[str, Any]) -> None:
        if "response_format" in body:
            reply(handler, b'{"error": "unknown field response_format"}', status)
        else:
            reply(handler, chat("fine"))

    server = serve(strict)
    chat_ = Endpoint(server.url, "m")
    assert [chat_.ask("s", "u", schema=SCHEMA) for _ in range(3)] == ["fine"] * 3
    assert ["response_format" in body for *_, body in server.asked] == [True, False, False, False]


def test_a_question_that_is_refused_either_way_is_an_error_and_teaches_nothing(serve):
    def choosy(handler: Any, body: dict[str, Any]) -> None:
        if body["messages"][1]["content"] == "too long":
            reply(handler, b'{"error": "context length exceeded"}', 400)
        else:
            reply(handler, chat("fine"))

    server = serve(choosy)
    chat_ = Endpoint(server.url, "m")
    with pytest.raises(AnswerError, match=r"status 400: .*context length exceeded"):
        chat_.ask("s", "too long", schema=SCHEMA)
    assert chat_.ask("s", "short", schema=SCHEMA) == "fine"
    assert "response_format" in server.asked[-1][2]


def test_a_busy_endpoint_is_waited_for_as_long_as_it_asks(serve):
    server = serve(
        lambda handler, body: reply(handler, b"{}", 429, Retry_After="1"),
        lambda handler, body: reply(handler, chat("fine")),
    )
    start = time.monotonic()
    assert Endpoint(server.url, "m", pause=0.01).ask("s", "u") == "fine"
    assert 1.0 <= time.monotonic() - start < 3


@pytest.mark.parametrize(
    "header",
    ["86400", "9" * 400, format_datetime(datetime.now(UTC) + timedelta(days=1), usegmt=True)],
    ids=["a day", "absurd", "a date"],
)
def test_nobody_waits_a_day(serve, monkeypatch, header):
    monkeypatch.setattr(module, "LONGEST_PAUSE", 0.2)
    server = serve(lambda h, b: reply(h, b"{}", 503, Retry_After=header), says("fine"))
    start = time.monotonic()
    assert Endpoint(server.url, "m", pause=0.01).ask("s", "u") == "fine"
    assert 0.2 <= time.monotonic() - start < 2


@pytest.mark.parametrize("header", ["soon", "-5", "1.5e3", "Wed, 99 Foo 2099 00:00:00 GMT", "²"])
def test_a_retry_after_that_cannot_be_read_counts_for_nothing(serve, header):
    server = serve(
        lambda h, b: reply(h, b"{}", 503, **({"Retry_After": header} if header.isascii() else {})), says("fine")
    )
    start = time.monotonic()
    assert Endpoint(server.url, "m", pause=0.01).ask("s", "u") == "fine"
    assert time.monotonic() - start < 1
    assert module._seconds(header) == 0


def first_token(said: str, **logprobs: float) -> bytes:
    top = [{"token": token.replace("_", " "), "logprob": value} for token, value in logprobs.items()]
    message = {"role": "assistant", "content": said}
    return json.dumps({"choices": [{"message": message, "logprobs": {"content": [{"top_logprobs": top}]}}]}).encode()


def test_answers_are_weighed_by_the_probabilities_of_the_first_token(serve):
    # a token with a space before it is the same digit; what is no answer does not count
    body = first_token("4", **{"4": math.log(0.5), "_4": math.log(0.1), "2": math.log(0.2), "Good": math.log(0.2)})
    server = serve(lambda handler, _: reply(handler, body))
    found = Endpoint(server.url, "m").choice_probabilities("s", ["u", "w"], "024", [Image.new("RGB", (64, 64))])
    assert found == [pytest.approx([0, 0.25, 0.75])] * 2
    asked = server.asked[0][2]
    assert [body["messages"][1]["content"][1]["text"] for _, _, body in server.asked] == ["u", "w"]
    assert (asked["max_tokens"], asked["logprobs"], asked["top_logprobs"]) == (1, True, 20)


def test_without_probabilities_the_answer_has_all_of_it(serve):
    refused = serve(lambda handler, body: reply(handler, *((b"no", 400) if "logprobs" in body else (chat(" 2\n"),))))
    silent = serve(says("2"))
    for server in (refused, silent):
        assert Endpoint(server.url, "m").choice_probabilities("s", ["u"], "024") == [[0, 1, 0]]


def test_an_answer_that_is_none_of_those_asked_for_is_an_error(serve):
    server = serve(says("A fine poster"))
    with pytest.raises(AnswerError, match="answers 'A fine poster'; 0, 1 are accepted"):
        Endpoint(server.url, "m").choice_probabilities("s", ["u"], "01")


def test_headers_that_come_a_byte_at_a_time_end_at_the_deadline(serve):
    def slowly(handler, body):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        for _ in range(100):
            handler.wfile.write(b"x")
            time.sleep(0.1)

    server, began = serve(slowly), time.monotonic()
    with pytest.raises(AnswerError, match=r"no reply in 0\.5 s; gave up after 1 tries"):
        Endpoint(server.url, "m", timeout=0.5, retries=0).ask("s", "u", [])
    assert time.monotonic() - began < 2
