"""The upscaler's recipe on a few posters: it learns, resumes bit for bit and saves a file that opens."""

from __future__ import annotations

from pathlib import Path

import torch
import yaml
from safetensors.torch import load_file

from posterkit.pipelines.upscaler import CompactUpscaler

ROOT = Path(__file__).resolve().parents[3]


def test_a_stopped_run_goes_on_bit_for_bit_and_saves_a_file_that_opens(run_recipe, nano_autoencoder, tmp_path):
    config = yaml.safe_load((ROOT / "configs" / "mini" / "stage0_upscaler.yaml").read_text())
    config |= {"autoencoders": {"flux": str(nano_autoencoder("postercraft"))}, "sizes": [[64, 96]], "count": 4,
               "batch_size": 2, "crop": 32, "features": 8, "depth": 1, "max_steps": 4, "sample_every": 0}  # fmt: skip

    def write(run: str) -> Path:
        path = tmp_path / f"{run}.yaml"
        path.write_text(yaml.safe_dump(config | {"run_dir": str(tmp_path / run)}))
        return path

    run_recipe("stage0_upscaler", write("whole"))
    run_recipe("stage0_upscaler", write("halves"), "stop_at=2")
    run_recipe("stage0_upscaler", write("halves"))
    for file in ("weights", "ema"):
        whole, again = (load_file(tmp_path / run / "last" / f"{file}.safetensors") for run in ("whole", "halves"))
        assert all(torch.equal(whole[key], again[key]) for key in whole)
    assert CompactUpscaler.from_file(tmp_path / "halves" / "ema" / "upscaler.safetensors").scale == 4
