"""The network behind `TinyDetector` while it trains, in PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from posterkit.safety.detectors.tiny import CATEGORIES, metadata
from posterkit.safety.features import BITS, hashed

WIDTH, FILTERS, HIDDEN = 24, 48, 32
FILE = "tiny.safetensors"


class _Network(nn.Module):
    """Each word is the sum of its rows. A line is the sum of its words, and the strongest answer of any word and of
    any three words in a row to each of some filters; its context is the sum of its rows."""

    def __init__(self, drop: float) -> None:
        super().__init__()
        self.table = nn.Embedding(2**BITS, WIDTH)
        nn.init.normal_(self.table.weight, std=0.02)
        self.word, self.three = nn.Linear(WIDTH, FILTERS), nn.Conv1d(WIDTH, FILTERS, 3, padding=1)
        self.hidden = nn.Linear(2 * WIDTH + 2 * FILTERS, HIDDEN)
        self.head = nn.Linear(HIDDEN, len(CATEGORIES) + 1)
        self.drop = drop

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        lengths, counts = batch["lines_lengths"], batch["lines_words"]
        words = self._summed(batch["lines_rows"], lengths)
        if self.training:  # whole words drop out as well
            words = words * (torch.rand(len(words), 1, device=words.device) >= self.drop / 2)
        lines = torch.nn.utils.rnn.pad_sequence([*words.split(counts.tolist())], batch_first=True)
        there = (torch.arange(lines.shape[1], device=lines.device) < counts[:, None])[..., None]
        bag = lines.sum(1) / counts.clamp(min=1).sqrt()[:, None]
        single = (F.relu(self.word(lines)) * there).amax(1)
        three = (F.relu(self.three(lines.transpose(1, 2)).transpose(1, 2)) * there).amax(1)
        about = self._summed(batch["contexts_rows"], batch["contexts_lengths"])
        hidden = F.relu(self.hidden(torch.cat([bag, single, three, about], 1)))
        return self.head(F.dropout(hidden, self.drop / 2, self.training))

    def _summed(self, rows: Tensor, lengths: Tensor) -> Tensor:
        """Sums of the rows of each word, over the root of how many they are."""
        kept = torch.ones(len(rows), device=rows.device)
        if self.training:
            kept = F.dropout(kept, self.drop)
        starts = lengths.cumsum(0) - lengths
        pooled = F.embedding_bag(rows, self.table.weight, starts, mode="sum", per_sample_weights=kept)
        return pooled / lengths.clamp(min=1).sqrt()[:, None]


class HarmNetwork:
    """What `train/harm_detector.py` trains; `save` writes the file that `TinyDetector` opens.

    Args:
        drop: the share of a line's n-grams that are left out at each step.
    """

    kind = "harm-detector"
    what_trains = "a table of hashed n-grams and three layers"
    use = (
        "from posterkit.safety.detectors import open_detector\n\n"
        f'detector = open_detector("path/to/this/folder/{FILE}", policies=())\nprint(detector("Killer deals"))'
    )

    def __init__(self, drop: float = 0.0) -> None:
        self.module = _Network(drop)
        self.temperature = 1.0
        self.threshold = 0.5
        self.rate: float | None = None

    def read(self, texts: Sequence[str], contexts: Sequence[str | None]) -> dict[str, Tensor]:
        """The network's input: rows of the table for all texts in a row, and how many each word has."""
        lines = [hashed(text) for text in texts]
        before = [hashed(context or "", "context")[0] for context in contexts]
        empty = np.zeros(0, dtype=np.int64)
        return {
            "lines_rows": torch.from_numpy(np.concatenate([empty, *(rows for rows, _ in lines)])),
            "lines_lengths": torch.from_numpy(np.concatenate([empty, *(lengths for _, lengths in lines)])),
            "lines_words": torch.tensor([len(lengths) for _, lengths in lines]),
            "contexts_rows": torch.from_numpy(np.concatenate([empty, *before])),
            "contexts_lengths": torch.tensor([len(rows) for rows in before]),
        }

    def logits(self, batch: dict[str, Tensor]) -> Tensor:
        """Logits of each category and of any harm, `(B, categories + 1)` float32."""
        return self.module(batch)

    def save(self, folder: str | Path) -> None:
        """Write `tiny.safetensors`: the table in 8 bits with a scale for each column, the rest in half precision."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        module = self.module
        table = module.table.weight.detach().float().cpu()
        scale = table.abs().amax(0).clamp(min=1e-8) / 127
        weights = {
            "scale": scale, "word": module.word.weight, "word_bias": module.word.bias,
            "three": module.three.weight.transpose(1, 2).flatten(1), "three_bias": module.three.bias,
            "hidden": module.hidden.weight, "hidden_bias": module.hidden.bias,
            "head": module.head.weight, "head_bias": module.head.bias,
        }  # fmt: skip
        halves = {name: weight.detach().half().cpu().contiguous() for name, weight in weights.items()}
        halves["scale"] = scale  # too small for half precision
        halves["table"] = (table / scale).round().to(torch.int8)
        save_file(halves, Path(folder) / FILE, metadata(self.temperature, self.threshold, self.rate))
