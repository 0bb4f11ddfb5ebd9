"""A vision-language model with a trained head that scores a poster for its request (PosterOmni's R_omni).

The conversation is: the input images, the words, the poster. The score is read from the mean state of the tokens from
the poster on. The model is causal: only these tokens have seen inputs and words too. The last token alone
is enough for a large model; a small one hardly attends to pictures there.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from peft import LoraConfig, get_peft_model_state_dict, set_peft_model_state_dict
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForImageTextToText

from posterkit.pipelines.instruction import PICTURE
from posterkit.pipelines.processor import load_processor
from posterkit.pipelines.registry import resolve_folder
from posterkit.schema import PosterRequest
from posterkit.sizing import fit_area

CONVERSATION = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
CONFIG, WEIGHTS, BACKBONE = "scorer.json", "scorer.safetensors", "backbone"
_WANTED = ["*.json", "*.txt", "*.jinja", "*.safetensors"]  # of a folder on the hub


class Scorer:
    """A backbone of the Qwen2.5-VL or Qwen3-VL class and a light head.

    Attributes:
        module: "backbone" and "head", a two-layer MLP whose last layer starts at zero: all scores are 0 at first.
        settings: as in the folder's scorer.json: `backbone` (the source of its weights), `area`, `prompt`, `lora`, and
            after `calibrate` the `scale` and `offset` of scores.

    Args:
        source: a transformers folder, a hub id, a Qwen-Image-Edit folder or a run folder of one (whose text encoder
            is such a model), `mini:posteromni`.
        area: pixels that every picture is resized to, on the grid of the backbone's tokens.
        prompt: whether the words are read; without them only pictures count.
        dtype: of the backbone; the head is float32.

    Raises:
        FileNotFoundError: there is nothing at `source`.
        OSError, ValueError: it is another kind of model, or holds no safetensors.
    """

    kind = "reward-model"  # for the card, as `use` and `what_trains` are
    use = 'from posterkit.rewards import open_reward\n\nresults = open_reward("path/to/this/folder")(images, requests)'

    def __init__(self, source: str, *, area: int, prompt: bool = True, dtype: torch.dtype = torch.float32) -> None:
        folder = folder_of(source)
        weights = folder / "text_encoder" if (folder / "text_encoder").is_dir() else folder
        self.processor: Any = load_processor(folder)
        backbone: Any = AutoModelForImageTextToText.from_pretrained(
            weights, dtype=dtype, use_safetensors=True, trust_remote_code=False
        )
        width = backbone.config.get_text_config().hidden_size
        last = nn.Linear(width, 1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(), last)
        self.module: Any = nn.ModuleDict({"backbone": backbone, "head": head})
        if backbone.lm_head.weight is not backbone.get_input_embeddings().weight:
            backbone.lm_head.requires_grad_(False)  # no word is ever generated
        self.settings: dict[str, Any] = {"backbone": source, "area": area, "prompt": prompt, "lora": None}

    @classmethod
    def from_folder(cls, folder: str | Path, dtype: torch.dtype = torch.float32) -> Scorer:
        """A scorer that `save` wrote, ready to score.

        Raises:
            FileNotFoundError: there is no such folder, or it holds no scorer.
            ValueError: its weights do not fit.
        """
        folder = Path(folder)
        for name in (CONFIG, WEIGHTS):
            if not (folder / name).is_file():
                raise FileNotFoundError(f"{folder}: holds no reward model ({name} is not there)")
        settings = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        source = str(folder / BACKBONE) if (folder / BACKBONE).is_dir() else settings["backbone"]
        scorer = cls(source, area=settings["area"], prompt=settings["prompt"], dtype=dtype)
        if settings["lora"]:
            scorer.add_lora(**settings["lora"])
        scorer.settings = settings
        weights = load_file(folder / WEIGHTS)
        head = {name.removeprefix("head."): value for name, value in weights.items() if name.startswith("head.")}
        try:
            scorer.module["head"].load_state_dict(head)
        except RuntimeError as fault:
            raise ValueError(f"{folder}: the head does not fit its backbone: {str(fault).splitlines()[-1]}") from None
        lora = {name: value for name, value in weights.items() if not name.startswith("head.")}
        if lora:
            unknown = set_peft_model_state_dict(scorer.module["backbone"], lora).unexpected_keys
            if unknown:
                raise ValueError(f"{folder}: the LoRA does not fit the backbone (first difference: {unknown[0]})")
        scorer.module.eval().requires_grad_(False)
        return scorer

    def add_lora(self, rank: int, alpha: float, targets: Sequence[str], dora: bool = False) -> None:
        """Freeze the backbone and put a LoRA on it, which trains in float32 with the head.

        Raises:
            ValueError: a target fits no layer.
        """
        backbone: Any = self.module["backbone"]
        for target in targets:
            if not any(name.split(".")[-1] == target for name, part in backbone.named_modules() if _linear(part)):
                ends = sorted({name.split(".")[-1] for name, part in backbone.named_modules() if _linear(part)})
                raise ValueError(f'no linear layer of the backbone ends in "{target}"; there are {", ".join(ends)}')
        backbone.requires_grad_(False)
        config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=sorted(targets), use_dora=dora)  # pyright: ignore
        backbone.add_adapter(config)
        for name, parameter in backbone.named_parameters():
            if ".lora_" in name:
                parameter.data = parameter.data.float()
        self.settings["lora"] = {"rank": rank, "alpha": alpha, "targets": sorted(targets), "dora": dora}

    @property
    def what_trains(self) -> str:
        if not (lora := self.settings["lora"]):
            return "all of the backbone and the head"
        layers = ", ".join(f"`{name}`" for name in lora["targets"])
        return f"{'DoRA' if lora['dora'] else 'LoRA'} of rank {lora['rank']} on {layers} of the backbone, and the head"

    def read(self, request: PosterRequest, poster: Image.Image) -> dict[str, Tensor]:
        """The backbone's inputs for one poster: ids `(L,)`, patches `(P, D)`, grid `(N, 3)`."""
        pictures = [self._fit(picture) for picture in (*request.inputs(), poster)]
        labels = [PICTURE.format(number + 1) for number in range(len(pictures))]
        words = (
            request.as_instruction().replace("<|", "< |") if self.settings["prompt"] else ""
        )  # words place no pictures
        text = CONVERSATION.format("".join(labels[:-1]) + words + "\n" + labels[-1])
        found = self.processor(text=[text], images=pictures, return_tensors="pt")
        return {"ids": found["input_ids"][0], "patches": found["pixel_values"], "grid": found["image_grid_thw"]}

    def collate(self, rows: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
        """Rows of `read` as one batch: ids `(B, L)`, padded on the right with -1."""
        ids = pad_sequence([row["ids"] for row in rows], batch_first=True, padding_value=-1)
        return {"ids": ids, **{name: torch.cat([row[name] for row in rows]) for name in ("patches", "grid")}}

    def score(self, batch: dict[str, Tensor]) -> Tensor:
        """Scores `(B,)` float32, larger is better; only their differences mean anything before `calibrate`."""
        backbone: Any = self.module["backbone"]
        ids, known = batch["ids"], batch["ids"] >= 0
        padding = self.processor.tokenizer.pad_token_id or 0
        states = backbone.model(
            input_ids=ids.masked_fill(~known, padding),
            attention_mask=known.long(),
            pixel_values=batch["patches"].to(backbone.dtype),
            image_grid_thw=batch["grid"],
            mm_token_type_ids=(ids == backbone.config.image_token_id).int(),
            use_cache=False,
        )[0]
        places = torch.arange(ids.shape[1], device=ids.device)
        begins = ((ids == backbone.config.vision_start_token_id) * places).amax(1, keepdim=True)  # of the poster
        pooled = (known & (places >= begins)).float()
        with torch.autocast(ids.device.type, enabled=False):
            mean = (pooled[..., None] * states.float()).sum(1) / pooled.sum(1, keepdim=True)
            return self.module["head"](mean)[:, 0]

    @torch.no_grad()
    def scores(self, rows: Sequence[PosterRequest], posters: Sequence[Image.Image], at_once: int = 8) -> Tensor:
        """Scores `(B,)` of posters, on the CPU, read in the order given."""
        device, found = next(self.module["head"].parameters()).device, []
        for first in range(0, len(rows), at_once):
            few = zip(rows[first : first + at_once], posters[first : first + at_once], strict=True)
            batch = self.collate([self.read(request, poster) for request, poster in few])
            found.append(self.score({name: tensor.to(device) for name, tensor in batch.items()}).cpu())
        return torch.cat(found) if found else torch.zeros(0)

    def calibrate(self, scale: float, offset: float) -> None:
        """Set `sigmoid(scale * score + offset)` as the probability that people choose a poster."""
        self.settings |= {"scale": scale, "offset": offset}

    def save(self, folder: str | Path) -> None:
        """Write the head and the LoRA, or the whole backbone where there is no LoRA; safetensors and JSON."""
        folder, backbone = Path(folder), self.module["backbone"]
        folder.mkdir(parents=True, exist_ok=True)
        weights = {f"head.{name}": value for name, value in self.module["head"].state_dict().items()}
        if self.settings["lora"]:
            weights |= get_peft_model_state_dict(backbone)
        else:
            backbone.save_pretrained(folder / BACKBONE)
            self.processor.save_pretrained(folder / BACKBONE)
        save_file({name: value.detach().cpu().contiguous() for name, value in weights.items()}, folder / WEIGHTS)
        (folder / CONFIG).write_text(json.dumps(self.settings, indent=1) + "\n", encoding="utf-8")

    def _fit(self, picture: Image.Image) -> Image.Image:
        look = self.processor.image_processor
        size = fit_area(picture.size, self.settings["area"], look.patch_size * look.merge_size)
        picture = picture.convert("RGB")
        return picture if picture.size == size else picture.resize(size, Image.Resampling.BICUBIC)


def folder_of(source: str) -> Path:
    """The folder of weights that a run folder, `mini:posteromni` or a hub id stands for; FileNotFoundError if none."""
    if source.startswith("mini:") or Path(source).is_dir():
        return Path(resolve_folder(source))
    if source.count("/") != 1 or source.startswith((".", "/", "runs/", "~")):
        raise FileNotFoundError(f"{source}: no such folder")
    return Path(snapshot_download(source, allow_patterns=_WANTED))


def _linear(part: nn.Module) -> bool:
    return isinstance(part, nn.Linear)
