"""Memory of a stage at the published sizes by arithmetic: for a dry run whose base is not on this machine."""

from __future__ import annotations

from typing import Any

import torch
from accelerate import init_empty_weights
from torch import nn

from posterkit.pipelines.memory import CONTEXT, GB, PROCESS, WORKSPACE, Sizes, family_sizes
from posterkit.pipelines.registry import family_named
from posterkit.training.block_swap import blocks_of
from posterkit.training.config import RunConfig
from posterkit.training.lora import set_trainable
from posterkit.training.optimizers import choose_optimizer, optimizer_bytes

_TOKEN = 16 * 16  # pixels of a patch token
_TEXT = 512  # tokens of a text, about
_SCORER = 2 * 8_292_166_656  # bytes of a reward model on Qwen2.5-VL in bfloat16
FULL = 0.97  # of a card's memory may be used
READ_ONCE = "transformer, in one"  # of all processes
Moments = dict[str, dict[str, float]]


def memory_plan(config: Any, cards: int = 8, card_gb: float = 80) -> tuple[Moments, Moments]:
    """What one card and one process's main memory hold, bytes by part at every moment.

    Args:
        config: a stage's, of paper size.
        cards: that share out weights which all train.
        card_gb: a card's memory; where a sample sheet finds no room in it, the transformer waits in main memory while
            the sheet's words are read.
    """
    family, trainable = config.base_family, config.trainable
    sizes = family_sizes(family)
    assert sizes is not None
    full = trainable.weights == "full"
    trained, optimiser, swapped = _trained(config, family)
    transformer = sizes.parts["transformer"]
    share = cards if full else 1
    quantised = "nf4" if config.base == "nf4" else None
    frozen = 0.0 if full else transformer.stored(quantised, quantised, 4 if config.base == "fp32" else 2)
    encoders = sum(
        part.stored(quantised if part.linear > 10**9 else None, None, 4 if config.base == "fp32" else 2)
        for name, part in sizes.parts.items()
        if name.startswith("text_encoder")
    )
    vae = 4.0 * sizes.parts["vae"].parameters
    kept = {"text encoders": encoders if config.data.keep == "ids" else 0.0}
    staying = 1 - swapped / trained  # the share of what trains that stays on the card
    weights = {"transformer": frozen, "trained weights": 4 * trained * staying / share}
    if config.ema_decay:
        weights["averages"] = 4 * trained * staying / share
    if getattr(config, "objective", None) in ("nft", "grpo"):
        weights["old policy"] = 4 * trained
    states = {"optimiser": optimiser * staying / share}
    tokens = _tokens(config, family)
    step = weights | states | {"gradients": 4 * trained * staying / share}
    step["activations"] = _activations(sizes, tokens, config)
    if full:
        step["gathered block"] = (6 if swapped else 2) * transformer.group
    still = sizes.activations["denoising"] * WORKSPACE
    moments: Moments = {"encoding": {"text encoders": encoders, "autoencoder": vae,
                                     "activations": 2 * sizes.activations["decoding"] * WORKSPACE}}  # fmt: skip
    reward: dict[str, float] = {}
    if (rollouts := getattr(config, "rollouts", None)) is not None and not config.dpo.pairs:
        posters = rollouts.images * config.batch_size
        drawing = still * posters * config.data.area / 2**20
        moments["drawing"] = weights | states | kept | {"autoencoder": vae, "activations": drawing}
        reward = {"reward": _SCORER + CONTEXT if config.reward.device == "cuda" else 0.0}
        moments["drawing"] |= reward
    moments["learning"] = step | kept | reward
    sheet = weights | states | reward | {"autoencoder": vae, "activations": still}
    moments["samples"] = sheet | {"text encoders": encoders}
    parked = 0.0
    if sum(moments["samples"].values()) + CONTEXT > FULL * card_gb * GB and not full:
        parked = frozen
        moments["words"] = moments["samples"] | {"transformer": 0.0, "activations": moments["encoding"]["activations"]}
        moments["samples"] = sheet
    card = {name: parts | {"CUDA": CONTEXT} for name, parts in moments.items()}
    waiting = 0.0 if config.data.keep == "ids" else encoders
    states_there = (8 * trained + optimiser + (4 * trained if config.ema_decay else 0)) * (1 - staying)
    ram = {"reading": {"process": PROCESS, READ_ONCE: 4.0 * transformer.parameters if full else 0.0},
           "learning": {"process": PROCESS, "swapped blocks": states_there, "text encoders": waiting,
                        "autoencoder": vae}}  # fmt: skip
    if parked:
        ram["words"] = {"process": PROCESS, "transformer": parked}
    return card, ram


def plan_lines(config: RunConfig, cards: int | None = None, card: float = 80) -> list[str]:
    """The plan as a table; none for a config without a base of a known size.

    Args:
        cards: eight, or one where blocks are swapped, if None.
        card: a card's memory in GB.
    """
    if not hasattr(config, "base_family") or family_sizes(config.base_family) is None:  # type: ignore[attr-defined]
        return []
    cards = cards or (1 if config.trainable.swap else 8)  # type: ignore[attr-defined]
    on = "one card" if cards == 1 else f"each of {cards} cards"
    lines = [f"memory by arithmetic, GB by part and moment, on {on} (not yet run on a GPU):"]
    verdicts, plan = [], memory_plan(config, cards, card)
    for place, moments in zip(("card", "main memory of a process"), plan, strict=True):
        names = list(moments)
        lines.append(f"  {place:26s}" + "".join(f"{name:>11s}" for name in names))
        parts = list(dict.fromkeys(part for moment in moments.values() for part in moment))
        for part in parts:
            values = [moments[name].get(part, 0.0) / GB for name in names]
            if any(values):
                lines.append(f"    {part:24s}" + "".join(f"{value:11.1f}" if value else " " * 11 for value in values))
        totals = [sum(moments[name].values()) / GB for name in names]
        lines.append(f"    {'together':24s}" + "".join(f"{total:11.1f}" for total in totals))
        verdicts.append(max(totals))
    fits = "fits" if verdicts[0] <= FULL * card else "does NOT fit"
    everyone = max(
        sum(size * (1 if part == READ_ONCE else cards) for part, size in moment.items()) / GB
        for moment in plan[1].values()
    )
    which = f"a card of {card:g} GB" if cards == 1 else f"{cards} cards of {card:g} GB"
    lines.append(f"  {fits} {which}; {everyone:.0f} GB of main memory for all processes")
    return lines


def _trained(config: Any, family: str) -> tuple[int, int, int]:
    """How many weights train, the bytes of their optimiser's states, and how many of them visit the card in blocks."""
    import diffusers
    from diffusers.models.modeling_utils import no_init_weights

    entry = family_named(family)
    options = {"guidance_embeds": True} if entry.distilled_guidance else {}
    with init_empty_weights(), no_init_weights():  # the classes' defaults are the published sizes
        module = nn.ModuleDict({"transformer": getattr(diffusers, entry.transformer)(**options)})
    with torch.device("meta"), no_init_weights():
        set_trainable(module, config.trainable)
    trained = [p for p in module.parameters() if p.requires_grad]
    optimizer = choose_optimizer(config, torch.device("cpu"), lambda line: None)([{"params": trained}])
    visiting = blocks_of(module["transformer"])[: config.trainable.swap]
    swapped = sum(p.numel() for block in visiting for p in block.parameters())
    return sum(p.numel() for p in trained), optimizer_bytes(optimizer), swapped


def _tokens(config: Any, family: str) -> int:
    """Tokens of a forward pass that learns: posters, one reference or draft each where the stage has them, texts."""
    posters = config.batch_size
    rollouts = getattr(config, "rollouts", None)
    if rollouts is not None:
        posters = 2 * config.batch_size if config.objective == "dpo" else config.batch_size * rollouts.images
        posters = min(posters, rollouts.micro_batch or posters)
    pictures = 2 if family == "posteromni" or hasattr(config, "drop_feedback") else 1
    return posters * (pictures * config.data.area // _TOKEN + pictures * _TEXT)


def _activations(sizes: Sizes, tokens: int, config: Any) -> float:
    """Bytes at the peak of a forward and a backward pass."""
    held, work = sizes.training["held"], sizes.training["work"]
    if not config.trainable.gradient_checkpointing:
        return tokens * work * sizes.training["blocks"] * WORKSPACE
    return tokens * (held + work) * WORKSPACE
