"""Stage 1 through the real recipe, at nano size: the loss by an independent route, exact resume, what it draws."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import FluxPipeline
from PIL import Image
from safetensors.torch import load_file
from small_stages import log_of, save_tiny_flux, write_posters, write_stage

from posterkit import PosterCraftPipeline
from posterkit.datasets import PosterDataset
from posterkit.training.loading import encoding
from posterkit.training.loading.sets import SetConfig, TextOnArt
from posterkit.training.lora_files import read_lora

RECIPE = "stage1_text_render"
ROOT = Path(__file__).resolve().parents[3]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return save_tiny_flux(tmp_path_factory.mktemp("base"))


@pytest.mark.parametrize(("guidance", "dev"), [(1.0, True), (3.5, True), (3.5, False)], ids=["1", "3.5", "schnell"])
def test_the_first_loss_is_the_mean_squared_error_of_stock_parts(run_recipe, tmp_path, guidance, dev):
    base = save_tiny_flux(tmp_path / "base", guidance=dev)
    posters = write_posters(tmp_path / "set", 1)
    config = write_stage(tmp_path, "run", base, posters, max_steps=1, batch_size=1, seed=3, guidance=guidance)
    run_recipe(RECIPE, config)
    pipe, sample = FluxPipeline.from_pretrained(base), PosterDataset(posters)[0]
    generator = torch.Generator().manual_seed(3000)
    with torch.no_grad():
        picture = pipe.image_processor.preprocess(sample.target[None] / 255.0)  # as the image-to-image pipelines do it
        latents = pipe.vae.encode(picture.float()).latent_dist.mean
        latents = ((latents - pipe.vae.config.shift_factor) * pipe.vae.config.scaling_factor).half().float()
        prompt, pooled, text_ids = pipe.encode_prompt([sample.caption], max_sequence_length=16)
        torch.rand(1, generator=generator)  # whether the words are dropped
        t = torch.rand(1, generator=generator)
        x0 = FluxPipeline._pack_latents(latents, 1, *latents.shape[1:])
        noise = torch.randn(x0.shape, generator=generator)
        v = pipe.transformer(
            hidden_states=torch.lerp(x0, noise, t), timestep=t, guidance=torch.tensor([guidance]) if dev else None,
            pooled_projections=pooled, encoder_hidden_states=prompt, txt_ids=text_ids,
            img_ids=FluxPipeline._prepare_latent_image_ids(1, 96 // 16, 64 // 16, "cpu", torch.float32),
        ).sample  # fmt: skip
    expected = np.square(v.numpy().astype(np.float64) - (noise - x0).numpy()).mean()
    assert log_of(tmp_path / "run")[0]["loss"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"ema_decay": 0.9, "accumulation": 2, "optimizer": "adafactor", "drop_prompt": 0.3},
        {"ema_decay": 0.9, "accumulation": 2, "trainable": {"weights": "dora", "rank": 2}},
        {"strategy": "lopt", "halves": {"target": "anchor"}},
    ],
    ids=["full", "dora", "lopt"],
)
def test_a_stopped_run_that_draws_its_own_set_goes_on_bit_for_bit(base, run_recipe, tmp_path, settings):
    for run, stops in (("whole", [[]]), ("halves", [["stop_at=2"], []])):
        for stop in stops:
            run_recipe(RECIPE, write_stage(tmp_path, run, base, None, **settings), *stop)
    for name in ("weights", "optimizer", *(["ema"] if "ema_decay" in settings else [])):
        a, b = ((tmp_path / run / "last" / f"{name}.safetensors").read_bytes() for run in ("whole", "halves"))
        assert a == b
    assert (tmp_path / "whole" / "set" / "samples.jsonl").read_text() == (
        tmp_path / "halves" / "set" / "samples.jsonl"
    ).read_text()


@pytest.mark.slow
def test_times_shift_with_the_posters_size_where_the_config_leaves_it_to_the_scheduler(base, run_recipe, tmp_path):
    for run, setting in (("null", None), ("same", None), ("plain", 1.0)):
        config = write_stage(tmp_path, run, base, None, max_steps=2, time_shift=setting)
        run_recipe("stage1_text_render", config)
    found = {run: [row["loss"] for row in log_of(tmp_path / run)] for run in ("null", "same", "plain")}
    assert found["null"] == found["same"] != found["plain"]


@pytest.mark.slow
@pytest.mark.parametrize("room", [float("inf"), 0.0])
def test_words_of_a_sheet_are_read_once_and_alike_where_the_transformer_waits(
    base, run_recipe, tmp_path, monkeypatch, room
):
    read, encode = [], PosterCraftPipeline.encode_prompt

    def counted(pipe, prompt, *args, **named):
        read.append(prompt)
        return encode(pipe, prompt, *args, **named)

    monkeypatch.setattr(encoding, "free_bytes", lambda device: room)
    monkeypatch.setattr(PosterCraftPipeline, "encode_prompt", counted)
    posters = write_posters(tmp_path / "set", 2, heldout=2)
    run_recipe(RECIPE, write_stage(tmp_path, "run", base, posters, max_steps=2, sample_every=1))
    assert len(list((tmp_path / "run" / "samples").glob("*.png"))) == 3
    assert len(read) == 2  # posters; three sheets show them
    shown = np.asarray(Image.open(tmp_path / "run" / "samples" / "0000000.png")).astype(int)
    if _FIRST:
        assert np.array_equal(shown, _FIRST[0])
    _FIRST.append(shown)


_FIRST: list[np.ndarray] = []


@pytest.mark.slow
@pytest.mark.parametrize("weights", ["full", "lora"])
def test_compiled_blocks_train_to_about_the_same_weights(base, run_recipe, tmp_path, weights):
    found = []
    for compiled in (False, True):
        trainable = {"weights": weights, "rank": 2, "gradient_checkpointing": True}
        settings = {"max_steps": 2, "compile": compiled, "trainable": trainable}
        run_recipe(RECIPE, write_stage(tmp_path, f"run{compiled}", base, None, **settings))
        found.append(load_file(tmp_path / f"run{compiled}" / "last" / "weights.safetensors"))
    assert found[0].keys() == found[1].keys()
    for name, value in found[0].items():
        torch.testing.assert_close(found[1][name], value, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_the_next_stage_starts_from_the_averaged_weights(base, run_recipe, tmp_path):
    run_recipe(RECIPE, write_stage(tmp_path, "first", base, None, max_steps=2, ema_decay=0.9))
    run_recipe("stage2_region_sft", write_stage(
        tmp_path, "second", tmp_path / "first", write_posters(tmp_path / "set", 2), max_steps=1, learning_rate=1e-12
    ))  # fmt: skip
    averaged, last, second = (
        PosterCraftPipeline.from_pretrained(tmp_path / folder).transformer.state_dict()
        for folder in ("first/ema", "first/model", "second/model")
    )
    assert all(torch.equal(second[name], averaged[name]) for name in second)
    assert not all(torch.equal(second[name], last[name]) for name in second)


def test_a_run_that_has_not_ended_is_no_start(base, run_recipe, tmp_path, capsys):
    run_recipe(RECIPE, write_stage(tmp_path, "first", base, None, max_steps=1))
    shutil.rmtree(tmp_path / "first" / "model")  # killed before it wrote them
    with pytest.raises(SystemExit):
        run_recipe(RECIPE, write_stage(tmp_path, "second", tmp_path / "first", None))
    assert "first: the run in this folder has not come to its end; start it again" in capsys.readouterr().err


@pytest.mark.slow
def test_a_dora_is_left_alone_in_the_run_folder_and_opens_in_stock_diffusers(base, run_recipe, tmp_path):
    settings = {"trainable": {"weights": "dora", "rank": 2, "targets": ["to_q"]}, "base": "bf16", "precision": "bf16"}
    run_recipe(RECIPE, write_stage(tmp_path, "run", base, None, max_steps=1, sample_every=1, **settings))
    held = [path.name for path in (tmp_path / "run" / "model").rglob("*.safetensors")]
    assert held == ["pytorch_lora_weights.safetensors"]  # beside it lie the card and its pictures
    assert read_lora(tmp_path / "run" / "model").config["use_dora"]
    pipe = FluxPipeline.from_pretrained(base)
    pipe.load_lora_weights(tmp_path / "run" / "model")
    assert len(pipe.get_active_adapters()) == 1


def test_text_on_art_is_held_out_by_number_and_says_what_stands_there():
    source = TextOnArt(SetConfig(count=5, sizes=[[160, 160]]))
    samples = [source[number] for number in range(8)]
    assert [sample.split for sample in samples] == ["train"] * 5 + ["heldout"] * 3
    assert all(len(sample.texts) == 1 and sample.texts[0].text in sample.caption for sample in samples)
    assert np.array_equal(TextOnArt(SetConfig(count=5, sizes=[[160, 160]]))[3].target, samples[3].target)
    assert len({sample.target.tobytes() for sample in samples}) == 8


def test_another_set_than_the_one_drawn_is_refused(base, run_recipe, tmp_path, capsys):
    config = write_stage(tmp_path, "run", base, None, max_steps=1)
    run_recipe(RECIPE, config)
    with pytest.raises(SystemExit) as ended:
        run_recipe(RECIPE, config, "data.count=9")
    assert ended.value.code == 2 and "begun with data.count=6, now 9" in capsys.readouterr().err


@pytest.mark.slow
def test_encoders_in_bfloat16_leave_what_trains_in_float32(base, run_recipe, tmp_path):
    run_recipe(RECIPE, write_stage(tmp_path, "run", base, None, max_steps=1, sample_every=1, base="bf16"))
    assert (tmp_path / "run" / "samples" / "0000001.png").is_file()  # parts of two dtypes draw together
    weights = load_file(tmp_path / "run" / "last" / "weights.safetensors")
    assert {value.dtype for value in weights.values()} == {torch.float32}
    (shard,) = (tmp_path / "cache").rglob("*.safetensors")
    kept = load_file(shard)
    assert {value.dtype for name, value in kept.items() if name.endswith("prompt")} == {torch.bfloat16}


@pytest.mark.slow
def test_two_processes_draw_one_set_and_go_on_bit_for_bit(base, tmp_path):
    settings = {"ema_decay": 0.9, "batch_size": 1}
    for run, stops in (("whole", [[]]), ("halves", [["stop_at=2"], []])):
        config = write_stage(tmp_path, run, base, None, **settings)
        for stop in stops:
            call = [*TORCHRUN, ROOT / "train" / f"{RECIPE}.py", "--config", config, *stop]
            subprocess.run(call, check=True, timeout=300)
    whole, halves = (load_file(tmp_path / run / "last" / "weights.safetensors") for run in ("whole", "halves"))
    assert all(torch.equal(value, halves[name]) for name, value in whole.items())
    record = json.loads((tmp_path / "whole" / "last" / "state.json").read_text())
    assert len(record["random"]) == 2


@pytest.mark.slow
@pytest.mark.parametrize("launcher", [[], ["-m", "accelerate.commands.launch", "--cpu", "--num_processes", "1"]])
def test_the_recipe_runs_alone_on_a_fresh_clone(tmp_path, launcher):
    call = [sys.executable, *launcher, ROOT / "train" / f"{RECIPE}.py", f"run_dir={tmp_path / 'run'}", "max_steps=2"]
    done = subprocess.run([*call, "data.count=48", "batch_size=4"], timeout=300, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "taking configs/mini/stage1_text_render.yaml" in done.stdout
    PosterCraftPipeline.from_pretrained(tmp_path / "run" / "ema")
