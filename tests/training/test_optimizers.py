"""Optimisers by name: first steps by hand, what decays, what runs without a card, what a checkpoint keeps."""

from __future__ import annotations

import sys

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from posterkit.training.config import RunConfig
from posterkit.training.optimizers import choose_optimizer, no_matrices, parameter_groups
from posterkit.training.state import load_state, save_state

CPU = torch.device("cpu")


def optimizer_for(module: nn.Module, say=print, device=CPU, **settings) -> torch.optim.Optimizer:
    config = RunConfig(**settings)
    config.check()
    return choose_optimizer(config, device, say)(parameter_groups(module.parameters(), config.weight_decay))


def step(module: nn.Module, optimizer: torch.optim.Optimizer, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator).to(parameter.device)
    optimizer.step()


def test_adamws_first_step_has_the_rates_size_and_decays_matrices_only():
    layer = nn.Linear(2, 2)
    nn.init.constant_(layer.weight, 2.0), nn.init.constant_(layer.bias, 2.0)
    optimizer = optimizer_for(layer, learning_rate=0.1, weight_decay=0.5)
    layer.weight.grad, layer.bias.grad = torch.tensor([[3.0, -1.0], [0.1, 7.0]]), torch.tensor([5.0, -2.0])
    optimizer.step()
    decayed = 2.0 * (1 - 0.1 * 0.5)
    expected = torch.tensor([[decayed - 0.1, decayed + 0.1], [decayed - 0.1, decayed - 0.1]])
    assert torch.allclose(layer.weight, expected, atol=1e-5)
    assert torch.allclose(layer.bias, torch.tensor([1.9, 2.1]), atol=1e-5)


def test_adafactors_step_on_a_rank_one_gradient_is_the_rate_itself_whatever_the_weights():
    layer = nn.Linear(2, 2, bias=False)
    nn.init.constant_(layer.weight, 100.0)  # a rate relative to the weights would be a hundred times larger
    optimizer = optimizer_for(layer, optimizer="adafactor", learning_rate=0.01)
    layer.weight.grad = torch.tensor([[1.0, -2.0], [2.0, -4.0]])  # rows times columns: the factored square is exact
    optimizer.step()
    assert torch.allclose(layer.weight, torch.tensor([[99.99, 100.01], [99.99, 100.01]]), atol=1e-5)


def test_adafactor_keeps_a_row_and_a_column_for_a_matrix():
    layer = nn.Linear(30, 20, bias=False)
    optimizer = optimizer_for(layer, optimizer="adafactor")
    step(layer, optimizer, 0)
    kept = [value for value in optimizer.state[layer.weight].values() if isinstance(value, torch.Tensor)]
    assert sum(value.numel() for value in kept if value.ndim) == 30 + 20


@pytest.mark.parametrize("name", ["adamw8bit", "paged_adamw8bit"])
def test_without_a_card_an_8_bit_optimiser_is_pytorchs_and_says_so_once(name):
    said: list[str] = []
    models = [nn.Linear(3, 2), nn.Linear(3, 2)]
    models[1].load_state_dict(models[0].state_dict())
    optimizers = [optimizer_for(models[0], said.append, optimizer=name), optimizer_for(models[1], said.append)]
    for seed in range(3):
        for model, optimizer in zip(models, optimizers, strict=True):
            step(model, optimizer, seed)
    assert torch.equal(models[0].weight, models[1].weight)
    assert len(said) == 1 and said[0].startswith(f"optimizer {name} needs an NVIDIA card")


def test_a_card_without_bitsandbytes_is_told_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(SystemExit, match=r"bitsandbytes cannot be imported .*install posterkit\[gpu\]"):
        choose_optimizer(RunConfig(optimizer="adamw8bit"), torch.device("cuda"))


def test_frozen_weights_are_in_no_group_and_a_group_without_members_is_left_out():
    model = nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3))
    model[0].requires_grad_(False)
    (group,) = parameter_groups(model.parameters(), 0.1)
    assert group["params"] == list(model[1].parameters()) and group["weight_decay"] == 0


@pytest.mark.parametrize("setting", [{"betas": [0.9]}, {"betas": [0.9, 1.0]}, {"weight_decay": -0.1},
                                     {"learning_rate": 0.0}])  # fmt: skip
def test_settings_that_cannot_work_are_named(setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        RunConfig(**setting).check()


@pytest.mark.parametrize("name", ["adamw", "adafactor"])
def test_a_checkpoint_puts_every_number_back_also_into_other_groups(tmp_path, name):
    whole = nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3))
    again = nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3))
    optimizer = optimizer_for(whole, optimizer=name, weight_decay=0.1, learning_rate=0.01)
    for seed in range(3):
        step(whole, optimizer, seed)
    save_state(tmp_path / "last", whole, optimizer, None, {"step": 3})
    back = choose_optimizer(RunConfig(optimizer=name, learning_rate=0.01), CPU)(
        [{"params": [p], "weight_decay": 0.1 * (p.ndim > 1)} for p in reversed(list(again.parameters()))]
    )
    load_state(tmp_path / "last", again, back, None)
    for model, one in ((whole, optimizer), (again, back)):
        step(model, one, 9)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters(), strict=True))


def test_a_checkpoint_of_another_optimiser_is_refused_in_one_line(tmp_path):
    module = nn.Linear(2, 2)
    optimizer = optimizer_for(module)
    step(module, optimizer, 0)
    save_state(tmp_path / "last", module, optimizer, None, {"step": 1})
    with pytest.raises(ValueError, match="the optimiser was AdamW, here it is Adafactor") as caught:
        load_state(tmp_path / "last", module, optimizer_for(module, optimizer="adafactor"), None)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_of_other_shapes_is_refused_by_name(tmp_path):
    module, wider = nn.Linear(2, 2), nn.Linear(3, 2)
    save_state(tmp_path / "last", module, optimizer_for(module), None, {"step": 1})
    with pytest.raises(ValueError, match=r"does not fit the model \(first difference: weight"):
        load_state(tmp_path / "last", wider, optimizer_for(wider), None)


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["adamw8bit", "paged_adamw8bit"])
def test_on_a_card_8_bit_states_follow_adamw_take_a_quarter_and_go_on_from_a_checkpoint(tmp_path, name):
    device = torch.device("cuda")
    settings = {"learning_rate": 0.01, "weight_decay": 0.1}
    models = [nn.Linear(512, 512, device=device) for _ in range(3)]
    for model in models[1:]:
        model.load_state_dict(models[0].state_dict())
    full, small, again = (
        optimizer_for(model, device=device, optimizer=kind, **settings)
        for model, kind in zip(models, ("adamw", name, name), strict=True)
    )
    for seed in range(5):
        step(models[0], full, seed), step(models[1], small, seed)
    moved = (models[1].weight - models[0].weight).norm() / (5 * 0.01 * 512)
    assert moved < 0.1
    state = small.state[models[1].weight]
    assert state["state1"].dtype == torch.uint8 and getattr(state["state1"], "is_paged", False) == ("paged" in name)
    save_state(tmp_path / "last", models[1], small, None, {"step": 5})
    held = load_file(tmp_path / "last" / "optimizer.safetensors")
    assert held["weight:state1"].dtype == torch.uint8
    load_state(tmp_path / "last", models[2], again, None)
    assert getattr(again.state[models[2].weight]["state1"], "is_paged", False) == ("paged" in name)
    for seed in range(5, 8):
        step(models[1], small, seed), step(models[2], again, seed)
    assert torch.equal(models[1].weight, models[2].weight) and torch.equal(models[1].bias, models[2].bias)


def _muon(module: nn.Module, **settings) -> torch.optim.Optimizer:
    config = RunConfig(optimizer="muon", **settings)
    groups = parameter_groups(module.parameters(), config.weight_decay, no_matrices(module))
    return choose_optimizer(config, CPU)(groups)


def test_muon_turns_a_matrix_by_an_orthogonal_step_of_adamws_size_and_leaves_tables_and_vectors_to_adamw():
    torch.manual_seed(0)
    module = nn.ModuleDict({"table": nn.Embedding(5, 8), "layer": nn.Linear(8, 8)})
    before = {name: parameter.detach().clone() for name, parameter in module.named_parameters()}
    optimizer = _muon(module, learning_rate=0.01, adamw_rate=0.002)
    step(module, optimizer, 3)
    moved = {name: before[name] - parameter.detach() for name, parameter in module.named_parameters()}
    for name in ("table.weight", "layer.bias"):  # AdamW's first step has the rate's size, whatever the gradient
        assert torch.allclose(moved[name].abs(), torch.tensor(0.002), rtol=1e-3)
    # 0.2 sqrt(8) times the rate is each singular value's share; Muon's five iterations come within a third of it
    values = torch.linalg.svdvals(moved["layer.weight"])
    assert (values / (0.2 * 8**0.5 * 0.01) - 1).abs().max() < 0.35


def test_a_resumed_muon_steps_like_one_that_never_stopped(tmp_path):
    torch.manual_seed(0)
    make = lambda: nn.Sequential(nn.Embedding(4, 6), nn.Linear(6, 3))  # noqa: E731
    whole, half = make(), make()
    half.load_state_dict(whole.state_dict())
    ours, theirs = _muon(whole), _muon(half)
    for seed in (0, 1):
        step(whole, ours, seed), step(half, theirs, seed)
    save_state(tmp_path / "last", half, theirs, None, {"step": 2})
    again = make()
    resumed = _muon(again)
    load_state(tmp_path / "last", again, resumed, None)
    step(whole, ours, 2), step(again, resumed, 2)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters(), strict=True))
