"""Finished posters of which everything is known, for the tests of the six tasks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from skimage import data

from posterkit import typeset
from posterkit.datagen.omni.build import build_task
from posterkit.datagen.omni.painters import open_painter
from posterkit.datagen.omni.posters import PosterTask, SourcePoster
from posterkit.datasets import PosterSample, SyntheticPosters, write_sample
from posterkit.metrics.text_regions import DetectedText
from posterkit.pipelines.segmenters import Subject
from posterkit.prompts import PosterBrief
from posterkit.sizing import Size

NONE = open_painter("none")


def coffee() -> SourcePoster:
    """A typeset photograph with what is known of it: the texts from the typesetter, the cup by hand."""
    photo = ImageOps.fit(Image.fromarray(data.coffee()), (320, 448))
    made = typeset(photo, PosterBrief(texts=["SLOW MORNING", "Fresh every day"]), archetype="bottom-stack")
    roles = ("major", "minor")
    texts = tuple(
        DetectedText(t.text, t.box.pixels(photo.size), role) for t, role in zip(made.boxes, roles, strict=True)
    )
    y, x = np.mgrid[0:448, 0:320]
    cup = ((x - 160) / 110) ** 2 + ((y - 130) / 100) ** 2 < 1
    subject = Subject(np.where(cup, 255, 0).astype(np.uint8), (51, 31, 270, 230))
    caption = 'A cup of coffee on a red saucer. The title reads "SLOW MORNING", below it "Fresh every day".'
    return SourcePoster(
        "coffee.png", made.image, caption, "poster", "coffee.png", "CC0-1.0", "train", texts, (subject,)
    )


COFFEE = coffee()


def built(task: str, number: int = 0, poster: SourcePoster = COFFEE) -> PosterSample:
    made = build_task(PosterTask(number, task, poster), 0, lambda: NONE)
    assert isinstance(made, PosterSample), made
    return made


def scenes() -> list[SourcePoster]:
    """Two typeset photographs and what is known of them."""
    found = []
    for name in ("chelsea", "astronaut"):
        photo = ImageOps.fit(Image.fromarray(getattr(data, name)()), (320, 448))
        made = typeset(photo, PosterBrief(texts=["OTHER SCENE"]), archetype="bottom-stack")
        text = DetectedText("OTHER SCENE", made.boxes[0].box.pixels(photo.size), "major")
        mask = np.zeros((448, 320), np.uint8)
        mask[60:200, 80:240] = 255
        subject = Subject(mask, (80, 60, 240, 200))
        found.append(SourcePoster(name, made.image, "A scene.", "", name, "", "train", (text,), (subject,)))
    return found


def synthetic_set(folder: Path, count: int = 3) -> Path:
    source = SyntheticPosters(3, Size(160, 240), ("text",), "train")
    for number in range(count):
        sample = source.sample(number, task="text")
        sample.split = "heldout" if number == 1 else "train"
        write_sample(sample, folder)
    return folder
