"""A critic that trains: a vision-language model, and how likely it is to give an answer about a poster."""

# pyright: standard
from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForImageTextToText

from posterkit.pipelines.processor import load_processor
from posterkit.rewards.models.reward_model import folder_of, last_states, merged_lora, put_lora
from posterkit.sizing import fit_area

# the form of Qwen2.5-VL's own template, for folders that have none
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.content is string %}{{ m.content }}{% else %}"
    "{% for c in m.content %}{% if c.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif c.type == 'text' %}{{ c.text }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
END = "<|im_end|>"


class TrainedCritic:
    """A model of the Qwen2.5-VL or Qwen3-VL class that answers about posters, and its frozen reference.

    Attributes:
        module: "backbone", the whole model.
        lora: the LoRA's rank, alpha and targets; None where all weights train.

    Args:
        source: a transformers folder, a hub id, a Qwen-Image-Edit folder or a run folder of one (whose text encoder
            is such a model), `mini:posteromni`.
        area: pixels that a poster is resized to, on the grid of the backbone's tokens; None takes each picture's own.
        dtype: of the backbone.

    Raises:
        FileNotFoundError: there is nothing at `source`.
        OSError, ValueError: it is another kind of model, or holds no safetensors.
    """

    kind = "critic"  # for the card, as `use` and `what_trains` are
    use = 'from posterkit.critic import open_critic\n\nwords = open_critic("path/to/this/folder").caption(poster)'

    def __init__(self, source: str, *, area: int | None, dtype: torch.dtype = torch.float32) -> None:
        folder = folder_of(source)
        weights = folder / "text_encoder" if (folder / "text_encoder").is_dir() else folder
        self.processor: Any = load_processor(folder)
        if not self.processor.chat_template:
            self.processor.chat_template = self.processor.tokenizer.chat_template = TEMPLATE
        backbone: Any = AutoModelForImageTextToText.from_pretrained(
            weights, dtype=dtype, use_safetensors=True, trust_remote_code=False
        )
        self.module: Any = nn.ModuleDict({"backbone": backbone})
        self.area, self.lora, self._reference = area, None, None

    @property
    def what_trains(self) -> str:
        return f"LoRA of rank {self.lora['rank']} on the backbone" if self.lora else "all of the backbone"

    def add_lora(self, rank: int, alpha: float, targets: Sequence[str], dora: bool = False) -> None:
        """Freeze the backbone and put a LoRA on it; the reference is then the backbone without it.

        Raises:
            ValueError: a target fits no layer, or transformers and peft do not fit.
        """
        put_lora(self.module["backbone"], rank, alpha, targets, dora)
        self.lora = {"rank": rank, "alpha": alpha, "targets": sorted(targets), "dora": dora}

    def keep_reference(self, device: torch.device) -> None:
        """Keep the weights as they are now as the reference, where all of them train: a second copy in memory."""
        if self.lora is None:
            self._reference = copy.deepcopy(self.module["backbone"]).eval().requires_grad_(False).to(device)

    def read(self, system: str, content: Sequence[str | Image.Image], answer: str = "") -> dict[str, Tensor]:
        """One conversation: ids `(L,)`, which are the `answer` and its end `(L,)`, patches `(P, D)`, grid `(N, 3)`.

        Args:
            content: words and pictures of the question in their order, at least one picture.
            answer: empty for a question that is to be answered.
        """
        look = self.processor.image_processor
        said: list[dict[str, str]] = []
        pictures = []
        for part in content:
            if isinstance(part, str):
                said.append({"type": "text", "text": part.replace("<|", "< |")})
            else:
                said.append({"type": "image"})
                size = fit_area(part.size, self.area or part.width * part.height, look.patch_size * look.merge_size)
                pictures.append(part.convert("RGB").resize(size, Image.Resampling.BICUBIC))
        messages = [
            {"role": "system", "content": [{"type": "text", "text": system}]},
            {"role": "user", "content": said},
        ]
        asked = self.processor.apply_chat_template(messages, add_generation_prompt=True)
        found = self.processor(text=[asked], images=pictures, return_tensors="pt", do_resize=False)
        end = answer.replace("<|", "< |") + END if answer else ""
        tokens = self.processor.tokenizer.encode(end, add_special_tokens=False)
        ids = torch.cat([found["input_ids"][0], torch.tensor(tokens, dtype=torch.long)])
        said_from = torch.arange(len(ids)) >= len(ids) - len(tokens)
        return {"ids": ids, "answer": said_from, "patches": found["pixel_values"], "grid": found["image_grid_thw"]}

    def collate(self, rows: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
        """Rows of `read` as one batch, padded on the right: ids with -1."""
        return {
            "ids": pad_sequence([row["ids"] for row in rows], batch_first=True, padding_value=-1),
            "answer": pad_sequence([row["answer"] for row in rows], batch_first=True),
            **{name: torch.cat([row[name] for row in rows]) for name in ("patches", "grid")},
        }

    def log_probs(self, batch: dict[str, Tensor]) -> Tensor:
        """The summed log-probabilities `(B,)` float32 of each answer, its end included."""
        return _log_probs(self.module["backbone"], batch, self.processor.tokenizer.pad_token_id or 0)

    @torch.no_grad()
    def reference_log_probs(self, batch: dict[str, Tensor]) -> Tensor:
        """The same by the frozen reference: the backbone without its LoRA, or the copy that `keep_reference` made."""
        padding = self.processor.tokenizer.pad_token_id or 0
        if self._reference is not None:
            return _log_probs(self._reference, batch, padding)
        backbone = self.module["backbone"]
        backbone.disable_adapters()
        try:
            return _log_probs(backbone, batch, padding)
        finally:
            backbone.enable_adapters()

    @torch.no_grad()
    def answers(self, questions: Sequence[dict[str, Tensor]], most: int, temperature: float = 0.0) -> list[str]:
        """What the model says to questions as `read` makes them, in one batch; the greedy answers by default.

        Args:
            most: tokens of an answer.
        """
        tokenizer, longest = self.processor.tokenizer, max(len(one["ids"]) for one in questions)
        padding = tokenizer.pad_token_id or 0
        ids = torch.full((len(questions), longest), padding)
        known = torch.zeros_like(ids)
        for row, one in enumerate(questions):
            ids[row, longest - len(one["ids"]) :], known[row, longest - len(one["ids"]) :] = one["ids"], 1
        backbone = self.module["backbone"]
        drawing = {"do_sample": True, "temperature": temperature, "top_k": 0} if temperature else {"do_sample": False}
        device = backbone.device
        made = backbone.generate(
            input_ids=ids.to(device), attention_mask=known.to(device), max_new_tokens=most,
            pixel_values=torch.cat([one["patches"] for one in questions]).to(device, backbone.dtype),
            image_grid_thw=torch.cat([one["grid"] for one in questions]).to(device),
            mm_token_type_ids=((ids == backbone.config.image_token_id) & (known > 0)).int().to(device),
            eos_token_id=tokenizer.convert_tokens_to_ids(END), pad_token_id=padding, **drawing,
        )  # fmt: skip
        return [words.strip() for words in tokenizer.batch_decode(made[:, longest:], skip_special_tokens=True)]

    def save(self, folder: str | Path) -> None:
        """Write a transformers folder with the LoRA merged, which `posterkit.llm.local.LocalModel` opens.

        Its processor brings pictures to about `area`, since a critic that saw none of another size reads none.
        """
        folder, backbone = Path(folder), self.module["backbone"]
        if self.lora:
            backbone = merged_lora(backbone)
        backbone.save_pretrained(folder)
        look = self.processor.image_processor
        half, before = look.patch_size * look.merge_size // 2, look.size
        if self.area is not None:
            least, most = (round((self.area**0.5 + by) ** 2) for by in (-half, half))
            look.size = type(before)(shortest_edge=least, longest_edge=most)
        self.processor.save_pretrained(folder)
        look.size = before


def _log_probs(backbone: Any, batch: dict[str, Tensor], padding: int) -> Tensor:
    ids = batch["ids"]
    states = last_states(backbone, batch, padding)
    said = batch["answer"][:, 1:]  # a state predicts the token behind it
    logits = backbone.lm_head(states[:, :-1][said])  # of the answers alone: a vocabulary is large
    with torch.autocast(ids.device.type, enabled=False):
        each = -F.cross_entropy(logits.float(), ids[:, 1:][said], reduction="none")
        rows = said.nonzero()[:, 0]
        return torch.zeros(len(ids), device=ids.device).index_add(0, rows, each)
