"""What faster drawing costs in words: time, memory, distance from the exact run, words that can be read.

    python benchmarks/speed_vs_text.py --steps 40 --count 2 --rounds 3      # mini on a CPU
    python benchmarks/speed_vs_text.py --model black-forest-labs/FLUX.1-dev --presets 24gb 16gb --compile
    python benchmarks/speed_vs_text.py --model FLUX.1-dev --lora turbo.safetensors --sampler turbo8

Every way is followed by the exact run with as many steps as take the same time, which is what it has to beat. Posters
start from the same noise in every row. A model that cannot spell paints over drafts that bear the words; what is read
then is how well words survive. A second is the median over rounds, in which all ways take turns.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from statistics import mean, median
from typing import Any

import numpy as np
import torch
from diffusers.hooks import FirstBlockCacheConfig, TaylorSeerCacheConfig

from posterkit import PosterBrief, PosterRequest, typeset
from posterkit.generate.draw import draw
from posterkit.metrics.color import srgb_to_lab
from posterkit.metrics.ocr import TextReader, text_accuracy
from posterkit.pipelines.loading import card_prompts, card_scripts
from posterkit.pipelines.presets import load_pipeline
from posterkit.pipelines.registry import resolve
from posterkit.pipelines.sampling_presets import sampler_named
from posterkit.prompts.scene import read_scene
from posterkit.sizing import Size
from posterkit.synthetic.scene_draft import draft

BRIEFS = (
    ("a lighthouse on the sea at night, navy background", "NORTH LIGHT"),
    ("a red fox, beige background", "FOX TALES"),
    ("a jazz concert, orange background", "JAZZ NIGHT"),
    ("a city skyline at sunset", "OPEN HOUSE"),
    ("a sailboat on blue waves", "REGATTA"),
    ("a cup of coffee on a brown background", "SLOW MORNING"),
    ("white mountains under a blue sky", "HIGH TRAILS"),
    ("a yellow planet among stars, purple background", "NEW WORLDS"),
)
Picture = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Way:
    """A way to draw: a pipeline, its number of steps, a cache of diffusers."""

    name: str
    pipe: Any
    steps: int
    cache: Any = None
    options: tuple[tuple[str, Any], ...] = ()

    @contextmanager
    def ready(self) -> Iterator[None]:
        if self.cache is not None:
            self.pipe.transformer.enable_cache(self.cache)
        try:
            yield
        finally:
            if self.cache is not None:
                self.pipe.transformer.disable_cache()

    def draw(self, requests: Sequence[PosterRequest]) -> list[Picture]:
        """The posters, one call each; `(H, W, 3)` uint8."""
        with self.ready():
            return [
                np.asarray(draw(self.pipe, [replace(one, steps=self.steps)], **dict(self.options)).images[0])
                for one in requests
            ]


def requests_of(strength: float | None, size: Size, count: int, scenes: bool = False) -> list[PosterRequest]:
    """Posters with one title each.

    Args:
        strength: of drafts that bear the title, for a model that cannot spell; None asks for the title in the prompt.
        scenes: the model reads captions of scenes, as mini does.
    """
    made = []
    for number, (prompt, title) in enumerate(BRIEFS[:count]):
        request = PosterRequest(prompt, texts=[title], size=size, seed=number)
        if strength is None:
            made.append(replace(request, prompt=f'{prompt}, with the title "{title}"'))
        else:
            lettered = typeset(draft(request, size), PosterBrief(texts=[title])).image
            words = read_scene(prompt).caption() if scenes else prompt
            made.append(replace(request, prompt=words, draft=lettered, strength=strength))
    return made


def in_turns(ways: Sequence[Way], requests: Sequence[PosterRequest], rounds: int) -> list[float]:
    """Seconds a poster of each way: the median over rounds; every way has run once before."""
    seconds: list[list[float]] = [[] for _ in ways]
    for turn in range(rounds):
        order = range(len(ways)) if turn % 2 == 0 else reversed(range(len(ways)))
        for which in order:
            start = time.perf_counter()
            ways[which].draw(requests[:1])
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            seconds[which].append(time.perf_counter() - start)
    return [median(one) for one in seconds]


def looked_at(
    way: Way, requests: Sequence[PosterRequest], exact: Sequence[Picture] | None, reader: Callable[[Picture], Any]
) -> tuple[list[Picture], dict[str, float]]:
    """Posters of a way and its figures: distance in CIE Lab, words read, GiB of the card."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    pictures = way.draw(requests)
    figures = {"memory": torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else float("nan")}
    accuracies = [
        text_accuracy(list(request.texts or ()), [line.text for line in reader(picture)])
        for request, picture in zip(requests, pictures, strict=True)
    ]
    figures["recall"] = mean(one.recall for one in accuracies)
    figures["similarity"] = mean(one.similarity for one in accuracies)
    figures["distance"] = mean(
        float(np.linalg.norm(srgb_to_lab(picture) - srgb_to_lab(true), axis=-1).mean())
        for picture, true in zip(pictures, exact or pictures, strict=True)
    )
    return pictures, figures


def unit_of(requests: Sequence[PosterRequest]) -> int:
    """What numbers of steps are multiples of, so that every run over a draft begins at the same time."""
    return Fraction(requests[0].strength or 1).limit_denominator(20).denominator


def ways_of(given: argparse.Namespace, unit: int) -> list[Way]:
    """The exact run first; what this machine cannot do is left out with a line."""
    pipe = load_pipeline(given.model, device=given.device)
    steps = given.steps or int(pipe.config["num_inference_steps"])
    steps -= steps % unit
    fewer = (max(unit, unit * round(steps * share / unit)) for share in (0.5, 0.25))
    ways = [Way("exact", pipe, steps), *(Way("fewer steps", pipe, number) for number in fewer)]
    for threshold in given.thresholds:
        ways.append(Way(f"first-block cache {threshold:g}", pipe, steps, FirstBlockCacheConfig(threshold)))
    seer = TaylorSeerCacheConfig(cache_interval=3, disable_cache_before_step=2, taylor_factors_dtype=torch.float32)
    ways.append(Way("TaylorSeer, every third", pipe, steps, seer))
    if given.compile:
        compiled = load_pipeline(given.model, device=given.device)
        compiled.transformer.compile_repeated_blocks()
        ways.append(Way("compiled blocks", compiled, steps))
    for preset in given.presets:
        try:
            ways.append(Way(f"preset {preset}", load_pipeline(given.model, preset=preset, device=given.device), steps))
        except ValueError as fault:
            print(f"preset {preset}: left out: {fault}")
    if given.lora:
        tuned = load_pipeline(given.model, lora=given.lora, sampler=given.sampler, device=given.device)
        sampler = sampler_named(given.sampler, "postercraft") if given.sampler else None
        guidance = (("guidance_scale", sampler.guidance),) if sampler else ()
        ways.append(Way("few-step LoRA", tuned, sampler.steps if sampler else steps, options=guidance))
    for way in ways:
        way.pipe.set_progress_bar_config(disable=True)
    return ways


def report(ways: Sequence[Way], requests: Sequence[PosterRequest], rounds: int) -> str:
    """A Markdown table: each faster way, and below it the exact run in the same time."""
    unit = unit_of(requests)
    reader, exact = TextReader(limit=480, enlarge_to=480), ways[0]
    truth, first = looked_at(exact, requests, None, reader)
    found = [first, *(looked_at(way, requests, truth, reader)[1] for way in ways[1:])]
    seconds = in_turns(ways, requests, rounds)
    rows = ["| way | steps | s a poster | GiB | distance | words read | similarity |", "|---|---|---|---|---|---|---|"]

    def row(name: str, steps: int, took: str, figures: dict[str, float]) -> None:
        memory = "" if np.isnan(figures["memory"]) else f"{figures['memory']:.1f}"
        rows.append(
            f"| {name} | {steps} | {took} | {memory} | {figures['distance']:.2f} | {figures['recall']:.2f} | "
            f"{figures['similarity']:.2f} |"
        )

    known = {
        way.steps: one for way, one in zip(ways, found, strict=True) if way.cache is None and way.pipe is exact.pipe
    }
    for way, took, figures in zip(ways, seconds, found, strict=True):
        row(way.name, way.steps, f"{took:.2f}", figures)
        if way.cache is None and way.pipe is exact.pipe:
            continue
        fewer = min(exact.steps, max(unit, unit * round(exact.steps * took / seconds[0] / unit)))
        if fewer not in known:
            known[fewer] = looked_at(replace(exact, steps=fewer), requests, truth, reader)[1]
        row("- the same time, fewer steps", fewer, "", known[fewer])
    return "\n".join(rows)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--model", default="mini:postercraft", help="a FLUX.1 checkpoint")
    options.add_argument("--size", default="208x320", help="that the model draws (default 208x320)")
    options.add_argument("--count", type=int, default=len(BRIEFS), help="posters (at most 8)")
    options.add_argument("--rounds", type=int, default=7, help="of timing")
    options.add_argument("--steps", type=int, help="of the exact run (default: the checkpoint's)")
    painted = "of the drafts that a model without spelling paints over (default 0.4)"
    options.add_argument("--strength", type=float, default=0.4, help=painted)
    options.add_argument(
        "--thresholds", type=float, nargs="*", default=[0.05, 0.1, 0.2], help="of the first-block cache"
    )
    options.add_argument("--compile", action="store_true", help="compiled blocks, too; takes minutes on a CPU")
    options.add_argument("--presets", nargs="*", default=[], help="such as 24gb 16gb 8gb; on a card")
    options.add_argument("--lora", help="a few-step LoRA")
    options.add_argument("--sampler", help="its sampling preset")
    options.add_argument("--device")
    given = options.parse_args()
    width, height = map(int, given.size.split("x"))
    strength = given.strength if card_scripts(resolve(given.model)) == () else None
    scenes = card_prompts(resolve(given.model)) == "scene"
    requests = requests_of(strength, Size(width, height), given.count, scenes)
    print(report(ways_of(given, unit_of(requests)), requests, given.rounds))


if __name__ == "__main__":
    main()
