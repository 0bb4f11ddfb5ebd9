"""Whether anybody answers where a reward is served is asked before any work."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from chat_server import reply, servers

from posterkit.rewards.specs import reach


@pytest.mark.parametrize(
    "spec", ["http://127.0.0.1:{}/v1", "reward+http://127.0.0.1:{}", "text:0.5+http://127.0.0.1:{}/v1"]
)
def test_a_closed_port_is_told_in_one_line_with_its_address(spec):
    with socket.socket() as held:  # bound and not listening: nobody else takes it
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        for source, sources in ((spec.format(port), {}), ("rules", {"aesthetics": spec.format(port)})):
            with pytest.raises(
                OSError, match=rf"^reward .*127.0.0.1:{port}[^:]*: nobody answers \(.*refused\)$"
            ) as error:
                reach(source, sources)
            assert "\n" not in str(error.value)


def test_an_endpoint_that_answers_anything_at_all_is_alive():
    def lost(handler: Any, body: dict[str, Any]) -> None:
        reply(handler, b"no such page", 404)

    with servers() as start:
        server = start(lost)
        reach(server.url, {"text": f"reward+{server.url.removesuffix('/v1')}"})


def test_rewards_that_nobody_serves_need_no_answer(tmp_path):
    reach("text:0.6+aesthetics:0.4", {"identity": "org/model"})
    file = tmp_path / "own.yaml"
    file.write_text("weights: {text: {text: 1, style: 2}}")
    reach(str(file), {})


def test_who_a_file_of_weights_names_is_asked_too(tmp_path):
    file = tmp_path / "own.yaml"
    file.write_text("weights: {text: {text: 1, 'http://127.0.0.1:9/v1': 2}}")
    with pytest.raises(OSError, match=r"^reward http://127\.0\.0\.1:9/v1: nobody answers"):
        reach(str(file), {})
