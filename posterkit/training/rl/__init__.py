"""Reinforcement learning from rewards: the policies, samplers, advantages, the reward pool and exact resume."""

from posterkit.training.rl.advantages import (
    Epoch,
    EpochLoader,
    PolicyBatch,
    ScoredBatch,
    best_and_worst,
    compare_groups,
    policy_batches,
)  # fmt: skip
from posterkit.training.rl.answer_rewards import AnswerLog, check_uplift, reward_figures, score_answers
from posterkit.training.rl.samplers import Policy, Rollout, Trajectory, decode, sample_ode, sample_sde, start_rollout
from posterkit.training.rl.scoring import (
    Requests,
    RewardWatch,
    collect_rewards,
    epoch_figures,
    open_rewards,
    requests_of,
)  # fmt: skip
from posterkit.training.rl.settings import AnswerConfig, DPOConfig, GRPOConfig, NFTConfig, RewardSource, RolloutConfig

__all__ = [
    "AnswerConfig", "AnswerLog", "DPOConfig", "Epoch", "EpochLoader", "GRPOConfig", "NFTConfig", "Policy",
    "PolicyBatch", "Requests", "RewardSource", "RewardWatch", "Rollout", "RolloutConfig", "ScoredBatch", "Trajectory",
    "best_and_worst", "check_uplift", "collect_rewards", "compare_groups", "decode", "epoch_figures", "open_rewards",
    "policy_batches", "requests_of", "reward_figures", "sample_ode", "sample_sde", "score_answers", "start_rollout",
]  # fmt: skip
