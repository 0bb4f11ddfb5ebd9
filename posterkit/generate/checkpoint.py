"""What posters are made with: the settings of a run, and what planning needs to know of its model."""

# pyright: standard
from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path

from posterkit.critic import BLIND, RULES
from posterkit.llm.principle import Principle
from posterkit.pipelines.loading import CardDraft, card_draft, card_prompts, card_scripts
from posterkit.pipelines.registry import (
    ModelFamily,
    distilled_defaults,
    family_for,
    family_of,
    is_hub_id,
    read_index,
    resolve,
)
from posterkit.pipelines.revision import revision_of
from posterkit.pipelines.sampling_presets import sampler_named
from posterkit.tasks import TEXT

# a model that draws fewer pixels than this cannot spell; its texts are typeset unless `draw_text` is set
SPELLS_FROM = 512 * 512


@dataclass(frozen=True)
class Settings:
    """What holds for every row of a run: the model and how its drawings become posters.

    Attributes:
        model: a folder, a hub id, or None for the shipped checkpoint of the row's kind.
        transformer: a folder or hub id whose transformer replaces the model's.
        sampler: a preset for few-step LoRAs, see `posterkit.pipelines.sampling_presets`.
        native: the poster keeps the size that the model draws at.
        draw_text: texts are drawn by the diffusion model instead of typeset; None leaves it to the checkpoint.
        reward: compares posters, see `posterkit.rewards.open_reward`; None means the rules.
        critic: suggests improvements, see `posterkit.critic.open_critic`; None means the rules.
        upscaler: enlarges drawings: a file (see `posterkit.pipelines.upscaler.open_upscaler`), or "none"; None means
            the checkpoint's own, if it has one.
        segmenter: cuts subjects out, see `posterkit.pipelines.segmenters.open_segmenter`; None means the rules.
        safety: what the gate does on which surface, see `posterkit.safety.gate.parse_modes`; None means its default.
        policies: house rules for the gate beside the shipped policies: YAML files, or names of shipped house rules.
        detector: finds harm, see `posterkit.safety.detectors.open_detector`; None means rules+tiny.
        brands: names that a rewriter keeps, letter for letter.
        metadata: what a poster's file says of itself, one of `posterkit.safety.provenance.LEVELS`; None means full.
        cutout: a PSD has the picture's subject as a layer of its own, where an outline can be trusted.
        principle: what the answers of a critic or planner that is a local model are steered by.
        rewriter: writes harmful words anew, see `posterkit.safety.rewriting.open_rewriter`; None means template.
    """

    model: str | None = None
    transformer: str | None = None
    lora: str | None = None
    preset: str | None = None
    device: str | None = None
    dtype: str | None = None
    sampler: str | None = None
    native: bool = False
    draw_text: bool | None = None
    reward: str | None = None
    critic: str | None = None
    segmenter: str | None = None
    upscaler: str | None = None
    safety: str | None = None
    policies: tuple[str, ...] = ()
    detector: str | None = None
    rewriter: str | None = None
    brands: tuple[str, ...] = ()
    principle: Principle | None = None
    metadata: str | None = None
    cutout: bool = False

    @property
    def critic_principle(self) -> Principle | None:
        """The principle where the critic is a model."""
        return None if (self.critic or RULES) in (RULES, BLIND) else self.principle


@dataclass(frozen=True)
class Checkpoint:
    """What planning needs to know of a model."""

    name: str  # what to write into records: "mini:posteromni", a folder or a hub id
    source: str  # what to load: a folder or a hub id
    family: ModelFamily
    revision: str  # a content hash of the folder, or the hub's commit
    native_area: int
    steps: int
    guidance: float
    scripts: tuple[str, ...] | None = None  # it can draw; () where it cannot spell, None where the card is silent
    draft: CardDraft | None = None  # how its posters begin from drafts; None where they begin from noise
    prompts: str | None = None  # the language of its prompts, see `card_prompts`


def find_checkpoint(settings: Settings, task: str) -> Checkpoint:
    """The checkpoint that posters of a task are made with.

    Raises:
        ValueError: no such model, upscaler or segmenter, or one that does not draw the task.
    """
    if settings.upscaler not in (None, "none") and not Path(settings.upscaler).is_file():
        raise ValueError(f"{settings.upscaler}: there is no such upscaler; give a .safetensors file, or none")
    if (cutter := settings.segmenter) not in (None, "rules") and not (Path(cutter).is_dir() or is_hub_id(cutter)):
        raise ValueError(f"{cutter}: there is no such segmenter; give rules, or a folder or hub id of SAM-2")
    family = family_for(task)
    name = settings.model or "mini"
    name = family.mini if name == "mini" else name
    source = resolve(name)
    index = read_index(source)
    if family_of(source, index) is not family:
        made = "text posters" if task == TEXT else "image tasks"
        raise ValueError(
            f"{source}: is a {index['_class_name']}; {made} need {family.title} ({family.stock_pipeline})"
        )
    # the pipeline's own defaults hold for folders that say nothing (a stock FLUX.1 or Qwen-Image-Edit)
    parameters = inspect.signature(family.pipeline_class().__init__).parameters.values()
    own = {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}
    own |= distilled_defaults(source, index) | {key: value for key, value in index.items() if value is not None}
    revision = revision_of(source)
    for part, mark in ((settings.transformer, "+t"), (settings.lora, "+l")):
        revision += f"{mark}{revision_of(part)}" if part else ""
    steps, guidance = own["num_inference_steps"], own[family.guidance]
    if settings.sampler:
        sampler = sampler_named(settings.sampler, family.name)
        steps, guidance, revision = sampler.steps, sampler.guidance, f"{revision}+s{settings.sampler}"
    numbers = own["native_area"], steps, guidance
    drawing = card_scripts(source), card_draft(source), card_prompts(source)
    return Checkpoint(name, source, family, revision, *numbers, *drawing)


def draws_texts(settings: Settings, checkpoint: Checkpoint) -> bool:
    """Whether the diffusion model draws the texts: by the settings, else by its card, else by its size."""
    if settings.draw_text is not None:
        return settings.draw_text
    return bool(checkpoint.scripts) if checkpoint.scripts is not None else checkpoint.native_area >= SPELLS_FROM
