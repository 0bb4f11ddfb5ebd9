"""Records of posters that others made: what is drawn from one, and what is refused."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from poster_records import RECORD

from posterkit.generate.checkpoint import Settings
from posterkit.generate.metadata import CHUNK, FORMAT
from posterkit.generate.record import check_models, request_from_poster


def poster(folder: Path, part: str, **changed: Any) -> Path:
    record = copy.deepcopy(RECORD)
    (record if part == "record" else record[part]).update(changed)
    info = PngInfo()
    info.add_itxt(CHUNK, json.dumps({"format": FORMAT, **record}))
    Image.new("RGB", (8, 8)).save(folder / "a.png", pnginfo=info)
    return folder / "a.png"


def test_a_record_becomes_its_request(tmp_path: Path) -> None:
    request, settings, _ = request_from_poster(poster(tmp_path, "row"))
    assert (request.steps, request.size, request.texts) == (4, (96, 144), ("5 am",))
    assert settings == Settings("mini:postercraft", device="cpu", native=False, draw_text=False)


@pytest.mark.parametrize(
    ("part", "changed", "said"),
    [
        ("row", {"steps": 1_000_000_000}, "steps must be a whole number from 1 to 1000, found 1000000000"),
        ("row", {"steps": "1000"}, 'steps must be a whole number from 1 to 1000, found "1000"'),
        ("row", {"steps": True}, "steps must be a whole number from 1 to 1000, found true"),
        ("row", {"guidance": [1]}, r"guidance must be a number from 0 to 100, found \[1\]"),
        ("row", {"seed": {}}, "seed must be a whole number of at least 0, found {}"),
        ("row", {"width": 10**6}, "width must be a whole number of pixels from 16 to 16384"),
        ("row", {"height": "tall", "texts": [1]}, "texts must be .*; height must be"),
        ("row", {"expanded": 3}, "expanded must be a text"),
        ("row", {"native": "yes"}, "native must be true or false"),
        ("row", {"feedback": [[1]]}, "record is damaged"),
        ("row", {"prompt": None}, "record is damaged"),
        ("model", {"name": ["a"]}, "name must be a text"),
        ("settings", {"device": 7}, "device must be a text"),
        ("record", {"chosen": {"seed": -1}}, "seed must be"),
        ("record", {"row": []}, "record is damaged"),
        ("record", {"settings": None}, "record is damaged"),
    ],
)
def test_a_record_is_checked_as_a_row_of_a_manifest_is(tmp_path, part, changed, said) -> None:
    with pytest.raises(ValueError, match=said) as error:
        request_from_poster(poster(tmp_path, part, **changed))
    assert "a.png: " in str(error.value) and "\n" not in str(error.value) and len(str(error.value)) < 400


@pytest.mark.parametrize("option", ["model", "transformer", "lora"])
def test_a_model_that_is_neither_shipped_nor_here_has_to_be_asked_for(tmp_path, option) -> None:
    changed = {"name" if option == "model" else option: "nobody/such-a-model"}
    path = poster(tmp_path, "model", **changed)
    request, recorded, _ = request_from_poster(path)
    with pytest.raises(ValueError, match=f"with the {option} nobody/such-a-model, which is not .*give --{option}"):
        check_models(path, recorded, request.lora, asked={})
    check_models(path, recorded, request.lora, asked={option: "another"})
    (tmp_path / "here").mkdir()
    changed = {"name" if option == "model" else option: str(tmp_path / "here")}
    check_models(path, request_from_poster(poster(tmp_path, "model", **changed))[1], None, asked={})
