"""A stage on an NVIDIA card: `pytest -m gpu`."""

from __future__ import annotations

import json

import pytest

from posterkit import PosterCraftPipeline, PosterOmniPipeline


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("name", "settings"),
    [("postercraft", {}), ("postercraft", {"guidance": [1.0, 4.0]}), ("posteromni", {})],
    ids=["postercraft", "distilled", "posteromni"],
)
def test_a_stage_trains_draws_and_goes_on_on_the_card(nano_recipe, run_recipe, tmp_path, name, settings):
    path = nano_recipe(name, "run", max_steps=4, precision="bf16", ema_decay=0.9, sample_every=2, **settings)
    run_recipe("stage0_pretrain", path, "stop_at=2")
    run_recipe("stage0_pretrain", path)
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert len(list((tmp_path / "run" / "samples").iterdir())) == 2
    pipeline = {"postercraft": PosterCraftPipeline, "posteromni": PosterOmniPipeline}[name]
    assert pipeline.from_pretrained(tmp_path / "run" / "ema").transformer.dtype.is_floating_point
