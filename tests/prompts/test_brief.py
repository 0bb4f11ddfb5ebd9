"""PosterBrief: from a prompt, a row and an answer; scripts; the rule-based expander and its contract."""

from __future__ import annotations

import subprocess
import sys

import pytest

from posterkit.prompts import COLORS, PosterBrief, expand, expand_by_rules, quoted_texts, scripts, unsupported_scripts


def test_the_prompt_is_kept_as_it_was_written():
    prompt = '  A "JAZZ"  poster\n'
    assert PosterBrief.from_prompt(prompt).prompt == prompt


def test_a_full_prompt_is_read():
    brief = PosterBrief.from_prompt('A vintage jazz concert poster, navy and gold, warm and playful, "JAZZ NIGHT"')
    assert brief.texts == ["JAZZ NIGHT"]
    assert brief.colors == ["navy", "yellow"]
    assert (brief.theme, brief.style, brief.mood) == ("music", "retro", ["warm", "playful"])


@pytest.mark.parametrize(
    ("prompt", "colors"),
    [
        ("red, green and red again", ["red", "green"]),
        ("a grey cat, crimson sky", ["gray", "red"]),
        ("dark blue, navy blue and light blue", ["navy", "blue"]),
        ("bright red", ["red"]),
        ("红色和深蓝色的背景", ["red", "navy"]),
        ("ein blaues Plakat mit weißer Schrift", ["blue", "white"]),
        ("fond bleu, un vert clair", ["blue", "green"]),
        ("синий фон", ["blue"]),
        ("no red, without green, not blue but yellow", ["yellow"]),
        ('"RED HOT" in black', ["black"]),
        ("a bored, infrared, blackboard, greenhouse", []),
        ("плакат с сердцем, концерт Сергея", []),
        ("Белград, сервис, голуби, чернила", []),
        ("Gründung einer Firma im Schwarzwald, grausam", []),
        ("чёрная кошка, в сером, синими и зелёными буквами", ["black", "gray", "blue", "green"]),
        ("ein grünes Feld, schwarzer Grund, Weiß und Türkis", ["green", "black", "white", "teal"]),
    ],
)
def test_colour_words_become_names_of_the_shared_table(prompt, colors):
    assert PosterBrief.from_prompt(prompt).colors == colors
    assert set(colors) <= set(COLORS)


@pytest.mark.parametrize(
    ("prompt", "theme", "style", "mood"),
    [
        ("art deco hotel", None, "art deco", []),
        ("an art exhibition", "art", None, []),
        ("a dark blue wall", None, None, []),
        ("极简的音乐海报，宁静", "music", "minimal", ["calm"]),
        ("Christmas market, cozy", "holiday", None, ["warm"]),
        ("watercolour flowers", "nature", "watercolor", []),
        ("it says 'FOOD FESTIVAL' in bold", None, None, ["bold"]),
    ],
)
def test_theme_style_and_mood_are_found_outside_quotes(prompt, theme, style, mood):
    brief = PosterBrief.from_prompt(prompt)
    assert (brief.theme, brief.style, brief.mood) == (theme, style, mood)


def test_further_texts_stand_behind_the_quoted_ones_and_are_not_repeated():
    assert PosterBrief.from_prompt('a "TITLE"', ["line", "TITLE"]).texts == ["TITLE", "line"]


def test_given_texts_are_tidied_so_that_an_expansion_can_quote_them():
    texts = [" A ", "ONE\r\nTWO\rTHREE"]
    brief = PosterBrief.from_prompt('a "TITLE"', ["TITLE\n", *texts])
    assert brief.texts == ["TITLE", "A", "ONE\nTWO\nTHREE"]
    result = expand(brief)
    assert result.used and quoted_texts(result.prompt) == brief.texts


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("JAZZ 2026!", ["latin"]),
        ("Žluťoučký", ["latin"]),
        ("爵士 NIGHT", ["han", "latin"]),
        ("佐々木", ["han"]),
        ("コーヒー ひらがな", ["kana"]),
        ("ＦＵＬＬ ｶﾅ", ["latin", "kana"]),
        ("ДЖАЗ Ελλάδα", ["cyrillic", "greek"]),
        ("مرحبا שלום สวัสดี नमस्ते 안녕", ["arabic", "hebrew", "thai", "devanagari", "hangul"]),
        ("24 € – 5 % ★", []),
        ("30 µm, 1ª", ["greek", "latin"]),
    ],
)
def test_scripts_are_those_of_the_letters(text, found):
    assert scripts(text) == found


def test_texts_in_scripts_that_the_model_does_not_know_are_named():
    texts = ["JAZZ NIGHT", "爵士之夜", "ДЖАЗ"]
    assert unsupported_scripts(texts, ("Latin",)) == {"爵士之夜": ["han"], "ДЖАЗ": ["cyrillic"]}
    assert unsupported_scripts(texts, ("latin", "han", "cyrillic")) == {}
    assert unsupported_scripts(["2026"], ()) == {}


PROMPTS = [
    'A jazz poster "JAZZ NIGHT", small "Friday 8 pm"',
    "",
    "夜の海「夜」",
    r'He "said \"hi\"" in 24"x36"',
    "Rock 'n' roll 'Don't Stop'",
    '"one\ntwo" lines!',
    "don't",
]


@pytest.mark.parametrize("prompt", PROMPTS)
def test_the_rules_add_words_and_keep_every_text(prompt):
    result = expand(prompt)
    assert result.used and result.by == "rules" and result.why_not is None
    assert quoted_texts(result.prompt) == quoted_texts(prompt)
    assert result.prompt.startswith(prompt.strip() or "A poster")
    assert len(result.prompt) > len(prompt)


def test_the_rules_add_only_what_the_prompt_leaves_open():
    said = expand_by_rules(PosterBrief.from_prompt("A retro music poster in red, calm"))
    assert "style" not in said and "mood" not in said and "background" not in said
    left_open = expand_by_rules(PosterBrief.from_prompt("A music poster"))
    assert "retro style, bold mood, on a navy background" in left_open.replace("Retro", "retro")


def test_the_rules_quote_texts_that_the_prompt_lacks():
    assert quoted_texts(expand(PosterBrief.from_prompt('a "TITLE"', ['say "hi"'])).prompt) == ["TITLE", 'say "hi"']


BRIEF = PosterBrief.from_prompt('A jazz poster "JAZZ NIGHT", "Friday 8 pm"')


@pytest.mark.parametrize(
    "answer",
    [
        'A smoky club, the title "JAZZ NIGHT" in gold, "Friday 8 pm" below.',
        "Below “Friday 8 pm”, above “JAZZ NIGHT”.",
        '<think>They want "COOL JAZZ".</think>\n\nTitle "JAZZ NIGHT" over "Friday 8 pm".',
        'Sure:\n```text\nTitle "JAZZ NIGHT" over "Friday 8 pm".\n```\nAnything else?',
        'Sure:\r\n```text\r\nTitle "JAZZ NIGHT" over\r\n"Friday 8 pm".\r\n```',
        '**Rewritten prompt:** Title "JAZZ NIGHT" over "Friday 8 pm".',
        'Title "JAZZ NIGHT"\x07 over\u200b "Friday 8 pm".',
    ],
)
def test_an_answer_that_keeps_the_texts_is_used(answer):
    result = expand(BRIEF, lambda brief: answer, by="a model")
    assert result.used and result.original == BRIEF.prompt
    assert sorted(quoted_texts(result.prompt)) == sorted(BRIEF.texts)
    assert "think" not in result.prompt and "`" not in result.prompt and "rompt:" not in result.prompt
    assert result.prompt.replace("\n", " ").isprintable()


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("", "the answer is empty"),
        ("<think>endless thoughts", "the answer is empty"),
        ('Title "JAZZ NIGHT".', "lacks the text 'Friday 8 pm'"),
        ('Title "Jazz Night" over "Friday 8 pm".', "lacks the text 'JAZZ NIGHT'"),
        ('Title "JAZZ NIGHT," over "Friday 8 pm".', "lacks the text 'JAZZ NIGHT'"),
        ('Title "JAZZ  NIGHT" over "Friday 8 pm".', "lacks the text"),
        ('"JAZZ NIGHT" "Friday 8 pm" "FREE ENTRY"', "adds the text 'FREE ENTRY'"),
        ('"JAZZ NIGHT" "Friday 8 pm", again "JAZZ NIGHT"', "adds the text 'JAZZ NIGHT'"),
        ('"JAZZ NIGHT" "Friday 8 pm" ' + "very " * 1000, "at most 4000"),
    ],
)
def test_an_answer_that_breaks_the_contract_leaves_the_prompt_as_it_was_and_says_so(answer, why):
    with pytest.warns(UserWarning, match="the prompt stays as it is: a model: "):
        result = expand(BRIEF, lambda brief: answer, by="a model")
    assert (result.prompt, result.used) == (BRIEF.prompt, False)
    assert why in str(result.why_not)


def test_briefs_load_neither_torch_nor_a_client():
    code = "import sys, posterkit.prompts; print(sorted({'torch', 'httpx', 'transformers'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
