import numpy as np
import pytest
import skimage.data
from PIL import Image, ImageDraw, ImageFilter

from posterkit.layout import ARCHETYPES, Box, Obstacle, infer_roles, margin_of, plan, saliency
from posterkit.layout.planner import estimate, runs_right_to_left
from posterkit.prompts import PosterBrief

BRIEF = PosterBrief(texts=["Night Run", "Ten kilometres through the city", "Saturday 9 pm", "Sign up now"])


def _subject(center, size=(300, 450)):
    """A bright, busy disc on a calm ground."""
    image = Image.new("RGB", size, (40, 60, 80))
    pen = ImageDraw.Draw(image)
    x, y = center
    pen.ellipse((x - 70, y - 70, x + 70, y + 70), fill=(240, 200, 60))
    for step in range(-60, 61, 15):
        pen.line((x + step, y - 60, x - step, y + 60), fill=(160, 30, 30), width=4)
    return image.filter(ImageFilter.GaussianBlur(1))


def test_saliency_is_highest_on_the_only_thing_to_see():
    seen = saliency(_subject((200, 120)))
    h, w = seen.shape
    y, x = np.unravel_index(seen.argmax(), seen.shape)
    assert np.hypot(x / w * 300 - 200, y / h * 450 - 120) < 75
    assert seen.min() >= 0 and seen.max() <= 1
    assert seen[h * 3 // 4 :].mean() < 0.3 * seen[: h // 2, w // 2 :].mean()


def test_an_even_picture_has_nothing_to_see():
    assert saliency(Image.new("RGB", (300, 450), (90, 20, 40))).max() < 0.05


@pytest.mark.parametrize("y", [110, 340])
def test_the_title_keeps_off_the_subject(y):
    subject = Box(80, y - 70, 220, y + 70)
    title = plan(_subject((150, y)), BRIEF).elements[0]
    assert not title.box.overlaps(subject)
    assert (title.box.y0 > y) == (y < 225)


def test_the_title_keeps_off_a_face():
    photo = Image.fromarray(skimage.data.astronaut()).resize((1216, 1216)).crop((0, 0, 832, 1216))
    face = Box(440, 150, 620, 420)  # read off the picture by eye
    for text in ("Women in Space", "SPACE"):
        title = plan(photo, PosterBrief(texts=[text, "Lecture series", "Tuesday, 19:00"])).elements[0]
        assert not title.box.overlaps(face), title.box


@pytest.mark.parametrize("size", [(832, 1216), (1216, 832), (900, 900), (400, 1200)])
@pytest.mark.parametrize("kind", [kind.name for kind in ARCHETYPES])
def test_boxes_lie_inside_the_margins_and_apart(kind, size):
    layout = plan(Image.new("RGB", size), BRIEF, archetype=kind)
    margin = margin_of(*size) - 0.01
    assert [element.text for element in layout] == BRIEF.texts
    boxes = [element.box for element in layout]
    for i, box in enumerate(boxes):
        assert margin <= box.x0 < box.x1 <= size[0] - margin
        assert margin <= box.y0 < box.y1 <= size[1] - margin
        assert not any(box.overlaps(other) for other in boxes[i + 1 :])
        assert not any(box.overlaps(rule) for rule in layout.rules)


def test_a_layout_is_the_same_every_time():
    image = _subject((150, 110))
    assert plan(image, BRIEF) == plan(image, BRIEF)


def test_a_title_from_right_to_left_stands_on_the_right():
    left = plan(Image.new("RGB", (300, 450)), PosterBrief(texts=["Run"]), archetype="swiss").elements[0]
    right = plan(Image.new("RGB", (300, 450)), PosterBrief(texts=["مهر"]), archetype="swiss").elements[0]
    assert (left.align, right.align) == ("left", "right")
    assert left.box.x0 == pytest.approx(300 - right.box.x1)


@pytest.mark.parametrize(
    ("texts", "roles"),
    [
        (["Jazz"], ["title"]),
        (["JAZZ NIGHT", "Friday 8 pm"], ["title", "body"]),
        (["Jazz", "An evening", "Friday 8 pm", "Book now"], ["title", "subtitle", "body", "cta"]),
        (["12 May 2026", "Spring Fair"], ["subtitle", "title"]),
        (["The City Choir presents", "Requiem"], ["subtitle", "title"]),
        (["The Observatory presents", "SILENCE", "A film by nobody"], ["subtitle", "title", "body"]),
        (["by the sea"], ["title"]),
        (["Sale", "50% off", "www.example.com"], ["title", "body", "cta"]),
        (["Get tickets", "Circus"], ["cta", "title"]),
        (["Музыка", "15 июня", "Купить билеты"], ["title", "body", "cta"]),
        (["音乐节", "城市公园", "7月18日", "立即购票"], ["title", "subtitle", "body", "cta"]),
        (["8 pm"], ["title"]),
        (["JAZZ FEST 2026", "Three nights by the river", "12 May"], ["title", "subtitle", "body"]),
        (["MARATHON 42", "Run through the city"], ["title", "subtitle"]),
        (["Sunset Boulevard 2", "The sequel"], ["title", "subtitle"]),
        (["Mayhem 3", "Back again"], ["title", "subtitle"]),
        (["Summer Sale 50%", "All weekend"], ["title", "subtitle"]),
        (["1984", "By George Orwell"], ["title", "subtitle"]),
        (["Friday 8 pm at the Blue Note", "Live jazz"], ["title", "subtitle"]),
        (["春节 2月10日", "城市公园"], ["title", "subtitle"]),
        (["Saturday, 12th of May, 8 p.m.", "Gala"], ["subtitle", "title"]),
        (["ab Freitag, 12. März, 20 Uhr", "Tanz"], ["subtitle", "title"]),
        (["2026年7月18日（土）午後6時", "音楽祭"], ["subtitle", "title"]),
    ],
)
def test_roles_follow_from_order_and_content(texts, roles):
    assert list(infer_roles(texts)) == roles


@pytest.mark.parametrize("kind", [kind.name for kind in ARCHETYPES])
def test_texts_without_a_title_are_placed_without_a_bar_between(kind):
    for texts in (["Hello"], ["Hello", "World"]):
        roles = ["body"] * len(texts)
        layout = plan(Image.new("RGB", (300, 450)), PosterBrief(texts=texts), roles=roles, archetype=kind)
        assert [element.text for element in layout] == texts
        assert not any(element.box.overlaps(rule) for element in layout for rule in layout.rules)


def test_a_blank_text_is_named():
    with pytest.raises(ValueError, match="text 2 is empty"):
        plan(Image.new("RGB", (300, 450)), PosterBrief(texts=["Jazz", " \n"]))


def test_no_texts_have_no_roles_and_no_layout():
    assert infer_roles([]) == ()
    with pytest.raises(ValueError, match="no texts"):
        plan(Image.new("RGB", (300, 450)), PosterBrief())


def test_a_text_that_cannot_fit_is_named():
    with pytest.raises(ValueError, match=r"text 2 .* does not fit on a 300x450 poster"):
        plan(Image.new("RGB", (300, 450)), PosterBrief(texts=["Jazz", "word " * 3000]))


@pytest.mark.parametrize(
    ("text", "expected"), [("abc", False), ("שלום abc", True), ("12 مرحبا", True), ("123", False)]
)
def test_the_first_strong_letter_gives_the_direction(text, expected):
    assert runs_right_to_left(text) is expected


def test_the_estimate_counts_wide_characters_twice():
    latin, han = estimate("abcd", "title", 1e6, 100, 10), estimate("永永永永", "title", 1e6, 100, 10)
    assert latin is not None and han is not None
    assert (latin.width, han.width) == (20, 40)


def test_a_box_touches_the_whole_pixels_it_overlaps():
    assert Box(0.2, 1.0, 3.1, 4.0).pixels((10, 10)) == (0, 1, 4, 4)
    assert Box(-3, -3, 20, 20).pixels((10, 10)) == (0, 0, 10, 10)


def test_texts_stand_beside_the_subject_of_a_landscape_photograph():
    texts = ["JAZZ NIGHT", "An evening by the river", "Friday 8 pm, City Hall", "Book now"]
    cup = plan(Image.fromarray(skimage.data.coffee()), PosterBrief(texts=texts))
    assert not cup.elements[0].box.overlaps(Box(195, 15, 390, 200))  # read off the pictures by eye
    cat = plan(Image.fromarray(skimage.data.chelsea()), PosterBrief(texts=texts))
    for eye in (Box(135, 95, 205, 145), Box(295, 115, 335, 160)):
        assert not any(element.box.overlaps(eye) for element in cat)


def test_where_a_face_fills_the_picture_the_texts_stand_below_it():
    face = Box(150, 40, 650, 520)
    layout = plan(
        Image.new("RGB", (800, 800), "teal"), PosterBrief(texts=["JAZZ NIGHT", "Friday 8 pm", "Book now"]),
        avoid=[Obstacle(face, "face")],
    )  # fmt: skip
    assert not any(element.box.overlaps(face) for element in layout)
