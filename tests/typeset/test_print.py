"""Posters for print: PDFs read back by pikepdf and pypdf, inks by the profile's own numbers."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pikepdf
import pypdf
import pytest
import skimage.data
from PIL import Image
from press_profile import PAPER, write_press_profile

from posterkit.paper import Sheet
from posterkit.prompts import PosterBrief
from posterkit.typeset.poster import TypesetPoster, typeset
from posterkit.typeset.press import open_press

TEXTS = ["JAZZ NIGHT", "Friday 8 pm\nby the river", "Book now"]
SHEET = Sheet(72, 10, 8)  # a point a pixel: 28 pixels of bleed, 23 of safe area
MM = 72 / 25.4


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_press_profile(tmp_path_factory.mktemp("press") / "press.icc")


@pytest.fixture(scope="module")
def poster() -> TypesetPoster:
    picture = Image.fromarray(skimage.data.coffee()).resize((420 + 56, 595 + 56))
    return typeset(picture, PosterBrief(texts=TEXTS), roles=["title", "body", "cta"], sheet=SHEET)


def boxes(content: bytes) -> dict[str, list[float]]:
    with pikepdf.open(io.BytesIO(content)) as document:
        page = document.pages[0]
        return {name: [float(side) for side in page[f"/{name}Box"]] for name in ("Media", "Bleed", "Trim")}


def test_the_boxes_of_a_page_are_its_bleed_and_its_cut(poster: TypesetPoster) -> None:
    found = boxes(poster.pdf())
    assert found["Media"] == found["Bleed"] == pytest.approx([0, 0, 476, 651])
    assert found["Trim"] == pytest.approx([28, 28, 448, 623])


def test_crop_marks_stand_outside_the_bleed_and_point_at_the_cut(poster: TypesetPoster) -> None:
    content = poster.pdf(marks=True)
    found = boxes(content)
    edge = 5 * MM  # the marks begin where the bleed ends and are 5 mm long
    assert found["Bleed"] == pytest.approx([edge, edge, edge + 476, edge + 651], abs=0.01)
    drawn = pypdf.PdfReader(io.BytesIO(content)).pages[0].get_contents().get_data().decode("latin1")
    lines = [line for line in drawn.splitlines() if line.endswith(" l S") or " l " in line]
    assert len(lines) == 8
    x0, y0, x1, y1 = found["Trim"]
    ends = {round(float(number), 2) for line in lines for number in line.split() if number.replace(".", "").isdigit()}
    assert all(any(abs(side - end) < 0.02 for end in ends) for side in (x0, y0, x1, y1))


def test_texts_and_buttons_keep_inside_the_safe_area(poster: TypesetPoster) -> None:
    for text in poster.boxes:
        x0, y0, x1, y1 = text.button or text.box
        assert min(x0, y0) >= 28 + 23 - 1 and x1 <= 448 - 23 + 1 and y1 <= 623 - 23 + 1


def test_a_large_safe_area_draws_the_texts_in_and_boxes_beyond_it_are_refused() -> None:
    picture = Image.new("RGB", (400, 600), "navy")
    wide = Sheet(72, 0, 25)
    poster = typeset(picture, PosterBrief(texts=TEXTS), sheet=wide, archetype="framed")
    for box in [*(text.button or text.box for text in poster.boxes), *(rule for rule, _ in poster.rules)]:
        assert min(box[0], box[1]) >= 70 and box[2] <= 330 and box[3] <= 530
    with pytest.raises(ValueError, match="safe area"):
        typeset(picture, PosterBrief(texts=["JAZZ"]), sheet=wide, boxes=[(10, 10, 390, 100)])


def test_boxes_count_from_the_cut_edge() -> None:
    picture = Image.new("RGB", (420 + 56, 595 + 56), "navy")
    inside = typeset(picture, PosterBrief(texts=["JAZZ"]), sheet=SHEET, boxes=[(100, 100, 300, 200)])
    plain = typeset(picture.crop((28, 28, 448, 623)), PosterBrief(texts=["JAZZ"]), boxes=[(100, 100, 300, 200)])
    assert inside.boxes[0].box == plain.boxes[0].box.moved(28, 28)


def test_a_pdf_for_a_press_is_pdfx4(poster: TypesetPoster, profile: Path) -> None:
    content = poster.pdf(profile=profile, marks=True)
    assert content == poster.pdf(profile=profile, marks=True)
    with pikepdf.open(io.BytesIO(content)) as document:
        assert document.pdf_version == "1.6" and len(document.trailer.ID) == 2
        (intent,) = document.Root.OutputIntents
        assert intent.S == "/GTS_PDFX" and intent.OutputConditionIdentifier == "Test press, coated"
        assert intent.DestOutputProfile.N == 4 and intent.DestOutputProfile.read_bytes() == profile.read_bytes()
        assert document.docinfo.Trapped == pikepdf.Name("/False")
        with document.open_metadata() as said:
            assert said["pdfxid:GTS_PDFXVersion"] == "PDF/X-4" and said["pdf:Trapped"] == "False"
            assert said["dc:title"] == "JAZZ NIGHT" and said["xmp:ModifyDate"] == said["xmp:MetadataDate"]
        (page,) = document.pages
        assert not {"/Annots", "/ArtBox"} & set(page.keys()) and "/Encrypt" not in document.trailer
        fonts = [font.DescendantFonts[0].FontDescriptor for font in page.Resources.Font.values()]
        assert fonts and all("/FontFile2" in font for font in fonts)
        operators = {str(step.operator) for step in pikepdf.parse_content_stream(page)}
        assert "k" in operators and not operators & {"rg", "g", "RG", "G", "cs", "sc"}
        spaces = {image.ColorSpace for image in _images(page.Resources)}
        assert spaces == {pikepdf.Name.DeviceCMYK}
    assert "JAZZ NIGHT" in pypdf.PdfReader(io.BytesIO(content)).pages[0].extract_text()


def _images(resources: pikepdf.Object) -> list[pikepdf.Object]:
    found = []
    for thing in resources.get("/XObject", {}).values():
        found += [thing] if thing.Subtype == "/Image" else _images(thing.Resources)
    return found


def test_the_paper_takes_no_ink_and_dark_type_takes_black_alone(profile: Path) -> None:
    press = open_press(profile)
    assert press.color((255, 255, 255)) == (0, 0, 0, 0)
    assert press.color((17, 17, 20))[:3] == (0, 0, 0) and press.color((17, 17, 20))[3] > 0.9
    cyan, magenta, yellow, _ = press.color((230, 0, 20))
    assert cyan < 0.1 and magenta > 0.8 and yellow > 0.8


def test_a_soft_proof_shows_the_white_of_the_paper(profile: Path) -> None:
    seen = open_press(profile).proof(Image.new("CMYK", (4, 4))).getpixel((0, 0))
    paper = skimage.color.lab2rgb([[PAPER]])[0, 0] * 255  # CIELAB is adapted to the white of either
    assert np.abs(np.subtract(seen, paper)).max() <= 3


def test_a_soft_proof_is_near_the_poster(poster: TypesetPoster, profile: Path, tmp_path: Path) -> None:
    poster.save(tmp_path / "p.proof.png", profile=profile)
    seen = Image.open(tmp_path / "p.proof.png").convert("RGB")
    off = np.abs(np.asarray(seen, float) - np.asarray(poster.image, float))
    assert seen.size == poster.image.size and 1 < off.mean() < 20


def test_what_is_no_profile_of_a_press_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "text.icc").write_text("hello" * 100)
    rgb = tmp_path / "screen.icc"
    from PIL import ImageCms

    rgb.write_bytes(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    for file, words in (
        ("none.icc", "no such"),
        ("text.icc", "is no ICC profile"),
        ("screen.icc", r"of RGB \(mntr\)"),
    ):
        with pytest.raises(ValueError, match=words) as caught:
            open_press(tmp_path / file)
        assert "ask the printer" in str(caught.value) and "\n" not in str(caught.value)


def test_a_proof_without_a_profile_and_a_press_pdf_without_pikepdf_say_what_is_missing(
    poster: TypesetPoster, profile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="name its ICC profile"):
        poster.save(tmp_path / "p.proof.png")
    monkeypatch.setitem(sys.modules, "pikepdf", None)
    with pytest.raises(ValueError, match=r"pikepdf; pip install posterkit\[print\]"):
        poster.pdf(profile=profile)
    assert not list(tmp_path.iterdir())
