"""PosterOmni's task distillation: one student learns the velocities of two experts (PosterOmni section 3.3)."""

# pyright: standard
from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import Tensor

from posterkit.tasks import TASKS
from posterkit.training.losses.flow import velocity_error

Group = Literal["local", "global", "text"]


def task_group(task: str) -> Group:
    """The expert that teaches a task: local or global; "text", which nobody teaches, for text-rendering rows.

    Raises:
        ValueError: no such task.
    """
    if task == "text":
        return "text"
    if task not in TASKS:
        raise ValueError(f"task {task!r} is unknown; accepted are text, {', '.join(TASKS)}")
    return TASKS[task].group


def expert_for(tasks: Iterable[str]) -> Literal["local", "global"] | None:
    """The one expert that teaches a micro-batch; None for a text-rendering batch, which follows the data.

    Routing is hard: a sample has the teacher of its task's group and no other, and one teacher pass serves a batch.

    Raises:
        ValueError: the batch mixes groups, is empty, or holds an unknown task.
    """
    groups: set[Group] = {task_group(task) for task in tasks}
    if len(groups) != 1:
        raise ValueError(f"a micro-batch has one teacher, its tasks are of {sorted(groups) or 'no group'}")
    (group,) = groups
    return None if group == "text" else group


def distillation_loss(v: Tensor, teacher: Tensor, strength: float = 1.0) -> Tensor:
    """The student's distance from its expert at the same noisy data, time and condition.

    lambda E|v_student - v_expert|^2, the second term of PosterOmni's distillation. The first, E|v_t - v_student|^2, is
    `flow_matching_loss` on text-rendering batches alone: the paper's ablation has distillation without it (row iv) and
    with it (row v).

    Args:
        v, teacher: velocity, `(B, S, C)`, any float dtype; the loss is computed in float32. No gradient reaches the
            teacher.
        strength: lambda, 1 in the paper.

    Returns:
        Scalar, mean over batch, tokens and channels.

    Raises:
        ValueError: shapes differ.
    """
    return strength * velocity_error(v, teacher.detach()).mean()


@torch.no_grad()
def guided_velocity(teacher: Any, batch: dict[str, Tensor], x: Tensor, t: Tensor, g: Tensor) -> Tensor:
    """A teacher's velocity with classifier-free guidance, v_empty + g (v_prompt - v_empty), `(B, S, C)`.

    A model that takes g as an input and learns this velocity needs one forward pass where guidance needs two, as
    FLUX.1-dev does.

    Args:
        teacher: an adapter that does not train.
        batch: what its `encode` takes.
        x, t: noisy tokens `(B, S, C)` and times `(B,)`.
        g: guidance scales, `(B,)`.
    """
    prompted = teacher.velocity(x, t, teacher.encode(batch)[1])
    empty = teacher.velocity(x, t, teacher.encode(batch, torch.ones_like(g, dtype=torch.bool))[1])
    return empty + g[:, None, None] * (prompted - empty)
