"""Training adapters, one for each model family: encode, add noise, predict, save."""

from posterkit.training.adapters.adapter import KEEPS, Adapter, Conditioning, ConditioningT, Encoded, Keep

__all__ = ["KEEPS", "Adapter", "Conditioning", "ConditioningT", "Encoded", "Keep"]
