"""Step time and memory of our stages against diffusers' example trainers, run unchanged.

    OMP_NUM_THREADS=1 python benchmarks/training_speed.py --diffusers SOURCE --peer ENV/bin/python

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
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import FluxTransformer2DModel, QwenImageTransformer2DModel
from PIL import Image

from posterkit import mini
from posterkit.datagen.engine import Flow, run_flow
from posterkit.datasets.sample_files import encode_sample
from posterkit.schema import PosterSample
from posterkit.synthetic import SyntheticPosters
from posterkit.training.lora import ATTENTION

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

    def __init__(
        self, python: str, script: Path, arguments: list[str], folder: Path, warm_up: int,
        environment: dict[str, str] | None = None,
    ) -> None:  # fmt: skip
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / "log.txt"
        asked, ask = os.pipe()
        told, tell = os.pipe()
        command = [python, str(CLOCK), str(asked), str(tell), str(warm_up), str(script), *arguments]
        environment = {**(environment or os.environ), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--diffusers", metavar="SOURCE", required=True, help="diffusers' source repository")
    parser.add_argument(
        "--peer", metavar="PYTHON", required=True, help="the Python of an environment with torchvision"
    )
    parser.add_argument("--sizes", nargs="+", default=list(ROUNDS), choices=list(ROUNDS))
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--pairs", type=int, default=9, help="turns of each")
    parser.add_argument("--warm-up", type=int, default=3, help="steps before the first turn")
    parser.add_argument("--posters", type=int, default=32)
    with tempfile.TemporaryDirectory() as name:
        against_diffusers(parser.parse_args(), Path(name))


if __name__ == "__main__":
    main()
