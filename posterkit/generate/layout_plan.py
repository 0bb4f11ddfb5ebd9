"""Plans a poster's layout by itself: where its texts and things stand, before anything is drawn."""

# pyright: standard
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from posterkit.generate.obstacles import find_obstacles, find_subject
from posterkit.generate.poster_plan import FINISHED
from posterkit.layout import ElementRequest, Layout, LayoutRequest
from posterkit.layout.faults import find_faults
from posterkit.layout.ground import Ground
from posterkit.layout.planners.planner_names import open_planner
from posterkit.lettering import AUTO, unmarked
from posterkit.llm.principle import Principle
from posterkit.prompts import PosterBrief, without_texts
from posterkit.typeset.texts import settle


def plan_layout(
    prompt: str, texts: Sequence[str] = (), *, planner: str = "grammar", width: int | None = None,
    height: int | None = None, picture: Image.Image | None = None, roles: Sequence[str] | None = None,
    align: str | None = None, style: str | None = None, logo: float | None = None,
    underlay: bool = False, exemplars: Path | None = None, seed: int = 0, device: str = "cpu",
    principle: Principle | None = None,
) -> tuple[Layout, list[str]]:  # fmt: skip
    """A layout, and what is wrong with it, a line each.

    Args:
        prompt: what the poster shows; quoted parts are texts.
        texts: more of them, the title first; a mark (`@title:`) says a text's role.
        width, height: of the poster; the picture's, or 832x1216, where not given.
        picture: what the texts will stand on.
        roles: one per text; by the marks and the texts where not given.
        style: the faces that measure the texts.
        logo: width through height of a logo that needs a place.
        underlay: whether a ground under the texts is planned too.
        exemplars: layouts to plan after, in place of the shipped ones.
        device: where a planner's local model runs.
        principle: what that model's answers are steered by.

    Raises:
        ValueError: there are no texts, one of them cannot be set, there is no such planner, or a principle that it
            cannot heed.
        AnswerError: the planner's model gives no answer.
    """
    plain, marks = unmarked(texts)
    brief = PosterBrief.from_prompt(prompt, plain)
    if not brief.texts:
        raise ValueError("plan needs texts: quote them in the PROMPT, or give --text")
    own = picture.size if picture else FINISHED
    size = width or own[0], height or own[1]
    if picture is not None and picture.size != size:
        picture = picture.resize(size)
    by_text = dict(marks)
    given = roles or [by_text.get(text, AUTO) for text in brief.texts]
    job = settle(brief, size, style=style, roles=given, align=align)
    things = [ElementRequest("subject")] + ([ElementRequest("logo", aspect=logo)] if logo else [])
    things += [ElementRequest("underlay")] if underlay else []
    avoid = () if picture is None else (*find_obstacles(picture), *find_subject(picture))
    request = LayoutRequest.of_texts(
        size, job.brief.texts, job.roles, things, picture=picture, avoid=avoid, align=align, seed=seed,
        description=without_texts(prompt),
    )  # fmt: skip
    layout = open_planner(planner, device, exemplars, principle).plan(request, job.measurer(size))
    return layout, [fault.words for fault in find_faults(layout, request, job.measurer(size), Ground(request))]
