"""PosterOmni's experts through the real recipe, at nano size: the loss by stock parts, exact resume, refusals."""

from __future__ import annotations

import json
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import QwenImageEditPlusPipeline
from PIL import Image
from safetensors.torch import load_file
from small_omni import StockEdit, save_tiny_qwen, write_tasks
from small_stages import log_of, write_posters, write_stage

from posterkit import PosterOmniPipeline
from posterkit.datasets import PosterDataset, PosterSample
from posterkit.tasks import TASKS
from posterkit.training.adapters.qwen import as_edit
from posterkit.training.lora_files import read_lora

RECIPE = "stage2_experts"
LORA = {"weights": "lora", "rank": 2}
GLOBAL = {"layout_driven": [0, 1, 2], "style_driven": [0, 1, 2]}


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return save_tiny_qwen(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def posters(tmp_path_factory) -> Path:
    return write_tasks(tmp_path_factory.mktemp("set"), {**GLOBAL, "rescaling": [1, 2, 4]}, heldout=1)


@pytest.fixture(scope="module")
def texts(tmp_path_factory) -> Path:
    return write_posters(tmp_path_factory.mktemp("texts"), 2)


def stage(folder: Path, run: str, base: Path, posters: Path, texts: Path, **overrides) -> Path:
    text = {"path": str(texts), "cache": str(folder / "cache")}
    config = {"group": "global", "trainable": LORA, "text": text, "text_share": 0.5, **overrides}
    return write_stage(folder, run, base, posters, **config)


def blanked(sample: PosterSample) -> PosterSample:
    """What filling shows of a picture without its texts: grey where they stood, all grey where none is known."""
    picture = sample.target.copy()
    for x0, y0, x1, y1 in [region.box for region in sample.regions] or [(0, 0, 64, 96)]:
        picture[y0:y1, x0:x1] = 128
    sample.references = [picture]
    sample.instruction = f"Fill the empty area of the poster so that it fits its surroundings. {sample.caption}"
    return sample


def loss_of(model: StockEdit, samples: list[PosterSample], generator: torch.Generator) -> float:
    """One step's loss for samples in this order."""
    torch.rand(2, generator=generator)  # which words are dropped: none
    t = torch.rand(2, generator=generator)
    x0 = torch.cat([model.tokens(Image.fromarray(sample.target)) for sample in samples])
    noise = torch.randn(x0.shape, generator=generator)
    x = (1 - t[:, None, None]) * x0 + t[:, None, None] * noise
    v = torch.cat([model.velocity(sample, x[n : n + 1], t[n : n + 1]) for n, sample in enumerate(samples)])
    return float(((v - (noise - x0)).numpy().astype(np.float64) ** 2).mean())


def test_the_losses_of_a_task_and_of_rendered_text_are_those_of_stock_parts(base, texts, run_recipe, tmp_path):
    posters = write_tasks(tmp_path / "set", {"style_driven": [0, 1]})
    config = stage(tmp_path, "run", base, posters, texts, max_steps=2, learning_rate=1e-12)
    run_recipe(RECIPE, config, "data.tasks=[style_driven]")
    stock, generator = StockEdit(base), torch.Generator().manual_seed(0)
    sets = list(PosterDataset(posters)), [blanked(sample) for sample in PosterDataset(texts)]
    for row, samples in zip(log_of(tmp_path / "run"), sets, strict=True):
        state = generator.get_state()
        expected = [loss_of(stock, list(order), generator.set_state(state)) for order in permutations(samples)]
        assert min(abs(row["loss"] - one) for one in expected) < 1e-5 and abs(expected[0] - expected[1]) > 1e-4


def test_text_becomes_an_edit_of_its_own_picture_and_other_samples_stay(texts, posters):
    sample = PosterDataset(texts)[0]
    edit, (x0, y0, x1, y1) = as_edit(sample), sample.regions[0].box
    assert edit.task == "filling" and np.array_equal(edit.references[0], sample.target) and edit.mask is not None
    assert (edit.mask[y0:y1, x0:x1] == 255).all() and sample.caption in edit.instruction
    area = np.zeros(edit.mask.shape, bool)
    for region in sample.regions:
        area[region.box[1] : region.box[3], region.box[0] : region.box[2]] = True
    assert np.array_equal(edit.mask == 255, area) and 0 < area.mean() < 1
    sample.regions = []
    unmarked = as_edit(sample).mask
    assert unmarked is not None and (unmarked == 255).all()
    poster = PosterDataset(posters)[0]
    assert as_edit(poster) is poster


@pytest.mark.parametrize(("group", "count"), [("local", 4), ("global", 2), ("joint", 6)])
def test_an_expert_learns_the_tasks_of_its_group(group, count, run_recipe):
    import stage2_experts

    config = stage2_experts.ExpertsConfig(group=group, run_dir="runs/{group}", init_from="mini:posteromni")
    config.check()
    assert len(config.tasks) == count and config.run_dir == f"runs/{group}"
    assert group == "joint" or {TASKS[task].group for task in config.tasks} == {group}


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"ema_decay": 0.9, "accumulation": 2, "schedule": "cosine", "warmup_steps": 2, "drop_prompt": 0.5},
        {"strategy": "lopt", "trainable": {**LORA, "gradient_checkpointing": True}},
        {"strategy": "frozen_half", "trainable": {"weights": "dora", "rank": 2}},
    ],
    ids=["lora", "lopt", "frozen_half"],
)
def test_a_stopped_run_goes_on_bit_for_bit(base, posters, texts, run_recipe, tmp_path, settings):
    whole, halves = (stage(tmp_path, run, base, posters, texts, **settings) for run in ("whole", "halves"))
    run_recipe(RECIPE, whole)
    run_recipe(RECIPE, halves, "stop_at=2")
    run_recipe(RECIPE, halves)
    for name in ("weights", "optimizer", *(["ema"] if "ema_decay" in settings else [])):
        a, b = ((tmp_path / run / "last" / f"{name}.safetensors").read_bytes() for run in ("whole", "halves"))
        assert a == b
    assert [row["loss"] for row in log_of(tmp_path / "whole")] == [row["loss"] for row in log_of(tmp_path / "halves")]


@pytest.mark.slow
def test_what_is_written_is_a_lora_that_knows_its_group_and_stock_pipelines_load(
    base, posters, texts, run_recipe, tmp_path
):
    run_recipe(RECIPE, stage(tmp_path, "run", base, posters, texts, learning_rate=0.05, sample_every=4))
    folder = tmp_path / "run" / "model"
    lora = read_lora(folder)
    assert (
        lora.name == "global"
        and lora.config["r"] == 2
        and [file.name for file in folder.rglob("*.safetensors")] == ["pytorch_lora_weights.safetensors"]
    )
    assert all(lora.weights[f"{layer}.lora_B.weight"].abs().max() > 0 for layer in lora.layers if "to_q" in layer)
    pipe = QwenImageEditPlusPipeline(**PosterOmniPipeline.from_pretrained(base).components)
    pipe.load_lora_weights(folder)
    loaded = dict(pipe.transformer.named_parameters())
    for name, value in load_file(tmp_path / "run" / "last" / "weights.safetensors").items():
        assert torch.equal(loaded[name.removeprefix("transformer.").replace(".global.", ".default_0.")], value)
    shown = json.loads((tmp_path / "run" / "samples" / "0000004.json").read_text())
    assert set(shown) == {"made", "posters"}


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("group=both", "\"group\" is 'both'; accepted: local, global, joint"),
        ("grup=local", 'unknown key "grup" (did you mean "group"?)'),
        (
            "trainable.weights=full",
            "trainable.weights is full; PosterOmni's experts and their student are lora or dora",
        ),
        ("text_share=1", "text_share must lie in [0, 1), got 1.0"),
        ("data.tasks=[filling]", "data.tasks holds filling; this run learns layout_driven, style_driven"),
        ("group=local", "holds no sample of extending, filling, id_driven; see data.tasks"),
        ("init_from=mini:postercraft", "is a checkpoint of postercraft; this stage trains posteromni"),
        ("text.path=nowhere", "nowhere: there is no such folder"),
        ("base=bf16", "base is bf16 and precision fp32, but a base in bfloat16 computes in it under a LoRA"),
        ("trainable.targets=[to_qq]", 'ends in "to_qq" (did you mean "to_q"?)'),
    ],
)
def test_a_call_that_cannot_work_ends_with_one_line_and_code_2(
    base, posters, texts, run_recipe, tmp_path, capsys, override, said
):
    with pytest.raises(SystemExit) as ended:
        run_recipe(RECIPE, stage(tmp_path, "run", base, posters, texts), override)
    error = capsys.readouterr().err
    assert ended.value.code == 2 and said in error and error.count("posterkit:") == 1
    assert not (tmp_path / "run" / "last").exists()


@pytest.mark.slow
def test_a_base_in_bfloat16_under_a_lora_in_float32_draws_its_samples(base, posters, texts, run_recipe, tmp_path):
    settings = {"precision": "bf16", "sample_every": 1, "max_steps": 1}
    run_recipe(RECIPE, stage(tmp_path, "run", base, posters, texts, **settings), "base=bf16")
    with Image.open(tmp_path / "run" / "samples" / "0000001.png") as sheet:
        assert np.asarray(sheet).std() > 0
