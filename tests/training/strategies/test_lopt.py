"""Training by halves on the real transformers, float32: the identities that prove LoPT right, and its edges."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import pytest
import tiny_qwen
import torch
from diffusers import FluxTransformer2DModel, QwenImageTransformer2DModel
from small_halves import FAMILIES, STREAMS, adapter, blocks, gradients, inputs, late_names, task_loss
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from posterkit.training.adapters.flux import FluxCondition
from posterkit.training.adapters.qwen import QwenCondition
from posterkit.training.config import load_config
from posterkit.training.strategies import (
    FrozenHalf,
    HalvesConfig,
    LoPT,
    StrategyConfig,
    build_strategy,
    reconstruction_error,
)


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
    with pytest.raises(FloatingPointError, match="error is nan"):
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
