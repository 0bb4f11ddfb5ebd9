"""LoRA files of any tool, as diffusers and PEFT load them: every key used, every layer known, alpha folded in."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from posterkit.documents import read_json
from posterkit.messages import error_line, one_line
from posterkit.pipelines.lora_names import Rows, find_rows, layer_names, read_key

ADAPTER_METADATA = "lora_adapter_metadata"  # diffusers' own
BASE_METADATA = "posterkit_base"
UNQUANTISED = "posterkit_unquantised"  # a transformer's attribute: its `base_of` before it was quantised
FUSED = "posterkit_fused"  # likewise: the base before LoRAs were added to its weights, and which, see `note_fused`


@dataclass(frozen=True)
class LoraContent:
    """A LoRA file, read but not yet matched with a model.

    Attributes:
        parts: "A", "B", "magnitude" and "alpha" of each layer, as the file names it; the key is (encoder, layer).
        config: PEFT's values (`r`, `lora_alpha`, ...), where the file or the folder says them.
        base: what it was trained on, see `base_of`; empty where it does not say.
        metadata: the file's own, as it stands there.
    """

    parts: dict[tuple[bool, str], dict[str, Tensor]]
    config: dict[str, Any] = field(default_factory=dict)
    base: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)

    def config_of(self, component: str) -> dict[str, Any]:
        """PEFT's values for "transformer" or "text_encoder"; diffusers keeps both in one, with prefixes."""
        own = f"{component}."
        return {k.removeprefix(own): v for k, v in self.config.items() if k.startswith(own) or "." not in k}


def read_lora_file(path: str | Path) -> LoraContent:
    """Read a LoRA of any tool.

    Raises:
        ValueError: one line: no safetensors file, a key that is none of a LoRA, a layer without one of its factors,
            factors that do not fit each other, NaN or infinity.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"LoRA {path}: only .safetensors files are read")
    try:
        with safe_open(path, "pt") as file:
            metadata = dict(file.metadata() or {})
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - a handle is no mapping
    except (SafetensorError, OSError) as fault:
        raise ValueError(f"LoRA {path}: not a safetensors file ({error_line(fault)})") from None
    try:
        parts = _parts(tensors)
        config, base = (_mapping(metadata.get(key, "{}"), key) for key in (ADAPTER_METADATA, BASE_METADATA))
        beside = path.with_name("adapter_config.json")
        if not config and beside.is_file():
            config = _mapping(beside.read_text(encoding="utf-8"), beside.name)
    except ValueError as fault:
        raise ValueError(f"LoRA {path}: {fault}") from None
    return LoraContent(parts, config, base, metadata)


def _parts(tensors: Mapping[str, Tensor]) -> dict[tuple[bool, str], dict[str, Tensor]]:
    found: dict[tuple[bool, str], dict[str, Tensor]] = defaultdict(dict)
    for key, value in tensors.items():
        read = read_key(key)
        if read is None:
            raise ValueError(f"the key {one_line(key, 100)} is none of a LoRA")
        if not torch.isfinite(value).all():
            raise ValueError(f"{one_line(key, 100)} holds NaN or infinity")
        found[read.encoder, read.layer][read.part] = value
    if not found:
        raise ValueError("holds no tensor")
    for (_, layer), parts in found.items():
        missing = [part for part in ("A", "B") if part not in parts]
        if missing:
            raise ValueError(f"{layer} has no factor {missing[0]}: cut short, or of another kind (LoKr, LoHa)")
        a, b = parts["A"], parts["B"]
        if a.ndim != 2 or b.ndim != 2 or a.shape[0] != b.shape[1] or not a.shape[0]:
            raise ValueError(f"{layer}: its factors are {tuple(a.shape)} and {tuple(b.shape)}, which do not fit")
    return dict(found)


def lora_state_dict(content: LoraContent, pipe: Any) -> dict[str, Tensor]:
    """The LoRA by the names of a pipeline's layers, with PEFT's keys and a scale of 1.

    Raises:
        ValueError: a layer that the pipeline does not have, or of another width; or only some layers are DoRA's.
    """
    made: dict[str, Tensor] = {}
    dora = [bool("magnitude" in parts) for parts in content.parts.values()]
    if any(dora) and not all(dora):
        raise ValueError(f"{sum(dora)} of its {len(dora)} layers have a magnitude: neither a LoRA nor a DoRA")
    names: dict[str, tuple[dict[str, nn.Linear], dict[str, tuple[Rows, ...]]]] = {}
    for (encoder, name), parts in content.parts.items():
        component = "text_encoder" if encoder else "transformer"
        if component not in names:
            layers = linear_layers(getattr(pipe, component, None))
            names[component] = layers, layer_names(layers)
        layers, known = names[component]
        rows = find_rows(name, known)
        if rows is None:
            raise ValueError(f"changes {one_line(name, 100)}, a layer that this {component} does not have")
        scale = _scale(content.config_of(component), name, parts)
        _put(made, component, rows, layers, name, parts, scale)
    return made


def _put(
    made: dict[str, Tensor], component: str, rows: tuple[Rows, ...], layers: dict[str, nn.Linear], name: str,
    parts: dict[str, Tensor], scale: float,
) -> None:  # fmt: skip
    """Each layer's rows of a joined LoRA; factor A is common to them."""
    a, b = parts["A"], parts["B"]
    expected = sum(layers[row.layer].out_features for row in rows), layers[rows[0].layer].in_features
    if (b.shape[0], a.shape[1]) != expected:
        raise ValueError(f"its {name} is {(b.shape[0], a.shape[1])}, here it is {expected}: of another base")
    start = 0
    for row in rows:
        stop = start + layers[row.layer].out_features
        key = f"{component}.{row.layer}"
        if f"{key}.lora_A.weight" in made:
            raise ValueError(f"changes {row.layer} twice")
        made[f"{key}.lora_A.weight"] = a
        made[f"{key}.lora_B.weight"] = b[start:stop] * scale if scale != 1 else b[start:stop].contiguous()
        if (magnitude := parts.get("magnitude")) is not None:
            if magnitude.numel() != b.shape[0]:
                raise ValueError(f"{name}: its magnitude is {tuple(magnitude.shape)}, its output {b.shape[0]} wide")
            made[f"{key}.lora_magnitude_vector"] = magnitude.flatten()[start:stop].contiguous()
        start = stop


def _scale(config: Mapping[str, Any], layer: str, parts: Mapping[str, Tensor]) -> float:
    """What B A is multiplied with: alpha / rank of the file, else of PEFT's config, else 1."""
    rank = parts["A"].shape[0]
    if (alpha := parts.get("alpha")) is not None:
        return float(alpha) / rank
    alpha = _pattern(config.get("alpha_pattern"), layer, config.get("lora_alpha"))
    if alpha is None:
        return 1.0
    if isinstance(alpha, bool) or not isinstance(alpha, int | float):
        raise ValueError(f"its lora_alpha is {one_line(repr(alpha), 40)}, no number")
    return alpha / (rank**0.5 if config.get("use_rslora") else rank)


def _pattern(pattern: object, layer: str, common: object) -> Any:
    if not isinstance(pattern, dict | None):
        raise ValueError(f"its alpha_pattern is {one_line(repr(pattern), 40)}, no mapping")
    for key, value in (pattern or {}).items():
        if layer == key or layer.endswith(f".{key}"):
            return value
    return common


def _mapping(text: str, what: str) -> dict[str, Any]:
    found = read_json(text, what)
    if not isinstance(found, dict):
        raise ValueError(f"{what} must hold keys and values, found {type(found).__name__}")
    return found


def linear_layers(model: Any) -> dict[str, nn.Linear]:
    """A model's own linear layers by name, with or without adapters on them; none where there is no model."""
    return {
        path.removesuffix(".base_layer"): layer
        for path, layer in (model.named_modules() if model is not None else ())
        if isinstance(layer, nn.Linear) and ".lora_" not in path
    }


def base_of(transformer: Any) -> dict[str, Any]:
    """Which model an adapter belongs to.

    Returns:
        name: a hub id, or the last part of a local folder's path; for people.
        kind: the transformer's class.
        weights: a hash of all vectors and of the beginning of each matrix, rounded to bfloat16, so that it does not
            depend on the dtype that the base is loaded in; of a base that was quantised here, the hash from before;
            None of one that came quantised.
        after: where LoRAs were added to it, the `base` before them and their files' hashes, `loras`, in order.
    """
    if (before := getattr(transformer, UNQUANTISED, None)) is not None:
        return before
    digest, whole = hashlib.sha256(), True
    for path, parameter in sorted(transformer.named_parameters()):
        if ".lora_" in path:
            continue
        if type(parameter) is not nn.Parameter or not parameter.is_floating_point():  # torchao's own, or packed bits
            whole = False
            continue
        start = parameter.detach() if parameter.ndim == 1 else parameter.detach().flatten()[:64]
        digest.update(f"{path.replace('.base_layer', '')} {tuple(parameter.shape)}".encode())
        digest.update(start.to(torch.bfloat16).cpu().view(torch.uint8).numpy().tobytes())
    fused = getattr(transformer, FUSED, None)
    return {
        "name": _base_name(str(transformer.config.get("_name_or_path") or "")),
        "kind": type(transformer).__name__,
        "weights": digest.hexdigest()[:16] if whole else None,
        **({"after": fused} if fused else {}),
    }


def note_fused(transformer: Any, before: Mapping[str, Any], file: Path) -> None:
    """Note on a transformer that a LoRA has been added to its weights.

    Args:
        before: its `base_of` before.
    """
    after = before.get("after") or {"base": dict(before), "loras": []}
    setattr(transformer, FUSED, {"base": after["base"], "loras": [*after["loras"], *held_by(file)]})


def held_by(file: Path) -> list[str]:
    """The hashes of the LoRAs that a file holds: its own, or those that were merged into it at full weight."""
    with safe_open(file, "pt") as opened:
        held = _mapping((opened.metadata() or {}).get(BASE_METADATA, "{}"), BASE_METADATA).get("holds")
    if isinstance(held, list) and held:
        return [str(one) for one in held]
    with file.open("rb") as content:
        return [hashlib.file_digest(content, "sha256").hexdigest()[:16]]


def _base_name(source: str) -> str:
    """A hub id as it is; of a local path only its last part, so that no folder of a user is named."""
    path = Path(source.removesuffix("/transformer"))
    for part in path.parts:
        if part.startswith("models--"):  # in the hub's cache
            return part.removeprefix("models--").replace("--", "/")
    if not path.is_absolute() and not path.exists():
        return source
    return path.parent.name if path.name in ("model", "ema") else path.name


def other_base(transformer: Any, base: Mapping[str, Any], beside: Collection[Path] = ()) -> str | None:
    """How a LoRA's base differs from this transformer; None where it does not, or one of the two does not say.

    Args:
        beside: files of LoRAs that are loaded at full weight.
    """
    mine = base_of(transformer) if base else {}
    after = base.get("after")
    if isinstance(after, dict) and base.get("weights") != mine.get("weights"):
        if missing := missing_before(after, beside):
            return f"{one_line(str(base.get('name')), 60)} with {missing}"
        base = after["base"]
    for key in ("kind", "weights"):
        if base.get(key) and mine[key] and base[key] != mine[key]:
            theirs = " ".join(str(base.get(k)) for k in ("name", "kind", "weights"))
            return f"{one_line(theirs, 120)}; here is {' '.join(map(str, mine.values()))}"
    return None


def missing_before(after: Mapping[str, Any], beside: Collection[Path]) -> str | None:
    """What must be loaded before a LoRA that was trained on other LoRAs; None where all of them are.

    Args:
        after: of its `base`.
        beside: files that are loaded at full weight.
    """
    needed, loaded = after.get("loras"), {one for file in beside for one in held_by(file)}
    if not isinstance(needed, list) or not isinstance(after.get("base"), dict):
        return "LoRAs that its file does not name"
    missing = [str(one) for one in needed if one not in loaded]
    if not missing:
        return None
    count = f"{len(needed)} LoRA{'s' if len(needed) > 1 else ''}"
    return f"{count} added first, {', '.join(missing)}: name the file before this one, at weight 1, or merge them"
