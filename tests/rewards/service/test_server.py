"""A reward behind HTTP says what it says at home, over a real connection."""

from __future__ import annotations

import base64
import signal
import struct
import subprocess
import sys
import zlib

import httpx
import numpy as np
import pytest
from chat_server import reply, servers
from odd_rewards import Odd
from PIL import Image
from served_rewards import serve

from posterkit.documents import MAX_CHARACTERS
from posterkit.rewards import open_reward
from posterkit.rewards.remote import RemoteReward, RewardError, pack, unpack
from posterkit.rewards.service import server
from posterkit.rewards.service.pool import RewardPool
from posterkit.schema import PosterRequest, Region
from posterkit.sizing import Size

RED = Image.new("RGB", (8, 8), (51, 0, 0))


def served():
    return serve(RewardPool(Odd(), workers=0, tolerated=1.0))


def test_a_row_with_all_its_pictures_comes_out_of_json_as_it_went_in():
    rng = np.random.default_rng(0)
    row = PosterRequest(
        task="filling",
        instruction="Fill \u201cJAZZ\u201d.",
        texts=("JAZZ",),
        images=(rng.integers(0, 256, (5, 4, 3), dtype=np.uint8),),
        mask=rng.integers(0, 2, (6, 4), dtype=np.uint8) * 255,
        placed=(0, 0, 4, 6),
        regions=(Region((0, 1, 2, 3), "major", "JAZZ"),),
        size=Size(4, 6),
        caption="a poster",
        spare=2,
        id="row-1",
    )
    (image,), (same,) = unpack(pack([RED], [row]))
    assert image.tobytes() == RED.tobytes()
    assert same.mask is not None and row.mask is not None
    assert np.array_equal(same.references[0], row.references[0]) and np.array_equal(same.mask, row.mask)
    assert same.as_instruction() == row.as_instruction()
    for name in ("task", "texts", "placed", "regions", "size", "caption", "spare", "id"):
        assert getattr(same, name) == getattr(row, name)


def test_a_served_reward_says_what_it_says_at_home_and_has_its_name():
    with served() as url:
        remote = open_reward(f"reward+{url}")
        assert remote.name == "odd"
        rows = [PosterRequest(), PosterRequest()]
        assert remote([RED, RED], rows) == Odd()([RED, RED], rows)


def test_a_row_that_fails_over_there_is_dropped_here_and_says_why():
    with served() as url, RewardPool(f"reward+{url}", workers=0, tolerated=1.0) as reward:
        scoring = reward.submit([RED, RED], [PosterRequest("raise", id="bad"), PosterRequest()])
        assert [result is None for result in scoring.result()] == [True, False]
        assert "bad" in scoring.faults[0] and "no such font" in scoring.faults[0]


def test_a_server_that_is_busy_is_asked_again_and_one_that_is_gone_is_one_clear_error():
    def busy(handler, body):
        reply(handler, b"later", 503)

    def ready(handler, body):
        reply(handler, b'{"results": [{"value": 0.5, "parts": {}, "why": ""}]}')

    with servers() as start:
        running = start(busy, busy, ready)
        results = RemoteReward(running.url, pause=0.01)([RED], [PosterRequest()])
        assert results[0].value == 0.5 and len(running.asked) == 3
    with pytest.raises(RewardError, match="gave up after 2 tries") as error:
        RemoteReward("http://127.0.0.1:9", retries=1, pause=0.01)([RED], [PosterRequest()])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "answer", [b"[]", b"no json", b'{"results": []}', b'{"results": [{"value": "much"}]}', b'{"results": [3]}']
)
def test_what_is_no_answer_is_an_error_and_no_worth(answer):
    with servers() as start:
        running = start(lambda handler, body: reply(handler, answer))
        with pytest.raises(RewardError, match=r"answer|not JSON"):
            RemoteReward(running.url, retries=0)([RED], [PosterRequest()])


@pytest.mark.parametrize("value", ["1e9", "-0.1", "1.001", "1e400", "true", '"0.5"'])
def test_a_value_out_of_range_is_no_worth(value):
    answer = f'{{"results": [{{"value": {value}, "parts": {{}}, "why": ""}}]}}'.encode()
    with servers() as start:
        running = start(lambda handler, body: reply(handler, answer))
        with pytest.raises(RewardError, match="a value must be a number from 0 to 1, found"):
            RemoteReward(running.url, retries=0)([RED], [PosterRequest()])


def test_what_a_server_says_is_one_printable_line():
    answer = b'{"results": [{"value": 0.5, "parts": {"a\\u001b[2J": 0.1}, "why": "good\\u001b]0;x\\u0007\\nvery"}]}'
    with servers() as start:
        running = start(lambda handler, body: reply(handler, answer))
        (worth,) = RemoteReward(running.url, retries=0)([RED], [PosterRequest()])
    assert worth.why == "good ]0;x very" and worth.parts == {"a [2J": 0.1}


def png_header(width: int, height: int) -> str:
    """A PNG that announces so many pixels and holds none."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return base64.b64encode(png + struct.pack(">I4sI", 0, b"IDAT", zlib.crc32(b"IDAT"))).decode()


@pytest.mark.parametrize(
    "body",
    [
        {"images": []},
        {"images": ["!"], "requests": [{}]},
        [],
        {"images": [], "requests": [{}]},
        {"images": [png_header(65_500, 65_500)], "requests": [{"task": "text", "prompt": ""}]},
    ],
)
def test_the_client_is_told_what_is_wrong_with_its_request(body):
    with served() as url:
        answer = httpx.post(f"{url}/score", json=body)
    assert answer.status_code == 400 and answer.json()["detail"]


def test_there_is_nothing_else_at_the_server():
    with served() as url:
        assert httpx.get(f"{url}/else").status_code == 404


def test_a_request_of_many_pictures_is_read_and_one_above_the_limit_is_refused(monkeypatch):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (1600, 1600, 3), dtype=np.uint8))
    packed = pack([noise, noise], [PosterRequest(), PosterRequest()])
    assert sum(map(len, packed["images"])) > MAX_CHARACTERS
    with served() as url:
        assert len(httpx.post(f"{url}/score", json=packed, timeout=60).json()["results"]) == 2
        monkeypatch.setattr(server, "MOST_BYTES", 10_000_000)
        answer = httpx.post(f"{url}/score", json=packed, timeout=60)
    assert answer.status_code == 413 and "10000000 bytes" in answer.json()["detail"]


def test_with_a_key_only_those_who_know_it_are_answered(monkeypatch):
    monkeypatch.setenv("POSTERKIT_API_KEY", "secret")
    with served() as url:
        assert RemoteReward(url).name == "odd"
        monkeypatch.setenv("POSTERKIT_API_KEY", "guess")
        with pytest.raises(RewardError, match="401"):
            _ = RemoteReward(url).name


@pytest.mark.slow
def test_the_command_serves_on_a_free_port_and_ends_with_ctrl_c():
    command = [sys.executable, "-m", "posterkit.rewards.service.server"]
    with subprocess.Popen([*command, "aesthetics", "--port", "0"], stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        name, _, url = running.stdout.readline().strip().partition(" at ")
        assert RemoteReward(url).name == name
        assert 0 <= RemoteReward(url)([RED], [PosterRequest()])[0].value <= 1
        taken = subprocess.run(
            [*command, "aesthetics", "--port", url.rpartition(":")[2]], capture_output=True, text=True
        )
        assert taken.returncode == 2 and taken.stderr.startswith("posterkit: ") and taken.stderr.count("\n") == 1
        running.send_signal(signal.SIGINT)
    assert running.returncode == 0
