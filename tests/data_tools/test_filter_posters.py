"""The filter over a folder of real pictures: what stays, what goes, where and why, by the tool's own command line."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from chat_server import Server, chat, reply, servers
from pictures import bomb, grain
from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImageOps
from tiny_clip import save_clip

from posterkit import PosterBrief, typeset
from posterkit.datasets import PosterDataset
from posterkit.datasets.validation import validate
from posterkit.image_io import read_image
from posterkit.rewards.models.image_text import ImageTextModel
from posterkit.typeset.fonts import FACES

pytestmark = pytest.mark.slow


ROOT = Path(__file__).parents[2]
SHELF = Path(skimage.data.__file__).parent
SIZE = (416, 608)
POSTERS = {
    "coffee": ("coffee.png", ["SLOW COFFEE", "Every Sunday, 9 am"]),
    "films/cat": ("chelsea.png", ["CAT DAYS", "Free entry"]),
    "rocket": ("rocket.jpg", ["LIFT OFF", "Night of science"]),
}
STEPS = [
    "source", "exact copies", "credit blocks and watermarks", "near copies", "caption", "aesthetics", "text regions",
    "encode",
]  # fmt: skip


def photo(name: str, size: tuple[int, int] = SIZE) -> Image.Image:
    with Image.open(SHELF / name) as picture:
        return ImageOps.fit(picture.convert("RGB"), size)


def film_poster() -> Image.Image:
    """With the small print of a film poster at its foot."""
    poster = typeset(photo("astronaut.png", (832, 1216)), PosterBrief(texts=["ORBIT"])).image
    pen = ImageDraw.Draw(poster)
    pen.rectangle((0, 1040, 832, 1216), fill="black")
    face = ImageFont.truetype(str(next(face for face in FACES if face.style == "text").path), 17)
    for line, words in enumerate((
        "A PINE RIVER PICTURES PRODUCTION IN ASSOCIATION WITH NORTH LIGHT MEDIA",
        "DIRECTED BY ANNA KOWALSKA  PRODUCED BY JOHN MARLOW AND PETER QUINN",
        "SCREENPLAY BY MARIA LOPEZ  MUSIC BY HENRY ODELL  EDITED BY SAM TURNER",
        "DIRECTOR OF PHOTOGRAPHY LUCAS BRAND  COSTUMES BY ELLA WINTERS",
    )):  # fmt: skip
        pen.text((60, 1055 + 30 * line), words, fill="white", font=face)
    return poster


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Posters, their copies, and what is none; only `POSTERS` and the photograph "plain" should stay."""
    folder = tmp_path_factory.mktemp("posters")
    (folder / "films").mkdir()
    for name, (picture, texts) in POSTERS.items():
        typeset(photo(picture), PosterBrief(texts=texts)).image.save(folder / f"{name}.jpg", quality=92)
    photo("motorcycle_left.png").save(folder / "plain.png")
    (folder / "films/cat.txt").write_text("\ufeffA tabby looks at you.\nIt is calm.\n", encoding="utf-8")
    coffee = Image.open(folder / "coffee.jpg")
    shutil.copy(folder / "coffee.jpg", folder / "zz_again.jpg")
    coffee.save(folder / "a_worse.jpg", quality=40)
    coffee.resize((312, 456)).save(folder / "a_smaller.png")
    film_poster().save(folder / "films/orbit.jpg", quality=95)
    photo("hubble_deep_field.jpg").filter(ImageFilter.GaussianBlur(12)).save(folder / "blurred.jpg")
    photo("coins.png", (200, 300)).save(folder / "tiny.png")
    return folder


def damage(folder: Path) -> None:
    """What a folder from the web has in it: unreadable files, and readable ones of every kind."""
    whole = (folder / "coffee.jpg").read_bytes()
    (folder / "bad_cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "bad_empty.png").write_bytes(b"")
    (folder / "bad_bomb.png").write_bytes(bomb())
    (folder / "bad_words.png").write_text("hello")
    (folder / "notes.pdf").write_bytes(b"%PDF")
    (folder / "._coffee.jpg").write_bytes(b"what a Mac leaves behind")
    photo("retina.jpg").convert("CMYK").save(folder / "odd_cmyk.jpg")
    deep = np.asarray(photo("moon.png").convert("L")).astype(np.uint16) * 257
    Image.fromarray(deep).save(folder / "odd_deep.png")
    frames = [photo("ihc.png").convert("P"), photo("cell.png").convert("P")]
    frames[0].save(folder / "odd_moving.gif", save_all=True, append_images=frames[1:])
    photo("page.png").save(folder / "odd_jpeg.png", "JPEG")
    turned = Image.Exif()
    turned[0x0112] = 6
    photo("brick.png", (608, 416)).save(folder / "odd_turned.jpg", exif=turned)


def call(*options: str | Path) -> subprocess.CompletedProcess[str]:
    tool = [sys.executable, str(ROOT / "data_tools/filter_posters.py"), *map(str, options)]
    quick = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "COLUMNS": "200"}
    return subprocess.run(tool, capture_output=True, text=True, timeout=300, env=os.environ | quick)


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def content(folder: Path) -> dict[str, bytes]:
    """Every file of a set but the judges' answers, which are a cache."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and ".answers" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def made(folder, tmp_path_factory) -> Path:
    """The folder through the whole filter with OCR."""
    out = tmp_path_factory.mktemp("hq") / "set"
    done = call(folder, "--out", out, "--workers", "1", "--heldout", "4", "--licence", "CC-BY-4.0")
    assert done.returncode == 0, done.stderr
    assert "near copies" in done.stdout and "4 samples, 6 dropped" in done.stdout
    return out


def test_the_funnel_tells_the_steps_in_the_papers_order(made):
    funnel = json.loads((made / "funnel.json").read_text())
    assert list(funnel) == STEPS
    found = {step: (entry["in"], entry["dropped"]) for step, entry in funnel.items() if entry["dropped"]}
    assert found == {
        "source": (10, {"too small": 1}),
        "exact copies": (9, {"exact copy": 1}),
        "credit blocks and watermarks": (8, {"credit block": 1}),
        "near copies": (7, {"near copy": 2}),
        "aesthetics": (5, {"low score": 1}),
    }


def test_the_right_ones_stay_and_the_others_say_why(made):
    assert [row["source"] for row in lines(made / "samples.jsonl")] == [
        "coffee.jpg", "films/cat.jpg", "plain.png", "rocket.jpg",
    ]  # fmt: skip
    dropped = {row["id"]: row for row in lines(made / "dropped.jsonl")}
    assert dropped["zz_again.jpg"]["detail"] == "of coffee.jpg"
    assert dropped["a_worse.jpg"]["detail"].startswith("of coffee.jpg, ")
    assert dropped["a_smaller.png"]["detail"].endswith("of 64 bits differ; 312x456, that one 416x608")
    assert dropped["films/orbit.jpg"]["detail"] == "rules: credit block"
    assert (
        dropped["blurred.jpg"]["detail"].startswith("rules: 0.")
        and "at least 0.35" in dropped["blurred.jpg"]["detail"]
    )
    assert dropped["tiny.png"]["detail"] == "200x300; the shorter side must have 256 pixels"
    for row in dropped.values():
        with Image.open(made / row["thumbnail"]) as shown:
            assert max(shown.size) == 160
            shape = read_image(made / row["thumbnail"]).width / shown.height
        assert 0.6 < shape < 0.75


def test_a_posters_own_caption_wins_and_who_said_what_is_on_record(made):
    rows = {row["source"]: row for row in lines(made / "samples.jsonl")}
    cat, coffee = rows["films/cat.jpg"], rows["coffee.jpg"]
    assert cat["caption"] == cat["instruction"] == "A tabby looks at you.\nIt is calm."
    assert cat["judged"]["caption"] == {"by": "cat.txt", "said": cat["caption"]}
    assert coffee["judged"]["caption"] == {"by": "rules", "said": coffee["caption"]}
    assert '"SLOW COFFEE"' in coffee["caption"]
    for row in rows.values():
        assert set(row["judged"]) == {"blemishes", "caption", "aesthetics", "texts"}
        assert row["judged"]["blemishes"] == {"by": "rules", "said": []}
        assert 0.35 <= row["judged"]["aesthetics"]["said"] <= 1
        assert row["licence"] == "CC-BY-4.0"
    assert [row["split"] for row in rows.values()].count("heldout") == sum(
        int(row["id"].removeprefix("poster-")) % 4 == 3 for row in rows.values()
    )


def test_titles_are_major_regions_and_small_lines_minor_ones_where_they_were_set(made):
    rows = {row["source"]: row for row in lines(made / "samples.jsonl")}
    for name, (picture, texts) in POSTERS.items():
        row = rows[f"{name}.jpg"]
        placed = typeset(photo(picture), PosterBrief(texts=texts)).boxes
        for text, role, at in zip(texts, ("major", "minor"), placed, strict=True):
            (region,) = [region for region in row["regions"] if region["text"] == text]
            assert region["role"] == role
            x0, y0, x1, y1 = region["box"]
            middle = (at.box.x0 + at.box.x1) / 2, (at.box.y0 + at.box.y1) / 2
            assert x0 < middle[0] < x1 and y0 < middle[1] < y1
        assert row["judged"]["texts"] == {"by": "rules", "said": {"major": 1, "minor": 1}}


def test_the_set_is_sound_and_its_targets_are_the_very_files(made, folder):
    assert validate(made).faults == []  # a caption of one's own need not name every text
    found = PosterDataset(made)
    for row, sample in zip(found.rows, found, strict=True):
        assert row["target"].endswith(Path(row["source"]).suffix)
        assert (made / row["target"]).read_bytes() == (folder / row["source"]).read_bytes()
        assert np.array_equal(sample.target, np.asarray(read_image(folder / row["source"])))


def test_damaged_files_cost_their_own_row_and_odd_ones_are_read(folder, tmp_path):
    mixed = tmp_path / "mixed"
    shutil.copytree(folder, mixed)
    damage(mixed)
    done = call(mixed, "--out", tmp_path / "set", "--no-text", "--workers", "2", "--shard", "6", "--least", "0")
    assert done.returncode == 1, done.stderr
    assert "credit blocks and watermarks (off: no text is read)" in done.stdout
    dropped = {row["id"]: row for row in lines(tmp_path / "set/dropped.jsonl")}
    faults = {name: row["detail"].rpartition("/")[2] for name, row in dropped.items() if row["fault"]}
    assert list(faults) == ["bad_bomb.png", "bad_cut.jpg", "bad_empty.png", "bad_words.png"]
    assert faults["bad_empty.png"] == "bad_empty.png: the file is empty"
    assert faults["bad_cut.jpg"].startswith("bad_cut.jpg: damaged image (image file is truncated")
    assert "larger than the limit of 100 megapixels" in faults["bad_bomb.png"]
    assert faults["bad_words.png"].startswith("bad_words.png: not an image")
    kept = {row["source"]: row for row in lines(tmp_path / "set/samples.jsonl")}
    odd = {"odd_cmyk.jpg": ".png", "odd_deep.png": ".png", "odd_moving.gif": ".png", "odd_jpeg.png": ".jpg",
           "odd_turned.jpg": ".png"}  # fmt: skip
    for name, suffix in odd.items():  # the right suffix, and upright 8-bit RGB whatever came in
        assert Path(kept[name]["target"]).suffix == suffix
        with Image.open(tmp_path / "set" / kept[name]["target"]) as target:
            assert (target.size, target.mode) == (SIZE, "RGB")
    assert not {"notes.pdf", "._coffee.jpg"} & (kept.keys() | dropped.keys())
    assert validate(tmp_path / "set").faults == []


@pytest.fixture(scope="module")
def many(tmp_path_factory) -> Path:
    """Sixty pictures, every sixth a copy of the one before it."""
    folder = tmp_path_factory.mktemp("many")
    for number in range(60):
        picture = Image.fromarray(grain(300, 400, number))
        block = np.random.default_rng(number).integers(0, 256, (5, 4, 3), dtype=np.uint8)
        picture = Image.blend(picture, Image.fromarray(block).resize(picture.size, Image.Resampling.BICUBIC), 0.8)
        picture.save(folder / f"{number:02d}.jpg")
        if number % 6 == 5:
            shutil.copy(folder / f"{number - 1:02d}.jpg", folder / f"{number:02d}.jpg")
    return folder


QUICK = ("--no-text", "--least", "0", "--shard", "4")


@pytest.fixture(scope="module")
def whole(many, tmp_path_factory) -> Path:
    """All of them in one go."""
    out = tmp_path_factory.mktemp("whole") / "set"
    assert call(many, "--out", out, *QUICK, "--workers", "1", "--threads", "3").returncode == 0
    return out


@pytest.mark.parametrize("wait_for", [".scan/.flow/00002.json", ".flow/00002.json"])
def test_killed_at_the_first_or_second_look_and_started_again_is_the_same_to_the_byte(many, whole, tmp_path, wait_for):
    options = [str(many), "--out", str(tmp_path / "killed"), *QUICK, "--workers", "2"]
    run = [sys.executable, str(ROOT / "data_tools/filter_posters.py"), *options]
    started = subprocess.Popen(run, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (tmp_path / "killed" / wait_for).exists() and started.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    os.killpg(started.pid, signal.SIGKILL)
    started.wait(60)
    assert not (tmp_path / "killed/samples.jsonl").exists()
    assert call(*options).returncode == 0
    assert content(tmp_path / "killed") == content(whole)
    assert len(lines(whole / "samples.jsonl")) == 50


@pytest.fixture
def some(many, tmp_path) -> Path:
    """Four of them."""
    folder = tmp_path / "some"
    folder.mkdir()
    for number in range(4):
        shutil.copy(many / f"{number:02d}.jpg", folder)
    return folder


def test_tar_shards_hold_files_of_one_kind(some, tmp_path):
    options = (some, *QUICK, "--layout", "webdataset", "--workers", "1")
    assert call(*options, "--out", tmp_path / "jpeg").returncode == 0
    assert {Path(row["target"]).suffix for row in lines(tmp_path / "jpeg/samples.jsonl")} == {".jpg"}
    Image.open(some / "00.jpg").transpose(Image.Transpose.ROTATE_180).save(some / "00.png")
    assert call(*options, "--out", tmp_path / "png").returncode == 0
    assert {Path(row["target"]).suffix for row in lines(tmp_path / "png/samples.jsonl")} == {".png"}


def test_a_clip_folder_scores_by_the_cosine_of_poster_and_caption(some, tmp_path):
    clip = save_clip(tmp_path / "clip")
    for picture in some.glob("*.jpg"):
        picture.with_suffix(".txt").write_text(f"poster {picture.name}")
    pictures, words = zip(
        *((Image.open(path), f"poster {path.name}") for path in sorted(some.glob("*.jpg"))), strict=True
    )
    scores = dict(
        zip(("00.jpg", "01.jpg", "02.jpg", "03.jpg"), ImageTextModel(clip).score(pictures, words), strict=True)
    )
    least = sorted(scores.values())[2] - 1e-6
    done = call(
        some, "--out", tmp_path / "set", "--no-text", "--aesthetics", clip, "--least", str(least), "--workers", "1"
    )
    assert done.returncode == 0, done.stderr
    kept = {row["source"]: row["judged"]["aesthetics"] for row in lines(tmp_path / "set/samples.jsonl")}
    assert set(kept) == {name for name, score in scores.items() if score >= least} and len(kept) == 2
    for name, said in kept.items():
        assert said == {"by": str(clip), "said": pytest.approx(scores[name], abs=1e-4)}


@pytest.fixture
def speechless() -> set[int]:
    """Posters that the endpoint's model has no caption for."""
    return {1}


@pytest.fixture
def endpoint(speechless: set[int]) -> Iterator[Server]:
    """A model that sees a watermark on the third poster, has no caption for the second, and finds one text."""

    def answer(handler, body) -> None:
        words = json.dumps(body)
        picture = re.search(r"base64,([^\"\\\\]+)", words)
        order = seen.setdefault(picture[1], len(seen)) if picture else 0
        if "credit_block" in words:
            said = {"credit_block": False, "watermark": order == 2}
        elif "major" in words:
            said = {"texts": [{"text": "JAZZ", "box": [100, 200, 900, 400], "role": "major"}]}
        else:
            said = {"colour": "none"} if order in speechless else {"caption": 'A poster that says "JAZZ".'}
        reply(handler, chat(json.dumps(said)))

    seen: dict[str, int] = {}
    with servers() as start:
        yield start(answer)


def test_a_model_at_an_endpoint_judges_and_a_missing_answer_costs_one_poster(some, tmp_path, endpoint, speechless):
    options = (some, "--judge", f"{endpoint.url}/v1", "--judge-model", "seer", "--least", "0", "--workers", "1")
    options = (*options, "--answers", tmp_path / "answers")
    done = call(*options, "--out", tmp_path / "set")
    assert done.returncode == 1, done.stderr
    dropped = {row["id"]: row for row in lines(tmp_path / "set/dropped.jsonl")}
    assert (dropped["02.jpg"]["reason"], dropped["02.jpg"]["fault"]) == ("watermark", False)
    assert (dropped["01.jpg"]["reason"], dropped["01.jpg"]["step"]) == ("no answer", "caption")
    assert dropped["01.jpg"]["fault"] and "caption" in dropped["01.jpg"]["detail"]
    first, second = lines(tmp_path / "set/samples.jsonl")
    assert (first["source"], second["source"]) == ("00.jpg", "03.jpg")
    assert first["regions"] == [{"box": [30, 80, 270, 160], "role": "major", "text": "JAZZ"}]  # of 300x400
    assert first["judged"]["caption"]["by"].startswith("seer at ") and first["judged"]["aesthetics"]["by"] == "rules"
    endpoint.asked.clear()
    assert call(*options, "--out", tmp_path / "again").returncode == 1
    asked = [path for path, *_ in endpoint.asked if path != "/v1/models"]
    assert len(asked) <= 2  # only what it had no answer for
    assert lines(tmp_path / "again/samples.jsonl") == lines(tmp_path / "set/samples.jsonl")
    speechless.clear()
    assert call(*options, "--out", tmp_path / "set").returncode == 1  # it is on record
    assert call(*options, "--out", tmp_path / "set", "--retry").returncode == 0
    assert [row["source"] for row in lines(tmp_path / "set/samples.jsonl")] == ["00.jpg", "01.jpg", "03.jpg"]


def test_a_wrong_call_is_one_line_and_exit_code_2(many, tmp_path):
    (tmp_path / "empty").mkdir()
    wrong = {
        "there is no such folder; name a folder": (tmp_path / "nowhere", "--out", tmp_path / "a"),
        "whose pictures are the input": (many, "--out", many / "set"),
        "cannot load this image-text model": (many, "--out", tmp_path / "a", "--aesthetics", tmp_path / "empty"),
        "there is no such judge": (many, "--out", tmp_path / "a", "--judge", "oracle"),
        "argument --copies": (many, "--out", tmp_path / "a", "--copies", "33"),
    }
    for line, options in wrong.items():
        done = call(*options)
        assert done.returncode == 2 and line in done.stderr, done.stderr
        assert done.stderr.startswith("posterkit: ") and len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "a").exists() and not (many / "set").exists()


def test_another_choice_in_the_same_folder_is_refused_before_any_work(some, tmp_path):
    assert call(some, "--out", tmp_path / "set", *QUICK, "--workers", "1").returncode == 0
    before = content(tmp_path / "set")
    done = call(some, "--out", tmp_path / "set", *QUICK, "--workers", "1", "--copies", "3")
    assert done.returncode == 2 and "holds a set made with copies=6, now 3" in done.stderr
    (some / "00.txt").write_text("A caption that came later.")
    done = call(some, "--out", tmp_path / "set", *QUICK, "--workers", "1")
    assert done.returncode == 2 and "holds a set made with inputs=" in done.stderr
    assert content(tmp_path / "set") == before
