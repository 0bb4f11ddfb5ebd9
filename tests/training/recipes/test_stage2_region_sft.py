"""Stage 2 through the real recipe, at nano size: the loss by an independent route, exact resume, what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import FluxPipeline
from PIL import Image
from safetensors.torch import load_file, save_file
from small_stages import log_of, save_tiny_flux, write_posters, write_stage

from posterkit.datasets import PosterDataset
from posterkit.training.lora_files import read_lora
from posterkit.training.state import newest_state

RECIPE = "stage2_region_sft"


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return save_tiny_flux(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def posters(tmp_path_factory) -> Path:
    return write_posters(tmp_path_factory.mktemp("set"), 6, heldout=2)


def first_loss(base: Path, posters: PosterDataset, order: list[int], power: int, **weights: float) -> float:
    """The loss of the first step: stock FluxPipeline's parts, a pixel map painted by hand, numpy."""
    pipe = FluxPipeline.from_pretrained(base)
    generator = torch.Generator().manual_seed(0)
    torch.rand(2, generator=generator)  # which words are dropped: none
    t = torch.rand(2, generator=generator)
    tokens, maps, captions = [], [], []
    for number in order:
        sample = posters[number]
        height, width = sample.target.shape[:2]
        picture = torch.from_numpy(sample.target.copy()).permute(2, 0, 1)[None] / 127.5 - 1
        latents = pipe.vae.encode(picture).latent_dist.mode() - pipe.vae.config.shift_factor
        latents = (latents * pipe.vae.config.scaling_factor).half().float()
        tokens.append(FluxPipeline._pack_latents(latents, 1, *latents.shape[1:]))
        painted = np.ones((height, width))
        for role in ("major", "minor"):
            for region in sample.regions:
                x0, y0, x1, y1 = region.box
                if region.role == role:
                    painted[y0:y1, x0:x1] = weights[role]
        maps.append(painted.reshape(height // 16, 16, width // 16, 16).mean((1, 3)).ravel())
        captions.append(sample.caption)
    x0 = torch.cat(tokens)
    noise = torch.randn(x0.shape, generator=generator)
    prompt, pooled, text_ids = pipe.encode_prompt(captions, max_sequence_length=16)
    x = (1 - t[:, None, None]) * x0 + t[:, None, None] * noise
    v = pipe.transformer(
        hidden_states=x, timestep=t, guidance=torch.ones(2), pooled_projections=pooled,
        encoder_hidden_states=prompt, txt_ids=text_ids,
        img_ids=FluxPipeline._prepare_latent_image_ids(1, 96 // 16, 64 // 16, "cpu", torch.float32),
    ).sample  # fmt: skip
    error = (v - (noise - x0)).detach().numpy().astype(np.float64) ** 2
    return float((error * np.stack(maps)[..., None] ** power).mean())


@torch.no_grad()
@pytest.mark.parametrize("settings", [{"power": 2}, {"power": 1}, {"major": 1.0, "minor": 1.0}])
def test_the_first_loss_is_that_of_stock_parts_and_a_painted_map(base, run_recipe, tmp_path, settings):
    posters = write_posters(tmp_path / "set", 2)
    config = write_stage(tmp_path, "run", base, posters, max_steps=1, **settings)
    with torch.enable_grad():
        run_recipe(RECIPE, config)
    expected = {"power": 2, "major": 0.6, "minor": 0.2, **settings}
    either = [first_loss(base, PosterDataset(posters), order, **expected) for order in ([0, 1], [1, 0])]
    loss = log_of(tmp_path / "run")[0]["loss"]
    assert min(abs(loss - one) for one in either) < 1e-5 and abs(either[0] - either[1]) > 1e-4


LORA = {"weights": "lora", "rank": 2, "targets": ["to_q", "to_v"]}


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"ema_decay": 0.9, "accumulation": 2, "schedule": "cosine", "warmup_steps": 2, "optimizer": "adafactor"},
        {"ema_decay": 0.9, "accumulation": 2, "trainable": LORA, "drop_prompt": 0.5},
        {"strategy": "lopt", "trainable": {"gradient_checkpointing": True}, "time": "logit_normal"},
    ],
    ids=["full", "lora", "lopt"],
)
def test_a_stopped_run_goes_on_bit_for_bit(base, posters, run_recipe, tmp_path, settings):
    whole = write_stage(tmp_path, "whole", base, posters, **settings)
    halves = write_stage(tmp_path, "halves", base, posters, **settings)
    run_recipe(RECIPE, whole)
    run_recipe(RECIPE, halves, "stop_at=2")
    run_recipe(RECIPE, halves)
    for name in ("weights", "optimizer", *(["ema"] if "ema_decay" in settings else [])):
        a, b = ((tmp_path / run / "last" / f"{name}.safetensors").read_bytes() for run in ("whole", "halves"))
        assert a == b
    assert [row["loss"] for row in log_of(tmp_path / "whole")] == [row["loss"] for row in log_of(tmp_path / "halves")]


def test_what_a_frozen_half_and_frozen_encoders_hold_does_not_move(base, posters, run_recipe, tmp_path):
    run_recipe(RECIPE, write_stage(tmp_path, "run", base, posters, strategy="frozen_half", max_steps=2))
    before, after = FluxPipeline.from_pretrained(base), FluxPipeline.from_pretrained(tmp_path / "run" / "model")
    moved = {
        name.split(".")[0]
        for name, value in after.transformer.named_parameters()
        if not torch.equal(value, before.transformer.get_parameter(name).to(torch.bfloat16).float())
    }
    assert moved == {"single_transformer_blocks", "norm_out", "proj_out"}
    for part in ("text_encoder", "text_encoder_2", "vae"):
        for name, value in getattr(after, part).named_parameters():
            assert torch.equal(value, getattr(before, part).get_parameter(name).to(torch.bfloat16).float())


@pytest.mark.slow
def test_after_a_stage_of_lora_comes_one_of_all_weights_with_the_lora_in_them(
    base, posters, run_recipe, tmp_path, capsys
):
    first = write_stage(tmp_path, "first", base, posters, max_steps=2, trainable=LORA, learning_rate=0.05)
    run_recipe(RECIPE, first)
    run_recipe(RECIPE, write_stage(tmp_path, "second", tmp_path / "first", posters, max_steps=1, learning_rate=1e-9))
    lora = read_lora(tmp_path / "first" / "model")
    before, after = FluxPipeline.from_pretrained(base), FluxPipeline.from_pretrained(tmp_path / "second" / "model")
    for layer in lora.layers:
        change = lora.weights[f"{layer}.lora_B.weight"] @ lora.weights[f"{layer}.lora_A.weight"] * lora.scale
        expected = before.transformer.get_parameter(f"{layer}.weight") + change
        assert change.abs().max() > 1e-3
        assert torch.allclose(after.transformer.get_parameter(f"{layer}.weight"), expected, rtol=1e-2, atol=1e-4)
    with pytest.raises(SystemExit):
        run_recipe(RECIPE, write_stage(tmp_path, "third", tmp_path / "first" / "model", posters))
    assert "first/model: holds a LoRA alone; give the run folder" in capsys.readouterr().err
    record = tmp_path / "first" / "config.yaml"
    for written, said in (
        (f"init_from: {tmp_path}/first", "its run started from itself"),
        ("seed: 1", "its run does not say with init_from: what it started from"),
        ("- 1", "is no config of a run"),
        ("init_from: 3", "is no config of a run"),
        (f"init_from: {tmp_path}/gone", "gone: no such folder"),
    ):
        record.write_text(written + "\n")
        with pytest.raises(SystemExit):
            run_recipe(RECIPE, write_stage(tmp_path, "third", tmp_path / "first", posters))
        error = capsys.readouterr().err
        assert said in error and error.count("posterkit:") == 1


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("majr=0.5", 'unknown key "majr" (did you mean "major"?)'),
        ("trainable.weight=lora", 'unknown key "weight" (did you mean "weights"?)'),
        ("power=3", "power must be 1 or 2, got 3"),
        ("minor=1.5", "major and minor must lie in [0, 1]"),
        ("init_from=runs/nowhere", "runs/nowhere: no such folder"),
        ("init_from=null", "a stage starts from"),
        ("init_from=mini:posteromni", "mini:posteromni: is a checkpoint of posteromni; this stage trains postercraft"),
        ("data.path=nowhere", "nowhere: there is no such folder"),
        ("trainable={weights: lora, targets: [to_qq]}", 'ends in "to_qq" (did you mean "to_q"?)'),
        ("data.tasks=[filling]", "there is no row of filling to train on"),
    ],
)
def test_a_call_that_cannot_work_ends_with_one_line_and_code_2(
    base, posters, run_recipe, tmp_path, capsys, override, said
):
    with pytest.raises(SystemExit) as ended:
        run_recipe(RECIPE, write_stage(tmp_path, "run", base, posters), override)
    error = capsys.readouterr().err
    assert ended.value.code == 2 and said in error and error.count("posterkit:") == 1
    assert not (tmp_path / "run" / "last").exists()


def with_regions(posters: Path, folder: Path, change) -> Path:
    """The set's rows with other regions, its pictures where they are."""
    folder.mkdir()
    for picture in posters.glob("*.png"):
        (folder / picture.name).symlink_to(picture)
    rows = [json.loads(line) for line in (posters / "samples.jsonl").read_text().splitlines()]
    (folder / "samples.jsonl").write_text("".join(json.dumps(change(row)) + "\n" for row in rows))
    return folder


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda row: {**row, "regions": []}, "no row has regions; this stage needs text boxes with a role"),
        (
            lambda row: {**row, "regions": [{"box": [0, 0, 9, 9], "role": "title", "text": "x"}]},
            "regions[0] has the role 'title'; accepted are major and minor",
        ),
    ],
)  # fmt: skip
def test_a_set_without_major_and_minor_regions_is_refused(base, posters, run_recipe, tmp_path, capsys, change, said):
    marked = with_regions(posters, tmp_path / "marked", change)
    with pytest.raises(SystemExit) as ended:
        run_recipe(RECIPE, write_stage(tmp_path, "run", base, marked))
    error = capsys.readouterr().err
    assert ended.value.code == 2 and said in error and str(marked / "samples.jsonl") in error


def test_a_box_off_its_poster_costs_that_poster_alone(base, posters, run_recipe, tmp_path, capsys):
    def change(row):
        far = [{"box": [0, 0, 65, 9], "role": "major", "text": "x"}]
        return {**row, "regions": far} if row["id"].endswith("1") else row

    marked = with_regions(posters, tmp_path / "marked", change)
    run_recipe(RECIPE, write_stage(tmp_path, "run", base, marked, max_steps=1))
    said = capsys.readouterr().out
    assert "1 have a region that is no box on the poster: train-7-00000001 ([0, 0, 65, 9] on 64x96)" in said


def test_a_second_run_in_a_folder_is_refused_and_changes_nothing(base, run_recipe, tmp_path):
    posters = write_posters(tmp_path / "set", 4)
    config = write_stage(tmp_path, "run", base, posters, max_steps=2)
    run_recipe(RECIPE, config)
    kept = (tmp_path / "run" / "last" / "weights.safetensors").read_bytes()
    with pytest.raises(SystemExit, match="holds a run already"):
        run_recipe(RECIPE, config, "resume=never")
    with pytest.raises(SystemExit, match=r"begun with minor=0\.2, now 0\.3"):
        run_recipe(RECIPE, config, "minor=0.3")
    with pytest.raises(SystemExit, match="the set is not the one that this run began with"):
        rows = (posters / "samples.jsonl").read_text().splitlines()
        (posters / "samples.jsonl").write_text("".join(f"{row}\n" for row in rows[:-1]))
        run_recipe(RECIPE, config)
    assert (tmp_path / "run" / "last" / "weights.safetensors").read_bytes() == kept


def test_another_rank_is_refused_before_the_base_is_read(base, posters, run_recipe, tmp_path):
    start = shutil.copytree(base, tmp_path / "base")
    config = write_stage(tmp_path, "run", start, posters, max_steps=2, trainable=LORA)
    run_recipe(RECIPE, config, "stop_at=1")
    shutil.rmtree(start)
    with pytest.raises(SystemExit, match=rf"begun with trainable.rank={LORA['rank']}, now 7"):
        run_recipe(RECIPE, config, "trainable.rank=7")


def test_a_loss_that_is_not_finite_stops_and_names_the_batch(base, posters, run_recipe, tmp_path):
    broken = shutil.copytree(base, tmp_path / "broken")
    (file,) = (broken / "text_encoder_2").glob("*.safetensors")
    save_file({name: value * float("nan") for name, value in load_file(file).items()}, file, {"format": "pt"})
    config = write_stage(tmp_path, "run", broken, posters)
    with pytest.raises(SystemExit, match="the loss is nan on the batch train-7-0000000") as ended:
        run_recipe(RECIPE, config)
    assert ended.value.code == 1
    assert (tmp_path / "run" / "bad_batch.json").is_file() and newest_state(tmp_path / "run" / "last")


@pytest.mark.slow
def test_the_sheet_shows_held_out_posters_and_counts_their_words(base, posters, run_recipe, tmp_path):
    run_recipe(RECIPE, write_stage(tmp_path, "run", base, posters, max_steps=1, sample_every=1))
    with Image.open(tmp_path / "run" / "samples" / "0000001.png") as sheet:
        assert sheet.size == (2 * 260, 2 * 256)
        shown = np.asarray(sheet)
    heldout = PosterDataset(posters, split="heldout")[0].target
    assert np.abs(shown[:256, 43:213].mean((0, 1)) - heldout.mean((0, 1))).max() < 3
    found = json.loads((tmp_path / "run" / "samples" / "0000001.json").read_text())
    assert set(found) == {"made", "posters"} and set(found["made"]) == {"recall", "f_score", "exact"}
