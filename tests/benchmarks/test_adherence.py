"""What the mini report measures: the truth scores full marks, a stranger or a blank does not."""

import adherence
import numpy as np
import pytest
from PIL import Image, ImageDraw
from skimage import data

from posterkit.evaluation.statistics import bootstrap
from posterkit.metrics.arrangement import arrangement_similarity, box_overlap, color_edges
from posterkit.metrics.color import srgb_to_lab
from posterkit.prompts import COLORS


def _poster(ground: str, subject: str, box: tuple[int, int, int, int]) -> np.ndarray:
    image = Image.new("RGB", (128, 192), COLORS[ground])
    ImageDraw.Draw(image).ellipse(box, fill=COLORS[subject])
    return np.asarray(image)


def test_the_background_is_obeyed_by_its_own_colour_only():
    poster = _poster("teal", "orange", (20, 20, 100, 100))
    assert adherence.background_obeyed(poster, "teal") == 1
    assert adherence.background_obeyed(poster, "orange") == 0


def test_style_prefers_the_same_colours_at_other_places():
    poster = _poster("navy", "yellow", (10, 10, 60, 60))
    own, other = _poster("navy", "yellow", (60, 100, 110, 150)), _poster("beige", "red", (10, 10, 60, 60))
    assert adherence.style_preferred(poster, own, other) == 1
    assert adherence.style_preferred(poster, other, own) == 0
    assert adherence.style_preferred(poster, own, own) == 0.5


def test_the_truth_beats_both_baselines_and_they_tie_with_themselves():
    truth = data.chelsea()[:192, :128]
    made = np.zeros(truth.shape[:2], dtype=bool)
    made[60:130, 40:100] = True
    assert adherence.made_area_wins(truth, truth, made) == (1, 1)
    flat = adherence.border_fill(truth, made)
    edges = adherence.edge_replication(truth, made)
    assert adherence.made_area_wins(flat, truth, made)[0] == 0.5
    assert adherence.made_area_wins(edges, truth, made)[1] == 0.5


def test_plain_stretching_ties_with_itself_and_loses_to_the_truth():
    source = _poster("green", "pink", (20, 20, 100, 100))
    truth = np.asarray(Image.fromarray(_poster("green", "pink", (20, 20, 100, 100))).crop((0, 0, 128, 84)))
    stretched = np.asarray(Image.fromarray(source).resize((128, 84), Image.Resampling.LANCZOS))
    assert adherence.rescaling_wins(truth, truth, source) == 1
    assert adherence.rescaling_wins(stretched, truth, source) == 0.5


def test_arrangement_sees_the_place_and_not_the_colour():
    here = _poster("white", "red", (10, 10, 60, 60))
    same_place = _poster("navy", "yellow", (10, 10, 60, 60))
    elsewhere = _poster("white", "red", (60, 120, 110, 170))
    assert arrangement_similarity(here, same_place) > 0.95
    assert arrangement_similarity(here, elsewhere) < 0.2
    assert adherence.layout_agreement(here, here) == pytest.approx(1)


def test_a_blank_sheet_has_no_arrangement():
    assert arrangement_similarity(np.full((96, 64, 3), 9, dtype=np.uint8), data.coffee()) == 0


def test_arrangements_of_different_size_compare():
    small = _poster("white", "red", (10, 10, 60, 60))
    large = np.asarray(Image.fromarray(small).resize((384, 576)))
    assert arrangement_similarity(small, large) > 0.95


def test_identity_finds_the_subjects_colours_and_not_its_ground():
    subject = _poster("white", "purple", (30, 60, 100, 130))
    shows, lacks = _poster("beige", "purple", (10, 10, 120, 180)), _poster("white", "green", (10, 10, 120, 180))
    assert adherence.identity_agreement(shows, [subject]) > 0.5
    assert adherence.identity_agreement(lacks, [subject]) < 0.1
    assert adherence.identity_agreement(subject, [subject]) == pytest.approx(1)


def test_identity_tells_a_striped_subject_from_a_split_one_of_the_same_colours():
    striped, split = (np.full((96, 96, 3), COLORS["white"], dtype=np.uint8) for _ in range(2))
    striped[24:72, 24:72], split[24:72, 24:72] = COLORS["navy"], COLORS["navy"]
    for row in range(24, 72, 12):
        striped[row : row + 6, 24:72] = COLORS["red"]
    split[24:48, 24:72] = COLORS["red"]
    own, other = adherence.identity_agreement(striped, [striped]), adherence.identity_agreement(split, [striped])
    assert own > other + 0.2


def test_identity_does_not_ask_how_large_the_subject_is():
    subject = _poster("white", "purple", (30, 60, 100, 130))
    half, whole = _poster("beige", "purple", (30, 60, 80, 130)), _poster("beige", "purple", (10, 10, 120, 180))
    assert adherence.identity_agreement(half, [subject]) == pytest.approx(
        adherence.identity_agreement(whole, [subject]), abs=0.02
    )


def test_colour_edges_count_pairs_across_a_border_on_both_sides_of_the_diagonal():
    image = np.full((32, 32, 3), COLORS["white"], dtype=np.uint8)
    image[:, 16:] = COLORS["black"]
    edges = color_edges(srgb_to_lab(image))
    names = list(COLORS)
    # one pair a row crosses the border, half of it counted each way round, over 32 x 32 pixels
    assert edges[names.index("white"), names.index("black")] == pytest.approx(0.5 / 32, rel=0.1)
    # white is a little beige, so a part of it stands there
    assert edges.sum() == pytest.approx(1 / 32, rel=0.1) and np.allclose(edges, edges.T)
    assert color_edges(srgb_to_lab(image[:, :16])).sum() == 0


def test_identity_needs_a_subject():
    with pytest.raises(ValueError, match="at least one subject"):
        adherence.identity_agreement(data.coffee(), [])


def test_boxes_overlap_by_their_common_area():
    assert box_overlap((0, 0, 2, 2), (1, 1, 3, 3)) == pytest.approx(1 / 7)
    assert box_overlap((0, 0, 1, 1), (2, 2, 3, 3)) == 0
    assert box_overlap((0, 0, 4, 2), (0, 0, 4, 2)) == 1


def test_the_bootstrap_interval_agrees_with_the_normal_one_and_repeats():
    values = np.random.default_rng(0).normal(5, 2, 400)
    found = bootstrap(values.tolist())
    half = 1.96 * values.std() / 20
    assert found.mean == pytest.approx(values.mean()) and found.count == 400
    assert found.low == pytest.approx(values.mean() - half, abs=0.03)
    assert found.high == pytest.approx(values.mean() + half, abs=0.03)
    assert found == bootstrap(values.tolist())


def test_an_estimate_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one value"):
        bootstrap([])


def test_border_fill_takes_the_mean_of_the_kept_pixels_beside_the_hole():
    image = np.zeros((20, 20, 3), dtype=np.uint8)
    image[:, 10:] = 200
    made = np.zeros((20, 20), dtype=bool)
    made[5:15, 5:15] = True
    image[0] = 255  # too far off to count
    filled = adherence.border_fill(image, made)
    assert (filled[made] == 100).all() and np.array_equal(filled[~made], image[~made])
