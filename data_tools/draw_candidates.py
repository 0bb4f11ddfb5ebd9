"""Draw several posters for each prompt, filter them, and keep the best one as a finished poster (PosterOmni's data).

    python data_tools/draw_candidates.py prompts/ --out sets/candidates
    python data_tools/draw_candidates.py prompts/ --out sets/candidates --model models/postercraft --candidates 4 \\
        --clip models/clip --agreement 0.25

What comes out is a set of task "text", which build_omni.py takes. The mini checkpoints cannot spell: with them the
texts are set with real fonts, over posters enlarged to 512x768.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from posterkit.critic import BLIND
from posterkit.datagen.best_of_n import check_agreement, check_texts, drop_no_posters, keep_best
from posterkit.datagen.candidate_options import CandidateOptions, draw_step, judge_of, settings_of, share
from posterkit.datagen.command_line import make_set, run_tool, size
from posterkit.datagen.engine import Flow, FlowResult
from posterkit.datagen.lazy_models import open_image_text_model
from posterkit.datagen.requests import read_requests
from posterkit.datasets.sample_files import encode_sample
from posterkit.sizing import Size
from posterkit.tasks import TEXT


def main() -> FlowResult:
    requests = read_requests(ARGS.input, TEXT)
    if ARGS.judge == BLIND:
        raise ValueError(f"--judge {BLIND}: reads no text, so that every poster with one would be dropped; take rules")
    mini = ARGS.model is None
    ARGS.typeset = mini if ARGS.typeset is None else ARGS.typeset
    draw = draw_step(ARGS, requests, ARGS.finish or (Size(512, 768) if mini and not ARGS.size else None))
    critic, reward = judge_of(ARGS)
    clip = partial(open_image_text_model, ARGS.clip, ARGS.judge_device) if ARGS.clip else None
    if clip:
        clip()  # what is no model shows before any work
    licence = ARGS.licence or ("CC0-1.0" if mini else "unknown")
    steps = (
        ("draw", draw),
        ("early filter", partial(drop_no_posters, segmenter=ARGS.segmenter, device=ARGS.device)),
        ("text filter", partial(check_texts, open_critic=critic, least=ARGS.recall)),
        *([("image-text filter", partial(check_agreement, open_model=clip, least=ARGS.agreement))] if clip else []),
        ("best", partial(keep_best, open_reward=reward, licence=licence, made_by=Path(draw.model.source).name)),
    )
    settings = {"tool": "draw_candidates", **settings_of(ARGS, requests, draw), "segmenter": ARGS.segmenter,
                "recall": ARGS.recall, "clip": ARGS.clip, "agreement": ARGS.agreement,
                "licence": licence}  # fmt: skip
    return make_set(Flow(requests, len(requests), steps, encode_sample, settings, requests.names), ARGS)


if __name__ == "__main__":
    options = CandidateOptions(__doc__, candidates=2)
    options.set_defaults(typeset=None)  # as the model is, see above
    add = options.add_argument
    # fmt: off
    add("--finish", type=size, metavar="WxH",
        help="enlarge posters to it before texts are set (default: 512x768 with mini)")
    add("--segmenter", default="rules", metavar="WHO",
        help="who looks for a subject: rules (default), or a SAM-2 folder")
    add("--recall", type=share, default=0.7, metavar="S", help="of the asked words that must be read (default 0.7)")
    add("--clip", metavar="FOLDER", help="a CLIP-like model that compares posters with their prompts")
    add("--agreement", type=float, default=0.2, metavar="COS", help="the least cosine by --clip (default 0.2)")
    add("--licence", help="SPDX name for the rows (default CC0-1.0 with mini, else unknown)")
    # fmt: on
    ARGS = options.parse_args()
    run_tool(main, ARGS.debug)
