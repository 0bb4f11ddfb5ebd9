"""Time and memory of the pipelines, printed beside their peers; nothing here passes or fails.

    python benchmarks/pipeline_speed.py                        # everything, on the shipped checkpoints
    python benchmarks/pipeline_speed.py --parts poster batch   # some of it

poster: one 832x1216 poster with typeset text, in a process of its own.
stock:  ours against the diffusers pipeline on the same weights, sizes, areas and steps, then against it as it comes.
batch:  eight different inputs in one call against the diffusers pipeline one by one.

A ratio is the median of interleaved pairs with its quartiles, so that a busy machine slows both sides alike.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np
from PIL import Image

START = time.perf_counter()

if TYPE_CHECKING:
    from posterkit.datasets import PosterSample

PROMPT = 'Poster, navy background, a yellow moon over the sea, "JAZZ NIGHT"'
TEXTS = ["JAZZ NIGHT", "Friday 8 pm", "Harbour Hall"]
POSTER = (832, 1216)
Calls = tuple[Callable[[list[int]], Any], Callable[[int], Any]]


@dataclass(frozen=True)
class Pairs:
    """Seconds of two ways of doing the same, run in turns."""

    ours: list[float]
    peer: list[float]

    def __str__(self) -> str:
        low, middle, high = np.percentile(np.divide(self.ours, self.peer), [25, 50, 75])
        return (
            f"ours / peer {middle:.3f} (quartiles {low:.3f} to {high:.3f}, {len(self.ours)} pairs); "
            f"ours {np.median(self.ours):.2f} s, peer {np.median(self.peer):.2f} s"
        )


def interleaved(ours: Callable[[], Any], peer: Callable[[], Any], pairs: int) -> Pairs:
    """Time both once in every pair, the first place alternating; each has run once before."""
    sides, seconds = (ours, peer), ([], [])
    for side in sides:
        side()
    for pair in range(pairs):
        for which in (0, 1) if pair % 2 == 0 else (1, 0):
            start = time.perf_counter()
            sides[which]()
            seconds[which].append(time.perf_counter() - start)
    return Pairs(*seconds)


# --- one poster ---------------------------------------------------------------------------------------------------


def make_poster(folder: str | None) -> dict[str, float]:
    """Load the text pipeline, draw, enlarge, typeset; seconds, GiB, and seconds of all cores together (cpu)."""
    from posterkit import PosterBrief, PosterCraftPipeline, mini, typeset
    from posterkit.generate.enlarge import enlarge

    pipe = PosterCraftPipeline.from_pretrained(folder or mini.path("postercraft"))
    pipe.set_progress_bar_config(disable=True)
    loaded = time.perf_counter()
    width, height = pipe.target_size()
    drawn = pipe(prompt=PROMPT, width=width, height=height).images[0]
    poster = typeset(enlarge(drawn, POSTER)[0], PosterBrief(texts=TEXTS)).image
    done = time.perf_counter()
    assert poster.size == POSTER
    peak = _gib(resource.getrusage(resource.RUSAGE_SELF))
    return {"load": loaded - START, "poster": done - loaded, "peak": peak, "cpu": time.process_time()}


def poster_part(options: argparse.Namespace) -> None:
    command = [
        sys.executable,
        __file__,
        "--inside",
        *(["--postercraft", options.postercraft] if options.postercraft else []),
    ]
    rows = [json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout) for _ in range(3)]
    wanted = {"load": "s; at most 10 s is wanted", "poster": "s; at most 10 s is wanted"}
    wanted |= {"peak": "GiB; at most 3 GiB is wanted", "cpu": "s of all cores together"}
    for key, unit in wanted.items():
        low, middle, high = sorted(row[key] for row in rows)
        print(f"poster, {POSTER[0]}x{POSTER[1]}, typeset: {key} {middle:.2f} ({low:.2f} to {high:.2f}) {unit}")


def _gib(usage: resource.struct_rusage) -> float:
    # Linux counts kilobytes, macOS bytes
    return usage.ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)


# --- against diffusers --------------------------------------------------------------------------------------------


def craft_pair(options: argparse.Namespace) -> tuple[Any, Any]:
    """Our text pipeline and stock FLUX on the very same modules."""
    from diffusers.pipelines.flux.pipeline_flux import FluxPipeline

    from posterkit import PosterCraftPipeline, mini

    ours = PosterCraftPipeline.from_pretrained(options.postercraft or mini.path("postercraft"))
    return _quiet(ours), _quiet(FluxPipeline(**ours.components))


def omni_pair(options: argparse.Namespace) -> tuple[Any, Any]:
    """Our image pipeline and stock Qwen-Image-Edit-Plus on the very same modules."""
    from diffusers.pipelines.qwenimage.pipeline_qwenimage_edit_plus import QwenImageEditPlusPipeline

    from posterkit import PosterOmniPipeline, mini

    ours = PosterOmniPipeline.from_pretrained(options.posteromni or mini.path("posteromni"))
    return _quiet(ours), _quiet(QwenImageEditPlusPipeline(**ours.components))


def _quiet(pipe: Any) -> Any:
    pipe.set_progress_bar_config(disable=True)
    return pipe


def seeded(seed: int) -> Any:
    import torch

    return torch.Generator().manual_seed(seed)


def craft_calls(ours: Any, stock: Any, options: argparse.Namespace) -> Calls:
    """Ours for a list of inputs, and stock for one, with equal settings."""
    width, height = ours.target_size()
    shared = {
        "width": width, "height": height, "num_inference_steps": options.steps or ours.config.num_inference_steps,
        "guidance_scale": ours.config.guidance_scale, "max_sequence_length": ours.config.max_sequence_length,
    }  # fmt: skip
    prompts = [f"{i + 1}: {PROMPT}" for i in range(8)]

    def draw(rows: list[int]) -> Any:
        return ours(prompt=[prompts[i] for i in rows], generator=[*map(seeded, rows)], **shared).images

    def peer(row: int) -> Any:
        return stock(prompt=prompts[row], generator=seeded(row), **shared).images

    return draw, peer


def omni_calls(ours: Any, stock: Any, options: argparse.Namespace) -> Calls:
    """Ours for a list of inputs, and stock for one, equal settings: a plain edit, whose sizes both round alike."""
    samples = _samples()
    height, width = samples[0].target.shape[:2]
    shared = {
        "width": width, "height": height, "true_cfg_scale": ours.config.true_cfg_scale, "negative_prompt": " ",
        "num_inference_steps": options.steps or ours.config.num_inference_steps,
    }  # fmt: skip
    references = [Image.fromarray(sample.references[0]) for sample in samples]

    def draw(rows: list[int]) -> Any:
        return ours(
            image=[[references[i]] for i in rows], prompt=[samples[i].instruction for i in rows],
            generator=[*map(seeded, rows)], **shared,
        ).images  # fmt: skip

    def peer(row: int) -> Any:
        prompt, image = samples[row].instruction, [references[row]]
        return stock(image=image, prompt=prompt, generator=seeded(row), **shared).images

    return draw, peer


def _samples() -> list[PosterSample]:
    from posterkit.datasets import SyntheticPosters

    source = SyntheticPosters(seed=0, size=(128, 192), tasks=("style_driven",), split="heldout")
    return [source[i] for i in range(8)]


def same_areas(ours: Any) -> Any:
    """Stock's module constants at our checkpoint's areas, while the context lasts."""
    from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit_plus as module

    return mock.patch.multiple(
        module, VAE_IMAGE_SIZE=ours.config.reference_area, CONDITION_IMAGE_SIZE=ours.config.condition_area
    )


def largest_difference(ours: list[Image.Image], peer: list[Image.Image]) -> int:
    """In levels of 255: shows that both sides really drew the same."""
    return int(max(np.abs(np.asarray(a, dtype=int) - np.asarray(b)).max() for a, b in zip(ours, peer, strict=True)))


def compare_parts(options: argparse.Namespace) -> None:
    """The stock and batch parts, for both pipelines."""
    for name, pair, calls in (("FLUX", craft_pair, craft_calls), ("Qwen-Image-Edit-Plus", omni_pair, omni_calls)):
        pipes = pair(options)
        ours, peer = calls(*pipes, options)
        areas = partial(same_areas, pipes[0]) if pair is omni_pair else partial(mock.patch.dict, {})
        with areas():
            if "stock" in options.parts:
                print(f"{name}, one poster: {interleaved(partial(ours, [0]), partial(peer, 0), options.pairs)}")
                print(f"{name}, largest difference of a pixel: {largest_difference(ours([0]), peer(0))} of 255")
            if "batch" in options.parts:
                rows = list(range(8))
                found = interleaved(partial(ours, rows), lambda peer=peer: [peer(i) for i in range(8)], options.pairs)
                low, middle, high = np.percentile(np.divide(found.peer, found.ours), [25, 50, 75])
                print(f"{name}, 8 inputs: images a second {middle:.2f} times stock one by one "
                      f"(quartiles {low:.2f} to {high:.2f}, {options.pairs} pairs); 1.5 is wanted")  # fmt: skip
        if "stock" in options.parts and pair is omni_pair and options.unpatched_pairs:
            found = interleaved(partial(ours, [0]), partial(peer, 0), options.unpatched_pairs)
            print(f"{name} as it comes (its own areas of 1024x1024 and 384x384), one poster: {found}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--parts", nargs="+", choices=("poster", "stock", "batch"), default=("poster", "stock", "batch")
    )
    parser.add_argument("--posteromni", help="checkpoint folder; the shipped one by default")
    parser.add_argument("--postercraft", help="checkpoint folder; the shipped one by default")
    parser.add_argument("--steps", type=int, help="denoising steps against stock; the checkpoint's own by default")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument(
        "--unpatched-pairs", type=int, default=1, help="pairs with stock as it comes (slow); 0 leaves it out"
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="cores that torch may use")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    options = parse()
    if options.inside:
        print(json.dumps(make_poster(options.postercraft)))
        return
    if "poster" in options.parts:
        poster_part(options)
    if {"stock", "batch"} & set(options.parts):
        import torch

        torch.set_num_threads(options.threads)
        compare_parts(options)


if __name__ == "__main__":
    main()
