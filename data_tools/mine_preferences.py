"""Mine preference pairs: several posters for each prompt, the best and the worst of them (PosterCraft, stage 3).

    python data_tools/mine_preferences.py prompts.txt --out sets/pairs
    python data_tools/mine_preferences.py sets/prompts --out sets/pairs --model FLUX --lora stage2/lora \\
        --ranker models/hpsv2 --judge http://localhost:8000/v1 --answers answers/ --threads 8
    python data_tools/mine_preferences.py sets/omni --task filling --out sets/pairs --unedited

Prompts come from a text file (one a line), a .jsonl file, or a set; image tasks need a set with their references.
The judge's aesthetics rank the posters, or a --ranker's scores; the winner must pass the gates, and the two must lie
apart by more than --gap (0.025 is what PosterCraft asks on HPSv2's scale). With the mini checkpoints, which cannot
spell, take --gate-text 0.
"""

from __future__ import annotations

from functools import partial

from posterkit.datagen.candidate_options import CandidateOptions, draw_step, judge_of, requests_of, settings_of
from posterkit.datagen.command_line import make_set, run_tool
from posterkit.datagen.engine import Flow, FlowResult
from posterkit.datagen.lazy_models import open_image_text_model
from posterkit.datagen.preferences import ScoreCandidates, check_gap, encode_pair, pass_gates


def main() -> FlowResult:
    requests = requests_of(ARGS, turns=2 if ARGS.unedited else 1)
    if ARGS.unedited and requests.tasks == ["text"]:
        raise ValueError("--unedited: text prompts have no input that could be left as it is")
    draw, (_, reward) = draw_step(ARGS, requests), judge_of(ARGS)
    ranker = partial(open_image_text_model, ARGS.ranker, ARGS.judge_device) if ARGS.ranker else None
    if ranker:
        ranker()  # what is no model shows before any work
    steps = (
        ("draw", draw),
        ("judge", ScoreCandidates(reward, ranker)),
        ("winner", partial(pass_gates, text=ARGS.gate_text, content=ARGS.gate_content)),
        ("gap", partial(check_gap, least=ARGS.gap)),
    )
    settings = {"tool": "mine_preferences", **settings_of(ARGS, requests, draw), "ranker": ARGS.ranker,
                "gate_text": ARGS.gate_text, "gate_content": ARGS.gate_content, "gap": ARGS.gap,
                "unedited": ARGS.unedited}  # fmt: skip
    encode = partial(encode_pair, model=draw.model.source, alike=ARGS.layout == "webdataset")
    return make_set(Flow(requests, len(requests), steps, encode, settings, requests.names), ARGS)


if __name__ == "__main__":
    options = CandidateOptions(__doc__, candidates=5, gates=(0.8, 0.5))
    add = options.add_argument
    add("--ranker", metavar="FOLDER", help="of a CLIP-like model (HPSv2, PickScore) that ranks instead of the judge")
    add("--gap", type=float, default=0.025, metavar="G", help="best and worst lie further apart (default 0.025)")
    unedited = "a second pair of each prompt, whose rejected side is the input as it was"
    add("--unedited", action="store_true", help=unedited)
    ARGS = options.parse_args()
    run_tool(main, ARGS.debug)
