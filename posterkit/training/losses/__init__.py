"""Objectives as pure functions with shapes."""

from posterkit.training.losses.distillation import (
    distillation_loss,
    expert_for,
    guided_velocity,
    task_group,
)
from posterkit.training.losses.flow import (
    add_noise,
    flow_matching_loss,
    region_weighted_flow_loss,
    sample_time,
    shift_for,
    shift_time,
)
from posterkit.training.losses.reconstruction import color_anchor, reconstruction_loss

__all__ = [
    "add_noise", "color_anchor", "distillation_loss", "expert_for", "flow_matching_loss", "guided_velocity",
    "reconstruction_loss", "region_weighted_flow_loss", "sample_time", "shift_for", "shift_time", "task_group",
]  # fmt: skip
