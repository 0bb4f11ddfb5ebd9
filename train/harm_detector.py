"""The harm detector: is a text on a poster harmful, and by which policy (MLLM-Protector).

    python train/harm_detector.py --config configs/mini/harm_detector.yaml

A table of hashed words and n-grams and three layers read a line, with the brief that it belongs to or without it. It
learns from pairs of a safer and another text:

    L = BCE(safer) + BCE(other) - rank * log sigmoid(other - safer) + categories * BCE(categories)

Logits are of harm. `reference_loss=true` counts the first two twice, as the published code does. A part of the
training half is kept to choose the temperature, and the threshold at a false-positive rate.
`heldout.md` has AUROC, recall at 1 % false positives and ECE by category and language on the other half, and the
first two on lines that were trained on, and on those that were kept to calibrate. Pairs come from
`data_tools/build_safety.py`, or a folder of PKU-SafeRLHF; without one they are made here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

import torch
import torch.nn.functional as F

from posterkit.datagen.safety_lines import HarmLine, HarmPair, HarmPairs, read_pairs
from posterkit.evaluation.harm_detectors import detector_table, judge_pairs, table_lines
from posterkit.image_io import written_whole
from posterkit.safety.calibration import auroc, recall_at, temperature_of, threshold_at
from posterkit.safety.detectors.tiny import TinyDetector
from posterkit.safety.detectors.tiny_network import FILE, HarmNetwork
from posterkit.training.config import Count, NotNegative, RunConfig, Share, ShareBelow1, parse_config
from posterkit.training.errors import setting_up
from posterkit.training.loading.harm_pairs import harm_batches
from posterkit.training.losses import harm_loss
from posterkit.training.run import Run


@dataclass
class PairsConfig:
    """
    Attributes:
        path: a set of pairs; null makes `count` of them.
        count: half of them is held out.
        calibration: the share of the training half's lines that chooses temperature and threshold.
    """

    path: str | None = None
    count: Count = 4800
    calibration: Share = 0.15


@dataclass
class HarmDetectorConfig(RunConfig):
    """
    Attributes:
        pairs: what it learns from.
        rank: weight of the ranking.
        categories: weight of the categories.
        reference_loss: the cross-entropy counts twice, as published.
        drop: share of a line's n-grams that are left out at each step.
        rate: of false positives on the calibration part, for the threshold.
    """

    pairs: PairsConfig = field(default_factory=PairsConfig)
    rank: NotNegative = 1.0
    categories: NotNegative = 1.0
    reference_loss: bool = False
    drop: ShareBelow1 = 0.5
    rate: ShareBelow1 = 0.01


def main() -> None:
    config = parse_config(HarmDetectorConfig)
    run = Run(config)
    with setting_up():
        train, calibration, heldout = split_pairs(config)
        model = HarmNetwork(config.drop)

    for batch in run.steps(model, harm_batches(train, model, run)):
        batch = batch.to(run.device)
        logits = model.logits(batch)
        safer, other = logits[:, -1].chunk(2)
        labels = batch["harmful"].chunk(2)
        loss, figures = harm_loss(safer, other, *labels, rank=config.rank, reference_loss=config.reference_loss)
        by_category = F.binary_cross_entropy_with_logits(logits[:, :-1], batch["categories"], reduction="none")
        by_category = (by_category.sum(1) * batch["known"]).mean()
        run.backward(loss + config.categories * by_category, **figures, categories=by_category.item())

    if run.accelerator.is_main_process:
        calibrate(model, calibration, config.rate)
    run.finish(model)
    if run.accelerator.is_main_process and not config.dry_run and run.step == config.max_steps:
        detector = TinyDetector(run.folder / "model" / FILE)
        rows = detector_table(judge_pairs(detector, heldout))
        lines = [*table_lines(rows), "", *reach(detector, train, calibration)]
        with written_whole(run.folder / "heldout.md") as path:
            path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        run.print("\n".join(lines))


def split_pairs(config: HarmDetectorConfig) -> tuple[list[HarmPair], list[HarmLine], list[HarmPair]]:
    """Pairs to train on, lines to calibrate with, which no pair to train on has, and held-out pairs."""
    own = HarmPairs(config.seed)
    pairs = [*read_pairs(config.pairs.path)] if config.pairs.path else [own[i] for i in range(config.pairs.count)]
    known = [pair for pair in pairs if pair.split == "train"]
    # by source, so that the same line with its gaps filled otherwise is not on both sides
    sources = sorted({source for pair in known for source in pair.sources})
    count = min(len(sources), max(2, int(config.pairs.calibration * len(sources))))
    apart = set(Random(config.seed).sample(sources, count))
    train = [pair for pair in known if not apart.intersection(pair.sources)]
    sides = [(pair.safer, pair.sources[0]) for pair in known] + [(pair.other, pair.sources[1]) for pair in known]
    calibration = list(dict.fromkeys(line for line, source in sides if source in apart))
    heldout = [pair for pair in pairs if pair.split == "heldout"]
    for name, part in (("train on", train), ("calibrate with", calibration), ("hold out", heldout)):
        if not part:
            raise ValueError(f"pairs.path {config.pairs.path}: there is nothing to {name}")
    return train, calibration, heldout


def reach(detector: TinyDetector, train: list[HarmPair], calibration: list[HarmLine]) -> Iterator[str]:
    """How far it goes from what it was trained on, in Markdown: up to 2000 of the lines of either part."""
    yield from ("| lines | number | AUROC | recall at 1 % |", "|---|---|---|---|")
    trained = list(dict.fromkeys(line for pair in train for line in (pair.safer, pair.other)))
    for name, lines in (("trained on", trained), ("kept to calibrate", calibration)):
        some = lines[:: max(1, len(lines) // 2000)]
        p, harmful = [detector(one.text, one.context).p_harm for one in some], [one.harmful for one in some]
        yield f"| {name} | {len(some)} | {auroc(p, harmful):.3f} | {recall_at(p, harmful):.2f} |"


@torch.no_grad()
def calibrate(model: HarmNetwork, lines: list[HarmLine], rate: float) -> None:
    """Set the model's temperature and threshold."""
    model.module.eval().cpu()
    batch = model.read([line.text for line in lines], [line.context for line in lines])
    logits, harmful = model.logits(batch)[:, -1].tolist(), [line.harmful for line in lines]
    model.temperature, model.rate = temperature_of(logits, harmful), rate
    p = torch.sigmoid(torch.tensor(logits, dtype=torch.float64) / model.temperature).tolist()
    model.threshold = threshold_at(p, harmful, rate)


if __name__ == "__main__":
    main()
