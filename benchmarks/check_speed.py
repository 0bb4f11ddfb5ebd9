"""What the safety checks cost: the finite check beside a poster's drawing, the format list beside a picture's reading.

    OMP_NUM_THREADS=1 python benchmarks/check_speed.py

The finite check is timed alone, as a share of the call that it stands in. The format list is compared with Pillow's
own choice of decoders, in interleaved pairs. Seconds are of the processor, not of the clock.
"""

from __future__ import annotations

import io
import statistics
import time
from collections.abc import Callable
from typing import Any

import skimage.data
import torch
from PIL import Image

from posterkit import PosterCraftPipeline, mini
from posterkit.image_io import FORMATS
from posterkit.pipelines.checks import check_finite

PAIRS, TIMES = 15, 20


def seconds(work: Callable[[], Any], times: int = 1) -> float:
    """Processor seconds of one call."""
    began = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - began) / times


def main() -> None:
    pipe = PosterCraftPipeline.from_pretrained(mini.path("postercraft"))
    pipe.set_progress_bar_config(disable=True)
    size = {"width": 320, "height": 464, "num_inference_steps": 20}
    latents, pixels = torch.randn(1, 20 * 29, 64), torch.randn(1, 3, 464, 320)
    call = min(seconds(lambda: pipe(prompt="a lighthouse at night", **size)) for _ in range(2))
    checks = seconds(lambda: (check_finite(latents, "x"), check_finite(pixels, "x")), 200)
    print(f"finite check: {1e3 * checks:.3f} ms of a call of {call:.2f} s, {checks / call:.3%}")

    written = io.BytesIO()
    Image.fromarray(skimage.data.coffee()).save(written, "JPEG", quality=90)
    ratios = []
    for _ in range(PAIRS):
        ours, stock = (seconds(lambda f=f: _read(written.getvalue(), f), TIMES) for f in (FORMATS, None))
        ratios.append(ours / stock)
    low, middle, high = statistics.quantiles(ratios, n=4)
    print(f"format list: {middle:.3f} of opening and decoding without it (quartiles {low:.3f} to {high:.3f})")


def _read(content: bytes, formats: tuple[str, ...] | None) -> None:
    with Image.open(io.BytesIO(content), formats=formats) as image:  # noqa: TID251 - compared with the one reader
        image.load()


if __name__ == "__main__":
    main()
