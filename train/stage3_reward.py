"""Stage 3: learn from rewards (PosterCraft section 3.3, PosterOmni section 3.5).

    accelerate launch train/stage3_reward.py --config configs/mini/stage3_reward.yaml objective=nft    # or dpo, grpo

The stage before this one is the reference: its weights are frozen, and a LoRA on them, the policy, learns. In each
epoch K posters are drawn for each prompt, a reward scores them, and they are compared within their group of K.
`objective` says who draws and what is learnt:

    nft   PosterOmni's Omni-Edit RL, DiffusionNFT. An old policy draws; r is how good a poster is in its group:
          L = E (c / beta) [r l(v+) + (1 - r) l(v-)] + kl |v - v_ref|^2,  v+ = beta v + (1 - beta) v_old
    dpo   PosterCraft's best-of-n. The reference draws; the best of a group is chosen, the worst rejected:
          L = -log sigmoid(-(beta / 2) [(e_w - e_w_ref) - (e_l - e_l_ref)]),  e = |v - (noise - x_0)|^2
    grpo  Flow-GRPO, the baseline. The policy draws in random steps and learns which of them raised the reward:
          L = -min(ratio A, clip(ratio) A) + kl KL(step | step_ref)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import Literal

from torch import Generator, Tensor

from posterkit.pipelines.registry import family_named
from posterkit.rewards.service.pool import RewardPool
from posterkit.training import losses, rl
from posterkit.training.config import NotNegative, parse_config
from posterkit.training.errors import setting_up
from posterkit.training.loading.batches import Batch, encoded_batches
from posterkit.training.loading.paired import open_pairs, pair_batches
from posterkit.training.loading.sets import Posters, open_set
from posterkit.training.lora import Trainable
from posterkit.training.monitor.sampling import SampleSheet
from posterkit.training.run import Run
from posterkit.training.stages import StageConfig, open_stage
from posterkit.training.strategies import build_strategy


@dataclass
class RewardConfig(StageConfig):
    """
    Attributes:
        objective: nft, dpo or grpo; each has a part of its own in the config.
        family: of the checkpoint in `init_from`.
        reward: what scores posters.
        rollouts: how posters are drawn. `accumulation` follows from it, but with pairs from disk.
        learning_rate: 0 takes that of the objective.
    """

    objective: Literal["nft", "dpo", "grpo"] = "nft"
    family: str = "posteromni"
    reward: rl.RewardSource = field(default_factory=rl.RewardSource)
    rollouts: rl.RolloutConfig = field(default_factory=rl.RolloutConfig)
    nft: rl.NFTConfig = field(default_factory=rl.NFTConfig)
    dpo: rl.DPOConfig = field(default_factory=rl.DPOConfig)
    grpo: rl.GRPOConfig = field(default_factory=rl.GRPOConfig)
    trainable: Trainable = field(default_factory=lambda: Trainable("lora", rank=32, alpha=64))
    learning_rate: NotNegative = 0.0

    def check(self) -> None:
        super().check()
        self.learning_rate = self.learning_rate or getattr(self, self.objective).learning_rate
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
        passes = self.rollouts.passes_a_step(self.objective == "dpo", self.batch_size)
        if self.accumulation not in (1, passes):
            raise ValueError(f"accumulation follows from rollouts, here {passes}; got {self.accumulation}")
        self.accumulation = passes

    @property
    def tasks(self) -> tuple[str, ...]:
        return tuple(self.data.tasks or family_named(self.family).tasks)


Loss = tuple[Tensor, dict[str, float]]

# who draws the posters of an epoch, and how
SAMPLE: dict[str, Callable[[RewardConfig, rl.Policy, rl.Rollout, Generator], rl.Trajectory]] = {
    "nft": lambda config, policy, start, _: rl.sample_ode(policy.old_velocity, start),
    "dpo": lambda config, policy, start, _: rl.sample_ode(policy.reference_velocity, start),
    "grpo": lambda config, policy, start, random: rl.sample_sde(policy.old_velocity, start, config.grpo.level, random),
}
# old <- decay old + (1 - decay) policy, before every epoch but the first
DECAY: dict[str, Callable[[RewardConfig, int], float]] = {
    "nft": lambda config, step: losses.sampler_decay(step, config.rollouts.decay),
    "grpo": lambda config, step: 0.0,
}


def draw_epoch(
    config: RewardConfig, run: Run, policy: rl.Policy, rewards: RewardPool, requests: rl.Requests,
    prompts: Iterator[Batch], epoch: rl.Epoch,
) -> list[rl.ScoredBatch]:  # fmt: skip
    """Sample, score, compare: the batches that one epoch learns from; none where no group has anything to teach."""
    objective, k, rollouts = config.objective, config.rollouts, []
    if epoch.begins and objective in DECAY:
        policy.update_old(DECAY[objective](config, run.step))
    with policy.sampling(run.device):
        for batch in islice(prompts, k.draws):
            with run.log.working():
                with run.autocast():
                    rollout = rl.start_rollout(policy.model, batch, k, epoch.generator)
                    rollout.trajectory = SAMPLE[objective](config, policy, rollout, epoch.generator)
                rollout.images = rl.decode(policy.model, rollout)
            rollout.scoring = rewards.submit(rollout.images, requests(rollout))  # while the next ones are drawn
            rollouts.append(rollout)
    scores = rl.collect_rewards(run, rollouts, epoch.number)
    pairs = partial(rl.best_and_worst, gap=config.dpo.gap) if objective == "dpo" else None
    advantages = rl.compare_groups(run, scores, k, pairs)
    if not advantages.per_batch:
        return []
    figures = rl.epoch_figures(rollouts, scores, advantages.sides.any(0), k.images)
    return list(rl.policy_batches(rollouts, advantages, k, figures, epoch.generator))


def nft(config: RewardConfig, run: Run, policy: rl.Policy, batch: rl.ScoredBatch) -> Loss:
    x0, t, condition, options = batch.x0, batch.t, batch.condition, config.nft
    x = losses.add_noise(x0, run.noise_like(x0), t)
    r = losses.optimality(batch.advantages, options.clip, options.mode)
    v, v_old = policy.velocity(x, t, condition), policy.old_velocity(x, t, condition)
    v_ref = policy.reference_velocity(x, t, condition)
    return losses.nft_loss(v, v_old, v_ref, x, x0, t, r, options.beta, options.clip, options.kl)


def dpo(config: RewardConfig, run: Run, policy: rl.Policy, batch: rl.PolicyBatch) -> Loss:
    x0, condition, pairs = batch.x0, batch.condition, len(batch.x0) // 2
    shift = policy.model.time_shift(x0, config.time_shift)
    t = losses.sample_time(pairs, run.generator, config.time, shift).to(x0).repeat(2)
    noise = run.noise_like(x0[:pairs]).repeat(2, 1, 1)  # both sides of a pair share time and noise
    x = losses.add_noise(x0, noise, t)
    v, v_ref = policy.velocity(x, t, condition), policy.reference_velocity(x, t, condition)
    return losses.dpo_loss(v, v_ref, noise - x0, config.dpo.beta)


def grpo(config: RewardConfig, run: Run, policy: rl.Policy, batch: rl.ScoredBatch) -> Loss:
    step, t, condition, options = batch.step, batch.t, batch.condition, config.grpo
    assert step is not None
    mean, std = losses.sde_step(step.x, policy.velocity(step.x, t, condition), t, step.dt, options.level)
    log_prob, advantages = losses.step_log_prob(step.next, mean, std), batch.advantages.clamp(-5, 5)
    loss, figures = losses.policy_loss(log_prob, step.log_prob, advantages, options.clip)
    if not options.kl:
        return loss, figures
    reference, _ = losses.sde_step(step.x, policy.reference_velocity(step.x, t, condition), t, step.dt, options.level)
    kl = losses.step_kl(mean, reference, std)
    return loss + options.kl * kl, {**figures, "kl": kl.item()}


LOSS: dict[str, Callable[..., Loss]] = {"nft": nft, "dpo": dpo, "grpo": grpo}


def main() -> None:
    config = parse_config(RewardConfig)
    run = Run(config)
    with setting_up():
        model = open_stage(config, config.family)
        policy = rl.Policy(model, build_strategy(config, model), config.rollouts.guidance)
        if config.objective in DECAY:
            policy.add_old(config.trainable)
        rewards = rl.open_rewards(config.reward, run, config.tasks)
        if config.dpo.pairs:
            posters = open_pairs(replace(config.data, path=config.dpo.pairs))
            batches = pair_batches(posters, model, run, config.data)
        else:
            posters = open_set(config.data, run, Posters(config.data, config.tasks))
            prompts = encoded_batches(posters, model, run, config.data)
            draw = partial(draw_epoch, config, run, policy, rewards, rl.requests_of(posters))
            settings = ["rollouts.images", "rollouts.least_std", *(["dpo.gap"] if config.objective == "dpo" else [])]
            batches = rl.EpochLoader(run, prompts, config.rollouts, draw, settings)
    sheet = SampleSheet(model, run, posters, rl.RewardWatch(run, rewards))

    for batch in run.steps(model, batches, policy.strategy, sheet):
        with run.autocast():
            if not isinstance(batch, rl.PolicyBatch):  # of pairs from disk
                batch = rl.PolicyBatch(batch, *model.encode(batch))
            loss, figures = LOSS[config.objective](config, run, policy, batch)
        run.backward(loss * batch.share, **batch.figures, **figures)

    run.finish(model)


if __name__ == "__main__":
    main()
