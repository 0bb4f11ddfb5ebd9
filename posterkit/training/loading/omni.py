"""What PosterOmni's stages of fine-tuning have in common: posters of some tasks, rendered text between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from posterkit.training.adapters import Adapter
from posterkit.training.loading.batches import encoded_batches
from posterkit.training.loading.prefetch import Mixture
from posterkit.training.loading.sets import Posters, PosterSet, SetConfig, TextOnArt, open_set
from posterkit.training.lora import Trainable
from posterkit.training.protocols import Loader
from posterkit.training.run import Run
from posterkit.training.stages import StageConfig


@dataclass
class OmniConfig(StageConfig):
    """
    Attributes:
        text: the set of rendered text that is mixed in; null for its path draws text over procedural art.
        text_share: of the micro-batches that are of rendered text, spread evenly between those of the tasks.
    """

    trainable: Trainable = field(default_factory=lambda: Trainable("lora"))
    text: SetConfig = field(default_factory=SetConfig)
    text_share: float = 0.2

    def check(self) -> None:
        super().check()
        self.text.check()
        if self.trainable.weights == "full":
            raise ValueError("trainable.weights is full; PosterOmni's experts and their student are lora or dora")
        if not 0 <= self.text_share < 1:
            raise ValueError(f"text_share must lie in [0, 1), got {self.text_share}")


def omni_batches(config: OmniConfig, tasks: Sequence[str], model: Adapter, run: Run) -> tuple[PosterSet, Loader]:
    """The posters of some tasks, all drawn alike often, and batches of them with rendered text between.

    Raises:
        FileNotFoundError: there is no set.
        ValueError: it holds nothing of a task, or no batch can be filled; or `config.data.tasks` names another task.
    """
    chosen = config.data.tasks or list(tasks)
    if foreign := [task for task in chosen if task not in tasks]:
        raise ValueError(f"data.tasks holds {', '.join(foreign)}; this run learns {', '.join(tasks)}")
    posters = open_set(replace(config.data, tasks=chosen), run, Posters(config.data, tuple(chosen)))
    if missing := sorted(set(chosen) - {row["task"] for row in posters.train.rows}):
        raise ValueError(f"{posters.train.index}: holds no sample of {', '.join(missing)}; see data.tasks")
    batches = encoded_batches(posters, model, run, config.data)
    if not config.text_share:
        return posters, batches
    text = open_set(replace(config.text, tasks=["text"]), run, TextOnArt(config.text), name="text")
    return posters, Mixture(batches, encoded_batches(text, model, run, config.text, name="text"), config.text_share)
