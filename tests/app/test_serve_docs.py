"""The examples of docs/serve.md, as they stand there, against a real server."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image, ImageDraw
from poster_server import running

from posterkit.generate.metadata import read_record

PAGE = (Path(__file__).parents[2] / "docs/serve.md").read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:8080"


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)


def curls() -> list[str]:
    lines = "\n".join(blocks("")).replace("\\\n", " ").splitlines()
    return [line.partition("  #")[0] for line in lines if line.startswith("curl ")]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    photo = Image.linear_gradient("L").convert("RGB").resize((320, 240))
    photo.save(tmp_path / "photo.jpg")
    photo.save(tmp_path / "photo.png")
    hole = Image.new("L", photo.size)
    ImageDraw.Draw(hole).rectangle((0, 0, 120, 240), fill=255)
    hole.save(tmp_path / "hole.png")
    clear = Image.new("RGBA", photo.size, (0, 0, 0, 255))
    clear.paste((0, 0, 0, 0), (0, 0, 120, 240))
    clear.save(tmp_path / "mask.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not here")
def test_every_call_of_curl_does_what_the_page_says(folder, maker):
    said, job = [], ""
    with running(maker) as server:
        for line in curls():
            words = shlex.split(line.replace(ADDRESS, server.url).replace("JOB", job))
            ran = subprocess.run([*words, "-sS", "--fail-with-body"], capture_output=True, text=True, timeout=120)
            assert ran.returncode == 0, (line, ran.stdout, ran.stderr)
            said.append(ran.stdout)
            if "formats" in line:
                job = json.loads(ran.stdout)["id"]
            if "/events" in line:
                assert "event: done" in ran.stdout
    assert len(said) == 8 and json.loads(said[-3])["state"] == "done"
    assert read_record("poster.pdf")["row"]["texts"] == ["NORTH LIGHT", "From 6 May"]
    assert Path("surf.svg").read_text().count("SURF")
    assert read_record("sale.png")["row"]["task"] == "extending"
    assert read_record("filled.png")["row"]["mask"]["path"] == "hole.png"


@pytest.mark.slow
def test_the_python_of_the_page_runs(folder, maker):
    (code,) = blocks("python")
    with running(maker) as server:
        names: dict = {}
        exec(compile(code.replace(ADDRESS, server.url), "docs/serve.md", "exec"), names)
    assert [image.seed for image in names["answer"].data] == [1, 2]
    assert names["edit"].data[0].record["row"]["task"] == "filling"


def test_the_config_of_an_agent_is_json_and_its_command_one_of_ours():
    from posterkit.cli.main import parse

    (said,) = blocks("json")
    args, _ = parse(json.loads(said)["mcpServers"]["posterkit"]["args"])
    assert args.command == "mcp"
