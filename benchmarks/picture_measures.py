"""Measures of pictures for `mini_report.py`: edge width, Fréchet distance, lettering, what a recogniser reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from posterkit.generate.enlarge import enlarge
from posterkit.metrics.ocr import TextReader
from posterkit.schema import PosterSample
from posterkit.sizing import fit_area

Picture = NDArray[np.uint8]
SHOWN = (832, 1216)  # the size at which people see a poster; edge widths are in its pixels
REACH = 24  # pixels to either side of the steepest one that belong to an edge


def edge_width(image: Picture, contrast: float = 40.0, every: int = 8) -> float:
    """Median 10 to 90 % rise of a picture's edges, across the edge, in pixels; NaN where there is no edge.

    Args:
        image: uint8 `(H, W, 3)`.
        contrast: luma levels that an edge rises at least.
        every: only every so manieth row and column is looked at.
    """
    luma = image.astype(float) @ (0.299, 0.587, 0.114)
    widths = [width for plane in (luma, luma.T) for width in _rises(plane, contrast, every)]
    return float(np.median(widths)) if widths else float("nan")


def _rises(plane: NDArray, contrast: float, every: int) -> list[float]:
    """The edges that run across the rows of a plane rather than along them."""
    across, along = np.gradient(plane, axis=1), np.gradient(plane, axis=0)
    widths = []
    for y in range(every // 2, len(plane), every):
        row, steep = plane[y], np.abs(across[y])
        peaks = np.flatnonzero((steep[1:-1] >= steep[:-2]) & (steep[1:-1] > steep[2:]) & (steep[1:-1] > 4)) + 1
        for x in peaks:
            if steep[x] < 1.5 * abs(along[y, x]):
                continue
            width = _rise(row, int(x), contrast)
            if width:
                widths.append(width * steep[x] / float(np.hypot(steep[x], along[y, x])))
    return widths


def _rise(row: NDArray, x: int, contrast: float) -> float | None:
    """10 to 90 % width of the monotone rise or fall around `x`; None where it is too little or too long."""
    sign = 1.0 if row[x + 1] > row[x - 1] else -1.0
    low = high = x
    while low > max(0, x - REACH) and sign * (row[low] - row[low - 1]) > 0:
        low -= 1
    while high < min(len(row) - 1, x + REACH) and sign * (row[high + 1] - row[high]) > 0:
        high += 1
    values = sign * row[low : high + 1]
    rise = values[-1] - values[0]
    if rise < contrast or high - low >= 2 * REACH:
        return None
    places = np.arange(len(values))
    start, end = np.interp(values[0] + rise * np.array([0.1, 0.9]), values, places)
    return float(end - start)


def as_shown(image: Picture, upscaler: str | None = None) -> Picture:
    """A picture enlarged to about `SHOWN` as `posterkit generate` does it with a checkpoint's upscaler."""
    size = fit_area(image.shape[1::-1], SHOWN[0] * SHOWN[1])
    return np.asarray(enlarge(Image.fromarray(image), size, upscaler)[0])


def frechet_distance(one: NDArray, other: NDArray) -> float:
    """Fréchet distance of two sets of features `(N, D)`, each taken for a Gaussian (Heusel et al. 2017)."""
    means = [features.mean(0) for features in (one, other)]
    covariances = [np.cov(features.astype(float), rowvar=False) for features in (one, other)]
    shared = np.linalg.eigvals(covariances[0] @ covariances[1]).real.clip(0)
    traces = sum(np.trace(covariance) for covariance in covariances)
    return float(((means[0] - means[1]) ** 2).sum() + traces - 2 * np.sqrt(shared).sum())


# the recogniser's questions by task, and what the report calls them
ASKED = {
    "text": ("subject", "theme", "color", "place", "style"),
    "words": ("subject", "color"),
    "id_driven": ("subject", "color"),
    "layout_driven": ("box",),
    "style_driven": ("style",),
}
SAID = {
    "subject": "subject recognised",
    "theme": "theme recognised",
    "color": "subject's colour right",
    "place": "subject's place right",
    "style": "style right",
    "box": "subject's box, IoU at least 0.5",
}


class LetteringDetector:
    """Whether a picture bears lettering: a line of at least two letters that OCR reads with some confidence.

    The text detector alone is no judge here: it finds boxes on five in six drawings without a letter (windows, dots).
    """

    LETTERS, CONFIDENCE = 2, 0.5

    def __init__(self) -> None:
        self.reader = TextReader(enlarge_to=512)

    def __call__(self, image: Picture) -> float:
        """1 where lettering is read, else 0."""
        lines = [line for line in self.reader(image) if line.score >= self.CONFIDENCE]
        return float(any(sum(map(str.isalpha, line.text)) >= self.LETTERS for line in lines))


class Judge:
    """What the recogniser and the text detector say of a task's posters.

    Args:
        folder: where `recogniser.py` left the network.
    """

    def __init__(self, folder: Path, lettering: bool = True) -> None:
        import recogniser

        self.recogniser = recogniser
        self.model, checked = recogniser.load(folder)
        self.accuracy, self.asked = checked["accuracy"], checked["asked"]
        self.detector = LetteringDetector() if lettering else None

    def measure(
        self, task: str, samples: Sequence[PosterSample], posters: Sequence[Picture]
    ) -> dict[str, list[float]]:
        """Measure's name -> a value for each poster that it can be asked of.

        A name says in brackets how often the recogniser is right on drawings; what it cannot tell is left out.
        """
        if not posters:
            return {}
        reading = self.recogniser.read(self.model, posters)
        right = self.recogniser.right(reading, samples, self.asked)
        found = {
            f"{SAID[name]} [{self.accuracy[name]:.3f}]": right[name]
            for name in ASKED.get(task, ())
            if self.accuracy[name] >= self.recogniser.ENOUGH and right[name]
        }
        if self.detector:
            found["lettering read"] = [self.detector(poster) for poster in posters]
        return found

    def distance(self, posters: Sequence[Picture], drawn: Sequence[Picture]) -> float:
        """Fréchet distance in the recogniser's features between posters and drawings."""
        return frechet_distance(*(self.recogniser.read(self.model, some).features for some in (posters, drawn)))
