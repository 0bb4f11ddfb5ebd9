"""A model as judge, over a real endpoint on loopback: good answers, lies, and secrets given away."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from chat_server import Server, chat, reply, says, servers
from PIL import Image

from posterkit.critic import Suggestions
from posterkit.critic.model import ModelCritic, speaks_of_another
from posterkit.llm.client import AnswerError
from posterkit.llm.endpoint import Endpoint
from posterkit.metrics.text_regions import DetectedText

POSTER = Image.new("RGB", (400, 600), "navy")
BETTER = Image.new("RGB", (400, 600), "gold")
GOOD = {"content_suggestions": "Draw the trumpet whole.", "style_suggestions": "Set the title larger and in white."}
LEAK = GOOD | {"style_suggestions": "Use the palette of the reference poster."}


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    with servers() as start:
        yield start


def judge(server: Server) -> ModelCritic:
    return ModelCritic(Endpoint(server.url, "critic", timeout=5.0, retries=0))


def asked_text(server: Server, number: int = -1) -> str:
    """What the user's message says, without its pictures."""
    content = server.asked[number][2]["messages"][1]["content"]
    return next(part["text"] for part in content if part["type"] == "text")


def test_every_question_carries_its_pictures_its_schema_and_the_form_in_words(serve):
    answers = {
        "caption": {"caption": 'A navy poster,\n"JAZZ" at the top.'},
        "credit_block": {"credit_block": True, "watermark": "no"},
        "texts": {"texts": []},
        "content_suggestions": GOOD,
    }

    def answer(handler: Any, body: dict[str, Any]) -> None:
        keys = body["response_format"]["json_schema"]["schema"]["properties"]
        reply(handler, chat(json.dumps(next(said for key, said in answers.items() if key in keys))))

    server = serve(answer)
    critic = judge(server)
    assert critic.caption(POSTER) == 'A navy poster, "JAZZ" at the top.'
    assert critic.blemishes(POSTER) == ("credit block",)
    assert critic.texts(POSTER) == ()
    assert critic.suggest(POSTER, 'A poster "JAZZ"') == Suggestions(
        "Draw the trumpet whole.", "Set the title larger and in white."
    )
    assert 'A poster "JAZZ"' in asked_text(server)
    assert critic.suggest(POSTER, "p") == Suggestions("Draw the trumpet whole.", "Set the title larger and in white.")
    assert critic.suggest(POSTER, "p", BETTER) == critic.suggest(POSTER, "p")
    pictures = [
        sum(part["type"] == "image_url" for part in body["messages"][1]["content"]) for *_, body in server.asked
    ]
    assert pictures == [1, 1, 1, 1, 1, 2, 1]
    for *_, body in server.asked:
        schema = body["response_format"]["json_schema"]["schema"]
        assert schema["required"] == list(schema["properties"]) and schema["additionalProperties"] is False
        assert all(f'"{key}"' in body["messages"][0]["content"] for key in schema["properties"])
    assert critic.name == f"critic at {server.url}/v1"


def test_boxes_come_on_a_scale_of_a_thousand_and_are_given_in_pixels_on_the_canvas(serve):
    texts = [
        {"text": "Friday\n8 pm", "box": [250, 800, 750, 900], "role": "minor"},
        {"text": "JAZZ", "box": [100, 100, 900, 300], "role": "major"},
        {"text": "over the edge", "box": [-50, 950, 1400, 1100], "role": "minor"},
        {"text": "outside", "box": [1200, 100, 1400, 200], "role": "minor"},
        {"text": "nothing", "box": [500, 500, 500, 600], "role": "minor"},
        {"text": "turned round", "box": [900, 500, 100, 600], "role": "minor"},
        {"text": "  ", "box": [0, 0, 100, 100], "role": "minor"},
    ]
    assert judge(serve(says({"texts": texts}))).texts(POSTER) == (
        DetectedText("JAZZ", (40, 60, 360, 180), "major"),
        DetectedText("Friday 8 pm", (100, 480, 300, 540), "minor"),
        DetectedText("over the edge", (0, 570, 400, 600), "minor"),
    )


def test_boxes_on_another_scale_are_no_answer(serve):
    fractions = {"texts": [{"text": "JAZZ", "box": [0.1, 0.1, 0.9, 0.3], "role": "major"}]}
    with pytest.raises(AnswerError, match="no box lies on the poster; the first is"):
        judge(serve(says(fractions))).texts(POSTER)


def test_an_answer_that_cannot_be_used_is_asked_for_once_more_with_the_reason(serve):
    server = serve(says("I would rather not."), says(GOOD))
    assert judge(server).suggest(POSTER, "p").content == "Draw the trumpet whole."
    assert len(server.asked) == 2
    assert "holds no JSON; found: I would rather not." in asked_text(server)


@pytest.mark.parametrize(
    "lie",
    [
        {"content_suggestions": ["x"], "style_suggestions": "y"},
        {"content_suggestions": "x"},
        "x" * 200_000,
        "[" * 90_000,
        "<html>\x1b[31m</html>",
    ],
)
def test_two_unusable_answers_are_one_error_that_names_the_model(serve, lie):
    server = serve(says(lie))
    with pytest.raises(AnswerError, match=r"^critic at http://127.*: no usable answer: ") as error:
        judge(server).suggest(POSTER, "p")
    assert len(server.asked) == 2
    assert str(error.value).isprintable() and len(str(error.value)) < 400


def test_an_empty_caption_and_an_empty_suggestion_are_no_answers(serve):
    with pytest.raises(AnswerError, match="the caption is empty"):
        judge(serve(says({"caption": " \n"}))).caption(POSTER)
    with pytest.raises(AnswerError, match="one of the two suggestions is empty"):
        judge(serve(says(GOOD | {"style_suggestions": ""}))).suggest(POSTER, "p")


def test_a_suggestion_that_gives_the_second_picture_away_is_asked_for_again(serve):
    server = serve(says(LEAK), says(GOOD))
    assert judge(server).suggest(POSTER, "p", BETTER) == Suggestions(*GOOD.values())
    assert 'it speaks of another picture: "the reference"' in asked_text(server)


def test_a_critic_that_cannot_keep_the_secret_is_no_critic(serve):
    server = serve(says(LEAK))
    with pytest.raises(AnswerError, match="speaks of another picture"):
        judge(server).suggest(POSTER, "p", BETTER)
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    "words",
    [
        "Match the reference image.",
        "Make it like the other poster.",
        "Follow the second picture more closely.",
        "The colours are dull compared to it.",
        "In comparison, the title is small.",
        "Use the layout of the better one.",
        "Image 2 has a larger title.",
        "As in Poster B, centre the text.",
        "Both posters show a trumpet.",
        "Unlike the first image, it is cold.",
        "It looks worse than the other.",
        "请参考另一张海报的配色。",
        "与第二张图相比，标题太小。",
        "图2的构图更好。",
        "学习更好的那张的排版。",
        "两张海报的标题不同。",
        "另一张图更清晰，如图二所示。",
        "version A has it",
    ],
)
def test_words_that_give_a_second_picture_away_are_caught(words):
    assert speaks_of_another(words)


@pytest.mark.parametrize(
    "words",
    [
        "Add a second trumpet player on the left.",
        "Set the other lines of text in white.",
        "The first line is too long; break it in two.",
        "Raise the contrast of the title against the sky and use a better typeface.",
        "Make both figures larger and give the image more depth.",
        "Place the image of the cup higher.",
        "Give the poster a warmer tone and the image a frame.",
        "Include a reference to the festival.",
        "Picture two musicians side by side.",
        "添加两张桌子，地图一角放在左边，另一个杯子放在右边。",
        "提高标题与背景的对比度，使用另外一种颜色。",
        "把主体放在图的中央，标题放在第一行。",
    ],
)
def test_ordinary_advice_is_not_taken_for_it(words):
    assert speaks_of_another(words) == ""


def test_eight_threads_share_one_judge_and_each_gets_its_own_answer(serve):
    def echo(handler: Any, body: dict[str, Any]) -> None:
        prompt = body["messages"][1]["content"][-1]["text"].rsplit(" ", 1)[1]
        reply(handler, chat(json.dumps({"content_suggestions": prompt, "style_suggestions": "y"})))

    server = serve(echo)
    server.http.RequestHandlerClass.protocol_version = "HTTP/1.1"  # connections are kept and used again
    critic, gate = judge(server), threading.Barrier(8)

    def ask(number: int) -> list[str]:
        gate.wait()
        return [critic.suggest(POSTER, f"poster {number}-{turn}").content for turn in range(5)]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == [[f"{n}-{turn}" for turn in range(5)] for n in range(8)]
