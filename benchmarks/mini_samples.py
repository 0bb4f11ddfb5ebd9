"""What `mini_report.py` asks of a checkpoint: held-out posters, prompts in ordinary words, photographs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ImageOps

from posterkit.image_io import read_image
from posterkit.schema import PosterSample
from posterkit.synthetic import SyntheticPosters

HERE = Path(__file__).parent


def heldout(task: str, size: tuple[int, int], count: int, seed: int, captions: str = "long") -> list[PosterSample]:
    """The first held-out posters of a task, without lettering; no training run ever sees them."""
    if task == "words":
        return ordinary_words(size, count)
    kind: Any = captions
    source = SyntheticPosters(seed=seed, size=size, tasks=(task,), split="heldout", lettering=False, captions=kind)
    return [source[i] for i in range(count)]


def ordinary_words(size: tuple[int, int], count: int) -> list[PosterSample]:
    """The prompts of `mini_prompts.jsonl`, with what they mean in place of a picture."""
    blank = np.full((size[1], size[0], 3), 255, np.uint8)
    rows = [json.loads(line) for line in (HERE / "mini_prompts.jsonl").read_text().splitlines()]
    return [
        PosterSample(
            id=f"words-{number}", task="text", target=blank, caption=row["prompt"], split="heldout",
            shows={"subject": row["subject"], "color": row.get("color"), "backgrounds": row["background"]},
        )
        for number, row in enumerate(rows[:count])
    ]  # fmt: skip


def photos(task: str, size: tuple[int, int]) -> list[PosterSample]:
    """The photographs of examples/photos as samples of a task; a few show what the recogniser knows."""
    known = {"chelsea": "cat", "coffee": "coffee", "rocket": "rocket"}
    width, height = size
    samples = []
    for path in sorted((HERE.parent / "examples" / "photos").glob("*.jpg")):
        photo = read_image(path)
        target = np.asarray(ImageOps.fit(photo, size))
        shows = {"subject": known[path.stem]} if path.stem in known else {}
        sample = PosterSample(path.stem, task, target, [target], shows=shows, split="heldout", layout=path.stem)
        if task in ("extending", "filling"):
            box = (width // 4, height // 4, width - width // 4, height - height // 4)
            inside = np.zeros((height, width), np.uint8)
            inside[box[1] : box[3], box[0] : box[2]] = 255
            sample.mask = 255 - inside if task == "extending" else inside
            if task == "extending":
                sample.references, sample.placed = [target[box[1] : box[3], box[0] : box[2]].copy()], box
        elif task == "rescaling":
            sample.references = [np.asarray(ImageOps.fit(photo, size[::-1]))]
        samples.append(sample)
    return samples
