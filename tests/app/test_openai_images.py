"""The API as OpenAI's own client speaks it, over a real connection."""

from __future__ import annotations

import base64
import io

import httpx
import numpy as np
import openai
import pytest
from PIL import Image
from poster_server import TINY, HeldMaker, running

from posterkit.app.limits import Limits

SMALL = {"steps": 2, "seed": 3, "draft": "none"}  # our own keys beside OpenAI's


def photo(mode: str = "RGB") -> io.BytesIO:
    picture = Image.fromarray(np.indices((64, 96)).sum(0).astype(np.uint8)).convert(mode)
    file = io.BytesIO()
    picture.save(file, "PNG")
    file.seek(0)
    file.name = "photo.png"
    return file


def mask(transparent: bool) -> io.BytesIO:
    """Where the left half is made: transparent in OpenAI's form, white in ours."""
    if transparent:
        picture = Image.new("RGBA", (96, 64), (10, 20, 30, 255))
        picture.paste((0, 0, 0, 0), (0, 0, 48, 64))
    else:
        picture = Image.new("L", (96, 64))
        picture.paste(255, (0, 0, 48, 64))
    file = io.BytesIO()
    picture.save(file, "PNG")
    file.seek(0)
    file.name = "mask.png"
    return file


@pytest.fixture(scope="module")
def client(served):
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def picture(image) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(image.b64_json)))


def test_a_generation_is_the_poster_that_our_own_way_makes(client, served):
    answer = client.images.generate(model="posterkit", prompt=TINY["prompt"], size="64x96", extra_body=SMALL)
    own = served.client.post("/v1/posters?format=png", json=TINY)
    assert picture(answer.data[0]).tobytes() == Image.open(io.BytesIO(own.content)).tobytes()
    assert answer.size == "64x96" and answer.output_format == "png" and answer.data[0].record["row"]["seed"] == 3
    assert answer.notes == []


def test_what_is_ignored_is_said(client):
    answer = client.images.generate(
        model="gpt-image-2", prompt="a red boat", size="64x96", quality="high", background="transparent",
        moderation="low", user="me", extra_body=SMALL,
    )  # fmt: skip
    assert [note.partition(" ")[0] for note in answer.notes] == [
        "model",
        "quality",
        "background",
        "moderation",
        "user",
    ]


def test_n_posters_come_from_seeds_one_after_the_other(client):
    answer = client.images.generate(prompt="a red boat", size="64x96", n=3, extra_body=SMALL)
    assert [image.seed for image in answer.data] == [3, 4, 5]
    assert len({picture(image).tobytes() for image in answer.data}) == 3


def test_a_url_is_fetched_without_any_key(client):
    answer = client.images.generate(prompt="a red boat", size="64x96", response_format="url", extra_body=SMALL)
    got = httpx.get(answer.data[0].url, trust_env=False)
    assert got.status_code == 200 and got.content.startswith(b"\x89PNG") and answer.data[0].b64_json is None


@pytest.mark.parametrize(("form", "kind"), [("jpeg", "JPEG"), ("webp", "WEBP")])
def test_other_formats(client, form, kind):
    answer = client.images.generate(prompt="a red boat", size="64x96", output_format=form, extra_body=SMALL)
    assert picture(answer.data[0]).format == kind and answer.output_format == form


def test_a_stream_ends_with_the_poster(client):
    events = list(client.images.generate(prompt="a red boat", size="64x96", stream=True, n=2, extra_body=SMALL))
    assert [event.type for event in events] == ["image_generation.completed"] * 2
    assert picture(events[0]).size == (64, 96) and events[1].seed == 4


@pytest.mark.parametrize("transparent", [True, False])
def test_an_edit_with_a_mask_keeps_what_the_mask_does_not_name(client, transparent):
    sizes = {"width": 96, "height": 64}
    answer = client.images.edit(
        image=photo(), mask=mask(transparent), prompt="waves", extra_body={**SMALL, **sizes, "preserve": "true"},
    )  # fmt: skip
    made, given = np.asarray(picture(answer.data[0])), np.asarray(Image.open(photo()))
    assert answer.data[0].record["row"]["task"] == "filling"
    assert np.array_equal(made[:, 60:], given[:, 60:]) and not np.array_equal(made[:, :40], given[:, :40])
    assert any("no transparent part" in note for note in answer.notes) is not transparent


def test_an_edit_of_several_images_is_one_poster_of_their_subjects(client):
    extra = {**SMALL, "preserve": "false"}
    answer = client.images.edit(image=[photo(), photo()], prompt="on a shelf", size="64x96", extra_body=extra)
    assert len(answer.data[0].record["row"]["images"]) == 2 and "id_driven" in answer.notes[0]
    style = {**extra, "task": "style_driven"}
    streamed = list(client.images.edit(image=photo(), prompt="x", size="64x96", stream=True, extra_body=style))
    assert [event.type for event in streamed] == ["image_edit.completed"]


def test_the_client_raises_its_own_errors(client, maker):
    with pytest.raises(openai.BadRequestError, match="unknown size 'large'"):
        client.images.generate(prompt="x", size="large")
    with pytest.raises(openai.BadRequestError, match="11 posters; the limit is 10"):
        client.images.generate(prompt="x", n=11)
    with pytest.raises(openai.BadRequestError, match="n must be a whole number of at least 1, found 0"):
        client.images.generate(prompt="x", n=0)
    with pytest.raises(openai.BadRequestError, match="unknown key"):
        client.images.generate(prompt="x", extra_body={"promt": "y"})
    with pytest.raises(openai.BadRequestError, match="damaged"):
        client.images.edit(image=("a.png", photo().read()[:80]), prompt="x")
    with running(maker, key="secret") as server:
        with pytest.raises(openai.AuthenticationError):
            openai.OpenAI(base_url=f"{server.url}/v1", api_key="guess").images.generate(prompt="x")
        known = openai.OpenAI(base_url=f"{server.url}/v1", api_key="secret")
        assert [model.id for model in known.models.list()] == ["posterkit"]


def test_a_busy_server_makes_the_client_wait_and_try_again():
    with HeldMaker(device="cpu") as maker, running(maker, Limits(queue=1)) as server:
        server.client.post("/v1/posters", json=TINY)
        assert maker.reached.wait(60)
        server.client.post("/v1/posters", json=TINY)
        impatient = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)
        with pytest.raises(openai.RateLimitError, match="the queue holds 1"):
            impatient.images.generate(prompt="a red boat", size="64x96", extra_body=SMALL)
        maker.go.set()
        patient = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=5)
        assert patient.images.generate(prompt="a red boat", size="64x96", extra_body=SMALL).data
