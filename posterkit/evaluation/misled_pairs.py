"""A judge's misled replies as preference pairs: what the judge bench finds becomes what BPO teaches."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from posterkit.datagen.weakening import blank
from posterkit.datasets.sample_files import Row, encoded
from posterkit.documents import read_json, read_text
from posterkit.evaluation.judge_bench import SETTINGS, SYSTEM, JudgeBench, Query

_HELD_OUT = 10  # every so many-th pair


@dataclass(frozen=True)
class MisledPair:
    """A question, the picture that misled, and the reply that followed it."""

    number: int
    query: Query
    reply: str


class MisledPairs:
    """The misled replies of a bench's folder, by number.

    Attributes:
        judge: whose replies they are.

    Raises:
        ValueError: it is no bench's folder, its questions are not the training half alone, or nothing misled.
    """

    def __init__(self, folder: Path) -> None:
        file = folder / SETTINGS
        settings = read_json(read_text(file), str(file)) if file.is_file() else None
        if not isinstance(settings, dict) or "tracks" not in settings:
            raise ValueError(f"{folder}: holds no replies of posterkit bench judge")
        if settings["split"] != "train":
            said = f"asked the questions of split {settings['split']!r}"
            raise ValueError(f"{folder}: {said}; learn from --split train, so that the held-out half still measures")
        self.judge: str = settings["judge"]
        bench = JudgeBench(*(settings[name] for name in ("questions", "posters", "seed", "split", "tracks")))
        self._pairs = bench.misled(folder)
        if not self._pairs:
            raise ValueError(f"{folder}: no reply of {self.judge} followed what misleads; there is nothing to learn")

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, number: int) -> MisledPair:
        return MisledPair(number, *self._pairs[number])


def encode_misled(pair: MisledPair) -> tuple[Row, dict[str, bytes]]:
    """The pair as a row and its pictures; the weakened one is blank."""
    (picture,) = pair.query.images()
    name, question = f"misled-{pair.number:06d}", pair.query.question
    weakened = Image.fromarray(blank(np.asarray(picture.convert("RGB"))))
    files = {f"{name}.png": encoded(picture.convert("RGB")), f"{name}.weak.png": encoded(weakened)}
    row = {
        "id": name, "task": "text", "target": f"{name}.png", "weakened": f"{name}.weak.png", "weakening": "blank",
        "system": SYSTEM, "prompt": pair.query.words(), "chosen": question.answer, "rejected": pair.reply.strip(),
        "kind": f"misled_{pair.query.track}", "why": f"the brief says {question.answer}, not {pair.query.suggested}",
        "licence": "CC0-1.0", "split": "heldout" if pair.number % _HELD_OUT == _HELD_OUT - 1 else "train",
    }  # fmt: skip
    return row, files
