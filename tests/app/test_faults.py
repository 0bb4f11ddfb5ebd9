"""Huge and slow bodies, clients that go away or do not read, a signal while a poster is drawn."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import httpx
import pytest
from poster_server import TINY, HeldMaker, running

from posterkit import serving
from posterkit.app.limits import Limits


def connected(server) -> socket.socket:
    host, _, port = server.url.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=20)


def head(method: str, path: str, *lines: str) -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *lines, "", ""]).encode()


def received(client: socket.socket) -> bytes:
    """Everything up to the end of the connection."""
    found = b""
    try:
        while piece := client.recv(2**16):
            found += piece
    except ConnectionResetError:
        pass
    return found


def posted(row: dict) -> bytes:
    body = json.dumps(row).encode()
    lines = ("Content-Type: application/json", f"Content-Length: {len(body)}")
    return head("POST", "/v1/posters?format=png", *lines) + body


def until(true, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture(scope="module")
def strict(maker):
    with running(maker, Limits(body=10_000, body_seconds=1.0, queue=1)) as server:
        yield server


@pytest.fixture(scope="module")
def patient(maker):
    with running(maker, Limits(body_seconds=600.0, queue=1)) as server:
        yield server


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=x"])
def test_a_huge_body_is_refused_before_it_is_sent(strict, kind):
    with connected(strict) as client:
        client.sendall(head("POST", "/v1/posters", f"Content-Type: {kind}", "Content-Length: 100000000000"))
        said = received(client)
    assert said.startswith(b"HTTP/1.1 413") and b"at most 10000 bytes" in said
    assert not list(strict.queue.folder.iterdir())


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=x"])
def test_a_body_without_an_announced_end_is_cut_off_at_the_limit(strict, kind):
    sent = 0
    with connected(strict) as client:
        client.sendall(head("POST", "/v1/posters", f"Content-Type: {kind}", "Transfer-Encoding: chunked"))
        begin = b"--x\r\nContent-Disposition: form-data; name=a; filename=a.png\r\n\r\n"
        client.sendall(b"%x\r\n%s\r\n" % (len(begin), begin))
        try:
            for _ in range(2000):
                client.sendall(b"400\r\n" + b"y" * 1024 + b"\r\n")
                sent += 1024
        except (BrokenPipeError, ConnectionResetError):
            pass
    until(lambda: strict.queue._reserved.total() == 0)
    assert strict.client.get("/healthz").status_code == 200 and not list(strict.queue.folder.iterdir())
    assert 'status="413"' in strict.client.get("/metrics").text


def test_a_slow_body_is_given_up_and_its_place_in_the_queue_is_free_again(strict):
    with connected(strict) as client:
        client.sendall(head("POST", "/v1/posters", "Content-Type: application/json", "Content-Length: 1000") + b"{")
        said = received(client)
    assert said.startswith(b"HTTP/1.1 408") and b"no whole body in 1 s" in said
    assert strict.client.post("/v1/posters?format=png", json=TINY).status_code == 200


def test_a_body_that_is_read_takes_a_place_and_a_client_that_goes_away_while_it_sends_leaves_nothing(patient):
    with connected(patient) as client:
        client.sendall(head("POST", "/v1/posters", "Content-Type: application/json", "Content-Length: 1000") + b"{")
        until(lambda: patient.queue._reserved.total() == 1)
        assert patient.client.post("/v1/posters", json=TINY).status_code == 429
    until(lambda: patient.queue._reserved.total() == 0 and not list(patient.queue.folder.iterdir()))


def test_a_head_that_never_ends_is_cut_off(maker, monkeypatch):
    monkeypatch.setattr(serving, "_HEAD_SECONDS", 0.3)
    with running(maker) as server:
        for whole, begin in (
            (b"", b""),
            (b"", b"GET /healthz HTTP/1.1\r\nHost: 127"),
            (head("GET", "/healthz"), b"GE"),
        ):
            with connected(server) as client:
                client.sendall(whole)
                said = b""
                while whole and not said.endswith(b'"ok"}'):
                    said += client.recv(2**16)
                client.sendall(begin)
                received(client)  # fails where the server keeps it open


@pytest.mark.slow
def test_a_client_that_does_not_read_keeps_nobody_waiting_and_is_cut_off(maker):
    with running(maker, Limits(body_seconds=5.0)) as server:
        job = server.client.post("/v1/posters?wait=60", json=TINY).json()
        path = server.queue.jobs[job["id"]].results[0].files["png"]
        size = 100_000_000
        os.truncate(path, size)
        with connected(server) as client:
            client.sendall(head("GET", job["posters"][0]["files"]["png"]))
            assert client.recv(1)  # the answer has begun
            assert server.client.get("/healthz").status_code == 200
            assert server.serves(client)  # so that nobody has waited for its end
            until(lambda: not server.serves(client))
            assert len(received(client)) < size


@pytest.mark.parametrize("stream", [False, True])
def test_a_job_ends_when_the_client_that_waits_for_it_goes_away_and_the_next_is_drawn(stream):
    with HeldMaker(device="cpu") as maker, running(maker) as server:
        if stream:
            body = json.dumps({"prompt": "x", "size": "64x96", "steps": 8, "draft": "none", "stream": True}).encode()
            lines = ("Content-Type: application/json", f"Content-Length: {len(body)}")
            message = head("POST", "/v1/images/generations", *lines) + body
        else:
            message = posted({**TINY, "steps": 8})
        with connected(server) as client:
            client.sendall(message)
            assert maker.reached.wait(60)
        until(lambda: any(job.stopped for job in server.queue.jobs.values()))
        maker.go.set()
        until(lambda: server.queue.counts["cancelled"] == 1)
        assert server.client.post("/v1/posters?format=png", json=TINY).status_code == 200


def test_a_client_of_a_job_that_waits_goes_away_and_the_job_with_it():
    with HeldMaker(device="cpu") as maker, running(maker) as server:
        server.client.post("/v1/posters", json=TINY)
        assert maker.reached.wait(60)
        with connected(server) as client:
            client.sendall(posted(TINY))
            until(lambda: server.queue.waiting == 1)
        until(lambda: server.queue.waiting == 0)
        assert server.queue.counts["cancelled"] == 1
        maker.go.set()


def test_what_the_maker_cannot_draw_fails_its_own_job_alone(maker):
    with running(maker) as server:
        broken = server.client.post("/v1/posters", json={**TINY, "task": "filling", "images": ["x"]})
        assert broken.status_code == 400
        # one step is none for the image model's schedule: its numbers are not finite
        files = {"image": ("a.png", httpx.get(f"{server.url}/healthz").content)}
        assert server.client.post("/v1/posters", data={"task": "extending"}, files=files).status_code == 400
        assert server.client.post("/v1/posters?format=png", json=TINY).status_code == 200


class Command:
    """`posterkit serve` as a process."""

    def __init__(self, *options: str, **environment: str) -> None:
        command = [sys.executable, "-m", "posterkit", "serve", "--port", "0", "--device", "cpu", *options]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | environment
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip().rpartition(" ")[2]
        self.client = httpx.Client(base_url=self.url, timeout=300, trust_env=False)

    def drawing(self, steps: int) -> dict:
        """A job whose drawing has begun."""
        job = self.client.post("/v1/posters", json={**TINY, "steps": steps}).json()
        with self.client.stream("GET", job["events"]) as stream:
            for line in stream.iter_lines():
                if line.startswith("data: ") and json.loads(line[6:])["progress"]["done"] >= 1:
                    return job
        raise AssertionError("it ended before it was drawn")

    def direct(self, row: dict) -> threading.Thread:
        """Waits for a poster in another thread; its answer is in `answers`."""
        self.answers: list[httpx.Response] = []
        thread = threading.Thread(
            target=lambda: self.answers.append(httpx.post(f"{self.url}/v1/posters?format=png", json=row, timeout=300))
        )
        thread.start()
        return thread

    def end(self) -> tuple[int, str]:
        self.process.send_signal(signal.SIGTERM)
        _, errors = self.process.communicate(timeout=300)
        return self.process.returncode, errors


@pytest.mark.slow
def test_at_a_signal_the_running_job_is_finished_those_that_wait_fail_and_no_more_are_taken():
    server = Command("--grace", "600")
    waiting = server.direct({**TINY, "steps": 400})
    until(lambda: "\nposterkit_drawing 1\n" in server.client.get("/metrics").text)
    queued = server.client.post("/v1/posters", json=TINY).json()
    events = server.client.stream("GET", queued["events"])
    with events as stream:
        code, errors = server.end()
        said = stream.read().decode()
    waiting.join(300)
    assert code == 0 and all(line.startswith("posterkit: note: ") for line in errors.splitlines()), errors
    assert server.answers[0].status_code == 200, server.answers[0].text
    assert server.answers[0].content.startswith(b"\x89PNG")
    assert "event: failed" in said and "the server is stopping" in said
    with pytest.raises(httpx.ConnectError):
        server.client.get("/healthz")


@pytest.mark.slow
def test_a_job_that_takes_longer_than_the_grace_fails_with_its_reason():
    server = Command("--grace", "0.2", "--max-steps", "5000")
    waiting = server.direct({**TINY, "steps": 1000, "best_of": 5})
    until(lambda: "\nposterkit_drawing 1\n" in server.client.get("/metrics").text)
    code, errors = server.end()
    waiting.join(300)
    assert code == 0 and "Traceback" not in errors
    assert server.answers[0].status_code == 503 and server.answers[0].json()["error"]["code"] == "stopping"


@pytest.mark.slow
def test_the_command_says_in_one_line_what_is_wrong_with_its_call(tmp_path):
    def failed(*options: str, **environment: str) -> str:
        command = [sys.executable, "-m", "posterkit", "serve", *options]
        ran = subprocess.run(command, capture_output=True, text=True, env=os.environ | environment, timeout=60)
        assert ran.returncode == 2 and ran.stderr.count("\n") == 1, ran.stderr
        return ran.stderr

    assert "POSTERKIT_API_KEY" in failed("--host", "0.0.0.0", POSTERKIT_API_KEY="")
    assert "no such folder" in failed("--allow-folder", str(tmp_path / "none"))
    assert "none" in failed("--model", str(tmp_path / "none"))
    with serving.listen("127.0.0.1", 0) as taken:
        assert "in use" in failed("--port", str(taken.getsockname()[1]))
