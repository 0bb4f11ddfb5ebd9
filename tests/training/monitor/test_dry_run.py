"""--dry-run: what would train, what memory that takes, one batch as a picture, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_omni import save_tiny_qwen, write_tasks
from small_runs import Line
from small_stages import save_tiny_flux, write_posters, write_stage
from torch import nn
from transformers.optimization import Adafactor

from posterkit import PosterCraftPipeline
from posterkit.tasks import TASKS
from posterkit.training.config import RunConfig, load_config
from posterkit.training.monitor.dry_run import SavedForBackward, memory_needs, optimizer_bytes

CONFIGS = Path(__file__).resolve().parents[3] / "configs"


@pytest.fixture(scope="module")
def flux(tmp_path_factory) -> Path:
    return save_tiny_flux(tmp_path_factory.mktemp("flux"))


def dry(run_recipe, name: str, config: Path, *overrides: str) -> None:
    with pytest.raises(SystemExit) as ended:
        run_recipe(name, config, "--dry-run", *overrides)
    assert ended.value.code == 0


def figures(said: str) -> dict[str, float]:
    """Memory in GiB by part, as printed."""
    return {name: float(size) for name, size in re.findall(r"^  (\w+) +([\d.]+) GiB", said, re.M)}


def test_a_dry_run_shows_weights_memory_and_a_batch_and_takes_no_step(flux, run_recipe, tmp_path, capsys):
    posters = write_posters(tmp_path / "posters", 6)
    config = write_stage(tmp_path, "run", flux, posters, ema_decay=0.9)
    dry(run_recipe, "stage2_region_sft", config)
    said = capsys.readouterr().out
    assert "6 posters of 6 rows, an epoch is 3 batches of 2" in said
    row = re.search(r"transformer +([\d,]+) +([\d,]+) +([\d,]+)  FluxTransformer2DModel, float32", said)
    assert len({*row.groups()}) == 1  # all of it trains
    assert figures(said)["activations"] > 0 and "fits: there are" in said
    left = {path.name for path in (tmp_path / "run").iterdir()}
    assert left == {".lock", "dry_run.png"}
    picture = np.asarray(Image.open(tmp_path / "run" / "dry_run.png").convert("RGB"))
    assert picture.shape[1] == 2 * (256 + 8) + 8 and picture[8:264].std() > 10  # two samples, and something on them


def test_a_dry_run_leaves_a_run_that_is_there_as_it_is(flux, run_recipe, tmp_path):
    posters = write_posters(tmp_path / "posters", 4)
    config = write_stage(tmp_path, "run", flux, posters)
    run_recipe("stage2_region_sft", config, "stop_at=2")
    files = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    dry(run_recipe, "stage2_region_sft", config)
    assert {path: path.read_bytes() for path in files} == files
    run_recipe("stage2_region_sft", config)


def test_a_lora_trains_its_own_weights_only_and_its_share_of_the_memory_says_so(flux, run_recipe, tmp_path, capsys):
    lora = {"weights": "lora", "rank": 2, "targets": ["to_q"]}
    config = write_stage(tmp_path, "run", flux, write_posters(tmp_path / "posters", 2), trainable=lora)
    dry(run_recipe, "stage1_text_render", config)
    said = capsys.readouterr().out
    whole, trained, stepped = re.search(r"transformer +([\d,]+) +([\d,]+) +([\d,]+)  Flux", said).groups()
    transformer = PosterCraftPipeline.from_pretrained(flux).transformer
    layers = [one for name, one in transformer.named_modules() if name.endswith(".to_q")]
    added = sum(2 * (one.in_features + one.out_features) for one in layers)
    assert int(trained.replace(",", "")) == int(stepped.replace(",", "")) == added
    assert int(whole.replace(",", "")) == added + sum(p.numel() for p in transformer.parameters())


@pytest.mark.slow
def test_every_recipe_has_a_dry_run(flux, run_recipe, nano_recipe, nano_autoencoder, tmp_path, capsys):
    qwen = save_tiny_qwen(tmp_path / "qwen")
    tasks = write_tasks(tmp_path / "tasks", {task: [0, 1] for task in TASKS})
    texts = write_posters(tmp_path / "texts", 2)
    omni = {"text": {"path": str(texts)}, "trainable": {"weights": "lora", "rank": 2, "targets": ["to_q"]}}
    dry(run_recipe, "stage2_experts", write_stage(tmp_path, "experts", qwen, tasks, **omni), "group=global")
    dry(run_recipe, "stage2_distill", write_stage(tmp_path, "distill", qwen, tasks, **omni, missing={"rank": 3}))
    said = capsys.readouterr().out
    assert "the local expert would be trained first" in said and figures(said)["activations"] > 0
    assert not (tmp_path / "distill" / "expert_local").exists()
    for name in ("postercraft", "posteromni"):
        dry(run_recipe, "stage0_pretrain", nano_recipe(name, f"pretrain_{name}"))
        assert figures(capsys.readouterr().out)["activations"] > 0
    dry(run_recipe, "stage0_autoencoder", CONFIGS / "mini" / "stage0_autoencoder.yaml",
        f"run_dir={tmp_path / 'autoencoder'}", "batch_size=2")  # fmt: skip
    for run in ("experts", "distill", "pretrain_postercraft", "pretrain_posteromni", "autoencoder"):
        assert (tmp_path / run / "dry_run.png").is_file() and not (tmp_path / run / "last").exists()


@pytest.mark.parametrize(
    ("config", "recipe", "missing"),
    [
        ("postercraft/stage1_text_render.yaml", "stage1_text_render", "init_from=black-forest-labs/FLUX.1-dev"),
        ("posteromni/stage2_distill.yaml", "stage2_distill", "init_from=Qwen/Qwen-Image-Edit-2509"),
    ],
)
def test_what_a_paper_size_run_lacks_is_named_and_nothing_is_fetched(
    config, recipe, missing, run_recipe, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        run_recipe(recipe, CONFIGS / config, "--dry-run")
    line = capsys.readouterr().err
    assert ended.value.code == 2 and line.count("\n") == 1
    assert f"{missing} (fetch it by: hf download" in line and "data.path=sets/" in line
    assert not list(tmp_path.iterdir())


def test_dry_run_is_an_option_and_no_part_of_the_run(tmp_path):
    (tmp_path / "config.yaml").write_text("batch_size: 4\n")
    config = load_config(RunConfig, tmp_path / "config.yaml", ["dry_run=true"])
    assert config.dry_run and config.enough(1000) == 32 and RunConfig(batch_size=4).enough(1000) == 1000


@pytest.mark.parametrize("kind", [torch.optim.AdamW, Adafactor])
def test_the_estimate_of_an_optimiser_is_what_it_holds_after_a_step(kind):
    module = nn.Sequential(nn.Linear(48, 96), nn.LayerNorm(96), nn.Linear(96, 5))
    settings = {"scale_parameter": False, "relative_step": False} if kind is Adafactor else {}
    optimizer = kind(module.parameters(), lr=1e-3, **settings)
    estimate = optimizer_bytes(optimizer)
    module(torch.randn(2, 48)).sum().backward()
    optimizer.step()
    values = [value for one in optimizer.state.values() for value in one.values() if isinstance(value, torch.Tensor)]
    assert estimate == sum(value.nbytes for value in values if value.ndim)  # without the counters of steps


def test_the_estimate_of_8_bit_adamw_is_two_bytes_a_value_and_its_scales():
    class PagedAdamW8bit(torch.optim.AdamW):
        """Has the name by which bitsandbytes' is known; its own can be made on a card only."""

    module = nn.Linear(64, 128)  # 8192 values in 32 blocks, 128 in a bias that stays 32 bits
    assert optimizer_bytes(PagedAdamW8bit(module.parameters())) == 2 * 8192 + 2 * 32 * 4 + 2 * 128 * 4


def test_every_weight_is_counted_once_where_it_is_kept():
    model = Line()
    model.module[0].requires_grad_(False)
    trained = [p for p in model.module.parameters() if p.requires_grad]
    needs = memory_needs(model.module, torch.optim.AdamW(trained), ema=True, activations=7)
    assert needs == {"weights": 4 * 49, "gradients": 4 * 9, "optimiser": 8 * 9, "averages": 4 * 9, "activations": 7}


def test_what_autograd_holds_is_counted_once_and_without_weights():
    module = nn.Linear(8, 8, bias=False)
    x = torch.randn(4, 8, requires_grad=True)
    saved = SavedForBackward(module.parameters())
    with saved.measuring():
        # x for the weight's gradient (the weight itself is excluded), then y twice for its square: 2 x 4 x 8 floats
        module(x).square().sum().backward()
    assert saved.peak == 2 * 4 * 8 * 4
