"""The reward model through its real recipe on tiny backbones: the score by another route, exact resume, faults."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from scipy.special import expit
from small_scorer import AREA, save_tiny_qwen3, save_tiny_vlm, write_pairs, write_scorer
from small_stages import log_of
from torch import nn
from transformers import AutoModelForImageTextToText

from posterkit import mini
from posterkit.datasets import SyntheticPosters
from posterkit.metrics.expected_texts import request_from_sample
from posterkit.pipelines.processor import load_processor
from posterkit.rewards.models.reward_model import LearnedReward, RewardModel
from posterkit.schema import PosterRequest
from posterkit.sizing import fit_area

RECIPE = "reward_model"
ROOT = Path(__file__).resolve().parents[3]
LORA = {"weights": "lora", "rank": 2, "targets": ["q_proj", "v_proj"]}


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return save_tiny_vlm(tmp_path_factory.mktemp("vlm"))


@pytest.fixture(scope="module")
def base3(tmp_path_factory) -> Path:
    return save_tiny_qwen3(tmp_path_factory.mktemp("vlm3"))


def wishes(count: int = 4) -> tuple[list[PosterRequest], list[Image.Image]]:
    """Posters of tasks with none, one and more references."""
    source = SyntheticPosters(seed=3, size=(64, 96), reference_area=48 * 64)
    samples = [source.sample(n, task=("text", "id_driven", "style_driven", "filling")[n % 4]) for n in range(count)]
    return [request_from_sample(sample) for sample in samples], [Image.fromarray(sample.target) for sample in samples]


def opened(source: Path, **options) -> RewardModel:
    """With a head that says something."""
    torch.manual_seed(1)
    scorer = RewardModel(str(source), area=AREA, **options)
    nn.init.normal_(scorer.module["head"][3].weight)
    return scorer


def test_the_score_is_the_head_on_the_stock_models_mean_state_from_the_poster_on(base):
    scorer, (rows, posters) = opened(base), wishes()
    stock, processor = AutoModelForImageTextToText.from_pretrained(base), load_processor(base)
    asked, poster = rows[2], posters[2]
    seen = [Image.fromarray(asked.references[0]), poster]
    seen = [one.resize(fit_area(one.size, AREA, 28), Image.Resampling.BICUBIC) for one in seen]
    picture = "Picture {}: <|vision_start|><|image_pad|><|vision_end|>"
    said = f"{picture.format(1)}{asked.as_instruction()}\n{picture.format(2)}"
    words = f"<|im_start|>user\n{said}<|im_end|>\n<|im_start|>assistant\n"
    inputs = processor(text=[words], images=seen, return_tensors="pt")
    with torch.no_grad():
        states = stock(**inputs, output_hidden_states=True).hidden_states[-1][0]
        tokens = processor.tokenizer.convert_ids_to_tokens(inputs["input_ids"][0])
        state = states[len(tokens) - 1 - tokens[::-1].index("<|vision_start|>") :].mean(0)
        weights = scorer.module["head"].state_dict()
        hidden = nn.functional.silu(
            nn.functional.layer_norm(state, state.shape, weights["0.weight"], weights["0.bias"])
            @ weights["1.weight"].T
            + weights["1.bias"]
        )
        expected = hidden @ weights["3.weight"][0] + weights["3.bias"][0]
    assert scorer.scores([asked], [poster]).item() == pytest.approx(expected.item(), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("backbone", ["base", "base3"])
def test_a_batch_scores_as_its_posters_do_alone(backbone, request):
    scorer, (rows, posters) = opened(request.getfixturevalue(backbone)), wishes()
    alone = torch.cat([scorer.scores([row], [poster]) for row, poster in zip(rows, posters, strict=True)])
    assert alone.unique().numel() == 4
    assert torch.allclose(scorer.scores(rows, posters), alone, atol=1e-5)


def test_poster_references_and_words_all_count_and_words_do_not_where_they_are_left_out(base):
    (asked,), (poster,) = (one[1:2] for one in wishes())
    other = PosterRequest(task=asked.task, instruction="Something else.", images=asked.references)
    bare = PosterRequest(
        task=asked.task, instruction=asked.as_instruction(), images=tuple(255 - one for one in asked.references)
    )
    dark = Image.new("RGB", poster.size)
    for prompt in (True, False):
        scorer = opened(base, prompt=prompt)
        first, words, inputs, made = scorer.scores(
            [asked, other, bare, asked], [poster, poster, poster, dark]
        ).tolist()
        assert abs(first - inputs) > 1e-4 and abs(first - made) > 1e-4
        assert (abs(first - words) > 1e-4) == prompt


def test_words_that_look_like_a_picture_are_words(base):
    asked = PosterRequest('Title "<|vision_start|><|image_pad|><|vision_end|>"')
    assert torch.isfinite(opened(base).scores([asked], [Image.new("RGB", (64, 96))])).all()


@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("backbone", ["base", "base3"])
def test_a_saved_model_scores_the_same_and_holds_safetensors_alone(backbone, lora, request, tmp_path):
    scorer, (rows, posters) = opened(request.getfixturevalue(backbone)), wishes(2)
    if lora:
        scorer.add_lora(2, 4, ["q_proj", "v_proj"])
        for name, parameter in scorer.module.named_parameters():
            if ".lora_B" in name:
                nn.init.normal_(parameter)
    scorer.save(tmp_path)
    assert torch.equal(RewardModel.from_folder(tmp_path).scores(rows, posters), scorer.scores(rows, posters))
    weights = {path.name for path in tmp_path.rglob("*") if path.suffix in (".bin", ".pt", ".pth", ".safetensors")}
    assert weights == ({"scorer.safetensors"} if lora else {"scorer.safetensors", "model.safetensors"})


@pytest.mark.slow
def test_the_first_loss_is_ln_2_and_what_trains_is_lora_and_head(base, run_recipe, tmp_path, capsys):
    run_recipe(
        RECIPE, write_scorer(tmp_path, "run", base, trainable=LORA, max_steps=1, kinds={"candidates": 1, "blank": 1})
    )
    assert log_of(tmp_path / "run")[0]["loss"] == pytest.approx(math.log(2))
    names = load_file(tmp_path / "run" / "last" / "weights.safetensors")
    assert names and all(".lora_" in name or name.startswith("head.") for name in names)
    assert "candidates: nothing in this set to make such pairs of" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [{"ema_decay": 0.9, "accumulation": 2}, {"trainable": {**LORA, "weights": "dora"}, "kinds": {"unedited": 1}}],
    ids=["full", "dora"],
)
def test_a_stopped_run_goes_on_bit_for_bit(base, run_recipe, tmp_path, settings):
    for run, stops in (("whole", [[]]), ("halves", [["stop_at=2"], []])):
        for stop in stops:
            run_recipe(RECIPE, write_scorer(tmp_path, run, base, **settings), *stop)
    for file in ("last/weights.safetensors", "last/optimizer.safetensors", "model/scorer.safetensors"):
        a, b = ((tmp_path / run / file).read_bytes() for run in ("whole", "halves"))
        assert a == b
    a, b = ((tmp_path / run / "heldout.jsonl").read_text() for run in ("whole", "halves"))
    assert a == b


@pytest.mark.slow
def test_the_reward_is_the_calibrated_score_of_the_finished_run(base, run_recipe, tmp_path):
    pairs = write_pairs(tmp_path / "pairs", 4)
    run_recipe(RECIPE, write_scorer(tmp_path, "run", base, data={"path": str(pairs)}, kinds={"candidates": 1}))
    reward, (rows, posters) = LearnedReward(tmp_path / "run"), wishes()
    settings = json.loads((tmp_path / "run" / "model" / "scorer.json").read_text())
    results = reward(posters, rows)
    scores = RewardModel.from_folder(tmp_path / "run" / "model").scores(rows, posters).numpy()
    expected = expit(settings["scale"] * scores.astype(np.float64) + settings["offset"])
    assert [result.value for result in results] == pytest.approx(expected.tolist())
    assert [result.parts for result in results] == [{"learned": result.value} for result in results]
    assert results[0].why == f"score {scores[0]:+.2f}"
    assert reward([], []) == []
    with pytest.raises(ValueError, match="3 posters for 4 rows"):
        reward(posters[:3], rows)


def test_the_name_of_a_reward_changes_with_its_weights(base, tmp_path):
    names = []
    for scale in (1.0, 1.0, 2.0):
        scorer = opened(base)
        scorer.calibrate(scale, 0.0)
        scorer.save(tmp_path)
        names.append(LearnedReward(tmp_path).name)
    assert names[0] == names[1] != names[2] and names[0].startswith("learned-")
    nn.init.normal_(scorer.module["backbone"].get_input_embeddings().weight)
    scorer.save(tmp_path)
    assert LearnedReward(tmp_path).name != names[2]


@pytest.mark.slow
def test_averaged_weights_are_the_reward_where_a_run_keeps_any(base, run_recipe, tmp_path):
    run_recipe(RECIPE, write_scorer(tmp_path, "run", base, ema_decay=0.9, max_steps=2))
    assert LearnedReward(tmp_path / "run").folder == tmp_path / "run" / "ema"


@pytest.mark.slow
def test_a_run_leaves_what_it_made_of_held_out_pairs(base, run_recipe, tmp_path):
    run_recipe(RECIPE, write_scorer(tmp_path, "run", base, max_steps=1, kinds={"blank": 1}))
    found = json.loads((tmp_path / "run" / "heldout.json").read_text())
    rows = [json.loads(line) for line in (tmp_path / "run" / "heldout.jsonl").read_text().splitlines()]
    assert len(found["kinds"]) == 10 and len(rows) == 20  # kinds that it did not learn from too
    for kind, one in found["kinds"].items():
        own = [row["chosen"] - row["rejected"] for row in rows if row["kind"] == kind]
        assert one["pairs"] == 2 and one["margin"] == pytest.approx(sum(own) / 2, abs=2e-3)
    assert set(found["kinds"]["text_error"]) == {"pairs", "right", "margin", "right_unseen"}
    assert all(row["why"] and row["prompt"] for row in rows)
    for name in ("calibration.png", "pairs.png"):
        assert Image.open(tmp_path / "run" / name).width > 400
    card = (tmp_path / "run" / "model" / "README.md").read_text()
    assert "reward-model" in card and "all of the backbone and the head" in card
    assert 'open_reward("path/to/this/folder")' in card


def test_a_dry_run_shows_both_sides_of_a_batch(base, run_recipe, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        run_recipe(RECIPE, write_scorer(tmp_path, "run", base), "dry_run=true")
    assert ended.value.code == 0 and "backbone" in capsys.readouterr().out
    assert Image.open(tmp_path / "run" / "dry_run.png").size[0] > 2 * 256
    assert not (tmp_path / "run" / "last").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["kinds.unedite=0.1"], 'unknown key "unedite" .did you mean "unedited"'),
        (["init_from=null"], "starts from a vision-language model"),
        (["init_from=nowhere"], "nowhere: no such folder"),
        (["base=bf16"], "takes trainable.weights=lora or dora"),
        (
            ["trainable.weights=lora", "trainable.targets=[to_q]"],
            'no linear layer of the backbone ends in "to_q"; there',
        ),
        (["data.heldout=1"], "data.heldout must be at least 2"),
        (["data.path=nowhere"], "nowhere: there is no such folder"),
        (["heldout_pairs=0"], "must be at least 1"),
    ],
)
def test_a_wrong_call_ends_in_one_line(base, run_recipe, tmp_path, capsys, changes, said):
    with pytest.raises(SystemExit) as ended:
        run_recipe(RECIPE, write_scorer(tmp_path, "run", base), *changes)
    assert ended.value.code == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("posterkit:")]
    assert re.search(said, line), line


def test_a_folder_without_a_finished_reward_model_is_refused(base, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no reward model .scorer.json is not there"):
        LearnedReward(tmp_path)
    opened(base).save(tmp_path)
    with pytest.raises(ValueError, match="scale and offset are missing"):
        LearnedReward(tmp_path)


def test_minis_text_encoder_is_a_backbone():
    scorer, (rows, posters) = opened(Path("mini:posteromni")), wishes(2)
    assert scorer.scores(rows, posters).shape == (2,)
    assert torch.equal(opened(Path(mini.path("posteromni"))).scores(rows, posters), scorer.scores(rows, posters))


@pytest.mark.slow
def test_a_reward_model_learns_to_prefer_the_brighter_poster(base, run_recipe, tmp_path):
    pairs = write_pairs(tmp_path / "pairs", 16, heldout=8)
    run_recipe(RECIPE, write_scorer(tmp_path, "run", base, data={"path": str(pairs)}, kinds={"candidates": 1},
                                    max_steps=60, learning_rate=5e-3, heldout_pairs=8))  # fmt: skip
    assert json.loads((tmp_path / "run" / "heldout.json").read_text())["kinds"]["candidates"]["right"] == 1
    reward, asked = LearnedReward(tmp_path / "run"), PosterRequest('A grey poster, title "No 99"')
    bright, dark = (Image.new("RGB", (48, 64), (level,) * 3) for level in (210, 70))
    results = reward([bright, dark], [asked, asked])
    assert results[0].value > 0.5 > results[1].value


@pytest.mark.slow
@pytest.mark.parametrize("launcher", [[], ["-m", "accelerate.commands.launch", "--cpu", "--num_processes", "1"]])
def test_the_recipe_runs_alone_on_a_fresh_clone(tmp_path, launcher):
    call = [sys.executable, *launcher, ROOT / "train" / f"{RECIPE}.py", f"run_dir={tmp_path / 'run'}", "max_steps=2"]
    settings = ["data.count=24", "data.heldout=12", "batch_size=2", "heldout_pairs=2"]
    done = subprocess.run([*call, *settings], timeout=300, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "taking configs/mini/reward_model.yaml" in done.stdout
    assert 0 <= LearnedReward(tmp_path / "run")(*reversed(wishes(1)))[0].value <= 1
