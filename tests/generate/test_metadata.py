from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pictures import bomb
from PIL import Image

from posterkit.generate.metadata import (
    content_id,
    file_hash,
    from_anywhere,
    is_foreign,
    read_record,
    record_id,
    source_depth,
)
from posterkit.generate.record import write_png
from posterkit.pipelines.revision import folder_revision

RECORD = {
    "id": "0123456789abcdef",
    "posterkit": "0.1.0",
    "row": {"prompt": "Jazz „Nacht“ 夜 \n two"},
    "source_depth": 2,
}


def test_a_record_comes_back_as_it_was_written_and_the_pixels_too(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 10, 3), dtype=np.uint8)
    write_png(Image.fromarray(pixels), tmp_path / "deep" / "a.png", RECORD)
    found = read_record(tmp_path / "deep" / "a.png")
    assert {key: found[key] for key in RECORD} == RECORD
    assert np.array_equal(np.asarray(Image.open(tmp_path / "deep" / "a.png")), pixels)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["a.png"]


def test_other_programs_see_who_made_it_and_from_what(tmp_path: Path) -> None:
    write_png(Image.new("RGB", (4, 4)), tmp_path / "a.png", RECORD)
    text = Image.open(tmp_path / "a.png").text  # type: ignore[attr-defined]
    assert text["Software"] == "posterkit 0.1.0" and text["Description"] == RECORD["row"]["prompt"]


def test_a_record_may_name_a_file_whose_name_is_not_utf_8(tmp_path: Path) -> None:
    record = {"id": "1", "row": {"prompt": "夜", "images": [{"path": "caf\udce9.png"}]}}
    write_png(Image.new("RGB", (4, 4)), tmp_path / "a.png", record)
    assert read_record(tmp_path / "a.png")["row"] == record["row"]


def test_only_what_posterkit_made_or_what_is_no_picture_may_be_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    assert not is_foreign(path)
    Image.new("RGB", (1, 1)).save(path)
    assert is_foreign(path)
    for content in (b"words of the user", b"\xff\xd8\xff\xe0" + bytes(200), b"x" * 100):
        path.write_bytes(content)
        assert is_foreign(path)
    write_png(Image.new("RGB", (64, 64)), path, RECORD)
    whole = path.read_bytes()
    for length in (0, 4, 8, 40, 55, 66, 100, len(whole) - 20, len(whole)):
        path.write_bytes(whole[:length])
        assert not is_foreign(path), length
    write_png(Image.new("RGB", (64, 64)), path)
    assert not is_foreign(path) and record_id(path) is None
    (tmp_path / "folder.png").mkdir()
    assert is_foreign(tmp_path / "folder.png")


def test_a_picture_too_large_to_be_a_poster_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(bomb())
    with pytest.raises(ValueError, match=r"a\.png: larger than the limit of 100 megapixels"):
        read_record(tmp_path / "a.png")
    assert record_id(tmp_path / "a.png") is None and source_depth(tmp_path / "a.png") == 0


def test_a_poster_cut_off_on_the_disk_is_not_done(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = tmp_path / "a.png"
    write_png(Image.fromarray(pixels), path, RECORD)
    assert record_id(path) == RECORD["id"]
    path.write_bytes(path.read_bytes()[:-3000])
    assert record_id(path) is None


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "there is no such file"), (b"text", "not a PNG"), (b"plain", "carries no posterkit record")],
)
def test_a_file_without_a_record_says_why(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "a.png"
    if content == b"plain":
        Image.new("RGB", (4, 4)).save(path)
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=said):
        read_record(path)
    assert record_id(path) is None and source_depth(path) == 0


def test_the_id_changes_with_the_row_the_model_and_the_version_but_not_with_paths() -> None:
    row = {"task": "filling", "images": [{"path": "a/b.png", "sha256": "1"}], "seed": 3}
    same = {"seed": 3, "task": "filling", "images": [{"path": "elsewhere.png", "sha256": "1"}]}
    other = {"task": "filling", "images": [{"path": "a/b.png", "sha256": "2"}], "seed": 3}
    ids = [
        content_id(row, "r", "1"),
        content_id(other, "r", "1"),
        content_id(row, "s", "1"),
        content_id(row, "r", "2"),
    ]
    assert content_id(same, "r", "1") == ids[0]
    assert len(set(ids)) == 4


def test_a_file_hash_is_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1
    assert file_hash(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_revision_follows_weights_and_configs_not_the_card_or_the_place(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    (folder / "vae").mkdir(parents=True)
    (folder / "model_index.json").write_text("{}")
    (folder / "vae" / "weights.safetensors").write_bytes(bytes(1000))
    first = folder_revision(folder)
    (folder / "README.md").write_text("card")
    moved = folder.rename(tmp_path / "moved")
    assert folder_revision(moved) == first
    (moved / "vae" / "weights.safetensors").write_bytes(bytes(999) + b"\1")
    assert folder_revision(moved) != first


def test_a_model_has_a_name_that_holds_in_every_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "a.safetensors").write_bytes(b"")
    (tmp_path / "b=1.safetensors").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    for source in (None, "mini:postercraft", "author/model", "author/lora=0.8", "gone.safetensors"):
        assert from_anywhere(source) == source
    for source in ("here", "./here", "a.safetensors", "a.safetensors=0.8", "b=1.safetensors", "b=1.safetensors=-2"):
        assert from_anywhere(source) == str(tmp_path / source)
