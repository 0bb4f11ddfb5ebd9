"""Models by their address, for steps that are pickled into worker processes: each process opens its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image

from posterkit.critic import BLIND, RULES, Critic, open_critic
from posterkit.llm.open_model import open_vision_language_model, opened_once
from posterkit.prompts import quoted_texts
from posterkit.rewards import Reward, RewardResult, open_reward
from posterkit.schema import PosterRequest

if TYPE_CHECKING:
    from posterkit.rewards.models.image_text import ImageTextModel


# the same three questions as to a vision-language model
_BY_RULES = {RULES: "text+aesthetics+agreement", BLIND: "aesthetics+agreement"}


@dataclass(frozen=True)
class LazyCritic:
    """A critic by its address, see `posterkit.critic.open_critic`."""

    source: str
    model: str | None = None
    device: str = "cpu"
    answers: str | None = None

    def open(self) -> Critic:
        return open_critic(self.source, model=self.model, device=self.device, cache=self.answers)

    def reward(self) -> LazyReward:
        """The reward by the same rules or model."""
        return LazyReward(self)


@dataclass(frozen=True)
class LazyReward:
    """The reward of text, aesthetics and agreement with the prompt, by the rules or the model of a critic."""

    critic: LazyCritic

    def open(self) -> Reward:
        return _reward(self.critic)

    def score(self, images: Sequence[Image.Image], prompt: str) -> list[RewardResult]:
        """A result for each poster of one prompt; its parts are among `text`, `aesthetics` and `agreement`."""
        request = PosterRequest(prompt, texts=tuple(quoted_texts(prompt)))
        return self.open()(images, [request] * len(images))


@opened_once()
def _reward(lazy: LazyCritic) -> Reward:
    model = lazy.model
    if lazy.source.startswith(("http://", "https://")) and model is None:  # reward and cache carry the model's name
        model = getattr(open_vision_language_model(lazy.source, None, lazy.device), "model", None)
    return open_reward(
        _BY_RULES.get(lazy.source, lazy.source), model=model, device=lazy.device, cache=lazy.answers,
        read_text=lazy.source != BLIND,
    )  # fmt: skip


@dataclass(frozen=True)
class RulesAesthetics:
    """The aesthetics reward by rules; `answers` is the folder in which a critic by rules keeps the texts it reads."""

    read_text: bool = True
    answers: str | None = None

    def aesthetics(self, poster: Image.Image, caption: str) -> tuple[str, float, str]:
        """The name of the rules, the value in [0, 1], and its weakest part; the caption does not matter."""
        (result,) = _aesthetics(self)([poster], [PosterRequest(caption)])
        return RULES if self.read_text else BLIND, result.value, result.why


@opened_once()
def _aesthetics(lazy: RulesAesthetics) -> Reward:
    return open_reward("aesthetics", read_text=lazy.read_text, cache=lazy.answers)


@dataclass(frozen=True)
class LazyImageTextModel:
    """A CLIP-like model by its folder or hub id."""

    source: str
    device: str = "cpu"

    def open(self) -> ImageTextModel:
        return _clip(self.source, self.device)

    def aesthetics(self, poster: Image.Image, caption: str) -> tuple[str, float, str]:
        """The model's name, the cosine in [-1, 1] between poster and caption, and no reason."""
        model = self.open()
        return model.name, model.score([poster], [caption])[0], ""


@opened_once(1)
def _clip(source: str, device: str) -> ImageTextModel:
    from posterkit.rewards.models.image_text import ImageTextModel  # torch takes seconds, and rules do without

    return ImageTextModel(source, device)
