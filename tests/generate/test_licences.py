"""Licences as models' cards, LICENSE files and fonts' name tables say them."""

from __future__ import annotations

from pathlib import Path

import pytest
from fontTools.ttLib import TTFont

from posterkit.generate.licences import licence_of_font, licence_of_weights, licences_of, verdict
from posterkit.typeset.fonts import FACES, load_face


def card(folder: Path, head: str) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.md").write_text(f"---\n{head}\n---\n# A model\n", encoding="utf-8")
    return str(folder)


@pytest.mark.parametrize(
    ("head", "licence", "sell"),
    [
        ("license: apache-2.0", "apache-2.0", "yes"),
        ("license: cc-by-nc-sa-4.0", "cc-by-nc-sa-4.0", "no"),
        ("license: other\nlicense_name: flux-1-dev-non-commercial-license", "flux-1-dev-non-commercial-license",
         "read this"),
        ("license: creativeml-openrail-m", "creativeml-openrail-m", "read this"),
        ("license: other", "other", "read this"),
        ("license: unknown", "unknown", "unknown"),
        ("library_name: diffusers", "unknown", "unknown"),
    ],
)  # fmt: skip
def test_a_card_says_its_licence_and_nothing_is_guessed(head, licence, sell, tmp_path):
    found = licence_of_weights("model", card(tmp_path / "model", head))
    assert (found.licence, found.sell) == (licence, sell) and found.name == "model"


@pytest.mark.parametrize(
    ("words", "licence", "sell"),
    [
        ("                Apache License\n           Version 2.0, January 2004", "apache-2.0", "yes"),
        ("MIT License\n\nCopyright (c) 2026", "mit", "yes"),
        ("FLUX.1 [dev] Non-Commercial License v1.1.1", "see LICENSE", "read this"),
    ],
)
def test_without_a_card_the_heading_of_its_licence_counts(words, licence, sell, tmp_path):
    (tmp_path / "LICENSE").write_text(words)
    found = licence_of_weights("model", str(tmp_path))
    assert (found.licence, found.sell, found.where) == (licence, sell, "LICENSE")


def test_a_lora_file_is_known_by_the_card_beside_it(tmp_path):
    folder = card(tmp_path / "style", "license: mit")
    (tmp_path / "style" / "style.safetensors").write_bytes(b"")
    found = licences_of(None, None, [f"{folder}/style.safetensors*0.8", None], ())
    assert [(one.what, one.name, one.sell) for one in found] == [("LoRA", "style.safetensors", "yes")]


def test_what_is_not_here_is_unknown():
    found = licence_of_weights("LoRA", "nobody/nothing-of-that-name:file.safetensors")
    assert (found.licence, found.sell) == ("unknown", "unknown")


def test_shipped_models_and_fonts_may_be_sold():
    found = licences_of("mini:postercraft", None, (), FACES)
    assert verdict(found) == "yes" and len(found) == 1 + len({face.family for face in FACES})


@pytest.mark.parametrize(
    ("said", "licence", "sell"),
    [
        ("This Font Software is licensed under the SIL Open Font License, Version 1.1.", "OFL-1.1", "yes"),
        ("Personal use only.\nAsk us.", "Personal use only. Ask us.", "read this"),
        ("", "unknown", "unknown"),
    ],
)
def test_a_users_font_says_it_in_its_name_table(said, licence, sell, tmp_path):
    font = TTFont(FACES[0].path)
    font["name"].names = [one for one in font["name"].names if one.nameID not in (13, 14)]
    if said:
        font["name"].setName(said, 13, 3, 1, 0x409)
    font.save(tmp_path / "own.ttf")
    found = licence_of_font(load_face(tmp_path / "own.ttf"))
    assert (found.licence, found.sell) == (licence, sell)


def test_a_poster_is_worth_what_its_worst_part_allows(tmp_path):
    free, unknown = card(tmp_path / "a", "license: mit"), card(tmp_path / "b", "x: y")
    paid = card(tmp_path / "c", "license: cc-by-nc-4.0")
    assert verdict(licences_of(free, None, (), FACES)) == "yes"
    assert verdict(licences_of(free, unknown, (), FACES)) == "unknown"
    assert verdict(licences_of(free, unknown, [paid], FACES)) == "no"
    assert verdict(()) == "unknown"
