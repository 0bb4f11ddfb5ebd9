"""Rewards by their specs: a name, a weighted sum, a YAML file, a model, a server."""

# pyright: standard
from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from posterkit.documents import read_json, read_text
from posterkit.metrics.poster_reader import PosterReader, open_poster_reader
from posterkit.pipelines.registry import resolve
from posterkit.rewards.composition import GENERIC_WEIGHTS, RULES_FILE, ComposedReward, Gate, read_composition
from posterkit.rewards.parts.aesthetics import AestheticsReward, AgreementReward
from posterkit.rewards.parts.harmlessness import HarmlessReward
from posterkit.rewards.parts.preservation import PreservationReward
from posterkit.rewards.parts.reference import CompletionReward, IdentityReward, LayoutReward, StyleReward
from posterkit.rewards.parts.text_reward import GlyphReward, TextReward
from posterkit.rewards.reward import CachedReward, Reward
from posterkit.schema import TEXT
from posterkit.tasks import TASKS

RULES, GENERIC, GLYPHS = "rules", "generic", "glyphs"
REMOTE = "reward+"  # before the URL of a reward that `posterkit.rewards.service.server` serves
FILES = (".yaml", ".yml")
_WEIGHT = re.compile(r"(?P<name>.+):(?P<weight>\d*\.?\d+)")
_LEARNED = "scorer.json"  # what the folder of a reward model holds


KINDS: dict[str, tuple[str, tuple[str, ...]]] = {  # of models: what errors call them, the parts that they can replace
    "learned": ("reward model", ()),
    "clip": ("model of pictures and texts", ("aesthetics", "agreement", "identity")),
    "vision": ("vision model", ("identity",)),
    "scored": ("model with one score", ("aesthetics", "agreement")),
    "judge": ("language model", ("text", "aesthetics", "agreement", "identity")),
}


@dataclass(frozen=True)
class _Opener:
    """Opens rewards with the same options; see `open_reward`."""

    fast: bool
    device: str
    model: str | None
    read_text: bool
    cache: str | None
    sources: Mapping[str, str]

    def reader(self) -> PosterReader:
        return open_poster_reader(self.fast, self.cache)

    def open(self, source: str) -> Reward:
        source = str(RULES_FILE) if source == RULES else source
        if source.endswith(FILES):
            return self.compose(Path(source).stem, *read_composition(source))
        parts = GENERIC_WEIGHTS if source == GENERIC else _weighted_parts(source)
        if len(parts) == 1:
            return self.part(next(iter(parts)))
        return self.compose(source, dict.fromkeys((TEXT, *TASKS), parts), ())

    def compose(self, label: str, weights: Mapping[str, Mapping[str, float]], gates: Sequence[Gate]) -> ComposedReward:
        names = dict.fromkeys(part for parts in weights.values() for part in parts)
        return ComposedReward(label, {name: self.part(name) for name in names}, weights, gates)

    def part(self, name: str) -> Reward:
        """One reward alone: by rules, or by the model that replaces it."""
        if name in self.sources:
            return self.by_model(self.sources[name], name)
        if name in PARTS:
            return PARTS[name](self)
        if name.startswith(REMOTE):
            from posterkit.rewards.remote import RemoteReward

            return RemoteReward(name.removeprefix(REMOTE))
        return self.by_model(name, None)

    def by_model(self, source: str, part: str | None) -> Reward:
        """The reward of a model, by itself or in place of a part."""
        if part == "text" and source == GLYPHS:
            return GlyphReward()
        kind = kind_of(source)
        label, parts = KINDS[kind]
        if part is not None and part not in parts:
            raise ValueError(f"reward {part}: {source} is a {label}, which cannot judge that")
        if kind == "learned":
            from posterkit.rewards.models.reward_model import LearnedReward

            return LearnedReward(source, device=self.device)
        if kind == "scored":
            from posterkit.rewards.models.vision_language import ScalarHeadReward

            return ScalarHeadReward(source, self.device)
        if kind == "judge":
            from posterkit.llm.open_model import open_vision_language_model
            from posterkit.rewards.models.vision_language import VisionLanguageReward

            name = f"{self.model} at {source}" if self.model else source
            load = partial(open_vision_language_model, source, self.model, self.device)
            return VisionLanguageReward(name, load, part)
        from posterkit.rewards.models.image_text import ClipReward, FeatureIdentity

        return (FeatureIdentity if kind == "vision" or part == "identity" else ClipReward)(source, self.device)


# rewards without a model, by name
PARTS: dict[str, Callable[[_Opener], Reward]] = {
    "text": lambda opener: TextReward(opener.reader()),
    GLYPHS: lambda _: GlyphReward(),
    "aesthetics": lambda opener: AestheticsReward(opener.reader(), opener.read_text),
    "agreement": lambda opener: AgreementReward(opener.reader(), opener.read_text),
    "identity": lambda _: IdentityReward(),
    "preservation": lambda _: PreservationReward(),
    "layout": lambda opener: LayoutReward(opener.reader()),
    "style": lambda _: StyleReward(),
    "completion": lambda _: CompletionReward(),
    "harmless": lambda opener: HarmlessReward(opener.reader()),
}


def open_reward(
    source: str = RULES,
    *,
    fast: bool = False,
    device: str = "cpu",
    model: str | None = None,
    cache: str | Path | None = None,
    sources: Mapping[str, str] | None = None,
    tasks: Collection[str] = (),
    read_text: bool = True,
) -> Reward:
    """A reward by its spec. Cheap: models are loaded at the first poster.

    Args:
        source: one of
            "rules": the default, composed per task (see `posterkit.rewards.composition`);
            "generic": aesthetics and agreement with the prompt, whatever the task;
            a part: text, glyphs (letters of glyph posters), aesthetics, agreement, identity, preservation, layout,
            style, completion, harmless;
            several with weights, the same for every task: "text:0.6+aesthetics:0.4";
            a YAML file with weights for each task and gates (see `posterkit.rewards.composition.read_composition`);
            the folder of a reward model that `train/reward_model.py` left, of a CLIP-like model (HPSv2, SigLIP), of a
            vision model (DINOv2: identity), of a vision-language model, or of one with a scalar head
            (PosterReward-Lite); or a hub id of one of the latter four;
            "http://host:8000/v1": an OpenAI-compatible endpoint with a vision-language model;
            "reward+http://host:8990": a reward that another machine serves (`posterkit.rewards.service.server`).
        fast: OCR at its fast setting.
        device: where models run.
        model: the model's name at an endpoint.
        cache: a folder that keeps the results and the texts read; a second pass over the same posters costs nothing.
        sources: models that replace parts by rules. text, aesthetics, agreement and identity take a
            vision-language model, by folder or endpoint, all but text a CLIP-like folder too, identity a vision
            model's, aesthetics and agreement one with a scalar head; text takes "glyphs".
        tasks: that it will score.
        read_text: False leaves OCR out of aesthetics and agreement, which is much faster.

    Raises:
        ValueError: there is no such reward or part (the nearest one is named), or it weighs nothing for a task.
        FileNotFoundError: a folder holds no reward model.
    """
    sources, takes = sources or {}, KINDS["judge"][1]
    for part in sources:
        if part not in takes:
            raise ValueError(f"reward: no model can judge {part!r}; {', '.join(takes[:-1])} and {takes[-1]} take one")
    texts = None if cache is None else str(cache)
    opened = _Opener(fast, device, model, read_text, texts, sources).open(source.strip())
    known = opened.weights if isinstance(opened, ComposedReward) else tasks
    if missing := sorted({*tasks} - {*known}):
        raise ValueError(f"reward {source}: weighs nothing for {', '.join(missing)}, but for {', '.join(known)}")
    return opened if cache is None else CachedReward(opened, cache)


def reach(source: str, sources: Mapping[str, str], timeout: float = 30.0) -> None:
    """Check that a server answers wherever a reward or a model of its parts is served.

    Args:
        source, sources: as `open_reward` takes them.

    Raises:
        OSError: no server answers; the line says where.
        ValueError: a URL is not one.
    """
    for name in _parts_of(source, sources):
        try:
            if name.startswith(REMOTE):
                from posterkit.rewards.remote import RemoteReward

                RemoteReward(name.removeprefix(REMOTE), timeout=timeout).reach()
            elif name.startswith(("http://", "https://")):
                from posterkit.llm.endpoint import Endpoint

                Endpoint(name, timeout=timeout).reach()
        except OSError as error:
            why = str(error).removeprefix(f"{name.removeprefix(REMOTE)}: ")
            raise ConnectionError(f"reward {name}: nobody answers ({why})") from None


def models_of(source: str, sources: Mapping[str, str]) -> list[str]:
    """The models that a reward asks: language models, reward models, models with one score. Arguments as `reach`."""
    found = []
    for name in _parts_of(source, sources):
        if name in (RULES, GENERIC, *PARTS) or name.startswith(REMOTE):
            continue
        if kind_of(name) in ("judge", "learned", "scored"):
            found.append(name)
    return found


def _parts_of(source: str, sources: Mapping[str, str]) -> list[str]:
    """The single rewards and models that are named, each once."""
    names: dict[str, float] = {}
    for spec in map(str.strip, (source, *sources.values())):
        parts = read_composition(spec)[0].values() if spec.endswith(FILES) else [_weighted_parts(spec)]
        names |= {name: weight for part in parts for name, weight in part.items()}
    return list(names)


def kind_of(source: str) -> str:
    """What a folder, hub id or URL is: a key of `KINDS`.

    Raises:
        ValueError: none of them; the nearest name of a reward is named.
    """
    if source.startswith(("http://", "https://")):
        return "judge"
    folder = Path(source)
    if (Path(resolve(source)) / _LEARNED).is_file():
        return "learned"
    config_file = folder / "config.json"
    if config_file.is_file():
        config = read_json(read_text(config_file), f"reward {config_file}")
        if not isinstance(config, dict):
            raise ValueError(f"reward {config_file}: must hold keys and values, found {type(config).__name__}")
    elif not folder.exists() and re.fullmatch(r"[\w.-]+/[\w.-]+", source):
        from transformers import PretrainedConfig

        config, _ = PretrainedConfig.get_config_dict(source)
    elif folder.is_dir():
        raise ValueError(f"reward {source}: the folder holds no model; a config.json or {_LEARNED} tells one")
    else:
        known = (RULES, GENERIC, *PARTS)
        near = difflib.get_close_matches(source, known, n=1, cutoff=0)[0]
        raise ValueError(
            f"reward {source!r}: there is no such reward (did you mean {near!r}?); use {', '.join(known)}, several "
            "with weights as in text:0.6+aesthetics:0.4, a YAML file of weights, a model's folder or hub id, or a URL"
        )
    labels, classes = config.get("id2label"), config.get("architectures")
    if config.get("num_labels", len(labels) if isinstance(labels, dict) else 0) == 1:
        return "scored"
    classes = [str(name) for name in classes] if isinstance(classes, list) else []
    if any(name.endswith(("ForConditionalGeneration", "ForCausalLM")) for name in classes):
        return "judge"
    return "clip" if {"text_config", "vision_config"} <= config.keys() else "vision"


def _weighted_parts(source: str) -> dict[str, float]:
    """The parts of a sum and their weights; 1 where none is given.

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
