"""Synthetic posters: determinism, truth of words, geometry of masks and references."""

from __future__ import annotations

import hashlib
import math
import re
import subprocess
import sys
from collections import Counter
from random import Random

import numpy as np
import pytest
from PIL import Image

from posterkit.datasets import SyntheticPosters, background_name, caption_vocabulary, title_words
from posterkit.prompts import COLORS
from posterkit.synthetic.captions import words_of
from posterkit.synthetic.palettes import lab
from posterkit.synthetic.source import TRAINING_SIZES
from posterkit.synthetic.synthetic_poster import draw_poster
from posterkit.tasks import TASKS

SOURCE = SyntheticPosters(seed=11, sizes=TRAINING_SIZES)


def digest(sample) -> str:
    parts = [sample.target.tobytes(), *(r.tobytes() for r in sample.references), sample.caption.encode(),
             sample.instruction.encode(), b"" if sample.mask is None else sample.mask.tobytes()]  # fmt: skip
    return hashlib.sha256(b"|".join(parts)).hexdigest()


@pytest.fixture(scope="module")
def samples():
    return [SOURCE[i] for i in range(280)]


def test_another_process_in_another_order_draws_the_same_samples(samples):
    code = (
        "import hashlib; from posterkit.datasets import SyntheticPosters\n"
        "from posterkit.synthetic.source import TRAINING_SIZES\n"
        "s = SyntheticPosters(seed=11, sizes=TRAINING_SIZES)\n"
        "for x in map(s.sample, (17, 3, 0, 240)):\n"
        "    print(hashlib.sha256(x.target.tobytes() + x.caption.encode()).hexdigest())"
    )
    env = {"PYTHONHASHSEED": "5", "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"}
    lines = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env
    ).stdout.split()
    mine = [
        hashlib.sha256(samples[i].target.tobytes() + samples[i].caption.encode()).hexdigest() for i in (17, 3, 0, 240)
    ]
    assert lines == mine


def test_importing_the_data_package_loads_no_torch():
    code = "import sys, posterkit.datasets, posterkit.synthetic; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_held_out_and_training_share_no_sample_and_no_target(samples):
    heldout = SyntheticPosters(seed=11, sizes=TRAINING_SIZES, split="heldout")
    others = [heldout[i] for i in range(150)]
    assert not {digest(s) for s in samples} & {digest(s) for s in others}
    assert not {s.target.tobytes() for s in samples} & {s.target.tobytes() for s in others}
    assert {s.split for s in others} == {"heldout"} and not {s.id for s in samples} & {s.id for s in others}


def test_lab_agrees_with_scikit_image():
    colors = np.array([*COLORS.values(), (0, 0, 0), (255, 255, 255), (3, 200, 9)], dtype=np.uint8)[None]
    skimage = pytest.importorskip("skimage.color", reason="scikit-image comes with the dev extra")
    assert np.abs(lab(colors) - skimage.rgb2lab(colors)).max() < 0.02


def test_a_plain_card_of_each_named_colour_has_that_name():
    for name, color in COLORS.items():
        assert background_name(np.full((48, 32, 3), color, np.uint8)) == name


def test_only_the_border_names_the_background():
    card = np.full((100, 100, 3), COLORS["teal"], np.uint8)
    card[6:94, 6:94] = COLORS["red"]
    assert background_name(card) == "teal"


def test_the_caption_names_the_background_of_its_picture_and_only_there_is_background_said(samples):
    for sample in samples:
        assert sample.background == background_name(sample.target)
        said = re.search(r"(?:background (\w+)|(\w+) background)", sample.caption.lower())
        assert said and sample.background in said.groups(), sample.caption


def test_every_background_name_occurs_about_equally_often():
    source = SyntheticPosters(seed=5, tasks=("text",))
    count = 420
    found = Counter(source[i].background for i in range(count))
    assert set(found) == set(COLORS)
    # 30 expected of each; four standard deviations of a fair draw are 21
    assert min(found.values()) >= 10 and max(found.values()) <= 52


def test_the_caption_quotes_the_title_and_nothing_else(samples):
    drawn = Counter()
    for sample in samples:
        quoted = re.findall(r'"([^"]*)"', sample.caption)
        titles = [region.text for region in sample.regions if region.role == "major"]
        assert quoted == titles, sample.caption
        assert sample.caption.count('"') == 2 * len(titles)
        assert ("no text" in sample.caption.lower()) == (not titles)
        drawn[bool(titles)] += 1
    assert 0.5 < drawn[True] / len(samples) < 0.85


def test_captions_and_instructions_stay_inside_the_vocabulary_and_short(samples):
    known, titles = set(caption_vocabulary()), set(title_words())
    for sample in samples:
        outside = set(words_of(sample.caption) + words_of(sample.instruction)) - known
        assert not outside, (outside, sample.caption, sample.instruction)
        assert len(sample.caption.split()) <= 45
        for quoted in re.findall(r'"([^"]*)"', sample.caption):
            assert set(quoted.split()) <= titles
        assert "  " not in sample.caption and " ." not in sample.caption and "{" not in sample.caption
        assert not re.search(r"\b[aA] [aeiou](?!ne )", sample.caption), sample.caption


def test_all_boxes_lie_on_the_canvas_and_text_is_drawn_inside_them(samples):
    for sample in samples:
        height, width = sample.target.shape[:2]
        for n, text in enumerate(sample.texts):
            x0, y0, x1, y1 = text.box
            assert 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height
            near = np.abs(sample.target[y0:y1, x0:x1].astype(int) - text.color).max(axis=-1)
            # thin strokes of a small line are blended with their ground
            assert (near < (40, 100)[n]).mean() > 0.02, (sample.id, text)
        assert [r.role for r in sample.regions] == ["major", "minor"][: len(sample.regions)]


def test_the_size_is_drawn_from_the_sizes_asked_for(samples):
    assert {s.target.shape[1::-1] for s in samples} == set(TRAINING_SIZES)
    assert SOURCE.sample(3, size=(208, 112)).target.shape == (112, 208, 3)


def test_every_task_brings_the_references_that_its_row_allows(samples):
    assert {s.task for s in samples} == {"text", *TASKS}
    for sample in samples:
        if sample.task == "text":
            assert not sample.references and sample.instruction == sample.caption
        else:
            assert len(sample.references) in TASKS[sample.task].references
            assert (sample.mask is not None) == TASKS[sample.task].keeps_pixels
            assert sample.instruction.startswith(TASKS[sample.task].frame.split("{")[0].strip())
        for picture in (sample.target, *sample.references):
            assert picture.dtype == np.uint8 and picture.shape[2] == 3


def test_an_extended_picture_is_the_kept_rectangle_pixel_for_pixel():
    for i in range(60):
        sample = SOURCE.sample(i, task="extending")
        x0, y0, x1, y1 = sample.placed
        assert np.array_equal(sample.references[0], sample.target[y0:y1, x0:x1])
        inside = np.zeros(sample.target.shape[:2], bool)
        inside[y0:y1, x0:x1] = True
        assert np.array_equal(sample.mask, np.where(inside, 0, 255))
        assert 0.22 <= inside.mean() <= 0.63
        a, b, c, d = sample.subject
        middle = ((a + c) // 2, (b + d) // 2)
        assert x0 <= middle[0] < x1 and y0 <= middle[1] < y1


def test_a_filled_picture_lies_on_the_whole_target_and_its_hole_is_8_to_35_percent():
    for i in range(60):
        sample = SOURCE.sample(i, task="filling")
        assert np.array_equal(sample.references[0], sample.target)
        assert sample.placed == (0, 0, *sample.target.shape[1::-1])
        assert set(np.unique(sample.mask)) == {0, 255}
        assert 0.08 <= (sample.mask == 255).mean() <= 0.35


def test_a_rescaled_poster_keeps_its_colours_and_changes_its_shape():
    near, far = [], []
    previous = None
    for i in range(40):
        sample = SOURCE.sample(i, task="rescaling")
        reference = sample.references[0]
        shapes = [p.shape[1] / p.shape[0] for p in (reference, sample.target)]
        assert abs(math.log(shapes[0] / shapes[1])) > 0.15
        near.append(color_distance(reference, sample.target))
        if previous is not None:
            far.append(color_distance(previous, sample.target))
        previous = reference
    assert np.median(near) < 0.35 * np.median(far)


def color_distance(one: np.ndarray, other: np.ndarray) -> float:
    """Half the L1 distance of coarse colour histograms: 0 the same, 1 nothing in common."""
    counts = [np.histogramdd(p.reshape(-1, 3), bins=4, range=[(0, 256)] * 3)[0] / p[..., 0].size for p in (one, other)]
    return float(np.abs(counts[0] - counts[1]).sum() / 2)


def test_identity_references_are_no_crops_of_the_target_and_show_its_colours():
    own, other, previous = [], [], None
    for i in range(40):
        sample = SOURCE.sample(i, task="id_driven")
        for reference in sample.references:
            h, w = reference.shape[:2]
            patch = reference[h // 3 : 2 * h // 3, w // 3 : 2 * w // 3].tobytes()
            assert patch not in {p.tobytes() for p in windows(sample.target, h // 3, w // 3)}
        assert sample.theme in ("mascot", "product", "food")
        middle = [p[p.shape[0] // 4 : -p.shape[0] // 4, p.shape[1] // 4 : -p.shape[1] // 4] for p in sample.references]
        own.append(color_distance(middle[0], sample.target))
        if previous is not None:
            other.append(color_distance(previous, sample.target))
        previous = middle[0]
    assert np.mean(own) < np.mean(other)


def windows(picture: np.ndarray, height: int, width: int):
    for y in range(0, picture.shape[0] - height, 3):
        for x in range(0, picture.shape[1] - width, 3):
            yield picture[y : y + height, x : x + width]


def test_style_references_share_the_sky_and_instructions_name_no_colour():
    for i in range(60):
        sample = SOURCE.sample(i, task="style_driven")
        asked = sample.instruction.removeprefix(TASKS["style_driven"].frame.split("{")[0])
        assert not set(words_of(asked)) & set(COLORS), sample.instruction
        borders = [np.median(lab(p[:6].reshape(-1, 3)), axis=0) for p in (sample.references[0], sample.target)]
        assert np.linalg.norm(borders[0] - borders[1]) < 25, sample.id


def test_layout_references_have_the_targets_shape_and_another_background_or_are_wireframes():
    wireframes = 0
    for i in range(60):
        sample = SOURCE.sample(i, task="layout_driven")
        reference = sample.references[0]
        assert reference.shape[1] / reference.shape[0] == pytest.approx(
            sample.target.shape[1] / sample.target.shape[0], rel=0.2
        )
        gray = (np.ptp(reference, axis=-1) == 0).all()
        wireframes += gray
        assert sample.background in words_of(sample.instruction)
    assert 15 <= wireframes <= 45


def test_reference_sizes_are_on_the_grid_and_near_the_area_asked_for():
    source = SyntheticPosters(seed=2, reference_area=64 * 96)
    for task in ("rescaling", "id_driven", "layout_driven", "style_driven"):
        for reference in source.sample(9, task=task).references:
            height, width = reference.shape[:2]
            assert width % 16 == 0 and height % 16 == 0 and 0.6 < width * height / (64 * 96) < 1.6


def test_a_poster_drawn_twice_as_large_is_the_same_poster():
    distances = []
    for i in range(20):
        small = SOURCE.sample(i, task="text", size=(128, 192)).target
        large = np.asarray(Image.fromarray(SOURCE.sample(i, task="text", size=(256, 384)).target).reduce(2))
        distances.append(np.abs(small.astype(int) - large).mean())
    assert np.median(distances) < 4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"tasks": ("poster",)}, "poster"), ({"tasks": ()}, "tasks"), ({"split": "test"}, "heldout"),
        ({"size": (100, 192)}, "100x192"),
    ],
)  # fmt: skip
def test_a_wrong_argument_is_one_clear_error(arguments, said):
    with pytest.raises(ValueError, match=said):
        SyntheticPosters(**arguments)


def test_a_negative_index_is_an_error():
    with pytest.raises(ValueError, match="-1"):
        SOURCE[-1]


def test_few_shapes_come_again_in_other_colours_and_at_other_places():
    posters = [draw_poster(Random(n), theme="mascot", shapes=3) for n in range(60)]
    assert len({(p.plan["kind"], p.plan["eye"], p.plan["gap"]) for p in posters}) == 3
    assert len({p.plan["body"] for p in posters}) > 10 and len({p.layout.name for p in posters}) > 4
    assert len({p.plan["eye"] for p in (draw_poster(Random(n), theme="mascot") for n in range(60))}) == 60
    few, same, all_new = (SyntheticPosters(shapes=n, tasks=("text",)).sample(4) for n in (2, 2, None))
    assert (few.target == same.target).all() and (few.target != all_new.target).any()
