"""Stage 3: learn from what posters are worth (PosterCraft section 3.3, PosterOmni section 3.5).

    accelerate launch train/stage3_reward.py --config configs/mini/stage3_reward.yaml objective=nft    # or dpo, grpo

The former stage is the reference: its weights are frozen, and a LoRA on them learns. In each epoch a sampler draws K
posters for each prompt, and a reward says what each is worth. What is learnt from that, by `objective`:

    nft   PosterOmni's Omni-Edit RL, DiffusionNFT. A slow copy of the LoRA draws; r is how good a poster is in its
          group:  L = E (c / beta) [r l(v+) + (1 - r) l(v-)] + kl |v - v_ref|^2,  v+ = beta v + (1 - beta) v_old
    dpo   PosterCraft's best-of-n. The reference draws; the best of a group is chosen, the worst rejected:
          L = -log sigmoid(-(beta / 2) [(e_w - e_w_ref) - (e_l - e_l_ref)]),  e = |v - (noise - x_0)|^2
    grpo  Flow-GRPO, the baseline. The model draws in random steps and is told which were worth it:
          L = -min(ratio A, clip(ratio) A) + kl KL(step | step_ref)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Literal

from torch import Tensor

from posterkit.pipelines.registry import family_named
from posterkit.training.config import parse_config
from posterkit.training.errors import setting_up
from posterkit.training.loading.batches import encoded_batches
from posterkit.training.loading.pairs import open_pairs, pair_batches
from posterkit.training.loading.sets import Posters, open_set
from posterkit.training.lora import Trainable, add_follower
from posterkit.training.losses import add_noise, dpo_loss, nft_loss, optimality, policy_loss, sample_time
from posterkit.training.losses.grpo import sde_step, step_kl, step_log_prob
from posterkit.training.monitor.sampling import SampleSheet
from posterkit.training.rl.epochs import Rollouts
from posterkit.training.rl.groups import PolicyBatch, Rollout, RolloutConfig
from posterkit.training.rl.scoring import RewardSource, open_rewards
from posterkit.training.rl.stored import StoredPairs
from posterkit.training.rl.velocities import OLD, Velocities
from posterkit.training.rl.watch import Watch
from posterkit.training.run import Run
from posterkit.training.stages import StageConfig, open_stage
from posterkit.training.strategies import build_strategy


@dataclass
class NFTConfig:
    """
    Attributes:
        beta: how strongly the model is told apart from its sampler; a smaller one guides more strongly.
        clip: c, advantages are held within [-c, c].
        kl: weight of the distance from the reference.
        mode: what becomes of advantages, see `optimality`.
    """

    beta: float = 1.0
    clip: float = 5.0
    kl: float = 1e-4
    mode: Literal["all", "positive_only", "negative_only", "one_only", "binary"] = "all"


@dataclass
class DPOConfig:
    """
    Attributes:
        pairs: a set that data_tools/mine_preferences.py wrote, whose posters the reference drew; null draws them here.
        beta: how far the model may leave its reference, the smaller the farther; for errors that are means.
        gap: best and worst of a group that is drawn here differ by more than this.
    """

    pairs: str | None = None
    beta: float = 100.0
    gap: float = 0.025


@dataclass
class GRPOConfig:
    """
    Attributes:
        clip: the ratio of likelihoods is held within 1 - clip and 1 + clip; likelihoods are means over elements.
        kl: weight of the divergence from the reference's steps.
        level: of the noise of random steps.
    """

    clip: float = 1e-4
    kl: float = 0.0
    level: float = 0.7


@dataclass
class RewardConfig(StageConfig):
    """
    Attributes:
        objective: nft, dpo or grpo; each has a part of its own in the config.
        family: what `init_from` is a checkpoint of.
        reward: what posters are worth.
        rollouts: how posters are drawn. `accumulation` follows from it, but with pairs from disk.
    """

    objective: Literal["nft", "dpo", "grpo"] = "nft"
    family: str = "posteromni"
    reward: RewardSource = field(default_factory=RewardSource)
    rollouts: RolloutConfig = field(default_factory=RolloutConfig)
    nft: NFTConfig = field(default_factory=NFTConfig)
    dpo: DPOConfig = field(default_factory=DPOConfig)
    grpo: GRPOConfig = field(default_factory=GRPOConfig)
    trainable: Trainable = field(default_factory=lambda: Trainable("lora", rank=32, alpha=64))

    def check(self) -> None:
        super().check()
        self.reward.check()
        self.rollouts.check()
        for key in ("nft.beta", "nft.clip", "dpo.beta", "grpo.clip", "grpo.level", "nft.kl", "dpo.gap", "grpo.kl"):
            value, may_be_0 = attrgetter(key)(self), key.endswith(("kl", "gap"))
            if value < 0 or (value == 0 and not may_be_0):
                raise ValueError(f"{key} must be {'at least' if may_be_0 else 'above'} 0, got {value}")
        if self.trainable.weights == "full":
            raise ValueError("trainable.weights is full; the reference is the model without its lora or dora")
        if self.strategy == "lopt":
            raise ValueError("strategy is lopt, whose first half learns from data; accepted: end_to_end, frozen_half")
        if not family_named(self.family).distilled_guidance and self.rollouts.guidance is not None:
            raise ValueError(f"rollouts.guidance is for guidance-distilled models; {self.family} takes null")
        if self.dpo.pairs and self.objective != "dpo":
            raise ValueError(f"dpo.pairs is for objective=dpo; {self.objective} draws its own posters")
        if self.dpo.pairs:
            return
        if self.accumulation not in (1, passes := self.rollouts.passes_a_step):
            raise ValueError(f"accumulation follows from rollouts, here {passes}; got {self.accumulation}")
        self.accumulation = passes

    @property
    def tasks(self) -> tuple[str, ...]:
        return tuple(self.data.tasks or family_named(self.family).tasks)


Loss = tuple[Tensor, dict[str, float]]


def nft(config: RewardConfig, run: Run, rollout: Rollout, v: Velocities) -> Loss:
    x0, t, condition, options = rollout.x0, rollout.t, rollout.condition, config.nft
    x = add_noise(x0, run.noise_like(x0), t)
    r = optimality(rollout.advantages, options.clip, options.mode)
    velocities = v.policy(x, t, condition), v.old(x, t, condition), v.reference(x, t, condition)
    return nft_loss(*velocities, x, x0, t, r, options.beta, options.clip, options.kl)


def dpo(config: RewardConfig, run: Run, lesson: PolicyBatch, v: Velocities) -> Loss:
    x0, condition, pairs = lesson.x0, lesson.condition, len(lesson.x0) // 2
    t = sample_time(pairs, run.generator, config.time, config.time_shift).to(x0).repeat(2)
    noise = run.noise_like(x0[:pairs]).repeat(2, 1, 1)  # both sides of a pair share time and noise
    x = add_noise(x0, noise, t)
    return dpo_loss(v.policy(x, t, condition), v.reference(x, t, condition), noise - x0, config.dpo.beta)


def grpo(config: RewardConfig, run: Run, rollout: Rollout, v: Velocities) -> Loss:
    step, t, condition, options = rollout.step, rollout.t, rollout.condition, config.grpo
    assert step is not None
    mean, std = sde_step(step.x, v.policy(step.x, t, condition), t, step.dt, options.level)
    loss, figures = policy_loss(
        step_log_prob(step.next, mean, std), step.log_prob, rollout.advantages.clamp(-5, 5), options.clip
    )
    if not options.kl:
        return loss, figures
    reference, _ = sde_step(step.x, v.reference(step.x, t, condition), t, step.dt, options.level)
    far = step_kl(mean, reference, std)
    return loss + options.kl * far, {**figures, "kl": far.item()}


OBJECTIVES: dict[str, Callable[..., Loss]] = {"nft": nft, "dpo": dpo, "grpo": grpo}


def main() -> None:
    config = parse_config(RewardConfig)
    run = Run(config)
    with setting_up():
        model = open_stage(config, config.family)
        if config.objective != "dpo":
            add_follower(model.parts["transformer"], OLD, "default", config.trainable)
        rewards, strategy = open_rewards(config.reward, run, config.tasks), build_strategy(config, model)
        v = Velocities(model, strategy, config.rollouts.guidance)
        if config.dpo.pairs:
            posters = open_pairs(replace(config.data, path=config.dpo.pairs))
            lessons = StoredPairs(run, model, pair_batches(posters, model, run, config.data))
        else:
            posters = open_set(config.data, run, Posters(config.data, config.tasks))
            prompts = encoded_batches(posters, model, run, config.data)
            how = {"nft": {}, "dpo": {"sampler": None, "gap": config.dpo.gap}, "grpo": {"level": config.grpo.level}}
            lessons = Rollouts(config.rollouts, run, model, posters, prompts, rewards, v, **how[config.objective])
    sheet = SampleSheet(model, run, posters, Watch(run, rewards))

    for lesson in run.steps(model, lessons, strategy, sheet):
        with run.autocast():
            loss, figures = OBJECTIVES[config.objective](config, run, lesson, v)
        run.backward(loss * lesson.share, **lesson.figures, **figures)

    run.finish(model)


if __name__ == "__main__":
    main()
