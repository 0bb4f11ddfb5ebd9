"""What a checkpoint is made of: its index, its card, another transformer, LoRAs. Weights are safetensors only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError, safe_open

from posterkit.documents import read_json, read_yaml
from posterkit.messages import error_line
from posterkit.pipelines.registry import (
    FAMILIES,
    ModelFamily,
    read_file,
    resolve,
)
from posterkit.pipelines.revision import path_and_weight

_MUST_FIT = ("in_channels", "joint_attention_dim", "pooled_projection_dim")
_SCRIPTS_OF = {
    "zh": ("han",), "ja": ("han", "kana"), "ko": ("hangul",), "ru": ("cyrillic",), "uk": ("cyrillic",),
    "bg": ("cyrillic",), "sr": ("cyrillic", "latin"), "el": ("greek",), "ar": ("arabic",), "fa": ("arabic",),
    "ur": ("arabic",), "he": ("hebrew",), "hi": ("devanagari",), "th": ("thai",), "ka": ("georgian",),
    "hy": ("armenian",), "bn": ("bengali",), "ta": ("tamil",),
}  # fmt: skip

# what the libraries raise for a damaged or foreign folder; a torn safetensors file has a kind of its own
LOAD_FAULTS = (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError)


def quiet_bars() -> None:
    """Turn off the libraries' bars for files and shards, which would tear ours."""
    import diffusers.utils.logging
    import transformers.utils.logging

    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()


def weight_bytes(model: str) -> int | None:
    """Bytes of the safetensors files of a folder; None for a hub id, whose files are not here yet."""
    folder = Path(model)
    return sum(file.stat().st_size for file in folder.rglob("*.safetensors")) if folder.is_dir() else None


def card_scripts(model: str) -> tuple[str, ...] | None:
    """The scripts that a model can draw, by its card; None where the card does not say.

    The card's `posterkit: {scripts: [...]}` counts, else its `language`. An empty list means that it cannot spell.
    """
    head = _card_head(model)
    if isinstance(scripts := _ours(head).get("scripts"), list):
        return tuple(str(script) for script in scripts)
    languages = head.get("language")
    languages = [languages] if isinstance(languages, str) else languages
    if not isinstance(languages, list) or not languages:
        return None
    return tuple(dict.fromkeys(s for tag in languages for s in _SCRIPTS_OF.get(str(tag).split("-")[0], ("latin",))))


def card_recipe(model: str) -> str | None:
    """The recipe that a model or a LoRA was trained by last, by its card; None where the card does not say."""
    recipe = _ours(_card_head(model)).get("recipe")
    return recipe if isinstance(recipe, str) else None


class CardDraft(NamedTuple):
    """How a checkpoint paints over drafts: about how many pixels, and how much of them anew."""

    area: int
    strength: float


def card_draft(model: str) -> CardDraft | None:
    """How a model's posters begin from drafts, by its card's `posterkit: {draft: {area: ..., strength: ...}}`."""
    found = _ours(_card_head(model)).get("draft")
    return CardDraft(int(found["area"]), float(found["strength"])) if isinstance(found, dict) else None


def card_prompts(model: str) -> str | None:
    """The language of a model's prompts, by its card's `posterkit: {prompts: scene}`; None for ordinary words.

    "scene" is mini's own (`posterkit.prompts.scene`), "scene, no text" the same for models that letter unless told
    not to.
    """
    found = _ours(_card_head(model)).get("prompts")
    return found if isinstance(found, str) else None


def _ours(head: dict[str, Any]) -> dict[str, Any]:
    ours = head.get("posterkit")
    return ours if isinstance(ours, dict) else {}


def _card_head(model: str) -> dict[str, Any]:
    """The front matter of a card in a folder, beside a file, or of a hub repository; empty where there is none."""
    try:
        card = read_file(str(Path(model).parent) if Path(model).is_file() else model, "README.md")
        parts = card.split("---", 2)
        head = read_yaml(parts[1]) if card.lstrip()[:3] == "---" and len(parts) == 3 else None
    except ValueError:
        return {}
    return head if isinstance(head, dict) else {}


def load_transformer(source: str, model: str, family: ModelFamily, dtype: Any, quantization: Any = None) -> Any:
    """Another transformer for a base: the authors of both systems release only that part.

    Args:
        source: a transformer's folder, a pipeline folder that has one, a hub id of either, or one safetensors file in
            diffusers' or the original layout.
        model: the base that it goes into.
        dtype, quantization: as `from_pretrained` takes them.

    Raises:
        ValueError: it is none, cannot be loaded, or does not fit the base.
    """
    import diffusers

    transformer = getattr(diffusers, family.transformer)
    options = {"dtype": dtype} | ({"quantization_config": quantization} if quantization else {})
    path = Path(source)
    try:
        base = read_json(read_file(model, "transformer/config.json"), "transformer/config.json")
        if path.is_file():
            _check_file(path, family)
            made = transformer.from_single_file(str(path), config=model, subfolder="transformer", **options)
        else:
            folder = _transformer_folder(source)
            config = read_json(read_file(source, f"{folder}/config.json" if folder else "config.json"), "config.json")
            _check_fit(config, base, family.transformer)
            made = transformer.from_pretrained(source, subfolder=folder, use_safetensors=True, **options)
        _check_fit(made.config, base)
    except LOAD_FAULTS as fault:
        raise ValueError(f"transformer {source}: {error_line(fault)}") from None
    return made


def _check_file(path: Path, family: ModelFamily) -> None:
    """Raise ValueError for a single file that is not safetensors, or holds another family's transformer."""
    if path.suffix != ".safetensors":
        raise ValueError(f"a {path.suffix or 'nameless'} file; only .safetensors files are read")
    with safe_open(path, "pt") as file:
        keys = list(file.keys())
    found = next((one for one in FAMILIES.values() if any(one.file_key in key for key in keys)), family)
    if found is not family:
        raise ValueError(f"holds a transformer of {found.name}; the base is of {family.name}")


def _transformer_folder(source: str) -> str | None:
    """ "transformer" where the source is a whole pipeline, None where it is the transformer itself."""
    try:
        read_file(source, "model_index.json")
    except ValueError:
        return None
    return "transformer"


def _check_fit(config: Any, base: Any, name: str | None = None) -> None:
    if name and config.get("_class_name") != name:
        raise ValueError(f"is a {config.get('_class_name')}, the base needs a {name}")
    for key in _MUST_FIT:
        if key in base and config.get(key) != base[key]:
            raise ValueError(f"its {key} is {config.get(key)}, the base needs {base[key]}")


def add_loras(pipe: Any, lora: str | Sequence[str]) -> None:
    """Load LoRAs and set their weights.

    Args:
        lora: a folder, a hub id or a safetensors file, or several; `=0.8` behind one is its weight.

    Raises:
        ValueError: one cannot be loaded, or holds nothing for this model.
    """
    names, weights = [], []
    for number, item in enumerate([lora] if isinstance(lora, str) else lora):
        source, weight = _source_and_weight(resolve(item))
        name = f"lora{number}"
        if Path(source).is_file() and not source.endswith(".safetensors"):
            raise ValueError(f"LoRA {source}: only .safetensors files are read")
        try:
            pipe.load_lora_weights(source, adapter_name=name, use_safetensors=True)
        except LOAD_FAULTS as fault:
            raise ValueError(f"LoRA {source}: {error_line(fault)}") from None
        if not any(name in adapters for adapters in pipe.get_list_adapters().values()):
            raise ValueError(f"LoRA {source}: none of its keys is known to this model")
        names.append(name)
        weights.append(weight)
    if names:
        pipe.set_adapters(names, weights)


def _source_and_weight(item: str) -> tuple[str, float]:
    source, weight = path_and_weight(item)
    try:
        number = float(weight[1:]) if weight else 1.0
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"LoRA {item}: the weight behind = must be a number, found {weight[1:]!r}")
    return source, number
