"""Critics by their address."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from chat_server import chat, reply, servers
from PIL import Image

from posterkit.critic import open_critic
from posterkit.critic.rules import RulesCritic
from posterkit.llm.client import AnswerError

POSTER = Image.new("RGB", (40, 60), "navy")


def answering(handler, body) -> None:
    said = {"caption": "A navy poster."}
    reply(handler, chat(json.dumps(said)) if body else b'{"data": [{"id": "seer"}]}')


def test_the_rules_are_the_default_and_one_object_serves_a_process():
    judge = open_critic()
    assert isinstance(judge, RulesCritic) and judge.name == "rules"
    with ThreadPoolExecutor(8) as pool:
        assert {id(one) for one in pool.map(lambda _: open_critic("rules"), range(32))} == {id(judge)}
    assert open_critic("rules-blind").name == "rules-blind"


def test_an_endpoint_is_asked_for_its_model_when_it_is_opened_and_judges_at_temperature_0(tmp_path):
    with servers() as start:
        server = start(answering)
        judge = open_critic(server.url, cache=tmp_path)
        assert judge.name == f"seer at {server.url}/v1"
        assert judge.caption(POSTER) == judge.caption(POSTER)
        assert open_critic(server.url, cache=str(tmp_path)) is judge
        assert [path for path, *_ in server.asked] == ["/v1/models", "/v1/chat/completions"]
        assert open_critic(server.url, model="other", cache=tmp_path).name.startswith("other at ")
        assert server.asked[1][2]["temperature"] == 0
    assert len(list(tmp_path.rglob("*.json"))) == 1


@pytest.mark.parametrize("source", ["", "rule", "gpt", "ftp://host/v1", "file:///model", "http://", "https:///v1"])
def test_what_cannot_be_a_judge_is_a_wrong_call(source):
    with pytest.raises(ValueError, match=r"judge|://"):
        open_critic(source)


def test_a_folder_without_a_model_and_an_endpoint_that_is_not_there_are_errors_of_one_line(tmp_path, monkeypatch):
    with pytest.raises(AnswerError, match="cannot load this language model") as error:
        open_critic(str(tmp_path))
    assert "\n" not in str(error.value)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with pytest.raises(AnswerError, match="gave up after 3 tries"):
        open_critic("http://127.0.0.1:9")
    with pytest.raises(AnswerError, match="refused"):
        open_critic("http://127.0.0.1:9", model="seer")
