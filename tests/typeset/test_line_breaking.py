import pytest

from posterkit.typeset.line_breaking import fit, measure, text_style
from posterkit.typeset.shaping import shape

LONG = "A long evening of short films about the sea, the people who sail it and the birds that follow them home"


def _fit(text, width, height, size=1e9, role="title", style="modern"):
    return fit(text, text_style(text, role, style), width, height, size)


@pytest.mark.parametrize(("width", "height"), [(700, 300), (300, 700), (500, 60), (90, 900)])
@pytest.mark.parametrize("text", ["JAZZ NIGHT", LONG, "夏日音乐节在城市公园", "مهرجان الموسيقى"])
def test_a_fitted_text_fills_the_box_in_one_direction_and_leaves_it_in_none(text, width, height):
    block = _fit(text, width, height)
    assert block.width <= width + 1e-6 and block.height <= height + 1e-6
    assert max(block.width / width, block.height / height) > 0.96


def test_no_other_number_of_lines_would_be_clearly_larger():
    words, how = LONG.split(), text_style(LONG, "title", "modern")
    best = _fit(LONG, 600, 400)
    wide = {(i, j): shape(" ".join(words[i:j]), how.faces, how.tracking).ink for i in range(len(words))
            for j in range(i + 1, len(words) + 1)}  # fmt: skip
    longest = {j: wide[0, j] for j in range(1, len(words) + 1)}  # of the first j words on one line, then on two ...
    sizes = []
    for lines in range(1, 13):
        tall = best.height / best.size + (lines - len(best.lines)) * best.leading
        sizes.append(min(600 / longest[len(words)], 400 / tall))
        longest = {j: min(max(longest[i], wide[i, j]) for i in longest if i < j)
                   for j in range(lines + 1, len(words) + 1)}  # fmt: skip
    assert best.size == pytest.approx(sizes[len(best.lines) - 1], rel=0.001)
    assert best.size >= 0.97 * max(sizes)


def test_words_stay_whole_and_in_order():
    block = _fit(LONG, 200, 2000, role="body")
    assert " ".join(line.text for line in block.lines) == LONG


def test_a_newline_always_breaks():
    assert [line.text for line in _fit("ONE\nTWO THREE", 2000, 300).lines] == ["ONE", "TWO THREE"]


def test_lines_are_balanced():
    block = _fit("Single origin, roasted on Mondays", 520, 400, 50, "subtitle")
    widths = [line.width for line in block.lines]
    assert len(widths) == 2
    assert min(widths) > 0.6 * max(widths)


def test_no_line_begins_with_a_mark_that_closes_or_with_a_small_kana():
    text, closing = "今日は、とても良い天気です。「行きましょう」と言った。", "、。」っゃゅょー"
    naive = 0
    for width in range(120, 320, 40):
        lines = _fit(text, width, 2000, 40, "body").lines
        assert len(lines) > 3 and "".join(line.text for line in lines) == text
        assert all(line.text[0] not in closing for line in lines)
        naive += any(text[at] in closing for at in range(0, len(text), width // 40))
    assert naive  # lines filled to the brim would break the rule


@pytest.mark.parametrize(("text", "words"), [("ラーメン祭り", {"ラーメン", "祭り"}), ("음악 축제", {"음악", "축제"})])
def test_a_headline_breaks_between_words_of_kana_and_hangul(text, words):
    assert {line.text for line in _fit(text, 300, 600).lines} == words


def test_a_text_set_smaller_by_its_scale_is_not_refused_for_that():
    assert text_style("FRIDAY 8 PM", "body", "modern").scale < 1
    measured = measure("FRIDAY 8 PM", "body", 110, 100, 8, style="modern", least=8)
    assert measured is not None and measured.size == 8


def test_lines_of_capitals_stand_closer_than_lines_with_descenders():
    tight, loose = _fit("AAAA\nHHHH", 500, 500, 50), _fit("gypsy\nÅngström", 500, 500, 50)
    assert tight.leading < loose.leading
    for block in (tight, loose):
        above, below = block.lines
        assert above.bottom + below.top < block.leading


def test_small_capitals_are_spaced_and_titles_are_not():
    assert text_style("FRIDAY", "subtitle", "modern").tracking >= 0.1
    assert text_style("FRIDAY", "title", "modern").tracking <= 0


def test_the_planners_measurer_says_what_fitting_does():
    measured = measure("Jazz night", "title", 500, 300, 200, style="modern")
    block = _fit("Jazz night", 500, 300, 200)
    assert measured is not None
    assert (measured.size, measured.width, measured.height) == (block.size, block.width, block.height)
    assert measure("Jazz", "title", 0, 10, 10, style="modern") is None


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Call +49 30 123 456 78 for tickets", "+49 30 123 456 78"),
        ("Eintritt nur € 12,50 an der Kasse", "€ 12,50"),
        ("Eintritt nur 12,50 € an der Kasse", "12,50 €"),
        ("Konzert am 12. Juni 2026 im Hof", "12. Juni 2026"),
        ("Open on June 12, 2026 for all", "June 12, 2026"),
        ("Doors open at 8 pm sharp tonight", "8 pm"),
        ("Beginn um 20:00 Uhr im großen Saal", "20:00 Uhr"),
        ("Open 10 – 18 on every weekday", "10 – 18"),
    ],
)
def test_a_number_a_price_and_a_date_stay_on_one_line(text, kept):
    for width in range(220, 700, 30):
        lines = [line.text for line in _fit(text, width, 3000, 40, "body").lines]
        assert any(kept in line for line in lines), lines
        assert " ".join(lines) == text


def test_no_line_begins_with_a_particle():
    text = "街のパンと光の音楽祭は夜の港で"
    for width in range(150, 500, 25):
        lines = [line.text for line in _fit(text, width, 3000, 50).lines]
        assert "".join(lines) == text and not any(line[0] in "のはとで" for line in lines[1:])


def test_a_soft_hyphen_breaks_a_word_that_does_not_fit_and_shows_there_alone():
    text = "Donau\u00addampf\u00adschiff\u00adfahrt"
    assert [line.text for line in _fit(text, 2000, 60, 40, "body").lines] == ["Donaudampfschifffahrt"]
    lines = [line.text for line in _fit(text, 260, 400, 40, "body").lines]
    assert len(lines) > 1 and all(line.endswith("-") for line in lines[:-1])
    assert "".join(line.removesuffix("-") for line in lines) == text.replace("\u00ad", "")


def test_letters_beside_a_bold_script_are_bold():
    faces = text_style("Jazz في الحديقة", "body", "modern").faces
    assert {face.weight >= 700 for face in faces} == {True}
    assert text_style("Jazz", "body", "modern").faces[0].weight == 500
