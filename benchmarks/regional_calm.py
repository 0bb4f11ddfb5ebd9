"""Whether regions keep the places of texts calm: the same posters from noise with and without `--regional`.

    python benchmarks/regional_calm.py --count 48 --model mini:postercraft --model runs/pictures_postercraft

Prompts of held-out drawings, three texts each, planned by the grammar before anything is drawn. Unrest is the mean
gradient where texts shall stand (Rea, corrected form; smaller is calmer), of the drawing without its texts; aesthetics
is the reward's part, of the whole drawing. Paired over posters, intervals for all differences (Bonferroni). Regions
are worth having where unrest falls and aesthetics does not.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np
from mini_samples import heldout
from PIL import Image

from posterkit.evaluation.statistics import bootstrap
from posterkit.generate.maker import PosterMaker
from posterkit.layout.measures import poster_measures
from posterkit.layout.similarity import LabelledBoxes
from posterkit.lettering import Lettering
from posterkit.rewards.specs import open_reward
from posterkit.schema import PosterRequest
from posterkit.sizing import Size

TEXTS = ("NORTH LIGHT", "An evening by the river", "Friday 8 pm")


def requests(count: int) -> list[PosterRequest]:
    """Posters to be made from noise, of mini's held-out captions."""
    how = {"texts": TEXTS, "size": Size(416, 608), "draft": "none", "lettering": Lettering(planner="grammar")}
    captions = [sample.caption for sample in heldout("text", (128, 192), count, 0, "short")]
    return [PosterRequest(words, seed=seed, **how) for seed, words in enumerate(captions)]  # type: ignore[arg-type]


def measured(maker: PosterMaker, wanted: list[PosterRequest], zones: list[LabelledBoxes]) -> np.ndarray:
    """Unrest under the texts and aesthetics of each poster, `(N, 2)`."""
    made = maker.make([maker.plan(request) for request in wanted])
    reward, rows = open_reward("aesthetics", fast=True), []
    for request, poster, zone in zip(wanted, made, zones, strict=True):
        if isinstance(poster, Exception):
            raise poster
        shown = poster.drawing.resize(request.size, Image.Resampling.LANCZOS)  # type: ignore[arg-type]
        value = reward.score(shown, replace(request, texts=())).value
        rows.append((poster_measures([zone], pictures=[shown])["rea"], value))
    return np.array(rows)


def text_zones(maker: PosterMaker, request: PosterRequest) -> LabelledBoxes:
    """The regions of a plan that are to be kept calm."""
    boxes = [box for box, words in maker.plan(replace(request, regional=True)).regions if "background" in words]
    return LabelledBoxes(np.array(["text"] * len(boxes)), np.array(boxes).reshape(-1, 4))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=48)
    parser.add_argument("--model", action="append", help="a folder or mini:postercraft; repeat for more")
    args = parser.parse_args()
    models = args.model or ["mini:postercraft"]
    level = 1 - 0.05 / (2 * len(models))
    print("| model | posters | unrest | with regions | difference | aesthetics | with regions | difference |")
    print("|---|---|---|---|---|---|---|---|")
    for model in models:
        with PosterMaker(model=model) as maker:
            wanted = requests(args.count)
            zones = [text_zones(maker, request) for request in wanted]
            kept = [(request, zone) for request, zone in zip(wanted, zones, strict=True) if len(zone)]
            wanted, zones = [request for request, _ in kept], [zone for _, zone in kept]
            plain = measured(maker, wanted, zones)
            steered = measured(maker, [replace(one, regional=True) for one in wanted], zones)
        cells = []
        for column in range(2):
            apart = bootstrap((steered - plain)[:, column].tolist(), level=level)
            cells += [f"{plain[:, column].mean():.4f}", f"{steered[:, column].mean():.4f}",
                      f"{apart.mean:+.4f} ({apart.low:+.4f} to {apart.high:+.4f})"]  # fmt: skip
        print("|", " | ".join([model, str(len(wanted)), *cells]), "|", flush=True)


if __name__ == "__main__":
    main()
