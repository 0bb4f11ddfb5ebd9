"""Whether a run that was stopped, or killed, and gone on with equals one that never stopped, for every recipe.

    OMP_NUM_THREADS=1 python benchmarks/resume_hashes.py
    OMP_NUM_THREADS=1 python benchmarks/resume_hashes.py --mini CHECKOUT/posterkit/mini    # from another checkout's

Each recipe runs by its mini config, scaled down to a few posters and four steps, with two micro-batches a step and
averages (so experts and student with LoRA), on a CPU:

- in one go;
- with stop_at=2, then to the end;
- killed (SIGKILL) in the third step between gradient and update; started again, killed while it writes the checkpoint
  of the third step; started again, to the end.

The table shows what `last/` holds then, as the first digits of its files' SHA-256. Exit code 1 if anything differs.
With --mini the recipes begin from the checkpoints in that folder, so that the table can be laid beside that of the
checkout which they come from: what is equal there trains as it did then.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import re
import resource
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from torch.optim.optimizer import register_optimizer_step_pre_hook

from posterkit.training import stages  # noqa: F401 - read once here, so that the processes forked from it need not
from posterkit.training.adapters import flux, qwen  # noqa: F401 - likewise

ROOT = Path(__file__).parent.parent
STEPS, STOP = 4, 2
COMMON = [f"max_steps={STEPS}", "accumulation=2", "batch_size=2", "ema_decay=0.9", "log_every=1", "sample_every=0"]
SMALL = ["data.count=6", "data.sizes=[[128, 192]]", "data.cache={folder}/cache"]
STAGE = [*SMALL, "data.heldout=0", "drop_prompt=0.5"]
TEXT = ["text.count=6", "text.sizes=[[128, 192]]", "text.heldout=0", "text.cache={folder}/cache", "text_share=0.5"]
OMNI = [*STAGE, "data.count=16", *TEXT]
DRAWN = ["rollouts.images=2", "rollouts.draws=4", "rollouts.updates=2", "rollouts.steps=2", "rollouts.least_std=0",
         "dpo.gap=0", "reward.source=aesthetics", "reward.workers=0"]  # fmt: skip
REWARD = [*SMALL, "data.heldout=0", "data.count=12", *DRAWN]
ROWS = {
    "stage0_autoencoder": ["crop=32"],
    "stage0_pretrain": SMALL,
    "stage1_text_render": STAGE,
    "stage1_text_render strategy=lopt": [*STAGE, "strategy=lopt"],
    "stage2_region_sft": STAGE,
    "stage2_experts": [*OMNI, "group=local"],
    "stage2_distill": [*OMNI, "experts.local={folder}/expert_local", "experts.global={folder}/expert_global"],
    "reward_model": ["data.count=8", "data.heldout=8", "data.sizes=[[128, 192]]", "heldout_pairs=2"],
    "stage3_reward objective=nft": REWARD,
    "stage3_reward objective=dpo": [*REWARD, "objective=dpo"],
    "stage3_reward objective=grpo": [*REWARD, "objective=grpo"],
    "stage4_reflect": STAGE,
    "stage1_text_render on two processes": [*STAGE, "data.count=8"],
    "stage3_reward on two processes": [*REWARD, "data.tasks=[style_driven]"],
}
FILES = {"weights": "weights", "averages": "ema", "optimiser": "optimizer"}
Death = Literal["step", "save", "no"]


def run_recipe(recipe: str, arguments: Sequence[str], death: Death) -> None:
    """Run a recipe in this process, which may kill itself on the way."""
    taken = 0

    def count(*_: Any) -> None:
        nonlocal taken
        taken += 1
        if death == "step" and taken > STOP:
            os.kill(os.getpid(), signal.SIGKILL)

    register_optimizer_step_pre_hook(count)
    sync = os.fsync

    def write_through(file: int) -> None:
        if death == "save" and taken:
            os.kill(os.getpid(), signal.SIGKILL)
        sync(file)

    os.fsync = write_through
    script = ROOT / "train" / f"{recipe}.py"
    sys.argv = [str(script), *arguments]
    sys.path.insert(0, str(script.parent))
    runpy.run_path(str(script), run_name="__main__")


def start(row: str, arguments: Sequence[str], log: Path, death: Death = "no") -> None:
    """Run a recipe in a process of its own, or in two.

    Raises:
        RuntimeError: it ended otherwise than it should; the message holds its last lines.
    """
    recipe, killed = row.split()[0], death != "no"
    if row.endswith("two processes"):
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", __file__,
                   "--child", death, recipe, *arguments]  # fmt: skip
        with log.open("w") as file:
            code = subprocess.run(command, stdout=file, stderr=file, check=False).returncode
        fine = "SIGKILL" in log.read_text() if killed else code == 0
    else:
        process = multiprocessing.get_context("fork").Process(target=_logged, args=(recipe, arguments, death, log))
        process.start()
        process.join()
        code = process.exitcode
        fine = code == (-signal.SIGKILL if killed else 0)
    if not fine:
        said = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
        raise RuntimeError(f"{row} {' '.join(arguments)}: ended with {code}:\n{said}")


def _logged(recipe: str, arguments: Sequence[str], death: Death, log: Path) -> None:
    with log.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    run_recipe(recipe, arguments, death)


def hashes(run: Path) -> dict[str, str]:
    """What `last/` holds: for each kind of weights the first digits of its file's SHA-256."""
    files = {name: run / "last" / f"{file}.safetensors" for name, file in FILES.items()}
    return {name: hashlib.sha256(path.read_bytes()).hexdigest()[:12] for name, path in files.items()}


def compare(row: str, overrides: Sequence[str], folder: Path, mini: Path | None) -> list[dict[str, str]]:
    """The hashes of one recipe: in one go, stopped, killed."""
    recipe = row.split()[0]
    given = [*COMMON, *(override.format(folder=folder) for override in overrides)]
    config = (ROOT / f"configs/mini/{recipe}.yaml").read_text(encoding="utf-8")
    if mini and (shipped := re.search(r"^(init_from|autoencoder): mini:(\S+)", config, re.MULTILINE)):
        given.append(f"{shipped[1]}={mini / shipped[2]}")
    place = folder / row.replace(" ", "_").replace("=", "_")
    place.mkdir()

    def go(name: str, *more: str, death: Death = "no") -> None:
        start(row, [*given, f"run_dir={place / name}", *more], place / f"{name}.log", death)

    if recipe == "stage2_distill":
        for group in ("local", "global"):
            change = ["max_steps=1", f"group={group}", f"run_dir={folder / f'expert_{group}'}"]
            expert = [*(one for one in given if not one.startswith("experts")), *change]
            start("stage2_experts", expert, place / f"expert_{group}.log")
    go("whole")
    go("stopped", f"stop_at={STOP}")
    go("stopped")
    go("killed", "save_every=1", death="step")
    go("killed", "save_every=1", death="save")
    go("killed", "save_every=1")
    for name in ("stopped", "killed"):
        if f"resumed at step {STOP} " not in (place / f"{name}.log").read_text():
            raise RuntimeError(f"{row}: {place / name} did not go on from step {STOP}")
    return [hashes(place / name) for name in ("whole", "stopped", "killed")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=list(ROWS), metavar="ROW")
    parser.add_argument("--mini", type=Path, metavar="FOLDER", help="checkpoints to begin from; else the shipped ones")
    parser.add_argument("--child", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        death, recipe, *arguments = given.child
        run_recipe(recipe, arguments, death if os.environ["RANK"] == "0" else "no")
        return
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # which does not outlive a fork
    started, same = time.monotonic(), True
    print("| recipe | what | in one go | stopped at 2, gone on with | killed twice, gone on with | equal |")
    print("|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as name:
        for row in given.rows:
            found = compare(row, ROWS[row], Path(name), given.mini)
            for kind in FILES:
                digests = [hashed[kind] for hashed in found]
                equal = len(set(digests)) == 1
                same &= equal
                print(f"| {row} | {kind} | {' | '.join(digests)} | {'yes' if equal else '**no**'} |", flush=True)
    spent = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu = sum(one.ru_utime + one.ru_stime for one in spent)
    print(f"\n{time.monotonic() - started:.0f} s, {cpu:.0f} s of CPU")
    raise SystemExit(not same)


if __name__ == "__main__":
    main()
