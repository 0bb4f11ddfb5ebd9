"""The model card beside saved weights, as a reader and the hub see it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from diffusers import FluxPipeline
from PIL import Image
from small_runs import train
from small_stages import save_tiny_flux, write_posters, write_stage

from posterkit import PosterCraftPipeline
from posterkit.pipelines.loading import card_scripts
from posterkit.training.config import RunConfig
from posterkit.training.monitor.model_card import origin_of, text_recall


def head_of(card: Path) -> dict:
    return yaml.safe_load(card.read_text().split("---")[1])


@pytest.mark.parametrize(
    ("start", "base", "licence"),
    [
        ("black-forest-labs/FLUX.1-dev", "black-forest-labs/FLUX.1-dev", "flux-1-dev-non-commercial-license"),
        ("black-forest-labs/FLUX.1-schnell", "black-forest-labs/FLUX.1-schnell", "apache-2.0"),
        ("Qwen/Qwen-Image-Edit-2509", "Qwen/Qwen-Image-Edit-2509", "apache-2.0"),
        ("mini:postercraft", "mini:postercraft", "apache-2.0"),
        ("somebody/posters", "somebody/posters", "unknown"),
        (None, None, "apache-2.0"),
    ],
)
def test_a_licence_is_the_bases_own(start, base, licence):
    origin = origin_of(RunConfig(init_from=start))
    assert origin.base == base and origin.licence.get("license_name", origin.licence["license"]) == licence


def test_a_local_copy_is_known_by_its_name_or_by_its_own_card(tmp_path):
    (tmp_path / "FLUX.1-dev").mkdir()
    assert origin_of(RunConfig(init_from=str(tmp_path / "FLUX.1-dev"))).base == "black-forest-labs/FLUX.1-dev"
    (tmp_path / "mine").mkdir()
    assert origin_of(RunConfig(init_from=str(tmp_path / "mine"))).licence == {"license": "unknown"}
    (tmp_path / "mine" / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n# mine\n")
    found = origin_of(RunConfig(init_from=str(tmp_path / "mine")))
    assert found.licence == {"license": "cc-by-4.0"} and found.base == "mine"  # no path of anybody's disk


def test_stages_are_followed_down_to_the_base(tmp_path):
    for name, start in (("first", "black-forest-labs/FLUX.1-dev"), ("second", str(tmp_path / "first"))):
        (tmp_path / name / "model").mkdir(parents=True)
        (tmp_path / name / "config.yaml").write_text(yaml.safe_dump({"init_from": start}))
    for start in (tmp_path / "second", tmp_path / "second" / "model"):
        origin = origin_of(RunConfig(init_from=str(start)))
        assert origin.stages == ["first", "second"] and origin.base == "black-forest-labs/FLUX.1-dev"


def test_text_recall_stands_in_the_card_by_step(tmp_path):
    (tmp_path / "samples").mkdir()
    real = {"recall": 1.0, "f_score": 0.5, "exact": 0.75}
    for step, recall in ((0, 0.0), (20, 0.25)):
        made = {"recall": recall, "f_score": 0.1, "exact": 0.0}
        (tmp_path / "samples" / f"{step:07d}.json").write_text(json.dumps({"made": made, "posters": real}))
    assert text_recall(tmp_path).splitlines()[2:] == [
        "| 0 | 0% | 0.10 | 0% |", "| 20 | 25% | 0.10 | 0% |", "| the posters themselves | 100% | 0.50 | 75% |"
    ]  # fmt: skip
    assert text_recall(tmp_path / "nothing") == ""


def test_a_plain_run_has_a_card_beside_last_and_averaged_weights_with_its_sheets(tmp_path):
    train(tmp_path / "run", max_steps=4, ema_decay=0.9, sample_every=2)
    for name, said in (("model", ""), ("ema", "averaged over the steps (decay 0.9)")):
        card = tmp_path / "run" / name / "README.md"
        text = card.read_text()
        assert said in text and "| steps | 4 of 4, 16 samples each |" in text and str(tmp_path) not in text
        for picture in re.findall(r"!\[.*\]\((.*)\)", text):
            with Image.open(card.parent / picture) as sheet:
                assert sheet.size == (4, 4)
        assert "Before the first step" in text and "After step 4, by the averaged weights" in text
        settings = yaml.safe_load(text.split("```yaml")[1].split("```")[0])
        assert settings["learning_rate"] == 0.05 and settings["ema_decay"] == 0.9


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return save_tiny_flux(tmp_path_factory.mktemp("base") / "FLUX.1-dev")


def code_of(text: str) -> list[str]:
    return [part.split("```")[0] for part in text.split("```python\n")[1:]]


@pytest.mark.slow
def test_the_code_on_the_cards_of_a_stage_and_of_its_lora_runs(base, run_recipe, tmp_path, capsys):
    """The two blocks of each card, with the card's folder and a few sizes put in, make a picture."""
    posters = write_posters(tmp_path / "posters", 4)
    run_recipe("stage2_region_sft", write_stage(tmp_path, "full", base, posters, max_steps=1))
    lora = {"weights": "lora", "rank": 2, "targets": ["to_q"]}
    run_recipe("stage1_text_render", write_stage(tmp_path, "lora", base, posters, max_steps=1, trainable=lora))
    assert "float32" not in capsys.readouterr().err  # diffusers' warning of parts that are not there
    for name in ("full", "lora"):
        card = tmp_path / name / "model" / "README.md"
        text, head = card.read_text(), head_of(card)
        assert head["license_name"] == "flux-1-dev-non-commercial-license" and head["license"] == "other"
        assert head["base_model"] == "black-forest-labs/FLUX.1-dev" and head["library_name"] == "diffusers"
        assert head["base_model_relation"] == {"full": "finetune", "lora": "adapter"}[name]
        assert ("lora" in head["tags"]) == (name == "lora") and "no commercial use of these weights" in text
        assert "| posters | 4 (`posters`); tasks: text; licences: CC0-1.0 |" in text and str(tmp_path) not in text
        ours, stock = code_of(text)
        assert "PosterCraftPipeline" in ours and "FluxPipeline" in stock
        for code, kind in ((ours, PosterCraftPipeline), (stock, FluxPipeline)):
            code = code.replace("path/to/this/folder", str(card.parent)).replace(head["base_model"], str(base))
            code = code.replace('"..."', '"a poster", width=64, height=96, num_inference_steps=1')
            made: dict = {}
            exec(code, made)
            assert isinstance(made["pipe"], kind) and made["image"].size == (64, 96)


def test_a_model_of_mini_still_says_that_it_cannot_spell(tmp_path):
    assert origin_of(RunConfig(init_from="mini:postercraft")).scripts == []
    (tmp_path / "README.md").write_text("---\nposterkit:\n  scripts: []\n---\n")
    assert card_scripts(str(tmp_path)) == ()
