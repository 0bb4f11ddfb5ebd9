"""Quoted strings: every kind of mark, nesting, escapes, and apostrophes that are none."""

from __future__ import annotations

import pytest

from posterkit.prompts import in_quotes, quoted_texts, quotes, without_quotes


@pytest.mark.parametrize(
    ("prompt", "texts"),
    [
        ('A jazz poster "JAZZ NIGHT", below it "Friday 8 pm"', ["JAZZ NIGHT", "Friday 8 pm"]),
        ("A jazz poster 'JAZZ NIGHT'.", ["JAZZ NIGHT"]),
        ("“Curly” and ‘single curly’", ["Curly", "single curly"]),
        ("„Deutsch“, „polsku”, ”svenska”, ‚einfach‘", ["Deutsch", "polsku", "svenska", "einfach"]),
        (
            "«guillemets» »umgekehrt« ‹simples› «\u00a0Bonjour\u202f»",
            ["guillemets", "umgekehrt", "simples", "Bonjour"],
        ),
        ("标题「爵士之夜」，『副标题』，《音乐会》，〈小〉", ["爵士之夜", "副标题", "音乐会", "小"]),
        ('标题"爵士之夜"和“周五”', ["爵士之夜", "周五"]),
        ("标题'爵士之夜'，＂全角＂", ["爵士之夜", "全角"]),
        ('„Sommerfest" und “Eintritt frei”', ["Sommerfest", "Eintritt frei"]),
        ('„Das 12" Album“ und „Live"', ['Das 12" Album', "Live"]),
        ("no quotes at all", []),
        ("", []),
        ('"" and " "', []),
    ],
)
def test_every_kind_of_quotation_mark_is_read_in_order(prompt, texts):
    assert quoted_texts(prompt) == texts


@pytest.mark.parametrize(
    ("prompt", "texts"),
    [
        (r'say "He said \"hi\" now"', ['He said "hi" now']),
        (r"say 'It\'s here'", ["It's here"]),
        (r'two lines "ONE\nTWO"', ["ONE\nTWO"]),
        ('real lines "ONE\r\nTWO"', ["ONE\nTWO"]),
        (r'a backslash "A\\B" and "C\D"', ["A\\B", "C\\D"]),
        (r"escaped once too often: \"TITLE\" and \"LINE\"", ["TITLE", "LINE"]),
        ("“He said “hi” today”", ["He said “hi” today"]),
        ("“It's 'here'”", ["It's 'here'"]),
        ("「彼は『はい』と」", ["彼は『はい』と"]),
        ('"Don\'t stop"', ["Don't stop"]),
        ("„Er sagte ‚hallo‘“", ["Er sagte ‚hallo‘"]),
    ],
)
def test_what_stands_inside_is_verbatim_and_the_outermost_quote_counts(prompt, texts):
    assert quoted_texts(prompt) == texts


@pytest.mark.parametrize(
    ("prompt", "texts"),
    [
        ("don't, can't, it's rock 'n' roll", []),
        ("don’t, it’s rock ’n’ roll", []),
        ("the '90s, 'til dawn, 'twas", []),
        ("the dogs' day 'SALE'", ["SALE"]),
        ("rock 'n' roll says 'Don't Stop'", ["Don't Stop"]),
        ("‘Don’t Stop’, don’t", ["Don’t Stop"]),
        ("'Farmers' Market'", ["Farmers' Market"]),
        ("'Farmers' and 'Butchers'", ["Farmers", "Butchers"]),
        ("'Livin' on a Prayer' live", ["Livin' on a Prayer"]),
        ("'rock 'n' roll'", ["rock 'n' roll"]),
        ("('small')", ["small"]),
        ("James' and Thomas' band", []),
    ],
)
def test_an_apostrophe_is_no_quotation_mark(prompt, texts):
    assert quoted_texts(prompt) == texts


@pytest.mark.parametrize(
    ("prompt", "texts"),
    [
        ('24"x36" with "SALE"', ["SALE"]),
        ("24” x 36” with “SALE”", ["SALE"]),
        ('"ROUTE 66" on 18" paper', ["ROUTE 66"]),
        ('unclosed "abc', []),
        ('an unclosed " and then "TITLE"', ["TITLE"]),
        ('"one\n\ntwo" then "THREE"', ["THREE"]),
        ("》stray」 ” and “TITLE”", ["TITLE"]),
    ],
)
def test_inches_and_marks_that_nothing_closes_are_no_quotes(prompt, texts):
    assert quoted_texts(prompt) == texts


@pytest.mark.parametrize(
    "text", ["JAZZ", 'He said "hi"', "two\nlines", "a gap\n\nbetween", "C:\\new", "«»“”‘’'", 'end"']
)
def test_a_text_put_in_quotes_is_read_back_letter_for_letter(text):
    assert quoted_texts(f"before {in_quotes(text)} after") == [text]


def test_spans_cover_the_marks():
    prompt = "a “B” c 'D'."
    assert [prompt[quote.start : quote.end] for quote in quotes(prompt)] == ["“B”", "'D'"]
    assert without_quotes(prompt) == "a   c  ."


def test_a_text_longer_than_any_on_a_poster_is_no_quote():
    assert quoted_texts(f'"{"x" * 1000}"') == ["x" * 1000]
    assert quoted_texts(f'"{"x" * 1001}"') == []


@pytest.mark.parametrize("marks", ["'a" * 2000, '"' * 4001, "“" * 3000, "\\" * 5000, " 'n" * 1500])
def test_a_prompt_full_of_marks_quotes_nothing_and_does_not_hide_the_title_below(marks):
    assert quoted_texts(marks) == []
    assert quoted_texts(f"{marks}\n\n“TITLE”") == ["TITLE"]
