"""Text-Render: what the caption says stands on the picture, letter for letter, where the boxes say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image
from skimage import data

from posterkit.datagen.text_render import (
    SCRIPTS,
    Wording,
    capitals,
    check_faces,
    is_unicase,
    read_wording,
    render_text,
    shipped_wording,
)
from posterkit.datasets import PosterDataset
from posterkit.metrics.ocr import TextReader, text_accuracy
from posterkit.typeset.fonts import FACES

ROOT = Path(__file__).parents[2]
GROUND = Image.new("RGB", (384, 384), (40, 60, 120))
FACE = {face.name: face for face in FACES}


def sample(number: int, picture: Image.Image = GROUND, scripts=("latin",), **options):
    wordings = [shipped_wording(script) for script in scripts]
    return render_text(picture, "A blue sheet", Random(number), wordings, name=f"s{number}", **options)


@pytest.mark.parametrize("number", range(24))
def test_ink_lies_in_the_boxes_and_fills_them(number):
    made = sample(number, scripts=tuple(SCRIPTS))
    changed = (made.target != np.asarray(GROUND)).any(2)
    assert changed.any()
    for text in made.texts:
        x0, y0, x1, y1 = text.box
        inside = changed[y0:y1, x0:x1]
        assert inside[0].any() and inside[-1].any() and inside[:, 0].any() and inside[:, -1].any()
        for line in text.lines:
            a, b, c, d = line.box
            assert 0 <= a < c <= 384 and 0 <= b < d <= 384 and changed[b:d, a:c].any()
        changed[y0:y1, x0:x1] = False
    assert not changed.any()


@pytest.mark.parametrize("number", range(24))
def test_the_caption_says_every_text_letter_for_letter_and_where_it_stands(number):
    made = sample(number, scripts=tuple(SCRIPTS))
    assert made.caption.startswith("A blue sheet. ")
    for text in made.texts:
        (clause,) = [part for part in made.caption.split(". ") if text.text in part]
        x, y = (text.box[0] + text.box[2]) / 768, (text.box[1] + text.box[3]) / 768
        row = ("top", "middle", "bottom")[min(2, int(3 * y))]
        column = ("left", "center", "right")[min(2, int(3 * x))]
        place = "in the center" if (row, column) == ("middle", "center") else f"at the {row} {column}"
        assert place in clause.lower()
        joined = "".join(line.text for line in text.lines)
        assert joined.replace(" ", "") == text.text.replace(" ", "")
    assert [region.role for region in made.regions].count("major") == 1


@pytest.mark.slow
def test_a_reader_finds_what_the_caption_says():
    reader, scores = TextReader(enlarge_to=512), []
    for number in range(30):
        made = sample(number, picture=GROUND.resize((512, 512)), count=1)
        if "running upwards" not in made.caption:
            scores.append(
                text_accuracy([t.text for t in made.texts], [line.text for line in reader(made.target)]).recall
            )
    assert np.mean(scores) > 0.85


def test_a_face_that_draws_small_letters_as_capitals_is_told_in_capitals():
    assert is_unicase(FACE["BebasNeue-Bold"]) and not is_unicase(FACE["Manrope-ExtraBold"])
    made = render_text(
        GROUND, "", Random(1), [Wording(("hello",))], [FACE["BebasNeue-Bold"]], name="a", count=1
    )  # fmt: skip
    assert all(word.isupper() for word in made.texts[0].text.split())


def test_greek_capitals_bear_no_accent_and_other_letters_keep_theirs():
    assert capitals("πορτοκάλι, μαΐου, café, ёлка") == "ΠΟΡΤΟΚΑΛΙ, ΜΑΪΟΥ, CAFÉ, ЁЛКА"


def test_a_face_without_a_letter_never_sets_the_text():
    wording = Wording(("Ωμέγα",))
    made = render_text(GROUND, "", Random(0), [wording], FACES, name="a", count=2)
    assert all(FACE[text.font].covers(text.text) for text in made.texts)
    with pytest.raises(ValueError, match="no text found a place"):
        render_text(GROUND, "", Random(0), [wording], [FACE["lobster"]], name="a")


def test_a_word_list_of_ones_own(tmp_path):
    (tmp_path / "mine.txt").write_text("# mine\nposter\nBig {} sale\n\n", encoding="utf-8")
    assert read_wording(tmp_path / "mine.txt") == Wording(("poster",), ("Big {} sale",))
    (tmp_path / "none.txt").write_text("# nothing\n", encoding="utf-8")
    with pytest.raises(ValueError, match="holds no word"):
        read_wording(tmp_path / "none.txt")
    with pytest.raises(ValueError, match="there is no such word list"):
        read_wording(tmp_path / "gone.txt")
    (tmp_path / "latin1.txt").write_bytes("Käse".encode("latin-1"))
    with pytest.raises(ValueError, match=r"latin1\.txt: not UTF-8"):
        read_wording(tmp_path / "latin1.txt")
    (tmp_path / "windows.txt").write_text("poster\n", encoding="utf-8-sig")
    assert read_wording(tmp_path / "windows.txt").words == ("poster",)


def test_braces_of_other_kinds_mean_nothing_in_a_frame():
    drawn = {Wording(("x",), ("{0} {} } {a}",)).draw(Random(number)) for number in range(20)}
    assert "{0} x } {a}" in drawn


def test_a_script_that_no_font_has_is_refused_by_name():
    with pytest.raises(ValueError, match=r"chinese: no font has its letters \(Inter"):
        check_faces(shipped_wording("chinese"), [FACE["InterDisplay-Black"]], "chinese")
    for script in SCRIPTS:
        check_faces(shipped_wording(script), FACES, script)


def test_a_script_whose_fonts_have_no_latin_letters_can_be_set():
    made = render_text(GROUND, "", Random(0), [Wording(("नमस्ते",))], name="a", count=1)
    assert made.texts[0].text.split()[0] == "नमस्ते"


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_shipped_word_can_be_set(script):
    wording = shipped_wording(script)
    assert len(wording.words) >= 60 and wording.frames
    for text in (*wording.words, *wording.frames):
        assert any(face.covers(text.replace("{}", "")) for face in FACES), text


def run(*arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, ROOT / "data_tools/render_text.py", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_the_tool_makes_the_same_set_with_one_process_and_two_and_names_broken_photos(tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.fromarray(data.coffee()).save(photos / "coffee.jpg")
    (photos / "coffee.txt").write_text("A cup of coffee")
    (photos / "broken.jpg").write_bytes(b"no picture")
    for name, workers in (("one", 1), ("two", 2)):
        ended = run(
            photos, "--out", tmp_path / name, "--count", 12, "--size", "192x192", "--shard", 5, "--workers", workers
        )
        assert ended.returncode == 1 and "unreadable 6" in ended.stdout, ended.stderr
    one, two = (
        {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
        for folder in (tmp_path / "one", tmp_path / "two")
    )
    assert one == two
    made = PosterDataset(tmp_path / "one")
    assert len(made) == 6 and made[0].target.shape == (192, 192, 3) and made[0].caption.startswith("A cup of coffee. ")
    assert all(line.text for line in made[0].texts[0].lines)


@pytest.mark.slow
def test_a_wrong_call_is_one_line(tmp_path):
    ended = run(tmp_path / "nothing", "--out", tmp_path / "set")
    assert ended.returncode == 2 and ended.stderr.count("\n") == 1
    assert ended.stderr.startswith(f"posterkit: {tmp_path / 'nothing'}: there is no such folder")
    (tmp_path / "photos").mkdir()
    GROUND.save(tmp_path / "photos/a.png")
    ended = run(tmp_path / "photos", "--out", tmp_path / "photos/set")
    assert ended.returncode == 2 and "take a folder outside" in ended.stderr and not (tmp_path / "photos/set").exists()
    ended = run("synthetic", "--out", tmp_path / "set", "--size", "12")
    assert ended.returncode == 2 and "must be WIDTHxHEIGHT in pixels" in ended.stderr and ended.stderr.count("\n") == 1
