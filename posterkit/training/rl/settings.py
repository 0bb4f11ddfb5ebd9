"""Settings of learning from rewards: the three objectives, how posters are drawn, what scores them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from posterkit.rewards.reliability import JudgeBound
from posterkit.rewards.specs import RULES
from posterkit.training.config import Count, CountOr0, NotNegative, Positive, Several, Share, check_ranges
from posterkit.training.losses.nft import Mode


@dataclass
class NFTConfig:
    """
    Attributes:
        beta: how far the implicit policies v+ and v- lie from the old one; a smaller one guides more strongly.
        clip: c, advantages are clipped to [-c, c].
        kl: weight of the distance from the reference.
        mode: how advantages become optimality, see `optimality`.
        learning_rate: where the config has none for all objectives.
    """

    beta: Positive = 1.0
    clip: Positive = 5.0
    kl: NotNegative = 1e-4
    mode: Mode = "all"
    learning_rate: Positive = 3e-4


@dataclass
class DPOConfig:
    """
    Attributes:
        pairs: a set of preference pairs by data_tools/mine_preferences.py; null draws posters with the reference.
        beta: how far the policy may leave its reference, the smaller the farther; for errors that are means.
        gap: the rewards of a drawn pair differ by more than this.
        learning_rate: where the config has none for all objectives.
    """

    pairs: str | None = None
    beta: Positive = 100.0
    gap: NotNegative = 0.025
    learning_rate: Positive = 1e-4


@dataclass
class GRPOConfig:
    """
    Attributes:
        clip: the likelihood ratio is clipped to 1 - clip and 1 + clip; likelihoods are means over elements.
        kl: weight of the divergence from the reference's steps. Flow-GRPO's code leaves the step's length |dt| out of
            the divergence, so that its beta becomes beta |dt| here: about beta / `rollouts.steps`.
        level: of the noise of the sampler's random steps.
        learning_rate: where the config has none for all objectives.
    """

    clip: Positive = 1e-4
    kl: NotNegative = 0.0
    level: Positive = 0.7
    learning_rate: Positive = 1e-4


@dataclass
class RolloutConfig:
    """How posters are drawn while the model learns, `batch_size` prompts at a time.

    Attributes:
        images: K, posters for each prompt; a forward pass holds `batch_size` times K.
        micro_batch: posters that a forward pass of learning holds at the most; null for all of a batch.
        draws: batches of prompts in an epoch, all drawn by one policy.
        updates: optimiser steps that learn from an epoch; `draws` is a multiple of it.
        guidance: the scale given to a guidance-distilled transformer, in drawing and in learning; null for others.
        decay: how slowly the old policy follows the current one, see `sampler_decay`: 0 copies it, 1 and 2 as
            published.
        global_std: advantages are divided by the spread of all rewards of an epoch, else by each group's own.
        least_std, most_mean: a group whose rewards spread less and whose mean is higher is left out; one whose rewards
            are all equal always is.
        strict: either of the two is reason enough.
    """

    images: Several = 8
    micro_batch: Count | None = None
    draws: Count = 4
    updates: Count = 1
    steps: Several = 6
    guidance: NotNegative | None = None
    decay: Literal[0, 1, 2] = 1
    global_std: bool = True
    least_std: NotNegative = 0.05
    most_mean: NotNegative = 0.9
    strict: bool = False

    def check(self) -> None:
        """Raise ValueError for values that cannot work."""
        check_ranges(self, "rollouts.")
        if self.draws % self.updates:
            raise ValueError(
                f"rollouts.draws must be a multiple of rollouts.updates, got {self.draws} and {self.updates}"
            )

    @property
    def passes(self) -> int:
        """Forward passes that learn from each poster: 99 of a hundred of the sampler's times, as published."""
        return max(1, int(0.99 * self.steps))

    def parts(self, pairs: bool, posters: int) -> int:
        """Forward passes that a batch of drawn posters, or the best and the worst of its groups, goes through in."""
        learnt = 2 * posters // self.images if pairs else posters
        return -(-learnt // self.micro_batch) if self.micro_batch else 1

    def passes_a_step(self, pairs: bool, prompts: int) -> int:
        """Forward passes in one optimiser step, for so many prompts at a time."""
        return self.draws // self.updates * self.passes * self.parts(pairs, prompts * self.images)


@dataclass
class AnswerConfig:
    """How a language model's answers are drawn while it learns.

    Attributes:
        each: K, answers to each question.
        tokens: of an answer at the most; one that is cut has no end.
        temperature: divides the logits, in drawing and in learning.
        top_p: only the likeliest tokens, which together have so much probability, are drawn.
        micro_batch: answers that a forward pass of learning holds at the most; null for all of a step.
    """

    each: Several = 8
    tokens: Count = 256
    temperature: Positive = 1.0
    top_p: Share = 1.0
    micro_batch: Count | None = None

    def check(self) -> None:
        """Raise ValueError for values that cannot work."""
        check_ranges(self, "answers.")


@dataclass
class RewardSource:
    """
    Attributes:
        source: a reward's spec, see `posterkit.rewards.specs.open_reward`: rules, a sum of parts such as
            text:0.6+aesthetics:0.4, a YAML file of weights for each task, a model's folder, an endpoint, or
            reward+http://host:port.
        sources: of parts that a model scores in place of the rules.
        model: its name at an endpoint.
        device: where models run.
        fast: OCR at its fast setting.
        cache: a folder that keeps scores; null keeps none, since no poster is drawn twice.
        workers: processes that score while the next posters are drawn; 0 scores in this one.
        limit: seconds that one poster may take.
        tolerated: share of the last posters whose reward may fail; beyond it the run stops.
        judge: how far a model that scores may have been moved by suggestions, in `posterkit bench judge`.
    """

    source: str = RULES
    sources: dict[str, str] = field(default_factory=dict)
    model: str | None = None
    device: str = "cpu"
    fast: bool = False
    cache: str | None = None
    workers: CountOr0 = 1
    limit: Positive = 60.0
    tolerated: Share = 0.1
    judge: JudgeBound = field(default_factory=JudgeBound)

    def check(self) -> None:
        """Raise ValueError for values that cannot work."""
        check_ranges(self, "reward.")
        if not re.fullmatch(r"cpu|mps|cuda(:\d+)?", self.device):
            raise ValueError(f"reward.device is {self.device!r}; accepted: cpu, cuda, cuda:1, mps")
