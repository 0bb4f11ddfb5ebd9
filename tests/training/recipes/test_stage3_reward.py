"""Learning from rewards through the real recipe, at nano size: what is drawn, what counts, exact resume, refusals."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_qwen
import torch
from chat_server import says, servers
from PIL import Image
from safetensors.torch import load_file
from served_rewards import serve
from small_stages import log_of, save_tiny_flux, write_posters, write_stage

from posterkit import PosterBrief, PosterCraftPipeline, PosterOmniPipeline, typeset
from posterkit.datasets import PosterDataset, SyntheticPosters
from posterkit.metrics.fidelity import diversity
from posterkit.rewards import RewardResult
from posterkit.rewards.service.pool import RewardPool
from posterkit.rewards.service.server import reward_app
from posterkit.schema import DrawnText
from posterkit.sizing import Size
from posterkit.training.adapters.flux import FluxAdapter
from posterkit.training.adapters.qwen import QwenAdapter
from posterkit.training.config import RunConfig, load_config
from posterkit.training.lora import Trainable, add_adapter, add_ema_adapter, update_ema_adapter, using_adapter
from posterkit.training.rl import RewardWatch, Rollout, best_and_worst, sample_ode, sample_sde
from posterkit.training.rl.samplers import sampling_times
from posterkit.training.rl.scoring import paired_change
from posterkit.training.run import Run

RECIPE = "stage3_reward"
ROLLOUTS = {"images": 3, "draws": 2, "steps": 3, "least_std": 0.0}
LORA = {"weights": "lora", "rank": 2}
REWARD = {"source": "style", "workers": 0}


@pytest.fixture(scope="module")
def flux(tmp_path_factory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("flux")
    return save_tiny_flux(folder / "base"), write_posters(folder / "set", 4)


def stage(folder: Path, run: str, base: Path, posters: Path, **overrides: Any) -> Path:
    common: dict[str, Any] = {
        "rollouts": ROLLOUTS,
        "trainable": LORA,
        "reward": {"source": "aesthetics", "workers": 0},
    }
    common |= {"batch_size": 1, "dpo": {"gap": 0.0}}
    return write_stage(folder, run, base, posters, **{**common, **overrides})


def started(noise: torch.Tensor, times: torch.Tensor, condition: Any = None) -> Rollout:
    return Rollout([], [], condition, noise, times, Size(64, 96))


def weights_of(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model" / "pytorch_lora_weights.safetensors")


@pytest.mark.parametrize(("objective", "rate"), [("nft", 3e-4), ("dpo", 2e-5), ("grpo", 1e-4)])
def test_each_objective_has_a_rate_of_its_own_and_one_for_all_goes_before(open_recipe, tmp_path, objective, rate):
    options = {"objective": objective, "family": "postercraft", "dpo": {"learning_rate": 2e-5}}
    path = stage(tmp_path, "run", tmp_path, tmp_path, **options)
    kind = open_recipe(RECIPE).RewardConfig
    assert load_config(kind, path).learning_rate == 1e-3  # write_stage's, for all
    assert load_config(kind, path, ["learning_rate=0"]).learning_rate == rate


@pytest.mark.parametrize("family", ["postercraft", "posteromni"])
def test_a_drawn_poster_is_the_pipelines_own(family, base, posters, flux):
    folder, data = (base, posters) if family == "posteromni" else flux
    model: Any = (QwenAdapter if family == "posteromni" else FluxAdapter).from_pretrained(folder, frozen_text=True)
    sample = PosterDataset(data)[0]
    batch = model.collate(model.precompute([sample]))
    with torch.no_grad():
        x0, condition = model.encode(batch)
        noise = torch.randn(x0.shape, generator=torch.Generator().manual_seed(3))
        guidance = None if family == "posteromni" else torch.full((1,), 2.0)
        times = sampling_times(model.parts["scheduler"], 4, x0.shape[1])
        drawn = sample_ode(lambda *x: model.velocity(*x, guidance), started(noise, times, condition)).states[-1]
    height, width = sample.target.shape[:2]
    options: Any = {"width": width, "height": height, "num_inference_steps": 4, "output_type": "latent"}
    if family == "posteromni":
        pipe: Any = PosterOmniPipeline.from_pretrained(folder)
        expected = pipe(image=[Image.fromarray(r) for r in sample.references], prompt=sample.words, task=sample.task,
                      true_cfg_scale=1.0, latents=noise, **options).images  # fmt: skip
    else:
        pipe = PosterCraftPipeline.from_pretrained(folder)
        expected = pipe(prompt=sample.caption, guidance_scale=2.0, latents=noise, **options).images
    expected = expected if isinstance(expected, torch.Tensor) else expected[0]
    assert (drawn.flatten() - expected.float().flatten()).abs().max() < 2e-3  # what is cached is rounded to float16
    assert (drawn - noise).abs().mean() > 0.1


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"objective": "nft", "rollouts": {**ROLLOUTS, "updates": 2}},
        *(
            pytest.param(settings, marks=pytest.mark.slow)
            for settings in (
                {"objective": "nft", "ema_decay": 0.9, "rollouts": {**ROLLOUTS, "decay": 2}},
                {"objective": "dpo"},
                {"objective": "grpo", "rollouts": {**ROLLOUTS, "updates": 2}, "grpo": {"kl": 0.1}},
            )
        ),
    ],
    ids=["nft-two-updates", "nft", "dpo", "grpo"],
)
def test_a_stopped_run_goes_on_bit_for_bit(base, posters, run_recipe, tmp_path, settings):
    whole, parts = (stage(tmp_path, run, base, posters, max_steps=4, **settings) for run in ("whole", "parts"))
    run_recipe(RECIPE, whole)
    run_recipe(RECIPE, parts, "stop_at=3")  # with two updates of an epoch, in its middle
    run_recipe(RECIPE, parts)
    one, other = weights_of(tmp_path / "whole"), weights_of(tmp_path / "parts")
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    assert any(value.abs().max() > 0 for name, value in one.items() if "lora_B" in name)
    kept = load_file(tmp_path / "whole" / "last" / "weights.safetensors")
    assert any(".old." in name for name in kept) == (settings["objective"] != "dpo")


@pytest.mark.slow
def test_postercraft_learns_from_rewards_too(flux, run_recipe, tmp_path):
    config = stage(tmp_path, "run", *flux, family="postercraft", objective="dpo", max_steps=2,
                   rollouts={**ROLLOUTS, "guidance": 3.0}, sample_every=2,
                   reward={"source": "aesthetics", "workers": 0})  # fmt: skip
    run_recipe(RECIPE, config)
    rows = log_of(tmp_path / "run")
    assert abs(rows[0]["loss"] - np.log(2)) < 1e-5, "at the start the model is its reference"
    assert 0 < rows[0]["reward"] < 1 and rows[0]["diversity"] > 0 and "chosen_error" in rows[0]
    assert (tmp_path / "run" / "samples" / "0000002.png").is_file()


@pytest.mark.slow
def test_the_first_step_of_nft_comes_from_its_sampler(base, posters, run_recipe, tmp_path):
    run_recipe(RECIPE, stage(tmp_path, "run", base, posters, max_steps=1))
    row = log_of(tmp_path / "run")[0]
    assert row["from_old"] == 0 and row["kl"] == 0 and row["norm_ratio"] == pytest.approx(1)
    assert row["kept"] == 1 and row["reward_failed"] == 0


@pytest.mark.slow
def test_the_ratio_of_grpos_first_update_is_one(base, posters, run_recipe, tmp_path):
    run_recipe(RECIPE, stage(tmp_path, "run", base, posters, objective="grpo", max_steps=1))
    row = log_of(tmp_path / "run")[0]
    assert row["ratio"] == pytest.approx(1, abs=1e-6) and row["clipped"] == 0


def test_a_moving_average_starts_as_a_copy_and_lags_behind():
    model: Any = tiny_qwen.components()["transformer"]
    add_adapter(model, "default", Trainable("lora", rank=2))
    for path, parameter in model.named_parameters():
        if ".lora_" in path:
            torch.nn.init.normal_(parameter)
    add_ema_adapter(model, "old", "default", Trainable("lora", rank=2))
    own = {p: v for p, v in model.named_parameters() if ".lora_" in p}
    pairs = [(own[p], own[p.replace(".old.", ".default.")]) for p in own if ".old." in p]
    assert pairs and all(torch.equal(*pair) for pair in pairs)
    before = [average.clone() for average, _ in pairs]
    with torch.no_grad():
        for _, source in pairs:
            source.add_(1.0)
    update_ema_adapter(model, "old", "default", 0.75)
    for was, (average, _) in zip(before, pairs, strict=True):
        assert torch.allclose(average, was + 0.25, atol=1e-6)
    with using_adapter(model, "old"):
        assert model.active_adapters() == ["old"]
    assert model.active_adapters() == ["default"]


def test_best_and_worst_are_marked_where_they_lie_far_enough_apart():
    nan = float("nan")
    rewards = torch.tensor([[0.1, 0.9, 0.5], [0.5, 0.55, 0.52], [nan, 0.2, 0.8], [nan, nan, 0.3]])
    expected = [[True, True, False], [False] * 3, [False, True, True], [False] * 3]
    best, worst = best_and_worst(rewards, torch.ones_like(rewards, dtype=torch.bool), 0.1)
    assert (best | worst).tolist() == expected and best[0].tolist() == [False, True, False]
    assert not best_and_worst(rewards, torch.zeros_like(rewards, dtype=torch.bool), 0.1).any()


def test_random_steps_without_noise_are_the_odes():
    noise = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))
    times = torch.linspace(1, 0, 6)
    start = started(noise, times)
    found = sample_ode(lambda x, t, _: x * t[:, None, None], start).states[-1]
    nearly = sample_sde(lambda x, t, _: x * t[:, None, None], start, 1e-4, torch.Generator().manual_seed(1))
    assert torch.allclose(nearly.states[-1], found, atol=1e-3) and nearly.states.shape == (6, 2, 5, 3)
    assert nearly.log_probs is not None and nearly.log_probs.shape == (5, 2)


def test_diversity_is_the_mean_distance_of_pairs():
    black, white = np.zeros((40, 30, 3), np.uint8), np.full((40, 30, 3), 255, np.uint8)
    assert diversity([black, black]) == 0
    assert diversity([black, white]) == pytest.approx(100, abs=0.1)  # of lightness
    assert diversity([black, white, white]) == pytest.approx(200 / 3, abs=0.1)
    with pytest.raises(ValueError, match="at least two"):
        diversity([black])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"trainable": {"weights": "full"}}, "the reference is the model without"),
        ({"strategy": "lopt"}, "accepted: end_to_end, frozen_half"),
        ({"rollouts": {**ROLLOUTS, "updates": 3}}, "a multiple of rollouts.updates"),
        ({"rollouts": {**ROLLOUTS, "images": 1}}, "rollouts.images must be at least 2"),
        ({"rollouts": {**ROLLOUTS, "guidance": 3.0}}, "posteromni takes null"),
        ({"accumulation": 5}, "accumulation follows from rollouts, here 4"),
        ({"objective": "ppo"}, "nft"),
        ({"nft": {"beta": 0.0}}, "nft.beta must be above 0, got 0.0"),
        ({"dpo": {"beta": -3.0}}, "dpo.beta must be above 0, got -3.0"),
        ({"nft": {"kl": -1.0}}, "nft.kl must be at least 0, got -1.0"),
        ({"grpo": {"clip": -1.0}}, "grpo.clip must be above 0, got -1.0"),
        ({"reward": {"source": "aesthetics", "device": "moon"}}, "reward.device is 'moon'"),
    ],
)
def test_what_cannot_work_is_refused_in_a_line(base, posters, run_recipe, tmp_path, change, said, capsys):
    with pytest.raises(SystemExit):
        run_recipe(RECIPE, stage(tmp_path, "run", base, posters, **change))
    assert said in capsys.readouterr().err


def test_a_change_is_one_of_pairs_and_nans_do_not_count():
    change, error = paired_change([0.5, 0.4, float("nan"), 0.2], [0.6, 0.6, 0.9, 0.5])
    assert change == pytest.approx(0.2) and error == pytest.approx(0.1 / 3**0.5)
    assert paired_change([float("nan")], [1.0]) == (0.0, 0.0)


def test_a_reward_that_is_paid_for_with_text_and_variety_is_called_out(base, posters, tmp_path, capsys):
    class Higher:
        """A reward that each sheet meets again, higher."""

        value = 0.4

        def submit(self, images, rows):
            self.value += 0.1
            return self

        def result(self):
            return [RewardResult(self.value)] * 3

    config = RunConfig(run_dir=str(tmp_path / "run"))
    run, blank = Run(config), np.full((96, 64, 3), 255, np.uint8)
    watch = RewardWatch(run, Higher())
    samples = [replace(PosterDataset(posters)[0], task="text", instruction='A poster with the title "JAZZ".')] * 3
    drawn = np.asarray(typeset(Image.new("RGB", (320, 480), "white"), PosterBrief(texts=["JAZZ"])).image)
    requested = [replace(sample, texts=[DrawnText("JAZZ")], references=[], mask=None) for sample in samples]
    (run.folder / "samples").mkdir(parents=True)
    first = watch(requested, [drawn] * 3)
    assert first["reward"] == pytest.approx([0.5] * 3) and min(first["text"]) > 0.9
    (run.folder / "samples" / "0000000.json").write_text(json.dumps({"heldout": first}))
    (run.folder / "metrics.jsonl").write_text(
        "".join(json.dumps({"step": n, "diversity": 20.0 - n}) + "\n" for n in range(12))
    )
    run.step = 12
    watch(requested, [blank] * 3)
    said = capsys.readouterr().out
    assert "HACKING? held-out text accuracy fell by" in said and "diversity fell from 18.0 to 11.0" in said
    watch.rewards.value = 0.1
    watch(requested, [blank] * 3)
    assert "HACKING" not in capsys.readouterr().out, "a reward that falls is not hacked"


def write_pairs(folder: Path, count: int, alike: int | None = None) -> Path:
    """A set of preference pairs as data_tools/mine_preferences.py writes it; one with the same picture twice."""
    source, lines = SyntheticPosters(seed=7, size=(64, 96)), []
    folder.mkdir(parents=True)
    for number in range(count):
        for side, shown in (("chosen", 2 * number), ("rejected", 2 * number + (number != alike))):
            Image.fromarray(source[shown].target).save(folder / f"{number}-{side}.png")
        lines.append({"id": f"pair-{number}", "task": "text", "prompt": f"a poster, number {number}", "gap": 0.1,
                      "kind": "candidates", "chosen": f"{number}-chosen.png", "rejected": f"{number}-rejected.png",
                      "instruction": f"a poster, number {number}"})  # fmt: skip
    lines.append({**lines[0], "id": "left", "kind": "unedited"})
    (folder / "samples.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_dpo_on_pairs_from_disk_is_the_closed_form_and_resumes(flux, run_recipe, tmp_path, capsys):
    pairs = write_pairs(tmp_path / "pairs", 4, alike=3)
    options = {"family": "postercraft", "objective": "dpo", "max_steps": 3, "batch_size": 3}
    options |= {"rollouts": {"guidance": 2.0}, "dpo": {"pairs": str(pairs), "beta": 7.0}}
    whole, parts = (stage(tmp_path, run, flux[0], flux[1], **options) for run in ("whole", "parts"))
    run_recipe(RECIPE, whole)
    said = capsys.readouterr().out
    assert "have the same picture on both sides" in said and "4 rows, 3 to train on" in said
    run_recipe(RECIPE, parts, "stop_at=1")
    run_recipe(RECIPE, parts)
    one, other = weights_of(tmp_path / "whole"), weights_of(tmp_path / "parts")
    assert all(torch.equal(one[name], other[name]) for name in one)
    rows = log_of(tmp_path / "whole")
    assert abs(rows[0]["loss"] - np.log(2)) < 1e-5 and rows[0]["accuracy"] == 0 and rows[2]["loss"] != rows[0]["loss"]


def test_pairs_for_another_objective_and_sets_without_pairs_are_refused(flux, run_recipe, tmp_path, capsys):
    base, posters = flux
    options: dict[str, Any] = {"family": "postercraft", "rollouts": {"guidance": 2.0}}
    faults = {"nft": "dpo.pairs is for objective=dpo; nft draws", "dpo": "is no preference pair; data_tools/mine"}
    for objective, said in faults.items():
        config = stage(tmp_path, objective, base, posters, objective=objective, dpo={"pairs": str(posters)}, **options)
        with pytest.raises(SystemExit):
            run_recipe(RECIPE, config)
        assert said in capsys.readouterr().err


class Leaving:
    """The application of a reward that breaks off after `left` answers; where that is None it stays."""

    def __init__(self, reward: RewardPool) -> None:
        self.app, self.left = reward_app(reward), None

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http" and scope["method"] == "POST":
            if self.left == 0:
                raise ConnectionError("gone")
            self.left = self.left and self.left - 1
        await self.app(scope, receive, send)


@pytest.mark.slow
def test_a_reward_that_goes_away_stops_the_run_which_goes_on_as_if_it_had_not(
    base, posters, run_recipe, tmp_path, capsys
):
    options: dict[str, Any] = {"max_steps": 3, "rollouts": {**ROLLOUTS, "draws": 1, "decay": 2}}
    pool = RewardPool("style", workers=0)
    leaving = Leaving(pool)
    with serve(pool, leaving) as url:
        options["reward"] = {"source": f"reward+{url}", "workers": 0, "limit": 1.0}
        run_recipe(RECIPE, stage(tmp_path, "whole", base, posters, **options))
        config = stage(tmp_path, "parts", base, posters, **options)
        leaving.left = 2
        with pytest.raises(SystemExit) as ended:
            run_recipe(RECIPE, config)
        told = capsys.readouterr().err
        assert ended.value.code == 1 and "the same command goes on from there" in told and "posters failed" in told
        assert "step 2 is saved" in told and url in told
        leaving.left = None
        run_recipe(RECIPE, config)
    one, other = weights_of(tmp_path / "whole"), weights_of(tmp_path / "parts")
    assert all(torch.equal(one[name], other[name]) for name in one)
    kept = [load_file(tmp_path / run / "last" / "weights.safetensors") for run in ("whole", "parts")]
    assert all(torch.equal(kept[0][name], kept[1][name]) for name in kept[0])


def measured(spec: str, follow: float, file: Path) -> Path:
    figures = {"follow": {"mean": follow}, "acc_none": {"mean": 1.0}}
    file.write_text(json.dumps({"version": 1, "spec": spec, "fingerprint": "", "complete": True, "rows": 8,
                                "failed": 0, "tracks": {"pictures": figures}}))  # fmt: skip
    return file


@pytest.mark.parametrize(("follow", "over", "code"), [(0.3, "refuse", 2), (0.3, "warn", 0), (0.0, "refuse", 0)])
def test_a_judge_over_its_bound_is_refused_or_warned_about_and_its_report_kept(
    flux, run_recipe, tmp_path, capsys, follow, over, code
):
    base, posters = flux
    with servers() as start:
        url = f"{start(*[says(str(number % 6)) for number in range(200)]).url}/v1"
        report = measured(url, follow, tmp_path / "report.json")
        reward = {"source": url, "model": "m", "workers": 0, "judge": {"report": str(report), "over": over}}
        config = stage(tmp_path, "run", base, posters, family="postercraft", objective="nft", reward=reward,
                       max_steps=1)  # fmt: skip
        if code:
            with pytest.raises(SystemExit) as ended:
                run_recipe(RECIPE, config)
            assert ended.value.code == code and "follows 30% of misleading pictures" in capsys.readouterr().err
            return
        run_recipe(RECIPE, config)
    assert ("warning: " in capsys.readouterr().out) == (follow > 0)
    assert json.loads((tmp_path / "run" / "judge.json").read_text()) == {url: json.loads(report.read_text())}
