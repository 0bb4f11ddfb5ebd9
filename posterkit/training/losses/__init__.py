"""Objectives as pure functions with shapes."""

# pyright: standard
from posterkit.training.losses.distillation import distillation_loss, expert_for, guided_velocity, task_group
from posterkit.training.losses.flow import (
    add_noise,
    flow_matching_loss,
    region_weighted_flow_loss,
    sample_time,
    shift_time,
)
from posterkit.training.losses.grpo import policy_loss, sde_step, step_kl, step_log_prob, token_policy_loss
from posterkit.training.losses.harm import harm_loss
from posterkit.training.losses.nft import group_advantages, kept_groups, nft_loss, optimality, sampler_decay
from posterkit.training.losses.preference import answer_dpo_loss, bradley_terry_loss, dpo_loss
from posterkit.training.losses.reconstruction import color_anchor, reconstruction_loss
from posterkit.training.losses.rubric import rubric_loss

__all__ = [
    "add_noise", "answer_dpo_loss", "bradley_terry_loss", "color_anchor", "distillation_loss", "dpo_loss",
    "expert_for", "flow_matching_loss", "group_advantages", "guided_velocity", "harm_loss", "kept_groups",
    "nft_loss", "optimality", "policy_loss", "reconstruction_loss", "region_weighted_flow_loss", "rubric_loss",
    "sample_time", "sampler_decay", "sde_step", "shift_time", "step_kl", "step_log_prob", "task_group",
    "token_policy_loss",
]  # fmt: skip
