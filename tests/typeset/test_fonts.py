import re

import pytest
from PIL import ImageFont

from posterkit.typeset.fonts import FACES, FONTS, PAIRINGS, coverage, faces_for, for_text, load_face, pairing_for

# one everyday sentence per script; none of them taken from the code under test
SENTENCES = {
    "Latin": "The quick brown fox, 1234567890 & co.: “Hello!” – why?",
    "Latin with accents": "Où êtes-vous? Fjørå, Łódź, Çağlar, Ünïted, Ștefan",
    "Greek": "Καλημέρα, τι κάνεις; Ελλάδα 2026",
    "Cyrillic": "Съешь ещё этих мягких булок; Київ, їжак",
    "Arabic": "مرحبا بالعالم، كيف الحال؟",
    "Hebrew": "שלום עולם, מה נשמע?",
    "Thai": "สวัสดีชาวโลก",
    "Devanagari": "नमस्ते दुनिया, आप कैसे हैं?",
    "simplified Chinese": "欢迎来到北京，今天天气很好！",
    "traditional Chinese": "歡迎來到臺北，今天天氣很好！",
    "Japanese": "東京へようこそ、ラーメンは美味しいです。",
    "Korean": "서울에 오신 것을 환영합니다",
}


def test_every_font_folder_has_a_licence_and_every_font_is_registered():
    folders = [folder for folder in FONTS.iterdir() if folder.is_dir()]
    assert folders
    for folder in folders:
        licence = (folder / "LICENSE.txt").read_text(encoding="utf-8")
        assert "SIL OPEN FONT LICENSE" in licence or "Apache License" in licence
        assert re.search(r"[Cc]opyright .*\d{4}", licence), folder.name
    files = {path for path in FONTS.rglob("*") if path.suffix in (".ttf", ".otf")}
    assert files == {face.path for face in FACES}


def test_the_fonts_take_at_most_eight_megabytes():
    assert sum(path.stat().st_size for path in FONTS.rglob("*") if path.is_file()) <= 8_000_000


@pytest.mark.parametrize("sentence", SENTENCES.values(), ids=SENTENCES.keys())
@pytest.mark.parametrize("style", PAIRINGS)
def test_every_style_can_set_every_script(sentence, style):
    faces = for_text(sentence, style, title=True)
    assert all(any(ord(c) in coverage(face) for face in faces) for c in sentence)


LETTERS = {
    "Latin": "AzÉß5&", "Greek": "ΑΩάς", "Cyrillic": "АЖёї", "Arabic": "اشمي", "Hebrew": "אשם", "Thai": "กสย",
    "Devanagari": "अनह", "Han": "永音樂乐", "Hiragana": "あん", "Katakana": "アン", "Hangul": "가한",
}  # fmt: skip


@pytest.mark.parametrize("face", FACES, ids=lambda face: face.name)
def test_pillow_draws_a_letter_and_no_empty_box_in_every_script_that_the_registry_names(face):
    assert face.scripts
    font = ImageFont.truetype(str(face.path), 40)
    missing = bytes(font.getmask("\U0010fffd"))
    for character in "".join(LETTERS[script] for script in face.scripts):
        drawn = bytes(font.getmask(character))
        assert any(drawn) and drawn != missing, character
        assert face.covers(character)


def test_a_letter_with_a_mark_needs_one_face_that_has_both():
    assert [face.name for face in for_text("ก\u0e48")] == ["NotoSansThai-Bold"]
    for text in ("ก\u0301", "永\u0301"):  # shipped faces have either, none has both
        with pytest.raises(ValueError, match=r"no font has .*U\+0301 COMBINING ACUTE ACCENT"):
            for_text(text)
    assert any(face.covers("c\u0308") for face in for_text("永 c\u0308", "condensed", title=True))


def test_a_text_in_one_script_is_set_in_one_face_where_a_face_covers_it():
    assert [face.name for face in for_text("JAZZ", "condensed", title=True)] == ["BebasNeue-Bold"]
    assert [face.name for face in for_text("Їжак", "condensed", title=True)] == ["OpenSans-CondBold"]
    assert [face.name for face in for_text("夏日音乐节", "elegant", title=True)] == ["PosterkitSansCJK-Bold"]


def test_a_character_that_no_font_has_is_named():
    with pytest.raises(ValueError, match=r"U\+1F389 PARTY POPPER"):
        for_text("Party 🎉", "modern")


def test_a_users_font_comes_first():
    bebas = next(face for face in FACES if face.name == "BebasNeue-Bold")
    mine = load_face(bebas.path)
    assert faces_for("elegant", True, (mine,))[0] is mine
    with pytest.raises(ValueError, match="no such font file"):
        load_face("missing.ttf")


def test_a_broken_font_file_is_refused(tmp_path):
    file = tmp_path / "broken.ttf"
    file.write_bytes(b"not a font")
    with pytest.raises(ValueError, match="not a font"):
        load_face(file)


def test_words_of_the_brief_choose_the_style():
    assert pairing_for(["vintage"], "Market") == "slab"
    assert pairing_for(["an elegant evening"], "Gala") == "elegant"
    assert pairing_for([], "JAZZ NIGHT") == "condensed"
    assert pairing_for([], "Jazz night") == "modern"
    with pytest.raises(ValueError, match="unknown style 'gothic'"):
        faces_for("gothic", True)


FAMILIES = {"Inter": "InterDisplay-Black", "manrope": "Manrope-ExtraBold", "Manrope Medium": "Manrope-Medium"}


@pytest.mark.parametrize("name", FAMILIES)
def test_a_shipped_family_is_found_by_the_name_that_the_docs_give(name):
    assert load_face(name).name == FAMILIES[name]
