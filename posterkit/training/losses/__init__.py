"""Objectives as pure functions with shapes."""

from posterkit.training.losses.flow import flow_matching_loss, sample_time, shift_time
from posterkit.training.losses.reconstruction import reconstruction_loss

__all__ = ["flow_matching_loss", "reconstruction_loss", "sample_time", "shift_time"]
