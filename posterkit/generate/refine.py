"""Refining: a critic says what would make a poster better, it is redrawn, and the better one is kept.

The loop of PosterCraft's stage 4 (section 3.4): draft, one suggestion on content and one on style, redraw.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from posterkit.critic.critic import Critic
from posterkit.generate.choose import OnStep, Scorer, asked_of, worth_row
from posterkit.generate.plan import Plan
from posterkit.generate.worker import Drawn, Inputs, Worker
from posterkit.messages import error_line
from posterkit.pipelines.loading import card_recipe
from posterkit.pipelines.revision import path_and_weight
from posterkit.rewards import RewardResult

RECIPE = "stage4_reflect"  # what teaches a model to heed a draft and suggestions


def redraw(
    worker: Worker, plan: Plan, inputs: Inputs, draft: Drawn, said: tuple[str, ...], on_step: OnStep | None = None
) -> Drawn:
    """The poster redrawn by suggestions, from its draft's own seed.

    Raises:
        Exception: whatever keeps it from being drawn or finished.
    """
    again = replace(inputs, draft=draft.drawing, feedback=said, notes=[])
    made = worker.draw([(replace(plan, seed=draft.seed), again)], on_step)[0]
    if isinstance(made, Exception):
        raise made
    chosen = {"chosen": draft.record["chosen"]} if "chosen" in draft.record else {}
    return replace(made, record=made.record | chosen, notes=list(dict.fromkeys([*draft.notes, *made.notes])))


def refine(
    worker: Worker,
    plan: Plan,
    inputs: Inputs,
    draft: Drawn,
    critic: Critic,
    scorer: Scorer,
    on_step: OnStep | None = None,
) -> Drawn:
    """Redraw a poster by a critic's suggestions for at most `plan.job.refine` rounds, as long as each one is better.

    The critic is shown what the model drew and is told what the model was told, so that it asks nothing of typeset
    texts; the reward compares finished posters. Whatever fails ends the loop with a note: nothing drawn is lost.

    Returns:
        The best one, never worth less than the draft; its record has the rounds under "refined".
    """
    asked = asked_of(plan, inputs)
    worth = scorer([draft.image], [asked])[0]
    refined: dict[str, Any] = {"critic": critic.name, "by": scorer.name, "draft": worth_row(worth), "rounds": []}
    best, fault = draft, worth if isinstance(worth, str) else ""
    value = worth.value if isinstance(worth, RewardResult) else 0.0
    for number in range(1, (plan.job.refine or 0) + 1):
        if fault:
            break
        try:
            said = critic.suggest(best.drawing, plan.words)
            made = redraw(worker, plan, inputs, best, (said.content, said.style), on_step)
            worth = scorer([made.image], [asked])[0]
        except Exception as error:  # a poster is there; it must not be lost to what would have made it better
            fault = f"round {number}: {error_line(error)}"
            break
        better = isinstance(worth, RewardResult) and worth.value > value
        row = {"content": said.content, "style": said.style, **worth_row(worth), "kept": better}
        refined["rounds"].append(row)
        if not isinstance(worth, RewardResult) or not better:
            fault = f"round {number}: {worth}" if isinstance(worth, str) else ""
            break
        best, value = made, worth.value
    what = "the draft" if best is draft else "the last better one"
    notes = [*best.notes, *([f"refining ended, {what} is kept: {fault}"] if fault else [])]
    return replace(best, record=best.record | {"refined": refined}, notes=notes)


def untaught(plan: Plan) -> str | None:
    """A line where the checkpoint's cards name recipes, and none that teaches to redraw; None where they name none."""
    settings, job = plan.settings, plan.job
    sources = [source for source in (plan.checkpoint.source, settings.transformer, settings.lora, job.lora) if source]
    recipes = [recipe for source in sources if (recipe := card_recipe(path_and_weight(source)[0]))]
    if not recipes or RECIPE in recipes:
        return None
    return (
        f"{settings.lora or plan.checkpoint.name} was not trained to redraw a draft by suggestions ({RECIPE}): "
        "what it redraws is better by chance alone"
    )
