"""What a set, or a folder of posters, is worth to learn from: text recall, subjects dropped and why, leaks.

Each measure is one line of text, so that a tool can print it and a person compare two sets.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean

import numpy as np
from PIL import Image

from posterkit.datagen.engine import Drop
from posterkit.datagen.omni.leaks import LEAKED, leaked_share
from posterkit.datagen.omni.portraits import COPIED, copied_share
from posterkit.datagen.omni.posters import CUT_OUT, GLOBAL, PosterTask, PosterTasks, find_subjects, open_source
from posterkit.datasets.dataset import PosterDataset, read_rows
from posterkit.metrics.ocr import text_accuracy
from posterkit.metrics.poster_reader import open_poster_reader
from posterkit.prompts import quoted_texts
from posterkit.schema import PosterSample

WORST = 5  # posters that are named where they fall short


def measures_of(path: str | Path, numbers: Sequence[int] | None = None) -> list[str]:
    """The lines of a set, or of a folder of posters with NAME.txt and NAME.texts.txt beside them.

    Args:
        numbers: of the samples that are measured; None for all.

    Raises:
        FileNotFoundError, ValueError: there is neither, or it cannot be read.
    """
    path = Path(path)
    folder = path if path.is_dir() else path.parent
    if path.is_file() or (folder / "samples.jsonl").is_file():
        found = PosterDataset(path)
        samples = (found[number] for number in (numbers or range(len(found.rows))))
        return [*_of_samples(samples), *_dropped(folder)]
    return _of_posters(folder)


def _of_samples(samples: Iterable[PosterSample]) -> list[str]:
    recall: list[tuple[float, str]] = []
    rearranged: list[tuple[float, str]] = []
    unnamed, leaks, checked = [], [], 0
    for sample in samples:
        texts = [text.text for text in sample.texts]
        if texts:
            recall.append((_recall(texts, sample.target), sample.id))
            if sample.task == "rescaling":
                rearranged += [(_recall(texts, reference), sample.id) for reference in sample.references]
        if _hidden(sample) - set(quoted_texts(sample.instruction)):
            unnamed.append(sample.id)
        if sample.task in (*GLOBAL, "id_driven"):
            checked += 1
            if any(_leaks(sample, reference) for reference in sample.references):
                leaks.append(sample.id)
    return [
        _line("text recall of targets", recall),
        _line("text recall of rearranged inputs", rearranged),
        f"texts in a hole that no instruction names: {len(unnamed)} samples{_named(unnamed)}",
        f"leaks: {len(leaks)} of {checked} samples whose reference is another picture{_named(leaks)}",
    ]


def _hidden(sample: PosterSample) -> set[str]:
    """The texts of which the mask covers anything."""
    if sample.mask is None or sample.task not in ("filling", "extending"):
        return set()
    boxes = [(text.text, text.box) for text in sample.texts if text.box]
    return {text for text, (x0, y0, x1, y1) in boxes if (sample.mask[y0:y1, x0:x1] > 0).any()}


def _leaks(sample: PosterSample, reference: np.ndarray) -> bool:
    if sample.task == "id_driven":
        return copied_share(reference, sample.target) > COPIED
    hidden = [box for box in (*(text.box for text in sample.texts), sample.subject) if box]
    return leaked_share(reference, sample.target, hidden) > LEAKED


def _of_posters(folder: Path) -> list[str]:
    """Recall against what captions and texts beside the posters say, and what becomes of their subjects."""
    tasks = PosterTasks(open_source(folder, "unknown", 0), CUT_OUT[:1])
    recall: list[tuple[float, str]] = []
    kept, lost = 0, Counter[str]()
    for number in range(len(tasks.source.names)):
        job = tasks[number]
        if isinstance(job, Drop):
            lost[job.reason] += 1
            continue
        poster = job.poster
        if expected := poster.wording or tuple(quoted_texts(poster.caption)):
            recall.append((_recall(expected, poster.pixels), poster.name))
        read = poster.with_answer("texts", "OCR", 0, texts=open_poster_reader().texts(poster.picture))
        found = find_subjects(PosterTask(number, job.task, read), "rules")
        kept, lost = (kept, lost + Counter([found.reason])) if isinstance(found, Drop) else (kept + 1, lost)
    why = ", ".join(f"{reason} {count}" for reason, count in lost.most_common()) or "none"
    return [_line("text recall of posters", recall), f"subjects: {kept} of {kept + lost.total()} kept; dropped: {why}"]


def _dropped(folder: Path) -> list[str]:
    path = folder / "dropped.jsonl"
    reasons = Counter(str(row.get("reason")) for _, row in read_rows(path)) if path.is_file() else Counter[str]()
    why = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common()) or "none"
    return [f"dropped: {reasons.total()}; {why}"]


def _recall(texts: Sequence[str], pixels: np.ndarray) -> float:
    read = open_poster_reader().texts(Image.fromarray(pixels))
    return text_accuracy(texts, [text.text for text in read]).recall


def _line(what: str, found: list[tuple[float, str]]) -> str:
    if not found:
        return f"{what}: nothing to read"
    short = [name for recall, name in sorted(found) if recall < 1]
    return f"{what}: {fmean(recall for recall, _ in found):.3f} over {len(found)}{_named(short)}"


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - WORST} more" if len(names) > WORST else ""
    return f" ({', '.join(names[:WORST])}{more})" if names else ""
