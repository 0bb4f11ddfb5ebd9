"""What both pipelines share: their output, the way from noise to a picture, the properties that diffusers has."""

from __future__ import annotations

import functools
import json
import math
import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from diffusers import DiffusionPipeline
from diffusers.image_processor import VaeImageProcessor
from diffusers.pipelines.flux.pipeline_flux import calculate_shift, retrieve_timesteps
from diffusers.utils import BaseOutput
from PIL import Image
from torch import Tensor

from posterkit.pipelines.checks import Sampling, check_finite, check_savable
from posterkit.sizing import Size

_LOCKS: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()
_LOCKS_LOCK = threading.Lock()


def one_at_a_time(call: Callable[..., Any]) -> Callable[..., Any]:
    """Let calls of several threads that share a scheduler, whose times and steps are a call's own, wait in turn."""

    @functools.wraps(call)
    def queued(self: PosterPipeline, *args: Any, **kwargs: Any) -> Any:
        with _LOCKS_LOCK:
            lock = _LOCKS.setdefault(self.scheduler, threading.RLock())  # a callback may call the pipeline again
        with lock:
            return call(self, *args, **kwargs)

    return queued


@dataclass
class PosterPipelineOutput(BaseOutput):
    """Posters, in the order of the inputs; the images of one prompt stand together.

    Attributes:
        images: a list of RGB PIL images for `output_type="pil"`; for "pt" a float tensor `(B, 3, H, W)` in [0, 1], for
            "np" a float array `(B, H, W, 3)` in [0, 1], for "latent" a packed tensor `(B, S, C)`. Where the posters
            of one call differ in size, the last three are lists of such arrays without their first axis.
        parameters: for each image what was really used to make it (task, instruction, size, steps, guidance, ...),
            so that two runs can be compared; plain JSON values.
    """

    images: list[Image.Image] | np.ndarray | torch.Tensor | list[np.ndarray] | list[torch.Tensor]
    parameters: list[dict[str, Any]] = field(default_factory=list)


class PosterPipeline(DiffusionPipeline):
    """A flow-matching pipeline over patch tokens; its config holds the checkpoint's own defaults."""

    scheduler: Any
    vae: Any
    text_encoder: Any
    tokenizer: Any
    transformer: Any
    image_processor: VaeImageProcessor
    vae_scale_factor: int
    patch: int  # pixels a patch token is wide: the grid of sizes
    _callback_tensor_inputs: ClassVar[list[str]] = ["latents", "prompt_embeds"]

    def save_pretrained(self, save_directory: Any, *args: Any, **kwargs: Any) -> None:
        """Save as every diffusers pipeline does; ValueError while the transformer is quantised or has a LoRA."""
        check_savable(self.transformer)
        super().save_pretrained(save_directory, *args, **kwargs)

    def stock_class(self) -> str:
        """The diffusers pipeline that opens what this one saves."""
        raise NotImplementedError

    def to_json_string(self) -> str:
        """The config as it is saved; it names the stock class, so that diffusers finds it by itself."""
        found = json.loads(super().to_json_string()) | {"_class_name": self.stock_class()}
        return json.dumps(found, indent=2, sort_keys=True) + "\n"

    @property
    def guidance_scale(self) -> float | None:
        return self._guidance_scale

    @property
    def num_timesteps(self) -> int:
        return self._num_timesteps

    @property
    def current_timestep(self) -> Tensor | None:
        return self._current_timestep

    @property
    def interrupt(self) -> bool:
        return self._interrupt

    def prepare_timesteps(self, size: Size, sampling: Sampling, device: torch.device | str) -> Tensor:
        """Set the scheduler for a poster of `size` (larger ones stay noisy longer) and return its timesteps.

        References and drafts do not count, and a run that paints over a picture begins later.
        """
        tokens = size.area // self.patch**2
        timesteps = set_timesteps(self.scheduler, sampling.steps, tokens, device, sampling.sigmas)
        start = sampling.skipped * self.scheduler.order
        self.scheduler.set_begin_index(start)  # looking the first timestep up would wait for the device
        return timesteps[start:]

    def denoise(
        self,
        velocity: Callable[[Tensor, Tensor, Tensor], Tensor],
        latents: Tensor,
        prompt_embeds: Tensor,
        timesteps: Tensor,
        progress_bar: Any,
        callback_on_step_end: Callable[..., dict[str, Any]] | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
    ) -> Tensor:
        """Follow the velocity of tokens, a timestep and the prompt's embeddings from noise `(B, S, 4 C)` to latents.

        The callback gets the pipeline, the step, the timestep and the tensors that it asked for, and returns what to
        put in their place.
        """
        self._num_timesteps = len(timesteps)
        for step, timestep in enumerate(timesteps):
            if self.interrupt:
                continue
            self._current_timestep = timestep
            predicted = velocity(latents, timestep, prompt_embeds)
            latents = self.scheduler.step(predicted, timestep, latents, return_dict=False)[0].to(latents.dtype)
            if callback_on_step_end is not None:
                tensors = {"latents": latents, "prompt_embeds": prompt_embeds}
                chosen = {name: tensors[name] for name in callback_on_step_end_tensor_inputs}
                changed = callback_on_step_end(self, step, timestep, chosen) or {}
                latents = changed.get("latents", latents)
                prompt_embeds = changed.get("prompt_embeds", prompt_embeds)
            progress_bar.update()
        self._current_timestep = None
        check_finite(latents, "the transformer")
        return latents

    def _own(self, name: str, asked: Any) -> Any:
        """What the call asks for, else what the checkpoint says."""
        return self.config[name] if asked is None else asked


def set_timesteps(
    scheduler: Any, steps: int, tokens: int, device: torch.device | str, sigmas: Sequence[float] | None = None
) -> Tensor:
    """Set a flow-matching scheduler for a poster, as both stock pipelines do it.

    Args:
        tokens: patch tokens of the poster alone, which shift its times towards noise.
        sigmas: unshifted noise levels, falling; None spaces `steps` of them evenly from 1.

    Returns:
        `(steps,)` in [0, 1000]. `scheduler.sigmas` then holds the times in [0, 1], and a last 0.

    Raises:
        ValueError: the last level is pure noise, which a scheduler with `shift_terminal` cannot stretch to its end.
    """
    spaced: Any = np.linspace(1.0, 1 / steps, steps) if sigmas is None else list(sigmas)
    if scheduler.config.get("shift_terminal") and spaced[-1] >= 1:
        raise ValueError(f"{steps} steps: this checkpoint's scheduler needs at least 2 (its shift_terminal is "
                         f"{scheduler.config['shift_terminal']:g})")  # fmt: skip
    if scheduler.config.get("use_flow_sigmas", False):
        spaced = None
    timesteps: Any
    timesteps, _ = retrieve_timesteps(scheduler, steps, device, sigmas=spaced, mu=_dynamic_shift(scheduler, tokens))
    return timesteps


def shift_for(scheduler: Any, tokens: int) -> float:
    """s of s t / (1 + (s - 1) t), by which a scheduler moves the times of a poster of so many patch tokens.

    A stretch at the end (`shift_terminal`) belongs to the steps of sampling and does not count.
    """
    config = scheduler.config
    if not config.get("use_dynamic_shifting", False):
        return float(config.get("shift", 1.0))
    mu = _dynamic_shift(scheduler, tokens)
    return mu if config.get("time_shift_type", "exponential") == "linear" else math.exp(mu)


def _dynamic_shift(scheduler: Any, tokens: int) -> float:
    config = scheduler.config
    return calculate_shift(
        tokens, config.get("base_image_seq_len", 256), config.get("max_image_seq_len", 4096),
        config.get("base_shift", 0.5), config.get("max_shift", 1.15),
    )  # fmt: skip
