"""Each parser of others' bytes against hypothesis: a value, or one line. POSTERKIT_FUZZ=100000 runs that many of each.

The seeds are inputs that begin the search: small real files, and those that once found a fault.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from posterkit.batch.csv_rows import read_csv
from posterkit.batch.manifest import parse_row, read_requests
from posterkit.batch.rows import BadRow
from posterkit.datasets.shards import shard_members
from posterkit.documents import read_json, read_yaml
from posterkit.image_io import read_image
from posterkit.messages import one_line, printable
from posterkit.pipelines.lora_names import read_key
from posterkit.prompts.quotes import in_quotes, quoted_texts, tidy
from posterkit.rewards.remote import unpack, unpack_results
from posterkit.schema import PosterRequest

SEEDS = Path(__file__).parent / "seeds"
RUNS = int(os.environ.get("POSTERKIT_FUZZ", "30"))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
KEYS = ("task", "prompt", "texts", "images", "mask", "anchor", "width", "height", "seed", "steps", "guidance", "lora",
        "negative_prompt", "best_of", "draft", "strength", "out", "preserve")  # fmt: skip


def seeds(*suffixes: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted(SEEDS.iterdir()) if path.suffix in suffixes]


@st.composite
def changed(draw: Any, whole: list[bytes]) -> bytes:
    """One of the seeds with some bytes replaced, taken out or put in; or any bytes at all."""
    content = bytearray(draw(st.sampled_from(whole)))
    for _ in range(draw(st.integers(0, 8))):
        at = draw(st.integers(0, len(content)))
        until = draw(st.integers(at, min(len(content), at + 16)))
        content[at:until] = draw(st.binary(max_size=16))
    return bytes(content)


def ends_in_one_line(call: Callable[[], Any]) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            call()
    except (ValueError, OSError) as error:
        said = str(error)
        assert said and "\n" not in said and len(said) < 2000, said[:300]


def fuzz(**strategies: Any) -> Callable[..., Any]:
    def decorate(test: Any) -> Any:
        checks = (HealthCheck.too_slow, HealthCheck.data_too_large)
        options = settings(max_examples=RUNS, deadline=None, database=None, suppress_health_check=checks)
        return options(given(**strategies)(test))

    return decorate


@fuzz(content=changed(seeds(".json")) | st.binary(max_size=200))
def test_json(content: bytes) -> None:
    ends_in_one_line(lambda: read_json(content, "x"))


@fuzz(content=changed(seeds(".yaml")) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")))
def test_yaml(content: bytes) -> None:
    ends_in_one_line(lambda: read_yaml(content.decode("utf-8", "replace"), "x"))


@fuzz(content=changed(seeds(".png", ".jpg", ".gif", ".bmp", ".tif", ".ppm", ".tga", ".webp")))
def test_images(content: bytes) -> None:
    ends_in_one_line(lambda: read_image(content, name="x", max_pixels=2**20))


@fuzz(content=changed(seeds(".csv")))
def test_spreadsheets(content: bytes) -> None:
    with tempfile.NamedTemporaryFile(suffix=".csv") as file:
        file.write(content)
        file.flush()
        rows: list[Any] = []
        ends_in_one_line(lambda: rows.extend(read_csv(Path(file.name))))
        ends_in_one_line(lambda: read_requests(Path(file.name), PosterRequest(task="")))
    assert all("\n" not in row.why for _, row in rows if isinstance(row, BadRow))


@fuzz(content=changed(seeds(".tar")))
def test_shards(content: bytes) -> None:
    with tempfile.NamedTemporaryFile(suffix=".tar") as file:
        file.write(content)
        file.flush()
        members: dict[str, tuple[int, int]] = {}
        ends_in_one_line(lambda: members.update(shard_members(file.name)))
        assert all(0 <= start <= start + size <= len(content) for start, size in members.values())


@fuzz(row=st.dictionaries(st.sampled_from(KEYS), VALUES) | VALUES)
def test_rows_of_manifests(row: Any) -> None:
    ends_in_one_line(lambda: parse_row(row, "x:1", Path("nowhere"), PosterRequest(task="")))


@fuzz(body=VALUES | st.fixed_dictionaries({"images": VALUES, "requests": VALUES}))
def test_questions_to_a_served_reward(body: Any) -> None:
    ends_in_one_line(lambda: unpack(body))


@fuzz(results=st.lists(st.fixed_dictionaries({"value": VALUES, "parts": VALUES, "why": VALUES}) | VALUES, max_size=3))
def test_answers_of_a_served_reward(results: Any) -> None:
    found: list[Any] = []
    ends_in_one_line(lambda: found.extend(unpack_results(results, len(results))))
    assert all(one.value != one.value or 0 <= one.value <= 1 for one in found)


@fuzz(text=st.text(max_size=300))
def test_texts_for_terminals(text: str) -> None:
    assert one_line(text).isprintable() or "\n" not in one_line(text)
    assert all(letter.isprintable() or letter in "\n\u200c\u200d" for letter in printable(text))


@fuzz(prompt=st.text(max_size=200))
def test_quotes_in_prompts(prompt: str) -> None:
    text = tidy(prompt)
    assert "\\" in prompt or all(one in text for one in quoted_texts(prompt))  # an escape stands for another letter
    assert not text or quoted_texts(in_quotes(text)) == [text]


@fuzz(key=st.text(max_size=80) | changed(seeds(".keys")).map(lambda content: content.decode("utf-8", "replace")))
def test_keys_of_loras(key: str) -> None:
    ends_in_one_line(lambda: read_key(key))


def test_the_seeds_are_there() -> None:
    assert {path.suffix for path in SEEDS.iterdir()} >= {".json", ".yaml", ".png", ".jpg", ".tif", ".tar", ".keys"}
    with pytest.raises(ValueError, match="x: not JSON"):
        read_json(b"{", "x")
