"""Build PosterPlan-Groups: briefs, each with a good reasoning of a planner and five flawed ones of named kinds.

    python data_tools/build_plan_groups.py --out sets/plan_groups --count 2000

`sets/plan_groups/groups.jsonl` gets a line for each brief, in the form of TRACELIFT-GROUPS. Flaws are made by rule; a
group stands only if the executor does better with the good reasoning than with none. One in ten is held out.
"""

from __future__ import annotations

from posterkit.datagen.command_line import ToolParser, make_set, positive_int, run_tool
from posterkit.datagen.engine import Flow, FlowResult
from posterkit.datagen.plan_groups import PlanGroups, check_group, encode_group


def main() -> FlowResult:
    settings = {"tool": "build_plan_groups", "seed": ARGS.seed}
    flow = Flow(PlanGroups(ARGS.seed), ARGS.count, (("check", check_group),), encode_group, settings)
    outcome = make_set(flow, ARGS)
    (ARGS.out / "samples.jsonl").rename(ARGS.out / "groups.jsonl")  # it holds no samples of posters
    return outcome


if __name__ == "__main__":
    options = ToolParser(__doc__)
    options.add_argument("--count", type=positive_int, default=2000, metavar="N", help="briefs (default 2000)")
    ARGS = options.parse_args()
    run_tool(main, ARGS.debug)
