"""LoRAs on the real transformers: teachers beside a student, which weights train, exact resume."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import tiny_flux
import torch
from safetensors.torch import load_file
from small_adapters import FILE, SMALL, batch_for, expert_files, flux, give_values, qwen, transformer_of, velocity

from posterkit.training.config import RunConfig
from posterkit.training.lora import (
    Trainable,
    add_adapter,
    frozen_adapter,
    fuse_adapter,
    load_adapter,
    save_adapter,
    set_trainable,
    trained_adapter,
    using_adapter,
)
from posterkit.training.lora_files import read_lora
from posterkit.training.losses import distillation_loss, expert_for, flow_matching_loss, task_group
from posterkit.training.run import Run

FAMILIES = pytest.mark.parametrize("build", [flux, qwen])


def distilled(model: Any, files: dict[str, Path]) -> Any:
    """One base, two frozen teachers, a student."""
    transformer = transformer_of(model)
    set_trainable(model.module, Trainable("lora", rank=2), "student")
    for name, file in files.items():
        load_adapter(transformer, name, file)
    return transformer


@FAMILIES
def test_one_base_with_three_adapters_teaches_as_two_copies_of_the_model_would(build, tmp_path):
    model = build()
    files = expert_files(model, tmp_path)
    copies = {}
    for name, file in files.items():
        copies[name] = build()
        load_adapter(transformer_of(copies[name]), "only", file)
    plain = build()
    set_trainable(plain.module, Trainable("lora", rank=2), "student")
    transformer = distilled(model, files)
    for path, parameter in transformer.named_parameters():
        if ".student." in path:
            parameter.data = transformer_of(plain).get_parameter(path).data.clone()
    batch = batch_for(model)
    for task in ("filling", "style_driven"):
        v = velocity(model, batch)  # the student's pass may come first
        with frozen_adapter(transformer, expert_for([task])):
            wanted = velocity(model, batch)
        with torch.no_grad():
            expected = velocity(copies[task_group(task)], batch)
        assert torch.equal(wanted, expected) and not wanted.requires_grad
        distillation_loss(v, wanted).backward()
        distillation_loss(velocity(plain, batch), expected).backward()
        assert transformer.active_adapters() == ["student"] and trained_adapter(transformer) == "student"
    for path, parameter in transformer.named_parameters():
        if parameter.requires_grad and parameter.grad is not None:  # Qwen's last block says nothing to the text
            assert ".student." in path and torch.equal(parameter.grad, transformer_of(plain).get_parameter(path).grad)
        else:
            assert parameter.grad is None
    assert sum(parameter.grad is not None for parameter in transformer.parameters()) >= 22


@FAMILIES
def test_the_bare_base_can_be_asked_and_an_error_inside_still_comes_back(build, tmp_path):
    model = build()
    batch = batch_for(model)
    with torch.no_grad():
        before = velocity(model, batch)
    transformer = distilled(model, expert_files(model, tmp_path))
    give_values(transformer, "student", 5)
    with torch.no_grad():
        student = velocity(model, batch)
    with frozen_adapter(transformer, None):
        assert torch.equal(velocity(model, batch), before)
    with pytest.raises(KeyError), using_adapter(transformer, "local"):
        raise KeyError
    with using_adapter(transformer, "local"), using_adapter(transformer, None):
        pass
    with torch.no_grad():
        assert torch.equal(velocity(model, batch), student)
    assert not torch.allclose(student, before, atol=1e-4) and trained_adapter(transformer) == "student"


def test_distilling_brings_the_student_to_its_teachers_and_leaves_them_alone(tmp_path):
    model = flux()
    transformer = distilled(model, expert_files(model, tmp_path))
    frozen = {n: p.detach().clone() for n, p in transformer.named_parameters() if not p.requires_grad}
    optimizer = torch.optim.AdamW([p for p in transformer.parameters() if p.requires_grad], lr=5e-2)
    losses = []
    for number in range(24):
        batch, name = batch_for(model, number % 2), ("local", "global")[number % 2]
        with frozen_adapter(transformer, name):
            wanted = velocity(model, batch)
        loss = distillation_loss(velocity(model, batch), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-2:]) < 0.25 * sum(losses[:2])
    assert all(torch.equal(p, frozen[n]) for n, p in transformer.named_parameters() if n in frozen)


@pytest.mark.parametrize("setting", [{"rank": 0}, {"alpha": 0.0}, {"targets": []}])
def test_settings_that_cannot_work_are_named(setting):
    with pytest.raises(ValueError, match=f"trainable.{next(iter(setting))}"):
        Trainable("lora", **setting).check()


def test_a_half_precision_base_trains_a_float32_adapter(tmp_path):
    transformer = tiny_flux.transformer().to(torch.bfloat16)
    add_adapter(transformer, "a", SMALL)
    give_values(transformer, "a", 1)
    save_adapter(transformer, "a", tmp_path)
    load_adapter(transformer, "b", tmp_path)
    for path, parameter in transformer.named_parameters():
        assert parameter.dtype == (torch.float32 if ".lora_" in path else torch.bfloat16)
        if ".a." in path:
            folded = parameter * (SMALL.alpha / SMALL.rank if ".lora_B." in path else 1)
            assert torch.equal(folded, transformer.get_parameter(path.replace(".a.", ".b.")))


@FAMILIES
@pytest.mark.parametrize("kind", ["lora", "dora"])
def test_a_fused_adapter_is_the_same_model_without_one(build, kind):
    model = build()
    set_trainable(model.module, Trainable(kind, rank=4))
    transformer, batch = transformer_of(model), batch_for(model)
    give_values(transformer, "default", 1)
    with torch.no_grad():
        expected = velocity(model, batch)
        fuse_adapter(transformer, "default")
        assert torch.allclose(velocity(model, batch), expected, atol=1e-5)
    assert not any(".lora_" in path for path, _ in transformer.named_parameters())
    assert trained_adapter(transformer) is None


@FAMILIES
def test_full_weights_train_everything_and_a_lora_nothing_else(build):
    model = build()
    set_trainable(model.module, Trainable("full"))
    assert all(parameter.requires_grad for parameter in model.module.parameters())
    set_trainable(model.module, SMALL)
    trained = [path for path, parameter in model.module.named_parameters() if parameter.requires_grad]
    assert trained and all(".lora_" in path for path in trained)


class Batches:
    """Endless batches that follow from the position alone."""

    def __init__(self, model: Any, size: int = 2) -> None:
        self.model, self.size, self.position = model, size, 0

    def __iter__(self):
        while True:
            self.position += 1
            yield batch_for(self.model, self.position, self.size)

    def state_dict(self):
        return {"position": self.position}

    def load_state_dict(self, state):
        self.position = state["position"]


def distil(folder: Path, build: Any, files: dict[str, Path], trainable: Trainable, **settings: Any) -> Any:
    """A run of the student, whose micro-batches take turns: local, global, text."""
    config = RunConfig(run_dir=str(folder), learning_rate=0.01, log_every=1, **settings)
    run, model = Run(config), build()
    transformer = transformer_of(model)
    set_trainable(model.module, trainable, "student")
    for name, file in files.items():
        load_adapter(transformer, name, file)
    loader = Batches(model)
    for batch in run.steps(model, loader):
        expert = ("local", "global", None)[loader.position % 3]
        v = velocity(model, batch)
        if expert is None:
            run.backward(flow_matching_loss(v, batch.noise - batch.x0))
        else:
            with frozen_adapter(transformer, expert):
                wanted = velocity(model, batch)
            run.backward(distillation_loss(v, wanted))
    run.finish(model)
    return model


@pytest.mark.parametrize(
    ("build", "trainable", "settings"),
    [
        (flux, Trainable("lora", rank=2), {"accumulation": 2, "ema_decay": 0.9}),
        pytest.param(flux, Trainable("dora", rank=2), {"optimizer": "adafactor", "accumulation": 3},
                     marks=pytest.mark.slow),
        pytest.param(qwen, Trainable("lora", rank=2, gradient_checkpointing=True),
                     {"ema_decay": 0.9, "schedule": "cosine"}, marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_a_distillation_run_goes_on_bit_for_bit_and_writes_the_student_alone(build, trainable, settings, tmp_path):
    files = expert_files(build(), tmp_path / "experts")
    distil(tmp_path / "whole", build, files, trainable, max_steps=4, **settings)
    distil(tmp_path / "halves", build, files, trainable, max_steps=4, stop_at=2, **settings)
    distil(tmp_path / "halves", build, files, trainable, max_steps=4, **settings)
    kinds = ("weights", "optimizer", *(["ema"] if "ema_decay" in settings else []))
    for kind in kinds:
        whole, again = (load_file(tmp_path / run / "last" / f"{kind}.safetensors") for run in ("whole", "halves"))
        assert whole.keys() == again.keys() and all(torch.equal(whole[key], again[key]) for key in whole)
        assert whole and all(".student." in key for key in whole)
    folder = tmp_path / "halves" / ("ema" if "ema" in kinds else "model")
    assert sorted(file.name for file in folder.iterdir()) == ["README.md", FILE]
    kept = load_file(tmp_path / "halves" / "last" / f"{'ema' if 'ema' in kinds else 'weights'}.safetensors")
    saved = read_lora(folder)
    assert len(saved.weights) == len(kept)
    for key, value in kept.items():
        name = key.removeprefix("transformer.").replace(".student", "")
        assert torch.equal(saved.weights[name.replace("magnitude_vector.weight", "magnitude_vector")], value)


@FAMILIES
def test_accumulated_clipped_steps_equal_one_large_batch_computed_apart(build, tmp_path):
    config = RunConfig(run_dir=str(tmp_path), max_steps=3, learning_rate=0.01, accumulation=2, clip=0.05)
    run, model = Run(config), build()
    set_trainable(model.module, SMALL)
    give_values(transformer_of(model), "default", 2)
    apart = copy.deepcopy(model)
    apart.module = torch.nn.ModuleDict({"transformer": apart.parts["transformer"]})
    whole = [batch_for(model, seed, size=4) for seed in range(3)]

    class Halves(Batches):
        def __iter__(self):
            for batch in whole:
                yield from (batch.rows(0, 2), batch.rows(2, 4))

    for batch in run.steps(model, Halves(model)):
        run.backward(flow_matching_loss(velocity(model, batch), batch.noise - batch.x0))
    # Qwen's last block says nothing more to the text, whose layers there get no gradient
    trained = [
        parameter
        for path, parameter in apart.module.named_parameters()
        if parameter.requires_grad and (build is flux or "blocks.1.attn.to_add_out" not in path)
    ]
    moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in trained]
    for number, batch in enumerate(whole, 1):
        loss = (velocity(apart, batch) - (batch.noise - batch.x0)).square().mean()
        gradients = torch.autograd.grad(loss, trained)
        norm = torch.cat([g.flatten() for g in gradients]).norm()
        assert norm > config.clip  # else nothing is clipped
        for p, g, (m, s) in zip(trained, gradients, moments, strict=True):
            g = g * config.clip / norm
            m.mul_(0.9).add_(0.1 * g)
            s.mul_(0.99).add_(0.01 * g * g)
            with torch.no_grad():
                p -= 0.01 * (m / (1 - 0.9**number)) / ((s / (1 - 0.99**number)).sqrt() + 1e-8)
    for path, parameter in apart.module.named_parameters():
        assert torch.allclose(model.module.get_parameter(path), parameter, atol=2e-5), path


@FAMILIES
@pytest.mark.parametrize("kind", ["full", "lora"])
def test_checkpointing_keeps_fewer_activations_and_the_same_gradients(build, kind):
    found = []
    for checkpointing in (False, True):
        model, kept = build(), {}
        set_trainable(model.module, Trainable(kind, rank=4, gradient_checkpointing=checkpointing))
        if kind == "lora":
            give_values(transformer_of(model), "default", 1)
        own = {parameter.data_ptr() for parameter in model.module.parameters()}

        def keep(tensor, kept=kept, own=own):
            if tensor.data_ptr() not in own:
                kept[tensor.data_ptr()] = tensor.nbytes
            return tensor

        batch = batch_for(model)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = flow_matching_loss(velocity(model, batch), batch.noise - batch.x0)
        loss.backward()
        found.append((sum(kept.values()), [p.grad for p in model.module.parameters() if p.requires_grad]))
    (plain, gradients), (fewer, again) = found
    assert fewer < 0.5 * plain
    for a, b in zip(gradients, again, strict=True):
        assert (a is None and b is None) or torch.allclose(a, b, atol=1e-6)
