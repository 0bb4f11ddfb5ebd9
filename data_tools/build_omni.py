"""Build a training set for PosterOmni's six tasks: references, mask, target and instruction of each sample.

    python data_tools/build_omni.py synthetic --out sets/omni --count 2000 --size 512x768

From the synthetic source every task comes with perfect ground truth and no model at all.
"""

from __future__ import annotations

from dataclasses import dataclass

from posterkit.data import PosterSample, SyntheticPosters
from posterkit.data.flow import Flow, Outcome
from posterkit.data.schema import encode_for_shards, encode_sample
from posterkit.data.tool import Options, make_set, run_tool, size, whole
from posterkit.sizing import Size
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


def main() -> Outcome:
    tasks = tuple(get_task(name).name for name in GIVEN.tasks)
    source = Synthetic(GIVEN.seed, GIVEN.size, tasks, GIVEN.heldout)
    settings = {"tool": "build_omni synthetic", "seed": GIVEN.seed, "size": str(GIVEN.size), "tasks": tasks,
                "heldout": GIVEN.heldout}  # fmt: skip
    encode = encode_sample if GIVEN.layout == "folder" else encode_for_shards
    return make_set(Flow(source, GIVEN.count, (), encode, settings), GIVEN)


if __name__ == "__main__":
    options = Options(__doc__)
    options.add_argument("input", choices=("synthetic",), help="where posters come from")
    options.add_argument("--count", type=whole, default=2000, metavar="N", help="samples (default 2000)")
    options.add_argument(
        "--size", type=size, default=Size(512, 768), metavar="WxH", help="of targets (default 512x768)"
    )
    options.add_argument("--tasks", nargs="+", default=list(TASKS), metavar="TASK", help="default: all six")
    options.add_argument(
        "--heldout", type=int, default=20, metavar="N", help="every N-th sample; 0 for none (default 20)"
    )
    GIVEN = options.parse_args()
    run_tool(main, GIVEN.debug)
