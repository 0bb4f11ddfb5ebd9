from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image
from skimage.feature import Cascade

from posterkit.metrics.faces import find_faces


def _overlap(a, b):
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(0, wide) * max(0, high)
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def test_the_cascade_agrees_with_scikit_images():
    picture = Image.fromarray(skimage.data.astronaut()).resize((320, 320), Image.Resampling.BOX)
    detector = Cascade(str(Path(skimage.data.__file__).parent / "lbpcascade_frontalface_opencv.xml"))
    found = detector.detect_multi_scale(
        img=np.asarray(picture), scale_factor=1.15, step_ratio=1, min_size=(24, 24), max_size=(300, 300)
    )
    theirs = [(f["c"], f["r"], f["c"] + f["width"], f["r"] + f["height"]) for f in found]
    (ours,) = find_faces(picture)
    assert max(_overlap(ours, box) for box in theirs) > 0.7


def test_where_nobody_looks_out_there_is_no_face():
    for name in ("chelsea", "coffee", "rocket", "camera", "page"):
        assert not find_faces(Image.fromarray(getattr(skimage.data, name)()))
    assert not find_faces(Image.new("RGB", (10, 400)))
