"""Few-step presets: the times that their authors' schedulers give, and whose models they are for."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from posterkit.generate.checkpoint import Settings, find_checkpoint
from posterkit.pipelines.poster_pipeline import set_timesteps
from posterkit.pipelines.registry import FAMILIES
from posterkit.pipelines.sampling_presets import sampler_named, samplers, shift_times


def test_lightning_times_are_shifted_by_three_whatever_the_size() -> None:
    pipe = SimpleNamespace(scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, shift_terminal=0.02))
    shift_times(pipe, sampler_named("lightning8", "posteromni"))
    even = torch.linspace(1, 1 / 8, 8)
    for tokens in (256, 4096, 9000):
        times = set_timesteps(pipe.scheduler, 8, tokens, "cpu") / 1000
        torch.testing.assert_close(times, 3 * even / (1 + 2 * even))  # the shift of flow matching, by hand


def test_a_preset_without_a_shift_leaves_the_times_alone() -> None:
    scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    pipe = SimpleNamespace(scheduler=scheduler)
    shift_times(pipe, sampler_named("turbo8", "postercraft"))
    assert pipe.scheduler is scheduler


def test_every_preset_is_of_a_family_and_samples_in_few_steps() -> None:
    for name, sampler in samplers().items():
        assert sampler.family in FAMILIES and name.endswith(str(sampler.steps)) and 0 < sampler.steps <= 16
        assert math.isfinite(sampler.guidance) and (sampler.shift is None or sampler.shift > 0)


def test_a_sampler_stands_for_the_checkpoints_steps_and_names_its_posters_anew() -> None:
    plain, quick = (find_checkpoint(Settings(sampler=name), "text") for name in (None, "turbo8"))
    assert (quick.steps, quick.guidance) == (8, 3.5) and quick.revision == f"{plain.revision}+sturbo8"


@pytest.mark.parametrize(
    ("name", "said"),
    [("lightning9", r"unknown \(did you mean 'lightning"), ("lightning8", "is for models of posteromni; this one")],
)
def test_a_sampler_of_another_family_is_refused(name, said) -> None:
    with pytest.raises(ValueError, match=said):
        find_checkpoint(Settings(sampler=name), "text")
