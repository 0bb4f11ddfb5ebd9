"""What a checkpoint is made of: its index, its card, another transformer, LoRAs. Weights are safetensors only."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError

from posterkit.documents import read_json, read_yaml
from posterkit.messages import error_line
from posterkit.pipelines.registry import ModelFamily, is_hub_id, read_file, resolve
from posterkit.pipelines.revision import each_source, path_and_weight

_DRIVE = re.compile(r"[A-Za-z]:[\\/]")  # of a path on Windows
_LORA_FILES = ("pytorch_lora_weights.safetensors", "adapter_model.safetensors")  # diffusers' and PEFT's
_MUST_FIT = ("in_channels", "joint_attention_dim", "pooled_projection_dim")
_SCRIPTS_OF = {
    "zh": ("han",), "ja": ("han", "kana"), "ko": ("hangul",), "ru": ("cyrillic",), "uk": ("cyrillic",),
    "bg": ("cyrillic",), "sr": ("cyrillic", "latin"), "el": ("greek",), "ar": ("arabic",), "fa": ("arabic",),
    "ur": ("arabic",), "he": ("hebrew",), "hi": ("devanagari",), "th": ("thai",), "ka": ("georgian",),
    "hy": ("armenian",), "bn": ("bengali",), "ta": ("tamil",),
}  # fmt: skip

# what the libraries raise for a damaged or foreign folder, whose configs they take at their word; a torn safetensors
# file has a kind of its own
LOAD_FAULTS = (
    OSError, ValueError, KeyError, RuntimeError, ImportError, TypeError, AttributeError, IndexError, SafetensorError,
)  # fmt: skip


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
    head = card_head(model)
    if isinstance(scripts := _ours(head).get("scripts"), list):
        return tuple(str(script) for script in scripts)
    languages = head.get("language")
    languages = [languages] if isinstance(languages, str) else languages
    if not isinstance(languages, list) or not languages:
        return None
    return tuple(dict.fromkeys(s for tag in languages for s in _SCRIPTS_OF.get(str(tag).split("-")[0], ("latin",))))


def card_recipe(model: str) -> str | None:
    """The recipe that a model or a LoRA was trained by last, by its card; None where the card does not say."""
    recipe = _ours(card_head(model)).get("recipe")
    return recipe if isinstance(recipe, str) else None


class CardDraft(NamedTuple):
    """How a checkpoint paints over drafts: about how many pixels, and how much of them anew."""

    area: int
    strength: float


def card_draft(model: str) -> CardDraft | None:
    """How a model's posters begin from drafts, by its card's `posterkit: {draft: {area: ..., strength: ...}}`."""
    found = _ours(card_head(model)).get("draft")
    if not isinstance(found, dict):
        return None
    try:
        draft = CardDraft(int(found["area"]), float(found["strength"]))
    except (KeyError, TypeError, ValueError):
        draft = CardDraft(0, 0.0)
    if draft.area < 1 or not 0 < draft.strength <= 1:
        raise ValueError(f"{model}: its card's draft needs an area in pixels and a strength above 0 up to 1")
    return draft


def card_prompts(model: str) -> str | None:
    """The language of a model's prompts, by its card's `posterkit: {prompts: scene}`; None for ordinary words.

    "scene" is mini's own (`posterkit.prompts.scene`), "scene, no text" the same for models that letter unless told
    not to.
    """
    found = _ours(card_head(model)).get("prompts")
    return found if isinstance(found, str) else None


def _ours(head: dict[str, Any]) -> dict[str, Any]:
    ours = head.get("posterkit")
    return ours if isinstance(ours, dict) else {}


def card_head(model: str) -> dict[str, Any]:
    """The front matter of a card in a folder, beside a file, or of a hub repository; empty where there is none."""
    try:
        card = read_file(str(Path(model).parent) if Path(model).is_file() else model, "README.md")
        parts = card.split("---", 2)
        head = read_yaml(parts[1]) if card.lstrip()[:3] == "---" and len(parts) == 3 else None
    except ValueError:
        return {}
    return head if isinstance(head, dict) else {}


def load_transformer(source: str, model: str, family: ModelFamily, dtype: Any) -> Any:
    """Another transformer for a base: the authors of both systems release only that part.

    Args:
        source: a transformer's folder, a pipeline folder that has one, a hub id of either, or one file, see
            `posterkit.pipelines.weight_files`.
        model: the base that it goes into.
        dtype: as `from_pretrained` takes it.

    Raises:
        ValueError: it is none, cannot be loaded, or does not fit the base.
    """
    import diffusers

    from posterkit.pipelines.weight_files import quantised_by, read_transformer_file

    transformer = getattr(diffusers, family.transformer)
    path = Path(source)
    try:
        base = read_json(read_file(model, "transformer/config.json"), "transformer/config.json")
        if path.is_file():
            made = read_transformer_file(path, model, family, dtype)
        else:
            folder = _transformer_folder(source)
            config = read_json(read_file(source, f"{folder}/config.json" if folder else "config.json"), "config.json")
            _check_fit(config, base, family.transformer)
            quantised_by(config)
            made, info = transformer.from_pretrained(
                source, subfolder=folder, use_safetensors=True, output_loading_info=True, dtype=dtype
            )
            for kind, words in (("missing_keys", "lacks"), ("unexpected_keys", "holds, and the model does not,")):
                if keys := sorted(info.get(kind) or ()):
                    raise ValueError(f"{words} {len(keys)} tensors, first {keys[0]}")
        _check_fit(made.config, base)
    except LOAD_FAULTS as fault:
        raise ValueError(f"transformer {source}: {error_line(fault)}") from None
    return made


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
        lora: a folder, a hub id or a safetensors file, or several, see `LoraSource`.

    Raises:
        ValueError: one cannot be loaded, was trained on another base, or holds a key that this model does not have.
    """
    from posterkit.pipelines.lora_weights import lora_state_dict, other_base, read_lora_file

    names, weights, whole = [], [], []
    items = [lora] if isinstance(lora, str) else lora
    for number, item in enumerate(one for several in items for one in each_source(several)):
        source = lora_source(item)
        name = f"lora{number}"
        file = source.fetch()
        content = read_lora_file(file)
        if difference := other_base(pipe.transformer, content.base, whole):
            raise ValueError(f"LoRA {source.name}: was trained on another base, {difference}")
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="Already found a `peft_config`")  # several are meant
                pipe.load_lora_weights(lora_state_dict(content, pipe), adapter_name=name)
        except LOAD_FAULTS as fault:
            raise ValueError(f"LoRA {source.name}: {error_line(fault)}") from None
        names.append(name)
        weights.append(source.weight)
        whole += [file] if source.weight == 1 else []
    if names:
        pipe.set_adapters(names, weights)


class LoraSource(NamedTuple):
    """Where a LoRA comes from: `PATH_OR_REPO[@revision][:file][*weight]`; `=0.8` stands for `*0.8` too."""

    name: str
    revision: str | None
    file: str | None
    weight: float

    def fetch(self) -> Path:
        """The file, downloaded where it is not here.

        Raises:
            ValueError: there is none, or there are several and none is named.
        """
        path = Path(self.name)
        if path.is_file():
            return path
        if path.is_dir():
            files = [file.name for file in sorted(path.glob("*.safetensors"))]
            return path / self._choose(files)
        if not is_hub_id(self.name):
            raise ValueError(f"LoRA {self.name}: there is no such file or folder, and it is no hub id (owner/name)")
        from huggingface_hub import hf_hub_download, list_repo_files

        try:
            file = self.file or self._choose(
                [name for name in list_repo_files(self.name, revision=self.revision) if name.endswith(".safetensors")]
            )
            return Path(hf_hub_download(self.name, file, revision=self.revision))
        except ValueError:
            raise
        except Exception as error:  # the hub's client raises many kinds
            raise ValueError(f"LoRA {self.name}: cannot be fetched: {error_line(error)}") from None

    def _choose(self, files: list[str]) -> str:
        if self.file is not None:
            if self.file not in files:
                raise ValueError(
                    f"LoRA {self.name}: there is no {self.file}; there are {', '.join(files) or 'no files'}"
                )
            return self.file
        usual = [name for name in _LORA_FILES if name in files] or files
        if len(usual) != 1:
            found = (
                f"holds {', '.join(files)}; name one: {self.name}:{files[-1]}" if files else "holds no .safetensors"
            )
            raise ValueError(f"LoRA {self.name}: {found}")
        return usual[0]


def lora_source(item: str) -> LoraSource:
    """Read what a user writes for a LoRA; nothing is opened.

    Raises:
        ValueError: its weight is no number.
    """
    source, said = path_and_weight(resolve(item))
    try:
        weight = float(said[1:]) if said else 1.0
    except ValueError:
        weight = math.nan
    if not math.isfinite(weight):
        raise ValueError(f"LoRA {item}: the weight behind {said[:1]} must be a number, found {said[1:]!r}")
    if Path(source).exists():
        return LoraSource(source, None, None, weight)
    name, _, file = (source, "", "") if _DRIVE.match(source) else source.partition(":")
    name, _, revision = name.partition("@")
    parts = name.split("/")
    if not file and len(parts) > 2 and name.endswith(".safetensors") and not Path(name).parent.is_dir():
        name, file = "/".join(parts[:2]), "/".join(parts[2:])  # as the hub's own pages write it
    return LoraSource(resolve(name), revision or None, file or None, weight)
