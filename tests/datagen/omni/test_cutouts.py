"""Subjects and texts cut out of finished posters, and the ground behind them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from omni_posters import COFFEE, NONE
from PIL import Image, ImageOps
from skimage import data

from posterkit.datagen.engine import Drop
from posterkit.datagen.omni.cutouts import background_of, cut_subject, cut_text, reshaped
from posterkit.datagen.omni.posters import PosterTask, SourcePoster, find_subjects
from posterkit.datagen.omni.subject_quality import GOOD, subject_quality


def test_the_cut_subject_is_the_posters_own_pixels():
    cut = cut_subject(COFFEE, 0)
    pixels, own = np.asarray(cut.picture), np.asarray(COFFEE.picture.crop(cut.box))
    assert pixels.shape[:2] == (199, 219) and pixels[100, 110, 3] == 255 and pixels[0, 0, 3] == 0
    assert (pixels[..., :3] == own).all()


def test_a_text_is_cut_without_its_ground_and_with_its_button():
    text = (COFFEE.texts or ())[0]
    cut = cut_text(COFFEE, text.box, background_of(COFFEE, NONE, 0))
    alpha = np.asarray(cut.picture)[..., 3] / 255
    own = np.asarray(COFFEE.picture.crop(text.box)).astype(float)
    assert cut.ink is not None and min(cut.ink) > 200  # the letters are white
    assert alpha[own.min(2) > 230].mean() > 0.9 > 0.2 > alpha[own.max(2) < 120].mean()
    button = COFFEE.picture.copy()
    button.paste((120, 20, 20), (0, 300, 320, 340))
    ground = Image.new("RGB", button.size, (120, 200, 120))
    cut = cut_text(replace(COFFEE, picture=button), (40, 310, 200, 330), ground)
    assert cut.ink is None and np.asarray(cut.picture)[..., 3].min() == 255


def test_the_ground_keeps_what_is_neither_subject_nor_text():
    ground = np.asarray(background_of(COFFEE, NONE, 0))
    same = (ground == COFFEE.pixels).all(2)
    assert same[:20].all() and not same[COFFEE.subjects[0].mask > 0].all()
    x0, y0, x1, y1 = (COFFEE.texts or ())[0].box
    assert np.abs(ground[y0:y1, x0:x1].astype(int) - 255).min() > 20  # white letters are gone


def test_a_ground_in_another_shape_is_not_stretched():
    checks = np.kron(np.indices((28, 20)).sum(0) % 2, np.ones((16, 16)))[..., None].repeat(3, 2)
    wide = np.asarray(
        reshaped(Image.fromarray((60 + 120 * checks).astype(np.uint8)), (480, 320), NONE, 0).convert("L")
    )
    middle = wide[110:210, 180:300].astype(float) - 120
    spectra = [np.abs(np.fft.rfft(middle, 512, axis=axis)).mean(1 - axis)[4:].argmax() for axis in (0, 1)]
    assert abs(int(spectra[0]) - int(spectra[1])) <= 1


def test_a_good_subject_is_told_from_a_patch_of_sky_a_strip_and_a_part():
    y, x = np.mgrid[0:300, 0:200]
    disc = (x - 100) ** 2 + (y - 120) ** 2 < 50**2
    picture = np.zeros((300, 200, 3), np.uint8) + np.uint8((200, 210, 230))
    picture[disc] = (180, 40, 40)
    hidden = np.zeros((300, 200), bool)

    def quality(mask: np.ndarray) -> float:
        return subject_quality(Image.fromarray(picture), np.where(mask, 255, 0).astype(np.uint8), hidden)

    assert quality(disc) > 0.9
    assert quality(disc & (y < 120)) < GOOD  # half of it
    assert quality((y > 220) & (y < 260) & (x > 50) & (x < 150)) < GOOD  # nothing but ground
    picture[250:262] = (60, 120, 60)
    assert quality((y >= 250) & (y < 262)) < GOOD  # a ridge from side to side


def test_a_subject_of_no_quality_is_no_cut_out(tmp_path):
    space = ImageOps.fit(Image.fromarray(data.hubble_deep_field()), (320, 448))
    poster = SourcePoster("space.png", space, "Stars.", "", "space.png", "", "train", ())
    for task, reason in (("id_driven", "bad cut-out"), ("rescaling", "bad cut-out")):
        found = find_subjects(PosterTask(0, task, poster), "rules")
        assert isinstance(found, Drop) and found.reason == reason and "quality" in found.detail
