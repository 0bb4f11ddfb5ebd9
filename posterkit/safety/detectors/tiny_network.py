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

LANGUAGES = ("en", "zh")
WIDTH, HIDDEN = 24, 32
FILE = "tiny.safetensors"


class _Network(nn.Module):
    def __init__(self, drop: float) -> None:
        super().__init__()
        self.table = nn.Embedding(2**BITS, WIDTH)
        nn.init.normal_(self.table.weight, std=1e-3)  # what was never seen says nothing
        self.hidden, self.head = nn.Linear(2 * WIDTH, HIDDEN), nn.Linear(HIDDEN, len(CATEGORIES) + 1)
        self.drop = drop

    def forward(self, lines: tuple[Tensor, Tensor], contexts: tuple[Tensor, Tensor]) -> Tensor:
        pooled = torch.cat([self._pool(*lines), self._pool(*contexts)], 1)
        return self.head(F.relu(self.hidden(pooled)))

    def _pool(self, rows: Tensor, lengths: Tensor) -> Tensor:
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
    what_trains = "a table of hashed n-grams and two layers"
    use = (
        "from posterkit.safety.detectors import open_detector\n\n"
        f'detector = open_detector("path/to/this/folder/{FILE}", policies=())\nprint(detector("Killer deals"))'
    )

    def __init__(self, drop: float = 0.0) -> None:
        self.module = _Network(drop)
        self.temperature = 1.0
        self.thresholds: dict[str, float] = dict.fromkeys(LANGUAGES, 0.5)
        self.rate: float | None = None

    def read(self, texts: Sequence[str], contexts: Sequence[str | None]) -> dict[str, Tensor]:
        """The network's input: rows of the table for all texts in a row, and how many each has."""
        found = {}
        for name, part, words in (("lines", "text", texts), ("contexts", "context", contexts)):
            rows = [hashed(word or "", part) for word in words]
            found[f"{name}_rows"] = torch.from_numpy(np.concatenate(rows))
            found[f"{name}_lengths"] = torch.tensor([len(row) for row in rows])
        return found

    def logits(self, batch: dict[str, Tensor]) -> Tensor:
        """Logits of each category and of any harm, `(B, categories + 1)` float32."""
        lines, contexts = ((batch[f"{name}_rows"], batch[f"{name}_lengths"]) for name in ("lines", "contexts"))
        return self.module(lines, contexts)

    def save(self, folder: str | Path) -> None:
        """Write `tiny.safetensors` in half precision."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        module = self.module
        weights = {
            "table": module.table.weight, "hidden": module.hidden.weight, "hidden_bias": module.hidden.bias,
            "head": module.head.weight, "head_bias": module.head.bias,
        }  # fmt: skip
        halves = {name: weight.detach().half().cpu().contiguous() for name, weight in weights.items()}
        save_file(halves, Path(folder) / FILE, metadata(self.temperature, self.thresholds, self.rate))
