"""An epoch of DiffusionNFT: our stage 3 against the public code's structure, at equal samples.

    OMP_NUM_THREADS=1 python benchmarks/nft_speed.py [--pairs 7]

The peer is what scripts/train_nft_sd3.py of DiffusionNFT does, in its essentials, on mini's transformer: two LoRAs by
peft, posters drawn by the one called old, decoded, handed to a thread that scores them; then for every micro-batch and
time a pass of old, one of the policy, one without LoRA, the same loss, one optimiser step, the sampler's update. Same
prompts a draw, posters a prompt, sampling steps, times, rank, layers and reward; prompts and references are encoded
before, for both. The two take turns, an epoch each; time is the process' CPU time. Beside the ratio stands how long
our steps waited for rewards that run in a worker process, by the clock.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from torch.optim.optimizer import register_optimizer_step_post_hook

from posterkit import mini
from posterkit.datasets import SyntheticPosters
from posterkit.metrics.expected_texts import request_from_sample
from posterkit.pipelines.latents import unpack
from posterkit.rewards import open_reward
from posterkit.schema import PosterRequest
from posterkit.sizing import Size
from posterkit.training.adapters.autoencoder import tensor_to_images
from posterkit.training.adapters.qwen import QwenAdapter
from posterkit.training.lora import ATTENTION
from posterkit.training.losses import add_noise, group_advantages, nft_loss, optimality
from posterkit.training.rl.samplers import sampling_times

ROOT = Path(__file__).resolve().parent.parent
PROMPTS, IMAGES, DRAWS, STEPS, RANK = 2, 6, 2, 6, 32
PASSES = int(0.99 * STEPS)
SIZE, REWARD = (128, 192), "style"
GIVEN = [
    f"batch_size={PROMPTS}", f"rollouts.images={IMAGES}", f"rollouts.draws={DRAWS}", f"rollouts.steps={STEPS}",
    "rollouts.least_std=0", f"reward.source={REWARD}", "data.tasks=[style_driven]", "data.count=48", "data.heldout=0",
    f"data.sizes=[[{SIZE[0]},{SIZE[1]}]]", f"trainable.rank={RANK}", "ema_decay=0", "sample_every=0",
    "save_every=100000", "max_steps=100000", "log_every=1",
]  # fmt: skip


class Ours:
    """The recipe itself, in a thread that takes a step when it is told to."""

    def __init__(self, folder: Path, workers: int) -> None:
        self.folder = folder
        self._go, self._done, self._ended = threading.Semaphore(0), threading.Semaphore(0), False
        arguments = [*GIVEN, f"run_dir={folder}", f"reward.workers={workers}"]
        self._thread = threading.Thread(target=self._run, args=(arguments,), daemon=True)
        self._hook = register_optimizer_step_post_hook(self._stepped)
        self._thread.start()
        self._done.acquire()  # the first step is for warming up

    def epoch(self) -> None:
        self._go.release()
        self._done.acquire()

    def end(self) -> None:
        self._ended = True
        self._go.release()
        self._thread.join()
        self._hook.remove()

    def _stepped(self, *_: Any) -> None:
        if threading.current_thread() is self._thread:
            self._done.release()
            self._go.acquire()
            if self._ended:
                raise SystemExit

    def _run(self, arguments: list[str]) -> None:
        sys.argv = ["stage3_reward.py", "--config", str(ROOT / "configs/mini/stage3_reward.yaml"), *arguments]
        sys.path.insert(0, str(ROOT / "train"))
        import stage3_reward

        stage3_reward.main()


class Theirs:
    """The public structure: sample, score, train."""

    def __init__(self) -> None:
        self.model = QwenAdapter.from_pretrained(mini.path("posteromni"), frozen_text=True)
        targets: list[str] = list(ATTENTION)
        self.transformer: Any = get_peft_model(
            self.model.parts["transformer"], LoraConfig(r=RANK, lora_alpha=64, target_modules=targets)
        )
        self.transformer.add_adapter("old", LoraConfig(r=RANK, lora_alpha=64, target_modules=targets))
        self.transformer.set_adapter("default")
        names = dict(self.transformer.named_parameters())
        self.own = [p for n, p in names.items() if ".lora_" in n and ".default." in n]
        self.old = [names[n.replace(".default.", ".old.")] for n in names if ".lora_" in n and ".default." in n]
        for own, old in zip(self.own, self.old, strict=True):
            old.data.copy_(own.data)
        self.model.module["transformer"] = self.transformer
        self.optimizer = torch.optim.AdamW(self.own, lr=1e-3, weight_decay=1e-4)
        self.reward, self.pool = open_reward(REWARD), ThreadPoolExecutor(1)
        self.prompts, self.step = self._prompts(), 0

    def epoch(self) -> None:
        drawn = [self._draw(*next(self.prompts)) for _ in range(DRAWS)]
        rewards = torch.tensor([worth.value for one in drawn for worth in one["worths"].result()])
        advantages = group_advantages(rewards, torch.arange(len(rewards)) // IMAGES)
        self.transformer.train()
        for one, own in zip(drawn, optimality(advantages).chunk(DRAWS), strict=True):
            order = torch.stack([torch.randperm(STEPS)[:PASSES] for _ in own])
            for place in range(PASSES):
                self._learn(one, own, one["times"][order[:, place]]).div(DRAWS * PASSES).backward()
        torch.nn.utils.clip_grad_norm_(self.own, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step += 1
        decay = min(0.001 * self.step, 0.5)
        with torch.no_grad():
            for own, old in zip(self.own, self.old, strict=True):
                old.copy_(old * decay + own * (1 - decay))

    @torch.no_grad()
    def _draw(self, batch: Any, asked: list[PosterRequest]) -> dict[str, Any]:
        self.transformer.eval()
        self.transformer.set_adapter("old")
        target, condition = self.model.encode(batch)
        rows = torch.arange(PROMPTS).repeat_interleave(IMAGES)
        condition, x = condition.take(rows), torch.randn(len(rows), *target.shape[1:])
        times = sampling_times(self.model.parts["scheduler"], STEPS, target.shape[1])
        for now, then in itertools.pairwise(times):
            x = x + (then - now) * self.model.velocity(x, now.expand(len(x)), condition)
        self.transformer.set_adapter("default")
        pictures = tensor_to_images(self.model.vae.decode(unpack(x, Size(*SIZE), 16)))
        worths = self.pool.submit(self.reward, pictures, [one for one in asked for _ in range(IMAGES)])
        return {"x0": x, "condition": condition, "times": times, "worths": worths}

    def _learn(self, one: dict[str, Any], r: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        x0, condition = one["x0"], one["condition"]
        x = add_noise(x0, torch.randn_like(x0), t)
        with torch.no_grad():
            self.transformer.set_adapter("old")
            v_old = self.model.velocity(x, t, condition)
            self.transformer.set_adapter("default")
        v = self.model.velocity(x, t, condition)
        with torch.no_grad(), self.transformer.disable_adapter():
            v_ref = self.model.velocity(x, t, condition)
        return nft_loss(v, v_old, v_ref, x, x0, t, r)[0]

    def _prompts(self) -> Iterator[tuple[Any, list[PosterRequest]]]:
        """Prompts whose references have one shape, encoded, a draw at a time."""
        source = SyntheticPosters(seed=0, tasks=("style_driven",), sizes=[SIZE])
        samples = [source.sample(number, task="style_driven") for number in range(48)]
        kinds: dict[Any, list[Any]] = {}
        for sample, row in zip(samples, self.model.precompute(samples), strict=True):
            kinds.setdefault(self.model.bucket(row), []).append((row, request_from_sample(sample)))
        while True:
            for members in kinds.values():
                for start in range(0, len(members) - PROMPTS + 1, PROMPTS):
                    rows, asked = zip(*members[start : start + PROMPTS], strict=True)
                    yield self.model.collate(list(rows)), list(asked)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=7, help="epochs of either side (default 7)")
    pairs = parser.parse_args().pairs
    torch.set_num_threads(1)
    spent: dict[str, list[float]] = {"ours": [], "theirs": []}
    with tempfile.TemporaryDirectory() as name:
        theirs, ours = Theirs(), Ours(Path(name) / "here", workers=0)
        theirs.epoch()
        for _ in range(pairs):
            for side, who in (("ours", ours), ("theirs", theirs)):
                started = time.process_time()
                who.epoch()
                spent[side].append(time.process_time() - started)
        ours.end()
        aside = Ours(Path(name) / "aside", workers=1)
        for _ in range(pairs + 1):
            aside.epoch()
        aside.end()
        rows = [json.loads(line) for line in (Path(name) / "aside" / "metrics.jsonl").read_text().splitlines()]
    ratios = np.array(spent["ours"]) / np.array(spent["theirs"])
    low, middle, high = np.quantile(ratios, (0.25, 0.5, 0.75))
    posters = PROMPTS * IMAGES * DRAWS
    print(f"an epoch of {posters} posters, {STEPS} sampling steps, {PASSES} times each, CPU seconds:")
    print(f"ours {np.median(spent['ours']):.2f}, the public structure {np.median(spent['theirs']):.2f}")
    print(f"ratio {middle:.3f} ({low:.3f} to {high:.3f}), {pairs} pairs")
    waited = np.median([row["data_wait"] for row in rows[1:]])
    print(f"waiting for rewards in a worker process: {waited:.1%} of the time")


if __name__ == "__main__":
    main()
