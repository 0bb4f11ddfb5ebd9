"""Weights shared out over two gloo processes: the same steps as replicated ones, whole checkpoints, half the bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_flux
import torch
import yaml
from accelerate.commands.config.config_args import ClusterConfig, load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils import DistributedType
from accelerate.utils.launch import prepare_multi_gpu_env
from diffusers import FluxPipeline, FluxTransformer2DModel, QwenImageTransformer2DModel
from PIL import Image
from safetensors.torch import load_file
from small_halves import adapter, inputs, task_loss
from small_stages import save_tiny_flux, write_posters, write_stage

from posterkit.training.config import RunConfig
from posterkit.training.language_model import LanguageModelConfig
from posterkit.training.lora import Trainable
from posterkit.training.run import Run
from posterkit.training.sharding import asks_for_sharding
from posterkit.training.stages import StageConfig

ROOT = Path(__file__).resolve().parents[2]
FSDP2 = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}
SETTINGS = {
    "flux": {"ema_decay": 0.9, "accumulation": 2, "clip": 0.05, "weight_decay": 0.1},
    "qwen": {"optimizer": "adafactor", "clip": 0.05, "ema_decay": 0.5},
}

SCRIPT = """
import os, sys
import torch
import torch.distributed as dist
from PIL import Image
from torch.distributed.tensor import DTensor
sys.path[:0] = sys.argv[2:]
from conftest import recipe
from diffusers import FluxTransformer2DModel
from small_halves import adapter, inputs, task_loss
from test_sharding import FSDP2, SETTINGS, Share
from posterkit.training.run import Run
from posterkit.training.lora import Trainable
from posterkit.training.stages import StageConfig

root = sys.argv[1]

def train(name, family, sharded, checkpointing=False, reshard="true", **settings):
    os.environ.update({**(FSDP2 if sharded else dict.fromkeys(FSDP2, "false")), "FSDP_RESHARD_AFTER_FORWARD": reshard})
    config = StageConfig(run_dir=f"{root}/{family}/{name}", max_steps=4, learning_rate=1e-3, log_every=1,
                         sample_every=2, **{**SETTINGS[family], **settings})
    run, model = Run(config), adapter(family)
    if checkpointing:
        model.module["transformer"].enable_gradient_checkpointing()
    count = sum(p.numel() for p in model.module.parameters())
    def draw():
        model.velocity(*inputs(family, seed=99))  # a collective where weights are sharded
        return Image.new("RGB", (4, 4))
    for batch in run.steps(model, Share(family), sample=draw):
        with run.autocast():
            loss = task_loss(model.velocity(*batch))
        run.backward(loss)
    held = sum((p.to_local() if isinstance(p, DTensor) else p).numel() for p in model.module.parameters())
    states = [v for of_one in run.optimizer.state.values() for v in of_one.values() if isinstance(v, torch.Tensor)]
    if sharded:
        assert held < 0.55 * count, (held, count)
        assert all(isinstance(value, DTensor) for value in states if value.ndim)
    else:
        assert held == count
    run.finish(model)
    assert run.accelerator.num_processes == 2
    dist.barrier()

for family in SETTINGS:
    train("replicated", family, False)
    train("sharded", family, True)
    train("halves", family, True, stop_at=2)
    train("halves", family, True)
train("zero2", "flux", True, reshard="false")
train("moved", "flux", False, stop_at=2)
train("moved", "flux", True)
train("bf16", "flux", False, precision="bf16")
train("bf16_sharded", "flux", True, precision="bf16", checkpointing=True)

for name, sharded in (("stage", False), ("stage_sharded", True)):  # the recipe itself, which draws with the pipeline
    os.environ.update(FSDP2 if sharded else dict.fromkeys(FSDP2, "false"))
    if sharded and dist.get_rank():  # its weights come from the first process
        FluxTransformer2DModel.from_pretrained = None
    sys.argv = ["train/stage1_text_render.py", "--config", f"{root}/{name}.yaml"]
    recipe("stage1_text_render").main()
    dist.barrier()
"""


class Share:
    """Endless batches that follow from the position alone; of two processes each takes every other one."""

    def __init__(self, family: str) -> None:
        self.family, self.position = family, 0

    def __iter__(self):
        dist = torch.distributed
        world, rank = (dist.get_world_size(), dist.get_rank()) if dist.is_initialized() else (1, 0)
        while True:
            self.position += 1
            yield inputs(self.family, seed=world * self.position + rank - world)

    def state_dict(self):
        return {"position": self.position}

    def load_state_dict(self, state):
        self.position = state["position"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """The run folders of SCRIPT on two processes."""
    root = tmp_path_factory.mktemp("runs")
    (root / "script.py").write_text(SCRIPT)
    base, posters = save_tiny_flux(root / "base"), write_posters(root / "set", 6, heldout=2)
    trainable = {"weights": "full", "gradient_checkpointing": True}
    for name in ("stage", "stage_sharded"):
        write_stage(root, name, base, posters, max_steps=2, sample_every=2, ema_decay=0.9, trainable=trainable)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    paths = [str(Path(__file__).parent), str(Path(tiny_flux.__file__).parent)]
    subprocess.run([*torchrun, root / "script.py", root, *paths], check=True, timeout=1800)
    return root


def state(run: Path, file: str = "weights") -> dict[str, torch.Tensor]:
    return load_file(run / "last" / f"{file}.safetensors")


def losses(run: Path) -> list[tuple[float, float]]:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [(row["loss"], row["grad_norm"]) for row in rows]


@pytest.mark.slow
@pytest.mark.parametrize("family", SETTINGS)
def test_sharded_steps_are_those_of_whole_weights(runs, family):
    whole, sharded = runs / family / "replicated", runs / family / "sharded"
    assert losses(sharded) == [pytest.approx(row, rel=1e-5) for row in losses(whole)]
    for file in ("weights", "ema"):
        one, other = state(whole, file), state(sharded, file)
        assert one.keys() == other.keys()
        assert all(torch.allclose(one[name], other[name], atol=1e-6) for name in one)


@pytest.mark.slow
@pytest.mark.parametrize("family", SETTINGS)
def test_two_processes_that_share_weights_equal_one_that_takes_both_their_batches(runs, family, tmp_path):
    settings = {**SETTINGS[family], "accumulation": 2 * SETTINGS[family].get("accumulation", 1)}
    run = Run(RunConfig(run_dir=str(tmp_path), max_steps=4, learning_rate=1e-3, **settings))
    model = adapter(family)
    for batch in run.steps(model, Share(family)):
        run.backward(task_loss(model.velocity(*batch)))
    sharded = state(runs / family / "sharded")
    for name, value in model.module.named_parameters():
        assert torch.allclose(value, sharded[name], atol=2e-6), name


@pytest.mark.slow
@pytest.mark.parametrize("family", SETTINGS)
def test_a_sharded_run_goes_on_bit_for_bit(runs, family):
    for file in ("weights", "optimizer", "ema"):
        a, b = ((runs / family / run / "last" / f"{file}.safetensors").read_bytes() for run in ("sharded", "halves"))
        assert a == b


@pytest.mark.slow
def test_weights_that_stay_whole_until_the_backward_pass_end_as_those_that_do_not(runs):
    """Pictures are drawn from averaged weights in between; what they had gathered is not what the next step uses."""
    for file in ("weights", "ema"):
        one, other = (state(runs / "flux" / run, file) for run in ("sharded", "zero2"))
        assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
def test_all_processes_draw_the_samples_of_a_sharded_stage_and_one_writes_them(runs):
    sheets = [
        np.asarray(Image.open(runs / run / "samples" / "0000002.png"), np.float32)
        for run in ("stage", "stage_sharded")
    ]
    assert sheets[0].std() > 1 and np.abs(sheets[0] - sheets[1]).max() <= 1
    assert losses(runs / "stage_sharded") == [pytest.approx(row, rel=1e-5) for row in losses(runs / "stage")]
    assert FluxPipeline.from_pretrained(runs / "stage_sharded" / "ema").transformer.config.num_layers == 2


@pytest.mark.slow
def test_a_run_of_whole_weights_goes_on_with_sharded_ones(runs):
    moved, whole = state(runs / "flux" / "moved"), state(runs / "flux" / "replicated")
    assert all(torch.allclose(moved[name], whole[name], atol=1e-6) for name in whole)


@pytest.mark.slow
def test_bfloat16_with_checkpointing_stays_beside_the_replicated_run(runs):
    whole, sharded = losses(runs / "flux" / "bf16"), losses(runs / "flux" / "bf16_sharded")
    assert sharded == [pytest.approx(row, rel=0.02) for row in whole]
    assert all(value.dtype == torch.float32 for value in state(runs / "flux" / "bf16_sharded").values())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "stock"), [("flux", FluxTransformer2DModel), ("qwen", QwenImageTransformer2DModel)]
)
def test_what_a_sharded_run_saves_is_whole_and_of_stock_classes(runs, family, stock):
    folder = runs / family / "sharded"
    for name, file in (("model", "weights"), ("ema", "ema")):
        saved = stock.from_pretrained(folder / name / "transformer", torch_dtype=torch.float32).state_dict()
        kept = state(folder, file)
        assert saved.keys() == {key.removeprefix("transformer.") for key in kept}
        assert all(torch.equal(saved[n.removeprefix("transformer.")], v.bfloat16().float()) for n, v in kept.items())


@pytest.mark.parametrize(
    ("environment", "changes", "said"),
    [
        ({"ACCELERATE_USE_DEEPSPEED": "true"}, {}, "DeepSpeed.*fsdp2"),
        ({"ACCELERATE_USE_MEGATRON_LM": "true"}, {}, "Megatron"),
        ({"ACCELERATE_USE_FSDP": "true"}, {}, "FSDP 1; set fsdp_version: 2"),
        ({**FSDP2, "FSDP_CPU_RAM_EFFICIENT_LOADING": "true"}, {}, "fsdp_cpu_ram_efficient_loading"),
        ({**FSDP2, "FSDP_ACTIVATION_CHECKPOINTING": "true"}, {}, "trainable.gradient_checkpointing"),
        ({**FSDP2, "FSDP_OFFLOAD_PARAMS": "true"}, {}, "fsdp_offload_params"),
        (FSDP2, {"trainable": Trainable("lora")}, "trainable.weights=lora is not sharded"),
        (FSDP2, {"strategy": "lopt"}, "strategy=lopt"),
        (FSDP2, {"optimizer": "adamw8bit"}, "optimizer=adamw8bit"),
    ],
)
def test_what_a_launcher_may_not_ask_for_is_said_in_one_line(monkeypatch, capsys, environment, changes, said):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit, match=said) as caught:
        asks_for_sharding(StageConfig(**changes))
    assert caught.value.code == 2 and capsys.readouterr().err.count("\n") == 1


def test_only_fsdp2_asks_for_sharding(monkeypatch):
    assert not asks_for_sharding(StageConfig())
    for name, value in FSDP2.items():
        monkeypatch.setenv(name, value)
    assert asks_for_sharding(StageConfig())
    with pytest.raises(SystemExit, match="stage 0 is small"):
        asks_for_sharding(RunConfig())
    with pytest.raises(SystemExit, match="LanguageModelConfig: it is not sharded; train a LoRA"):
        asks_for_sharding(LanguageModelConfig())


@pytest.mark.parametrize("name", ["ddp", "fsdp2", "zero2"])
def test_accelerate_reads_its_configs_and_a_run_takes_what_they_ask_for(name, monkeypatch):
    """The launcher's own parser and environment, without starting anything."""
    file = ROOT / "configs" / "accelerate" / f"{name}.yaml"
    config = load_config_from_file(str(file))
    assert isinstance(config, ClusterConfig)
    kinds = {"ddp": DistributedType.MULTI_GPU}
    assert config.distributed_type == kinds.get(name, DistributedType.FSDP)
    assert set(yaml.safe_load(file.read_text())) <= set(config.to_dict())
    arguments = launch_command_parser().parse_args(
        [f"--config_file={file}", "--num_processes=2", "train/stage1_text_render.py"]
    )
    arguments, *_ = _validate_launch_command(arguments)
    for variable, value in prepare_multi_gpu_env(arguments).items():
        if variable.startswith(("FSDP_", "ACCELERATE_")):
            monkeypatch.setenv(variable, value)
    assert asks_for_sharding(StageConfig()) == (name != "ddp")
    if name != "ddp":
        assert os.environ["FSDP_RESHARD_AFTER_FORWARD"] == str(name == "fsdp2").lower()
