import base64
import functools
import io
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pypdf
import pytest
import skimage.data
from fontTools.ttLib import TTFont
from PIL import Image
from scipy import ndimage

from posterkit import PosterBrief, typeset
from posterkit.layout import ARCHETYPES, Box, ElementRequest, LayoutRequest, Obstacle
from posterkit.layout.planners.grammar import GrammarPlanner
from posterkit.typeset.fonts import FACES
from posterkit.typeset.texts import settle

SVG = "{http://www.w3.org/2000/svg}"
TEXTS = {
    "latin": ["JAZZ NIGHT", "An evening by the river", "Friday 8 pm", "Book now"],
    "cyrillic": ["Летний фестиваль", "Музыка в парке", "15 июня, 20:00"],
    "greek": ["Νύχτα Θεάτρου", "Ηρώδειο, 21 Ιουλίου"],
    "chinese": ["夏日音乐节", "城市公园", "7月18日 晚上8点"],
    "japanese": ["ラーメン祭り", "日本一の味が集まる"],
    "arabic": ["مهرجان الموسيقى", "أصوات من الشرق"],
    "hebrew": ["שעת הקפה", "כל יום שלישי"],
    "single": ["Deep Field"],
}


@functools.cache
def _photo(name, size=(416, 608)):
    image = Image.fromarray(getattr(skimage.data, name)()).convert("RGB")
    scale = max(size[0] / image.width, size[1] / image.height)
    image = image.resize((round(image.width * scale) + 1, round(image.height * scale) + 1))
    return image.crop((0, 0, *size))


def _checkerboard(size=(416, 608)):
    y, x = np.mgrid[0 : size[1], 0 : size[0]]
    cells = (((x // 26) + (y // 26)) % 2 * 255).astype(np.uint8)
    return Image.fromarray(np.repeat(cells[..., None], 3, -1))


def _wcag(color, pixels):
    """WCAG 2.2 contrast, written here from the standard's text."""

    def light(rgb):
        c = np.asarray(rgb, float) / 255
        c = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
        return 0.2126 * c[..., 0] + 0.7152 * c[..., 1] + 0.0722 * c[..., 2]

    a, b = light(color), light(pixels)
    return (np.maximum(a, b) + 0.05) / (np.minimum(a, b) + 0.05)


def _around_the_letters(poster, block):
    """The pixels of the finished picture that lie right beside a block's letters and that no letter touches."""
    pad = max(3, round(0.1 * block.size))
    x0, y0, x1, y1 = (round(side) for side in block.box)
    area = (slice(max(0, y0 - pad), y1 + pad), slice(max(0, x0 - pad), x1 + pad))
    part = np.asarray(poster.image)[area].astype(int)
    if block.button:
        ground = np.broadcast_to(part[0, 0], part.shape)  # the button's fill, at its inner corner
    else:
        ground = np.asarray(poster.background)[area].astype(int)
    letters = np.abs(part - ground).max(-1) > 0
    assert letters.any() and (part == np.asarray(block.color)).all(-1).any()
    return part[ndimage.binary_dilation(letters, iterations=3) & ~letters]


@pytest.mark.parametrize("ground", ["coffee", "chelsea", "rocket", "astronaut", "hubble_deep_field", "checkerboard"])
@pytest.mark.parametrize("texts", [TEXTS["latin"], TEXTS["japanese"]], ids=["latin", "japanese"])
def test_text_reads_at_4_5_to_1_against_the_rendered_pixels_around_it(ground, texts):
    picture = _checkerboard() if ground == "checkerboard" else _photo(ground)
    poster = typeset(picture, PosterBrief(texts=texts))
    for block in poster.boxes:
        around = _wcag(block.color, _around_the_letters(poster, block))
        assert np.percentile(around, 5) >= 4.5, block.text
        assert block.contrast >= 4.5


@pytest.mark.parametrize("color", ["yellow", "navy", "#808080"])
def test_a_colour_that_the_brief_names_is_used_only_where_it_reads(color):
    poster = typeset(_photo("rocket"), PosterBrief(texts=["JAZZ", "Friday"], colors=[color]))
    assert all(np.percentile(_wcag(b.color, _around_the_letters(poster, b)), 5) >= 4.5 for b in poster.boxes)
    assert (poster.boxes[0].color == (246, 206, 64)) == (color == "yellow")


@pytest.mark.parametrize("texts", TEXTS.values(), ids=TEXTS.keys())
@pytest.mark.parametrize("size", [(416, 608), (608, 416), (500, 500)], ids=["portrait", "landscape", "square"])
def test_every_text_is_placed_whole_legible_and_apart_from_the_others(texts, size):
    poster = typeset(_photo("coffee", size), PosterBrief(texts=texts))
    assert poster.image.size == size and poster.image.mode == "RGB"
    assert [block.text for block in poster.boxes] == texts
    margin = 0.05 * min(size)
    for block in poster.boxes:
        x0, y0, x1, y1 = block.box
        assert margin <= x0 < x1 <= size[0] - margin and margin <= y0 < y1 <= size[1] - margin
        assert block.size >= 8
        assert "".join(block.lines).replace(" ", "") == block.text.replace(" ", "")
    blocks = [block.button or block.box for block in poster.boxes]
    for i, one in enumerate(blocks):
        assert not any(one.overlaps(other) for other in blocks[i + 1 :])


def test_the_title_is_at_least_twice_as_large_as_everything_else():
    poster = typeset(_photo("rocket"), PosterBrief(texts=TEXTS["latin"]))
    title, *rest = poster.boxes
    assert [block.role for block in poster.boxes] == ["title", "subtitle", "body", "cta"]
    assert all(title.size >= 2 * block.size for block in rest)


def test_the_ink_lies_where_the_boxes_say():
    poster = typeset(Image.new("RGB", (416, 608), "white"), PosterBrief(texts=["HELLO", "World of type"]))
    for block in poster.boxes:
        x0, y0, x1, y1 = block.box
        part = np.asarray(poster.image.convert("L"), float)[int(y0) - 6 : int(y1) + 6, int(x0) - 6 : int(x1) + 6]
        rows, columns = np.nonzero(part < 128)
        found = (
            columns.min() + int(x0) - 6,
            rows.min() + int(y0) - 6,
            columns.max() + int(x0) - 5,
            rows.max() + int(y0) - 5,
        )
        assert np.abs(np.subtract(found, block.box)).max() <= 1.6, block.text


def test_a_large_picture_reads_as_well_as_a_small_one():
    picture = _checkerboard((1600, 1900))  # beyond the size that underlays are tried out at
    poster = typeset(picture, PosterBrief(texts=["Night Run", "Saturday"]))
    assert poster.image.size == (1600, 1900)
    assert all(np.percentile(_wcag(b.color, _around_the_letters(poster, b)), 5) >= 4.5 for b in poster.boxes)


def test_the_same_call_gives_the_same_poster():
    first, second = (typeset(_photo("chelsea", (200, 300)), PosterBrief(texts=TEXTS["latin"])) for _ in range(2))
    assert first.image.tobytes() == second.image.tobytes()
    assert first.svg() == second.svg() and first.pdf() == second.pdf()


def test_pixels_far_from_the_text_are_kept_where_no_underlay_is_needed():
    picture = Image.new("RGB", (416, 608), (20, 30, 60))
    poster = typeset(picture, PosterBrief(texts=["JAZZ"]))
    assert poster.background.tobytes() == picture.tobytes()


@pytest.mark.parametrize("texts", TEXTS.values(), ids=TEXTS.keys())
def test_the_svg_holds_live_text_at_the_places_of_the_raster(texts):
    poster = typeset(_photo("hubble_deep_field"), PosterBrief(texts=texts))
    root = ET.fromstring(poster.svg())
    assert (root.get("width"), root.get("height")) == ("416", "608")
    found = [
        (e.text, float(e.get("x")), float(e.get("y")), float(e.get("font-size"))) for e in root.iter(f"{SVG}text")
    ]
    wanted = [
        (run.text, at.x + run.x * block.size, at.baseline, block.size)
        for block in poster.boxes
        for at in block.placed_lines
        for run in at.line.runs
    ]
    assert [text for text, *_ in found] == [text for text, *_ in wanted]
    assert np.allclose([place for _, *place in found], [place for _, *place in wanted], atol=0.002)


def test_the_fonts_in_the_svg_have_every_character_that_is_set_in_them():
    poster = typeset(_photo("coffee"), PosterBrief(texts=["Jazz 爵士", "Пятница"]))
    svg = poster.svg()
    fonts = {
        family: TTFont(io.BytesIO(base64.b64decode(data))).getBestCmap()
        for family, data in re.findall(r"font-family:'([^']+)';src:url\(data:font/\w+;base64,([^)]+)\)", svg)
    }
    for element in ET.fromstring(svg).iter(f"{SVG}text"):
        quoted = re.fullmatch("'([^']+)'", element.get("font-family"))
        assert all(ord(c) in fonts[quoted[1]] for c in element.text), element.text
    assert len(svg) < 2_000_000


def test_every_font_family_in_the_svg_is_a_css_string_that_a_font_face_declares(tmp_path):
    shutil.copy(next(face.path for face in FACES if face.name == "Manrope-Medium"), mine := tmp_path / "5 & Co's.ttf")
    poster = typeset(_photo("coffee"), PosterBrief(texts=["Gala", "An evening", "爵士"]), style="elegant")
    own = typeset(_photo("coffee"), PosterBrief(texts=["Gala"]), fonts=[mine])
    for svg, names in ((poster.svg(), {"'EB Garamond 12'"}), (own.svg(), {"'5 & Cos'"})):
        root = ET.fromstring(svg)
        used = {element.get("font-family") for element in root.iter(f"{SVG}text")}
        declared = set(re.findall(r"@font-face\{font-family:([^;]+);", next(root.iter(f"{SVG}style")).text))
        assert names <= used == declared
        assert all(re.fullmatch("'[^']*'", family) for family in used)


def test_the_pictures_in_svg_and_pdf_are_the_rasters_background():
    poster = typeset(_photo("coffee"), PosterBrief(texts=["JAZZ"]))
    href = next(ET.fromstring(poster.svg()).iter(f"{SVG}image")).get("{http://www.w3.org/1999/xlink}href")
    embedded = Image.open(io.BytesIO(base64.b64decode(href.split(",")[1])))
    assert embedded.tobytes() == poster.background.tobytes()
    page = pypdf.PdfReader(io.BytesIO(poster.pdf())).pages[0]
    assert page.images[0].image.convert("RGB").tobytes() == poster.background.tobytes()


@pytest.mark.parametrize("name", [name for name in TEXTS if name != "arabic"])
def test_the_pdfs_text_can_be_extracted(name):
    poster = typeset(_photo("rocket"), PosterBrief(texts=TEXTS[name]))
    extracted = pypdf.PdfReader(io.BytesIO(poster.pdf())).pages[0].extract_text()
    for block in poster.boxes:
        for line in block.lines:
            assert line in extracted


def test_arabic_in_a_pdf_is_extracted_as_plain_letters_though_joined_forms_are_drawn():
    poster = typeset(_photo("rocket"), PosterBrief(texts=["موسيقى"]))
    extracted = pypdf.PdfReader(io.BytesIO(poster.pdf())).pages[0].extract_text()
    assert extracted.strip() == "موسيقى"


def test_the_pdfs_text_stands_where_the_raster_has_it():
    poster = typeset(_photo("rocket"), PosterBrief(texts=["JAZZ NIGHT", "An evening by the river"]))
    places = []

    def visit(text, _, matrix, font, size):
        if text.strip():
            places.append((text.strip(), matrix[4] / 0.75, 608 - matrix[5] / 0.75, size / 0.75))

    page = pypdf.PdfReader(io.BytesIO(poster.pdf())).pages[0]
    assert [float(side) / 0.75 for side in page.mediabox[2:]] == [416, 608]
    page.extract_text(visitor_text=visit)
    wanted = [(at.line.text, at.x, at.baseline, b.size) for b in poster.boxes for at in b.placed_lines]
    assert [text for text, *_ in places] == [text for text, *_ in wanted]
    assert np.allclose([size for *_, size in places], [size for *_, size in wanted], atol=0.01)
    assert np.allclose([place[2] for place in places], [place[2] for place in wanted], atol=0.01)


def test_every_pdf_font_is_embedded():
    poster = typeset(_photo("rocket"), PosterBrief(texts=["JAZZ NIGHT", "爵士 Friday", "Пятница"]))
    fonts = pypdf.PdfReader(io.BytesIO(poster.pdf())).pages[0]["/Resources"]["/Font"]
    composite = [font for font in fonts.values() if font["/Subtype"] == "/Type0"]
    assert len(composite) >= 3
    for font in composite:
        data = font["/DescendantFonts"][0]["/FontDescriptor"]["/FontFile2"].get_data()
        assert "glyf" in TTFont(io.BytesIO(data))


def test_a_suffix_chooses_the_format(tmp_path):
    poster = typeset(_photo("rocket", (200, 300)), PosterBrief(texts=["JAZZ"]))
    assert Image.open(poster.save(tmp_path / "a.png")).tobytes() == poster.image.tobytes()
    assert poster.save(tmp_path / "a.pdf").read_bytes().startswith(b"%PDF-")
    assert "<svg" in poster.save(tmp_path / "a.svg").read_text(encoding="utf-8")
    with pytest.raises(ValueError, match=r"\.docx"):
        poster.save(tmp_path / "a.docx")


@pytest.mark.parametrize("archetype", [kind.name for kind in ARCHETYPES])
def test_every_archetype_can_be_asked_for(archetype):
    poster = typeset(_photo("coffee"), PosterBrief(texts=TEXTS["latin"]), archetype=archetype)
    assert poster.layout.archetype == archetype


def test_a_users_boxes_are_kept_to():
    boxes = [(20, 30, 396, 200), (20, 420, 200, 480), (20, 500, 396, 580)]
    poster = typeset(
        _photo("coffee"), PosterBrief(texts=["JAZZ NIGHT", "Friday", "Book now"]), boxes=boxes, align="left"
    )
    for block, box in zip(poster.boxes, boxes, strict=True):
        x0, y0, x1, y1 = block.button or block.box
        assert box[0] - 1 <= x0 and box[1] - 1 <= y0 and x1 <= box[2] + 1 and y1 <= box[3] + 1
    assert poster.boxes[0].box.x0 == pytest.approx(20, abs=0.01)


def test_given_roles_are_kept():
    poster = typeset(_photo("coffee"), PosterBrief(texts=["Host", "Show"]), roles=["body", "title"])
    assert [block.role for block in poster.boxes] == ["body", "title"]
    assert poster.boxes[1].size > 2 * poster.boxes[0].size


@pytest.mark.parametrize(
    ("texts", "options", "message"),
    [
        ([], {}, "no texts"),
        (["Jazz", "  "], {}, "text 2 is empty"),
        (["Jazz", "\u200b"], {}, "text 2 is empty"),
        (["Jazz\x07"], {}, r"U\+0007"),
        (["Party 🎉"], {}, "PARTY POPPER"),
        (["Jazz", "永\u0301"], {}, "U\\+0301 COMBINING ACUTE ACCENT"),
        (["word " * 500], {}, "does not fit on a 416x608 poster"),
        (["Donaudampfschifffahrt" * 12], {}, "does not fit on a 416x608 poster"),
        (["Jazz"], {"style": "gothic"}, "unknown style 'gothic'"),
        (["Jazz"], {"roles": ["headline"]}, "unknown role 'headline'"),
        (["Jazz"], {"roles": ["title", "body"]}, "2 roles for 1 texts"),
        (["Jazz"], {"archetype": "spiral"}, "unknown archetype 'spiral'"),
        (["Jazz"], {"boxes": []}, "0 boxes for 1 texts"),
        (["Jazz"], {"boxes": [(0, 0, 500, 100)]}, r"box 1 .* in the 416x608 picture"),
        (["Jazz " * 20], {"boxes": [(0, 0, 60, 12)]}, r"text 1 .* does not fit its box"),
        (["Jazz"], {"boxes": [(0, 0, 60, 12)], "align": "justify"}, "unknown align 'justify'"),
        (["Jazz"], {"fonts": ["nowhere.ttf"]}, "nowhere.ttf: no such font file"),
    ],
)
def test_a_bad_call_is_one_clear_line(texts, options, message):
    with pytest.raises(ValueError, match=message) as caught:
        typeset(_photo("coffee"), PosterBrief(texts=texts), **options)
    assert "\n" not in str(caught.value)


def test_a_tiny_picture_is_refused_and_a_small_one_is_set():
    with pytest.raises(ValueError, match="20x30; text needs at least 48 pixels"):
        typeset(Image.new("RGB", (20, 30)), PosterBrief(texts=["Hi"]))
    assert typeset(Image.new("RGB", (64, 96)), PosterBrief(texts=["Hi"])).boxes[0].size >= 8


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "1"])
def test_any_mode_of_picture_is_taken(mode):
    assert typeset(_photo("coffee", (200, 300)).convert(mode), PosterBrief(texts=["Jazz"])).image.mode == "RGB"


def test_a_newline_in_a_text_breaks_the_line_there():
    poster = typeset(_photo("rocket"), PosterBrief(texts=["NIGHT\r\nRUN"]))
    assert poster.boxes[0].lines == ("NIGHT", "RUN")


def test_decomposed_letters_are_set_composed():
    poster = typeset(_photo("rocket"), PosterBrief(texts=["Cafe\u0301 Mu\u0308nchen"]), style="condensed")
    assert poster.boxes[0].text == "Café München"
    assert poster.boxes[0].font == "Bebas Neue"


def test_a_soft_hyphen_breaks_no_line():
    poster = typeset(_photo("rocket"), PosterBrief(texts=["Donau\u00addampf\u00adschiff"]))
    assert poster.boxes[0].lines == ("Donaudampfschiff",)


def test_a_lone_text_that_is_no_title_is_set():
    poster = typeset(_photo("rocket"), PosterBrief(texts=["Hello"]), roles=["body"])
    assert [(block.text, block.role) for block in poster.boxes] == [("Hello", "body")]


def test_small_capitals_fit_a_small_poster():
    poster = typeset(_photo("rocket", (128, 192)), PosterBrief(texts=["JAZZ", "FRIDAY 8 PM", "CITY HALL"]))
    assert all(block.size >= 8 for block in poster.boxes)


def test_markup_in_a_text_is_set_as_it_stands():
    poster = typeset(_photo("rocket"), PosterBrief(texts=['R&B <live> "tonight"']))
    texts = [element.text for element in ET.fromstring(poster.svg()).iter(f"{SVG}text")]
    assert " ".join(texts) == 'R&B <live> "tonight"'


def test_importing_the_function_loads_nothing_heavy():
    code = (
        "import sys; from posterkit import typeset; import posterkit.typeset as t; assert t is typeset; "
        "print([m for m in ('PIL', 'numpy', 'uharfbuzz', 'reportlab', 'torch') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_texts_keep_off_what_they_shall_avoid_as_long_as_there_is_room():
    sign = Box(30, 30, 386, 200)  # lettering across the top, where the titles of half the arrangements go
    poster = typeset(_photo("rocket"), PosterBrief(texts=TEXTS["latin"]), avoid=[Obstacle(sign, "lettering")])
    assert not any((block.button or block.box).overlaps(sign) for block in poster.boxes)


@pytest.mark.parametrize("size", [(416, 608), (608, 416)], ids=["portrait", "landscape"])
def test_where_nothing_is_free_it_says_so_and_hides_what_is_under_the_texts(size):
    picture = _checkerboard(size)
    with pytest.warns(UserWarning, match="no place is free for the texts: they lie on lettering of the picture"):
        poster = typeset(
            picture, PosterBrief(texts=["JAZZ", "Friday"]), avoid=[Obstacle(Box(0, 0, *size), "lettering")]
        )
    for block in poster.boxes:
        behind = np.asarray(poster.background.crop(block.box.pixels(size))).astype(int)
        assert np.ptp(behind, axis=(0, 1)).max() <= 24  # of 255 on the board itself
        assert block.contrast >= 4.5


@pytest.mark.parametrize("color", ["#e4002b", "#808080", "#00205b"])
@pytest.mark.parametrize("ground", ["rocket", "coffee", "checkerboard"])
def test_a_brand_colour_is_kept_and_gets_an_underlay_where_it_does_not_read(color, ground):
    picture = _checkerboard() if ground == "checkerboard" else _photo(ground)
    poster = typeset(picture, PosterBrief(texts=["JAZZ NIGHT", "Friday 8 pm"]), colors=[color])
    title, date = poster.boxes
    assert "#{:02x}{:02x}{:02x}".format(*title.color) == color
    assert title.contrast >= 3.0 and date.contrast >= 4.5  # WCAG's limits for large and for other type


def test_a_role_that_is_left_open_is_found_beside_those_that_are_given():
    poster = typeset(
        _photo("rocket"), PosterBrief(texts=["-70%", "Winter sale", "Shop now"]), roles=["title", "auto", "auto"]
    )
    assert [block.role for block in poster.boxes] == ["title", "subtitle", "cta"]
    assert poster.boxes[0].size > 2 * poster.boxes[1].size


@pytest.mark.parametrize("align", ["left", "right"])
def test_an_alignment_can_be_asked_for_without_boxes(align):
    poster = typeset(
        _photo("rocket"), PosterBrief(texts=["JAZZ NIGHT", "Friday"]), archetype="top-center", align=align
    )
    edges = [block.box.x0 if align == "left" else block.box.x1 for block in poster.boxes]
    assert np.ptp(edges) < 1


def test_a_title_never_stands_below_a_long_copy():
    copy = "All about the harvest, the mill and the bread that we bake of it every morning in our own ovens. " * 3
    for texts, roles in (([copy, "BREAD"], ["body", "title"]), (["BREAD", copy], ["title", "body"])):
        blocks = {b.role: b.box for b in typeset(_photo("rocket"), PosterBrief(texts=texts), roles=roles).boxes}
        assert blocks["title"].y1 < blocks["body"].y0


def test_type_on_a_banner_follows_its_area_and_not_its_height_alone():
    poster = typeset(Image.new("RGB", (1500, 300), "teal"), PosterBrief(texts=["Summer sale", "12 June, 10 am"]))
    assert poster.boxes[1].size >= 20  # 4 % of the height would be 12


def test_paragraphs_stand_further_apart_than_their_lines():
    copy = "A long afternoon of music, food and games for everybody in the yard behind the old town hall."
    poster = typeset(
        _photo("rocket"), PosterBrief(texts=["FESTIVAL", copy, copy[::-1]]), roles=["title", "body", "body"]
    )
    first, second = poster.boxes[1:]
    leading = first.placed_lines[1].baseline - first.placed_lines[0].baseline
    assert second.placed_lines[0].baseline - first.placed_lines[-1].baseline > 1.25 * leading


@pytest.mark.parametrize(
    ("size", "millimetres"),
    [
        ((2480, 3508), (210, 297)),
        pytest.param((3508, 4961), (297, 420), marks=pytest.mark.slow),
        ((1240, 1754), (210, 297)),
        ((832, 1216), (220.1, 321.7)),
    ],
)
def test_a_pdf_is_a_sheet_of_paper_where_the_picture_is_one(size, millimetres):
    picture = Image.new("RGB", size, "teal")
    page = pypdf.PdfReader(io.BytesIO(typeset(picture, PosterBrief(texts=["JAZZ"])).pdf())).pages[0]
    assert [float(side) * 25.4 / 72 for side in page.mediabox[2:]] == pytest.approx(millimetres, abs=0.2)


def test_a_pdf_of_another_resolution_is_that_much_smaller():
    poster = typeset(_photo("rocket"), PosterBrief(texts=["JAZZ"]))
    page = pypdf.PdfReader(io.BytesIO(poster.pdf(dpi=144))).pages[0]
    assert [float(side) for side in page.mediabox[2:]] == [208, 304]
    assert "JAZZ" in page.extract_text()


def test_a_pdf_names_no_font_that_is_not_in_it():
    data = typeset(_photo("rocket"), PosterBrief(texts=["JAZZ"])).pdf()
    fonts = pypdf.PdfReader(io.BytesIO(data)).pages[0]["/Resources"]["/Font"]
    assert [font["/Subtype"] for font in fonts.values()] == ["/Type0"] and b"Helvetica" not in data


def test_a_thai_letter_that_browsers_take_apart_has_its_parts_in_the_svgs_font():
    svg = typeset(_photo("coffee"), PosterBrief(texts=["น้ำ"])).svg()
    (data,) = re.findall(r"src:url\(data:font/\w+;base64,([^)]+)\)", svg)
    assert {0x0E33, 0x0E4D, 0x0E32} <= set(TTFont(io.BytesIO(base64.b64decode(data))).getBestCmap())


def test_a_line_of_an_svg_can_be_edited_as_one():
    poster = typeset(_photo("coffee"), PosterBrief(texts=["Jazz 爵士 Friday 夜"]), boxes=[(20, 20, 396, 80)])
    (element,) = ET.fromstring(poster.svg()).iter(f"{SVG}text")
    assert "".join(element.itertext()) == "Jazz 爵士 Friday 夜"
    fonts = re.findall(r"base64,([^)]+)\)", poster.svg())
    letters = set().union(*(TTFont(io.BytesIO(base64.b64decode(data))).getBestCmap() for data in fonts))
    assert set(map(ord, "ABCxyzÄöß0123456789€")) <= letters  # not only those that are set


@pytest.mark.parametrize(
    ("text", "language"), [("مهرجان", "ar"), ("เทศกาล", "th"), ("त्योहार", "hi"), ("שעה", "he"), ("Fest", None)]
)
def test_the_svg_names_the_language_that_a_script_tells(text, language):
    (element,) = ET.fromstring(typeset(_photo("coffee"), PosterBrief(texts=[text])).svg()).iter(f"{SVG}text")
    assert element.get("{http://www.w3.org/XML/1998/namespace}lang") == language


@pytest.mark.parametrize("gap", ["\t", "   ", " ..... "])
@pytest.mark.parametrize("align", ["left", "center"])
def test_the_prices_of_a_menu_stand_under_one_another(gap, align):
    menu = "\n".join(gap.join(row) for row in [("Espresso", "2,50 €"), ("Cappuccino", "3,20 €"), ("Tee", "12,- €")])
    poster = typeset(_photo("rocket"), PosterBrief(texts=["CAFÉ", menu]), roles=["title", "body"], align=align)
    block = poster.boxes[1]
    assert block.lines == ("Espresso", "2,50 €", "Cappuccino", "3,20 €", "Tee", "12,- €")
    left = [at.x + at.line.left * block.size for at in block.placed_lines[::2]]
    right = [at.x + at.line.right * block.size for at in block.placed_lines[1::2]]
    assert np.ptp(left) < 0.5 and np.ptp(right) < 0.5 and min(right) > max(left) + 5 * block.size
    assert [a.baseline for a in block.placed_lines[::2]] == [b.baseline for b in block.placed_lines[1::2]]


def test_a_line_of_two_directions_is_one_element_that_says_each_of_them():
    boxes = [(20, 20, 396, 80)]
    for text, base, inner in (("מחר Jazz בערב", "rtl", "ltr"), ("Jazz מחר tonight", None, "rtl")):
        poster = typeset(_photo("coffee"), PosterBrief(texts=[text]), boxes=boxes)
        (element,) = ET.fromstring(poster.svg()).iter(f"{SVG}text")
        assert "".join(element.itertext()) == text and element.get("direction") == base
        assert [span.get("direction") for span in element if span.get("direction")] == [inner]
        block = poster.boxes[0]
        edge = block.box.x1 if base == "rtl" else block.box.x0
        assert float(element.get("x")) == pytest.approx(edge, abs=0.12 * block.size)


def _with_underlay(texts, size=(416, 608)):
    job = settle(PosterBrief(texts=texts), size, style="modern")
    request = LayoutRequest.of_texts(size, job.brief.texts, job.roles, [ElementRequest("underlay")])
    return GrammarPlanner().plan(request, job.measurer(size))


def test_a_planned_underlay_is_painted_behind_its_texts_and_nowhere_else():
    texts = ["JAZZ NIGHT", "Friday 8 pm", "Old Town Square"]
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (608, 416, 3), dtype=np.uint8))
    plan = _with_underlay(texts)
    (under,) = (one.box for one in plan.things)
    poster = typeset(noise, PosterBrief(texts=texts), style="modern", plan=plan)
    changed = np.abs(np.asarray(poster.background, int) - np.asarray(noise, int)).max(-1) > 0
    panel = np.zeros(changed.shape, bool)
    x0, y0, x1, y1 = under.pixels(noise.size)
    panel[y0:y1, x0:x1] = True
    held = [one for one in poster.boxes if under.shared(Box(*one.box)) > 0]
    assert held and all(one.contrast >= 4.5 for one in held)
    assert changed[panel].mean() > 0.9
    alone = typeset(noise, PosterBrief(texts=texts), style="modern", plan=_without_things(plan))
    inside, outside = (np.asarray(one.background, float)[y0:y1, x0:x1].std() for one in (poster, alone))
    assert inside < 0.5 * outside  # calm where the panel lies


def _without_things(plan):
    return replace(plan, elements=plan.texts)


def test_an_underlay_that_holds_a_button_alone_is_the_button():
    texts = ["JAZZ NIGHT", "Friday 8 pm", "Book now"]
    grey = Image.new("RGB", (416, 608), (120, 120, 120))
    plan = _with_underlay(texts)
    poster = typeset(grey, PosterBrief(texts=texts), style="modern", plan=plan)
    alone = typeset(grey, PosterBrief(texts=texts), style="modern", plan=_without_things(plan))
    assert poster.image.tobytes() == alone.image.tobytes()


def test_a_poster_keeps_the_underlay_of_its_plan_when_it_is_set_on_another_size():
    texts = ["JAZZ NIGHT", "Friday 8 pm", "Old Town Square"]
    plan = _with_underlay(texts)
    poster = typeset(Image.new("RGB", (832, 1216), (30, 90, 160)), PosterBrief(texts=texts), style="modern", plan=plan)
    (under,) = (one.box for one in poster.layout.things)
    assert under == pytest.approx(plan.things[0].box.scaled(2, 2)) and len(poster.underlays) == 1
