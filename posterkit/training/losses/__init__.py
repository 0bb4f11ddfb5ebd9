"""Objectives as pure functions with shapes."""

from posterkit.training.losses.flow import flow_matching_loss, sample_time, shift_time
from posterkit.training.losses.reconstruction import color_anchor, reconstruction_loss

__all__ = ["color_anchor", "flow_matching_loss", "reconstruction_loss", "sample_time", "shift_time"]
