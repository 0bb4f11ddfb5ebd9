"""The data path: which posters are left out, at which size they are seen, in which order, and what is kept on disk."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_qwen
import torch
from PIL import Image
from small_omni import save_tiny_qwen
from small_stages import SIZE, save_tiny_flux, write_posters

from posterkit.datasets import DrawnText, PosterDataset, PosterSample, Region, write_sample
from posterkit.datasets.file_index import FileIndex
from posterkit.metrics.expected_texts import request_from_sample
from posterkit.pipelines.latents import pack
from posterkit.rewards.parts.preservation import canvas_of
from posterkit.sizing import Size
from posterkit.training.adapters.autoencoder import Autoencoder
from posterkit.training.adapters.qwen import QwenAdapter
from posterkit.training.config import RunConfig
from posterkit.training.loading.batches import encoded_batches, even_tasks
from posterkit.training.loading.fitting import fit_sample, move_box, plan_sizes, target_size
from posterkit.training.loading.prefetch import Mixture, PrefetchLoader
from posterkit.training.loading.sets import Posters, SetConfig, open_set
from posterkit.training.run import Run
from posterkit.training.stages import open_start

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return save_tiny_flux(tmp_path_factory.mktemp("base"))


@pytest.fixture
def run(tmp_path) -> Run:
    return Run(RunConfig(run_dir=str(tmp_path / "run"), batch_size=2))


def qwen() -> QwenAdapter:
    parts = tiny_qwen.components(seed=0)
    areas = {"native_area": SIZE[0] * SIZE[1], "reference_area": 3072, "condition_area": 3136}
    return QwenAdapter(parts, Autoencoder("qwen", parts.pop("vae")), areas, frozen_text=True)


def checked(width: int, height: int) -> np.ndarray:
    """A picture whose left upper quarter is red and whose rest is blue."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[..., 2] = 255
    picture[: height // 2, : width // 2] = (255, 0, 0)
    return picture


def write(folder: Path, *samples: PosterSample) -> PosterDataset:
    for sample in samples:
        write_sample(sample, folder)
    return PosterDataset(folder)


def poster(name: str, width: int, height: int, **more) -> PosterSample:
    return PosterSample(name, "text", checked(width, height), caption=f"red and blue {name}", **more)


def test_posters_are_left_out_for_a_reason_that_is_told(base, run, tmp_path, capsys):
    sizes = {"fits": (64, 96), "wide": (96, 64), "broad": (96, 64), "large": (130, 190), "tiny": (20, 30),
             "strip": (400, 60), "broken": (64, 96)}  # fmt: skip
    cut = poster("cut", 150, 190, texts=[DrawnText("x", (2, 50, 60, 90))])
    posters = write(tmp_path / "set", cut, *(poster(name, *size) for name, size in sizes.items()))
    (tmp_path / "set" / "broken.png").write_bytes(b"no picture")
    found = open_set(SetConfig(path=str(tmp_path / "set")), run, Posters(SetConfig()))
    batches = encoded_batches(found, open_start(str(base), "postercraft"), run, SetConfig())
    said = capsys.readouterr().out
    for line in (
        "8 rows, 4 to train on, about 2 batches of 2 an epoch",
        "64x96 text: 2 posters",
        "96x64 text: 2 posters",
        "left out: 4, all named in ",
        "1 longer than 3 to 1: strip (400x60)",
        "1 would be enlarged more than 1.5 times: tiny (20x30)",
        "1 a text would be cut off: cut (150x190)",
        "1 cannot be read: broken (",
    ):
        assert line in said
    seen = {name for batch in itertools.islice(batches, 2) for name in batch.ids}
    assert seen == {"fits", "wide", "broad", "large"} and len(posters) == 8


def test_a_poster_whose_shape_is_rare_is_trained_on_and_named(base, run, tmp_path, capsys):
    write(tmp_path / "set", poster("one", 64, 96), poster("two", 64, 96), poster("lonely", 96, 64))
    found = open_set(SetConfig(path=str(tmp_path / "set")), run, Posters(SetConfig()))
    batches = encoded_batches(found, open_start(str(base), "postercraft"), run, SetConfig())
    said = capsys.readouterr().out
    assert "of these 1 poster in 1 shape of fewer than a batch, which comes every few epochs" in said
    seen = Counter(name for batch in itertools.islice(batches, 3) for name in batch.ids)  # two epochs
    assert seen == {"one": 2, "two": 2, "lonely": 2}


def test_a_poster_turned_by_its_camera_is_planned_as_it_is_seen(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    write(tmp_path, poster("turned", 96, 64))
    Image.fromarray(checked(96, 64)).save(tmp_path / "turned.png", exif=exif)
    plans, lost = plan_sizes(FileIndex(tmp_path / "known", PosterDataset(tmp_path)), 64 * 96)
    assert plans[0].original == plans[0].size == (64, 96) and not lost
    assert PosterDataset(tmp_path)[0].target.shape == (96, 64, 3)


def test_a_poster_is_scaled_to_cover_its_bucket_and_its_boxes_go_with_it():
    # 200x400 onto 96x160: scaled by 0.48 to 96x192, 16 rows off at the top and at the bottom
    boxes = [Region((0, 0, 100, 200), "major", "a"), Region((150, 380, 200, 400), "minor", "off")]
    said = [DrawnText("a", (0, 0, 100, 200))]
    fitted = fit_sample(poster("p", 200, 400, regions=boxes, texts=said), Size(96, 160))
    assert [text.text for text in fitted.texts] == ["a"]
    assert fitted.target.shape == (160, 96, 3)
    assert [region.box for region in fitted.regions] == [(0, 0, 48, 80)]
    assert fitted.target[78, 46].tolist() == pytest.approx([255, 0, 0], abs=12)
    assert fitted.target[82, 46].tolist() == pytest.approx([0, 0, 255], abs=12)
    assert move_box((50, 100, 60, 120), Size(200, 400), Size(96, 160)) == (24, 32, 29, 42)  # 28.8 and 41.6 rounded up


@pytest.mark.parametrize(
    ("original", "size"),
    [((832, 1216), (832, 1216)), ((1024, 1024), (1024, 1024)), ((2000, 3000), None), ((832, 1210), None)],
)
def test_a_poster_near_a_megapixel_on_the_grid_stays_and_others_find_a_bucket(original, size):
    found = target_size(Size(*original), 1024 * 1024)
    assert size is None or found == size
    assert found.width % 16 == found.height % 16 == 0
    assert abs(found.area / 1024**2 - 1) < 0.04 and abs(found.aspect / (original[0] / original[1]) - 1) < 0.02


def test_every_task_is_drawn_as_often_as_the_largest_one():
    tasks = ["a"] * 7 + ["b"] * 3 + ["c"]
    counts = Counter(even_tasks(tasks))
    assert Counter(tasks[n] for n in counts.elements()) == {"a": 7, "b": 7, "c": 7}
    assert set(counts) == set(range(11)) and {counts[n] for n in (7, 8, 9)} == {2, 3} and counts[10] == 7


def test_batches_of_tasks_hold_one_group_and_every_reference(run, tmp_path):
    tasks = ("extending", "filling", "id_driven", "style_driven")
    write_posters(tmp_path / "set", 16, tasks)
    found = open_set(SetConfig(path=str(tmp_path / "set")), run, Posters(SetConfig()))
    model = qwen()
    batches = encoded_batches(found, model, run, SetConfig())
    rows = {row["id"]: number for number, row in enumerate(found.train.rows)}
    seen = Counter()
    for batch in itertools.islice(batches, len(batches.loader.plan(0))):
        assert batch.tasks.count("style_driven") in (0, len(batch.tasks))
        seen.update(batch.tasks)
        samples = [found.train[rows[name]] for name in batch.ids]
        with torch.no_grad():
            wanted = model.collate(model.precompute(samples))
            x0, condition = model.encode(batch)
            expected, other = model.encode(wanted)
        assert torch.allclose(x0, expected, atol=2e-3)  # float16, encoded in another company
        assert torch.allclose(condition.references, other.references, atol=2e-3)
        assert len(condition.shapes) == 1 + len(samples[0].references)
        assert torch.allclose(condition.prompt, other.prompt, atol=1e-5)
    assert set(seen) == set(tasks) and seen["extending"] == seen["filling"] == 4


def test_shares_of_regions_stand_beside_the_latents_of_their_own_poster(base, run, tmp_path):
    left = poster("left", 64, 96, regions=[Region((0, 0, 32, 96), "major", "x")])
    large = poster("large", 128, 192, regions=[Region((64, 0, 128, 192), "minor", "x")])
    write(tmp_path / "set", left, large)
    config = SetConfig(path=str(tmp_path / "set"))
    model = open_start(str(base), "postercraft")
    found = open_set(config, run, Posters(config), regions=True)
    batch = next(iter(encoded_batches(found, model, run, config, regions=True)))
    assert batch["shares"].shape == (2, 24, 3) and batch["shares"].shape[1] == pack(batch["latents"]).shape[1]
    for name, shares in zip(batch.ids, batch["shares"], strict=True):
        covered = shares.reshape(6, 4, 3)
        role, columns = (0, slice(0, 2)) if name == "left" else (1, slice(2, 4))
        assert covered[:, columns, role].eq(1).all() and covered.sum() == 12


def encoded_by_tool(base: Path, folder: Path, *options: str) -> list[Path]:
    """What lies in `folder/cache` after the tool's run over `folder/set`."""
    tool = [sys.executable, ROOT / "data_tools" / "cache_encoders.py", folder / "set", "--out", folder / "cache"]
    subprocess.run([*tool, "--model", base, *options], check=True, timeout=900)
    return sorted((folder / "cache").rglob("*.safetensors"))


@pytest.mark.slow
@pytest.mark.parametrize("keep", ["states", "ids"])
def test_the_tool_that_fills_caches_fills_this_one(base, run, tmp_path, capsys, keep):
    write_posters(tmp_path / "set", 4)
    write(tmp_path / "set", poster("large", 130, 190), poster("odd", 70, 100))  # brought to a bucket by both
    before = encoded_by_tool(base, tmp_path, "--keep", keep)
    config = SetConfig(path=str(tmp_path / "set"), cache=str(tmp_path / "cache"), keep=keep)
    found = open_set(config, run, Posters(config))
    next(iter(encoded_batches(found, open_start(str(base), "postercraft"), run, config)))
    said = capsys.readouterr().out
    assert "6 to train on" in said and "encode" not in said
    assert sorted((tmp_path / "cache").rglob("*.safetensors")) == before


@pytest.mark.slow
def test_the_tool_encodes_rendered_text_as_posteromni_learns_it(run, tmp_path, capsys):
    base = save_tiny_qwen(tmp_path / "base")
    write_posters(tmp_path / "set", 2, ("filling",))
    write_posters(tmp_path / "set", 3)
    before = encoded_by_tool(base, tmp_path)
    for tasks in (["filling"], ["text"]):
        config = SetConfig(path=str(tmp_path / "set"), cache=str(tmp_path / "cache"), tasks=tasks)
        found = open_set(config, run, Posters(config))
        next(iter(encoded_batches(found, open_start(str(base), "posteromni"), run, config)))
    said = capsys.readouterr().out
    assert "2 to train on" in said and "3 to train on" in said and "encode" not in said
    assert sorted((tmp_path / "cache").rglob("*.safetensors")) == before


class Counting:
    """A loader of numbers that can go on anywhere."""

    def __init__(self, start: int = 0) -> None:
        self.epoch, self.position = 0, start

    def __iter__(self):
        while True:
            self.position += 1
            yield Number(self.position - 1)

    def state_dict(self):
        return {"epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state):
        self.epoch, self.position = state["epoch"], state["position"]


class Number(int):
    def to(self, device):
        return self


def ahead(start: int = 0, content: str = "set") -> PrefetchLoader:
    return PrefetchLoader(Counting(start), torch.device("cpu"), content)


def test_reading_ahead_does_not_move_the_position():
    loader = ahead()
    batches = iter(loader)
    assert [next(batches) for _ in range(3)] == [0, 1, 2]
    state = loader.state_dict()
    assert state["position"] == 3
    again = ahead()
    again.load_state_dict(state)
    assert list(itertools.islice(again, 3)) == [3, 4, 5]
    batches.close()
    assert list(itertools.islice(loader, 2)) == [3, 4]  # a second pass goes on where the first one was left
    with pytest.raises(SystemExit, match="not the one that this run began with"):
        ahead(content="other set").load_state_dict(state)


def test_what_a_reading_thread_meets_is_raised_where_the_batch_is_asked_for():
    class Broken(Counting):
        def __iter__(self):
            yield Number(0)
            raise OSError("the disk is gone")

    batches = iter(PrefetchLoader(Broken(), torch.device("cpu"), "set"))
    assert next(batches) == 0
    with pytest.raises(OSError, match="the disk is gone"):
        next(batches)


def test_a_fault_behind_a_full_queue_does_not_keep_a_run_from_ending():
    class Broken(Counting):
        def __iter__(self):
            yield from (Number(n) for n in range(3))  # one is taken, two lie ready
            raise OSError("the disk is gone")

    batches = iter(PrefetchLoader(Broken(), torch.device("cpu"), "set"))
    assert next(batches) == 0
    time.sleep(0.3)
    closing = threading.Thread(target=batches.close, daemon=True)
    closing.start()
    closing.join(10)
    assert not closing.is_alive()


@pytest.mark.parametrize(("share", "wanted"), [(0.25, 25), (0.0, 0), (1.0, 100), (0.1, 10)])
def test_a_mixture_takes_its_share_of_text_batches_and_goes_on_anywhere(share, wanted):
    whole = [int(n) for n in itertools.islice(Mixture(ahead(), ahead(1000), share), 100)]
    assert sum(n >= 1000 for n in whole) == wanted
    assert [n for n in whole if n < 1000] == list(range(100 - wanted))
    first = Mixture(ahead(), ahead(1000), share)
    begun = [int(n) for n in itertools.islice(first, 37)]
    second = Mixture(ahead(), ahead(1000), share)
    second.load_state_dict(first.state_dict())
    assert begun + [int(n) for n in itertools.islice(second, 63)] == whole


def test_a_family_is_told_which_tasks_it_does_not_learn(base, run, tmp_path):
    write_posters(tmp_path / "set", 2, ("filling",))
    found = open_set(SetConfig(path=str(tmp_path / "set")), run, Posters(SetConfig()))
    with pytest.raises(ValueError, match=r"samples\.jsonl:1: .*: holds a sample of filling; postercraft learns text"):
        encoded_batches(found, open_start(str(base), "postercraft"), run, SetConfig())


def kept_sample(task: str, width: int, height: int, box: tuple[int, int, int, int]) -> PosterSample:
    """A sample of noise: for extending the box is kept, for filling it is to be made."""
    target = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    extends, (x0, y0, x1, y1) = task == "extending", box
    mask = np.full((height, width), 255 if extends else 0, np.uint8)
    mask[y0:y1, x0:x1] = 0 if extends else 255
    reference = target[y0:y1, x0:x1] if extends else np.where(mask[..., None] > 0, 128, target).astype(np.uint8)
    placed = box if extends else (0, 0, width, height)
    return PosterSample(task, task, target, [reference], mask, instruction="go on", placed=placed)


@pytest.mark.parametrize("task", ["extending", "filling"])
@pytest.mark.parametrize("box", [(32, 64, 96, 160), (0, 0, 100, 97), (61, 31, 128, 192)])
def test_kept_pixels_stay_those_of_the_target_when_a_poster_is_brought_to_another_area(task, box):
    size = Size(64, 96)
    fitted = fit_sample(kept_sample(task, 128, 192, box), size)
    assert fitted.target.shape == (96, 64, 3) and fitted.mask.shape == (96, 64)
    canvas, made = canvas_of(request_from_sample(fitted))  # as the reward and the model see it
    assert np.array_equal(canvas[~made], fitted.target[~made]) and 0.1 < made.mean() < 0.9
    x0, y0, x1, y1 = (side // 2 for side in box)
    inside = np.zeros((96, 64), bool)
    inside[y0:y1, x0:x1] = True
    # what is kept was kept before, but for the pixels that scaling mixes at an edge
    assert not (~made & ~(inside if task == "extending" else ~inside)).any()
    assert abs(made.mean() - (1 - inside.mean() if task == "extending" else inside.mean())) < 0.21


def test_a_reference_says_nothing_of_what_is_to_be_made_after_scaling():
    sample = kept_sample("filling", 128, 192, (32, 64, 96, 160))
    other = replace(sample, target=np.where(sample.mask[..., None] > 0, 255 - sample.target, sample.target))
    one, two = (fit_sample(each, Size(64, 96)) for each in (sample, other))
    assert np.array_equal(one.references[0], two.references[0])


def test_a_text_on_kept_pixels_is_still_one_that_the_model_can_read_after_scaling():
    sample = kept_sample("extending", 128, 192, (32, 64, 96, 160))
    sample.texts = [DrawnText("KEPT", (48, 96, 80, 120)), DrawnText("MADE", (0, 0, 40, 20))]
    assert request_from_sample(fit_sample(sample, Size(64, 96))).texts == ("KEPT",)


@pytest.mark.parametrize("task", ["extending", "filling"])
def test_a_sample_that_keeps_pixels_trains_at_another_area(run, tmp_path, task):
    write(tmp_path / "set", kept_sample(task, 128, 192, (32, 64, 96, 160)))
    found = open_set(SetConfig(path=str(tmp_path / "set")), run, Posters(SetConfig()))
    batch = next(iter(encoded_batches(found, qwen(), run, SetConfig(area=64 * 96))))
    assert batch["latents0"].shape[-2:] == (12, 8) and 0.2 < float(batch["made"].mean()) < 0.9


@pytest.mark.parametrize(("area", "meant"), [(64, "data.area=4096"), (640 * 10**4, "the checkpoint's own 6144")])
def test_a_side_taken_for_an_area_is_told(base, run, tmp_path, area, meant):
    write_posters(tmp_path / "set", 2)
    found = open_set(SetConfig(path=str(tmp_path / "set")), run, Posters(SetConfig()))
    with pytest.raises(ValueError, match=f"data.area is {area} pixels, width times height.*{meant}"):
        encoded_batches(found, open_start(str(base), "postercraft"), run, SetConfig(area=area))


def test_a_task_of_which_no_row_is_left_ends_the_run(run, tmp_path):
    write_posters(tmp_path / "set", 2, ("filling",))
    write(tmp_path / "set", kept_sample("extending", 64, 608, (0, 0, 64, 160)))  # longer than three to one
    found = open_set(SetConfig(path=str(tmp_path / "set")), run, Posters(SetConfig()))
    with pytest.raises(ValueError, match=r":3: extending: longer than 3 to 1 .*none of 1 rows of extending is left"):
        encoded_batches(found, qwen(), run, SetConfig())


def test_a_poster_that_the_encoders_refuse_costs_itself_alone(run, tmp_path, capsys):
    write_posters(tmp_path / "set", 4, ("filling", "id_driven"))
    write(tmp_path / "set", PosterSample("bare", "id_driven", checked(*SIZE), instruction="show her"))
    found = open_set(SetConfig(path=str(tmp_path / "set")), run, Posters(SetConfig()))
    batches = encoded_batches(found, qwen(), run, SetConfig())
    assert "1 cannot be encoded: bare (" in capsys.readouterr().out
    assert set(next(iter(batches)).ids) <= {row["id"] for row in found.train.rows} - {"bare"}


@pytest.mark.parametrize(
    "setting", [{"words": "klingon"}, {"count": 0}, {"sizes": []}, {"sizes": [[64]]}, {"heldout": -1}]
)
def test_a_set_that_cannot_be_drawn_is_refused(setting):
    with pytest.raises(ValueError, match="data"):
        SetConfig(**setting).check()
