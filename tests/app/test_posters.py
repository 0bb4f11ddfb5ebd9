"""Posters as jobs, over a real connection."""

from __future__ import annotations

import base64
import functools
import io
import json

import numpy as np
import pytest
from PIL import Image
from poster_server import TINY, HeldMaker, events_of, running

from posterkit.app.intake import UPLOADED
from posterkit.app.limits import Limits
from posterkit.batch.manifest import parse_row
from posterkit.batch.row_keys import ROW_KEYS
from posterkit.generate.maker import PosterMaker
from posterkit.generate.metadata import read_record
from posterkit.generate.record import request_from_poster
from posterkit.schema import PosterRequest


def photo(size=(80, 60), kind="PNG") -> bytes:
    y, x = np.mgrid[: size[1], : size[0]]
    picture = np.stack([x * 255 // size[0], y * 255 // size[1], np.full_like(x, 90)], axis=-1).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(picture).save(file, kind)
    return file.getvalue()


def data_url(content: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def test_a_poster_of_the_server_is_the_makers_own_to_the_pixel(served, maker, tmp_path):
    job = served.finished(served.client.post("/v1/posters", json=TINY).json())
    assert job["state"] == "done" and job["progress"]["done"] == job["progress"]["total"] == 2
    got = served.client.get(job["posters"][0]["files"]["png"])
    assert got.headers["content-type"] == "image/png"
    (tmp_path / "poster.png").write_bytes(got.content)
    row = parse_row(TINY, "row", tmp_path, PosterRequest(task=""))
    assert isinstance(row, PosterRequest)
    own = maker(row)
    assert Image.open(tmp_path / "poster.png").tobytes() == own.image.tobytes()
    record = read_record(tmp_path / "poster.png")
    assert record["id"] == own.record["id"] == job["posters"][0]["record"]["id"]
    assert record["safety"]["decisions"][0]["surface"] == "prompt"


@pytest.mark.slow
def test_the_answer_is_the_poster_itself_where_a_format_is_asked_for(served):
    row = {**TINY, "texts": ["JAZZ"], "width": 96, "height": 144}
    likes = "image/svg+xml, application/json;q=0.5", "image/png;q=0.4, application/pdf;q=0.6", "image/*"
    for accept, begins in zip(likes, (b"<", b"%PDF", b"\x89PNG"), strict=True):
        got = served.client.post("/v1/posters", json=row, headers={"Accept": accept})
        assert got.status_code == 200 and got.content.startswith(begins), got.text
    got = served.client.post("/v1/posters?format=pptx", json={**row, "out": "jazz.png"})
    assert got.content.startswith(b"PK") and got.headers["content-type"].endswith(".presentation")
    got = served.client.post("/v1/posters?format=psd", json=row)
    assert got.content.startswith(b"8BPS") and got.headers["content-type"] == "image/vnd.adobe.photoshop"
    got = served.client.post("/v1/posters?format=gif", json=row)
    assert got.status_code == 400 and "png, svg, pdf, psd" in got.json()["error"]["message"]


def test_a_row_of_several_seeds_is_a_job_of_several_posters(served):
    job = served.client.post("/v1/posters?wait=60", json={**TINY, "seeds": 2}).json()
    assert [poster["seed"] for poster in job["posters"]] == [3, 4]
    got = served.client.get(f"/v1/jobs/{job['id']}/posters/2?format=png")
    assert got.content == served.client.get(job["posters"][1]["files"]["png"]).content


def test_every_key_of_a_row_that_names_a_file_is_checked():
    assert {key for key, (_, said) in ROW_KEYS.items() if "file" in said} == {*UPLOADED, "lora"}


def test_several_formats_are_made_at_once_and_others_are_refused(served):
    row = {**TINY, "texts": ["JAZZ"], "width": 96, "height": 144, "formats": ["png", "svg"]}
    job = served.finished(served.client.post("/v1/posters?wait=60", json=row).json())
    where = f"/v1/jobs/{job['id']}/posters/1"
    assert served.client.get(where, headers={"Accept": "image/svg+xml"}).content.startswith(b"<")
    assert served.client.get(where).content.startswith(b"\x89PNG")
    got = served.client.get(where, headers={"Accept": "application/pdf"})
    assert got.status_code == 406 and "made as png, svg" in got.json()["error"]["message"]
    assert served.client.get(f"/v1/jobs/{job['id']}/posters/2").status_code == 404


def test_pictures_come_as_uploads_and_as_base64(served, tmp_path):
    row = {**TINY, "task": "extending"}
    form = {"request": json.dumps({**row, "images": ["sea.png"]})}
    got = served.client.post("/v1/posters?format=png", data=form, files={"any": ("sea.png", photo())})
    as_json = served.client.post("/v1/posters?format=png", json={**row, "images": [data_url(photo())]})
    fields = {key: str(value) for key, value in row.items()}
    as_form = served.client.post("/v1/posters?format=png", data=fields, files={"image": ("sea.png", photo())})
    pictures = [Image.open(io.BytesIO(one.content)).tobytes() for one in (got, as_json, as_form)]
    assert pictures[0] == pictures[1] == pictures[2]
    # the record names the upload, so that the poster is made again beside it
    (tmp_path / "sea.png").write_bytes(photo())
    (tmp_path / "poster.png").write_bytes(got.content)
    request, _, _ = request_from_poster(tmp_path / "poster.png")
    assert request.images == (tmp_path / "sea.png",)


def test_notes_and_records_name_uploads_and_not_where_the_server_keeps_them(served):
    frames = [Image.new("RGB", (80, 60), color) for color in ("navy", "white")]
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    form = {key: str(value) for key, value in TINY.items()} | {"task": "extending"}
    got = served.client.post("/v1/posters?wait=60", data=form, files={"image": ("sea.gif", file.getvalue())})
    assert any(note.startswith("sea.gif: has 2 frames") for note in got.json()["posters"][0]["notes"]), got.text
    assert str(served.queue.folder) not in got.text


def test_a_client_that_leaves_the_events_of_a_job_leaves_the_job_alone(served):
    job = served.client.post("/v1/posters", json={**TINY, "steps": 30}).json()
    with served.client.stream("GET", job["events"]) as stream:
        next(stream.iter_lines())
    assert served.finished(job)["state"] == "done" and not served.queue.jobs[job["id"]]._waiting


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"prompt": "x", "widht": 64}, 'did you mean "width"'),
        ({}, "needs a prompt or texts"),
        ({"prompt": "x", "steps": 0}, "steps must be"),
        ({"task": "extending", "images": ["/etc/passwd"]}, "is no upload of this request"),
        ({"task": "extending", "images": ["http://127.0.0.1/a.png"]}, "nothing is fetched"),
        ({"prompt": "x", "draft": "/etc/passwd"}, "is no upload"),
        ({"prompt": "x", "texts": ["A"], "fonts": ["/etc/passwd"]}, "is no upload"),
        ({"prompt": "x", "texts": ["A"], "plan": "../plan.json"}, "is no upload"),
        ({"prompt": "x", "lora": "owner/name"}, "lora"),
        ({"prompt": "x", "texts": ["A"], "planner": "llm:http://10.0.0.1"}, "planner"),
        ({"task": "extending", "images": 3}, "images must be a list"),
        ({"task": "extending", "images": ["data:image/png;base64,!!"]}, "damaged base64"),
        ({"prompt": "x" * 9000}, "the limit is 8000"),
        ({"prompt": "x", "width": 16384, "height": 4112}, "megapixels"),
        ({"prompt": "x", "steps": 1000}, "denoising steps"),
        ({"prompt": "x", "steps": 20, "best_of": 100}, "denoising steps"),
        ({"prompt": "x", "formats": "png"}, "formats is a list"),
        ({"prompt": "x", "logo": "/etc/logo.png"}, "is no upload"),
        ({"prompt": "x", "seeds": 11}, "the limit is 10"),
        ({"prompt": "x", "sizes": ["a3", "a4"]}, "sizes: a request has one size"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_one_line_before_anything_is_drawn(served, row, why):
    drawn = served.queue.counts.copy()
    got = served.client.post("/v1/posters", json=row)
    error = got.json()["error"]
    assert got.status_code == 400 and why in error["message"] and "\n" not in error["message"], error
    assert str(served.queue.folder) not in got.text and served.queue.counts == drawn
    assert not list(served.queue.folder.glob("*/_*")) or served.queue.jobs


@pytest.mark.parametrize(
    ("path", "why"),
    [("/v1/posters?wait=-1", "wait: it should be greater"), ("/v1/posters?wait=soon", "wait: it should be a valid")],
)
def test_a_wrong_value_of_an_address_is_an_error_of_the_same_form(served, path, why):
    got = served.client.post(path, json=TINY)
    assert got.status_code == 400 and got.json()["error"]["message"].startswith(why)
    assert got.json()["error"]["code"] == "invalid_request"


def test_an_address_that_is_none_names_those_that_are(served):
    answer = served.client.get("/docs")
    assert answer.status_code == 404
    assert "/docs: no such address; there are /healthz, /metrics, /v1/" in answer.json()["error"]["message"]


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"a": NaN}', b"\xff\xfe", b"[" * 100_000])
def test_a_body_that_is_no_json_object_is_refused(served, body):
    got = served.client.post("/v1/posters", content=body, headers={"Content-Type": "application/json"})
    assert got.status_code == 400 and got.json()["error"]["code"] == "invalid_json"


@pytest.mark.parametrize(
    "damage",
    [photo()[: len(photo()) // 2], b"no picture", b"\x89PNG\r\n\x1a\n", photo()[:60] + b"x" * 60 + photo()[120:]],
)
def test_a_damaged_upload_is_refused_at_once_by_its_name(served, damage):
    files = {"image": ("sea.png", damage)}
    got = served.client.post("/v1/posters", data={"task": "extending", "width": "64"}, files=files)
    assert got.status_code == 400 and got.json()["error"]["message"].startswith("sea.png: "), got.text


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(maker):
    with running(maker, Limits(pixels=100 * 100)) as server:
        files = {"image": ("big.png", photo((120, 100)))}
        got = server.client.post("/v1/posters", data={"task": "extending"}, files=files)
        assert got.status_code == 400 and "big.png: 120x100 is" in got.json()["error"]["message"]


def test_uploads_of_odd_names_lie_nowhere_else(served):
    for name in ("../../evil.png", "a/b/../sea.png"):
        got = served.client.post(
            "/v1/posters?format=png", data={k: str(v) for k, v in TINY.items()} | {"task": "extending"},
            files={"image": (name, photo())},
        )  # fmt: skip
        assert got.status_code == 200, got.text
    assert not (served.queue.folder.parent / "evil.png").exists()
    got = served.client.post("/v1/posters", data={"task": "extending"}, files={"image": (".htaccess", photo())})
    assert got.status_code == 400 and "no plain file name" in got.json()["error"]["message"]


def test_files_of_the_server_are_read_from_the_allowed_folder_alone(maker, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/sea.png").write_bytes(photo())
    (tmp_path / "out.png").write_bytes(photo())
    (tmp_path / "in/link.png").symlink_to(tmp_path / "out.png")
    with running(maker, allowed=tmp_path / "in") as server:
        row = {**TINY, "task": "extending"}
        got = server.client.post("/v1/posters?format=png", json={**row, "images": ["sea.png"]})
        assert got.status_code == 200, got.text
        for name in ("../out.png", "link.png", str(tmp_path / "out.png"), "none.png", "a\0b"):
            got = server.client.post("/v1/posters", json={**row, "images": [name]})
            assert got.status_code == 400 and "no file that may be read" in got.json()["error"]["message"]
    assert (tmp_path / "in/sea.png").read_bytes() == photo()


def test_the_gate_blocks_a_request_with_its_reason(tmp_path):
    with PosterMaker(device="cpu", safety="block") as maker, running(maker) as server:
        got = server.client.post(
            "/v1/posters", json={**TINY, "width": 96, "height": 144, "texts": ["Guaranteed profit"]}
        )
        error = got.json()["error"]
        assert got.status_code == 400 and error["code"] == "content_policy_violation", error
        assert error["decisions"][0]["action"] == "block"


def test_the_events_of_a_job_tell_its_steps_and_end_with_its_result(served):
    job = served.client.post("/v1/posters", json={**TINY, "steps": 4}).json()
    with served.client.stream("GET", job["events"]) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        events = events_of(stream.read().decode())
    assert events[-1][0] == "done" and events[-1][1]["posters"][0]["record"]["row"]["seed"] == 3
    done = [said["progress"]["done"] for kind, said in events if kind == "progress"]
    assert done == sorted(done) and events[-1][1]["progress"] == {"words": "drawing 64x96", "done": 4, "total": 4}


def test_a_full_queue_says_when_to_come_again_and_takes_what_has_room():
    with HeldMaker(device="cpu") as maker, running(maker, Limits(queue=2)) as server:
        first = server.client.post("/v1/posters", json=TINY).json()
        assert maker.reached.wait(60)
        others = [server.client.post("/v1/posters", json=TINY) for _ in range(4)]
        assert [one.status_code for one in others] == [202, 202, 429, 429]
        assert 1 <= int(others[-1].headers["Retry-After"]) <= 60
        assert others[-1].json()["error"]["code"] == "queue_full"
        cancelled = server.client.delete(f"/v1/jobs/{others[0].json()['id']}").json()
        assert cancelled["state"] == "cancelled"
        again = server.client.post("/v1/posters", json=TINY)
        assert again.status_code == 202
        maker.go.set()
        for job in (first, others[1].json(), again.json()):
            assert server.finished(job)["state"] == "done"
        text = server.client.get("/metrics").text
    assert 'posterkit_posters_total{result="done"} 3' in text
    assert 'posterkit_posters_total{result="cancelled"} 1' in text
    assert 'posterkit_http_requests_total{status="429"} 2' in text and "posterkit_queue_posters 0" in text


@pytest.mark.slow
def test_a_client_with_many_jobs_keeps_nobody_waiting():
    keys = [{"Authorization": f"Bearer {key}"} for key in ("many", "one")]
    with HeldMaker(device="cpu") as maker, running(maker, key="many,one") as server:
        post = functools.partial(server.client.post, "/v1/posters", json=TINY)
        first = [post(headers=keys[0]) for _ in range(200)]
        taken = [got.json()["id"] for got in first if got.status_code == 202]
        # one is drawn, three quarters of the queue wait, the rest of it is for others
        assert len(taken) in (24, 25) and first[-1].status_code == 429
        assert "keeps 8 places for other clients" in first[-1].json()["error"]["message"]
        server.client.headers.update(keys[1])
        single = post()
        assert single.status_code == 202
        maker.go.set()
        assert server.finished(single.json())["state"] == "done"
        ended = [job.ended for job in server.queue.jobs.values() if job.ended and job.id in taken]
        before = [one for one in ended if one < server.queue.jobs[single.json()["id"]].ended]
        assert len(before) <= 2
        assert post(headers={"Authorization": "Bearer many,one"}).status_code == 401


def test_a_job_that_is_drawn_ends_at_its_next_step_when_it_is_cancelled_and_the_next_is_drawn():
    with HeldMaker(device="cpu") as maker, running(maker) as server:
        job = server.client.post("/v1/posters", json={**TINY, "steps": 8}).json()
        assert maker.reached.wait(60)
        assert server.client.get(f"/v1/jobs/{job['id']}/posters/1").status_code == 409
        server.client.delete(f"/v1/jobs/{job['id']}")
        maker.go.set()
        job = server.finished(job)
        assert job["state"] == "cancelled" and job["progress"]["done"] < 8
        got = server.client.get(f"/v1/jobs/{job['id']}/posters/1")
        assert got.status_code == 409 and got.json()["error"]["code"] == "cancelled"
        after = server.client.post("/v1/posters?wait=60", json=TINY).json()
        assert after["state"] == "done"


def test_results_are_kept_for_a_while_and_uploads_not_at_all(maker):
    with running(maker, Limits(kept=1)) as server:
        first = server.client.post(
            "/v1/posters?wait=60", data={k: str(v) for k, v in TINY.items()} | {"task": "extending"},
            files={"image": ("sea.png", photo())},
        ).json()  # fmt: skip
        folder = server.queue.jobs[first["id"]].folder
        assert [path.name for path in folder.iterdir()] == ["_poster-1.png"]
        second = server.client.post("/v1/posters?wait=60", json=TINY).json()
        assert server.client.get(f"/v1/jobs/{first['id']}").status_code == 404 and not folder.exists()
        assert server.client.delete(f"/v1/jobs/{second['id']}").status_code == 200
        assert not list(server.queue.folder.iterdir())


def test_with_a_key_only_those_who_know_it_are_answered(maker):
    with running(maker, key="secret") as server:
        job = server.client.post("/v1/posters?wait=60", json=TINY).json()
        where = job["posters"][0]["files"]["png"]
        server.client.headers["Authorization"] = "Bearer guess"
        for path in ("/metrics", "/v1/models", f"/v1/jobs/{job['id']}", where.partition("&")[0], where + "x"):
            got = server.client.get(path)
            assert got.status_code == 401 and got.json()["error"]["type"] == "authentication_error", path
        assert server.client.post("/v1/posters", json=TINY).status_code == 401
        assert server.client.get("/healthz").json() == {"status": "ok"}
        assert server.client.get(where).content.startswith(b"\x89PNG")  # the job's own key


@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"Origin": "https://evil.example"}])
def test_without_a_key_no_page_of_another_host_is_served(served, headers):
    got = served.client.post("/v1/posters", json=TINY, headers=headers)
    assert got.status_code == 403 and got.json()["error"]["code"] == "not_local"
