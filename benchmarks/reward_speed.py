"""How many posters a core reads in a second for the text reward, at its normal and its fast setting, and its price.

    OMP_NUM_THREADS=1 python benchmarks/reward_speed.py [--count 32] [--rounds 3]

Posters are 832x1216, typeset over procedural art; their words are known, so what a setting misreads is its own loss.
Each setting reads every poster once a round, in turn; the speed is that of the median round,
in seconds of the processor, so that whatever else runs does not count.
"""

from __future__ import annotations

import argparse
import statistics
import time
from random import Random

import numpy as np
from PIL import Image

from posterkit.metrics.poster_reader import PosterReader
from posterkit.prompts import PosterBrief
from posterkit.rewards.parts.text_reward import TextReward
from posterkit.schema import PosterRequest
from posterkit.synthetic import draw_art
from posterkit.synthetic.captions import SUBTITLES, TITLES
from posterkit.typeset.poster import typeset

SIZE = (832, 1216)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    posters, rows = zip(*(_typeset(number) for number in range(given.count)), strict=True)
    settings = {"normal": TextReward(), "fast": TextReward(PosterReader(fast=True))}
    spent: dict[str, list[float]] = {name: [] for name in settings}
    worths = {}
    for reward in settings.values():
        reward(posters[:1], rows[:1])  # the models load
    for _ in range(given.rounds):
        for name, reward in settings.items():
            reward.reader.forget()
            began = time.process_time()
            worths[name] = reward(posters, rows)
            spent[name].append(time.process_time() - began)
    print(f"{given.count} posters of {SIZE[0]}x{SIZE[1]}, one thread")
    for name, found in worths.items():
        speed = given.count / statistics.median(spent[name])
        means = {part: np.mean([worth.parts[part] for worth in found]) for part in ("recall", "f_score", "similarity")}
        told = ", ".join(f"{part} {value:.3f}" for part, value in means.items())
        print(f"{name:7} {speed:6.2f} posters/s/core; worth {np.mean([worth.value for worth in found]):.3f}; {told}")
    lost = np.mean([a.value - b.value for a, b in zip(worths["normal"], worths["fast"], strict=True)])
    print(f"loss of the fast setting: {lost:.4f} of worth")


def _typeset(number: int) -> tuple[Image.Image, PosterRequest]:
    """A poster of two or three texts, and the row that asks for them."""
    rng = Random(number)
    art = Image.fromarray(draw_art(rng, (SIZE[0] // 2, SIZE[1] // 2))[0]).resize(SIZE, Image.Resampling.BICUBIC)
    title = rng.choice(TITLES[rng.choice(sorted(TITLES))])
    texts = (title, *rng.sample(SUBTITLES, rng.randint(1, 2)))
    return typeset(art, PosterBrief(texts=list(texts))).image, PosterRequest(texts=texts)


if __name__ == "__main__":
    main()
