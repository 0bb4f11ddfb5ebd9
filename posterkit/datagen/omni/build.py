"""Turns a finished poster into a training sample of one of the six tasks."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from posterkit.datagen.engine import Drop
from posterkit.datagen.omni import global_tasks, local_tasks
from posterkit.datagen.omni.motifs import palette_of
from posterkit.datagen.omni.painters import Painter
from posterkit.datagen.omni.posters import CannotBuild, PosterTask
from posterkit.schema import DrawnText, PosterSample, Region
from posterkit.synthetic import background_name
from posterkit.tasks import TASKS

BUILDERS = local_tasks.BUILDERS | global_tasks.BUILDERS


def build_task(item: PosterTask, seed: int, open_painter: Callable[[], Painter]) -> PosterSample | Drop:
    """References, mask and words of a task; the target is the finished poster itself."""
    rng, painter, poster = Random(f"{seed} {item.task} {item.number}"), open_painter(), item.poster
    try:
        if item.task in global_tasks.BUILDERS:
            inputs = global_tasks.BUILDERS[item.task](poster, rng, painter, item.other)
        else:
            inputs = local_tasks.BUILDERS[item.task](poster, rng, painter)
    except CannotBuild as why:
        return Drop(why.reason, f"{poster.name}, {item.task}: {why.detail}", poster.picture)
    by = f"painter {painter.name}" if inputs.painted else "rules"
    poster = poster.with_answer("references", by, inputs.how)
    pixels, texts = poster.pixels, poster.texts or ()
    return PosterSample(
        id=f"{item.task}-{item.number:08d}", task=item.task, target=pixels,
        references=inputs.references, mask=inputs.mask,
        regions=[Region(text.box, text.role, text.text) for text in texts],
        texts=[DrawnText(text.text, text.box) for text in texts], caption=poster.caption,
        instruction=TASKS[item.task].instruction(inputs.words), words=inputs.words, theme=poster.theme,
        source=poster.source, licence=poster.licence, split=poster.split, background=background_name(pixels),
        palette=palette_of(poster).colors, style=poster.style, subject=inputs.subject or poster.subjects[0].box,
        placed=inputs.placed, judged=dict(poster.judged),
    )  # fmt: skip
