"""What a stage needs to know of a model family: encode, noise, predict, save. One adapter each."""

from posterkit.training.adapters.adapter import Adapter, Condition, ConditionT, Encoded

__all__ = ["Adapter", "Condition", "ConditionT", "Encoded"]
