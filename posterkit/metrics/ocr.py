"""OCR, and text accuracy: the lines read on a poster against the texts that it should show.

The published systems report recall, F-score and accuracy without defining them (PosterCraft section 4); ours are
defined here, so the numbers compare with each other and not with theirs.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rapidfuzz.distance import Levenshtein
from scipy.optimize import linear_sum_assignment


class Line(NamedTuple):
    """One line of text found by OCR: the words, the box `x0, y0, x1, y1` in pixels, the confidence in [0, 1]."""

    text: str
    box: tuple[float, float, float, float]
    score: float


@dataclass(frozen=True)
class TextAccuracy:
    """How well the words on a poster match the expected ones.

    Attributes:
        recall, precision, f_score: of word multisets, in [0, 1]; words are case-folded, punctuation is stripped.
        similarity: 1 - edit distance / longer length, of all words joined by blanks, in [0, 1].
        exact: share of the expected texts that appear whole, word after word, in [0, 1].
        misspelt: expected word -> the word read in its place (at most half of its letters differ).
        missing, extra: words expected and not read, read and not expected; misspelt ones are in neither.
    """

    recall: float
    precision: float
    f_score: float
    similarity: float
    exact: float
    misspelt: dict[str, str]
    missing: list[str]
    extra: list[str]


class TextReader:
    """OCR by RapidOCR's detector and recogniser on ONNX Runtime; the models come inside its wheel.

    The models load at the first call. A call takes one core and keeps state while it reads: one thread at a time.

    Args:
        limit: the longer side in pixels that the detector sees at most; None keeps RapidOCR's own rule. 480 is three
            times as fast and loses about three characters in a hundred.
        enlarge_to: pictures with a smaller shorter side are enlarged to it first; small posters are unreadable else.
    """

    def __init__(self, limit: int | None = None, enlarge_to: int = 0) -> None:
        self.limit, self.enlarge_to = limit, enlarge_to

    def __call__(self, image: NDArray[np.uint8] | Image.Image) -> list[Line]:
        """The lines of text on one RGB image, `(H, W, 3)` uint8 or PIL, top to bottom."""
        picture = Image.fromarray(image) if isinstance(image, np.ndarray) else image.convert("RGB")
        scale = max(1.0, self.enlarge_to / min(picture.size))
        if scale > 1:
            size = round(picture.width * scale), round(picture.height * scale)
            picture = picture.resize(size, Image.Resampling.BICUBIC)
        # RapidOCR takes arrays as OpenCV does: blue first
        found = self._engine(np.ascontiguousarray(np.asarray(picture)[..., ::-1]), use_cls=False)
        if found.txts is None:
            return []
        lines = [
            Line(text, (*(quad.min(0) / scale).tolist(), *(quad.max(0) / scale).tolist()), float(score))
            for text, quad, score in zip(found.txts, np.asarray(found.boxes, dtype=float), found.scores, strict=True)
        ]
        return sorted(lines, key=lambda line: (line.box[1] + line.box[3], line.box[0]))

    @cached_property
    def _engine(self) -> Any:
        # imported here: it costs a second, and most of what imports this module only compares strings
        from rapidocr import RapidOCR

        settings: dict[str, Any] = {
            "Global.log_level": "error",
            "EngineConfig.onnxruntime.intra_op_num_threads": 1,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
        if self.limit:
            settings |= {"Det.limit_side_len": self.limit, "Det.limit_type": "max"}
        return RapidOCR(params=settings)


def words(text: str) -> list[str]:
    """The words of a text: Unicode NFKC, case-folded, punctuation and symbols stripped, split at blanks."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    # an apostrophe or hyphen inside a word is dropped and not a gap, so that "don't" and "dont" agree
    kept = "".join(letter for letter in folded if unicodedata.category(letter)[0] not in "PS")
    return kept.split()


def edit_distance(a: Sequence[Hashable], b: Sequence[Hashable]) -> int:
    """Fewest insertions, deletions and substitutions that turn one sequence into the other (Levenshtein 1966)."""
    return Levenshtein.distance(a, b)


def text_accuracy(expected: Sequence[str], read: Sequence[str]) -> TextAccuracy:
    """Compare the texts that a poster should show with the lines found on it.

    Nothing expected and nothing read is perfect; nothing expected and something read has precision 0. A blank that OCR
    lost or added between two expected words is no difference, see `respaced`.

    Args:
        read: lines in reading order, as `TextReader` gives them.
    """
    want = [w for text in expected for w in words(text)]
    have = respaced([w for line in read for w in words(line)], want)
    common = (Counter(want) & Counter(have)).total()
    recall = common / len(want) if want else 1.0
    precision = common / len(have) if have else float(not want)
    f_score = 2 * recall * precision / (recall + precision) if recall + precision else 0.0
    joined_want, joined_have = " ".join(want), " ".join(have)
    longer = max(len(joined_want), len(joined_have))
    similarity = 1 - edit_distance(joined_want, joined_have) / longer if longer else 1.0
    texts = [found for text in expected if (found := words(text))]
    whole = [any(have[at : at + len(text)] == text for at in range(len(have))) for text in texts]
    exact = sum(whole) / len(texts) if texts else 1.0
    missing, extra = list((Counter(want) - Counter(have)).elements()), list((Counter(have) - Counter(want)).elements())
    misspelt = _pair_misspelt(missing, extra)
    return TextAccuracy(recall, precision, f_score, similarity, exact, misspelt, missing, extra)


def respaced(read: Sequence[str], expected: Sequence[str]) -> list[str]:
    """The words that were read, with the blanks of the expected ones.

    OCR loses blanks between letters that stand closely and adds them where they stand apart: a word that is several
    expected ones in a row is taken apart, and up to four that make up an expected one are joined.
    """
    known, apart = set(expected), {}
    for first in range(len(expected)):
        for count in range(2, 7):
            run = list(expected[first : first + count])
            if len(run) == count:
                apart.setdefault("".join(run), run)
    found, at = [], 0
    while at < len(read):
        if read[at] in known:
            found, at = [*found, read[at]], at + 1
            continue
        parts = next((n for n in (4, 3, 2) if at + n <= len(read) and "".join(read[at : at + n]) in known), 1)
        joined = "".join(read[at : at + parts])
        found, at = [*found, *apart.get(joined, [joined])], at + parts
    return found


def word_similarity(expected: Sequence[str], read: Sequence[str]) -> float:
    """1 - edits / letters of the longer wording, in [0, 1], words in any order.

    Words are paired so that the edits are fewest (Hungarian method); a word without a partner costs its letters.
    """
    longer = max(sum(map(len, expected)), sum(map(len, read)))
    if not longer:
        return 1.0
    cost = np.zeros((len(expected) + len(read),) * 2)
    for i, want in enumerate(expected):
        cost[i, : len(read)] = [edit_distance(want, have) for have in read]
        cost[i, len(read) :] = len(want)
    cost[len(expected) :, : len(read)] = [len(have) for have in read]
    return max(0.0, 1 - float(cost[linear_sum_assignment(cost)].sum()) / longer)


def _pair_misspelt(missing: list[str], extra: list[str]) -> dict[str, str]:
    """Take the pairs that are alike out of both lists, the likest first."""
    pairs = sorted(
        (edit_distance(want, have) / max(len(want), len(have)), want, have)
        for want in set(missing) for have in set(extra)
    )  # fmt: skip
    found: dict[str, str] = {}
    for distance, want, have in pairs:
        if distance <= 0.5 and want in missing and have in extra:
            found[want] = have
            missing.remove(want)
            extra.remove(have)
    return found
