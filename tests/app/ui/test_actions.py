"""What the page does, without a browser."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from poster_server import HeldMaker
from press_profile import write_press_profile

from posterkit.app.intake import Intake
from posterkit.app.job_queue import JobQueue
from posterkit.app.limits import Limits
from posterkit.app.ui.actions import Desk
from posterkit.app.ui.session import EXPORTS, Session, ShownPoster
from posterkit.generate.maker import PosterMaker
from posterkit.generate.metadata import read_record
from posterkit.typeset.export_options import ExportOptions


def drawn(desk: Desk, session: Session, form: dict[str, Any]) -> list[str]:
    """Every line that is said while a form's posters are drawn."""

    async def lines() -> list[str]:
        return [line async for line in desk.draw(session, form)]

    return asyncio.run(lines())


def test_the_plan_shows_the_draft_with_its_texts_before_anything_is_drawn(desk: Desk, small):
    session = Session()
    assert "The plan: 192x288" in desk.plan(session, small)
    view = session.view
    assert view is not None and view.image.size == (192, 288) and np.asarray(view.image).std() > 10
    assert {"title", "subtitle", "cta"} <= {role for role, _ in view.boxes}
    assert desk.look(session, "Layout").count("<rect x=") == len(view.boxes)
    assert not desk.queue.jobs


def test_the_plan_of_extending_has_the_photograph_in_its_place(desk: Desk, small, cup: Path):
    session = Session()
    desk.plan(session, small | {"task": "extending", "files": [str(cup)], "anchor": "bottom", "title": ""})
    assert session.view is not None
    role, box = session.view.boxes[0]
    assert role == "photo" and (box.x0, box.y1) == (0, 288) and box.width == 192


@pytest.mark.slow
def test_a_form_becomes_posters_that_can_be_had_in_every_form(desk: Desk, small, tmp_path: Path):
    session = Session(how=ExportOptions(profile=write_press_profile(tmp_path / "press.icc")))
    lines = drawn(desk, session, small | {"seeds": 2})
    assert "Seed 3" in lines[-1] and [one.seed for one in session.posters] == [3, 4]
    assert session.shown is session.posters[0] and len(desk.gallery(session)) == 2
    begins = {"png": b"\x89PNG", "pdf": b"%PDF", "psd": b"8BPS", "svg": b"<", "pptx": b"PK"}
    for name in EXPORTS:
        desk.write(session.shown.key, name, tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(begins[name.rpartition(".")[2]]), name
    assert b"OutputIntent" in (tmp_path / "poster-x4.pdf").read_bytes()
    assert b"OutputIntent" not in (tmp_path / "poster.pdf").read_bytes()
    assert desk.exports(session).count("<a ") == len(EXPORTS)
    desk.show(session, 1)
    assert session.shown is session.posters[1]


def test_texts_are_set_again_without_drawing(desk: Desk, small, tmp_path: Path):
    session = Session()
    drawn(desk, session, small)
    poster, jobs = session.shown, desk.queue.counts.total()
    assert poster is not None
    before = np.asarray(poster.view().image, np.int16)
    assert "Set again" in desk.set_again(session, small | {"title": "SOUTH LIGHT"})
    assert session.view is not None and desk.queue.counts.total() == jobs
    changed = np.abs(np.asarray(session.view.image, np.int16) - before).max(axis=2) > 8
    assert 0 < changed.mean() < 0.4
    for name in ("poster.png", "poster.psd"):
        desk.write(poster.key, name, tmp_path / name)
        texts = read_record(tmp_path / name)["edited"]["texts"]
        assert [text.rpartition(":")[2] for text in texts] == ["SOUTH LIGHT", "From 6 May", "Book now"]
    # the old words stand as they stood
    desk.set_again(session, small)
    assert np.array_equal(np.asarray(session.view.image), before)


def test_another_number_of_texts_is_a_new_plan_and_the_old_number_is_the_poster_again(desk: Desk, small):
    session = Session()
    drawn(desk, session, small)
    line = desk.set_again(session, small | {"body": "Doors 7 pm"})
    assert "The plan" in line and "needs a new drawing" in line and session.shown is None
    assert "Set again" in desk.set_again(session, small) and session.shown is session.posters[0]
    assert "The plan" in desk.plan_anew(session, small | {"size": "288x192"})
    assert "The plan" in desk.set_again(session, small | {"size": "288x192", "title": "EAST"})  # not the old poster


def test_a_damaged_upload_is_one_line(desk: Desk, small, tmp_path: Path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 40)
    session, form = Session(), small | {"task": "extending", "files": [str(broken)]}
    for line in (desk.plan(session, form), drawn(desk, session, form)[-1]):
        assert 'role="alert"' in line and "broken.png" in line and str(tmp_path) not in line
    form, line = desk.open_poster(session, str(broken))
    assert form is None and 'role="alert"' in line and str(tmp_path) not in line
    assert not desk.queue.jobs


def test_the_gate_is_asked_like_in_generate(tmp_path: Path, small):
    with PosterMaker(device="cpu", safety="block", detector="rules") as maker:
        queue = JobQueue(maker, tmp_path, Limits())
        desk, session = Desk(queue, Intake(maker, Limits())), Session()
        bad = small | {"title": "Guaranteed profit"}
        assert "blocked (copy)" in desk.plan(session, bad) and "blocked (copy)" in drawn(desk, session, bad)[-1]
        drawn(desk, session, small)
        assert session.posters[0].record["safety"]["decisions"]
        assert "blocked (copy)" in desk.set_again(session, bad)
        assert session.shown is not None and session.shown.texts is None
        queue.stop(0.0)
        assert queue.join(30)


def test_a_job_is_stopped_and_a_full_queue_says_so(tmp_path: Path, small):
    with HeldMaker(device="cpu") as maker:
        queue = JobQueue(maker, tmp_path, Limits(queue=1))
        desk, session, others = Desk(queue, Intake(maker, Limits())), Session(), [Session(), Session()]

        async def stopped() -> tuple[list[str], list[str]]:
            async def draw(one: Session) -> list[str]:
                return [line async for line in desk.draw(one, small)]

            first = asyncio.create_task(draw(session))
            while not maker.reached.is_set():
                await asyncio.sleep(0.01)
            waiting = asyncio.create_task(draw(others[0]))
            while not queue.waiting:
                await asyncio.sleep(0.01)
            refused = await draw(others[1])
            desk.stop(others[0])
            desk.stop(session)
            maker.go.set()
            return [(await first)[-1], (await waiting)[-1]], refused

        ended, refused = asyncio.run(stopped())
        assert all("Stopped" in line for line in ended) and "the queue holds 1" in refused[-1]
        assert session.shown is None and session.view is not None  # the plan stays
        queue.stop(0.0)
        assert queue.join(30)


def test_a_dropped_poster_fills_the_form_and_its_texts_can_be_changed(desk: Desk, small, tmp_path: Path):
    maker = Session()
    drawn(desk, maker, small)
    assert maker.shown is not None
    desk.write(maker.shown.key, "poster.png", tmp_path / "poster.png")
    session = Session()
    form, _ = desk.open_poster(session, str(tmp_path / "poster.png"))
    assert form is not None and {key: form[key] for key in small if key != "negative_prompt"} == {
        **{key: small[key] for key in small if key != "negative_prompt"}, "guidance": form["guidance"], "seeds": 1,
    }  # fmt: skip
    assert "Set again" in desk.set_again(session, form | {"title": "EAST LIGHT"})
    assert session.shown is not None and session.shown.seed == 3


def test_a_layered_poster_can_be_dropped_too(desk: Desk, small, tmp_path: Path):
    session = Session()
    drawn(desk, session, small)
    assert session.shown is not None
    desk.write(session.shown.key, "poster.svg", tmp_path / "poster.svg")
    poster = ShownPoster.of_file(tmp_path / "poster.svg")
    assert poster.view().image.size[0] > 50 and poster.words_of(small) is None
    assert poster.exports_html(ExportOptions()).count("<a ") == 1  # as what it is


@pytest.mark.parametrize("how", ["Poster", "Layout", "Compare"])
def test_the_stage_names_what_it_shows(desk: Desk, small, how):
    session = Session()
    assert "Its plan appears here" in desk.look(session, how)
    desk.plan(session, small)
    html = desk.look(session, how)
    assert 'alt="The plan"' in html and ("aria-label" in html) == (how != "Poster")
    assert Image.MIME["JPEG"] in html


def test_the_stage_goes_on_being_shown_as_it_was_chosen(desk: Desk, small):
    session = Session()
    desk.look(session, "Layout")
    desk.plan(session, small)
    assert "The layout: title" in desk.stage(session)
    drawn(desk, session, small)
    assert "The layout: title" in desk.stage(session)
    assert "Set again" in desk.set_again(session, small | {"title": "SOUTH LIGHT"})
    assert "The layout: title" in desk.stage(session)


def test_what_lacks_its_mask_is_told_the_same_by_the_plan_and_by_the_drawing(desk: Desk, small, cup: Path):
    form = small | {"task": "filling", "files": [str(cup)]}
    session = Session()
    assert "Paint over what shall be made anew" in desk.plan(session, form)
    assert "Paint over what shall be made anew" in drawn(desk, session, form)[-1]
    assert not desk.queue.jobs


def test_a_painted_part_is_filled_at_the_pictures_own_size(desk: Desk, small, cup: Path):
    layer = np.zeros((160, 240, 4), np.uint8)
    layer[40:90, 60:150] = (184, 50, 26, 204)
    painted = {"background": None, "layers": [Image.fromarray(layer)], "composite": None}
    session = Session()
    form = small | {"task": "filling", "files": [str(cup)], "mask": painted, "subtitle": "", "cta": "", "title": ""}
    assert "Seed 3" in drawn(desk, session, form)[-1] and session.view is not None
    made, photo = np.asarray(session.view.image), np.asarray(Image.open(cup))
    assert made.shape == photo.shape == (160, 240, 3)
    changed = np.abs(made.astype(int) - photo).max(axis=2) > 12
    assert changed[40:90, 60:150].mean() > 0.3 and changed[:30].mean() < 0.02
