"""Who may come in, and what the page takes from where."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from posterkit.app.intake import Intake
from posterkit.app.job_queue import JobQueue
from posterkit.app.limits import Limits

pytest.importorskip("gradio")
from posterkit.app.ui.page_app import page_app
from posterkit.app.ui.theme import page_head

HERE = "http://127.0.0.1:7860"


@pytest.fixture
def app_of(maker, tmp_path: Path):
    made = []

    def build(key: str, limits: Limits = Limits()):  # noqa: B008
        made.append(JobQueue(maker, tmp_path, limits))
        return page_app(made[-1], Intake(maker, limits), key)

    yield build
    for queue in made:
        queue.stop(0.0)
        assert queue.join(30)


def test_without_a_key_only_this_machines_own_pages_come_in(app_of):
    app = app_of("")
    client = TestClient(app, base_url=HERE)
    assert client.get("/").status_code == 200 and client.get("/fonts/bold.ttf").status_code == 200
    assert client.get("/", headers={"Origin": "https://elsewhere.example"}).status_code == 403
    assert client.get("/", headers={"Origin": "http://127.0.0.1:9999"}).status_code == 403
    assert TestClient(app, base_url="http://posterkit.example").get("/").status_code == 403
    assert (
        client.get("/fonts/../page.css").status_code == 404 and client.get("/posters/a/poster.png").status_code == 404
    )


def test_with_a_key_a_visitor_signs_in_once(app_of):
    client = TestClient(app_of("s3cret"), base_url="http://studio.example", follow_redirects=False)
    for path in ("/", "/config", "/posters/a/poster.png"):
        answer = client.get(path)
        assert answer.status_code == 401 and '<label for="key"' in answer.text.replace("'", '"')
    assert client.post("/sign-in", data={"key": "wrong"}).status_code == 401
    assert client.get("/config", headers={"Authorization": "Bearer s3cret"}).status_code == 200
    answer = client.post("/sign-in", data={"key": "s3cret"})
    assert answer.status_code == 303 and "HttpOnly" in answer.headers["set-cookie"]
    assert "s3cret" not in answer.headers["set-cookie"]
    assert client.get("/config").status_code == 200


def test_an_upload_above_the_limit_is_refused(app_of):
    client = TestClient(app_of("", Limits(body=10_000)), base_url=HERE)
    answer = client.post("/gradio_api/upload", files={"files": ("a.png", b"x" * 20_000)})
    assert answer.status_code == 413


def test_the_page_fetches_nothing_from_elsewhere():
    assert not re.findall(r"https?://", page_head())
