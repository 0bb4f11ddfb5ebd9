"""The original set in its own form: which picture misleads, both ways of counting, damaged rows."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from posterkit.evaluation.correlation_qa import read_original, run_original
from posterkit.evaluation.judges import Judge

WORDS = ("lion", "tiger", "zebra", "panda", "koala", "otter")


@pytest.fixture
def original(tmp_path):
    folder = tmp_path / "set"
    (folder / "animal").mkdir(parents=True)
    with (folder / "rows.jsonl").open("w") as file:
        for number, word in enumerate(WORDS):
            Image.new("RGB", (8, 8), (40 * number, 0, 0)).save(folder / f"animal/{number}_{word}.png")
            row = {"image_path": f"animal/{number}_{word}.png", "category": "animal", "true_answer": "Lion",
                   "question": "Which animal roars?"}  # fmt: skip
            file.write(json.dumps(row) + "\n")
    return folder


class Follower:
    """Says what it sees, by the shade of red."""

    name = "follower"

    def ask(self, system, user, images=(), schema=None):
        return WORDS[images[0].getpixel((0, 0))[0] // 40]


class Denier:
    name = "denier"

    def ask(self, system, user, images=(), schema=None):
        return "It is not the lion."


def judge(answers) -> Judge:
    return Judge(answers.name, answers.name, "", answers, None)


def test_a_follower_is_right_on_the_factual_picture_alone(original, tmp_path):
    report = run_original(judge(Follower()), original, tmp_path / "out")
    found = report["tracks"]["original"]
    assert found["accuracy"]["mean"] == found["published_accuracy"]["mean"] == pytest.approx(1 / 6, abs=1e-4)
    assert (found["factual"]["mean"], found["spurious"]["mean"], found["follow"]["mean"]) == (1, 0, 1)
    assert found["by_category"]["animal"]["drop"]["mean"] == 1 and report["complete"]


def test_a_denied_answer_is_right_by_the_published_count_alone(original, tmp_path):
    found = run_original(judge(Denier()), original, tmp_path / "out")["tracks"]["original"]
    assert found["published_accuracy"]["mean"] == 1 and found["accuracy"]["mean"] == 0


def test_a_damaged_picture_costs_its_own_row(original, tmp_path):
    (original / "animal/2_zebra.png").write_bytes(b"no picture")
    report = run_original(judge(Follower()), original, tmp_path / "out")
    assert report["failed"] == 1 and not report["complete"] and "2_zebra.png" in report["faults"][0]
    assert report["tracks"]["original"]["accuracy"]["mean"] == pytest.approx(1 / 5)
    assert report["tracks"]["original"]["outcomes"] == {"right": 1, "followed": 4, "failed": 1}


def test_a_path_out_of_the_set_is_not_followed(original, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "secret.png")
    row = {"image_path": "../secret.png", "category": "animal", "true_answer": "Lion", "question": "?"}
    (original / "rows.jsonl").write_text(json.dumps(row))
    with pytest.raises(ValueError, match="leads out of the set's folder"):
        read_original(original)[0].open()


@pytest.mark.parametrize(
    ("content", "said"),
    [('{"image_path": "a.png"}', "line 1: lacks category, question, true_answer"), ("", "holds no row"),
     (None, "holds no .parquet")],
)  # fmt: skip
def test_what_is_no_copy_of_the_set_is_refused(tmp_path, content, said):
    if content is not None:
        (tmp_path / "rows.jsonl").write_text(content)
    with pytest.raises(ValueError, match=said):
        read_original(tmp_path)


def test_a_parquet_file_of_the_published_columns_is_read(tmp_path, original):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = [json.loads(line) for line in (original / "rows.jsonl").read_text().splitlines()]
    images = [(original / row["image_path"]).read_bytes() for row in rows]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    parquet.write_table(pyarrow.table({**columns, "image": images}), tmp_path / "p.parquet", row_group_size=4)
    (tmp_path / "only").mkdir()
    (tmp_path / "p.parquet").rename(tmp_path / "only" / "p.parquet")
    read = read_original(tmp_path / "only")
    assert [row.suggested for row in read] == [*WORDS] and read[5].open().getpixel((0, 0)) == (200, 0, 0)
