"""The model families, and what a model's name stands for.

A family is one entry here and two files: a pipeline and a training adapter. `resolve` is the one place that reads
`mini:NAME`, run folders and hub ids. Nothing here imports torch.
"""

from __future__ import annotations

import gc
import importlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from posterkit import mini
from posterkit.documents import read_json, read_text, read_yaml
from posterkit.messages import error_line
from posterkit.pipelines.revision import each_source, path_and_weight
from posterkit.tasks import TASKS, TEXT

OF_THE_HUB = ("revision", "token", "cache_dir", "local_files_only", "force_download")  # arguments of its client
LORA_FILE = "pytorch_lora_weights.safetensors"
_HUB_ID = re.compile(r"[\w-]+(\.[\w-]+)*/[\w.-]+")  # owner/name


@dataclass(frozen=True)
class ModelFamily:
    """Checkpoints of one architecture, and the code that opens, trains and calls them.

    Classes are dotted names, imported on first use; `adapter` lies in a room above this one.

    Attributes:
        name: in configs, presets and messages.
        title: what its models are called.
        index_classes: `_class_name` in `model_index.json` of the folders it opens.
        file_key: part of a tensor's name that only single-file transformers of this family have.
        pipeline: our pipeline class.
        stock_pipeline: the diffusers class that opens what we save.
        transformer: the diffusers class of its transformer.
        adapter: the training adapter, a `posterkit.training.adapters.Adapter`.
        tasks: that its pipeline draws: "text", or image tasks.
        guidance: the pipeline argument that sets how strongly the prompt guides.
        distilled_guidance: its transformer may take the guidance scale as an input.
        attention_backends: other kernels may replace PyTorch's attention; not where padding masks are used.
        hub_task, hub_tag: how the hub files its models.
        example, stock_example: a call of `pipe` for model cards, with our pipeline and with the stock one.
        needs_processor: the stock pipeline needs torchvision unless it gets our processor.
    """

    name: str
    title: str
    index_classes: tuple[str, ...]
    file_key: str
    pipeline: str
    stock_pipeline: str
    transformer: str
    adapter: str
    tasks: tuple[str, ...]
    guidance: str
    distilled_guidance: bool
    attention_backends: bool
    hub_task: str
    hub_tag: str
    example: str
    stock_example: str
    needs_processor: bool = False

    @property
    def mini(self) -> str:
        """The name of its shipped checkpoint."""
        return f"mini:{self.name}"

    def pipeline_class(self) -> Any:
        """The pipeline class; its parameters' defaults hold for checkpoints whose config does not say."""
        return _imported(self.pipeline)

    def adapter_class(self) -> Any:
        """The training adapter's class."""
        return _imported(self.adapter)


FAMILIES: dict[str, ModelFamily] = {
    family.name: family
    for family in (
        ModelFamily(
            name="postercraft",
            title="FLUX.1",
            index_classes=("FluxPipeline", "PosterCraftPipeline"),
            file_key="single_",  # single_blocks of the authors' files, single_transformer_blocks of diffusers'
            pipeline="posterkit.pipelines.postercraft.PosterCraftPipeline",
            stock_pipeline="FluxPipeline",
            transformer="FluxTransformer2DModel",
            adapter="posterkit.training.adapters.flux.FluxAdapter",
            tasks=(TEXT,),
            guidance="guidance_scale",
            distilled_guidance=True,
            attention_backends=True,
            hub_task="text-to-image",
            hub_tag="flux",
            example='image = pipe(prompt="...").images[0]',
            stock_example='image = pipe("...").images[0]',
        ),
        ModelFamily(
            name="posteromni",
            title="Qwen-Image-Edit",
            index_classes=("QwenImageEditPipeline", "QwenImageEditPlusPipeline", "PosterOmniPipeline"),
            file_key=".txt_mod.",
            pipeline="posterkit.pipelines.posteromni.PosterOmniPipeline",
            stock_pipeline="QwenImageEditPlusPipeline",
            transformer="QwenImageTransformer2DModel",
            adapter="posterkit.training.adapters.qwen.QwenAdapter",
            tasks=tuple(TASKS),
            guidance="true_cfg_scale",
            distilled_guidance=False,
            attention_backends=False,
            hub_task="image-to-image",
            hub_tag="qwen-image-edit",
            example='image = pipe(task="filling", image=photo, mask_image=mask, prompt="...").images[0]',
            stock_example='image = pipe(image=[photo], prompt="...").images[0]',
            needs_processor=True,
        ),
    )
}


def family_named(name: str) -> ModelFamily:
    """A family by its name.

    Raises:
        ValueError: there is none of that name.
    """
    if name not in FAMILIES:
        raise ValueError(f"family {name!r} is unknown; accepted are {', '.join(FAMILIES)}")
    return FAMILIES[name]


def family_for(task: str) -> ModelFamily:
    """The family that draws a task: "text" or the name of an image task."""
    return next(family for family in FAMILIES.values() if task in family.tasks)


def family_of(model: str, index: dict[str, Any] | None = None) -> ModelFamily:
    """The family of a checkpoint.

    Args:
        model: a name as `resolve` reads it.
        index: its `model_index.json`, where that has been read already.

    Raises:
        ValueError: no family opens it, or it has no index.
    """
    name = (read_index(resolve(model)) if index is None else index).get("_class_name")
    name = name[-1] if isinstance(name, list) and name else name  # ["pipeline", "PosterCraftPipeline"]: the hub's form
    for family in FAMILIES.values():
        if name in family.index_classes:
            return family
    known = [one for family in FAMILIES.values() for one in family.index_classes]
    raise ValueError(f"{model}: is a {name}; accepted are {', '.join(known)}")


def resolve(source: str | Path) -> str:
    """What a name stands for: a folder, a file or a hub id.

    `mini:postercraft` and `mini:postercraft/vae` are shipped folders. A recipe's run folder stands for its averaged
    weights, else for its last ones. Everything else stays as it is, and so does a LoRA's weight (`=0.8`) at the end.

    Raises:
        ValueError: there is no such mini checkpoint.
    """
    if len(several := each_source(str(source))) > 1:
        return "; ".join(map(resolve, several))
    path, weight = path_and_weight(str(source))
    if path.startswith("mini:"):
        checkpoint, _, part = path.removeprefix("mini:").partition("/")
        try:
            return str(Path(mini.path(checkpoint)) / part)
        except FileNotFoundError as error:
            raise ValueError(str(error)) from None
    inner = (Path(path) / name for name in ("ema", "model"))
    return str(next((folder for folder in inner if folder.is_dir()), path)) + weight


def resolve_folder(source: str | Path) -> str:
    """As `resolve`, for what must lie on this machine.

    Raises:
        ValueError: there is no such mini checkpoint.
        FileNotFoundError: there is no such folder.
    """
    folder = resolve(source)
    if not Path(folder).is_dir():
        raise FileNotFoundError(f"{source}: no such folder")
    return folder


def is_hub_id(source: str) -> bool:
    """Whether a name means the hub (owner/name); a folder beside it, or in `runs/`, is meant first."""
    return bool(_HUB_ID.fullmatch(source)) and not Path(source).parent.is_dir() and not source.startswith("runs/")


def is_here(source: str) -> bool:
    """Whether a name needs no download: shipped, a folder or a file, or in the hub's cache already."""
    if len(several := each_source(source)) > 1:
        return all(map(is_here, several))
    path, _ = path_and_weight(source)
    if path == "mini" or path.startswith("mini:") or Path(path).exists():
        return True
    if not is_hub_id(path):
        return False
    from huggingface_hub import try_to_load_from_cache

    files = ("model_index.json", "config.json", "pytorch_lora_weights.safetensors")
    return any(isinstance(try_to_load_from_cache(path, name), str) for name in files)


def read_file(model: str, name: str) -> str:
    """A small text file of a folder or a hub repository.

    Raises:
        ValueError: it cannot be had.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HFValidationError

    folder = Path(model)
    if folder.is_dir():
        if not (folder / name).is_file():
            raise ValueError(f"{model}: there is no {name} in this folder{_lora_hint(folder)}")
        return read_text(folder / name)
    try:
        return read_text(hf_hub_download(model, name))
    except HFValidationError:
        raise ValueError(f"{model}: neither a folder nor a hub id (owner/name)") from None
    except Exception as error:  # the hub's client raises many kinds
        raise ValueError(f"{model}: {name} cannot be fetched: {error_line(error)}") from None


def _lora_hint(folder: Path) -> str:
    """How a folder that holds a LoRA alone is used; empty for another one."""
    loras: list[str] = []
    start = str(folder)
    while (Path(resolve(start)) / LORA_FILE).is_file() and start not in loras:
        loras.insert(0, start)
        place = Path(start)
        record = next((one for one in (place, place.parent) if (one / "config.yaml").is_file()), None)
        if record is None:
            start = "ITS_BASE"
            break
        start = str(start_of(record))
    given = " ".join(f"--lora {lora}" for lora in loras)
    return f", but a LoRA: give --model {start} {given}" if loras else ""


def start_of(run: Path) -> str | None:
    """What the run in a folder started from, by its `config.yaml`; None where that says nothing.

    Raises:
        ValueError: it is no config.
    """
    path = run / "config.yaml"
    record = read_yaml(read_text(path), str(path)) or {}
    start = record.get("init_from") if isinstance(record, dict) else record
    if not isinstance(record, dict) or not (start is None or isinstance(start, str)):
        raise ValueError(f"{path}: is no config of a run, which says with init_from: what it started from")
    return start


def read_index(model: str) -> dict[str, Any]:
    """`model_index.json` of a pipeline folder or hub id; ValueError where there is none."""
    index = read_json(read_file(model, "model_index.json"), f"{model}: model_index.json")
    if not isinstance(index, dict):
        raise ValueError(f"{model}: model_index.json must hold keys and values")
    return index


def distilled_defaults(model: str, index: dict[str, Any]) -> dict[str, int]:
    """Steps and tokens of FLUX.1-schnell, whose index does not say them; empty for every other model.

    Args:
        index: its `model_index.json`.
    """
    if index.get("_class_name") != "FluxPipeline" or "num_inference_steps" in index:
        return {}
    try:
        config = read_json(read_file(model, "transformer/config.json"), "transformer/config.json")
    except ValueError:  # whoever loads the model says it better
        return {}
    dev = not isinstance(config, dict) or config.get("guidance_embeds", True)
    return {} if dev else {"num_inference_steps": 4, "max_sequence_length": 256}


@cache
def _imported(dotted: str) -> Any:
    """A class by its dotted name.

    The garbage collector waits: it would go through the libraries' objects, nearly a million that all stay, again and
    again, for a fifth of the time. They begin in its oldest generation.
    """
    module, _, name = dotted.rpartition(".")
    collects = gc.isenabled()
    gc.disable()
    try:
        return getattr(importlib.import_module(module), name)
    finally:
        if collects:
            gc.freeze()
            gc.unfreeze()
            gc.enable()
