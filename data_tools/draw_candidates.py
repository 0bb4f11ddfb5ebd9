"""Draw several posters for each prompt, filter them, and keep the best one as a finished poster (PosterOmni's data).

    python data_tools/draw_candidates.py prompts/prompts.jsonl --out sets/candidates --model mini --candidates 2
    python data_tools/draw_candidates.py prompts/ --out sets/candidates --model models/postercraft --candidates 4 \\
        --clip models/clip --agreement 0.25

What comes out is a set of task "text", which build_omni.py takes.
"""

from __future__ import annotations

from pathlib import Path

from posterkit.data.candidates import (
    Best,
    Draw,
    EarlyFilter,
    ImageTextFilter,
    Model,
    Prompts,
    TextFilter,
    read_prompts,
)
from posterkit.data.flow import Flow, Outcome
from posterkit.data.hq_posters import ClipAt
from posterkit.data.poster_scan import JudgeAt
from posterkit.data.schema import encode_sample
from posterkit.data.tool import Options, make_set, run_tool, size, whole
from posterkit.sizing import Size


def main() -> Outcome:
    rows = read_prompts(Path(GIVEN.input))
    prompts = Prompts(rows[: GIVEN.count])
    mini = GIVEN.model == "mini"
    lettered = mini if GIVEN.typeset is None else GIVEN.typeset
    finished = GIVEN.size or (Size(512, 768) if mini else None)
    model, judge = Model(GIVEN.model, GIVEN.device), JudgeAt(GIVEN.judge, GIVEN.judge_model, GIVEN.device or "cpu")
    clip = ClipAt(GIVEN.clip, GIVEN.device or "cpu") if GIVEN.clip else None
    for part in (model, judge, *([clip] if clip else [])):
        part.open()  # what cannot work shows before any work
    name = Path(GIVEN.model).name
    licence = GIVEN.licence or ("CC0-1.0" if mini else "unknown")
    steps = (
        ("draw", Draw(model, GIVEN.seed, GIVEN.candidates, finished, lettered, GIVEN.steps)),
        ("early filter", EarlyFilter(GIVEN.segmenter, GIVEN.device)),
        ("text filter", TextFilter(judge, GIVEN.recall)),
        *([("image-text filter", ImageTextFilter(clip, GIVEN.agreement))] if clip else []),
        ("best", Best(judge, licence, name)),
    )
    settings = {"tool": "draw_candidates", "prompts": prompts.fingerprint, "seed": GIVEN.seed, "model": GIVEN.model,
                "candidates": GIVEN.candidates, "size": str(finished), "typeset": lettered, "steps": GIVEN.steps,
                "segmenter": GIVEN.segmenter, "judge": GIVEN.judge, "judge_model": GIVEN.judge_model,
                "recall": GIVEN.recall, "clip": GIVEN.clip, "agreement": GIVEN.agreement,
                "licence": licence}  # fmt: skip
    ids = [str(row["id"]) for row in prompts.rows]
    return make_set(Flow(prompts, len(ids), steps, encode_sample, settings, ids), GIVEN)


if __name__ == "__main__":
    options = Options(__doc__)
    options.add_argument("input", metavar="PROMPTS", help="prompts.jsonl, or the folder that holds it")
    options.add_argument(
        "--model", default="mini", metavar="WHO", help="mini (default), or a PosterCraft or FLUX.1 folder or hub id"
    )
    options.add_argument("--count", type=whole, metavar="N", help="only the first prompts (default: all)")
    options.add_argument("--candidates", type=whole, default=2, metavar="N", help="for each prompt (default 2)")
    options.add_argument("--size", type=size, metavar="WxH", help="of posters (default: native; 512x768 with mini)")
    options.add_argument("--steps", type=whole, metavar="N", help="denoising steps (default: the checkpoint's own)")
    lettering = options.add_mutually_exclusive_group()
    lettering.add_argument(
        "--typeset", action="store_true", default=None, help="set texts with real fonts (default with mini)"
    )
    lettering.add_argument(
        "--no-typeset", dest="typeset", action="store_false", help="the model draws them (default with others)"
    )
    options.add_argument("--segmenter", default="rules", metavar="WHO", help="rules (default), or a SAM-2 folder")
    options.add_argument(
        "--judge", default="rules", metavar="WHO", help="who reads and ranks: rules (default), a URL, or a folder"
    )
    options.add_argument("--judge-model", metavar="NAME", help="the model's name at the endpoint")
    options.add_argument(
        "--recall", type=float, default=0.7, metavar="SHARE", help="of the asked words that must be read (default 0.7)"
    )
    options.add_argument("--clip", metavar="FOLDER", help="a CLIP-like model that compares posters with prompts")
    options.add_argument(
        "--agreement", type=float, default=0.2, metavar="COSINE", help="least one by --clip (default 0.2)"
    )
    options.add_argument("--licence", help="SPDX name for the rows (default CC0-1.0 with mini, else unknown)")
    options.add_argument("--device", metavar="NAME", help="where models run (default: the best there is)")
    GIVEN = options.parse_args()
    run_tool(main, GIVEN.debug)
