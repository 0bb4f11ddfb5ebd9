from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from posterkit.batch.manifest import read_requests
from posterkit.batch.rows import BadRow
from posterkit.cli.main import main
from posterkit.generate.metadata import read_record
from posterkit.lettering import Lettering
from posterkit.schema import PosterRequest
from posterkit.typeset.brand_kit import read_brand_kit

KIT = """
name: Acme
palette: ["#ffd400", "#ffffff", "#0a3d62", "#e4002b"]
fonts: [Bebas Neue, Manrope Medium]
logo: {file: acme.png, at: bottom-right, clear_space: 0.5}
margin: 10%
voice: {avoid: [cheap, low cost], keep: [Acme One], look: warm daylight}
"""


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    mark = Image.new("RGBA", (120, 40), (0, 0, 0, 0))
    mark.paste((228, 0, 43, 255), (0, 0, 120, 40))
    mark.putpixel((0, 0), (0, 0, 0, 0))
    mark.save(tmp_path / "acme.png")
    (tmp_path / "acme.yaml").write_text(KIT)
    return tmp_path / "acme.yaml"


def test_what_a_request_does_not_say_the_kit_says(kit: Path) -> None:
    made = read_brand_kit(kit).applied(PosterRequest("a street", texts=["SALE"]))
    said = made.lettering
    assert made.prompt == "a street, warm daylight"
    assert said.colors == ("#ffd400", "#ffffff", "#0a3d62") and said.fonts == ("Bebas Neue", "Manrope Medium")
    assert (said.logo, said.logo_at, said.logo_clear, said.margin) == (
        str(kit.parent / "acme.png"), "bottom-right", 0.5, "10%"
    )  # fmt: skip
    own = Lettering(colors=("#E4002B",), fonts=("Manrope Medium",), margin="2%")
    said = read_brand_kit(kit).applied(PosterRequest("a street", lettering=own)).lettering
    assert (said.colors, said.fonts, said.margin) == (("#E4002B",), ("Manrope Medium",), "2%")
    assert read_brand_kit(kit).applied(made) == made


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (PosterRequest("x", lettering=Lettering(colors=("green",))), "green is none of its colours"),
        (PosterRequest("x", lettering=Lettering(fonts=("Lato",))), "Lato is none of its fonts"),
        (PosterRequest("x", texts=["A Low Cost deal"]), "says 'low cost', which it avoids"),
        (PosterRequest('cheap shoes, "SHOES"'), "says 'cheap', which it avoids"),
    ],
)
def test_what_is_off_the_brand_is_refused(kit: Path, request_: PosterRequest, said: str) -> None:
    with pytest.raises(ValueError, match=r"^brand Acme: ") as error:
        read_brand_kit(kit).applied(request_)
    assert said in str(error.value)


def test_a_logo_may_be_its_file_alone(kit: Path) -> None:
    (kit.parent / "short.yaml").write_text("logo: acme.png\n")
    assert read_brand_kit(kit.parent / "short.yaml").logo == str(kit.parent / "acme.png")


def test_a_word_is_avoided_whole(kit: Path) -> None:
    read_brand_kit(kit).applied(PosterRequest("x", texts=["Cheapside"]))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("palete: [red]", 'unknown key "palete" (did you mean "palette"?)'),
        ("palette: [reddish-ish]", "unknown colour"),
        ("fonts: [none.ttf]", "none.ttf"),
        ("logo: {file: none.png}", "there is no such file"),
        ("logo: {at: top}", "logo: needs a file"),
        ("margin: 40%", "margin must be pixels"),
        ("voice: {tone: dry}", 'voice: unknown key "tone"'),
        ("- a", "a brand kit has the keys"),
    ],
)
def test_a_faulty_kit_is_said_in_a_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "kit.yaml").write_text(text)
    with pytest.raises(ValueError) as error:
        read_brand_kit(tmp_path / "kit.yaml")
    assert "kit.yaml" in str(error.value) and said in str(error.value)


def test_a_row_off_the_brand_fails_alone(kit: Path) -> None:
    rows: list[dict[str, Any]] = [{"prompt": "x"}, {"prompt": "x", "colors": ["green"]}]
    manifest = kit.parent / "jobs.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    good, bad = read_requests(manifest, PosterRequest(task=""), kit=read_brand_kit(kit))
    assert isinstance(good, PosterRequest) and good.lettering.margin == "10%"
    assert isinstance(bad, BadRow) and "green is none of its colours" in bad.why


def test_a_picture_typeset_with_a_kit_bears_its_logo_and_keeps_its_margin(kit: Path) -> None:
    picture, out = kit.parent / "picture.png", kit.parent / "poster.png"
    Image.new("RGB", (400, 600), (10, 61, 98)).save(picture)
    assert main(["typeset", str(picture), "--text", "SUMMER", "--brand", str(kit), "-o", str(out)]) == 0
    pixels = np.asarray(Image.open(out).convert("RGB")).astype(int)
    red = np.argwhere(np.abs(pixels - (228, 0, 43)).max(axis=2) < 8)
    assert len(red) > 500 and red[:, 0].min() > 400 and red[:, 1].min() > 200
    changed = np.argwhere(np.abs(pixels - (10, 61, 98)).max(axis=2) > 8)
    assert changed.min() >= 40 and changed[:, 0].max() < 560 and changed[:, 1].max() < 360
    assert read_record(out)["row"]["lettering"]["margin"] == "10%"
