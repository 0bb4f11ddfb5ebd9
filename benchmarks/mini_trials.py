"""Short trials of how mini's PosterCraft is trained: equal CPU time on one thread, judged by the measures of pictures.

    python benchmarks/recogniser.py                                   # once
    python benchmarks/mini_trials.py                                  # all rows that `mini_trials.json` lacks
    python benchmarks/mini_trials.py --rows base rate --minutes 10

A row is the config `configs/mini/stage0_pretrain_pictures.yaml` with some keys changed. What counts is the process's
CPU time: cores may be shared. The trial is told to stop, as a cluster does it, and then writes its averaged weights.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import adherence
import psutil
import torch
from mini_report import draw
from mini_samples import heldout
from picture_measures import Judge
from PIL import Image

from posterkit import PosterCraftPipeline
from posterkit.training.adapters.flux import FluxAdapter
from posterkit.training.losses import add_noise
from posterkit.training.losses.flow import velocity_error

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "benchmarks" / "mini_trials.json"
CONFIG = "configs/mini/stage0_pretrain_pictures.yaml"
TIMES = torch.linspace(0.05, 0.95, 10)
SIZE, SEED = (128, 192), 0
# the config's long run has more posters, large ones too, and averages over longer
# and what the first trials chose; every row begins from what was there before them
BEFORE = ["learning_rate=2e-3", "model.transformer.num_layers=2", "model.transformer.num_single_layers=4",
          "model.transformer.num_attention_heads=5", "model.transformer.attention_head_dim=32",
          "model.transformer.axes_dims_rope=[4,14,14]"]  # fmt: skip
COMMON = ["data.count=16384", "data.large=0", "ema_decay=0.99", "save_every=100000", "log_every=50", "sample_every=0"]
# name -> what is changed, and why
ROWS: dict[str, tuple[str, list[str]]] = {
    "base": ("Muon 2e-3, batch 64, uniform times shifted by 1.5, 2 + 4 blocks of width 160", []),
    "rate": ("Muon 4e-3", ["learning_rate=4e-3"]),
    "batch": ("batch 32", ["batch_size=32"]),
    "times": ("logit-normal times", ["time=logit_normal"]),
    "wide": ("1 + 2 blocks of width 224", [
        "model.transformer.num_layers=1", "model.transformer.num_single_layers=2",
        "model.transformer.num_attention_heads=7"]),
    "middle": ("2 + 2 blocks of width 192", [
        "model.transformer.num_layers=2", "model.transformer.num_single_layers=2",
        "model.transformer.num_attention_heads=6"]),
    "deep": ("3 + 7 blocks of width 128", [
        "model.transformer.num_layers=3", "model.transformer.num_single_layers=7",
        "model.transformer.num_attention_heads=4"]),
    "heads": ("2 + 2 blocks of width 192 in 4 heads of 48, which tell places apart better", [
        "learning_rate=4e-3", "model.transformer.num_layers=2", "model.transformer.num_single_layers=2",
        "model.transformer.num_attention_heads=4", "model.transformer.attention_head_dim=48",
        "model.transformer.axes_dims_rope=[4,22,22]"]),
    "ten": ("1 + 9 blocks of width 144 in 3 heads of 48", [
        "learning_rate=4e-3", "model.transformer.num_layers=1", "model.transformer.num_single_layers=9",
        "model.transformer.num_attention_heads=3", "model.transformer.attention_head_dim=48",
        "model.transformer.axes_dims_rope=[4,22,22]"]),
    "adamw": ("AdamW 1e-3 for all", ["optimizer=adamw", "learning_rate=1e-3"]),
    "large": ("one sample in sixteen large, with low noise", ["data.large=1024"]),
}  # fmt: skip


def train(run: Path, overrides: list[str], minutes: float, cache: str) -> tuple[int, float]:
    """Train for so many minutes of CPU time.

    Returns:
        Steps taken, and CPU seconds.
    """
    base = [sys.executable, "train/stage0_pretrain.py", "--config", CONFIG, f"run_dir={run}", f"data.cache={cache}"]
    command = [*base, *COMMON, *BEFORE, *overrides]
    env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "TOKENIZERS_PARALLELISM": "false"}
    process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.DEVNULL)
    watched, used = psutil.Process(process.pid), 0.0
    while process.poll() is None and used < minutes * 60:
        time.sleep(1)
        if process.poll() is None:
            used = sum(watched.cpu_times()[:2])
    process.send_signal(signal.SIGTERM)
    process.wait()
    step = json.loads((run / "last" / "state.json").read_text())["step"]
    subprocess.run([*command, f"stop_at={step}"], cwd=ROOT, env=env, check=True)
    return step, used


@torch.no_grad()
def heldout_loss(folder: Path, count: int = 128) -> float:
    """Mean squared error of the velocity on held-out drawings, over ten times."""
    model = FluxAdapter.from_pretrained(folder)
    model.module.eval()
    generator = torch.Generator().manual_seed(SEED)
    batch = model.collate(model.precompute(heldout("text", SIZE, count, SEED, "short")))
    x0, condition = model.encode(batch)
    errors = []
    for t in TIMES:
        noise = torch.randn(x0.shape, generator=generator)
        times = t.expand(len(x0))
        errors.append(velocity_error(model.velocity(add_noise(x0, noise, times), times, condition), noise - x0).mean())
    return float(torch.stack(errors).mean())


def judge(folder: Path, recogniser: Path, count: int, cfg: float, sheet: Path) -> dict[str, float]:
    """What a checkpoint draws from held-out captions, from noise alone."""
    pipe: Any = PosterCraftPipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    samples = heldout("text", SIZE, count, SEED, "short")
    settings = {"batch": 20, "seed": SEED, "num_inference_steps": 16, "guidance_scale": 1.0, "true_cfg_scale": cfg,
                "negative_prompt": ""}  # fmt: skip
    posters = draw(pipe, "text", samples, [[] for _ in samples], settings)
    judge = Judge(recogniser, lettering=False)
    found = {name.split(" [")[0]: values for name, values in judge.measure("text", samples, posters).items()}
    found["background"] = [
        adherence.background_obeyed(p, s.shows["background"]) for p, s in zip(posters, samples, strict=True)
    ]
    others = [sample.target for sample in heldout("text", SIZE, 1000, 1)]
    tiles = Image.new("RGB", (12 * SIZE[0], 4 * SIZE[1]))
    for i, poster in enumerate(posters[:48]):
        tiles.paste(Image.fromarray(poster), (i % 12 * SIZE[0], i // 12 * SIZE[1]))
    sheet.parent.mkdir(parents=True, exist_ok=True)
    tiles.save(sheet)
    return {name: sum(values) / len(values) for name, values in found.items()} | {
        "Fréchet distance": judge.distance(posters, others)
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--minutes", type=float, default=10.0, help="CPU time of a trial")
    parser.add_argument("--count", type=int, default=200, help="held-out captions")
    parser.add_argument("--cfg", type=float, default=4.0, help="guidance, two forward passes a step")
    parser.add_argument("--recogniser", type=Path, default=ROOT / "runs" / "recogniser")
    parser.add_argument("--again", action="store_true", help="judge once more what was trained before")
    parser.add_argument("--cache", default="runs/cache")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "trials")
    options = parser.parse_args()
    for name in options.rows:
        done = read_table().get(name)
        if done and not options.again:
            continue
        what, overrides = ROWS[name]
        run = options.runs / name
        if done:
            row = {key: done[key] for key in ("what", "overrides", "CPU seconds", "steps")}
        else:
            steps, seconds = train(run, overrides, options.minutes, options.cache)
            row = {"what": what, "overrides": overrides, "CPU seconds": round(seconds), "steps": steps}
        row["held-out loss"] = heldout_loss(run / "ema")
        row |= judge(run / "ema", options.recogniser, options.count, options.cfg, options.runs / f"{name}.png")
        TABLE.write_text(json.dumps(read_table() | {name: row}, indent=1) + "\n")
        print(name, json.dumps(row), flush=True)


def read_table() -> dict[str, Any]:
    """The rows that were run; several processes may add to them."""
    return json.loads(TABLE.read_text()) if TABLE.is_file() else {}


if __name__ == "__main__":
    main()
