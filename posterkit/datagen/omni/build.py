"""Turns a finished poster into a training sample of one of the six tasks."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from posterkit.datagen.engine import Drop
from posterkit.datagen.omni import global_tasks, local_tasks
from posterkit.datagen.omni.motifs import palette_of
from posterkit.datagen.omni.painters import LazyPainter
from posterkit.datagen.omni.posters import CannotBuild, PosterTask, TaskInputs
from posterkit.schema import DrawnText, PosterSample, Region
from posterkit.synthetic import background_name
from posterkit.tasks import TASKS

BUILDERS = local_tasks.BUILDERS | global_tasks.BUILDERS


@dataclass(frozen=True)
class BuildTask:
    """References, mask and words of a task; the target is the finished poster itself."""

    seed: int
    painter: LazyPainter

    def __call__(self, item: PosterTask) -> PosterSample | Drop:
        rng = Random(f"{self.seed} {item.task} {item.number}")
        try:
            inputs = BUILDERS[item.task](item.poster, rng, self.painter)
        except CannotBuild as why:
            return Drop(why.reason, f"{item.poster.name}, {item.task}: {why.detail}", item.poster.picture)
        return _sample(item, inputs, self.painter.open().name)


def _sample(item: PosterTask, inputs: TaskInputs, painter: str) -> PosterSample:
    poster = item.poster
    if inputs.painted:
        poster = poster.with_answer("references", f"painter {painter}", inputs.how)
    else:
        poster = poster.with_answer("references", "rules", inputs.how)
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
