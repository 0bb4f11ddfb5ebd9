"""What a poster is worth: rewards for training, for choosing the best of several, and for knowing what cheats pay."""

from posterkit.rewards.opening import open_reward
from posterkit.rewards.reward import Reward, RewardResult

__all__ = ["Reward", "RewardResult", "open_reward"]
