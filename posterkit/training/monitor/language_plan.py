"""Memory and hours of a language model's recipe at the published sizes by arithmetic, for a dry run without the model.

Hours stand on a card of which kernels get 400 TFLOP/s and 2 TB/s, about what an H100 gives, and are no measurement.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from posterkit.pipelines.memory import CONTEXT, GB, WORKSPACE
from posterkit.training.config import RunConfig
from posterkit.training.monitor.memory_plan import FULL

FLOPS, BANDWIDTH = 4e14, 2e12
QUESTION = 400  # tokens of a brief with the system prompt, about
CONVERSATION = 2400  # of a layout's question with four examples, and its answer
ANSWER = 200  # of a layout by the executor
JUDGED, CRITIQUE = 120, 60  # tokens of a question about a poster with the system prompt, and of its answer, about
PICTURES = 3.5  # of a question about identities: one to four references, and the poster
SERVED = 3000  # tokens a second that a served executor writes
GRAMMAR = 0.08  # seconds of a run of E0 on one core
Times = dict[str, float]


@dataclass(frozen=True)
class VisionSizes:
    """The published sizes of a Qwen2.5-VL's vision transformer; four patches are a token of the language model."""

    layers: int
    width: int
    inner: int
    patch: int  # numbers of a patch
    out: int

    @property
    def parameters(self) -> int:
        w, i, merged = self.width, self.inner, 4 * self.width
        block = 2 * w + (w * 3 * w + 3 * w) + (w * w + w) + 2 * (w * i + i) + (i * w + w)
        merger = w + (merged * merged + merged) + (merged * self.out + self.out)
        return self.patch * w + self.layers * block + merger

    @property
    def linear(self) -> dict[str, tuple[int, int]]:
        """Input and output of those linear layers that have names as in the language model."""
        w, i = self.width, self.inner
        return {"gate_proj": (w, i), "up_proj": (w, i), "down_proj": (i, w)}


@dataclass(frozen=True)
class LanguageSizes:
    """The published sizes of a Qwen2, and of what sees for it."""

    layers: int
    width: int
    inner: int
    keys: int  # width of keys and of values
    vocabulary: int
    vision: VisionSizes | None = None

    @property
    def parameters(self) -> int:
        """Of the language model."""
        of_layer = sum(a * b for a, b in self.linear.values()) + self.width + 2 * self.keys + 2 * self.width
        return self.layers * of_layer + 2 * self.vocabulary * self.width + self.width

    @property
    def linear(self) -> dict[str, tuple[int, int]]:
        """Input and output of a block's linear layers."""
        w, i, k = self.width, self.inner, self.keys
        return {"q_proj": (w, w), "k_proj": (w, k), "v_proj": (w, k), "o_proj": (w, w), "gate_proj": (w, i),
                "up_proj": (w, i), "down_proj": (i, w)}  # fmt: skip


_QWEN = LanguageSizes(28, 3584, 18944, 512, 152064)
_SEEING = replace(_QWEN, vision=VisionSizes(32, 1280, 3420, 1176, 3584))
SIZES = {"Qwen/Qwen2.5-7B": _QWEN, "Qwen/Qwen2.5-7B-Instruct": _QWEN, "Qwen/Qwen2.5-VL-7B-Instruct": _SEEING}


def language_plan(config: Any, cards: int = 8) -> tuple[dict[str, dict[str, float]], Times]:
    """Bytes on one card by part at every moment, and seconds of a step by what it does.

    Args:
        config: of a recipe that puts a LoRA on a model of `SIZES`.
    """
    sizes, answers = SIZES[config.init_from], getattr(config, "answers", None)
    trained = _trained(sizes, config)
    if sizes.vision is not None:
        return _critic_plan(sizes, sizes.vision, config)
    held = {"frozen weights": 2.0 * sizes.parameters, "LoRA and optimiser": 12.0 * trained, "CUDA": CONTEXT}
    if answers is None:
        rows = config.batch_size * (getattr(config, "negatives", 0) + 1)
        length = QUESTION + ANSWER if hasattr(config, "negatives") else CONVERSATION
        said = 0 if hasattr(config, "negatives") else rows * ANSWER
        times = {"learning": config.accumulation * rows * length * 6 * sizes.parameters / FLOPS}
        return {"learning": held | _learning(sizes, trained, rows * length, said)}, times
    drawn, length = config.batch_size * answers.each, QUESTION + answers.tokens
    if config.rubric != "rules":
        held["rubric"] = 2.0 * sizes.parameters
    cache = 2 * sizes.layers * sizes.keys * 2.0 * drawn * length
    part = min(drawn, answers.micro_batch or drawn)
    moments = {
        "drawing": held | {"keys and values": cache, "logits": 12.0 * drawn * sizes.vocabulary},
        "learning": held | _learning(sizes, trained, part * length, part * answers.tokens),
    }
    runs = config.batch_size * (4 * answers.each + 3)
    served = config.executor.startswith("e1")
    times = {
        "drawing": answers.tokens * (2 * sizes.parameters + cache) / BANDWIDTH,
        "scoring": cards * runs * ANSWER / SERVED if served else runs * GRAMMAR,
        "rubric": drawn * length * 2 * sizes.parameters / FLOPS if config.rubric != "rules" else 0.0,
        "learning": drawn * length * 6 * sizes.parameters / FLOPS,  # forward, again in backward, backward to inputs
    }
    return moments, times


def _trained(sizes: LanguageSizes | VisionSizes, config: Any) -> int:
    """Parameters of the LoRA."""
    fit = [sizes.linear[name] for name in config.trainable.targets if name in sizes.linear]
    return sizes.layers * config.trainable.rank * sum(map(sum, fit))


def _critic_plan(sizes: LanguageSizes, vision: VisionSizes, config: Any) -> tuple[dict[str, dict[str, float]], Times]:
    """Of a recipe that teaches a critic: answers about pictures, by likelihood or by DPO against its reference."""
    pairs = hasattr(config, "beta")
    copies = (3 if config.image_weight else 2) if pairs else 1
    pictures = PICTURES if hasattr(config.data, "identities") else 1
    rows, seen = config.batch_size * copies, pictures * config.area / 28**2
    tokens, patches = rows * (seen + JUDGED + CRITIQUE), rows * 4 * seen
    trained = _trained(sizes, config) + _trained(vision, config)
    once = 2 * config.accumulation * (tokens * sizes.parameters + patches * vision.parameters) / FLOPS  # forward
    times = {"learning": 3 * once, "reference": once if pairs else 0.0}
    held = {"frozen weights": 2.0 * (sizes.parameters + vision.parameters), "LoRA and optimiser": 12.0 * trained,
            "CUDA": CONTEXT, "pictures": 2.0 * vision.layers * patches * vision.width}  # fmt: skip
    return {"learning": held | _learning(sizes, trained, round(tokens), rows * CRITIQUE)}, times


def _learning(sizes: LanguageSizes, trained: int, tokens: int, said: int) -> dict[str, float]:
    """At the peak of a backward pass with gradient checkpointing.

    Args:
        said: tokens whose likelihood counts.
    """
    block = tokens * (8 * sizes.width + 4 * sizes.inner) * 2 * WORKSPACE
    kept = 2.0 * sizes.layers * tokens * sizes.width
    return {"gradients": 4.0 * trained, "activations": kept + block, "logits": 10.0 * said * sizes.vocabulary}


def language_plan_lines(config: RunConfig, cards: int = 8, card: float = 80) -> list[str]:
    """The plan as a table; none for a config whose model is of no known size, or trains whole.

    Args:
        card: a card's memory in GB.
    """
    trainable = getattr(config, "trainable", None)
    if config.init_from not in SIZES or trainable is None or trainable.weights == "full":
        return []
    moments, times = language_plan(config, cards)
    lines = [f"memory by arithmetic, GB by part and moment, on each of {cards} cards (not yet run on a GPU):"]
    lines.append(f"  {'card':26s}" + "".join(f"{name:>11s}" for name in moments))
    for part in dict.fromkeys(part for moment in moments.values() for part in moment):
        values = [moment.get(part, 0.0) / GB for moment in moments.values()]
        lines.append(f"    {part:24s}" + "".join(f"{value:11.2f}" if value else " " * 11 for value in values))
    totals = [sum(moment.values()) / GB for moment in moments.values()]
    lines.append(f"    {'together':24s}" + "".join(f"{total:11.2f}" for total in totals))
    fits = "fits" if max(totals) <= FULL * card else "does NOT fit"
    lines.append(f"  {fits} {cards} cards of {card:g} GB")
    seconds = sum(times.values())
    parts = ", ".join(f"{name} {value:.1f}" for name, value in times.items() if value)
    lines.append(
        f"hours by arithmetic: {config.max_steps * seconds / 3600:.1f} for {config.max_steps} steps of {seconds:.1f} s"
        f" ({parts}), at {FLOPS / 1e12:.0f} TFLOP/s and {BANDWIDTH / 1e12:g} TB/s of a card"
    )
    if getattr(config, "executor", "").startswith("e1"):
        lines.append(
            f"  its executor is served beside it, at {SERVED} tokens a second: 16 GB more on one of the cards"
        )
    return lines
