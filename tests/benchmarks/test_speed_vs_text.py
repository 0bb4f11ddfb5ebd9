"""The table of speed against words, on a tiny FLUX.1."""

from __future__ import annotations

import numpy as np
import pytest
import tiny_flux
from diffusers.hooks import FirstBlockCacheConfig
from speed_vs_text import Way, looked_at, main, report, requests_of, unit_of

from posterkit import PosterCraftPipeline
from posterkit.metrics.ocr import TextReader
from posterkit.sizing import Size


@pytest.fixture(scope="module")
def pipe() -> PosterCraftPipeline:
    made = PosterCraftPipeline(**tiny_flux.components())
    made.set_progress_bar_config(disable=True)
    return made


def test_a_model_that_cannot_spell_gets_drafts_that_bear_the_words() -> None:
    (request,) = requests_of(0.25, Size(208, 320), 1)
    read = [line.text for line in TextReader(enlarge_to=480)(np.asarray(request.draft))]
    assert " ".join(read) == "NORTH LIGHT" and request.strength
    assert [unit_of(requests_of(strength, Size(208, 320), 1)) for strength in (0.25, 0.4, 1.0)] == [4, 5, 1]
    (spelt,) = requests_of(None, Size(208, 320), 1)
    assert spelt.draft is None and '"NORTH LIGHT"' in spelt.prompt


def test_the_exact_run_is_at_distance_nought_and_a_cache_is_left_off_behind_it(pipe) -> None:
    requests = requests_of(None, Size(64, 96), 2)
    exact = Way("exact", pipe, 4)
    truth, _ = looked_at(exact, requests, None, lambda picture: [])
    cached = Way("cache", pipe, 4, FirstBlockCacheConfig(1e9))
    _, figures = looked_at(cached, requests, truth, lambda picture: [])
    assert figures["distance"] > 0 and figures["recall"] == 0
    again, figures = looked_at(exact, requests, truth, lambda picture: [])
    assert figures["distance"] == 0 and all(map(np.array_equal, again, truth))


def test_each_way_has_the_row_of_the_same_time(pipe) -> None:
    ways = [Way("exact", pipe, 8), Way("fewer steps", pipe, 4), Way("cache", pipe, 8, FirstBlockCacheConfig(0.1))]
    table = report(ways, requests_of(None, Size(64, 96), 1), 1).splitlines()
    assert [line.split("|")[1].strip() for line in table[2:]] == [
        "exact", "fewer steps", "cache", "- the same time, fewer steps"
    ]  # fmt: skip
    assert 1 <= int(table[-1].split("|")[2]) <= 8


@pytest.mark.slow
def test_a_call_on_a_model_that_cannot_spell_prints_the_table(pipe, tmp_path, monkeypatch, capsys) -> None:
    pipe.save_pretrained(tmp_path / "model")
    (tmp_path / "model" / "README.md").write_text("---\nposterkit: {scripts: []}\n---\n# tiny\n")
    call = "--size 128x192 --count 1 --rounds 1 --steps 11 --strength 0.5 --thresholds 0.1 --device cpu"
    monkeypatch.setattr("sys.argv", ["speed_vs_text.py", "--model", str(tmp_path / "model"), *call.split()])
    main()
    rows = [line.split("|")[1:3] for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert [(name.strip(), steps.strip()) for name, steps in rows[2:5]] == [
        ("exact", "10"), ("fewer steps", "4"), ("fewer steps", "2")
    ]  # fmt: skip
