"""What a poster's file says of its origin, read by other programs' readers."""

from __future__ import annotations

import io
import json
from pathlib import Path
from xml.etree import ElementTree

import psd_tools
import pypdf
import pytest
from PIL import Image, PngImagePlugin
from psd_tools.constants import Resource

from posterkit.generate.metadata import read_record, record_id
from posterkit.generate.record import FinishedPoster, typeset_record, write_poster
from posterkit.layout import Layout
from posterkit.lettering import Lettering
from posterkit.prompts import PosterBrief
from posterkit.safety.provenance import (
    CODES,
    COMPOSITE,
    MADE,
    alt_text,
    has_credentials,
    marks_of,
    read_marks,
)
from posterkit.schema import PosterRequest
from posterkit.typeset.poster import TypesetPoster, typeset

ROW = {
    "task": "text", "prompt": 'a fox & a moon, titled "FOX <1>"', "texts": ["FOX <1>"], "images": [], "mask": None,
}  # fmt: skip
RECORD = {"id": "0123456789abcdef", "posterkit": "0.1.0", "row": ROW}
ENDINGS = (".png", ".jpg", ".webp", ".svg", ".pdf", ".psd")
EXT = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"
ALT = "{http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/}AltTextAccessibility"


def finished(metadata: str = "full", **row) -> FinishedPoster:
    image = Image.new("RGB", (160, 224), "navy")
    poster = typeset(image, PosterBrief(texts=["FOX"]))
    record = RECORD | {"row": ROW | row}
    return FinishedPoster(PosterRequest("a fox"), poster.image.convert("RGB"), record, image, 0, poster, [], metadata)


def xmp_of(path: Path) -> ElementTree.Element | None:
    """The packet as an independent reader of the format finds it."""
    ending = path.suffix
    if ending == ".svg":
        return ElementTree.parse(path).getroot()
    if ending == ".pdf":
        found = pypdf.PdfReader(path).xmp_metadata
        return None if found is None else ElementTree.fromstring(found.stream.get_data())
    if ending == ".psd":
        resources = psd_tools.PSDImage.open(path).image_resources
        data = resources.get_data(Resource.XMP_METADATA)
        return ElementTree.fromstring(data.tobytes() if hasattr(data, "tobytes") else data) if data else None
    with Image.open(path) as image:
        image.load()
        data = image.info.get("xmp") or getattr(image, "text", {}).get("XML:com.adobe.xmp")
    return ElementTree.fromstring(data) if data else None


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_format_says_in_xmp_that_a_model_made_it_and_what_it_shows(ending, tmp_path):
    path = tmp_path / f"p{ending}"
    finished().save(path)
    root = xmp_of(path)
    assert root is not None
    assert [one.text for one in root.iter(EXT)] == [CODES + MADE]
    assert "Made with AI by posterkit" in [one.text for one in root.iter() if one.tag.endswith("Credit")]
    (alt,) = ["".join(one.itertext()) for one in root.iter(ALT)]
    assert alt == "a fox & a moon. “FOX <1>”"
    marks = read_marks(path)
    assert marks is not None and (marks.source_type, marks.alt) == (MADE, alt)


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_label_says_nothing_of_the_prompt_and_keeps_the_id(ending, tmp_path):
    path = tmp_path / f"p{ending}"
    finished("label").save(path)
    content = path.read_bytes()
    assert b"moon" not in content and MADE.encode() in content
    if ending not in (".jpg", ".webp"):
        assert record_id(path) == RECORD["id"] and "row" not in read_record(path)


@pytest.mark.parametrize("ending", ENDINGS)
def test_none_says_nothing_at_all(ending, tmp_path):
    path = tmp_path / f"p{ending}"
    finished("none").save(path)
    content = path.read_bytes()
    assert b"posterkit" not in content and b"moon" not in content and read_marks(path) is None


def test_an_svg_and_a_pdf_describe_themselves_in_their_own_way_too(tmp_path):
    for name in ("p.svg", "p.pdf"):
        finished().save(tmp_path / name)
    root = ElementTree.parse(tmp_path / "p.svg").getroot()
    assert [one.text for one in root.iter("{http://www.w3.org/2000/svg}desc")] == ["a fox & a moon. “FOX <1>”"]
    assert pypdf.PdfReader(tmp_path / "p.pdf").metadata.subject == "a fox & a moon. “FOX <1>”"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("row", "inputs", "expected"),
    [
        ({"task": "text"}, [], MADE),
        ({"task": "extending"}, [], COMPOSITE),
        ({"task": "extending", "preserve": False}, [], MADE),
        ({"task": "filling"}, [MADE], MADE),
        ({"task": "filling"}, [COMPOSITE], COMPOSITE),
        ({"task": "id_driven", "preserve": True}, [], COMPOSITE),
        ({"task": "id_driven", "preserve": False}, [], MADE),
        ({"task": "style_driven"}, [MADE], MADE),
        ({"task": "typeset"}, [], None),
        ({"task": "typeset"}, [COMPOSITE], COMPOSITE),
    ],
)
def test_the_source_type_follows_from_the_task_from_kept_pixels_and_from_the_inputs(row, inputs, expected):
    marks = marks_of(RECORD | {"row": ROW | row, "inputs": inputs})
    assert marks.source_type == expected and bool(marks.label) is (expected is not None)
    assert marks.inputs == tuple(inputs)


def test_marks_of_an_input_are_carried_over(tmp_path):
    source = tmp_path / "made.png"
    finished().save(source)
    picture = Image.open(source).convert("RGB")
    poster = typeset(picture, PosterBrief(texts=["HELLO"]))
    record = typeset_record(source, poster, ["HELLO"], Lettering())
    assert record["inputs"] == [MADE]
    write_poster(poster, tmp_path / "again.png", record)
    marks = read_marks(tmp_path / "again.png")
    assert marks is not None and marks.source_type == MADE and marks.inputs == (MADE,)


def test_text_on_a_photograph_does_not_make_it_a_machines(tmp_path):
    source = tmp_path / "photo.png"
    Image.new("RGB", (160, 224)).save(source)
    poster = typeset(Image.open(source), PosterBrief(texts=["HELLO"]))
    write_poster(poster, tmp_path / "p.png", typeset_record(source, poster, ["HELLO"], Lettering()))
    assert read_marks(tmp_path / "p.png") is None


def test_marks_of_other_programs_are_read(tmp_path):
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "a cat, Steps: 20, Sampler: Euler a")
    Image.new("RGB", (8, 8)).save(tmp_path / "webui.png", pnginfo=info)
    assert read_marks(tmp_path / "webui.png").source_type == MADE  # type: ignore[union-attr]
    packet = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a>{CODES}algorithmicMedia</a></x:xmpmeta>'.encode()
    Image.new("RGB", (8, 8)).save(tmp_path / "x.jpg", xmp=packet)
    assert read_marks(tmp_path / "x.jpg").source_type == "algorithmicMedia"  # type: ignore[union-attr]


def test_a_manifest_of_content_credentials_is_noticed(tmp_path):
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "JPEG")
    (tmp_path / "plain.jpg").write_bytes(file.getvalue())
    (tmp_path / "signed.jpg").write_bytes(file.getvalue() + b"\0\0jumb\0\0\0\x1ejumdc2pa\0\x11")
    assert has_credentials(tmp_path / "signed.jpg") and not has_credentials(tmp_path / "plain.jpg")
    (tmp_path / "empty.jpg").write_bytes(b"")
    assert not has_credentials(tmp_path / "empty.jpg") and not has_credentials(tmp_path / "none.jpg")


def test_an_alt_text_says_what_is_seen_and_read_and_is_not_endless():
    assert alt_text('A fox, with the title "FOX"', ["FOX", "12 May"]) == "A fox. “FOX”; “12 May”"
    assert alt_text("", ["FOX"]) == "“FOX”" and alt_text("", []) == ""
    assert len(alt_text("very " * 400, [])) <= 400


def test_a_record_still_reads_back_whole(tmp_path):
    finished().save(tmp_path / "p.png")
    assert json.loads(json.dumps(read_record(tmp_path / "p.png")["row"])) == ROW
    plain = TypesetPoster(Image.new("RGB", (64, 96)), Image.new("RGB", (64, 96)), [], [], Layout(64, 96, ()), "modern",
                          Image.new("RGB", (64, 96)), [])  # fmt: skip
    write_poster(plain, tmp_path / "q.svg", RECORD)
    assert record_id(tmp_path / "q.svg") == RECORD["id"]
