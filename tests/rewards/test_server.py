"""A reward behind HTTP says what it says at home, over a real connection."""

from __future__ import annotations

import threading
from contextlib import contextmanager

import httpx
import numpy as np
import pytest
from chat_server import reply, servers
from odd_rewards import Odd
from PIL import Image

from posterkit.rewards import open_reward
from posterkit.rewards.remote import RemoteReward, RewardError, pack, unpack
from posterkit.rewards.service.pool import RewardPool
from posterkit.rewards.service.server import RewardServer
from posterkit.schema import PosterRequest, Region
from posterkit.sizing import Size

RED = Image.new("RGB", (8, 8), (51, 0, 0))


@contextmanager
def served(reward=None):
    server = RewardServer(RewardPool(reward or Odd(), workers=0, tolerated=1.0), port=0)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


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
        assert [worth is None for worth in scoring.result()] == [True, False]
        assert "bad" in scoring.faults[0] and "no such font" in scoring.faults[0]


def test_a_server_that_is_busy_is_asked_again_and_one_that_is_gone_is_one_clear_error():
    def busy(handler, body):
        reply(handler, b"later", 503)

    def ready(handler, body):
        reply(handler, b'{"worths": [{"value": 0.5, "parts": {}, "why": ""}]}')

    with servers() as start:
        server = start(busy, busy, ready)
        worths = RemoteReward(server.url, pause=0.01)([RED], [PosterRequest()])
        assert worths[0].value == 0.5 and len(server.asked) == 3
    with pytest.raises(RewardError, match="gave up after 2 tries") as error:
        RemoteReward("http://127.0.0.1:9", retries=1, pause=0.01)([RED], [PosterRequest()])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "answer", [b"[]", b"no json", b'{"worths": []}', b'{"worths": [{"value": "much"}]}', b'{"worths": [3]}']
)
def test_what_is_no_answer_is_an_error_and_no_worth(answer):
    with servers() as start:
        server = start(lambda handler, body: reply(handler, answer))
        with pytest.raises(RewardError, match=r"answer|not JSON"):
            RemoteReward(server.url, retries=0)([RED], [PosterRequest()])


def test_a_bad_question_is_told_what_is_wrong_with_it():
    with served() as url:
        assert httpx.get(f"{url}/else").status_code == 404
        for body in ({"images": []}, {"images": ["!"], "rows": [{}]}, [], {"images": [], "rows": [{}]}):
            answer = httpx.post(f"{url}/worths", json=body)
            assert answer.status_code == 400 and answer.json()["fault"]


def test_with_a_key_only_those_who_know_it_are_answered(monkeypatch):
    monkeypatch.setenv("POSTERKIT_API_KEY", "secret")
    with served() as url:
        assert RemoteReward(url).name == "odd"
        monkeypatch.setenv("POSTERKIT_API_KEY", "guess")
        with pytest.raises(RewardError, match="401"):
            _ = RemoteReward(url).name
