"""Training by halves on the real transformers, float32: the identities that prove LoPT right, and its edges."""

from __future__ import annotations

import copy
import importlib.util
import json
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import tiny_flux
import tiny_qwen
import torch
from diffusers import FluxTransformer2DModel, QwenImageTransformer2DModel
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from posterkit.training.adapters.autoencoder import Autoencoder
from posterkit.training.adapters.flux import FluxAdapter, FluxCondition
from posterkit.training.adapters.qwen import QwenAdapter, QwenCondition
from posterkit.training.config import load_config
from posterkit.training.loop import Run
from posterkit.training.lora import Trainable, set_trainable
from posterkit.training.losses import flow_matching_loss
from posterkit.training.strategies import (
    FrozenHalf,
    HalvesConfig,
    LoPT,
    StrategyConfig,
    build_strategy,
    reconstruction_error,
)

ROOT = Path(__file__).resolve().parents[2]
FAMILIES = ("flux", "qwen", "qwen_2511")
STREAMS = ("hidden_states", "encoder_hidden_states")


@cache
def encoders(family: str) -> tuple[dict, Autoencoder]:
    """Parts that no test here changes."""
    parts = tiny_flux.components() if family == "flux" else tiny_qwen.components()
    return parts, Autoencoder("flux" if family == "flux" else "qwen", parts.pop("vae"))


def adapter(family: str, lora: tuple[str, ...] = (), frozen_text: bool = True):
    """Both families' real adapters around tiny parts: four blocks, of FLUX.1 two of each kind.

    Args:
        lora: target modules of an adapter that trains where the base does not.
    """
    parts, vae = encoders(family)
    parts = dict(parts) if frozen_text else copy.deepcopy(parts)
    torch.manual_seed(0)
    if family == "flux":
        transformer: Any = tiny_flux.transformer(layers=2, single_layers=2)
        kind, defaults = FluxAdapter, {"max_sequence_length": 16}
    else:
        transformer = tiny_qwen.transformer(layers=4, zero_cond_t=family == "qwen_2511")
        kind, defaults = QwenAdapter, {f"{name}_area": 4096 for name in ("native", "reference", "condition")}
    model = kind({**parts, "transformer": transformer}, vae, defaults, frozen_text)
    model.module.requires_grad_(True)
    if lora:
        set_trainable(model.module, Trainable("lora", rank=2, targets=list(lora)))
    return model


def inputs(family: str, seed: int = 0):
    """Noisy tokens, times and condition of two samples, as the adapters' `velocity` takes them."""
    torch.manual_seed(seed)
    x, t = torch.randn(2, 6, 16), torch.rand(2)
    if family == "flux":
        ids = torch.tensor([[0.0, row, column] for row in range(2) for column in range(3)])
        return x, t, FluxCondition(torch.randn(2, 5, 32), torch.randn(2, 32), ids)
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    return x, t, QwenCondition(torch.randn(2, 5, 16), mask, torch.randn(2, 4, 16), [(1, 2, 3), (1, 2, 2)])


def task_loss(v: torch.Tensor) -> torch.Tensor:
    return flow_matching_loss(v, torch.ones_like(v))


def gradients(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}


def blocks(transformer) -> list[nn.Module]:
    return [*transformer.transformer_blocks, *getattr(transformer, "single_transformer_blocks", [])]


def late_names(transformer, boundary: int) -> set[str]:
    """Names of the weights that the task may reach, from the module tree.

    Nobody reads the text that Qwen-Image's last block makes; what makes it has no gradient in any training.
    """
    parts = {id(p) for part in [*blocks(transformer)[boundary:], transformer.norm_out, transformer.proj_out]
             for p in part.parameters()}  # fmt: skip
    unread = ("transformer_blocks.3.attn.to_add_out", "transformer_blocks.3.txt_mlp")
    return {f"transformer.{name}" for name, p in transformer.named_parameters()
            if id(p) in parts and not name.startswith(unread)}  # fmt: skip


def joint_gradients(model, boundary: int, given) -> dict[str, torch.Tensor]:
    """The paper's L = L_task + L_aux by hooks and one backward pass: another route to the same gradients."""
    transformer, seen = model.module["transformer"], {}

    def enter(_, args, kwargs):
        seen["input"] = [kwargs[name].detach() for name in STREAMS]

    def cut(_, args, kwargs):
        seen["middle"] = [kwargs[name] for name in STREAMS]
        seen["mask"] = kwargs.get("encoder_hidden_states_mask")
        return args, kwargs | {name: kwargs[name].detach() for name in STREAMS}

    def forget_time(_, args, kwargs):
        return args, kwargs | {"temb": kwargs["temb"].detach()}

    every = blocks(transformer)
    hooks = [every[0].register_forward_pre_hook(enter, with_kwargs=True),
             every[boundary].register_forward_pre_hook(cut, with_kwargs=True),
             *(block.register_forward_pre_hook(forget_time, with_kwargs=True) for block in every[boundary:]),
             transformer.norm_out.register_forward_pre_hook(lambda _, args: (args[0], args[1].detach()))]  # fmt: skip
    loss = task_loss(model.velocity(*given))
    heads, masks = model.module["reconstruction"], {"encoder_hidden_states": seen["mask"]}
    pairs = zip(STREAMS, seen["middle"], seen["input"], strict=True)
    errors = [reconstruction_error(heads[n](middle), goal, masks.get(n)) for n, middle, goal in pairs]
    (loss + torch.stack(errors).mean()).backward()
    for hook in hooks:
        hook.remove()
    return gradients(model.module)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("target", ["input", "anchor"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_the_forward_pass_is_the_plain_models_bit_for_bit(family, target, checkpointing):
    model = adapter(family)
    plain = model.velocity(*inputs(family))
    strategy = LoPT(model, HalvesConfig(target=target))
    if checkpointing:
        model.module["transformer"].enable_gradient_checkpointing()
    assert torch.equal(strategy.velocity(*inputs(family)), plain)
    with torch.no_grad():
        assert torch.equal(strategy.velocity(*inputs(family)), plain)
    assert torch.equal(model.velocity(*inputs(family)), plain)  # and the model is left as it was
    assert model.module["transformer"].is_gradient_checkpointing == checkpointing


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("boundary", [1, 2, 3])
def test_gradients_made_at_the_boundary_are_those_of_the_joint_loss(family, boundary):
    model = adapter(family)
    strategy = LoPT(model, HalvesConfig(boundary=boundary))
    joint = joint_gradients(model, boundary, inputs(family))
    model.module.zero_grad()
    task_loss(strategy.velocity(*inputs(family))).backward()
    found = gradients(model.module)
    assert joint.keys() == found.keys()
    assert all(torch.equal(joint[name], found[name]) for name in joint)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("strategy", ["lopt", "frozen_half"])
def test_the_second_half_learns_as_it_would_end_to_end(family, strategy):
    model = adapter(family)
    task_loss(model.velocity(*inputs(family))).backward()
    whole = gradients(model.module)
    model.module.zero_grad()
    task_loss(build_strategy(StrategyConfig(strategy=strategy), model).velocity(*inputs(family))).backward()
    halved = gradients(model.module)
    late = late_names(model.module["transformer"], 2)
    assert late <= whole.keys()
    assert all(torch.equal(whole[name], halved[name]) for name in late)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_task_reaches_the_second_half_and_nothing_else(family):
    model = adapter(family)
    v = LoPT(model, HalvesConfig()).velocity(*inputs(family))
    early = gradients(model.module)
    assert any("time_text_embed" in name for name in early)  # the reconstruction reaches it through the first half
    assert not early.keys() & late_names(model.module["transformer"], 2)
    model.module.zero_grad()
    task_loss(v).backward()
    assert gradients(model.module).keys() == late_names(model.module["transformer"], 2)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("target", ["input", "anchor"])
def test_gradient_checkpointing_changes_no_gradient(family, target):
    found = []
    for checkpointing in (False, True):
        model = adapter(family)
        strategy = LoPT(model, HalvesConfig(target=target))
        nn.init.ones_(model.module["transformer"].proj_out.bias)  # the second half has moved since
        if checkpointing:
            model.module["transformer"].enable_gradient_checkpointing()
        task_loss(strategy.velocity(*inputs(family))).backward()
        found.append(gradients(model.module))
    assert found[0].keys() == found[1].keys()
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


def test_the_error_is_one_for_the_mean_token_and_none_for_the_right_one():
    target = torch.tensor([[[0.0, 1.0], [2.0, 5.0]]])  # channels of variance 1 and 4, mean 2.5
    assert reconstruction_error(target, target).item() == 0
    assert reconstruction_error(target.mean(1, keepdim=True).expand_as(target), target).item() == pytest.approx(1)
    made = target + torch.tensor([1.0, 2.0])  # squares 1 and 4, mean 2.5
    assert reconstruction_error(made, target, normalised=False).item() == pytest.approx(2.5)
    assert reconstruction_error(made, target).item() == pytest.approx(1)
    mask = torch.tensor([[True, False]])
    made = torch.tensor([[[3.0, 1.0], [99.0, 99.0]]])
    assert reconstruction_error(made, target, mask, normalised=False).item() == pytest.approx(4.5)


def test_padding_teaches_nothing():
    x, t, condition = inputs("qwen")
    found = []
    for extra in (0, 4):
        model = adapter("qwen")
        prompt = torch.cat([condition.prompt, torch.full((2, extra, 16), 7.0)], 1)
        mask = torch.cat([condition.mask, torch.zeros(2, extra, dtype=torch.bool)], 1)
        padded = QwenCondition(prompt, mask, condition.references, condition.shapes)
        LoPT(model, HalvesConfig()).velocity(x, t, padded)
        found.append(gradients(model.module))
    assert all(torch.allclose(found[0][name], found[1][name], atol=1e-6) for name in found[0])


def test_every_call_counts_and_is_divided_by_the_accumulation():
    found = []
    for weight, accumulation, calls in ((3, 1, 1), (3, 2, 2), (1, 1, 1), (1, 1, 3)):
        model = adapter("flux")
        strategy = LoPT(model, HalvesConfig(weight=weight), accumulation)
        for _ in range(calls):
            strategy.velocity(*inputs("flux"))
        found.append(gradients(model.module))
    once, accumulated, light, thrice = found
    for name, gradient in once.items():
        assert torch.allclose(accumulated[name], gradient, atol=1e-6)
        assert torch.allclose(3 * light[name], gradient, atol=1e-6)
        assert torch.allclose(thrice[name], gradient, atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("lora", [(), ("to_q", "to_k")])
def test_the_anchor_is_what_the_first_weights_make_at_the_boundary(family, lora):
    model = adapter(family, lora)
    begun = copy.deepcopy(model)
    strategy = LoPT(model, HalvesConfig(target="anchor"))
    with torch.no_grad():
        for parameter in model.module["transformer"].parameters():
            if parameter.requires_grad:
                parameter.add_(0.05 * torch.randn_like(parameter))
    moved = copy.deepcopy(model.module["transformer"].state_dict())
    middle = {}
    for name, transformer in (("goal", begun.module["transformer"]), ("now", model.module["transformer"])):
        blocks(transformer)[1].register_forward_hook(lambda _, __, made, name=name: middle.update({name: made}))
    with torch.no_grad():
        begun.velocity(*inputs(family))
        model.velocity(*inputs(family))
    mask = getattr(inputs(family)[2], "mask", None)
    heads = model.module["reconstruction"]
    errors = []
    for index, (stream, counts) in enumerate((("encoder_hidden_states", mask), ("hidden_states", None))):
        goal, now = middle["goal"][index], middle["now"][index]
        errors.append(reconstruction_error(heads[stream](now), goal, counts))
    blocks(begun.module["transformer"])[1]._forward_hooks.clear()
    blocks(model.module["transformer"])[1]._forward_hooks.clear()
    strategy.velocity(*inputs(family))
    assert strategy.report()["reconstruction"] == pytest.approx(torch.stack(errors).mean().item(), rel=1e-5)
    after = model.module["transformer"].state_dict()
    assert all(torch.equal(moved[name], after[name]) for name in moved)  # the pass by the first weights left no trace


def test_under_bfloat16_the_anchor_is_still_the_first_weights():
    errors = []
    for moved in (False, True):
        model = adapter("flux")
        strategy = LoPT(model, HalvesConfig(target="anchor"))
        if moved:
            nn.init.zeros_(model.module["transformer"].x_embedder.weight)
        for head in model.module["reconstruction"].values():
            nn.init.zeros_(head[-1].weight)  # the error is then the goal's alone
        with torch.autocast("cpu", torch.bfloat16):
            for _ in range(2):
                task_loss(strategy.velocity(*inputs("flux")))
        assert all(torch.isfinite(g).all() for g in gradients(model.module).values())
        assert "transformer.x_embedder.weight" in gradients(model.module)
        errors.append(strategy.report()["reconstruction"])
    assert errors[0] == errors[1]


@pytest.mark.parametrize("family", FAMILIES)
def test_adapters_on_both_halves_learn_and_the_base_does_not(family):
    model = adapter(family, ("to_q", "to_v"))
    strategy = LoPT(model, HalvesConfig())
    task_loss(strategy.velocity(*inputs(family))).backward()
    found = {name for name in gradients(model.module) if not name.startswith("reconstruction")}
    assert all("lora_" in name for name in found)
    for half in (blocks(model.module["transformer"])[:2], blocks(model.module["transformer"])[2:]):
        assert all(p.grad is not None for block in half for name, p in block.named_parameters() if "lora_" in name)


def test_a_half_in_which_nothing_trains_is_refused():
    model = adapter("flux", ("single_transformer_blocks.1.proj_mlp",))
    with pytest.raises(ValueError, match=r"nothing trains in the first half .* after block 2 of 4"):
        LoPT(model, HalvesConfig())
    assert FrozenHalf(model, HalvesConfig()).groups()[0].parameters
    with pytest.raises(ValueError, match="nothing trains in the second half"):
        FrozenHalf(adapter("flux", ("transformer_blocks.0.attn.to_q",)), HalvesConfig())


@pytest.mark.parametrize("settings", [{"strategy": "frozen_half"},
                                      {"strategy": "lopt", "halves": HalvesConfig(target="frozen")}])  # fmt: skip
def test_a_frozen_half_trains_the_second_half_alone(settings):
    model = adapter("flux")
    strategy = build_strategy(StrategyConfig(**settings), model)
    task_loss(strategy.velocity(*inputs("flux"))).backward()
    assert gradients(model.module).keys() == late_names(model.module["transformer"], 2)
    assert [group.name for group in strategy.groups()] == ["second_half"]
    assert "reconstruction" not in model.module


def test_a_text_encoder_that_trains_learns_from_the_reconstruction_alone():
    model = adapter("flux", frozen_text=False)
    ids = model.tokenize(["a blue poster", "jazz"])
    x, t, condition = inputs("flux")
    prompt, pooled = model.states(*ids)
    v = LoPT(model, HalvesConfig()).velocity(x, t, FluxCondition(prompt, pooled, condition.image_ids))
    taught = {name for name in gradients(model.module) if name.startswith("text_encoder")}
    assert {name.partition(".")[0] for name in taught} == {"text_encoder", "text_encoder_2"}
    model.module.zero_grad()
    task_loss(v).backward()
    assert not any(name.startswith("text_encoder") for name in gradients(model.module))


def test_a_reconstruction_that_is_not_finite_stops_before_any_gradient():
    model = adapter("flux")
    strategy = LoPT(model, HalvesConfig())
    with torch.no_grad():
        model.module["transformer"].x_embedder.weight.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="error is nan; the last checkpoint is whole"):
        strategy.velocity(*inputs("flux"))
    assert not gradients(model.module)


@dataclass
class OfOne:
    """An adapter's `module`, around a transformer that is only looked at."""

    module: nn.ModuleDict


@pytest.fixture(scope="module")
def full_size():
    """Both transformers at the size of the real checkpoints, without memory."""
    with torch.device("meta"):
        return {"flux": FluxTransformer2DModel(guidance_embeds=True), "qwen": QwenImageTransformer2DModel()}


@pytest.mark.parametrize(
    ("family", "settings", "boundary"),
    [
        ("flux", {}, 29),  # of 19 + 38; the first half takes the odd one
        ("qwen", {}, 30),  # of 60
        ("flux", {"cut": "parameters"}, 17),  # a double block weighs 36 d^2, a single one 15 d^2: 627 / 36 = 17.4
        ("qwen", {"cut": "parameters"}, 30),
        ("flux", {"cut": "double_single"}, 19),
        ("flux", {"boundary": 40}, 40),
    ],
)
def test_the_real_models_are_cut_where_asked(full_size, family, settings, boundary):
    from posterkit.training.strategies import Halves

    halves = Halves(OfOne(nn.ModuleDict({"transformer": full_size[family]})), HalvesConfig(**settings))
    assert halves.boundary == boundary


@pytest.mark.parametrize("family", ["flux", "qwen"])
def test_half_the_blocks_is_half_the_work(family):
    model = adapter(family)
    every = blocks(model.module["transformer"])
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.velocity(*inputs(family))
    flops = counter.get_flop_counts()
    path = {id(module): name for name, module in model.module["transformer"].named_modules()}
    root = type(model.module["transformer"]).__name__
    # what is computed once a sample (modulation) is nothing at a real number of tokens; count what is per token
    work = []
    for block in every:
        name = f"{root}.{path[id(block)]}"
        parts = [p for p in flops if p.startswith(f"{name}.") and p.count(".") == name.count(".") + 1]
        mods = ("norm", "norm1", "norm1_context", "img_mod", "txt_mod")
        once = sum(sum(flops[part].values()) for part in parts if part.rpartition(".")[2] in mods)
        work.append(sum(flops[name].values()) - once)
    boundary = LoPT(model, HalvesConfig()).halves.boundary
    assert sum(work[:boundary]) == pytest.approx(sum(work) / 2, rel=0.01)


@pytest.mark.parametrize(
    ("family", "settings", "said"),
    [
        ("flux", {"boundary": 0}, "boundary must lie in 1..3, got 0"),
        ("flux", {"boundary": 4}, "boundary must lie in 1..3, got 4"),
        ("qwen", {"cut": "double_single"}, "blocks of one kind only"),
    ],
)
def test_a_cut_that_leaves_no_half_is_refused(family, settings, said):
    with pytest.raises(ValueError, match=said):
        LoPT(adapter(family), HalvesConfig(**settings))


def test_a_transformer_of_one_block_has_no_halves():
    model = OfOne(nn.ModuleDict({"transformer": tiny_qwen.transformer(layers=1)}))
    with pytest.raises(ValueError, match="a transformer of 1 block has no halves"):
        FrozenHalf(model, HalvesConfig())


def test_another_architecture_is_refused_by_name():
    with pytest.raises(TypeError, match=r"FluxTransformer2DModel or QwenImageTransformer2DModel.*got Linear"):
        LoPT(OfOne(nn.ModuleDict({"transformer": nn.Linear(1, 1)})), HalvesConfig())


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("strategy=lop", "accepted: end_to_end, lopt, frozen_half"),
        ("halves.target=middle", "accepted: input, anchor, frozen"),
        ("halves.wieght=1", 'did you mean "weight"'),
        ("halves.weight=0", "halves.weight must be above 0"),
        ("halves.early_rate=-1", "halves.early_rate must be above 0"),
    ],
)
def test_config_values_that_cannot_work_are_named(tmp_path, override, said):
    (tmp_path / "config.yaml").write_text("max_steps: 4\n")
    with pytest.raises(ValueError, match=said):
        load_config(StrategyConfig, tmp_path / "config.yaml", [override])


class Batches:
    """Endless noise, times and conditions that follow from the position alone."""

    def __init__(self, family: str) -> None:
        self.family, self.position = family, 0

    def __iter__(self):
        while True:
            self.position += 1
            yield inputs(self.family, seed=self.position)

    def state_dict(self):
        return {"position": self.position}

    def load_state_dict(self, state):
        self.position = state["position"]


def train(folder, family: str, lora: tuple[str, ...] = (), checkpointing: bool = False, **settings):
    """Four steps through the real loop; the folder then holds what is released as well."""
    halves = HalvesConfig(**settings.pop("halves", {}))
    settings = {"max_steps": 4, "strategy": "lopt", "learning_rate": 1e-3, **settings}
    config = StrategyConfig(run_dir=str(folder), log_every=1, halves=halves, **settings)
    config.check()
    run, model = Run(config), adapter(family, lora)
    if checkpointing:
        model.module["transformer"].enable_gradient_checkpointing()
    strategy = build_strategy(config, model)
    for batch in run.steps(model, Batches(family), strategy):
        with run.autocast():
            loss = task_loss(strategy.velocity(*batch))
        run.backward(loss)
    run.finish(model)
    return model


@pytest.mark.parametrize(
    ("family", "lora", "settings"),
    [
        ("flux", (), {"accumulation": 2, "ema_decay": 0.9}),
        ("qwen", ("to_q",), {"halves": {"target": "anchor"}, "ema_decay": 0.9}),
        ("flux", ("to_q",), {"halves": {"target": "anchor", "early_rate": 0.5}, "clip": 0.01}),
        ("qwen", (), {"strategy": "frozen_half", "precision": "bf16"}),
    ],
)
def test_stopping_and_going_on_equals_never_stopping_bit_for_bit(tmp_path, family, lora, settings):
    train(tmp_path / "whole", family, lora, **copy.deepcopy(settings))
    train(tmp_path / "halves", family, lora, stop_at=2, **copy.deepcopy(settings))
    train(tmp_path / "halves", family, lora, **copy.deepcopy(settings))
    for file in ("weights", "optimizer", *(["ema"] if settings.get("ema_decay") else [])):
        whole, again = (load_file(tmp_path / run / "last" / f"{file}.safetensors") for run in ("whole", "halves"))
        assert whole.keys() == again.keys() and all(torch.equal(whole[key], again[key]) for key in whole)


@pytest.mark.parametrize("strategy", ["end_to_end", "lopt", "frozen_half"])
@pytest.mark.parametrize("lora", [(), ("to_q",)])
def test_a_run_that_checkpoints_ends_where_one_that_does_not_ends(tmp_path, strategy, lora):
    for checkpointing in (False, True):
        train(tmp_path / str(checkpointing), "flux", lora, checkpointing, strategy=strategy, precision="bf16")
    plain, again = (load_file(tmp_path / run / "last" / "weights.safetensors") for run in ("False", "True"))
    assert plain.keys() == again.keys() and all(torch.equal(plain[key], again[key]) for key in plain)


def test_heads_are_in_the_train_state_and_never_in_what_is_released(tmp_path):
    model = train(tmp_path, "flux", ema_decay=0.9)
    heads = {f"reconstruction.{stream}.{n}" for stream in STREAMS for n, _ in model.module["reconstruction"][stream].named_parameters()}  # fmt: skip # noqa: E501
    assert len(heads) == 12
    for file in ("weights", "ema"):
        assert heads <= load_file(tmp_path / "last" / f"{file}.safetensors").keys()
    fresh = set(tiny_flux.transformer(layers=2, single_layers=2).state_dict())
    for folder in ("model", "ema"):
        (file,) = (tmp_path / folder / "transformer").glob("*.safetensors")
        with safe_open(file, "pt") as saved:
            assert set(saved.keys()) == fresh
        assert not any("reconstruction" in path.name for path in (tmp_path / folder).rglob("*"))


def test_the_log_tells_the_reconstruction_and_each_halfs_gradient(tmp_path):
    train(tmp_path, "flux", max_steps=40, learning_rate=3e-3)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert {"loss", "reconstruction", "grad_norm_first_half", "grad_norm_second_half"} <= rows[0].keys()
    assert rows[0]["reconstruction"] == pytest.approx(1, abs=0.2)  # heads near zero know little more than the mean
    assert rows[-1]["reconstruction"] < 0.8 * rows[0]["reconstruction"]
    assert rows[-1]["loss"] < rows[0]["loss"]


def test_a_steep_reconstruction_takes_no_step_from_the_second_half(tmp_path):
    """One common clip would let the first half's gradient shrink the second half's."""
    for name, weight in (("flat", 1e-3), ("steep", 1e3)):
        train(tmp_path / name, "flux", max_steps=1, clip=0.1, optimizer="adafactor", halves={"weight": weight})
    flat, steep = (load_file(tmp_path / name / "last" / "weights.safetensors") for name in ("flat", "steep"))
    late = late_names(adapter("flux").module["transformer"], 2)
    assert all(torch.equal(flat[name], steep[name]) for name in late)


def test_the_first_half_has_a_rate_of_its_own(tmp_path):
    before = dict(adapter("flux").module.named_parameters())
    for name, rate in (("one", 1.0), ("tenth", 0.1)):
        train(tmp_path / name, "flux", max_steps=1, halves={"early_rate": rate})
    one, tenth = (load_file(tmp_path / name / "last" / "weights.safetensors") for name in ("one", "tenth"))
    late = late_names(adapter("flux").module["transformer"], 2)
    for name, value in before.items():
        if name in late:
            assert torch.equal(one[name], tenth[name])
        else:
            assert torch.allclose(one[name] - value, 10 * (tenth[name] - value), atol=2e-6), name


@pytest.fixture(scope="module")
def benchmark():
    """benchmarks/lopt_memory.py as a module."""
    spec = importlib.util.spec_from_file_location("lopt_memory", ROOT / "benchmarks" / "lopt_memory.py")
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    return benchmark


@pytest.mark.parametrize("family", ["flux", "qwen"])
@pytest.mark.parametrize("target", ["input", "anchor", "frozen"])
def test_a_balanced_cut_holds_at_most_65_percent_for_backward(benchmark, family, target):
    saved = []
    for settings in ({}, {"strategy": "lopt", "halves": HalvesConfig(target=target)}):
        model, given = {"flux": benchmark.flux_case, "qwen": benchmark.qwen_case}[family](blocks=4, heads=1, rows=8)
        strategy = build_strategy(StrategyConfig(**settings), model)
        step = lambda: task_loss(strategy.velocity(*given)).backward()  # noqa: B023, E731 - called in this turn
        saved.append(benchmark.peak_saved(model.module, step))
    assert saved[1] <= 0.65 * saved[0]


def test_what_autograd_holds_is_counted_once_and_without_weights(benchmark):
    module = nn.Linear(8, 8, bias=False)
    x = torch.randn(4, 8, requires_grad=True)
    # x for the weight's gradient (the weight itself is excluded), then y twice for its square: 2 x 4 x 8 floats
    assert benchmark.peak_saved(module, lambda: module(x).square().sum().backward()) == 2 * 4 * 8 * 4


SCRIPT = """
import sys
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
sys.path[:0] = sys.argv[3:]
from test_lopt import Batches, HalvesConfig, LoPT, Run, StrategyConfig, adapter, build_strategy, inputs, task_loss

class Share(Batches):
    # every process its own of two batches; alone, one after the other
    def __iter__(self):
        world, rank = (dist.get_world_size(), dist.get_rank()) if dist.is_initialized() else (1, 0)
        for index, batch in enumerate(super().__iter__()):
            if index % world == rank:
                yield batch

folder, parts = sys.argv[1], int(sys.argv[2])
config = StrategyConfig(run_dir=folder, max_steps=3, learning_rate=1e-3, accumulation=parts, strategy="lopt", clip=0.1)
run, model = Run(config), adapter("qwen")
strategy = build_strategy(config, model)
for batch in run.steps(model, Share("qwen"), strategy):
    run.backward(task_loss(strategy.velocity(*batch)))
run.finish(model)
assert run.accelerator.num_processes * parts == 2

if parts == 1:
    from torch.distributed.fsdp import fully_shard
    wrapped, sharded, later = adapter("qwen"), adapter("qwen"), adapter("qwen")
    wrapped.module["transformer"] = DistributedDataParallel(wrapped.module["transformer"])
    whole = adapter("qwen")
    whole.module = DistributedDataParallel(whole.module)
    for block in sharded.module["transformer"].transformer_blocks:
        fully_shard(block)
    given = LoPT(later, HalvesConfig())
    fully_shard(later.module["transformer"])
    for refused in (lambda: LoPT(wrapped, HalvesConfig()), lambda: LoPT(whole, HalvesConfig()),
                    lambda: LoPT(sharded, HalvesConfig()), lambda: given.velocity(*inputs("qwen"))):
        try:
            refused()
        except TypeError as fault:
            assert "neither wrapped nor sharded" in str(fault) and "Run averages" in str(fault), fault
        else:
            raise AssertionError("a wrapper was taken")
"""


@pytest.mark.slow
def test_two_processes_equal_one_that_takes_both_their_batches(tmp_path):
    """One reduction a step, after both backward passes; what reduces by itself is refused."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    paths = [str(Path(__file__).parent), str(Path(tiny_flux.__file__).parent)]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run([sys.executable, script, tmp_path / "one", "2", *paths], check=True, timeout=300)
    subprocess.run([*torchrun, script, tmp_path / "two", "1", *paths], check=True, timeout=300)
    one, two = (load_file(tmp_path / run / "last" / "weights.safetensors") for run in ("one", "two"))
    assert any(name.startswith("reconstruction") for name in one)
    assert all(torch.allclose(one[name], two[name], atol=2e-6) for name in one)
