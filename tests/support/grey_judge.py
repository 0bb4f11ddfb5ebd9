"""A model at a real endpoint on loopback that scores a picture by its grey, so that its scores can be written down."""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from chat_server import Server, chat, reply
from PIL import Image

from posterkit.rewards.models.vision_language import QUESTIONS, WHOLE

LEVELS = (0, 60, 120, 180, 240)  # the grey of candidate 0 to 4


def candidates(count: int, size: tuple[int, int] = (64, 96)) -> tuple[Image.Image, ...]:
    return tuple(Image.new("RGB", size, (level,) * 3) for level in LEVELS[:count])


def level(picture: Image.Image) -> int:
    """The number of the candidate that a picture is."""
    grey = np.asarray(picture.convert("L")).mean()
    return int(np.argmin([abs(grey - one) for one in LEVELS]))


def level_of(content: bytes) -> int:
    return level(Image.open(io.BytesIO(content)))


def grey_judge(
    start: Callable[..., Server],
    marks: Sequence[tuple[int, int, int] | str],
    suggest: Callable[[list[int]], tuple[str, str]] = lambda seen: ("x", "y"),
) -> Server:
    """Start it.

    Args:
        start: of `chat_server.servers`.
        marks: aesthetics, text and agreement of candidate n, of ten; a text is answered as it stands.
        suggest: content and style from the numbers of the candidates that a question shows.
    """

    def behave(handler: Any, body: dict[str, Any]) -> None:
        if handler.command == "GET":
            return reply(handler, b'{"data": [{"id": "grey"}]}')
        parts = body["messages"][-1]["content"]
        urls = [part["image_url"]["url"] for part in parts if "image_url" in part]
        seen = [level_of(base64.b64decode(url.split(",", 1)[1])) for url in urls]
        if "content_suggestions" in body["messages"][0]["content"]:
            said = dict(zip(("content_suggestions", "style_suggestions"), suggest(seen), strict=True))
            return reply(handler, chat(json.dumps(said)))
        mark = marks[seen[-1]]
        if isinstance(mark, str):
            return reply(handler, chat(mark))
        (asked,) = (n for n, part in enumerate(WHOLE) if QUESTIONS[part] in parts[-1]["text"])
        return reply(handler, _digit(mark[asked] / 2))

    return start(behave)


def _digit(expected: float) -> bytes:
    """A reply whose probabilities of digits have this mean."""
    low, share = int(expected), expected % 1
    likely = [{"token": str(low + n), "logprob": math.log(p)} for n, p in enumerate((1 - share, share)) if p]
    answer = json.loads(chat(str(low)))
    answer["choices"][0]["logprobs"] = {"content": [{"top_logprobs": likely}]}
    return json.dumps(answer).encode()
