"""How long 10,000 critic pairs take without a model, and what a bench's rows cost beside the judge alone.

    python benchmarks/critic_speed.py --pairs 200 --rows 24

Pairs are built as `data_tools/build_critic_pairs.py` builds them, in one process; two cores take half the time. Rows
of `posterkit bench posteromni` over finished posters are timed against calls of the same judge on the same posters and
requests, read beforehand: medians of seven rounds, taken in turn, of bench time over judge time. Times are the
process's own CPU time: on a crowded core the clock on the wall says more of the others.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from PIL import Image

from posterkit.datagen.critique_pairs import (
    CriticPair,
    CriticPosters,
    answer_wrongly,
    drop_true,
    encode_pair,
    match_lengths,
)
from posterkit.evaluation.poster_bench import JUDGED, PosterBench, PosterJudge, open_poster_judge
from posterkit.metrics.expected_texts import expected_texts
from posterkit.metrics.poster_reader import open_poster_reader
from posterkit.sizing import Size


def seconds_a_pair(count: int) -> float:
    """Processor time of one process, from the drawing to the files."""
    source = CriticPosters(0, Size(192, 288))
    start = time.process_time()
    for number in range(count):
        pair = answer_wrongly(source[number], seed=0, open_critic=None)
        for step in (match_lengths, drop_true):
            pair = step(pair) if isinstance(pair, CriticPair) else pair
        if isinstance(pair, CriticPair):
            encode_pair(pair, seed=0)
    return (time.process_time() - start) / count


def by_judge(judge: PosterJudge, bench: PosterBench, posters: list[Image.Image]) -> float:
    """The judge and OCR alone: everything is in memory."""
    requests = [row.request() for row in bench.rows]
    open_poster_reader().forget()
    start = time.process_time()
    for poster, request in zip(posters, requests, strict=True):
        if expected_texts(request):
            open_poster_reader().lines(poster)
        for name in JUDGED:
            getattr(judge, name)([poster], [request])
    return time.process_time() - start


def by_bench(judge: PosterJudge, bench: PosterBench, folder: Path) -> float:
    open_poster_reader().forget()
    with tempfile.TemporaryDirectory() as out:
        start = time.process_time()
        bench.run(judge, Path(out), posters=folder, threads=2)
        return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--rows", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    each = seconds_a_pair(args.pairs)
    print(f"pairs: {1000 * each:.1f} ms each; 10,000 on two cores {10_000 * each / 2 / 60:.1f} minutes")
    judge, bench = open_poster_judge(), PosterBench("posteromni", args.rows, size=Size(256, 384))
    with tempfile.TemporaryDirectory() as folder:
        posters = []
        for row in bench.rows:
            request = row.request()
            posters.append(Image.fromarray(request.references[0]).resize(request.size or (256, 384)))
            posters[-1].save(Path(folder) / f"{row.id}.png")
        by_judge(judge, bench, posters)  # models load
        ratios = [by_bench(judge, bench, Path(folder)) / by_judge(judge, bench, posters) for _ in range(args.rounds)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    print(f"bench over judge alone: median {middle:.2f}, quartiles {low:.2f} to {high:.2f}, {args.rows} rows")


if __name__ == "__main__":
    main()
