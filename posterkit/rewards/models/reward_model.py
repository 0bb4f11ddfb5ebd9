"""A vision-language model with a trained head that scores a poster for its request (PosterOmni's R_omni).

The conversation is: the input images, the words, the poster. The score is read from the mean state of the tokens from
the poster on. The model is causal: only these tokens have seen inputs and words too. The last token alone
is enough for a large model; a small one hardly attends to pictures there.
"""

# pyright: standard
from __future__ import annotations

import copy
import hashlib
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

from posterkit.compatibility import TEXT_ENCODER_LORA, check_versions
from posterkit.documents import read_json, read_text
from posterkit.pipelines.instruction import PICTURE
from posterkit.pipelines.loading import quiet_bars
from posterkit.pipelines.processor import load_processor
from posterkit.pipelines.registry import is_hub_id, resolve, resolve_folder
from posterkit.rewards.reward import RewardResult, check_count
from posterkit.schema import PosterRequest
from posterkit.sizing import fit_area

CONVERSATION = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
CONFIG, WEIGHTS, BACKBONE = "scorer.json", "scorer.safetensors", "backbone"
_FILES = ["*.json", "*.txt", "*.jinja", "*.safetensors"]  # of a folder on the hub


class RewardModel:
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
    def from_folder(cls, folder: str | Path, dtype: torch.dtype = torch.float32) -> RewardModel:
        """A model that `save` wrote, ready to score; `dtype` is of the backbone.

        FileNotFoundError where there is no model; ValueError where its weights do not fit.
        """
        folder = Path(folder)
        for name in (CONFIG, WEIGHTS):
            if not (folder / name).is_file():
                raise FileNotFoundError(f"{folder}: holds no reward model ({name} is not there)")
        settings = read_json(read_text(folder / CONFIG), str(folder / CONFIG))
        missing = [key for key in ("area", "prompt", "lora") if not isinstance(settings, dict) or key not in settings]
        if missing:
            raise ValueError(f"{folder / CONFIG}: {', '.join(missing)} is missing")
        source = str(folder / BACKBONE) if (folder / BACKBONE).is_dir() else settings["backbone"]
        model = cls(source, area=settings["area"], prompt=settings["prompt"], dtype=dtype)
        if settings["lora"]:
            model.add_lora(**settings["lora"])
        model.settings = settings
        weights = load_file(folder / WEIGHTS)
        head = {name.removeprefix("head."): value for name, value in weights.items() if name.startswith("head.")}
        try:
            model.module["head"].load_state_dict(head)
        except RuntimeError as fault:
            raise ValueError(f"{folder}: the head does not fit its backbone: {str(fault).splitlines()[-1]}") from None
        lora = {name: value for name, value in weights.items() if not name.startswith("head.")}
        if lora and (unknown := set_peft_model_state_dict(model.module["backbone"], lora).unexpected_keys):
            raise ValueError(f"{folder}: the LoRA does not fit the backbone (first difference: {unknown[0]})")
        model.module.eval().requires_grad_(False)
        return model

    def add_lora(self, rank: int, alpha: float, targets: Sequence[str], dora: bool = False) -> None:
        """Freeze the backbone and put a LoRA on it, which trains in float32 with the head.

        Raises:
            ValueError: a target fits no layer, or transformers and peft do not fit.
        """
        put_lora(self.module["backbone"], rank, alpha, targets, dora)
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
        words = request.as_instruction().replace("<|", "< |")  # words place no pictures
        words = words if self.settings["prompt"] else ""
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
        states = last_states(backbone, batch, padding)
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


def put_lora(backbone: Any, rank: int, alpha: float, targets: Sequence[str], dora: bool = False) -> None:
    """Freeze a backbone and put a LoRA on it, which trains in float32; ValueError as `RewardModel.add_lora`."""
    check_versions(TEXT_ENCODER_LORA)
    ends = {name.split(".")[-1] for name, part in backbone.named_modules() if isinstance(part, nn.Linear)}
    for target in targets:
        if target not in ends:
            there = ", ".join(sorted(ends))
            raise ValueError(f'no linear layer of the backbone ends in "{target}"; there are {there}')
    backbone.requires_grad_(False)
    config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=sorted(targets), use_dora=dora)  # pyright: ignore
    backbone.add_adapter(config)
    for name, parameter in backbone.named_parameters():
        if ".lora_" in name:
            parameter.data = parameter.data.float()


def merged_lora(backbone: Any) -> Any:
    """A copy of a backbone with its LoRA merged into the weights, in the dtype that it has."""
    backbone = copy.deepcopy(backbone)
    for layer in [part for part in backbone.modules() if hasattr(part, "merge") and hasattr(part, "lora_A")]:
        layer.merge()
    weights = {name.replace(".base_layer.", "."): value for name, value in backbone.state_dict().items()
               if ".lora_" not in name}  # fmt: skip
    merged = type(backbone)(backbone.config)
    merged.load_state_dict(weights)
    return merged.to(next(iter(weights.values())).dtype)


class LearnedReward:
    """The probability, by a reward model, that people choose a poster.

    How it can be hacked: posters unlike any in its training set, and whatever its negatives lack. Trained without the
    unedited inputs as negatives it rewards doing nothing, and without the prompt any good poster.

    Args:
        source: the run folder of `train/reward_model.py` (its averaged weights, else its last ones), or the folder of
            the weights.
        device: where it runs, on a card in bfloat16.

    Raises:
        FileNotFoundError: there is no reward model.
        ValueError: it was saved before it was calibrated on held-out pairs, or its weights do not fit.
    """

    def __init__(self, source: str | Path, *, device: str | torch.device = "cpu") -> None:
        self.folder = Path(resolve(source))
        quiet_bars()
        half = torch.device(device).type == "cuda"
        self.model = RewardModel.from_folder(self.folder, torch.bfloat16 if half else torch.float32)
        if "scale" not in self.model.settings:
            raise ValueError(f"{self.folder / CONFIG}: scale and offset are missing; the run has not come to its end")
        self.model.module.to(device)
        digest = hashlib.sha256()
        for file in (self.folder / CONFIG, self.folder / WEIGHTS, *sorted((self.folder / BACKBONE).glob("*.safe*"))):
            digest.update(file.read_bytes())
        self.name = f"learned-{digest.hexdigest()[:12]}"

    def __call__(self, images: Sequence[Image.Image], requests: Sequence[PosterRequest]) -> list[RewardResult]:
        """One result for each poster; `parts` has the value as `learned`, `why` has the raw score."""
        check_count(self.name, images, requests)
        settings = self.model.settings
        scores = self.model.scores(requests, images).double()
        values = torch.sigmoid(settings["scale"] * scores + settings["offset"]).tolist()
        return [
            RewardResult(value, {"learned": value}, f"score {score:+.2f}")
            for value, score in zip(values, scores.tolist(), strict=True)
        ]


def folder_of(source: str) -> Path:
    """The folder of weights that a run folder, `mini:posteromni` or a hub id stands for; FileNotFoundError if none."""
    if is_hub_id(source):
        return Path(snapshot_download(source, allow_patterns=_FILES))
    return Path(resolve_folder(source))


def last_states(backbone: Any, batch: dict[str, Tensor], padding: int) -> Tensor:
    """The last layer's states `(B, L, width)` of a Qwen2.5-VL for a batch as `collate` makes it.

    Args:
        padding: the id that stands in where a row has ended.
    """
    ids, known = batch["ids"], batch["ids"] >= 0
    return backbone.model(
        input_ids=ids.masked_fill(~known, padding),
        attention_mask=known.long(),
        pixel_values=batch["patches"].to(backbone.dtype),
        image_grid_thw=batch["grid"],
        mm_token_type_ids=(ids == backbone.config.image_token_id).int(),
        use_cache=False,
    )[0]
