"""The step that makes a sample of a task from a finished poster."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from posterkit.datagen.engine import Drop
from posterkit.datagen.omni import global_tasks, local_tasks
from posterkit.datagen.omni.draft import Draft, Unfit, Workshop
from posterkit.datagen.omni.motifs import palette_of
from posterkit.datagen.omni.parts import PainterAt
from posterkit.datagen.omni.posters import Job
from posterkit.schema import DrawnText, PosterSample, Region
from posterkit.synthetic import background_name
from posterkit.tasks import TASKS

BUILDERS = local_tasks.BUILDERS | global_tasks.BUILDERS


@dataclass(frozen=True)
class BuildTask:
    """References, mask and words of a task; the target is the finished poster itself."""

    seed: int
    painter: PainterAt

    def __call__(self, job: Job) -> PosterSample | Drop:
        rng = Random(f"{self.seed} {job.task} {job.number}")
        try:
            draft = BUILDERS[job.task](job.poster, rng, Workshop(self.painter))
        except Unfit as why:
            return Drop(why.reason, f"{job.poster.name}, {job.task}: {why.detail}", job.poster.picture)
        return _sample(job, draft, self.painter.open().name)


def _sample(job: Job, draft: Draft, painter: str) -> PosterSample:
    poster = job.poster
    if draft.painted:
        poster = poster.hearing("references", f"painter {painter}", draft.how)
    else:
        poster = poster.hearing("references", "rules", draft.how)
    pixels, texts = poster.pixels, poster.texts or ()
    return PosterSample(
        id=f"{job.task}-{job.number:08d}", task=job.task, target=pixels, references=draft.references, mask=draft.mask,
        regions=[Region(text.box, text.role, text.text) for text in texts],
        texts=[DrawnText(text.text, text.box) for text in texts], caption=poster.caption,
        instruction=TASKS[job.task].instruction(draft.words), words=draft.words, theme=poster.theme,
        source=poster.source, licence=poster.licence, split=poster.split, background=background_name(pixels),
        palette=palette_of(poster).colors, style=poster.style, subject=draft.subject or poster.subjects[0].box,
        placed=draft.placed, judged=dict(poster.judged),
    )  # fmt: skip
