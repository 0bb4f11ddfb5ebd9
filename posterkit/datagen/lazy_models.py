"""Opens models that judge posters, once a process.

A step that is pickled into worker processes holds `partial(open_critic, source)` or the like, and calls it there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from PIL import Image

from posterkit.critic import BLIND, RULES, Critic
from posterkit.llm.open_model import open_vision_language_model, opened_once
from posterkit.prompts import quoted_texts
from posterkit.rewards import Reward, RewardResult, open_reward
from posterkit.safety.gate import SafetyGate, open_gate
from posterkit.schema import PosterRequest

if TYPE_CHECKING:
    from posterkit.rewards.models.image_text import ImageTextModel

OpenCritic = Callable[[], Critic]
OpenReward = Callable[[], Reward]
OpenImageTextModel = Callable[[], "ImageTextModel"]
# the same three questions as to a vision-language model
_BY_RULES = {RULES: "text+aesthetics+agreement", BLIND: "aesthetics+agreement"}


@opened_once()
def open_judge(source: str, model: str | None = None, device: str = "cpu", answers: str | None = None) -> Reward:
    """The reward of text, aesthetics and agreement by the rules or the model of `posterkit.critic.open_critic`."""
    if source.startswith(("http://", "https://")) and model is None:  # reward and cache carry the model's name
        model = getattr(open_vision_language_model(source, None, device), "model", None)
    by = _BY_RULES.get(source, source)
    return open_reward(by, model=model, device=device, cache=answers, read_text=source != BLIND)


@opened_once()
def open_text_gate(detector: str, device: str = "cpu") -> SafetyGate:
    """A gate that blocks what a detector finds harmful in a poster's words."""
    gate = open_gate("off,finished=block", detector=detector, device=device)
    assert gate is not None
    return gate


def score_posters(reward: Reward, images: Sequence[Image.Image], prompt: str) -> list[RewardResult]:
    """A result for each poster of one prompt; its parts are among `text`, `aesthetics` and `agreement`."""
    request = PosterRequest(prompt, texts=tuple(quoted_texts(prompt)))
    return reward(images, [request] * len(images))


def aesthetics_by_rules(
    poster: Image.Image, caption: str, read_text: bool = True, answers: str | None = None
) -> tuple[str, float, str]:
    """The name of the rules, the value in [0, 1], and its weakest part; the caption does not matter.

    Args:
        answers: the folder in which a critic by rules keeps the texts that it reads.
    """
    (result,) = _aesthetics(read_text, answers)([poster], [PosterRequest(caption)])
    return RULES if read_text else BLIND, result.value, result.why


@opened_once()
def _aesthetics(read_text: bool, answers: str | None) -> Reward:
    return open_reward("aesthetics", read_text=read_text, cache=answers)


def aesthetics_by_model(poster: Image.Image, caption: str, source: str, device: str = "cpu") -> tuple[str, float, str]:
    """A CLIP-like model's name, its cosine in [-1, 1] between poster and caption, and no reason."""
    model = open_image_text_model(source, device)
    return model.name, model.score([poster], [caption])[0], ""


@opened_once(1)
def open_image_text_model(source: str, device: str = "cpu") -> ImageTextModel:
    """A CLIP-like model by its folder or hub id."""
    from posterkit.rewards.models.image_text import ImageTextModel  # torch takes seconds, and rules do without

    return ImageTextModel(source, device)
