"""Stage 4 through the real recipe, at nano size: the pipeline's own forward, true suggestions, resume, refusals."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from diffusers import FluxPipeline
from PIL import Image, ImageDraw
from safetensors.torch import load_file
from small_omni import save_tiny_qwen
from small_stages import log_of, save_tiny_flux, write_stage

from posterkit import PosterCraftPipeline
from posterkit.critic.rules import RulesCritic
from posterkit.datasets.dataset import INDEX
from posterkit.datasets.pair_dataset import Reflection, open_reflections
from posterkit.datasets.validation import validate
from posterkit.metrics.color import border_color, named_shares
from posterkit.pipelines.flux_inputs import Condition
from posterkit.prompts import COLORS
from posterkit.training.loading import drafts
from posterkit.training.loading.drafts import REDRAWN, WEAKENED, DraftsOfPosters, encode_drafted
from posterkit.training.loading.sets import SetConfig
from posterkit.training.lora_files import read_lora

RECIPE = "stage4_reflect"
LORA = {"weights": "lora", "rank": 2}
SIZE = (64, 96)


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return save_tiny_flux(tmp_path_factory.mktemp("base"))


def write_reflections(folder: Path, count: int, heldout: int = 0, **changed: Any) -> Path:
    """A set of pictures of noise, as `build_reflections.py` writes it."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    with (folder / INDEX).open("w", encoding="utf-8") as index:
        for number in range(count + heldout):
            row = {"id": f"r-{number}", "task": "text", "prompt": f"a poster {number}", "draft": f"{number}.draft.png",
                   "target": f"{number}.png", "content": f"Big {number}.", "style": "Red.",
                   "split": "train" if number < count else "heldout", **changed}  # fmt: skip
            for name in (f"{number}.draft.png", f"{number}.png"):
                Image.fromarray(rng.integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8)).save(folder / name)
            index.write(json.dumps(row) + "\n")
    return folder


def stage(folder: Path, run: str, base: Path, reflections: Path | None, **overrides: Any) -> Path:
    return write_stage(folder, run, base, reflections, **{"trainable": LORA, **overrides})


@pytest.fixture(scope="module")
def reflections(tmp_path_factory) -> Path:
    return write_reflections(tmp_path_factory.mktemp("set"), 4, heldout=2)


@torch.no_grad()
def loss_of(pipe: PosterCraftPipeline, one: Reflection, feedback: list[str], guidance: float, seed: int) -> float:
    """One step's loss by the pipeline's own parts, which stock Kontext is the oracle of."""
    generator = torch.Generator().manual_seed(1000 * seed)
    torch.rand(2, generator=generator)  # whether prompt and feedback are dropped
    t = torch.rand(1, generator=generator)
    size = pipe.target_size(*SIZE)
    blank = torch.zeros(1, SIZE[0] * SIZE[1] // 256, 16)
    image_ids, draft = pipe.prepare_draft([Image.fromarray(one.draft.target)], size, 1, blank)
    _, x0 = pipe.prepare_draft([Image.fromarray(one.target.target)], size, 1, blank)
    assert draft is not None and x0 is not None
    draft, x0 = (tokens.half().float() for tokens in (draft, x0))  # what is cached is rounded to float16
    prompt, pooled, text_ids = pipe.encode_prompt(one.draft.caption, feedback=[feedback])
    noise = torch.randn(x0.shape, generator=generator)
    condition = Condition(prompt, pooled, text_ids, image_ids, torch.tensor([guidance]), draft)
    pipe._joint_attention_kwargs = {}
    v = pipe.predict_velocity(torch.lerp(x0, noise, t), 1000 * t, condition)
    return float(np.square(v.numpy().astype(np.float64) - (noise - x0).numpy()).mean())


@pytest.mark.parametrize(
    ("settings", "feedback"),
    [
        ({"guidance": 3.5}, ["Big 0.", "Red."]),
        ({"data.keep": "ids"}, ["Big 0.", "Red."]),
        ({"drop_feedback": 1.0}, []),
    ],
    ids=["states", "ids", "without feedback"],
)
def test_the_first_loss_is_that_of_the_pipelines_own_velocity(base, run_recipe, tmp_path, settings, feedback):
    posters = write_reflections(tmp_path / "set", 1)
    config = stage(tmp_path, "run", base, posters, max_steps=1, batch_size=1, seed=3)
    run_recipe(RECIPE, config, *(f"{key}={value}" for key, value in settings.items()))
    pipe, one = PosterCraftPipeline.from_pretrained(base), open_reflections(posters)[0]
    guidance = settings.get("guidance", 1.0)
    expected = loss_of(pipe, one, feedback, guidance, 3)
    off = abs(log_of(tmp_path / "run")[0]["loss"] - expected)
    others = [["Tiny", "Blue"], feedback[::-1]] if feedback else [["Big 0.", "Red."]]
    others_off = [abs(loss_of(pipe, one, other, guidance, 3) - expected) for other in others]
    assert off < 1e-5 * expected and off < 0.2 * min(others_off), (off, others_off)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"ema_decay": 0.9, "accumulation": 2, "drop_prompt": 0.3, "drop_feedback": 0.3},
        {"strategy": "lopt", "trainable": {**LORA, "gradient_checkpointing": True}},
        {"trainable": {"weights": "full"}, "optimizer": "adafactor"},
    ],
    ids=["lora", "lopt", "full"],
)
def test_a_stopped_run_goes_on_bit_for_bit(base, reflections, run_recipe, tmp_path, settings):
    whole, halves = (stage(tmp_path, run, base, reflections, **settings) for run in ("whole", "halves"))
    run_recipe(RECIPE, whole)
    run_recipe(RECIPE, halves, "stop_at=2")
    run_recipe(RECIPE, halves)
    for name in ("weights", "optimizer", *(["ema"] if "ema_decay" in settings else [])):
        a, b = ((tmp_path / run / "last" / f"{name}.safetensors").read_bytes() for run in ("whole", "halves"))
        assert a == b
    assert [row["loss"] for row in log_of(tmp_path / "whole")] == [row["loss"] for row in log_of(tmp_path / "halves")]


@pytest.mark.slow
def test_the_lora_of_a_run_says_its_stage_draws_and_opens_in_stock_pipelines(base, reflections, run_recipe, tmp_path):
    run_recipe(RECIPE, stage(tmp_path, "run", base, reflections, learning_rate=0.05, sample_every=4))
    folder = tmp_path / "run" / "model"
    assert read_lora(folder).name == "reflect"
    card = (folder / "README.md").read_text()
    assert yaml.safe_load(card.split("---")[1])["posterkit"] == {"recipe": "stage4_reflect"}
    assert "draft_image=draft, feedback=[" in card
    trained = load_file(tmp_path / "run" / "last" / "weights.safetensors")
    for kind in (PosterCraftPipeline, FluxPipeline):
        pipe = kind.from_pretrained(base)
        pipe.load_lora_weights(folder)
        loaded = dict(pipe.transformer.named_parameters())
        for name, value in trained.items():
            assert torch.equal(loaded[name.removeprefix("transformer.").replace(".reflect.", ".default_0.")], value)
    with Image.open(tmp_path / "run" / "samples" / "0000004.png") as sheet:
        assert sheet.width == 2 * 260  # two are held out
        assert np.asarray(sheet)[3 * 256 :].min() < 100  # the feedback stands below
    shown = json.loads((tmp_path / "run" / "samples" / "0000004.json").read_text())["heldout"]
    assert set(shown) == {"draft_distance", "redraw_distance", "nearer"}
    pairs = zip(shown["draft_distance"], shown["redraw_distance"], strict=True)
    assert shown["nearer"] == [float(redraw < draft) for draft, redraw in pairs] and len(shown["nearer"]) == 2


@pytest.mark.slow
def test_stage_four_learns_on_what_stage_three_left(base, reflections, run_recipe, tmp_path):
    """The former LoRA is part of the base: a run from it sees another loss than one from the bare base."""
    run_recipe(RECIPE, stage(tmp_path, "former", base, reflections, learning_rate=0.05))
    for run, start in (("bare", base), ("after", tmp_path / "former")):
        run_recipe(RECIPE, stage(tmp_path, run, start, reflections, max_steps=1, learning_rate=1e-12))
    bare, after = (log_of(tmp_path / run)[0]["loss"] for run in ("bare", "after"))
    assert abs(bare - after) > 1e-3
    assert (
        read_lora(tmp_path / "after" / "model").base["weights"]
        != read_lora(tmp_path / "bare" / "model").base["weights"]
    )


def test_reflections_that_teach_nothing_are_left_out_and_counted(base, run_recipe, tmp_path):
    posters = write_reflections(tmp_path / "set", 6)
    rows = [json.loads(line) for line in (posters / INDEX).read_text().splitlines()]
    rows[0] |= {"content": " ", "style": ""}
    rows[1]["content"] = None
    (posters / rows[2]["draft"]).write_bytes((posters / rows[2]["target"]).read_bytes())
    Image.new("RGB", (96, 64)).save(posters / rows[3]["draft"])
    (posters / rows[4]["draft"]).write_bytes(b"no picture")
    (posters / INDEX).write_text("".join(json.dumps(row) + "\n" for row in rows))
    run_recipe(RECIPE, stage(tmp_path, "run", base, posters, max_steps=1, batch_size=1))
    (report,) = json.loads((tmp_path / "run" / "data_report.json").read_text()).values()
    assert report["rows"] == 6 and report["posters"] == 1
    assert {reason: [one["id"] for one in found] for reason, found in report["left_out"].items()} == {
        "suggest nothing": ["r-0", "r-1"],
        "have the same picture as draft and target": ["r-2"],
        "have a draft of another size": ["r-3"],
        "cannot be read": ["r-4"],
    }
    assert not report["beyond_limit"]["rows"] or report["beyond_limit"]["cut"]


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("drop_feedback=1.5", "drop_feedback must lie in [0, 1], got 1.5"),
        ("drop_feedbak=1", 'unknown key "drop_feedbak" (did you mean "drop_feedback"?)'),
        (
            "data.path=pairs",
            "samples.jsonl:1: p-0: is no reflection; data_tools/build_reflections.py writes such a set",
        ),
        ("data.path=nowhere", "there is no such file"),
        ("data.path=heldout", "there is no reflection to train on"),
        ("data.path=same", "none of 2 reflections is left: 2 suggest nothing"),
        ("data.path=omni", "holds a sample of filling; postercraft learns text"),
        ("init_from=qwen", "is a checkpoint of posteromni; this stage trains postercraft"),
    ],
)
def test_a_call_that_cannot_work_ends_with_one_line_and_code_2(
    base, reflections, run_recipe, tmp_path, capsys, monkeypatch, override, said
):
    monkeypatch.chdir(tmp_path)
    Path("pairs").mkdir()
    pair = {"id": "p-0", "task": "text", "prompt": "p", "chosen": "a.png", "rejected": "b.png"}
    Path("pairs", INDEX).write_text(json.dumps(pair) + "\n")
    write_reflections(Path("heldout"), 0, heldout=1)
    write_reflections(Path("same"), 2, content="", style="")
    write_reflections(Path("omni"), 1, task="filling")
    if override == "init_from=qwen":
        save_tiny_qwen(Path("qwen"))
    with pytest.raises(SystemExit) as ended:
        run_recipe(RECIPE, stage(tmp_path, "run", base, reflections), override)
    error = capsys.readouterr().err
    assert ended.value.code == 2 and said in error and error.count("posterkit:") == 1
    assert not (tmp_path / "run" / "last").exists()


@pytest.fixture(scope="module")
def drawn() -> list[drafts.Drafted]:
    source = DraftsOfPosters(SetConfig(count=10, sizes=[[128, 192], [160, 160]]))
    return [source[number] for number in range(12)]


def test_drawn_reflections_follow_from_the_seed_and_hold_out_the_last(drawn):
    source = DraftsOfPosters(SetConfig(count=10, sizes=[[128, 192], [160, 160]]))
    assert encode_drafted(source[3]) == encode_drafted(drawn[3])
    assert [one.split for one in drawn] == ["train"] * 10 + ["heldout"] * 2
    assert len({one.target.tobytes() for one in drawn}) == 12
    other = DraftsOfPosters(SetConfig(seed=1, count=10, sizes=[[128, 192], [160, 160]]))[3]
    assert other.prompt != drawn[3].prompt


def test_a_drawn_draft_differs_from_its_target_and_says_in_what(drawn):
    kinds = Counter(flaw for one in drawn for flaw in one.flaws)
    assert kinds.keys() <= {*REDRAWN, *WEAKENED} and len(kinds) > 4
    for one in drawn:
        assert one.flaws and one.draft.shape == one.target.shape and not np.array_equal(one.draft, one.target)
        assert one.said.content != "Keep what it shows and says." or not set(one.flaws) & REDRAWN.keys()


def made_of(flaw: str, monkeypatch: pytest.MonkeyPatch, count: int = 4) -> list[drafts.Drafted]:
    """Reflections with one flaw alone."""
    redraws = flaw in REDRAWN
    monkeypatch.setattr(drafts, "REDRAWN", {flaw: REDRAWN[flaw]} if redraws else {})
    monkeypatch.setattr(drafts, "WEAKENED", {} if redraws else {flaw: WEAKENED[flaw]})
    monkeypatch.setattr(drafts, "_WEAKENED", 0.0 if redraws else 1.0)
    monkeypatch.setattr(drafts, "_BOTH", 0.0)
    rng, found = Random(flaw), []
    while len(found) < count:
        one = drafts.draw_reflection(rng, (128, 192), f"r-{len(found)}", "train")
        found += [one] if one else []
    return found


def background_share(picture: np.ndarray, name: str) -> float:
    return float(named_shares(border_color(picture))[list(COLORS).index(name)])


def test_a_background_that_is_asked_for_is_the_targets_and_not_the_drafts(monkeypatch):
    for one in made_of("background", monkeypatch):
        order = one.said.content.split("Make the background ")[1]
        expected, found = order.split(".")[0].split("; it is ")
        assert background_share(one.target, expected) > 0.35 > background_share(one.draft, expected)
        assert background_share(one.draft, found) == max(background_share(one.draft, name) for name in COLORS)
        assert f"{expected} background" in one.prompt.lower() or f"background {expected}" in one.prompt.lower()
        # the critic that reads no text says the same at inference
        seen = RulesCritic(read_text=False).suggest(Image.fromarray(one.draft), one.prompt)
        assert f"Make the background {expected}; it is {found}." in seen.content


def test_words_that_are_asked_for_stand_in_the_prompt_and_needless_ones_do_not(monkeypatch):
    said = [(one.prompt.lower(), one.said.content) for one in made_of("words", monkeypatch, 6)]
    for prompt, content in said:
        verb, quoted, *_ = content.split('"')
        assert (quoted in prompt) == (not verb.startswith("Remove the words")), content


def test_a_title_that_is_to_move_stands_elsewhere_and_the_prompt_names_the_place(monkeypatch):
    for one in made_of("arrangement", monkeypatch):
        title, where = one.said.content.split('Move "')[1].split(".")[0].split('" to the ')
        assert f'"{title}"' in one.prompt and any(f"{place} the {where}" in one.prompt for place in ("at", "on", "in"))


@pytest.mark.parametrize(
    ("flaw", "order"),
    [
        ("blurred", "Draw edges crisply"),
        ("faded", "Take stronger colours"),
        ("flat", "Use a wider range from dark to light"),
        ("faint texts", "Raise the contrast of"),
        ("cluttered", "Reduce the clutter"),
    ],
)
def test_a_weakness_is_named_and_measured(monkeypatch, flaw, order):
    made = made_of(flaw, monkeypatch, 2)
    assert all(order in one.said.style for one in made)
    for one in made:
        a, b = (np.asarray(Image.fromarray(picture).convert("HSV"), float) for picture in (one.draft, one.target))
        rough = [np.abs(np.diff(picture[..., 2], axis=0)).mean() for picture in (a, b)]
        if flaw == "faded":
            assert a[..., 1].mean() < 0.5 * b[..., 1].mean()
        elif flaw == "cluttered":
            assert rough[0] > rough[1]
        else:
            assert rough[0] < rough[1]


def test_the_recipe_draws_a_set_of_its_own_that_the_validator_accepts(base, run_recipe, tmp_path):
    run_recipe(
        RECIPE, stage(tmp_path, "run", base, None, max_steps=1, data={"count": 3, "heldout": 1, "sizes": [SIZE]})
    )
    assert validate(tmp_path / "run" / "set").faults == []
    assert len(open_reflections(tmp_path / "run" / "set", "train")) == 3


def test_a_dry_run_says_the_prompt_and_the_feedback_under_each_sample(base, run_recipe, tmp_path, monkeypatch):
    written: list[str] = []
    real = ImageDraw.ImageDraw.multiline_text

    def noted(self: Any, place: Any, text: str, *options: Any, **more: Any) -> None:
        written.append(text)
        real(self, place, text, *options, **more)

    monkeypatch.setattr(ImageDraw.ImageDraw, "multiline_text", noted)
    with pytest.raises(SystemExit) as ended:
        run_recipe(RECIPE, stage(tmp_path, "run", base, write_reflections(tmp_path / "set", 2)), "dry_run=true")
    assert ended.value.code == 0
    expected = [f"r-{n}\ntext\na poster {n}\nfeedback: Big {n}. Red." for n in range(2)]
    assert sorted(text for text in written if "feedback" in text) == expected
    bottom = np.asarray(Image.open(tmp_path / "run" / "dry_run.png").convert("L"))[-40:, :128]
    assert bottom.min() < 100 and (bottom[-4:] == 255).all()  # the last line is on the picture, and whole
