from functools import partial
from random import Random

import pytest
from transformers import AutoTokenizer

from posterkit.datagen.plan_groups import PlanGroups
from posterkit.datagen.planned_requests import planned_requests
from posterkit.datagen.planner_conversations import KINDS, conversation
from posterkit.layout import LayoutRequest
from posterkit.layout.ground import Ground
from posterkit.layout.planners.questions import SYSTEM, coarse_question
from posterkit.layout.planners.retrieval_planner import shipped_index
from posterkit.training.plan_tokenizer import EXAMPLES, brief_tokenizer, plan_tokenizer

PLANNED, INDEX, TOKENIZER = list(planned_requests(10)), shipped_index(), plan_tokenizer()


def tokens(question: str) -> list[str]:
    return TOKENIZER.convert_ids_to_tokens(TOKENIZER.encode(question, add_special_tokens=False))


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_comes_back_letter_for_letter(kind):
    for number, one in enumerate(PLANNED):
        said = conversation(one, kind, INDEX, 2, Random(number)).answer
        ids = TOKENIZER.encode(said, add_special_tokens=False)
        assert TOKENIZER.decode(ids) == said and TOKENIZER.unk_token_id not in ids


@pytest.mark.parametrize(("kind", "ends"), [
    ("coarse", ["coarse"]), ("position", ["position"]), ("size", ["size"]), ("numbers", ["numbers"]),
    ("merged", ["position", "size", "numbers"]),
])  # fmt: skip
def test_a_question_ends_with_what_is_asked_and_has_no_unknown_token(kind, ends):
    for number, one in enumerate(PLANNED):
        read = tokens(conversation(one, kind, INDEX, 6, Random(number)).question)
        assert read[-len(ends) :] == ends and "<unk>" not in read
        assert read.count("canvas") == EXAMPLES + 1


def test_of_a_text_its_length_and_width_are_read_and_never_what_it_says():
    texts = ["id 7: title 'canvas'", "音乐节", 'She said "12"', "a\nb; coarse"]
    request = LayoutRequest.of_texts((832, 1216), texts, ["title", "subtitle", "body", "body"], description="canvas 5")
    read = tokens(coarse_question(request, Ground(request), []))
    assert read == [
        "canvas", "109", "160", "id", "0", "title", "narrow", "20", "id", "1", "subtitle", "wide", "3",
        "id", "2", "body", "narrow", "13", "id", "3", "body", "narrow", "11", "coarse",
    ]  # fmt: skip


def test_a_saved_tokenizer_opens_as_any_other_and_its_template_ends_the_question(tmp_path):
    TOKENIZER.save_pretrained(tmp_path)
    opened = AutoTokenizer.from_pretrained(tmp_path)
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": "Place every id."}]
    ids = opened.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, return_dict=True)[
        "input_ids"
    ]
    assert opened.convert_ids_to_tokens(ids) == ["<question>", "coarse", "<answer>"]


def test_a_reasoning_comes_back_letter_for_letter_and_a_quoted_text_is_one_token():
    groups = [PlanGroups(0)[number][1] for number in range(6)]
    said = [one.reasoning for group in groups for one in (*group.positives, *group.negatives)]
    tokenizer = brief_tokenizer((*said, *(group.brief for group in groups)))
    ids_of = partial(tokenizer.encode, add_special_tokens=False)
    for text in said:
        assert tokenizer.decode(ids_of(text)) == text and tokenizer.unk_token_id not in ids_of(text)
    assert ids_of(" “Wild Flowers”") == ids_of(" “Never said before”") and len(ids_of(" “Wild Flowers”")) == 1
    assert ids_of(" text 2") != ids_of(" text 3") and len(ids_of(" text 2")) == 1
    assert tokenizer.unk_token_id in ids_of("A word that nobody said: sesquipedalian")
