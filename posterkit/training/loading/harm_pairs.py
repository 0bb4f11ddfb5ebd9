"""Batches of pairs of a safer and another text, for a harm detector."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from posterkit.datagen.safety_lines import HarmPair
from posterkit.datasets.buckets import BucketedLoader
from posterkit.safety.detectors.tiny import CATEGORIES
from posterkit.safety.detectors.tiny_network import HarmNetwork
from posterkit.training.protocols import RunView


class HarmBatch(dict[str, Tensor]):
    """The safer sides, then the others: what `HarmNetwork.logits` reads, and labels.

    `harmful` is `(2B,)`; `categories` `(2B, C)` is 1 for the category of a harmful text; `known` `(2B,)` is 0 for
    harmful texts whose category nobody knows.
    """

    def __init__(self, tensors: dict[str, Tensor], ids: list[str], tasks: list[str]) -> None:
        super().__init__(tensors)
        self.ids, self.tasks = ids, tasks

    def to(self, device: torch.device) -> HarmBatch:
        return HarmBatch({name: tensor.to(device) for name, tensor in self.items()}, self.ids, self.tasks)


def collate_pairs(model: HarmNetwork, pairs: Sequence[HarmPair]) -> HarmBatch:
    """Pairs as a batch."""
    lines = [(pair, pair.safer) for pair in pairs] + [(pair, pair.other) for pair in pairs]
    tensors = model.read([line.text for _, line in lines], [line.context for _, line in lines])
    tensors["harmful"] = torch.tensor([float(line.harmful) for _, line in lines])
    tensors["categories"] = torch.tensor(
        [[float(line.harmful and pair.category == name) for name in CATEGORIES] for pair, line in lines]
    )
    tensors["known"] = torch.tensor([float(not line.harmful or pair.category is not None) for pair, line in lines])
    return HarmBatch(tensors, [pair.id for pair in pairs], [pair.category or "any" for pair in pairs])


def harm_batches(pairs: Sequence[HarmPair], model: HarmNetwork, run: RunView) -> BucketedLoader[HarmPair]:
    """Endless batches; their order follows from the run's seed and can be resumed anywhere."""
    rank, world = run.accelerator.process_index, run.accelerator.num_processes
    return BucketedLoader(
        pairs, [0] * len(pairs), run.config.batch_size, lambda some: collate_pairs(model, some), run.config.seed,
        rank, world,
    )  # fmt: skip
