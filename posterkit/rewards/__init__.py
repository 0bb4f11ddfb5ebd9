"""Rewards: scores of posters, for training, for the best of several and for data filters."""

from posterkit.rewards.reward import Reward, RewardError, RewardResult
from posterkit.rewards.specs import open_reward

__all__ = ["Reward", "RewardError", "RewardResult", "open_reward"]
