"""Build a training set for PosterOmni's six tasks: references, mask, target and instruction of each sample.

    python data_tools/build_omni.py synthetic --out sets/omni --count 2000 --size 512x768
    python data_tools/build_omni.py posters/ --out sets/omni --painter mini
    python data_tools/build_omni.py sets/hq --out sets/omni --segmenter models/sam2 --painter models/inpainting

From the synthetic source every task comes with perfect ground truth and no model at all. A folder of finished posters
(a caption in NAME.txt beside each), or a set such as filter_posters.py and draw_candidates.py write, is taken apart:
what a poster shows is segmented, removed and set down elsewhere. The finished poster is always the target, untouched.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from posterkit.critic import open_critic
from posterkit.datagen.command_line import ToolParser, make_set, one_in, positive_int, run_tool, size
from posterkit.datagen.engine import Flow, FlowResult
from posterkit.datagen.omni.build import build_task
from posterkit.datagen.omni.painters import open_painter
from posterkit.datagen.omni.posters import PosterTasks, find_subjects, open_source, read_texts
from posterkit.datagen.picture_folder import check_outside
from posterkit.datasets import PosterSample, SyntheticPosters
from posterkit.datasets.sample_files import encode_for_shards, encode_sample
from posterkit.pipelines.segmenters import open_segmenter
from posterkit.sizing import Size, check_on_grid
from posterkit.tasks import TASKS, get_task


@dataclass(frozen=True)
class Synthetic:
    """The tasks in turn; every `heldout`-th sample is held out, drawn from posters that no training sample shows."""

    seed: int
    size: Size
    tasks: tuple[str, ...]
    heldout: int

    def __getitem__(self, number: int) -> PosterSample:
        split = "heldout" if self.heldout and number % self.heldout == self.heldout - 1 else "train"
        source = SyntheticPosters(self.seed, self.size, self.tasks, split, reference_area=self.size.area)
        return source.sample(number, task=self.tasks[number % len(self.tasks)])


def synthetic(tasks: tuple[str, ...]) -> Flow:
    size = ARGS.size or Size(512, 768)
    check_on_grid(*size)
    source = Synthetic(ARGS.seed, size, tasks, ARGS.heldout)
    settings = {"tool": "build_omni synthetic", "seed": ARGS.seed, "size": str(size), "tasks": tasks,
                "heldout": ARGS.heldout}  # fmt: skip
    return Flow(source, ARGS.count or 2000, (), encoder(), settings)


def finished(tasks: tuple[str, ...]) -> Flow:
    if ARGS.size:
        raise ValueError("--size: finished posters keep their own size; only synthetic ones are drawn at a size")
    source = open_source(ARGS.input, ARGS.licence, ARGS.heldout)
    check_outside(ARGS.out, Path(ARGS.input))
    device = ARGS.device or "cpu"
    critic = partial(open_critic, ARGS.judge, model=ARGS.judge_model, device=device, cache=ARGS.answers)
    painter = partial(open_painter, ARGS.painter, ARGS.steps, ARGS.device)
    critic()  # what cannot work shows before any work
    open_segmenter(ARGS.segmenter, ARGS.device)
    painter()
    steps = (
        ("texts", partial(read_texts, open_critic=critic)),
        ("subjects", partial(find_subjects, segmenter=ARGS.segmenter, device=ARGS.device)),
        ("task", partial(build_task, seed=ARGS.seed, open_painter=painter)),
    )
    settings = {"tool": "build_omni", "input": ARGS.input, "seed": ARGS.seed, "tasks": tasks,
                "heldout": ARGS.heldout, "judge": ARGS.judge, "judge_model": ARGS.judge_model,
                "segmenter": ARGS.segmenter, "painter": ARGS.painter, "steps": ARGS.steps, "licence": ARGS.licence,
                "inputs": source.fingerprint}  # fmt: skip
    count = ARGS.count or len(source.names) * len(tasks)
    names = [f"{source.names[n // len(tasks) % len(source.names)]} {tasks[n % len(tasks)]}" for n in range(count)]
    return Flow(PosterTasks(source, tasks), count, steps, encoder(), settings, names)


def encoder():
    return encode_sample if ARGS.layout == "folder" else encode_for_shards


def main() -> FlowResult:
    tasks = tuple(get_task(name).name for name in ARGS.tasks)
    return make_set(synthetic(tasks) if ARGS.input == "synthetic" else finished(tasks), ARGS)


if __name__ == "__main__":
    options = ToolParser(__doc__)
    add = options.add_argument
    # fmt: off
    add("input", help='a folder of posters, a set of task "text", or "synthetic"')
    add("--count", type=positive_int, metavar="N",
        help="samples (default: each poster once a task, or 2000 synthetic)")
    add("--size", type=size, metavar="WxH", help="of synthetic targets (default 512x768)")
    add("--tasks", nargs="+", default=list(TASKS), metavar="TASK", help="default: all six")
    add("--heldout", type=one_in, default=20, metavar="N",
        help="every N-th sample or about one poster in N; 0: none (default 20)")
    add("--licence", default="unknown", help="SPDX name of the posters' licence, for the rows")
    add("--segmenter", default="rules", metavar="WHO", help="who finds subjects: rules (default), or a SAM-2 folder")
    add("--painter", default="mini", metavar="WHO",
        help="who paints over what is taken off: mini (default), a Qwen-Image-Edit or diffusers inpainting folder, or "
             "none (colours and texture of the rim, no model: quick)")
    add("--steps", type=positive_int, metavar="N", help="of the painter (default: the checkpoint's own)")
    add("--judge", default="rules", metavar="WHO",
        help="who reads texts and writes captions where a poster has none: rules (default), a URL, or a folder")
    add("--judge-model", metavar="NAME", help="the model's name at the endpoint")
    add("--answers", metavar="DIR", help="keeps a model's answers; none is asked for twice")
    add("--device", metavar="NAME", help="where models run (default: the best there is)")
    # fmt: on
    ARGS = options.parse_args()
    run_tool(main, ARGS.debug)
