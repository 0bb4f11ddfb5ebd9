"""Shows on a card that the presets fit: random weights at the real sizes, placed, encoded, one step, decoded.

    python tests/gpu/prove_presets.py                     # every preset that this card can hold, both families
    python tests/gpu/prove_presets.py --preset 16gb 24gb --family posteromni
    python tests/gpu/prove_presets.py --toy               # tiny models, on the CPU too: tries the script itself
    python tests/gpu/prove_presets.py --arithmetic        # no card: the table of docs/presets.md

A larger card stands for a smaller one: PyTorch may take no more of it than the small one has, less what CUDA takes
itself. Peaks are what PyTorch allocated; beside each stands the arithmetic's. Exit code 1 where a preset fails, is
left out, or takes over 5 % more than the arithmetic says. Needs 75 GB of main memory. Every preset should take about
half a minute on an H200; none has been run yet.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from posterkit import PosterCraftPipeline, PosterOmniPipeline  # noqa: E402
from posterkit.pipelines import presets  # noqa: E402
from posterkit.pipelines.memory import CONTEXT, GB, MOMENTS, Preset, family_sizes, footprint  # noqa: E402
from posterkit.pipelines.preset_table import CARDS, is_installed, read_preset  # noqa: E402
from posterkit.pipelines.registry import FAMILIES  # noqa: E402
from posterkit.sizing import Size  # noqa: E402

TOLERANCE = 1.05


@dataclass(frozen=True)
class Proof:
    """What one preset took: bytes allocated at the peak of every moment, and seconds."""

    family: str
    preset: str
    way: Preset
    peaks: tuple[float, ...]
    seconds: tuple[float, ...]
    fault: str = ""

    def fits(self) -> bool:
        return not self.fault and all(
            found <= said * TOLERANCE
            for found, said in zip(self.peaks, said_peaks(self.family, self.way), strict=True)
        )


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", nargs="+", choices=tuple(FAMILIES), default=list(FAMILIES))
    parser.add_argument("--preset", nargs="+", metavar="NAME", help="such as 16gb (default: all that fit this card)")
    parser.add_argument("--toy", action="store_true", help="tiny models, on whatever device there is")
    parser.add_argument("--arithmetic", action="store_true", help="print the table that is computed")
    args = parser.parse_args(argv)
    if args.arithmetic:
        print("\n".join(arithmetic()))
        return 0
    machine = presets.hardware()
    if machine.device.type != "cuda" and not args.toy:
        parser.error("there is no NVIDIA card; --toy runs on the CPU")
    names = args.preset or [f"{size}gb" for size in CARDS if args.toy or size * 0.97 <= machine.memory_gb]
    proofs = []
    for family in args.family:
        for name, way in distinct(names, family):
            proofs.append(prove(family, name, way, machine.device, args.toy))
            print(f"{family} {name}: {proofs[-1].fault or 'ran'}", file=sys.stderr, flush=True)
    print("\n".join(table(proofs, machine.name)))
    return 0 if all(proof.fits() or (args.toy and not proof.fault) for proof in proofs) else 1


def distinct(names: list[str], family: str) -> list[tuple[str, Preset]]:
    """Presets, less those that say the same as one for a smaller card."""
    found: dict[str, Preset] = {}
    for name in names:
        if (way := read_preset(name, family)) not in found.values():
            found[name] = way
    return list(found.items())


def prove(family: str, name: str, way: Preset, device: torch.device, toy: bool) -> Proof:
    """Place one preset and make one poster with it, at most on as much memory as its card has."""
    if missing := [package for package in way.packages() if not is_installed(package)]:
        return Proof(family, name, way, (), (), f"skipped: {missing[0]} is not installed")
    if device.type == "cuda":
        room = int(name.partition("+")[0].removesuffix("gb")) * 0.97 * GB - CONTEXT
        torch.cuda.set_per_process_memory_fraction(room / torch.cuda.get_device_properties(device).total_memory)
    try:
        found = [measured(work, device) for work in moments(family, way, device, toy)]
    except Exception as fault:
        return Proof(family, name, way, (), (), f"{type(fault).__name__}: {str(fault).splitlines()[0][:200]}")
    finally:
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()
    return Proof(family, name, way, tuple(peak for peak, _ in found), tuple(seconds for _, seconds in found))


def moments(family: str, way: Preset, device: torch.device, toy: bool) -> list[Callable[[], None]]:
    """Loading (placing), encoding, denoising and decoding of one poster, to be called in this order."""
    from full_size import random_components

    cls: Any = {"postercraft": PosterCraftPipeline, "posteromni": PosterOmniPipeline}[family]
    side = 64 if toy else 1024
    areas = {} if family == "postercraft" else {"native_area": side**2, "reference_area": side**2}
    pipe = cls(**random_components(family, toy), **areas)
    pipe.set_progress_bar_config(disable=True)
    size, state = Size(side, side), {}

    def place() -> None:
        presets.place(pipe, way, device, family, torch.bfloat16)

    def encode() -> None:
        if family == "postercraft":
            length = 32 if toy else 512
            embeds, pooled, _ = pipe.encode_prompt("a poster", max_sequence_length=length)
            state.update(prompt_embeds=embeds, pooled_prompt_embeds=pooled, max_sequence_length=length)
            return
        picture = Image.effect_noise((side, side), 64).convert("RGB")
        posters = pipe.prepare_references(picture, "make it night")
        embeds, mask = pipe.encode_prompt([posters[0].instruction], [posters[0].pictures])
        state.update(prompt_embeds=embeds, prompt_embeds_mask=mask, image=picture, true_cfg_scale=1.0)

    def denoise() -> None:
        state["latents"] = pipe(**state, width=side, height=side, num_inference_steps=1, output_type="latent").images

    def decode() -> None:
        if family == "postercraft":
            pixels = pipe.decode_latents(state["latents"], size, "pt")
        else:
            pixels = pipe.decode(state["latents"].to(device), size)
        assert pixels.shape == (1, 3, side, side), tuple(pixels.shape)

    return [place, encode, denoise, decode]


def measured(work: Callable[[], None], device: torch.device) -> tuple[float, float]:
    """Bytes that PyTorch allocated on the card at the peak of some work, and its seconds; 0 bytes on the CPU."""
    cuda = device.type == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats(device)
    start = time.perf_counter()
    with torch.no_grad():
        work()
    if cuda:
        torch.cuda.synchronize(device)
    seconds = time.perf_counter() - start
    return float(torch.cuda.max_memory_allocated(device)) if cuda else 0.0, seconds


def said_peaks(family: str, way: Preset) -> list[float]:
    """The arithmetic's bytes for every moment, without what CUDA itself takes."""
    sizes = family_sizes(family)
    assert sizes is not None
    return [sum(moment.card.values()) - CONTEXT for moment in footprint(way, sizes).moments]


def table(proofs: list[Proof], card: str) -> list[str]:
    """Markdown: GB at the peak of every moment, found and computed."""
    lines = [f"On {card}, torch {torch.__version__}; GB allocated at the peak, found / computed.", ""]
    lines += [f"| family | preset | way | {' | '.join(MOMENTS)} | seconds | |", "|---" * (5 + len(MOMENTS)) + "|"]
    for proof in proofs:
        said = said_peaks(proof.family, proof.way)
        found = [f"{one / GB:.1f}" if one else "-" for one in proof.peaks or [0.0] * len(said)]
        cells = [f"{one} / {other / GB:.1f}" for one, other in zip(found, said, strict=True)]
        seconds = " + ".join(f"{one:.1f}" for one in proof.seconds)
        verdict = proof.fault or ("ran" if not any(proof.peaks) else "fits" if proof.fits() else "takes too much")
        lines.append(
            f"| {proof.family} | {proof.preset} | {proof.way.words()} | {' | '.join(cells)} | {seconds} | {verdict} |"
        )
    return lines


def arithmetic() -> list[str]:
    """Markdown: what every preset takes by arithmetic, GB on the card at every moment and of main memory."""
    lines = [f"| family | card | how | {' | '.join(MOMENTS)} | main memory |", "|---" * (4 + len(MOMENTS)) + "|"]
    for family, entry in FAMILIES.items():
        sizes = family_sizes(family)
        if sizes is None:
            continue
        for size in CARDS:
            way = read_preset(f"{size}gb", family)
            needs = footprint(way, sizes)
            cells = [f"{sum(moment.card.values()) / GB:.1f}" for moment in needs.moments]
            lines.append(f"| {entry.title} | {size} | {way.words()} | {' | '.join(cells)} | {needs.ram / GB:.1f} |")
        for device, kind, width in (("cpu", "float32", 4), ("cpu", "bfloat16", 2), ("mps", "bfloat16", 2)):
            needs = footprint(Preset(), sizes, device, width)
            name = {"cpu": "CPU", "mps": "Apple"}[device]
            lines.append(f"| {entry.title} | {name} | {kind} |{' |' * len(MOMENTS)} {needs.ram / GB:.1f} |")
    return lines


if __name__ == "__main__":
    sys.exit(main())
