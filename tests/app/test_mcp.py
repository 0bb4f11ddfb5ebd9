"""The MCP server, asked by the official client over stdin and stdout of a real process."""

from __future__ import annotations

import base64
import io
import sys

import anyio
import numpy as np
import pytest
from mcp import Client, StdioServerParameters
from PIL import Image
from poster_server import TINY, HeldMaker

from posterkit.app.intake import Intake
from posterkit.app.job_queue import JobQueue
from posterkit.app.limits import Limits
from posterkit.app.mcp_tools import PosterTools
from posterkit.generate.metadata import read_record
from posterkit.schema import PosterRequest
from posterkit.sizing import Size

SMALL = {"prompt": "a red boat", "width": 64, "height": 96, "seed": 3, "steps": 2, "more": {"draft": "none"}}


def picture(result) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(result.content[0].data)))


def asked(server, work):
    async def run():
        async with Client(server) as client:
            return await work(client)

    return anyio.run(run)


@pytest.fixture(scope="module")
def tools(maker, tmp_path_factory):
    folder, allowed = tmp_path_factory.mktemp("jobs"), tmp_path_factory.mktemp("allowed")
    Image.fromarray(np.indices((64, 96)).sum(0).astype(np.uint8)).convert("RGB").save(allowed / "photo.png")
    queue = JobQueue(maker, folder, Limits(queue=2))
    yield PosterTools(queue, Intake(maker, queue.limits, allowed))
    queue.stop(0.0)
    assert queue.join(30)


def test_a_poster_comes_with_its_picture_and_its_record_and_is_saved_beside_others(tools, maker):
    told = []

    async def work(client):
        async def progress(done, total, words):
            told.append((done, total, words))

        first = await client.call_tool("make_poster", {**SMALL, "save_as": "boat.png"}, progress_callback=progress)
        again = await client.call_tool("make_poster", {**SMALL, "save_as": "boat.png"})
        return first, again

    first, again = asked(tools.server(), work)
    assert not first.is_error and picture(first).size == (64, 96)
    said = first.structured_content
    assert said["record"]["row"]["seed"] == 3 and said["saved"].endswith("/boat.png")
    assert again.structured_content["saved"].endswith("/boat-2.png")
    with Image.open(said["saved"]) as saved:
        assert saved.tobytes() == picture(first).tobytes()
    done = [one[0] for one in told]
    assert told[-1][:2] == (2, 2) and done == sorted(set(done))  # MCP: the number rises with each notification
    assert not tools.queue.jobs and not list(tools.queue.folder.iterdir())


def test_pictures_are_transformed_from_the_allowed_folder(tools):
    async def work(client):
        row = {
            "task": "extending",
            "images": ["photo.png"],
            **{k: SMALL[k] for k in ("width", "height", "seed", "steps")},
        }
        done = await client.call_tool("transform_poster", {**row, "save_as": "wide.pdf"})
        stray = await client.call_tool("transform_poster", {**row, "images": ["../photo.png"]})
        out = await client.call_tool("transform_poster", {**row, "save_as": "../wide.pdf"})
        return done, stray, out

    done, stray, out = asked(tools.server(), work)
    saved = done.structured_content["saved"]
    assert read_record(saved)["row"]["images"][0]["path"] == "photo.png"
    assert stray.is_error and "no file that may be read" in stray.content[0].text
    assert out.is_error and "not in the allowed folder" in out.content[0].text


def test_a_layout_is_planned_and_a_wrong_one_refused(tools):
    async def work(client):
        plan = await client.call_tool(
            "plan_layout", {"texts": ["NORTH LIGHT", "Friday 8 pm"], "width": 416, "height": 608}
        )
        wrong = await client.call_tool("plan_layout", {"texts": []})
        asks = await client.call_tool("plan_layout", {"texts": ["A"], "planner": "llm:http://127.0.0.1"})
        return plan, wrong, asks

    plan, wrong, asks = asked(tools.server(), work)
    assert picture(plan).size == (416, 608) and plan.structured_content["plan"]
    assert wrong.is_error and asks.is_error and "planner" in asks.content[0].text


def test_further_keys_are_those_of_a_request_and_say_nothing_twice(tools):
    async def work(client):
        steps = await client.call_tool("make_poster", {**SMALL, "more": {"steps": 3, "draft": "none"}})
        alone = {key: value for key, value in SMALL.items() if key not in ("steps", "more")}
        counted = await client.call_tool("make_poster", {**alone, "more": {"steps": 3, "draft": "none"}})
        wrong = await client.call_tool("make_poster", {**alone, "more": {"steps": 1e9}})
        return steps, counted, wrong

    steps, counted, wrong = asked(tools.server(), work)
    assert steps.is_error and "more: steps is an argument of its own; give it once" in steps.content[0].text
    assert counted.structured_content["record"]["row"]["steps"] == 3
    assert wrong.is_error and "steps" in wrong.content[0].text


def test_descriptions_are_one_line(tools):
    async def work(client):
        return (await client.list_tools()).tools

    said = [tool.description for tool in asked(tools.server(), work)]
    assert all(said) and not any("\n" in one or "  " in one for one in said)


def test_a_call_that_its_agent_cancels_ends_its_job(tmp_path):
    with HeldMaker(device="cpu") as maker:
        queue = JobQueue(maker, tmp_path, Limits())
        server = PosterTools(queue, Intake(maker, queue.limits)).server()

        async def work(client):
            async with anyio.create_task_group() as group:

                async def call():
                    await client.call_tool("make_poster", {**SMALL, "steps": 8})

                group.start_soon(call)
                assert await anyio.to_thread.run_sync(maker.reached.wait, 60)
                group.cancel_scope.cancel()
            with anyio.fail_after(30):
                while not any(job.stopped for job in queue.jobs.values()):
                    await anyio.sleep(0.02)
            maker.go.set()
            return await client.call_tool("make_poster", SMALL)

        assert not asked(server, work).is_error
        queue.stop(0.0)
        assert queue.join(30) and queue.counts == {"cancelled": 1, "done": 1}


def test_a_poster_is_judged(tools):
    async def work(client):
        return await client.call_tool("judge_poster", {"image": "photo.png", "prompt": "a boat", "texts": ["JAZZ"]})

    judged = asked(tools.server(), work)
    said = judged.structured_content
    assert 0 <= said["value"] < 1 and said["content"] and said["style"] and said["record"] is None


@pytest.mark.slow
def test_texts_that_were_asked_for_are_none_too_many(tools, maker):
    poster = maker(PosterRequest("a red boat", texts=["NORTH LIGHT"], size=Size(416, 608), seed=3, steps=2))
    poster.save(tools.intake.allowed / "north.png")

    async def work(client):
        row = {"image": "north.png", "prompt": "a red boat"}
        asks = await client.call_tool("judge_poster", {**row, "texts": ["@title:NORTH LIGHT"]})
        return asks, await client.call_tool("judge_poster", row)

    asks, unasked = asked(tools.server(), work)
    assert "nobody asked for" in unasked.structured_content["content"]
    assert "nobody asked for" not in asks.structured_content["content"]


@pytest.mark.slow
def test_the_command_answers_over_stdin_and_stdout_and_ends_with_its_client(tmp_path):
    command = StdioServerParameters(
        command=sys.executable, args=["-m", "posterkit", "mcp", "--allow-folder", str(tmp_path), "--device", "cpu"],
    )  # fmt: skip

    async def work(client):
        names = [tool.name for tool in (await client.list_tools()).tools]
        return names, await client.call_tool("make_poster", {**SMALL, "texts": None})

    names, made = asked(command, work)
    assert names == ["make_poster", "transform_poster", "plan_layout", "judge_poster"]
    assert picture(made).size == (64, 96) and made.structured_content["record"]["row"]["prompt"] == TINY["prompt"]
