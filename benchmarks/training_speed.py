"""Step time and memory of our stages against diffusers' example trainers, run unchanged; FLOP utilisation on a card.

    OMP_NUM_THREADS=1 python benchmarks/training_speed.py --diffusers SOURCE --peer ENV/bin/python
    python benchmarks/training_speed.py --full                 # an NVIDIA card: full sizes, random weights
    python benchmarks/training_speed.py --full --count         # no card: parameters and FLOPs alone

SOURCE is diffusers' source repository, whose examples/dreambooth holds the trainers. They need torchvision, which
posterkit's own environment must not have, so they run in another one with the same versions of everything else:

    python -m venv ENV && ENV/bin/pip install torchvision diffusers transformers accelerate peft tensorboard ftfy

Both run in one process each for the whole time, our recipe by its own command, and take turns: a few steps of one,
then as many of the other, seen from outside by the optimiser's steps (peers/dreambooth_clock.py). Same checkpoint,
batch, sizes, tokens, LoRA layers and rank, AdamW, float32, no averages, no dropped prompts, latents in a cache. The
FLUX trainers encode the prompt in every step, the full one pictures too; the second ratio leaves that out, as if they
kept it as we do. Qwen's trainer knows no reference pictures (nor has diffusers one for Qwen-Image-Edit; FLUX Kontext's
appends them to the tokens): it gets as many tokens in one wider picture. Time is the process' own CPU time, so that a
busy machine does not blur the ratios; memory is how far the process rises above what it holds before the first step.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import FluxTransformer2DModel, QwenImageTransformer2DModel
from PIL import Image
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from posterkit import mini
from posterkit.data.flow import Flow, run_flow
from posterkit.data.schema import PosterSample, encode_sample
from posterkit.data.synthetic import SyntheticPosters
from posterkit.pipelines.flux_inputs import position_ids
from posterkit.training.adapters.flux import FluxAdapter, FluxCondition
from posterkit.training.adapters.qwen import QwenAdapter, QwenCondition
from posterkit.training.config import RunConfig
from posterkit.training.loop import Run
from posterkit.training.lora import ATTENTION, Trainable, set_trainable
from posterkit.training.losses import add_noise, flow_matching_loss, sample_time

ROOT = Path(__file__).parent.parent
CLOCK = ROOT / "benchmarks/peers/dreambooth_clock.py"
WORDS = "a poster of a red circle with the word JAZZ over a blue sky and a green field"
RANK = 16


@dataclass(frozen=True)
class Case:
    """A recipe of ours, and the trainer of diffusers that does the same."""

    family: str
    recipe: str
    trainer: str
    full: bool = False


CASES = {
    "FLUX.1 LoRA": Case("postercraft", "stage1_text_render", "train_dreambooth_lora_flux"),
    "FLUX.1 full": Case("postercraft", "stage1_text_render", "train_dreambooth_flux", full=True),
    "Qwen-Image(-Edit) LoRA": Case("posteromni", "stage2_experts", "train_dreambooth_lora_qwen_image"),
}


@dataclass(frozen=True)
class Round:
    """How large a model, its pictures and its batches are, and how many steps a turn takes.

    Attributes:
        transformer: config values beside those of mini's; none for the shipped checkpoint itself.
        side: of the square pictures, in pixels, for each family.
    """

    transformer: dict[str, dict[str, int]]
    side: dict[str, int]
    batch: int
    steps: int


ROUNDS = {
    "mini": Round({}, {"postercraft": 160, "posteromni": 160}, batch=4, steps=5),
    "width 320": Round(
        {"postercraft": {"num_attention_heads": 10, "num_layers": 3, "num_single_layers": 6},
         "posteromni": {"num_attention_heads": 10, "num_layers": 8}},
        {"postercraft": 448, "posteromni": 320}, batch=1, steps=1,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Posters:
    """Synthetic posters of one size that all say the same; for PosterOmni with themselves as the reference."""

    family: str
    side: int
    tasks: tuple[str, ...] = ("text",)

    def __getitem__(self, number: int) -> PosterSample:
        sample = SyntheticPosters(seed=3, tasks=("text",), sizes=((160, 160),))[number]
        picture = np.asarray(Image.fromarray(sample.target).resize((self.side, self.side)))
        changed: dict[str, Any] = {"caption": WORDS, "instruction": WORDS, "regions": [], "texts": [], "mask": None}
        if self.family == "posteromni":
            changed |= {"task": "style_driven", "references": [picture]}
        return replace(sample, id=f"{number}", target=picture, **changed)


class Trainer:
    """A training script in a process of its own that takes steps when it is told to.

    Raises:
        RuntimeError: it ended before its first steps were done; the message holds its last lines.
    """

    def __init__(self, python: str, script: Path, arguments: list[str], folder: Path, warm_up: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / "log.txt"
        asked, ask = os.pipe()
        told, tell = os.pipe()
        command = [python, str(CLOCK), str(asked), str(tell), str(warm_up), str(script), *arguments]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command, pass_fds=(asked, tell), cwd=folder, env=environment, stdout=log, stderr=log
            )
        os.close(asked)
        os.close(tell)
        self._ask, self._told = os.fdopen(ask, "w"), os.fdopen(told)
        self.seen = self._answer()

    def take(self, steps: int) -> dict[str, Any]:
        """Let it take steps; what they cost together."""
        self._ask.write(f"{steps}\n")
        self._ask.flush()
        return self._answer()

    def end(self) -> None:
        with suppress(BrokenPipeError):
            self._ask.close()
        self.process.wait(60)
        self._told.close()

    def _answer(self) -> dict[str, Any]:
        line = self._told.readline()
        if not line:
            said = "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
            raise RuntimeError(f"{' '.join(map(str, self.process.args))} ended:\n{said}")
        return json.loads(line)


def against_diffusers(given: argparse.Namespace, folder: Path) -> None:
    """Print a row for each case and round."""
    print("| model | size | tokens: image + text, x batch | ours, s | diffusers, s | ratio, as it comes | "
          "ratio, encoders left out (quartiles) | by the clock | peak memory, MiB | ratio | data wait |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for size in given.sizes:
        for name in given.cases:
            found = compare(CASES[name], ROUNDS[size], given, folder / size.replace(" ", "_") / name.split()[-2][:4])
            print(f"| {name} | {size} | {table_row(found)} |", flush=True)
            shutil.rmtree(folder / size.replace(" ", "_"))


def compare(case: Case, size: Round, given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """What both cost, in turns."""
    side = size.side[case.family]
    base = checkpoint(case.family, size, folder / "base")
    posters = Posters(case.family, side)
    run_flow(Flow(posters, given.posters, (), encode_sample, {"tool": "training_speed"}), folder / "set")
    (folder / "pictures").mkdir()
    for number in range(given.posters):
        Image.fromarray(posters[number].target).save(folder / "pictures" / f"{number}.png")
    ours = Trainer(sys.executable, ROOT / "train" / f"{case.recipe}.py", our_arguments(case, size, base, folder),
                   folder / "ours", given.warm_up)  # fmt: skip
    try:
        arguments = their_arguments(case, size, base, folder, ours.seen["text_tokens"])
        trainer = Path(given.diffusers).resolve() / "examples/dreambooth" / f"{case.trainer}.py"
        theirs = Trainer(given.peer, trainer, arguments, folder / "theirs", given.warm_up)
    except BaseException:
        ours.end()
        raise
    try:
        for name in ("batch", "image_tokens", "text_tokens", "dtype", "trained"):
            if ours.seen[name] != theirs.seen[name]:
                print(f"{case}: {name} differs: {ours.seen[name]} and {theirs.seen[name]}", file=sys.stderr)
        pairs = []
        for number in range(given.pairs):
            turns = (ours, theirs) if number % 2 else (theirs, ours)
            taken = {trainer: trainer.take(size.steps) for trainer in turns}
            pairs.append((taken[ours], taken[theirs]))
        done = given.warm_up + given.pairs * size.steps
        ours.take(max(20, 4 * size.steps) if size.steps > 1 else 4)
    finally:
        ours.end()
        theirs.end()
    rows = [json.loads(line) for line in (folder / "ours/run/metrics.jsonl").read_text().splitlines()]
    waits = [row["data_wait"] for row in rows if row["step"] > done + size.steps]
    return {"pairs": pairs, "steps": size.steps, "data_wait": float(np.mean(waits))}


def checkpoint(family: str, size: Round, folder: Path) -> Path:
    """mini's checkpoint, with a transformer of this size (random weights) and pictures of this side as its own."""
    folder.mkdir(parents=True)
    for part in Path(mini.path(family)).iterdir():
        if part.is_dir() and part.name != "transformer":
            (folder / part.name).symlink_to(part)
    area = size.side[family] ** 2
    index = json.loads((Path(mini.path(family)) / "model_index.json").read_text())
    index |= {name: area for name in ("native_area", "reference_area") if name in index}
    (folder / "model_index.json").write_text(json.dumps(index))
    cls = {"postercraft": FluxTransformer2DModel, "posteromni": QwenImageTransformer2DModel}[family]
    shipped = cls.from_pretrained(mini.path(family), subfolder="transformer")
    torch.manual_seed(0)
    changed = size.transformer.get(family)
    transformer = cls.from_config({**shipped.config, **changed}) if changed else shipped
    transformer.save_pretrained(folder / "transformer")
    return folder


def our_arguments(case: Case, size: Round, base: Path, folder: Path) -> list[str]:
    trainable = "{weights: full}" if case.full else f"{{weights: lora, rank: {RANK}}}"
    more = ["group=global", "data.tasks=[style_driven]", "text_share=0"] if case.family == "posteromni" else []
    return [
        "--config", str(ROOT / "configs/mini" / f"{case.recipe}.yaml"), f"run_dir={folder / 'ours/run'}",
        f"init_from={base}", f"data.path={folder / 'set'}", f"data.area={size.side[case.family] ** 2}",
        f"batch_size={size.batch}", f"trainable={trainable}", "optimizer=adamw", "max_steps=100000", "ema_decay=0",
        "save_every=100000", "sample_every=0", "drop_prompt=0", f"log_every={size.steps}", *more,
    ]  # fmt: skip


def their_arguments(case: Case, size: Round, base: Path, folder: Path, text_tokens: int) -> list[str]:
    side = size.side[case.family]
    lora = ["--rank", str(RANK), "--lora_alpha", str(RANK), "--lora_layers", ",".join(ATTENTION), "--cache_latents"]
    # the reference's tokens as a picture twice as wide
    wide = ["--use_aspect_ratio_buckets", "--aspect_ratio_buckets", f"{side},{2 * side}"]
    return [
        "--pretrained_model_name_or_path", str(base), "--instance_data_dir", str(folder / "pictures"),
        "--instance_prompt", " ".join([WORDS] * 8), "--output_dir", str(folder / "theirs/run"),
        "--resolution", str(side), "--train_batch_size", str(size.batch), "--max_train_steps", "100000",
        "--max_sequence_length", str(text_tokens), "--mixed_precision", "no", "--seed", "0", "--learning_rate", "1e-4",
        "--checkpointing_steps", "1000000", *([] if case.full else lora),
        *(wide if case.family == "posteromni" else []),
    ]  # fmt: skip


def table_row(found: dict[str, Any]) -> str:
    """The cells of a comparison."""
    ours, theirs = zip(*found["pairs"], strict=True)
    seconds = [np.array([turn[name] for turn in turns]) / found["steps"] for turns in (ours, theirs)
               for name in ("cpu", "frozen_cpu", "wall", "frozen_wall")]  # fmt: skip
    (cpu, frozen, wall, _), (their_cpu, their_frozen, their_wall, their_frozen_wall) = seconds[:4], seconds[4:]
    low, middle, high = np.percentile(cpu / (their_cpu - their_frozen), (25, 50, 75))
    risen = [(turns[-1]["peak"] - turns[-1]["loaded"]) / 2**20 for turns in (ours, theirs)]
    seen = ours[0]
    return " | ".join(
        [
            f"{seen['image_tokens']} + {seen['text_tokens']}, x {seen['batch']}",
            f"{np.median(cpu):.3f}" + (f" ({np.median(frozen):.3f} encoders)" if frozen.any() else ""),
            f"{np.median(their_cpu):.3f} ({np.median(their_frozen):.3f} encoders)",
            f"{np.median(cpu / their_cpu):.2f}",
            f"{middle:.2f} ({low:.2f} to {high:.2f})",
            f"{np.median(wall / (their_wall - their_frozen_wall)):.2f}",
            f"{risen[0]:.0f} and {risen[1]:.0f}",
            f"{risen[0] / risen[1]:.2f}",
            f"{found['data_wait']:.1%}",
        ]
    )


@dataclass(frozen=True)
class FullSize:
    """A published model's transformer, and one poster of 1 MP with its text (and one reference of 1 MP).

    Attributes:
        config: what differs from the class's own defaults, which are the published values of both.
        rows: of image tokens, and columns.
        width, pooled: channels of the text encoders' states.
    """

    family: str
    config: dict[str, Any]
    rows: int = 64
    text: int = 512
    width: int = 4096
    pooled: int = 768


FULL = {
    "FLUX.1-dev": FullSize("postercraft", {"guidance_embeds": True}),
    "Qwen-Image-Edit": FullSize("posteromni", {}, width=3584),
}
# dense bfloat16 with float32 sums, TFLOP/s, from NVIDIA's data sheets; a name holds the longest key that fits it
PEAKS = {
    "A10": 125, "A100": 312, "L4": 121, "L40S": 362, "H100 PCIe": 756, "H100": 989, "H200": 989, "B200": 2250,
    "RTX 3090": 71, "RTX 4090": 165, "RTX A6000": 155, "RTX 6000 Ada": 364,
}  # fmt: skip


def bare_model(full: FullSize, device: str) -> Any:
    """An adapter with a transformer only: random bfloat16 weights on the device, a LoRA that trains on them."""
    cls = {"postercraft": FluxTransformer2DModel, "posteromni": QwenImageTransformer2DModel}[full.family]
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device(device):
            transformer = cls(**full.config)
    finally:
        torch.set_default_dtype(before)
    adapter = {"postercraft": FluxAdapter, "posteromni": QwenAdapter}[full.family]
    model = adapter.__new__(adapter)  # encoders and autoencoder have done their work: what they say is in a cache
    model.module = nn.ModuleDict({"transformer": transformer})
    set_trainable(model.module, Trainable("lora", rank=64))
    return model


def one_poster(full: FullSize, transformer: Any, device: str) -> tuple[Tensor, Any]:
    """Clean tokens `(1, S, C)` and the condition, random."""
    tokens, channels = full.rows**2, transformer.config.in_channels
    with torch.device(device):
        x0, prompt = torch.randn(1, tokens, channels), torch.randn(1, full.text, full.width)
        if full.family == "postercraft":
            ids = position_ids(full.rows, full.rows).to(device)
            return x0, FluxCondition(prompt, torch.randn(1, full.pooled), ids)
        mask = torch.ones(1, full.text, dtype=torch.bool)
        shapes = [(1, full.rows, full.rows)] * 2
        return x0, QwenCondition(prompt, mask, torch.randn(1, tokens, channels), shapes)


def count_step(full: FullSize) -> tuple[int, int]:
    """Parameters of the transformer, its LoRA left out, and FLOPs of one step; nothing is computed nor held.

    The FLOPs are the model's: what checkpointing computes again does not count, nor do weights that stay frozen have
    a gradient.
    """
    model = bare_model(full, "meta")
    transformer = model.module["transformer"]
    count = sum(p.numel() for p in transformer.parameters() if not p.requires_grad)
    x0, condition = one_poster(full, transformer.to(torch.float32), "meta")
    with FlopCounterMode(display=False) as counter:
        v = model.velocity(x0, torch.rand(1, device="meta"), condition)
        flow_matching_loss(v, x0).backward()
    return count, counter.get_total_flops()


def time_step(full: FullSize, device: str, steps: int, folder: Path) -> tuple[float, float]:
    """Median seconds of a step and GiB at its peak on a card; on a CPU the memory is 0.

    As in a recipe, with gradient checkpointing, bfloat16 and AdamW, batch 1.
    """
    model = bare_model(full, device)
    model.module["transformer"].enable_gradient_checkpointing()
    x0, condition = one_poster(full, model.module["transformer"], device)
    run = Run(RunConfig(run_dir=str(folder), max_steps=steps, batch_size=1, precision="bf16", log_every=steps))
    seconds, start = [], None
    for clean in run.steps(model, Same(x0)):
        t = sample_time(1, run.generator).to(run.device)
        with run.autocast():
            noise = run.noise_like(clean)
            v = model.velocity(add_noise(clean, noise, t), t, condition)
        run.backward(flow_matching_loss(v, noise - clean))
        if device == "cuda":
            torch.cuda.synchronize()
        now = time.perf_counter()
        seconds += [] if start is None else [now - start]
        start = now
    peak = torch.cuda.max_memory_allocated() / 2**30 if device == "cuda" else 0.0
    return float(np.median(seconds[1:])), peak


class Same:
    """The same batch again and again."""

    def __init__(self, batch: Any) -> None:
        self.batch = batch

    def __iter__(self) -> Iterator[Any]:
        while True:
            yield self.batch

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


def card_peak(name: str) -> float:
    """Peak FLOP/s of a card by the name that CUDA gives it.

    Raises:
        ValueError: the table does not know it.
    """
    known = [key for key in PEAKS if key in name.removeprefix("NVIDIA ")]
    if not known:
        raise ValueError(f"{name} is not in the table of peaks; it has {', '.join(PEAKS)}")
    return 1e12 * PEAKS[max(known, key=len)]


def at_full_size(given: argparse.Namespace, folder: Path) -> None:
    """Print a row for each model; without --count it needs a card. Not yet run on a GPU."""
    name = None if given.count else torch.cuda.get_device_name()
    more = [] if name is None else [f"{name}: step, s", "peak, GiB", "utilisation"]
    titles = ["model", "parameters", "tokens", "TFLOP a step", *more]
    print(f"| {' | '.join(titles)} |\n|{'---|' * len(titles)}")
    for model, full in FULL.items():
        parameters, flops = count_step(full)
        images = full.rows**2 * (2 if full.family == "posteromni" else 1)
        row = f"| {model} LoRA | {parameters / 1e9:.2f} B | {images} + {full.text} | {flops / 1e12:.1f} |"
        if name is not None:
            seconds, peak = time_step(full, "cuda", 12, folder / model)
            row += f" {seconds:.2f} | {peak:.1f} | {flops / seconds / card_peak(name):.0%} |"
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        print(row, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--diffusers", metavar="SOURCE", help="diffusers' source repository")
    parser.add_argument("--peer", metavar="PYTHON", help="the Python of an environment that has torchvision too")
    parser.add_argument("--sizes", nargs="+", default=list(ROUNDS), choices=list(ROUNDS))
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--pairs", type=int, default=9, help="turns of each")
    parser.add_argument("--warm-up", type=int, default=3, help="steps before the first turn")
    parser.add_argument("--posters", type=int, default=32)
    parser.add_argument("--full", action="store_true", help="full sizes with random weights, on a card")
    parser.add_argument("--count", action="store_true", help="with --full: parameters and FLOPs alone, no card")
    given = parser.parse_args()
    if not given.full and not (given.diffusers and given.peer):
        parser.error("give --diffusers and --peer, or --full")
    with tempfile.TemporaryDirectory() as name:
        (at_full_size if given.full else against_diffusers)(given, Path(name))


if __name__ == "__main__":
    main()
