"""The mini report on samples made by hand: the truth scores full marks, a stranger's poster and a blank do not."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from posterkit.prompts import COLORS
from posterkit.schema import DrawnText, PosterSample
from posterkit.tasks import TASKS

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
NAMES = list(COLORS)
SIZE = (128, 192)


@pytest.fixture(scope="module")
def report():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield importlib.import_module("mini_report")
    for name in ("mini_report", "mini_samples"):
        sys.modules.pop(name)


def _art(i: int, shift: int = 0) -> np.ndarray:
    """A coloured ground, and two shapes whose place and colour depend on the number."""
    image = Image.new("RGB", SIZE, COLORS[NAMES[i % 14]])
    draw = ImageDraw.Draw(image)
    x, y = 12 + 37 * i % 60, 14 + (53 * i + shift) % 120
    draw.ellipse((x, y, x + 50, y + 50), fill=COLORS[NAMES[(i + 5) % 14]])
    draw.rectangle((x + 10, y + 20, x + 40, y + 30), fill=COLORS[NAMES[(i + 9) % 14]])
    return np.asarray(image)


def _sample(task: str, i: int) -> PosterSample:
    target, mask = _art(i), None
    references = [_art(i, shift=40)]
    if task in ("filling", "extending"):
        mask = np.zeros(target.shape[:2], dtype=np.uint8)
        mask[30:150, 20:110] = 255
    if task == "layout_driven":
        references = [255 - target]
    if task == "rescaling":
        references = [np.asarray(Image.fromarray(_art(i, shift=40)).resize((192, 128)))]
    words = f"{NAMES[i % 14].title()} poster number {i}"
    return PosterSample(
        id=str(i), task=task, target=target, references=references if task != "text" else [], mask=mask,
        caption=words, instruction=TASKS[task].instruction(words) if task != "text" else words,
        texts=[DrawnText("JAZZ")], background=NAMES[i % 14], placed=(0, 0, *SIZE),
    )  # fmt: skip


@pytest.fixture(scope="module")
def bounds(report) -> dict[str, dict[str, dict[str, float]]]:
    """Task, trial, measure: the mean."""
    return {
        task: {
            name: {key: found.mean for key, found in report.measure(task, trial).items()}
            for name, trial in report.run_bounds(task, [_sample(task, i) for i in range(8)]).items()
            if name != "blank"
        }
        for task in ("text", *TASKS)
    }


@pytest.mark.slow
@pytest.mark.parametrize("task", ["text", *TASKS])
def test_the_truth_scores_full_marks_and_a_stranger_does_not(bounds, task: str):
    found = bounds[task]
    shares = [key for key in found["truth"] if "less" not in key and "gained" not in key]
    assert shares
    for key in shares:
        assert found["truth"][key] == 1, key
        assert found["stranger"][key] < 0.6, key


@pytest.mark.slow
@pytest.mark.parametrize("task", ["layout_driven", "id_driven"])
def test_the_truth_gains_over_a_shuffled_reference_and_a_stranger_gains_nothing(bounds, task: str):
    found = bounds[task]
    gain = f"{task}: agreement gained over a shuffled reference"
    assert found["truth"][gain] > 0.2
    assert found["stranger"][gain] == 0


def test_every_target_names_a_measure_that_is_reported(report, bounds):
    reported = {key for trials in bounds.values() for key in trials["truth"]}
    assert set(report.TARGETS) <= reported


def test_a_caption_that_does_not_name_the_background_is_not_counted(report):
    samples = [_sample("text", i) for i in range(4)]
    samples[1].caption = "A poster"
    found = report.measure("text", report.Trial(samples, [s.target for s in samples], []))
    assert found["text: named background obeyed"].count == 3


def test_a_stranger_has_another_arrangement(report):
    samples = [_sample("layout_driven", i) for i in range(4)]
    for sample, layout in zip(samples, ("top", "top", "bottom", "top"), strict=True):
        sample.layout = layout
    assert report.strangers(samples) == [2, 2, 3, 2]


def test_batches_hold_rows_that_are_alike_and_every_row_once(report):
    shapes = [(192, 128), (128, 192), (192, 128), (192, 128)]
    found = list(report.batches(shapes, 2))
    assert found == [[0, 2], [3], [1]]


def test_the_table_says_whether_a_target_is_met(report):
    from posterkit.evaluation.statistics import Estimate

    text = report.table({"text: named background obeyed": Estimate(0.9, 0.86, 0.94, 200)})
    assert ">= 0.85 met" in text and "0.900" in text
    text = report.table({"text: named background obeyed": Estimate(0.8, 0.7, 0.9, 200)})
    assert "missed" in text


def test_a_contact_sheet_shows_every_picture_of_a_sample(report):
    samples = [_sample("id_driven", i) for i in range(5)]
    truth = [s.target for s in samples]
    sheet = report.contact_sheet(report.Trial(samples, truth, truth))
    assert sheet.size == (2 * (4 * 132 + 12), 3 * 196)


@pytest.fixture(scope="module")
def omni():
    import tiny_qwen

    from posterkit import PosterOmniPipeline

    sizes = {"native_area": 64 * 96, "reference_area": 32 * 32, "condition_area": 56 * 56, "num_inference_steps": 1}
    pipe = PosterOmniPipeline(**tiny_qwen.components(), **sizes)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _drawn(report, pipe, task: str, order: list[int]) -> tuple[list[PosterSample], list[np.ndarray]]:
    every = report.heldout(task, (64, 96), 3, seed=5)
    samples = [every[i] for i in order]
    options = {"batch": 2, "seed": 0}
    return samples, report.draw(pipe, task, samples, [list(s.references) for s in samples], options)


@pytest.mark.parametrize("task", ["filling", "extending"])
def test_the_models_posters_keep_the_truths_pixels_where_nothing_is_made(report, omni, task: str):
    samples, posters = _drawn(report, omni, task, [0, 1, 2])
    for sample, poster in zip(samples, posters, strict=True):
        kept = np.asarray(sample.mask) == 0
        assert np.array_equal(poster[kept], sample.target[kept])
        assert not np.array_equal(poster[~kept], sample.target[~kept])


def test_every_sample_gets_a_poster_of_its_own_size_from_its_own_reference(report, omni):
    (_, first), (samples, again) = (_drawn(report, omni, "id_driven", order) for order in ([0, 1, 2], [0, 2, 1]))
    assert [p.shape for p in again] == [s.target.shape for s in samples]
    assert np.array_equal(first[0], again[0])
    assert not np.array_equal(first[1], again[2])  # the same sample from another place's noise


def test_no_held_out_poster_bears_a_text_and_both_captions_tell_of_the_same_pictures(report):
    long, short = (report.heldout("style_driven", (64, 96), 4, 3, captions) for captions in ("long", "short"))
    for one, other in zip(long, short, strict=True):
        assert not one.texts and np.array_equal(one.target, other.target)
        assert np.array_equal(one.references[0], other.references[0]) and one.caption != other.caption


def test_every_ordinary_prompt_means_what_the_drawings_can_show(report):
    from posterkit.synthetic.contents import SUBJECTS

    samples = report.heldout("words", (64, 96), 200, 0)
    known = {subject for subjects in SUBJECTS.values() for subject in subjects}
    assert len(samples) == 108  # 18 meanings in six languages
    for sample in samples:
        assert known >= set(sample.shows["subject"]) and set(COLORS) >= set(sample.shows["backgrounds"])
        assert set(COLORS) >= set(sample.shows["color"] or [])


@pytest.mark.parametrize("task", list(TASKS))
def test_photographs_become_samples_whose_kept_pixels_are_the_photographs(report, task):
    for sample in report.photos(task, (64, 96)):
        assert sample.target.shape == (96, 64, 3)
        if sample.placed:
            x0, y0, x1, y1 = sample.placed
            assert np.array_equal(sample.references[0], sample.target[y0:y1, x0:x1])
            assert not sample.mask[y0:y1, x0:x1].any() and sample.mask.mean() > 100
