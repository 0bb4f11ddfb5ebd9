"""Reading JSON answers: what is taken, what is refused, and what must neither crash nor hang."""

from __future__ import annotations

import json
import time

import pytest

from posterkit.generate.choose import NoneScored
from posterkit.llm.answers import read_answer
from posterkit.llm.client import AnswerError
from posterkit.messages import error_line
from posterkit.rewards import RewardError

MARK = {"type": "number", "minimum": 0, "maximum": 1}
SCHEMA = {
    "type": "object",
    "properties": {"mark": MARK, "why": {"type": "string"}, "clean": {"type": "boolean"}},
    "required": ["mark"],
}
TEXTS = {
    "type": "object",
    "properties": {
        "texts": {
            "type": "array",
            "maxItems": 3,
            "items": {
                "type": "object",
                "properties": {
                    "text": {"type": "string"},
                    "box": {"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 4},
                    "role": {"type": "string", "enum": ["major", "minor"]},
                },
                "required": ["text", "box", "role"],
            },
        }
    },
    "required": ["texts"],
}
ONE = {"text": "JAZZ", "box": [0, 1, 2, 3], "role": "major"}


@pytest.mark.parametrize(
    "answer",
    [
        '{"mark": 0.5}',
        '```json\n{"mark": 0.5}\n```',
        'Sure! Here it is:\n\n{"mark": 0.5}\n\nI hope that helps {really}.',
        'The set [of rules] says {"mark": 0.5,}',
        '{"mark": 0.5, "why": null, "mood": {"a": [1, 2,],},}',
        '[{"mark": 0.5}]',
        '{"mark": "0.5"}',
        '{"mark": " 50% "}',
        '<think>{"mark": 0.9} or rather</think>{"mark": 0.5}',
        '{"rubbish": 1} {"mark": 0.5}',
        '{"mark": 0.5, "clean": None}',
        '{"mark": 5e-1}',
    ],
)
def test_the_wrapping_of_an_answer_does_not_matter(answer):
    assert read_answer(answer, SCHEMA, "m") == {"mark": 0.5}


@pytest.mark.parametrize(
    ("said", "meant"),
    [("true", True), ('"yes"', True), ('"No."', False), ("0", False), ("1", True), ('"是"', True), ("True", True)],
)
def test_yes_and_no_are_understood(said, meant):
    assert read_answer(f'{{"mark": 1, "clean": {said}}}', SCHEMA, "m")["clean"] is meant


def test_strings_keep_brackets_commas_and_quotes_and_lose_control_codes():
    answer = '{"mark": 1, "why": "a \\"B,]\\" {c},} \\u001b[31m\nnext \\ud800"}'
    assert read_answer(answer, SCHEMA, "m")["why"] == 'a "B,]" {c},}  [31m\nnext'


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ('{"why": "x"}', 'the answer lacks "mark"'),
        ('{"mark": null}', 'lacks "mark"'),
        ("I cannot judge posters.", "holds no JSON; found: I cannot judge posters."),
        ("", "holds no JSON; found: nothing"),
        ("<html><body>busy</body></html>", "holds no JSON; found: <html>"),
        ('{"mark": NaN}', "holds no JSON"),
        ('{"mark": Infinity}', "holds no JSON"),
        ('{"mark": 1e999}', "not a number"),
        ('{"mark": 85}', 'has 85 at "mark", outside 0 to 1'),
        ('{"mark": "4/5"}', "not a number"),
        ('{"mark": true}', "not a number"),
        ('{"mark": "high"}', "'high' at \"mark\", not a number"),
        ('{"mark": 0.5', "holds no JSON"),
        ('{"mark": 1, "clean": "perhaps"}', "not yes or no"),
        ('[{"mark": 1}, {"mark": 0}]', "list of 2"),
        ('{"mark": ' + "9" * 5000 + "}", "holds no JSON"),
    ],
)
def test_what_cannot_be_used_is_one_line_that_says_why(answer, fault):
    with pytest.raises(AnswerError) as error:
        read_answer(answer, SCHEMA, "qwen at home")
    assert fault in str(error.value) and str(error.value).startswith("qwen at home: the answer ")
    assert str(error.value).isprintable() and len(str(error.value)) < 300


def test_scales_are_read_only_as_the_schema_states_them():
    def mark(said: str, **bounds: float) -> float:
        schema = {"type": "object", "properties": {"m": {"type": "number", **bounds}}, "required": ["m"]}
        return read_answer(json.dumps({"m": said}), schema, "m")["m"]

    assert mark("4/5", minimum=1, maximum=5) == 4
    assert mark("7 / 10", minimum=0, maximum=10) == 7
    assert mark("80%", minimum=0, maximum=100) == 80
    assert mark("80%", minimum=0, maximum=1) == 0.8
    for said, bounds in (("7/10", (1, 5)), ("80%", (1, 5)), ("80%", (0, 10))):
        with pytest.raises(AnswerError, match="not a number"):
            mark(said, minimum=bounds[0], maximum=bounds[1])


def test_a_whole_number_may_be_written_with_a_point_but_not_with_a_fraction():
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    assert read_answer('{"n": 7.0}', schema, "m") == {"n": 7}
    with pytest.raises(AnswerError, match="not a whole number"):
        read_answer('{"n": 7.5}', schema, "m")


@pytest.mark.parametrize(
    "answer", [{"texts": [ONE]}, [ONE], {"texts": ONE}, [{"texts": [ONE]}], {"texts": [ONE | {"role": " Major "}]}]
)
def test_a_list_may_stand_alone_or_be_a_single_thing(answer):
    assert read_answer(json.dumps(answer), TEXTS, "m") == {"texts": [ONE]}


def test_nothing_at_all_is_an_empty_list():
    assert read_answer('{"texts": []}', TEXTS, "m") == read_answer('{"texts": null}', TEXTS, "m") == {"texts": []}


@pytest.mark.parametrize(
    ("texts", "fault"),
    [
        ([ONE, {"text": "x", "box": [1, 2, 3], "role": "minor"}], r'3 items at "texts\[1\].box"'),
        ([ONE | {"role": "huge"}], "not one of major, minor"),
        ([ONE] * 4, '4 items at "texts"'),
        ([{"text": "x"}], r'lacks "texts\[0\].box"'),
    ],
)
def test_a_list_with_a_wrong_item_names_it(texts, fault):
    with pytest.raises(AnswerError, match=fault):
        read_answer(json.dumps({"texts": texts}), TEXTS, "m")


HOSTILE = {
    "brackets": "[" * 1_000_000,
    "braces": "{" * 90_000,
    "pairs": "[]" * 49_000,
    "nested": '{"mark":' * 5_000 + "1" + "}" * 5_000,
    "half strings": '{"' * 45_000,
    "backslashes": '{"mark": "' + "\\" * 90_000,
    "escaped quotes": "{" + '\\"' * 49_000,
    "objects": '{"a":{"b":1}}' * 7_000,
    "blanks": '{"mark"' + " " * 90_000 + "x}",
    "commas": '{"mark": 1' + "," * 90_000 + "}",
    "digits": '{"mark": "' + "1" * 90_000 + '"}',
    "thoughts": "<think>" * 14_000,
    "words": "a" * 99_999,
    "null bytes": "\0" * 99_000,
}


@pytest.mark.parametrize("answer", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_answer_costs_an_error_and_no_time(answer):
    start = time.monotonic()
    with pytest.raises(AnswerError) as error:
        read_answer(answer, SCHEMA, "m")
    assert time.monotonic() - start < 2
    assert str(error.value).isprintable() and len(str(error.value)) < 300


@pytest.mark.parametrize(
    ("fault", "line"),
    [
        (AnswerError("eye: no usable answer"), "eye: no usable answer"),
        (RewardError("http://a:1/worths: HTTP 500"), "http://a:1/worths: HTTP 500"),
        (NoneScored("none of 2 candidates"), "none of 2 candidates"),
        (FileNotFoundError(2, "No such file or directory", "a.png"), "a.png: no such file or directory"),
        (OSError(98, "Address already in use"), "address already in use"),
        (ValueError("two\nlines"), "two lines"),
        (KeyError("size"), "KeyError: 'size'"),
        (RuntimeError("CUDA out of memory"), "RuntimeError: CUDA out of memory"),
        (AnswerError(), "AnswerError"),
        (AssertionError(), "AssertionError"),
    ],
)
def test_a_fault_names_its_class_only_where_that_tells_something(fault, line):
    assert error_line(fault) == line
