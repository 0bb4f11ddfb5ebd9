"""Build pairs of a harmless and a harmful line, in English and Chinese, for the harm detector (MLLM-Protector).

    python data_tools/build_safety.py --out sets/safety --count 4800

`sets/safety/safety.jsonl` gets a line for each pair: category, language, split, and the two sides. Lines are mild: no
slurs, no instructions, no names of real people. Half of the lines and of what fills them is held out.
"""

from __future__ import annotations

from posterkit.datagen.command_line import ToolParser, make_set, positive_int, run_tool
from posterkit.datagen.engine import Flow, FlowResult, skip_step
from posterkit.datagen.safety_lines import HarmPairs, encode_pair


def main() -> FlowResult:
    settings = {"tool": "build_safety", "seed": ARGS.seed}
    flow = Flow(HarmPairs(ARGS.seed), ARGS.count, (("write", skip_step),), encode_pair, settings)
    outcome = make_set(flow, ARGS)
    (ARGS.out / "samples.jsonl").rename(ARGS.out / "safety.jsonl")  # it holds no samples of posters
    return outcome


if __name__ == "__main__":
    options = ToolParser(__doc__)
    options.add_argument("--count", type=positive_int, default=4800, metavar="N", help="pairs (default 4800)")
    ARGS = options.parse_args()
    run_tool(main, ARGS.debug)
