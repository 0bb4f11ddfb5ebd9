from random import Random

import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM

from posterkit.datagen.planned_requests import planned_requests
from posterkit.datagen.planner_conversations import conversation
from posterkit.layout.planners.questions import SYSTEM
from posterkit.layout.planners.retrieval_planner import shipped_index
from posterkit.llm.local import LocalModel
from posterkit.training.adapters.language import LanguageAdapter, drawn_tokens

SMALL = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2,
         "num_key_value_heads": 1, "max_position_embeddings": 512}  # fmt: skip
SAID = [conversation(one, "coarse", shipped_index(), 1, Random(0)) for one in planned_requests(3)]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return LanguageAdapter.from_config(SMALL)


@pytest.fixture(scope="module")
def chatty(tmp_path_factory):
    """The folder of a model whose output is not tied to what it reads, so that it says something untrained."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("chatty")
    LanguageAdapter.from_config({**SMALL, "tie_word_embeddings": False}).save(folder)
    return str(folder)


def rows(model, said=SAID):
    return [model.read(SYSTEM, one.question, one.answer) for one in said]


def test_the_loss_is_that_of_the_stock_model_over_the_answer_alone(model):
    found = model.answer_loss(model.collate(rows(model)))
    for row, loss in zip(rows(model), found, strict=True):
        labels = row["ids"].masked_fill(~row["answer"], -100)
        with torch.no_grad():
            stock = model.module(input_ids=row["ids"][None], labels=labels[None]).loss
        assert loss.item() == pytest.approx(stock.item(), rel=1e-4)


def test_an_answer_ends_with_the_token_that_ends_generation(model):
    for row in rows(model):
        assert row["ids"][-1] == model.tokenizer.eos_token_id and row["answer"][-1]


def test_saved_weights_have_half_the_bytes_and_open_as_float32(model, tmp_path):
    model.save(tmp_path)
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        assert {file.get_tensor(name).dtype for name in file.keys()} == {torch.bfloat16}  # noqa: SIM118
    opened = AutoModelForCausalLM.from_pretrained(tmp_path, dtype="auto")
    assert opened.dtype == torch.float32 and opened.config.tie_word_embeddings
    for name, weight in opened.state_dict().items():
        assert torch.equal(weight, model.module.state_dict()[name].bfloat16().float())


def test_a_saved_model_reads_and_answers_through_the_tokenizer_that_it_was_trained_with(model, tmp_path):
    model.save(tmp_path)  # whose config says Qwen2, for which transformers has a tokenizer of its own
    opened, local = LanguageAdapter.from_folder(str(tmp_path)), LocalModel(str(tmp_path))
    for own, found in zip(rows(model), rows(opened), strict=True):
        assert torch.equal(own["ids"], found["ids"])
    beginnings = ['{"boxes": [{"id": ', '{"reasoning": "']  # one token each to it alone
    (found,) = local.choice_probabilities(SYSTEM, [SAID[0].question], beginnings)
    row = rows(model)[0]
    with torch.no_grad():
        logits = opened.module(input_ids=row["ids"][None, : int(row["answer"].int().argmax())]).logits[0, -1]
    ids = model.tokenizer.convert_tokens_to_ids(beginnings)
    assert found == pytest.approx(logits[ids].softmax(0).tolist(), rel=1e-4)


def test_a_lora_is_merged_when_it_is_saved(model, tmp_path):
    model.save(tmp_path / "base")
    trained = LanguageAdapter.from_folder(str(tmp_path / "base"))
    trained.add_lora(2, 4, ["q_proj", "v_proj"])
    for name, weight in trained.module.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.3)
    batch = trained.collate(rows(trained))
    with torch.no_grad():
        found = trained.answer_loss(batch)
        trained.save(tmp_path / "merged")
        opened = LanguageAdapter.from_folder(str(tmp_path / "merged"))
        again = opened.answer_loss(batch)
        before = LanguageAdapter.from_folder(str(tmp_path / "base")).answer_loss(batch)
    assert torch.allclose(found, again, atol=1e-4) and not torch.allclose(found, before, atol=1e-3)


def test_several_questions_in_one_batch_get_the_answers_that_each_gets_alone(model, chatty):
    local = LocalModel(chatty, temperature=0.0, max_new_tokens=12)
    questions = [one.question for one in SAID]
    assert len({len(row["ids"]) for row in rows(model)}) > 1  # so that some are padded
    assert local.ask_all("", questions) == [local.ask("", one) for one in questions]


def test_another_question_is_another_draw_and_the_same_one_the_same(chatty):
    local = LocalModel(chatty, temperature=1.0, max_new_tokens=12)
    first, again, other = (local.ask("", one.question) for one in (SAID[0], SAID[0], SAID[1]))
    assert first == again != other


def test_likelihoods_are_those_of_the_stock_model_and_zero_off_the_answer(model):
    batch = model.collate(rows(model))
    found = model.log_probs(batch, temperature=0.7)
    for at, row in enumerate(rows(model)):
        with torch.no_grad():
            stock = (model.module(input_ids=row["ids"][None]).logits[0, :-1] / 0.7).log_softmax(-1)
        each = stock.gather(1, row["ids"][1:, None])[:, 0] * row["answer"][1:]
        assert torch.allclose(found[at, : len(each)], each, atol=1e-4) and not found[at, len(each) :].any()


def test_the_likeliest_answers_are_those_of_stock_generation(chatty):
    model, questions = LanguageAdapter.from_folder(chatty), [one.question for one in SAID]
    found = model.sample(SYSTEM, questions, 2, torch.Generator().manual_seed(0), temperature=1e-4, most=12)
    assert len(found) == 2 * len(SAID)
    for at, row in enumerate(found):
        asked = row["ids"][~row["answer"]][None]
        with torch.no_grad():
            stock = model.module.generate(input_ids=asked, attention_mask=torch.ones_like(asked), do_sample=False,
                                          max_new_tokens=12)[0, asked.shape[1] :]  # fmt: skip
        assert row["ids"][row["answer"]].tolist() == stock.tolist(), at
        assert model.words(row) == model.tokenizer.decode(stock, skip_special_tokens=True)


def test_the_same_random_numbers_give_the_same_answers_and_others_other_ones(model):
    def drawn(seed: int):
        return [row["ids"].tolist() for row in model.sample(SYSTEM, [SAID[0].question], 3,
                                                             torch.Generator().manual_seed(seed), most=8)]  # fmt: skip

    assert drawn(1) == drawn(1) != drawn(2)
    assert len({tuple(one) for one in drawn(1)}) > 1


def test_a_model_that_trains_with_checkpoints_draws_what_it_would_draw_else(chatty):
    model = LanguageAdapter.from_folder(chatty)

    def drawn():
        rows = model.sample(SYSTEM, [SAID[0].question], 2, torch.Generator().manual_seed(0), most=8)
        return [row["ids"].tolist() for row in rows]

    model.module.eval()
    before = drawn()
    model.module.gradient_checkpointing_enable({"use_reentrant": False})
    model.module.train()
    assert drawn() == before and model.module.training


def test_tokens_are_drawn_as_often_as_they_are_likely():
    logits = torch.tensor([[0.5, 0.2, 0.3]]).log().repeat(20_000, 1)
    drawn = drawn_tokens(logits, 1.0, torch.Generator().manual_seed(0)).bincount(minlength=3) / 20_000
    assert torch.allclose(drawn, torch.tensor([0.5, 0.2, 0.3]), atol=0.012)
    cut = drawn_tokens(logits, 0.6, torch.Generator().manual_seed(0)).bincount(minlength=3) / 20_000
    assert cut[1] == 0 and cut[0].item() == pytest.approx(0.5 / 0.8, abs=0.012)  # two tokens reach six tenths
