"""Ordinary words in seven languages become scenes that mini can draw."""

from __future__ import annotations

import pytest

from posterkit.prompts.scene import Scene, nearest_color, read_scene
from posterkit.prompts.vocabulary import COLORS, WORDS
from posterkit.synthetic import SyntheticPosters

PROMPTS = {
    "a lighthouse at night": "lighthouse navy background",
    "a red fox on a teal background": "red fox teal background",
    "a cute bear wearing a blue scarf, mint": "bear blue scarf green background",
    "deep red wine bottle, background #ffcc00": "red bottle yellow background",
    "A silver robot on the left, orange background, halftone": "gray robot left orange background halftone",
    "minimalist poster of a pear, pale blue background, calm": "pear blue background flat calm",
    "Ein blauer Wal, hellgelber Hintergrund": "blue whale yellow background",
    "Grüne Rakete vor Dunkelblau": "green rocket navy background",
    "Une guitare rouge sur fond noir": "red guitar black background",
    "un perro azul con gafas, fondo rosa claro": "blue fox glasses pink background",
    "Белый маяк, тёмно-синий фон": "white lighthouse navy background",
    "深蓝色背景上的红色帆船": "red sailboat navy background",
    "紺色の背景に黄色いギター": "yellow guitar navy background",
    "snowy mountains under a sunset": "mountains snow orange background",
    "coffee, no red, on brown": "coffee brown background",
    "a bottle on a terracotta background": "bottle orange background",
    "eine Flasche auf lachsfarbenem Hintergrund": "bottle pink background",
    "une guitare sur fond corail": "guitar orange background",
    "маяк на мятном фоне": "lighthouse green background",
    "咖啡馆开业海报": "coffee",
}


@pytest.mark.parametrize(("prompt", "caption"), PROMPTS.items(), ids=PROMPTS)
def test_a_prompt_becomes_a_caption_in_minis_language(prompt, caption):
    assert read_scene(prompt).caption() == caption


def test_what_mini_cannot_draw_becomes_its_nearest_kin_and_is_said():
    scene = read_scene("a violin concert in an old church")
    assert scene.subject == "bars"
    assert scene.notes == ('mini draws no "violin"; it drew sound bars instead',)


@pytest.mark.parametrize(("mood", "subject"), [("calm", "lights"), ("elegant", "ribbons"), ("bold", "shapes")])
def test_what_nothing_is_kin_to_becomes_an_abstract_scene_of_the_mood(mood, subject):
    scene = read_scene(f"a {mood} unicorn")
    assert scene.subject == subject
    assert "unicorn" in scene.notes[0]


def test_an_exact_subject_wins_over_nearest_kin_and_over_sun_and_moon():
    assert read_scene("a concert guitar").subject == "guitar"
    assert read_scene("a moon over the city").subject == "city"
    assert read_scene("a moon over the city").notes == ()


def test_every_colour_name_is_its_own_nearest():
    assert all(nearest_color(*rgb) == name for name, rgb in COLORS.items())


def test_a_subject_of_the_backgrounds_colour_leaves_its_colour_to_the_draw():
    assert read_scene("a white bear on white") == Scene("bear", background="white")


def test_no_word_of_a_table_means_two_things():
    for path in sorted(WORDS.glob("*.txt")):
        seen: dict[str, str] = {}
        for line in path.read_text(encoding="utf-8").splitlines():
            if line and not line.startswith("#"):
                name, words = line.split(":")
                for word in words.split():
                    assert seen.setdefault(word, name) == name, f"{path.name}: {word!r} is {seen[word]!r} and {name!r}"


def test_a_caption_in_minis_language_stays_as_it_is():
    source = SyntheticPosters(
        seed=5, size=(32, 48), tasks=("text",), split="heldout", lettering=False, captions="short"
    )
    captions = {source[number].caption for number in range(150)}
    assert {read_scene(caption).caption() for caption in captions} == captions


@pytest.mark.parametrize(
    ("prompt", "caption"),
    [
        ("Une bouteille de parfum sur un fond rose", "perfume pink background"),
        ("Un flacon de parfum, fond rose", "perfume pink background"),
        ("Ein Jazzkonzert, orangefarbener Hintergrund", "record orange background"),
        ("Des roses sur fond bleu", "flower blue background"),
    ],
)
def test_rose_is_pink_behind_a_noun_and_compounds_are_read(prompt, caption):
    assert read_scene(prompt).caption() == caption
