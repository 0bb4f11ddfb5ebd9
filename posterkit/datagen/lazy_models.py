"""Models by their address, for steps that are pickled into worker processes: each process opens its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from PIL import Image

from posterkit.critic.critic import Critic
from posterkit.critic.opening import open_critic
from posterkit.llm.once import opened_once

if TYPE_CHECKING:
    from posterkit.critic.rules import RulesCritic
    from posterkit.rewards.models.image_text import ImageTextModel


@dataclass(frozen=True)
class LazyCritic:
    """A critic by its address, see `posterkit.critic.opening.open_critic`."""

    source: str
    model: str | None = None
    device: str = "cpu"
    answers: str | None = None

    def open(self) -> Critic:
        return open_critic(self.source, model=self.model, device=self.device, cache=self.answers)


@dataclass(frozen=True)
class RulesAesthetics:
    """The aesthetic score of the rules alone: that of `Critic.score`, without the time for content and text."""

    judge: LazyCritic  # rules

    def aesthetics(self, poster: Image.Image, caption: str) -> tuple[str, float, str]:
        """The scorer's name, the score in [0, 1], and its weakest part; the caption does not matter."""
        judge = cast("RulesCritic", self.judge.open())
        looks = judge.looks(poster)
        part, value = min(looks.parts().items(), key=lambda part: part[1])
        return judge.name, looks.aesthetics, f"weakest in {part} ({value:.2f})"


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
