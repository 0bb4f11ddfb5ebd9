"""The model card beside saved weights, a README.md as the hub reads it: contents, origin, licence, use, training.

Its words stand in `model_card.md.jinja`.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections import Counter
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import yaml
from huggingface_hub.repocard import metadata_load
from peft import LoraConfig
from torch import nn

from posterkit.datasets.dataset import INDEX, PosterDataset
from posterkit.documents import read_text, read_yaml
from posterkit.pipelines.registry import LORA_FILE, ModelFamily, resolve, resolve_folder, start_of
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
_TEMPLATE = Path(__file__).with_name("model_card.md.jinja")
_LICENCES = Path(__file__).with_name("base_licences.yaml")
_RECALLS = 12  # rows of the table of text recall, evenly over the run
_FIGURES = ("step", "loss", "grad_norm", "lr", "images_per_s", "tokens_per_s", "memory_gib", "data_wait")


class Origin(NamedTuple):
    """The base of a run's weights."""

    base: str | None  # a hub id, `mini:<name>`, the last part of a path; None where the weights were made here
    stages: list[str]  # names of the run folders between the base and this run, the oldest first
    licence: dict[str, str]  # of the base, in the hub's keys; "unknown" where nothing states it
    scripts: list[str] | None  # that the base can draw, where its card lists them
    loras: int = 0  # how many of the last stages trained a LoRA, which is added before this run's weights


def origin_of(config: RunConfig) -> Origin:
    """Follow `init_from` through the run folders of former stages down to the base."""
    runs: list[Path] = []
    start = config.init_from
    while start:
        run = next((one for one in (Path(start), Path(start).parent) if (one / "config.yaml").is_file()), None)
        if run is None or run.resolve() in runs:  # a folder that was renamed may name itself
            break
        runs.insert(0, run.resolve())
        start = start_of(run)
    stages = [run.name for run in runs]
    loras = len(list(takewhile(lambda run: (Path(resolve(run)) / LORA_FILE).is_file(), reversed(runs))))
    if not start:
        # all weights were made by this repository from its own synthetic posters
        return Origin(None, stages, {"license": "apache-2.0"}, None, loras)
    head = _head_of(start)
    ours = head.get("posterkit") or {}
    scripts = ours.get("scripts") if isinstance(ours, dict) else None
    for name, licence in read_yaml(read_text(_LICENCES)).items():
        end = name.split("/")[1]
        if start in (name, end) or (Path(start).is_dir() and Path(start).resolve().name == end):
            return Origin(name, stages, licence, scripts, loras)
    licence = {key: str(head[key]) for key in ("license", "license_name", "license_link") if head.get(key)}
    name = start if start.startswith("mini:") or not Path(start).exists() else Path(start).resolve().name
    return Origin(name, stages, licence or {"license": "unknown"}, scripts, loras)


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
    config, origin, lora, (recipe, about) = run.config, origin_of(run.config), _lora_of(model), _recipe(run.config)
    family = model.family if isinstance(getattr(model, "family", None), ModelFamily) else None
    drawn = sorted((run.folder / "samples").glob("[0-9]*.png"))
    sheets = {"samples_before.png": drawn[0]} if len(drawn) > 1 else {}
    sheets |= {"samples.png": drawn[-1]} if drawn else {}
    for name, sheet in sheets.items():
        shutil.copyfile(sheet, folder / name)
    log = run.folder / ROWS
    rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] if log.is_file() else []
    source, formers = "path/to/this/folder", []
    if lora:
        below = len(origin.stages) - origin.loras
        formers = [f"the run folder's model/ of {stage}" for stage in origin.stages[below:]]
        source = f"the run folder's model/ of {origin.stages[below - 1]}" if below else str(origin.base)
    shipped = source.startswith("mini:")
    template = jinja2.Environment(trim_blocks=True, undefined=jinja2.StrictUndefined).from_string(read_text(_TEMPLATE))
    card = template.render(
        run=run, origin=origin, family=family, lora=lora, averaged=averaged, about=about, mini=shipped, sheets=sheets,
        head=yaml.safe_dump(_front_matter(model, family, lora, origin, recipe), sort_keys=False),
        weights=_weights(model, lora),
        licence=origin.licence.get("license_name", origin.licence["license"]),
        batch=config.batch_size * config.accumulation * run.accelerator.num_processes,
        sets=_sets(config, run.folder),
        recall=text_recall(run.folder),
        formers=formers,
        source=f'mini.path("{source.removeprefix("mini:")}")' if shipped else f'"{source}"',
        example=family and _TAUGHT.get(recipe, family.example),
        use=_use(model),
        rows=rows[:1] + rows[1:][-1:],
        figures=[name for name in _FIGURES if rows and name in rows[-1]],
        settings=yaml.safe_dump(_without_folders(flat(config)), sort_keys=False),
    )  # fmt: skip
    (folder / "README.md").write_text(card + "\n", encoding="utf-8")


def _lora_of(model: Any) -> LoraConfig | None:
    """peft's config of the LoRA that a model trains."""
    transformer = getattr(model, "parts", {}).get("transformer")
    if transformer is None or (name := trained_adapter(transformer)) is None:
        return None
    return transformer.peft_config[name]


def _recipe(config: RunConfig) -> tuple[str, str]:
    """The name of the recipe that a config belongs to, and what it does: the first paragraph of a docstring.

    It is that of the config's class where it begins with one, else the recipe's.
    """
    module = sys.modules.get(type(config).__module__)
    if type(config) is RunConfig or module is None or not getattr(module, "__file__", None):
        return "", "Trained by posterkit."
    own, about = (" ".join((one.__doc__ or "").strip().split("\n\n")[0].split()) for one in (type(config), module))
    if own and not own.startswith(("Attributes:", type(config).__name__)):
        about = own
    return Path(str(module.__file__)).stem, about or "Trained by posterkit."


def _front_matter(
    model: Any, family: ModelFamily | None, lora: LoraConfig | None, origin: Origin, recipe: str
) -> dict[str, Any]:
    head: dict[str, Any] = {**origin.licence, "library_name": "transformers" if hasattr(model, "use") else "diffusers"}
    if origin.base and "/" in origin.base and not origin.base.startswith("mini:"):
        head["base_model"] = origin.base
        head["base_model_relation"] = "adapter" if lora else "finetune"
    if family:
        head["pipeline_tag"] = family.hub_task
    tag = family.hub_tag if family else getattr(model, "kind", "autoencoder")
    head["tags"] = ["posterkit", "poster", tag, *(["lora", "template:sd-lora"] if lora else [])]
    ours: dict[str, Any] = {} if origin.scripts is None else {"scripts": origin.scripts}
    if recipe:
        ours["recipe"] = recipe
    return {**head, "posterkit": ours} if ours else head


def _weights(model: Any, lora: LoraConfig | None) -> str:
    """Which weights trained, and how many."""
    trained = sum(p.numel() for p in model.module.parameters() if p.requires_grad)
    count = f"{trained / 1e9:.2f} B parameters" if trained >= 1e9 else f"{trained / 1e6:.2f} M parameters"
    if lora:
        layers = ", ".join(f"`{name}`" for name in sorted(lora.target_modules or ()))
        kind = "DoRA" if lora.use_dora else "LoRA"
        return f"{kind} of rank {lora.r}, alpha {lora.lora_alpha:g}, on {layers}; {count}"
    if hasattr(model, "what_trains"):
        return f"{model.what_trains}; {count}"
    parts = model.module if isinstance(model.module, nn.ModuleDict) else {type(model.module).__name__: model.module}
    # LoPT's heads, which are not saved, do not count
    trains = {name: any(p.requires_grad for p in part.parameters()) for name, part in parts.items()}
    names = [f"`{name}`" for name, learns in trains.items() if learns and name != "reconstruction"]
    return f"all of {' and '.join(names)}; {count} trained"


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
        rows = PosterDataset(folder, tasks=getattr(one, "tasks", None), split="train").rows
        tasks = Counter(str(row.get("task")) for row in rows)
        licences = Counter(str(row.get("licence") or "unknown") for row in rows)
        source = f"`{folder.name}`" if path else f"synthetic, seed {one.seed}"
        found[title] = f"{len(rows):,} ({source}); tasks: {_list(tasks)}; licences: {_list(licences)}"
    return found


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


def _use(model: Any) -> str:
    """Code that opens a model that is no checkpoint of a family."""
    if hasattr(model, "use"):
        return model.use
    kind = type(model.module).__name__
    if not hasattr(model, "family"):
        return ""
    return f'from diffusers import {kind}\n\nvae = {kind}.from_pretrained("path/to/this/folder")'


def _without_folders(values: dict[str, Any]) -> dict[str, Any]:
    """Settings by their dotted keys; an absolute path is cut to its last part, so that it names nobody's disk."""
    return {
        key: f".../{Path(value).name}" if isinstance(value, str) and Path(value).is_absolute() else value
        for key, value in values.items()
        if key not in ("dry_run", "resume", "processes")
    }


def _list(counts: Counter[str]) -> str:
    return ", ".join(f"{name} ({count:,})" if len(counts) > 1 else name for name, count in counts.most_common())
