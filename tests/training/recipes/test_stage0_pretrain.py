"""Both families end to end through the real recipe, at nano size."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from diffusers import FluxPipeline
from PIL import Image
from safetensors.torch import load_file

from posterkit import PosterCraftPipeline, PosterOmniPipeline
from posterkit.datasets import SyntheticPosters
from posterkit.tasks import TASKS
from posterkit.training.adapters.autoencoder import Autoencoder
from posterkit.training.adapters.flux import FluxAdapter
from posterkit.training.adapters.qwen import QwenAdapter

MINI = Path(__file__).parents[3] / "configs" / "mini"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("postercraft", {"guidance": [1.0, 4.0], "ema_decay": 0.9}),
        ("posteromni", {"accumulation": 2, "ema_decay": 0.0}),
    ],
)
def test_a_stopped_run_goes_on_bit_for_bit_and_saves_what_the_pipelines_open(
    nano_recipe, run_recipe, tmp_path, name, settings
):
    run_recipe("stage0_pretrain", nano_recipe(name, "whole", max_steps=4, **settings))
    halves = nano_recipe(name, "halves", max_steps=4, **settings)
    run_recipe("stage0_pretrain", halves, "stop_at=2")
    run_recipe("stage0_pretrain", halves)
    for file in ("weights", "optimizer", *(["ema"] if settings["ema_decay"] else [])):
        whole, again = (load_file(tmp_path / run / "last" / f"{file}.safetensors") for run in ("whole", "halves"))
        assert all(torch.equal(whole[key], again[key]) for key in whole)
    for config in (tmp_path / "halves" / "model").glob("*/config.json"):
        assert "_name_or_path" not in config.read_text()  # nobody's folders in what is passed on
    pipeline = {"postercraft": PosterCraftPipeline, "posteromni": PosterOmniPipeline}[name]
    pipe = pipeline.from_pretrained(tmp_path / "halves" / "model")
    assert pipe.transformer.dtype == torch.float32 and pipe.text_encoder.dtype == torch.float32
    if name == "postercraft":
        FluxPipeline.from_pretrained(tmp_path / "halves" / "model")


@pytest.fixture(scope="module")
def samples():
    source = SyntheticPosters(seed=5, tasks=tuple(TASKS), sizes=((64, 96),))
    return [source.sample(index, task=task) for index, task in enumerate(TASKS)]


def test_training_sees_the_condition_that_the_flux_pipeline_makes(nano_recipe, run_recipe, tmp_path):
    run_recipe("stage0_pretrain", nano_recipe("postercraft", "run", max_steps=1))
    model = FluxAdapter.from_pretrained(tmp_path / "run" / "model")
    source = SyntheticPosters(seed=5, tasks=("text",), sizes=((64, 96),))
    batch = model.collate(model.precompute([source[0], source[1]]))
    with torch.no_grad():
        _, condition = model.encode(batch, torch.tensor([False, True]))
        pipe = model.pipeline()
        prompt, pooled, _ = pipe.encode_prompt([source[0].caption, ""], max_sequence_length=72)
    assert torch.allclose(condition.prompt, prompt, atol=1e-5)
    assert torch.allclose(condition.pooled, pooled, atol=1e-5)


@pytest.mark.parametrize("replicate_edges", [pytest.param(False, marks=pytest.mark.slow), True])
def test_training_sees_the_condition_that_the_qwen_pipeline_makes(
    nano_recipe, run_recipe, tmp_path, samples, replicate_edges
):
    run_recipe("stage0_pretrain", nano_recipe("posteromni", "run", max_steps=1))
    model = QwenAdapter.from_pretrained(tmp_path / "run" / "model")
    model.defaults["replicate_edges"] = replicate_edges
    pipe = model.pipeline()
    for sample in samples:
        with torch.no_grad():
            batch = model.collate(model.precompute([sample]))
            clean, condition = model.encode(batch)
            posters = pipe.prepare_references(
                [Image.fromarray(reference) for reference in sample.references],
                sample.words,
                sample.task,
                mask_image=Image.fromarray(sample.mask) if sample.task == "filling" else None,
                anchor=sample.placed[:2] if sample.task == "extending" else "center",
                width=64,
                height=96,
            )
            embeds, mask = pipe.encode_prompt([posters[0].instruction], [posters[0].pictures])
            tokens = pipe.encode_references(posters)[0]
        assert mask is None and torch.allclose(condition.prompt, embeds, atol=2e-3), sample.task
        assert torch.allclose(condition.references[0], tokens, atol=2e-2), sample.task
        assert clean.shape == (1, 64 * 96 // 256, 32)


def test_dropped_words_leave_the_negative_prompt_and_the_references(nano_recipe, run_recipe, tmp_path, samples):
    run_recipe("stage0_pretrain", nano_recipe("posteromni", "run", max_steps=1))
    model = QwenAdapter.from_pretrained(tmp_path / "run" / "model")
    sample = next(sample for sample in samples if sample.task == "style_driven")
    with torch.no_grad():
        _, dropped = model.encode(model.collate(model.precompute([sample])), torch.tensor([True]))
        posters = model.pipeline().prepare_references(
            [Image.fromarray(r) for r in sample.references], "x", "style_driven", width=64, height=96
        )
        empty, _ = model.pipeline().encode_prompt([" "], [posters[0].pictures])
    kept = dropped.prompt[0][dropped.mask[0]]
    assert torch.allclose(kept, empty[0], atol=2e-3)


@pytest.mark.slow
def test_the_autoencoder_recipe_learns_and_writes_latent_statistics(run_recipe, tmp_path):
    root = Path(__file__).resolve().parents[3]
    config = yaml.safe_load((root / "configs" / "mini" / "stage0_autoencoder.yaml").read_text())
    config["model"]["flux"] |= {"block_out_channels": [8, 8, 8, 8]}
    config |= {"run_dir": str(tmp_path / "run"), "max_steps": 12, "batch_size": 4, "crop": 32, "log_every": 2,
               "sample_every": 6, "warmup_steps": 0, "precision": "fp32"}  # fmt: skip
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    run_recipe("stage0_autoencoder", tmp_path / "config.yaml")
    losses = [json.loads(line)["loss"] for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert losses[-1] < losses[0]
    saved = json.loads((tmp_path / "run" / "ema" / "config.json").read_text())
    assert saved["scaling_factor"] > 0 and isinstance(saved["shift_factor"], float)
    assert np.asarray(Image.open(tmp_path / "run" / "samples" / "0000012.png")).shape == (384, 1024, 3)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("postercraft", "transformer.num_layer"), ("postercraft", "text_encoder_2.d_modell"),
        ("posteromni", "text_encoder.vision_config.depths"), ("posteromni", "defaults.reference_arena"),
    ],
)  # fmt: skip
def test_a_model_value_that_its_class_does_not_know_is_named(nano_recipe, run_recipe, name, key):
    with pytest.raises(SystemExit, match=f'unknown key "{key.rpartition(".")[2]}" \\(did you mean'):
        run_recipe("stage0_pretrain", nano_recipe(name, "run", max_steps=1), f"model.{key}=1")


@pytest.mark.parametrize(
    ("name", "override", "said"),
    [
        ("posteromni", "guidance=[1,5]", "guidance takes"),
        ("postercraft", "data.tasks=[filling]", "learns text"),
        ("posteromni", "data.tasks=[foo]", "data.tasks holds ['foo']"),
        ("postercraft", "init_from=nowhere", "nowhere: no such folder"),
        ("postercraft", "autoencoder=null", "needs `autoencoder`"),
        ("postercraft", "run_dir=[a", "the value is not YAML"),
    ],
)
def test_a_config_that_cannot_work_ends_with_one_line_and_code_2(
    nano_recipe, run_recipe, capsys, name, override, said
):
    with pytest.raises(SystemExit) as ended:
        run_recipe("stage0_pretrain", nano_recipe(name, "run", max_steps=1), override)
    error = capsys.readouterr().err
    assert ended.value.code == 2 and said in error and error.count("\n") == 1


def test_another_tokenizer_or_another_area_is_another_cache(nano_recipe, run_recipe, tmp_path):
    run_recipe("stage0_pretrain", nano_recipe("posteromni", "run", max_steps=1))
    first, again, other, blank = (QwenAdapter.from_pretrained(tmp_path / "run" / "model") for _ in range(4))
    assert first.fingerprint() == again.fingerprint()
    other.parts["tokenizer"].add_tokens(["posterish"])
    again.defaults["condition_area"] = 3136
    blank.defaults["replicate_edges"] = False
    assert len({adapter.fingerprint() for adapter in (first, again, other, blank)}) == 4
    same = QwenAdapter.from_pretrained(tmp_path / "run" / "model")
    same.defaults["num_inference_steps"] = 99  # nothing that encoding knows of
    assert same.fingerprint() == first.fingerprint()
    same.parts["processor"].image_processor.min_pixels = 4 * 784
    assert same.fingerprint() != first.fingerprint()


def test_words_start_at_the_scale_of_what_the_encoders_layers_will_add():
    vae, recipe = (
        yaml.safe_load((MINI / f"stage0_{name}.yaml").read_text()) for name in ("autoencoder", "pretrain_posteromni")
    )
    frozen = Autoencoder.from_config("qwen", vae["model"]["qwen"])
    model = QwenAdapter.from_config(recipe["model"], frozen, ["a green poster", "a purple poster"])
    words = model.module["text_encoder"].get_input_embeddings().weight
    assert words.std().item() == pytest.approx(1, rel=0.05)


def test_tokens_that_the_task_keeps_are_told_from_those_it_makes(nano_recipe, run_recipe, tmp_path, samples):
    run_recipe("stage0_pretrain", nano_recipe("posteromni", "run", max_steps=1))
    model = QwenAdapter.from_pretrained(tmp_path / "run" / "model")
    for sample, row in zip(samples, model.precompute(samples), strict=True):
        assert row["made"].shape == (64 * 96 // 256,)
        if TASKS[sample.task].keeps_pixels:
            assert row["made"].mean().item() == pytest.approx((sample.mask > 127).mean(), abs=0.02)
        else:
            assert row["made"].min() == 1
