"""The model card beside saved weights, a README.md as the hub reads it: contents, origin, licence, use, training."""

from __future__ import annotations

import json
import shutil
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import yaml
from huggingface_hub.repocard import metadata_load
from peft import LoraConfig
from torch import nn

from posterkit.datasets.dataset import INDEX, PosterDataset
from posterkit.documents import read_yaml
from posterkit.pipelines.registry import ModelFamily, resolve_folder
from posterkit.training.config import RunConfig, flat, sets_of
from posterkit.training.lora import trained_adapter
from posterkit.training.monitor.log import ROWS
from posterkit.training.protocols import RunView

# calls that a recipe teaches beside its family's
_TAUGHT = {
    "stage4_reflect": (
        'draft = pipe(prompt="...").images[0]\n'
        'image = pipe(prompt="...", draft_image=draft, feedback=["what to change", "in which style"]).images[0]'
    )
}
_FLUX_DEV = {
    "license": "other",
    "license_name": "flux-1-dev-non-commercial-license",
    "license_link": "https://huggingface.co/black-forest-labs/FLUX.1-dev/blob/main/LICENSE.md",
}
_APACHE = {"license": "apache-2.0"}
# of what stages start from: hub ids; a local copy is recognised by the last part of its path
_LICENCES = {
    **dict.fromkeys(("black-forest-labs/FLUX.1-dev", "PosterCraft/PosterCraft-v1_RL"), _FLUX_DEV),
    "black-forest-labs/FLUX.1-schnell": _APACHE,
    **dict.fromkeys((f"Qwen/Qwen-Image{end}" for end in ("", "-Edit", "-Edit-2509", "-Edit-2511")), _APACHE),
    **dict.fromkeys((f"Qwen/{name}-Instruct" for name in ("Qwen2.5-VL-7B", "Qwen3-VL-4B", "Qwen3-VL-8B")), _APACHE),
}
_RECALLS = 12  # rows of the table of text recall, evenly over the run
_FIGURES = ("loss", "grad_norm", "lr", "images_per_s", "tokens_per_s", "memory_gib", "data_wait")


class Origin(NamedTuple):
    """The base of a run's weights.

    Attributes:
        base: a hub id, `mini:<name>`, the last part of a folder's path, or None for weights that were made here.
        stages: names of the run folders between the base and this run, the oldest first.
        licence: of the base, in the hub's keys; `{"license": "unknown"}` where nothing states it.
        scripts: that the base can draw, where its card lists them.
    """

    base: str | None
    stages: list[str]
    licence: dict[str, str]
    scripts: list[str] | None


def origin_of(config: RunConfig) -> Origin:
    """Follow `init_from` through the run folders of former stages down to the base."""
    runs: list[Path] = []
    start = config.init_from
    while start:
        run = next((one for one in (Path(start), Path(start).parent) if (one / "config.yaml").is_file()), None)
        if run is None or run.resolve() in runs:  # a folder that was renamed may name itself
            break
        runs.insert(0, run.resolve())
        start = read_yaml((run / "config.yaml").read_text(encoding="utf-8"), str(run / "config.yaml")).get("init_from")
    stages = [run.name for run in runs]
    if not start:
        # all weights were made by this repository from its own synthetic posters
        return Origin(None, stages, _APACHE, None)
    head = _head_of(start)
    ours = head.get("posterkit") or {}
    scripts = ours.get("scripts") if isinstance(ours, dict) else None
    for name, licence in _LICENCES.items():
        if start == name or (Path(start).is_dir() and Path(start).resolve().name == name.split("/")[1]):
            return Origin(name, stages, licence, scripts)
    licence = {key: str(head[key]) for key in ("license", "license_name", "license_link") if head.get(key)}
    name = start if start.startswith("mini:") or not Path(start).exists() else Path(start).resolve().name
    return Origin(name, stages, licence or {"license": "unknown"}, scripts)


def _head_of(start: str) -> dict[str, Any]:
    """The front matter of a local checkpoint's own card, if it has one."""
    folder = Path(resolve_folder(start)) if start.startswith("mini:") or Path(start).is_dir() else Path(start)
    while folder.name and not (folder / "README.md").is_file() and start.startswith("mini:"):
        folder = folder.parent  # mini:postercraft/vae has the card of the whole
    try:
        return metadata_load(folder / "README.md") or {}
    except (OSError, ValueError, yaml.YAMLError):
        return {}


def write_card(folder: Path, model: Any, run: RunView, averaged: bool = False) -> None:
    """Write README.md into the folder of a model's saved weights, with the run's first and last sample sheet."""
    config, origin = run.config, origin_of(run.config)
    sheets = sorted((run.folder / "samples").glob("[0-9]*.png"))
    shown = {"samples_before.png": sheets[0]} if len(sheets) > 1 else {}
    shown |= {"samples.png": sheets[-1]} if sheets else {}
    for name, sheet in shown.items():
        shutil.copyfile(sheet, folder / name)
    parts = [
        f"---\n{yaml.safe_dump(_front_matter(model, origin, config), sort_keys=False)}---",
        f"# {run.folder.resolve().name}",
        _what(config),
        _facts(model, run, origin, averaged),
        _pictures(run, shown),
        _use(model, origin, config),
        _training(run),
    ]
    (folder / "README.md").write_text("\n\n".join(filter(None, parts)) + "\n", encoding="utf-8")


def _family_of(model: Any) -> ModelFamily | None:
    """The family of a trained model; None for an autoencoder alone, or another kind of model."""
    family = getattr(model, "family", None)
    return family if isinstance(family, ModelFamily) else None


def _lora_of(model: Any) -> LoraConfig | None:
    """peft's config of the LoRA that a model trains."""
    transformer = getattr(model, "parts", {}).get("transformer")
    if transformer is None or (name := trained_adapter(transformer)) is None:
        return None
    return transformer.peft_config[name]


def _front_matter(model: Any, origin: Origin, config: RunConfig) -> dict[str, Any]:
    family, lora = _family_of(model), _lora_of(model)
    head: dict[str, Any] = {**origin.licence, "library_name": "transformers" if hasattr(model, "use") else "diffusers"}
    if origin.base and "/" in origin.base and not origin.base.startswith("mini:"):
        head["base_model"] = origin.base
        head["base_model_relation"] = "adapter" if lora else "finetune"
    if family:
        head["pipeline_tag"] = family.hub_task
    tag = family.hub_tag if family else getattr(model, "kind", "autoencoder")
    head["tags"] = ["posterkit", "poster", tag, *(["lora", "template:sd-lora"] if lora else [])]
    ours: dict[str, Any] = {} if origin.scripts is None else {"scripts": origin.scripts}
    if module := _recipe(config):
        ours["recipe"] = Path(str(module.__file__)).stem
    return {**head, "posterkit": ours} if ours else head


def _what(config: RunConfig) -> str:
    """The first paragraph of the docstring of the run's config class where it begins with one, else of the recipe."""
    module = _recipe(config)
    if not module or not module.__doc__:
        return "Trained by posterkit."
    own = " ".join((type(config).__doc__ or "").strip().split("\n\n")[0].split())
    if own and not own.startswith(("Attributes:", type(config).__name__)):
        return own
    return " ".join(module.__doc__.strip().split("\n\n")[0].split())


def _recipe(config: RunConfig) -> ModuleType | None:
    """The recipe that a config belongs to."""
    module = sys.modules.get(type(config).__module__)
    return None if type(config) is RunConfig or not getattr(module, "__file__", None) else module


def _facts(model: Any, run: RunView, origin: Origin, averaged: bool) -> str:
    config, lora = run.config, _lora_of(model)
    trained = sum(p.numel() for p in model.module.parameters() if p.requires_grad)
    if lora:
        kind = "DoRA" if lora.use_dora else "LoRA"
        layers = ", ".join(f"`{name}`" for name in sorted(lora.target_modules or ()))
        weights = f"{kind} of rank {lora.r}, alpha {lora.lora_alpha:g}, on {layers}; {_count(trained)} parameters"
    elif hasattr(model, "what_trains"):
        weights = f"{model.what_trains}; {_count(trained)} parameters"
    else:
        parts = (
            model.module if isinstance(model.module, nn.ModuleDict) else {type(model.module).__name__: model.module}
        )
        # LoPT's heads, which are not saved, do not count
        names = [name for name, part in parts.items() if name != "reconstruction" and _trains(part)]
        weights = f"all of {' and '.join(f'`{name}`' for name in names)}; {_count(trained)} parameters trained"
    if averaged:
        weights += f"; averaged over the steps (decay {config.ema_decay:g})"
    base = origin.base or "none: made from nothing by this run or the ones before it"
    if origin.stages:
        base += f", by way of {', '.join(origin.stages)}"
    licence = origin.licence.get("license_name", origin.licence["license"])
    said = {
        "unknown": "unknown: the base does not say; look it up before you pass these weights on",
        "flux-1-dev-non-commercial-license": f"{licence}, the base's own: no commercial use of these weights",
    }
    batch = config.batch_size * config.accumulation * run.accelerator.num_processes
    facts = {
        "weights": weights,
        "base": base,
        "licence": said.get(licence, f"{licence}, the base's own" if origin.base else licence),
        "steps": f"{run.step} of {config.max_steps}, {batch} samples each",
        **_sets(config, run.folder),
    }
    return "| | |\n|---|---|\n" + "\n".join(f"| {name} | {value} |" for name, value in facts.items())


def _sets(config: RunConfig, run_folder: Path) -> dict[str, str]:
    """The run's training sets: how many posters each, and under which licences."""
    found = {}
    for name, one, folder in sets_of(config, run_folder):
        if name == "text" and not getattr(config, "text_share", 1.0):
            continue
        title, path = {"data": "posters", "text": "rendered text"}.get(name, name), getattr(one, "path", None)
        if not (folder / INDEX).is_file():
            found[title] = f"{one.count:,} synthetic ones, seed {one.seed}"
            continue
        rows = PosterDataset(folder, tasks=one.tasks, split="train").rows
        tasks = Counter(str(row.get("task")) for row in rows)
        licences = Counter(str(row.get("licence") or "unknown") for row in rows)
        source = f"`{folder.name}`" if path else f"synthetic, seed {one.seed}"
        found[title] = f"{len(rows):,} ({source}); tasks: {_list(tasks)}; licences: {_list(licences)}"
    return found


def _pictures(run: RunView, shown: dict[str, Path]) -> str:
    if not shown:
        return ""
    lines = ["## Samples", "Held-out posters above, what the model makes of their words below, from the same noise."]
    weights = "the averaged weights" if run.ema else "the weights"
    for name, sheet in shown.items():
        step = int(sheet.stem)
        when = "Before the first step" if step == 0 else f"After step {step}, by {weights}"
        lines.append(f"{when}:\n\n![sample sheet of step {step}]({name})")
    if table := text_recall(run.folder):
        lines.append(f"How much of the requested text an OCR model reads on them:\n\n{table}")
    return "\n\n".join(lines)


def text_recall(run_folder: Path) -> str:
    """A table of the text that was read on the sample sheets, by step; empty where none was."""
    rows = []
    files = sorted((run_folder / "samples").glob("[0-9]*.json"))
    every = -(-len(files) // _RECALLS)
    for file in [*files[:-1:every], *files[-1:]] if files else []:
        found = json.loads(file.read_text(encoding="utf-8"))
        if made := found["made"]:
            rows.append(f"| {int(file.stem)} | {made['recall']:.0%} | {made['f_score']:.2f} | {made['exact']:.0%} |")
            real = found["posters"]
    if not rows:
        return ""
    rows.append(f"| the posters themselves | {real['recall']:.0%} | {real['f_score']:.2f} | {real['exact']:.0%} |")
    return "\n".join(["| step | words read | F-score | texts read whole |", "|---|---|---|---|", *rows])


def _use(model: Any, origin: Origin, config: RunConfig) -> str:
    family = _family_of(model)
    if family is None:
        if hasattr(model, "use"):
            return f"## Use\n\n```python\n{model.use}\n```"
        kind = type(getattr(model, "module", model)).__name__
        if not hasattr(model, "family"):
            return ""
        code = f'from diffusers import {kind}\n\nvae = {kind}.from_pretrained("path/to/this/folder")'
        return f"## Use\n\n```python\n{code}\n```"
    ours, stock = family.pipeline.rpartition(".")[2], family.stock_pipeline
    called, stock_called = family.example, family.stock_example
    if module := _recipe(config):
        called = _TAUGHT.get(Path(str(module.__file__)).stem, called)
    source, load = '"path/to/this/folder"', ""
    if _lora_of(model):
        base = "the run folder's model/ of " + origin.stages[-1] if origin.stages else origin.base
        source, load = f'"{base}"', '\npipe.load_lora_weights("path/to/this/folder")'
    if source == f'"{origin.base}"' and str(origin.base).startswith("mini:"):
        source = f'mini.path("{str(origin.base).removeprefix("mini:")}")'
    imported = f"{ours}, mini" if source.startswith("mini.") else ours
    also = "from posterkit import mini\n" if source.startswith("mini.") else ""
    with_ours = f"from posterkit import {imported}\n\npipe = {ours}.from_pretrained({source}){load}\n{called}"
    opened = f"pipe = {stock}.from_pretrained({source}){load}"
    with_stock = f"from diffusers import {stock}\n{also}\n{opened}\n{stock_called}"
    code = [f"```python\n{one}\n```" for one in (with_ours, with_stock)]
    text = "\n\n".join(["## Use", "With posterkit:", code[0], "With diffusers:", code[1]])
    if family.needs_processor:
        text += f"\n\nWithout torchvision `{stock}.from_pretrained` also takes "
        text += f"`processor=posterkit.load_processor({source})`."
    return text


def _training(run: RunView) -> str:
    log = run.folder / ROWS
    rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] if log.is_file() else []
    lines = ["## Training"]
    if rows:
        names = [name for name in ("step", *_FIGURES) if name in rows[-1]]
        picked = [rows[0], rows[-1]] if len(rows) > 1 else rows
        table = [f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"]
        table += [f"| {' | '.join(f'{row[name]:.5g}' if name in row else '' for name in names)} |" for row in picked]
        lines.append("The first and the last row of its log, means since the row before:\n\n" + "\n".join(table))
    config = yaml.safe_dump(_without_folders(flat(run.config)), sort_keys=False)
    lines.append(f"<details><summary>Every setting</summary>\n\n```yaml\n{config}```\n\n</details>")
    return "\n\n".join(lines)


def _without_folders(values: dict[str, Any]) -> dict[str, Any]:
    """Settings by their dotted keys; an absolute path is cut to its last part, so that it names nobody's disk."""
    return {
        key: f".../{Path(value).name}" if isinstance(value, str) and Path(value).is_absolute() else value
        for key, value in values.items()
        if key not in ("dry_run", "resume", "processes")
    }


def _trains(part: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in part.parameters())


def _count(number: int) -> str:
    return f"{number / 1e9:.2f} B" if number >= 1e9 else f"{number / 1e6:.2f} M"


def _list(counts: Counter[str]) -> str:
    return ", ".join(f"{name} ({count:,})" if len(counts) > 1 else name for name, count in counts.most_common())
