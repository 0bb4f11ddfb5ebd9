"""The record of a poster as posterkit writes it, for tests that change a value in it."""

from __future__ import annotations

from typing import Any

RECORD: dict[str, Any] = {
    "id": "0123456789abcdef",
    "posterkit": "0.1.0",
    "row": {
        "task": "text", "prompt": 'a lake at "DAWN"', "expanded": None, "texts": ["DAWN", "5 am"], "images": [],
        "mask": None, "anchor": None, "width": 96, "height": 144, "seed": 1, "steps": 4, "guidance": 3.5,
        "negative_prompt": None, "lora": None, "native": False, "draw_text": False,
    },
    "model": {"name": "mini:postercraft", "revision": "x", "transformer": None, "lora": None},
    "settings": {"preset": None, "device": "cpu", "dtype": None},
    "drawn": {"words": "a lake", "size": [96, 144]}, "enlarged": {"size": [96, 144], "resampler": "none"},
    "typeset": None, "source_depth": 1, "versions": {"python": "3.11"},
}  # fmt: skip
