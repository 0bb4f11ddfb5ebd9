from __future__ import annotations

from pathlib import Path

import pytest
from pictures import grain
from PIL import Image

from posterkit.cli.main import main


def test_each_row_is_explained_before_a_model_loads(
    tmp_path: Path, omni: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, out = tmp_path / "photos", tmp_path / "out"
    folder.mkdir()
    for name in ("a", "b"):
        Image.fromarray(grain(90, 60)).save(folder / f"{name}.png")
    (folder / "posterkit.yaml").write_text("task: style_driven\nwidth: 96\nheight: 144\n")
    (folder / "a.txt").write_text("by the sea")
    (folder / "b.yaml").write_text("width: 1\n")
    (folder / "c.docx").write_bytes(b"PK")
    call = ["batch", str(folder), "--model", omni, "--text", "SALE", "-o", str(out)]

    def refuse(*args: object, **options: object) -> None:
        raise AssertionError("a model is loaded")

    with monkeypatch.context() as patch:
        patch.setattr("posterkit.generate.maker.open_pipeline", refuse)
        assert main([*call, "--explain"]) == 0
    said = capsys.readouterr().out
    assert "a.png -> a.png: style_driven, 96x144, drawn at 64x96" in said
    assert "prompt     by the sea  (a.txt)" in said and "width      96  (posterkit.yaml)" in said
    assert 'texts      ["SALE"]  (options)' in said
    assert "b.png: fails: b.yaml: width must be a whole number" in said and "c.docx: fails: not an image" in said
    assert said.splitlines()[-1] == "1 to make, 2 fail, of 3 rows" and not out.exists()
    assert main(call) == 1
    capsys.readouterr()
    assert main([*call, "--explain"]) == 0
    assert "a.png -> a.png: is there already" in capsys.readouterr().out


def test_a_call_without_an_output_folder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "jobs.jsonl").write_text('{"prompt": "x"}\n')
    assert main(["batch", str(tmp_path / "jobs.jsonl")]) == 2
    assert "arguments are required: -o/--output" in capsys.readouterr().err
