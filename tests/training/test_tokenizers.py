"""Planned tokenizers."""

from __future__ import annotations

from transformers import CLIPTokenizer, Qwen2Tokenizer, T5TokenizerFast

from posterkit.pipelines.instruction import TEMPLATE, prefix_length
from posterkit.training.tokenizers import clip_tokenizer, qwen_tokenizer, t5_tokenizer

TEXTS = [" a poster of the mountains", " the other mountain", " night", " nightly"]


def test_the_edit_templates_prefix_counts_64_tokens_like_qwens_own():
    assert prefix_length(qwen_tokenizer([TEMPLATE])) == 64


def test_every_planned_word_is_one_token_whatever_was_planned_before_or_after():
    words = ["poster", "mountains", "mountain", "nightly", "other"]
    tokenizer, clip, t5 = qwen_tokenizer([TEMPLATE, *TEXTS]), clip_tokenizer(TEXTS), t5_tokenizer(TEXTS)
    assert all(len(tokenizer(f" {word}")["input_ids"]) == 1 for word in words)
    assert all(len(clip.tokenize(word)) == 1 for word in words)
    assert t5.tokenize("the mountains, nightly") == ["▁the", "▁mountains", ",", "▁nightly"]


def test_what_was_not_planned_is_spelt_and_comes_back_letter_for_letter():
    text = ' "Zyx ÄÖ 日本" 7%'
    tokenizer = qwen_tokenizer(TEXTS)
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    pieces = t5_tokenizer(TEXTS).tokenize('"ZYX é Ω Ж"')
    assert [piece for piece in pieces if piece != "▁"] == ['"', "Z", "Y", "X", "é", "Ω", "Ж", '"']


def test_stock_classes_read_the_saved_tokenizers_alike(tmp_path):
    text = " a poster of the nightly Zoo"
    for index, (tokenizer, stock) in enumerate(
        [
            (qwen_tokenizer([TEMPLATE, *TEXTS]), Qwen2Tokenizer),
            (clip_tokenizer(TEXTS, 32), CLIPTokenizer),
            (t5_tokenizer(TEXTS, 72), T5TokenizerFast),
        ]
    ):
        tokenizer.save_pretrained(tmp_path / str(index))
        again = stock.from_pretrained(tmp_path / str(index))
        assert again(text)["input_ids"] == tokenizer(text)["input_ids"]
        assert again.model_max_length == tokenizer.model_max_length
