"""JSON and YAML of others: what is read, and what is refused in a line."""

from __future__ import annotations

import json

import pytest
import yaml

from posterkit import documents
from posterkit.documents import MAX_DEPTH, read_json, read_lines, read_text, read_yaml


def test_plain_documents_are_read_as_json_and_yaml_read_them():
    value = {"a": [1, 2.5, None, True, "ü\n[{"], "b": {"c": -3}}
    assert read_json(json.dumps(value)) == value
    assert read_json(json.dumps(value).encode("utf-8-sig")) == value
    assert read_yaml(yaml.safe_dump(value)) == value
    assert read_yaml("") is None


def test_as_deep_as_the_limit_is_read_and_deeper_is_not():
    assert read_json("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    assert read_json('["' + "[" * 1000 + '"]') == ["[" * 1000]
    with pytest.raises(ValueError, match=f"row 3: more than {MAX_DEPTH} levels deep"):
        read_json("[" * 200_000 + "]" * 200_000, "row 3")
    with pytest.raises(ValueError, match="levels deep"):
        read_yaml("[" * 1000 + "]" * 1000)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{"a": NaN}', "x: NaN is no number"),
        ('{"a": -Infinity}', "x: -Infinity is no number"),
        ("1" * 6000, r"x: 1+… is too large a number; 32 digits are read"),
        ('{"a": 1,}', "x: not JSON: .* at column 9"),
        (b"\xff\xfe", "x: not UTF-8 text"),
        ("", "x: not JSON"),
        ("[" * 30, "x: not JSON"),
        ('"' + "\\" * 99, "x: not JSON"),
    ],
    ids=range(8),
)
def test_json_that_is_none_is_refused(text, line):
    with pytest.raises(ValueError, match=line) as error:
        read_json(text, "x")
    assert "\n" not in str(error.value) and len(str(error.value)) < 400


ALIASES = "a: &a [x, x, x]\n" + "".join(f"{n}: &{n} [*a, *a, *a]\n" for n in "bcdefghi")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (ALIASES, "x: line 1 has an anchor or alias"),
        ("a: *b", "x: line 1 has an anchor or alias"),
        ("- !!python/object/apply:os.system [id]", "x: line 1 has the tag .*python.*only plain values"),
        ("a: [1", "x: not YAML: .* at line"),
        ("a: b: c", "x: not YAML"),
        ("\x00", "x: not YAML"),
    ],
    ids=range(6),
)
def test_yaml_that_is_none_is_refused(text, line):
    with pytest.raises(ValueError, match=line) as error:
        read_yaml(text, "x")
    assert "\n" not in str(error.value) and len(str(error.value)) < 400


def test_one_bad_line_costs_itself(tmp_path, monkeypatch):
    monkeypatch.setattr(documents, "MAX_CHARACTERS", 100)
    (tmp_path / "a.jsonl").write_bytes(b'{"a": 1}\n\n"' + b"x" * 350 + b'"\n"K\xe4se"\r\n"' + b"x" * 98 + b'"\n2')
    found = []
    for number, line in read_lines(tmp_path / "a.jsonl"):
        try:
            found.append((number, read_json(line, "x", 100)))
        except ValueError as error:
            found.append((number, str(error)))
    assert found == [
        (1, {"a": 1}),
        (3, "x: longer than 100 characters"),
        (4, "x: not UTF-8 text"),
        (5, "x" * 98),
        (6, 2),
    ]


def test_a_note_is_read_from_its_own_folder_alone(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "secret.txt").write_text("the key")
    (tmp_path / "photos" / "a.txt").write_bytes(b"\xef\xbb\xbfa lake")
    (tmp_path / "photos" / "b.txt").symlink_to(tmp_path / "secret.txt")
    (tmp_path / "photos" / "c.txt").symlink_to("a.txt")
    photos = tmp_path / "photos"
    assert read_text(photos / "a.txt", within=photos) == "a lake" == read_text(photos / "c.txt", within=photos)
    with pytest.raises(ValueError, match=r"b\.txt: a link that leads out of its folder"):
        read_text(photos / "b.txt", within=photos)
    with pytest.raises(ValueError, match=r"a\.txt: longer than 5 bytes"):
        read_text(photos / "a.txt", most=5)
