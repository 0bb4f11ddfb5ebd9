"""The command line without a model: help, wrong calls, exit codes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from posterkit.cli.main import main


def picture(path: Path) -> Path:
    Image.new("RGB", (40, 30), "teal").save(path)
    return path


@pytest.mark.parametrize("argv", [["--help"], ["generate", "--help"], ["batch", "--help"], ["--version"]])
def test_help_loads_no_torch(argv: list[str]) -> None:
    code = (
        "import sys\nfrom posterkit.cli.main import main\n"
        f"code = main({argv!r})\n"
        "heavy = {'torch', 'diffusers', 'transformers', 'numpy', 'scipy', 'rich'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "posterkit" in done.stdout


def test_every_option_has_a_word_of_help(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("generate", "transform", "batch", "info", "doctor"):
        assert main([command, "--help"]) == 0
        shown = capsys.readouterr().out
        assert f"posterkit {command}" in shown and "--debug" in shown


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["paint"], "invalid choice: 'paint'"),
        (["generate"], "generate needs a PROMPT, --text or --from-image"),
        (["generate", "x", "-o", "x.gif"], "x.gif: the name must end in .png or .svg or .pdf or .psd"),
        (["generate", "x", "--svg", "x.png"], "x.png: the name must end in .svg"),
        (["generate", "x", "--width", "4"], "must be a whole number from 16 to 16384, found 4"),
        (["generate", "x", "--steps", "many"], "must be a whole number from 1 to 1000, found 'many'"),
        (["generate", "x", "--seed", "-1"], "must be a whole number from 0 to 9223372036854775807, found -1"),
        (
            ["generate", "x", "--seed", "18446744073709551616"],
            "from 0 to 9223372036854775807, found 18446744073709551616",
        ),
        (["generate", "x", "--width", "16384", "--height", "16384"], "16384x16384, 256 megapixels; the limit is 100"),
        (["generate", "x", "--text", "\U00012000"], "CUNEIFORM SIGN A"),
        (["generate", "caf\udce9"], "the words are not Unicode text; write them in UTF-8"),
        (["generate", "x", "--guidance", "-2"], "must be a number from 0 to 100, found '-2'"),
        (["generate", "x", "--model", "nowhere/at all"], "nowhere/at all: neither a folder nor a hub id"),
        (["generate", "--from-image", "none.png"], "none.png: there is no such file"),
        (["transform", "filling", "in.png"], "task 'filling' needs a mask"),
        (["transform", "style_driven", "gone.jpg"], "gone.jpg: there is no such file"),
        (["transform", "extending", "in.png", "in.png"], "takes 1 image, found 2"),
        (["transform", "extending", "in.png", "--anchor", "north"], "anchor 'north' is unknown; use one of top-left"),
        (["transform", "rescaling", "in.png", "--anchor", "top"], "takes no anchor"),
        (["transform", "extending", "in.png", "-o", "in.png"], "-o names an input"),
        (["batch", "."], "the following arguments are required: -o/--output"),
        (["batch", "none", "-o", "out"], "none: there is no such folder or manifest"),
        (["batch", ".", "-o", "."], "-o is the folder of the images themselves"),
        (["batch", ".", "-o", "out"], "needs --task, one of extending"),
        (["batch", ".", "-o", "in.png", "--task", "extending"], "-o names a file"),
        (["info", "in.png"], "in.png: carries no posterkit record"),
    ],
)
def test_a_wrong_call_is_one_line_and_exit_code_2(
    argv: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    picture(tmp_path / "in.png")
    assert main(argv) == 2
    shown = capsys.readouterr()
    assert said in shown.err and shown.err.startswith("posterkit: ") and shown.err.count("\n") == 1
    assert shown.out == "" and sorted(path.name for path in tmp_path.iterdir()) == ["in.png"]


def test_a_traceback_comes_only_with_debug(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(tmp_path / "none.png")]) == 2
    assert "Traceback" not in capsys.readouterr().err
    assert main(["info", str(tmp_path / "none.png"), "--debug"]) == 2
    shown = capsys.readouterr().err
    assert "Traceback" in shown and shown.rstrip().splitlines()[-1].startswith("posterkit: ")


def test_ctrl_c_while_a_command_loads_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("posterkit.cli.main._module", stopped)
    assert main(["typeset", "photo.jpg"]) == 130
    assert capsys.readouterr().err == "posterkit: stopped\n"
