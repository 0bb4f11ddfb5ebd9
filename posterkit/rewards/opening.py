"""Rewards by a short spec."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

from posterkit.pipelines.registry import resolve
from posterkit.rewards.composition import BLIND, GATES, TEXT, WEIGHTS, Composed, Gate, read_composition
from posterkit.rewards.reward import Reward
from posterkit.tasks import TASKS

RULES, GENERIC, GLYPHS = "rules", "generic", "glyphs"
PARTS = (
    "text", GLYPHS, "aesthetics", "agreement", "identity", "preservation", "layout", "style", "completion",
)  # fmt: skip
REMOTE = "reward+"  # before the URL of a reward that `posterkit.rewards.service.server` serves
FILES = (".yaml", ".yml")
_WEIGHT = re.compile(r"(?P<name>.+):(?P<weight>\d*\.?\d+)")
_LEARNED = "scorer.json"  # what the folder of a reward model holds


def open_reward(
    source: str = RULES,
    *,
    fast: bool = False,
    device: str = "cpu",
    model: str | None = None,
    cache: str | Path | None = None,
    sources: Mapping[str, str] | None = None,
    tasks: Collection[str] = (),
) -> Reward:
    """A reward by its spec. Cheap: models are loaded at the first poster.

    Args:
        source: one of
            "rules": the default, composed per task (see `posterkit.rewards.composition`);
            "generic": aesthetics and agreement with the prompt, whatever the task;
            a part: text, glyphs (letters of glyph posters), aesthetics, agreement, identity, preservation, layout,
            style, completion;
            several with weights, the same for every task: "text:0.6+aesthetics:0.4";
            a YAML file with weights for each task and gates (see `posterkit.rewards.composition.read_composition`);
            the folder of a reward model that `train/reward_model.py` left, of a CLIP-like model (HPSv2, SigLIP), of a
            vision model (DINOv2: identity), of a language model that sees, or of one with a scalar head
            (PosterReward-Lite); or a hub id of one of the latter four;
            "http://host:8000/v1": an OpenAI-compatible endpoint whose model sees;
            "reward+http://host:8990": a reward that another machine serves (`posterkit.rewards.service.server`).
        fast: OCR at its fast setting.
        device: where models run.
        model: the model's name at an endpoint.
        cache: a folder that keeps the worths; a second pass over the same posters costs nothing.
        sources: of parts that a model is to judge in place of the rules. text, aesthetics, agreement and identity take
            a language model that sees, by folder or endpoint, all but text a CLIP-like folder too, identity a vision
            model's, aesthetics and agreement one with a scalar head; text takes "glyphs".
        tasks: that it will be asked about.

    Raises:
        ValueError: there is no such reward or part (the nearest one is named), or it knows nothing of a task.
        FileNotFoundError: a folder holds no reward model.
    """
    opened = _Opening(fast, device, model, dict(sources or {})).open(source.strip())
    known = opened.weights if isinstance(opened, Composed) else tasks
    if missing := sorted({*tasks} - {*known}):
        raise ValueError(f"reward {source}: weighs nothing for {', '.join(missing)}, but for {', '.join(known)}")
    if cache is None:
        return opened
    from posterkit.rewards.cache import CachedReward

    return CachedReward(opened, cache)


def reach(source: str, sources: Mapping[str, str], timeout: float = 30.0) -> None:
    """Ask whether anybody answers where a reward is served, or what judges its parts; nothing to ask is fine.

    Args:
        source, sources: as `open_reward` takes them.

    Raises:
        OSError: nobody answers; the line says where.
        ValueError: a URL is none.
    """
    for name in dict.fromkeys(part for spec in (source, *sources.values()) for part in _parts_of(spec.strip())):
        try:
            if name.startswith(REMOTE):
                from posterkit.rewards.service.client import RemoteReward

                RemoteReward(name.removeprefix(REMOTE), timeout=timeout).reach()
            elif name.startswith(("http://", "https://")):
                from posterkit.llm.endpoint import Endpoint

                Endpoint(name, timeout=timeout).reach()
        except OSError as fault:
            why = str(fault).removeprefix(f"{name.removeprefix(REMOTE)}: ")
            raise ConnectionError(f"reward {name}: nobody answers ({why})") from None


class _Opening:
    def __init__(self, fast: bool, device: str, model: str | None, sources: dict[str, str]) -> None:
        for part in sources:
            if part not in ("text", "aesthetics", "agreement", "identity"):
                raise ValueError(
                    f"reward: no model can judge {part!r}; text, aesthetics, agreement and identity take one"
                )
        self.fast, self.device, self.model, self.sources = fast, device, model, sources

    def open(self, source: str) -> Reward:
        if source == RULES:
            return self._composed(RULES, WEIGHTS, GATES)
        if source.endswith(FILES):
            return self._composed(Path(source).stem, *read_composition(source))
        parts = BLIND if source == GENERIC else _weighed(source)
        if len(parts) == 1:
            return self.part(next(iter(parts)))
        return self._composed(source, dict.fromkeys((TEXT, *TASKS), parts))

    def _composed(
        self, label: str, weights: Mapping[str, Mapping[str, float]], gates: Sequence[Gate] = ()
    ) -> Composed:
        names = dict.fromkeys(part for parts in weights.values() for part in parts)
        return Composed(label, {name: self.part(name) for name in names}, weights, gates)

    def part(self, name: str) -> Reward:
        """One reward alone."""
        if name in self.sources:
            return self._by_model(name, self.sources[name])
        if name in PARTS:
            return self._by_rules(name)
        if name.startswith(REMOTE):
            from posterkit.rewards.service.client import RemoteReward

            return RemoteReward(name.removeprefix(REMOTE))
        return self._by_model(None, name)

    def _by_rules(self, name: str) -> Reward:
        from posterkit.rewards.parts.aesthetics import Aesthetics, Agreement
        from posterkit.rewards.parts.completion import Completion
        from posterkit.rewards.parts.preservation import Preservation
        from posterkit.rewards.parts.reference import Identity, Layout, Style
        from posterkit.rewards.parts.text import GlyphReward, TextReward

        made: dict[str, Callable[[], Reward]] = {
            "text": lambda: TextReward(self.fast), GLYPHS: GlyphReward, "aesthetics": lambda: Aesthetics(self.fast),
            "agreement": lambda: Agreement(self.fast), "identity": Identity, "preservation": Preservation,
            "layout": lambda: Layout(self.fast), "style": Style, "completion": Completion,
        }  # fmt: skip
        return made[name]()

    def _by_model(self, part: str | None, source: str) -> Reward:
        """A part judged by a model, or what a model says on the whole."""
        if part == "text" and source == GLYPHS:
            return self._by_rules(GLYPHS)
        kind = kind_of(source)
        if kind == "learned" and part is None:
            from posterkit.rewards.models.learned import Learned

            return Learned(source, device=self.device)  # pyright: ignore[reportReturnType]  # its name is cached
        if kind == "clip" and part in (None, "aesthetics", "agreement"):
            from posterkit.rewards.parts.aesthetics import ClipReward

            return ClipReward(source, self.device)
        if kind in ("clip", "vision") and part in (None, "identity"):
            from posterkit.rewards.models.features import FeatureIdentity

            return FeatureIdentity(source, self.device)
        if kind == "scored" and part in (None, "aesthetics", "agreement"):
            from posterkit.rewards.models.scalar_head import ScoredReward

            return ScoredReward(source, self.device)
        if kind == "judge":
            from posterkit.llm.opening import open_vision_language_model
            from posterkit.rewards.models.vision_language import ModelReward

            name = f"{self.model} at {source}" if self.model else source
            return ModelReward(name, lambda: open_vision_language_model(source, self.model, self.device), part)
        raise ValueError(f"reward {part}: {source} is a {_KINDS[kind]}, which cannot judge that")


_KINDS = {
    "learned": "reward model", "clip": "model of pictures and texts", "vision": "vision model",
    "scored": "model with one score", "judge": "language model",
}  # fmt: skip


def kind_of(source: str) -> str:
    """What a folder, hub id or URL is: learned, scored, clip, vision or judge.

    Raises:
        ValueError: it is none of them; the nearest name of a reward is named.
    """
    if source.startswith(("http://", "https://")):
        return "judge"
    folder = Path(source)
    if (Path(resolve(source)) / _LEARNED).is_file():
        return "learned"
    config = folder / "config.json"
    if config.is_file():
        told = json.loads(config.read_text(encoding="utf-8"))
    elif not folder.exists() and re.fullmatch(r"[\w.-]+/[\w.-]+", source):
        from transformers import PretrainedConfig

        told, _ = PretrainedConfig.get_config_dict(source)
    elif folder.is_dir():
        raise ValueError(f"reward {source}: the folder holds no model; a config.json or {_LEARNED} tells one")
    else:
        known = (RULES, GENERIC, *PARTS)
        near = difflib.get_close_matches(source, known, n=1, cutoff=0)[0]
        raise ValueError(
            f"reward {source!r}: there is no such reward (did you mean {near!r}?); use {', '.join(known)}, several "
            "with weights as in text:0.6+aesthetics:0.4, a YAML file of weights, a model's folder or hub id, or a URL"
        )
    if told.get("num_labels", len(told.get("id2label") or ())) == 1:
        return "scored"
    if any(name.endswith(("ForConditionalGeneration", "ForCausalLM")) for name in told.get("architectures") or ()):
        return "judge"
    return "clip" if {"text_config", "vision_config"} <= told.keys() else "vision"


def _parts_of(source: str) -> Iterable[str]:
    """The single rewards that a spec is made of, as far as it names them."""
    if not source.endswith(FILES):
        return _weighed(source)
    return [part for parts in read_composition(source)[0].values() for part in parts]


def _weighed(source: str) -> dict[str, float]:
    """The parts of a sum and their weights; 1 where none is said.

    Raises:
        ValueError: a part stands twice or is empty.
    """
    found: dict[str, float] = {}
    # the plus of "reward+http" joins nothing
    for piece in re.split(r"(?<!\breward)\+", source):
        match = None if re.search(r"//[^/]*:\d+$", piece) else _WEIGHT.fullmatch(piece.strip())
        name = (match["name"] if match else piece).strip()
        if not name or name in found:
            raise ValueError(f"reward {source!r}: {f'{name!r} stands twice' if name else 'a part has no name'}")
        found[name] = float(match["weight"]) if match else 1.0
    return found
