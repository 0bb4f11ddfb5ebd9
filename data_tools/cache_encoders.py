"""Encode a set once for all the epochs of a training: latents, and what frozen text encoders say, kept on disk.

    python data_tools/cache_encoders.py sets/omni --out cache                      # by the shipped mini checkpoint
    python data_tools/cache_encoders.py sets/omni --out cache --model FOLDER --drop-stale
    python data_tools/cache_encoders.py sets/text --out cache --model FOLDER --keep ids    # for data.keep=ids

Posters are brought to the sizes that a stage asks for, so that a stage with `data.cache` and the same `data.area` and
`data.keep` encodes nothing. Samples are known by their content: a set that grew encodes only what is new. Several
processes may fill one cache: start each with `--part I/N`. Of a preference or reflection set both posters of each row
are encoded, but none of a pair whose rejected side is the unedited input.
Exits 0 when all is encoded, 1 when some rows cannot be read or encoded, 2 when the call is wrong.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import Progress

from posterkit.arguments import typed
from posterkit.datagen.command_line import positive_int, run_tool
from posterkit.datasets import PosterDataset
from posterkit.datasets.file_index import FileIndex
from posterkit.datasets.pair_dataset import as_samples
from posterkit.messages import error_line
from posterkit.pipelines.loading import LOAD_FAULTS, quiet_bars
from posterkit.pipelines.presets import DTYPES, hardware
from posterkit.pipelines.registry import TEXT, ModelFamily, family_for, family_of, resolve
from posterkit.training.adapters import KEEPS
from posterkit.training.loading.encoding import CANNOT, SetEncoder, check_tasks
from posterkit.training.loading.fitting import CANNOT_READ, check_area, plan_sizes


def open_adapter(source: str, family: ModelFamily, dtype: torch.dtype):
    """The encoders of a checkpoint, without its transformer."""
    try:
        return family.adapter_class().from_pretrained(source, frozen_text=True, encoders_only=True, dtype=dtype)
    except LOAD_FAULTS as fault:
        raise ValueError(f"{source}: cannot be loaded: {error_line(fault)}") from None


def main(given: argparse.Namespace) -> int:
    found = PosterDataset(given.input, tasks=given.tasks)
    # an unedited pair is for a reward model, which looks at pictures
    wanted = [pair for pair in zip(found.lines, found.rows, strict=True) if pair[1].get("kind") != "unedited"]
    single = [(line, one) for line, row in wanted for one in as_samples(row)]
    found.lines, found.rows = [line for line, _ in single], [row for _, row in single]
    if not found.rows:
        raise ValueError(f"{found.index}: there is no row to encode")
    tasks = {str(row.get("task")) for row in found.rows}
    source = resolve(given.model or family_for(min(tasks - {TEXT}, default=TEXT)).mini)
    quiet_bars()
    adapter = open_adapter(source, family_of(source), DTYPES[given.dtype])
    check_tasks(found, adapter, "--tasks")
    for module in (adapter.vae.module, *adapter.readers):
        module.to(hardware(given.device).device)

    native = adapter.defaults["native_area"]
    area = check_area(given.area or native, native, "--area")
    plans, lost = plan_sizes(FileIndex(given.out / "known", found, given.part[0], print), area)
    encoder = SetEncoder(adapter, found, plans, lost, given.out, given.keep, given.shard)
    cache = encoder.cache
    for folder in cache.drop_stale("family", "text") if given.drop_stale else ():
        print(f"{folder}: dropped, another model's")
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(given.out.name, total=len(plans))
        numbers = encoder.fill(
            option="--keep ids", part=given.part,
            progress=lambda done, count: bar.update(task, completed=done),
        )  # fmt: skip
    for reason, rows in sorted(lost.items()):
        for row in rows:
            said = row.found if reason in FAULTS else f"left out, {reason} ({row.found})"
            print(f"{found.index.name}:{row.line}: {row.id}: {said}", file=sys.stderr)
    size = sum(path.stat().st_size for path in cache.folder.glob("*.safetensors"))
    print(f"{cache.folder}: {len(numbers)} of {len(found)} samples, {size / 1e6:.1f} MB")
    return sum(len(lost.get(reason, ())) for reason in FAULTS)


FAULTS = (CANNOT_READ, CANNOT)


def _part(text: str) -> tuple[int, int]:
    number, _, of = text.partition("/")
    return int(number), int(of)


part = typed(_part, "I/N with I from 0 to N - 1, such as 0/2", lambda value: 0 <= value[0] < value[1])

if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = options.add_argument
    # fmt: off
    add("input", type=Path, metavar="SET", help="the set's folder, or its index file")
    add("--out", type=Path, required=True, metavar="DIR", help="where caches lie, one folder a model")
    add("--model", metavar="M", help="a FLUX.1 or Qwen-Image-Edit folder or hub id (default: mini)")
    add("--keep", choices=KEEPS, default="states",
        help="what frozen text encoders say (default), or token ids for a stage that runs or trains them")
    add("--area", type=positive_int, metavar="PX",
        help="pixels of a poster, as data.area (default: the checkpoint's own)")
    add("--tasks", nargs="+", metavar="TASK", help="only samples of these")
    add("--drop-stale", action="store_true", help="delete what other models of this family left here")
    add("--part", type=part, default=(0, 1), metavar="I/N", help="this is process I of N (from 0)")
    add("--shard", type=positive_int, default=512, metavar="N", help="samples in a file (default 512)")
    add("--device", metavar="D", help="cpu, cuda, cuda:1 (default: the best there is)")
    add("--dtype", choices=DTYPES, default="float32",
        help="of the text encoders (default float32; bfloat16 is half)")
    # fmt: on
    options.add_argument("--debug", action="store_true", help="show tracebacks")
    given = options.parse_args()
    run_tool(partial(main, given), given.debug)
