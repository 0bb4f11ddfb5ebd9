"""Reads the texts on posters by OCR, with a memory of the last posters and an optional cache on disk."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from PIL import Image

from posterkit.llm.answer_cache import FolderCache, code_version, pixel_hash
from posterkit.llm.open_model import opened_once
from posterkit.metrics.ocr import Line, TextReader
from posterkit.metrics.text_regions import DetectedText, confident_lines, find_texts
from posterkit.metrics.word_gaps import with_blanks

FAST_LIMIT = 480  # pixels of the detector; see benchmarks/reward_speed.py for what it costs
SMALLEST = 384  # pixels; posters with a smaller shorter side are enlarged to it, they are unreadable else
_REMEMBERED = 32  # posters; several measures ask about one


class PosterReader:
    """Reads the texts of posters; several threads may share one, it reads one poster at a time.

    `fast` shows the detector a smaller picture: three times as fast, and about three characters in a hundred are lost.
    `cache` is the folder of a `FolderCache` that keeps what was read.
    """

    def __init__(self, fast: bool = False, cache: str | Path | None = None) -> None:
        self.fast = fast
        self.reader = TextReader(limit=FAST_LIMIT if fast else None, enlarge_to=SMALLEST)
        self._cache = FolderCache(cache) if cache else None
        self._lock = threading.Lock()
        self._remembered: OrderedDict[str, list[Line]] = OrderedDict()

    def lines(self, poster: Image.Image) -> list[Line]:
        """The lines that are surely text, top to bottom, with every blank; their boxes in the poster's pixels."""
        key = pixel_hash(poster)
        with self._lock:
            if key not in self._remembered:
                lines = confident_lines(self._read(poster, key))
                self._remembered[key] = [_with_blanks(line, poster) for line in lines]
                if len(self._remembered) > _REMEMBERED:
                    self._remembered.popitem(last=False)
            return self._remembered[key]

    def texts(self, poster: Image.Image) -> tuple[DetectedText, ...]:
        """The lines merged into texts, top to bottom."""
        return find_texts(self.lines(poster), poster.size)

    def forget(self) -> None:
        """Read every poster anew from here on, unless a folder keeps it."""
        with self._lock:
            self._remembered.clear()

    def _read(self, poster: Image.Image, key: str) -> list[Line]:
        if self._cache is None:
            return self.reader(poster)
        code = code_version(Path(__file__).parent)
        question = f"rapidocr {version('rapidocr')} {code} {self.reader.limit} {self.reader.enlarge_to} {key}"
        if (kept := self._cache.get(question)) is not None:
            with suppress(ValueError, TypeError):  # damaged inside; it is read again
                return [Line(text, tuple(box), score) for text, box, score in json.loads(kept)]
        lines = self.reader(poster)
        self._cache.put(question, json.dumps(lines, ensure_ascii=False), by="rapidocr", user="lines")
        return lines


@opened_once()
def open_poster_reader(fast: bool = False, cache: str | None = None) -> PosterReader:
    """The reader that everything in a process shares, so that no poster is read twice."""
    return PosterReader(fast, cache)


def _with_blanks(line: Line, poster: Image.Image) -> Line:
    """The line with the blanks that OCR lost, where it runs across."""
    x0, y0, x1, y1 = (round(side) for side in line.box)
    if x1 - x0 <= y1 - y0:
        return line
    crop = poster.crop((max(0, x0 - 3), max(0, y0), min(poster.width, x1 + 3), min(poster.height, y1)))
    return line._replace(text=with_blanks(line.text, crop)) if min(crop.size) > 4 else line
