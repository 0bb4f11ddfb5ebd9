"""A judge at a real endpoint on loopback that goes by a picture's grey, so that its marks can be written down."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from chat_server import Server, chat, reply
from PIL import Image

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
        marks: aesthetics, text and content of candidate n, of ten; a text is answered as it stands.
        suggest: content and style from the numbers of the candidates that a question shows.
    """

    def behave(handler: Any, body: dict[str, Any]) -> None:
        if handler.command == "GET":
            return reply(handler, b'{"data": [{"id": "grey"}]}')
        parts = body["messages"][-1]["content"]
        urls = [part["image_url"]["url"] for part in parts if "image_url" in part]
        seen = [level_of(base64.b64decode(url.split(",", 1)[1])) for url in urls]
        if "content_suggestions" in body["messages"][0]["content"]:
            said: Any = dict(zip(("content_suggestions", "style_suggestions"), suggest(seen), strict=True))
        elif isinstance(marks[seen[0]], str):
            return reply(handler, chat(marks[seen[0]]))
        else:
            said = {"why": "so", **dict(zip(("aesthetics", "text", "content"), marks[seen[0]], strict=True))}
        return reply(handler, chat(json.dumps(said)))

    return start(behave)
