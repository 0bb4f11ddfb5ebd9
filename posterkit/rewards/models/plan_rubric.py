"""A language model with five heads that scores a planner's reasoning by a rubric (TraceLift's reason reward model).

The state of a conversation's last token goes through a head for each dimension, which says how likely each label
0 to 4 is, and through one for the total.
"""

# pyright: standard
from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModel

from posterkit.documents import read_json, read_text
from posterkit.llm.local import open_tokenizer, with_chat_template
from posterkit.pipelines.registry import resolve
from posterkit.rewards.models.reward_model import merged_lora, put_lora
from posterkit.rewards.plan_rewards import BEST, DIMENSIONS

CONFIG, WEIGHTS, BACKBONE = "rubric.json", "rubric.safetensors", "backbone"


class PlanRubric:
    """A causal language model without its output layer, and the rubric's heads.

    Attributes:
        module: "backbone", "dimensions" (five heads of five labels in one layer) and "total".
        lora: the LoRA's rank, alpha and targets; None where all weights train.

    Args:
        tokenizer: with a chat template.
        backbone: of transformers' AutoModel, in any dtype; the heads are float32.
    """

    kind = "plan-rubric"  # for the card, as `use` and `what_trains` are
    use = (
        "from posterkit.rewards.models.plan_rubric import PlanRubric\n\n"
        'score = PlanRubric.from_folder("path/to/this/folder").score(brief, reasoning)'
    )

    def __init__(self, tokenizer: Any, backbone: Any) -> None:
        width = backbone.config.get_text_config().hidden_size
        heads = nn.Linear(width, len(DIMENSIONS) * (BEST + 1)), nn.Linear(width, 1)
        self.tokenizer, self.lora = tokenizer, None
        self.module: Any = nn.ModuleDict({"backbone": backbone, "dimensions": heads[0], "total": heads[1]})
        self.score = lru_cache(4096)(self._score)

    @classmethod
    def from_language_model(cls, source: str, dtype: torch.dtype = torch.float32) -> PlanRubric:
        """Fresh heads on a transformers folder or a hub id.

        Raises:
            OSError, ValueError: there is no such model, or its tokenizer has no chat template.
        """
        tokenizer = with_chat_template(open_tokenizer(source), source)
        backbone = AutoModel.from_pretrained(source, dtype=dtype, use_safetensors=True, trust_remote_code=False)
        return cls(tokenizer, backbone)

    @classmethod
    def from_folder(cls, folder: str | Path, dtype: torch.dtype = torch.float32) -> PlanRubric:
        """A model that `save` wrote, or the run folder of `train/planner_rubric.py`, ready to score.

        Raises:
            FileNotFoundError: there is none.
            ValueError: its weights do not fit, or its dimensions are others.
        """
        folder = Path(resolve(folder))
        for name in (CONFIG, WEIGHTS):
            if not (folder / name).is_file():
                raise FileNotFoundError(f"{folder}: holds no rubric ({name} is not there)")
        settings = read_json(read_text(folder / CONFIG), str(folder / CONFIG))
        if not isinstance(settings, dict) or settings.get("dimensions") != [*DIMENSIONS]:
            raise ValueError(f"{folder / CONFIG}: its dimensions are not {', '.join(DIMENSIONS)}")
        model = cls.from_language_model(str(folder / BACKBONE), dtype)
        try:
            for name in ("dimensions", "total"):
                part = {key.removeprefix(f"{name}."): value for key, value in load_file(folder / WEIGHTS).items()
                        if key.startswith(f"{name}.")}  # fmt: skip
                model.module[name].load_state_dict(part)
        except RuntimeError as fault:
            raise ValueError(f"{folder}: the heads do not fit: {str(fault).splitlines()[-1]}") from None
        model.module.eval().requires_grad_(False)
        return model

    @property
    def what_trains(self) -> str:
        return f"LoRA of rank {self.lora['rank']}, and the heads" if self.lora else "all weights"

    def add_lora(self, rank: int, alpha: float, targets: Sequence[str], dora: bool = False) -> None:
        """Freeze the backbone and put a LoRA on it; ValueError where a target fits no layer."""
        put_lora(self.module["backbone"], rank, alpha, targets, dora)
        self.lora = {"rank": rank, "alpha": alpha, "targets": sorted(targets), "dora": dora}

    def read(self, brief: str, reasoning: str) -> Tensor:
        """A brief and a reasoning about it as one conversation: ids `(L,)`."""
        said = [{"role": "user", "content": brief}, {"role": "assistant", "content": reasoning}]
        return torch.tensor(self.tokenizer.apply_chat_template(said, tokenize=True, return_dict=True)["input_ids"])

    def logits(self, rows: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Of conversations as `read` gives them: of each dimension's labels `(B, 5, 5)`, and of the total `(B,)`."""
        device = self.module["total"].weight.device
        ids = pad_sequence([*rows], batch_first=True, padding_value=-1).to(device)
        known = ids >= 0
        states = self.module["backbone"](
            input_ids=ids.masked_fill(~known, 0), attention_mask=known.long(), use_cache=False
        )[0]
        last = states[torch.arange(len(ids), device=device), known.sum(1) - 1]
        with torch.autocast(device.type, enabled=False):
            dimensions = self.module["dimensions"](last.float()).view(-1, len(DIMENSIONS), BEST + 1)
            return dimensions, self.module["total"](last.float())[:, 0]

    @torch.no_grad()
    def scores(self, rows: Sequence[Tensor]) -> list[float]:
        return rubric_scores(*self.logits(rows)).tolist()

    def _score(self, brief: str, reasoning: str) -> float:
        """Of one reasoning, in [0, 1]."""
        return self.scores([self.read(brief, reasoning)])[0]

    def save(self, folder: str | Path) -> None:
        """Write the heads, and the backbone as a transformers folder with the LoRA merged."""
        folder, backbone = Path(folder), self.module["backbone"]
        folder.mkdir(parents=True, exist_ok=True)
        (merged_lora(backbone) if self.lora else backbone).save_pretrained(folder / BACKBONE)
        self.tokenizer.save_pretrained(folder / BACKBONE)
        heads = {name: value.detach().cpu().contiguous() for name, value in self.module.state_dict().items()
                 if not name.startswith("backbone.")}  # fmt: skip
        save_file(heads, folder / WEIGHTS)
        (folder / CONFIG).write_text(json.dumps({"dimensions": DIMENSIONS}, indent=1) + "\n", encoding="utf-8")


def rubric_scores(dimensions: Tensor, total: Tensor) -> Tensor:
    """Half the mean of the expected labels as parts of the best one, half the sigmoid of the total: `(B,)` in [0, 1].

    Args:
        dimensions: logits of labels, `(B, D, 5)`.
        total: logits `(B,)`.
    """
    labels = torch.arange(BEST + 1, device=dimensions.device, dtype=torch.float32)
    expected = (dimensions.float().softmax(-1) * labels).sum(-1)  # (B, D)
    return 0.5 * expected.mean(-1) / BEST + 0.5 * total.float().sigmoid()
