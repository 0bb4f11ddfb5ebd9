"""Finds a rate and a length at which PosterOmni's student has 90 % of what its experts gained over their base.

    python benchmarks/replication.py --arms 'bases/expert_*'    # before it: the experts
    python benchmarks/student_rate.py                           # goes on where it was stopped

Two rates are tried on the first base, with posters, noise and measurement of a seed that no row of the replication
has. The better one is then tried at twice the length, and again, until both groups have 90 %. What it found goes to
benchmarks/replication/bases/student.json, where the arms read it. The experts' velocity is free of the noise that a
poster's own has, so that small batches do: 8 posters in place of 32.
"""

from __future__ import annotations

import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import mean
from typing import Any

from nano_arms import CHOSEN, ON_BASES, RUNS, folder_of, run_recipe

from posterkit.image_io import written_whole

SEED, RATES, FIRST, LONGEST, ENOUGH = 9, (5e-3, 2e-3), 1200, 4800, 0.9
BASE = RUNS / "base_posteromni_0"


def main() -> None:
    tried = [tried_with(rate, FIRST) for rate in RATES]
    while min((best := max(tried, key=least))["shares"].values()) < ENOUGH and best["max_steps"] < LONGEST:
        tried.append(tried_with(best["learning_rate"], 2 * best["max_steps"]))
    found = {"learning_rate": best["learning_rate"], "max_steps": best["max_steps"], "tried": tried}
    with written_whole(CHOSEN) as file:
        file.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def least(one: dict[str, Any]) -> float:
    return min(one["shares"].values())


def tried_with(rate: float, steps: int) -> dict[str, Any]:
    """Train a student, or go on with it; its shares of the experts' gain, by group."""
    run = RUNS / "student" / f"{rate:g}_{steps}"
    kept = run / "shares.json"
    if not kept.is_file():
        experts = {group: folder_of(f"{ON_BASES}expert_{group}", 0) for group in ("local", "global")}
        changes = [f"init_from={BASE}", f"run_dir={run}", f"seed={SEED}", "save_every=100", f"max_steps={steps}",
                   f"learning_rate={rate}", *(f"experts.{group}={at}" for group, at in experts.items())]  # fmt: skip
        apart(run_recipe, "stage2_distill", changes)
        base, student = apart(group_losses, BASE), apart(group_losses, run)
        shares = {
            group: (base[group] - student[group]) / (base[group] - apart(group_losses, folder)[group])
            for group, folder in experts.items()
        }
        with written_whole(kept) as file:
            file.write_text(json.dumps(shares), encoding="utf-8")
    shares = json.loads(kept.read_text(encoding="utf-8"))
    told = ", ".join(f"{group} {share:.0%}" for group, share in shares.items())
    print(f"rate {rate:g}, {steps} steps: {told} of the experts' gain", flush=True)
    return {"learning_rate": rate, "max_steps": steps, "shares": shares}


def apart(function: Any, *given: Any) -> Any:
    """Call a function in a process of its own: a recipe leaves its run's state behind."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(function, *given).result()


def group_losses(folder: Path) -> dict[str, float]:
    """Held-out velocity error of what the tasks of each group make."""
    import torch
    from glyph_posters import GlyphPosters
    from nano_measures import OF_TASK, made_loss

    from posterkit.tasks import TASKS
    from posterkit.training.stages import open_start

    torch.set_num_threads(1)
    model, found = open_start(str(folder), "posteromni"), {}
    for name in TASKS:
        posters = GlyphPosters(SEED, (name,), "heldout")
        found[name] = made_loss(model, [posters[number] for number in range(2 * OF_TASK)], SEED)
    groups = {group: [name for name, task in TASKS.items() if task.group == group] for group in ("local", "global")}
    return {group: mean(found[name] for name in names) for group, names in groups.items()}


if __name__ == "__main__":
    main()
