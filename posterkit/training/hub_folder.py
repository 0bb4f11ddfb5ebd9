"""A folder as the hub takes it: weights, a card with licence, base and examples, and the custom pipeline's file.

Stock diffusers opens it without posterkit. Nothing is uploaded.
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import yaml

from posterkit.documents import read_json, read_text, read_yaml
from posterkit.image_io import written_whole
from posterkit.pipelines.registry import (
    FAMILIES,
    LORA_FILE,
    ModelFamily,
    family_of,
    read_index,
    resolve,
    resolve_folder,
)  # fmt: skip
from posterkit.training.config import RunConfig
from posterkit.training.lora_files import LoraFile, read_lora
from posterkit.training.monitor.model_card import origin_of

_TEMPLATE = Path(__file__).with_name("hub_card.md.jinja")
_SHIM = Path(__file__).with_name("custom_pipeline.py.jinja")
_WEIGHTS, _TEXTS = (".safetensors",), (".json", ".txt", ".jinja", ".model")
_PICTURES = (".png", ".jpg", ".jpeg", ".webp")
_HEAD = re.compile(r"\A---\n(.*?)\n---\n", re.DOTALL)
_LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?:|#)([^)#]+)(#[^)]*)?\)")


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        kind: "checkpoint", "LoRA" or "model".
        files: relative to the folder.
        left_out: files of the source that no hub folder needs, relative to it.
        licence: in the hub's keys.
    """

    kind: str
    files: tuple[str, ...]
    left_out: tuple[str, ...]
    licence: str


@dataclass(frozen=True)
class _Source:
    """Where the weights lie, and what is known of them."""

    folder: Path
    kind: str
    family: ModelFamily | None
    lora: LoraFile | None
    head: dict[str, Any]  # the front matter of its card
    body: str  # its card below that
    weights: Path | None = None  # a LoRA's file, where it has another name

    @property
    def base(self) -> str | None:
        """The hub id of the model before it."""
        said = self.head.get("base_model") or (self.lora.base.get("name") if self.lora else None)
        return said if isinstance(said, str) else None


def export(
    source: str, folder: str | Path, *, name: str | None = None, licence: str | None = None, base: str | None = None
) -> Exported:
    """Write a folder for the hub.

    Args:
        source: a diffusers or transformers folder, `mini:NAME`, a recipe's run folder (its averaged weights), a LoRA.
        folder: must not be there yet, or be empty.
        name: its place on the hub, `owner/name`, for the card's examples.
        licence: where neither the card nor the base says it.
        base: the hub id of the base, where nothing says it.

    Raises:
        ValueError: the source is none of these, its licence is unknown, or the folder is not empty.
        OSError: a file cannot be read or written.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder}: is there already; name a new folder")
    found = _read(source)
    head = _head(found, licence, base)
    with written_whole(folder) as place:
        place.mkdir()
        left_out = _copy(found, place)
        if found.kind == "checkpoint":
            _write_index(found, place)
        body = _with_pictures(found.body, found.folder, place)
        (place / "README.md").write_text(_card(found, head, body, name or folder.name), encoding="utf-8")
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    return Exported(found.kind, tuple(files), tuple(left_out), str(head.get("license_name", head["license"])))


def _read(source: str) -> _Source:
    """What a name stands for; ValueError where it is nothing that can be exported."""
    path = Path(resolve(source))
    if path.is_file() and path.suffix == ".safetensors":
        lora = _lora(path)
        return _Source(path.parent, "LoRA", _family_of_lora(lora), lora, {}, "", path)
    folder = Path(resolve_folder(source))
    head, body = _parts_of_card(folder / "README.md")
    if (folder / LORA_FILE).is_file():
        lora = _lora(folder / LORA_FILE)
        return _Source(folder, "LoRA", _family_of_lora(lora), lora, head, body)
    if (folder / "model_index.json").is_file():
        return _Source(folder, "checkpoint", family_of(str(folder)), None, head, body)
    if (folder / "config.json").is_file():
        return _Source(folder, "model", None, None, head, body)
    if (folder / "config.yaml").is_file():
        raise ValueError(f"{source}: this run has no weights to export yet; it writes them when it ends or is stopped")
    raise ValueError(f"{source}: is no checkpoint, run folder or LoRA")


def _lora(path: Path) -> LoraFile:
    try:
        return read_lora(path)
    except ValueError as fault:
        raise ValueError(
            f"{fault}; posterkit merge FILE --model BASE writes other tools' LoRAs in that format"
        ) from None


def _family_of_lora(lora: LoraFile) -> ModelFamily:
    """By the base's class where the file says it, else by the layers' names."""
    kind = lora.base.get("kind")
    single = any("single_transformer_blocks" in layer for layer in lora.layers)
    guess = FAMILIES["postercraft" if single else "posteromni"]
    return next((family for family in FAMILIES.values() if family.transformer == kind), guess)


def _parts_of_card(path: Path) -> tuple[dict[str, Any], str]:
    """Front matter and text of a card; empty where there is none."""
    if not path.is_file():
        return {}, ""
    card = read_text(path)
    found = _HEAD.match(card)
    head = read_yaml(found[1], str(path)) if found else {}
    return head if isinstance(head, dict) else {}, card[found.end() :].strip() if found else card.strip()


def _head(found: _Source, licence: str | None, base: str | None) -> dict[str, Any]:
    """The front matter that the hub reads; ValueError where the licence is unknown."""
    origin = origin_of(RunConfig(init_from=base or found.base or str(found.folder)))
    base = base or (found.base if found.base and "/" in found.base else origin.base)
    says = {key: found.head[key] for key in ("license", "license_name", "license_link") if found.head.get(key)}
    if licence:
        says = {"license": licence}
    elif says.get("license") in (None, "unknown"):
        says = origin.licence
    if says["license"] == "unknown":
        raise ValueError(f"{found.folder}: nothing says its licence; give --licence, or --base with the base's hub id")
    head: dict[str, Any] = {**found.head, **says}
    head.setdefault("library_name", "transformers" if found.kind == "model" else "diffusers")
    if base and "/" in base and not base.startswith("mini:"):
        head["base_model"] = base
        head.setdefault("base_model_relation", "adapter" if found.lora else "finetune")
    tags = ["posterkit", "poster"]
    if found.family:
        head.setdefault("pipeline_tag", found.family.hub_task)
        tags.append(found.family.hub_tag)
    tags += ["lora", "template:sd-lora"] if found.lora else []
    head["tags"] = list(dict.fromkeys([*head.get("tags", ()), *tags]))
    return head


def _copy(found: _Source, place: Path) -> list[str]:
    """Copy weights and their configs; the names of what stays behind."""
    if found.weights is not None:
        shutil.copyfile(found.weights, place / LORA_FILE)
        return []
    parts: set[str] = set()
    if found.kind == "checkpoint":
        parts = {name for name, value in read_index(str(found.folder)).items() if isinstance(value, list)}
    left_out = []
    for path in sorted(found.folder.rglob("*")):
        inside = path.relative_to(found.folder)
        if not path.is_file() or inside.name == "README.md":
            continue
        wanted = inside.parts[0] in parts if len(inside.parts) > 1 else found.kind != "LoRA" or path.name == LORA_FILE
        if wanted and path.suffix in (*_WEIGHTS, *_TEXTS):
            (place / inside).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place / inside)
        elif path.suffix not in _PICTURES:  # the card brings its own along
            left_out.append(str(inside))
    return left_out


def _write_index(found: _Source, place: Path) -> None:
    """The index under the stock class, so that diffusers opens the folder by itself, and the custom pipeline."""
    assert found.family is not None
    index = read_json(read_text(place / "model_index.json"))
    ours = found.family.pipeline.rpartition(".")[2]
    if index["_class_name"] == ours or isinstance(index["_class_name"], list):
        single = index.get("picture_labels") is False  # the first Qwen-Image-Edit names no pictures
        index["_class_name"] = "QwenImageEditPipeline" if single else found.family.stock_pipeline
    (place / "model_index.json").write_text(json.dumps(index, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    (place / "pipeline.py").write_text(custom_pipeline(found.family), encoding="utf-8")


def custom_pipeline(family: ModelFamily) -> str:
    """The file that diffusers' `custom_pipeline=` opens."""
    module, _, ours = family.pipeline.rpartition(".")
    others = [other.pipeline.rpartition(".")[2] for other in FAMILIES.values() if other is not family]
    template = jinja2.Template(read_text(_SHIM), keep_trailing_newline=True, trim_blocks=True)
    return template.render(module=module, pipeline=ours, others=others)


def _with_pictures(body: str, source: Path, place: Path) -> str:
    """A card whose pictures lie beside it, and whose links to files that do not come along are plain words."""

    def moved(link: re.Match[str]) -> str:
        picture, words, target = link[1], link[2], link[3].strip()
        file = (source / target).resolve()
        if not picture or file.suffix.lower() not in _PICTURES or not file.is_file():
            return words if not (place / target).exists() else link[0]
        shutil.copyfile(file, place / file.name)
        return f"![{words}]({file.name})"

    return _LINK.sub(moved, body)


def _card(found: _Source, head: dict[str, Any], body: str, name: str) -> str:
    template = jinja2.Environment(trim_blocks=True, undefined=jinja2.StrictUndefined).from_string(read_text(_TEMPLATE))
    return (
        template.render(
            head=yaml.safe_dump(head, sort_keys=False, allow_unicode=True),
            title=name.rpartition("/")[2],
            name=name,
            body=body.replace('"path/to/this/folder"', f'"{name}"'),
            used=re.search(r"^## Use\b", body, re.MULTILINE) is not None,
            kind=found.kind,
            family=found.family,
            ours=found.family and found.family.pipeline.rpartition(".")[2],
            licence=head.get("license_name", head["license"]),
            base=head.get("base_model") or (found.lora and found.lora.base.get("name")),
            lora=found.lora,
            figures=_heldout(found.folder),
        ).rstrip()
        + "\n"
    )


def _heldout(folder: Path) -> dict[str, float]:
    """The figures that a run measured on held-out rows at its end, by dotted names; empty where it has none."""
    file = next((one / "heldout.json" for one in (folder, folder.parent) if (one / "heldout.json").is_file()), None)
    if file is None:
        return {}
    figures: dict[str, float] = {}

    def collect(value: Any, name: str) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                collect(inner, f"{name}.{key}" if name else str(key))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            figures[name] = value

    collect(read_json(read_text(file), str(file)), "")
    return figures
