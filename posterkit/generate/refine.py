"""Refining: a critic says what would make a poster better, it is redrawn, and the better one is kept.

The loop of PosterCraft's stage 4 (section 3.4): draft, one suggestion on content and one on style, redraw.
"""

# pyright: standard
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from posterkit.critic import Critic
from posterkit.generate.choose import DrawPosters, Scorer, score_row, scored_request
from posterkit.generate.draw import PreparedPoster
from posterkit.generate.poster_plan import PosterPlan
from posterkit.generate.record import FinishedPoster
from posterkit.messages import error_line
from posterkit.pipelines.loading import card_recipe
from posterkit.pipelines.revision import path_and_weight

RECIPE = "stage4_reflect"  # what teaches a model to heed a draft and suggestions


def redraw(
    poster: PreparedPoster, draft: FinishedPoster, suggestions: Sequence[str], draw: DrawPosters
) -> FinishedPoster:
    """The poster redrawn by suggestions, from its draft's own seed.

    Raises:
        Exception: whatever keeps it from being drawn or finished.
    """
    request = replace(poster.request, seed=draft.seed, feedback=[suggestions])
    (made,) = draw([replace(poster, request=request, draft=draft.drawing, notes=[])])
    if isinstance(made, Exception):
        raise made
    chosen = {"chosen": draft.record["chosen"]} if "chosen" in draft.record else {}
    return replace(made, record=made.record | chosen, notes=list(dict.fromkeys([*draft.notes, *made.notes])))


def refine(
    poster: PreparedPoster, draft: FinishedPoster, critic: Critic, scorer: Scorer, draw: DrawPosters
) -> FinishedPoster:
    """Redraw a poster by a critic's suggestions for at most `refine` rounds of its request, while each one is better.

    The critic sees what the model drew and reads the model's prompt, so that it asks nothing of typeset texts; the
    reward compares finished posters. Whatever fails ends the loop with a note: nothing drawn is lost.

    Returns:
        The best one; its score is never below the draft's; its record has the rounds under "refined".
    """
    request = scored_request(poster)
    result = scorer(draft.image, request)
    refined: dict[str, Any] = {"critic": critic.name, "by": scorer.name, "draft": score_row(result), "rounds": []}
    best, fault = draft, result if isinstance(result, str) else ""
    value = 0.0 if isinstance(result, str) else result.value
    for number in range(1, (request.refine or 0) + 1):
        if fault:
            break
        try:
            said = critic.suggest(best.drawing, poster.plan.words)
            made = redraw(poster, best, (said.content, said.style), draw)
            result = scorer(made.image, request)
        except Exception as error:  # a poster is there; it must not be lost to what would have made it better
            fault = f"round {number}: {error_line(error)}"
            break
        better = not isinstance(result, str) and result.value > value
        row = {"content": said.content, "style": said.style, **score_row(result), "kept": better}
        refined["rounds"].append(row)
        if isinstance(result, str) or not better:
            fault = f"round {number}: {result}" if isinstance(result, str) else ""
            break
        best, value = made, result.value
    what = "the draft" if best is draft else "the last better one"
    notes = [*best.notes, *([f"refining ended, {what} is kept: {fault}"] if fault else [])]
    return replace(best, record=best.record | {"refined": refined}, notes=notes)


def untaught(plan: PosterPlan) -> str | None:
    """A line where the checkpoint's cards name recipes, and none that teaches to redraw; None where they name none."""
    settings = plan.settings
    sources = (plan.checkpoint.source, settings.transformer, settings.lora, plan.request.lora)
    recipes = [recipe for source in sources if source and (recipe := card_recipe(path_and_weight(source)[0]))]
    if not recipes or RECIPE in recipes:
        return None
    return (
        f"{settings.lora or plan.checkpoint.name} was not trained to redraw a draft by suggestions ({RECIPE}): "
        "what it redraws is better by chance alone"
    )
