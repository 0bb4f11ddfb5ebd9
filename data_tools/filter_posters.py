"""Filter a folder of posters down to those worth learning from (PosterCraft, stage 2's data).

    python data_tools/filter_posters.py posters/ --out sets/hq
    python data_tools/filter_posters.py posters/ --out sets/hq --judge http://localhost:8000/v1 --threads 16 \\
        --aesthetics models/hpsv2

Exact copies, credit blocks and watermarks, near copies and low scores are dropped; what is left gets a caption and
boxes of its major and minor texts. A poster's own caption is read from NAME.txt beside it. report.py shows the
result: the funnel, and thumbnails of what was dropped.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from posterkit.critic import BLIND, RULES, open_critic
from posterkit.datagen.command_line import ToolParser, make_set, one_in, positive_int, run_tool, run_with_progress
from posterkit.datagen.engine import Flow, FlowResult, claim_folder, forget_shards, skip_step
from posterkit.datagen.lazy_models import (
    aesthetics_by_model,
    aesthetics_by_rules,
    open_image_text_model,
    open_text_gate,
)
from posterkit.datagen.near_duplicates import BITS
from posterkit.datagen.picture_folder import check_outside, fingerprint, list_pictures
from posterkit.datagen.poster_filter import (
    BLEMISHES,
    EXACT,
    NEAR,
    FolderScan,
    ScannedPosters,
    add_caption,
    check_aesthetics,
    decide,
    drop_from_scan,
    drop_harmful,
    encode_poster,
    encode_scan_row,
    find_text_regions,
)

# on the rules' own scale drawn posters have about 0.85, letters on photographs 0.4 to 0.9, washed-out ones and noise
# less than 0.3; a CLIP-like model's is PosterCraft's, of HPSv2
LEAST_BY_RULES, LEAST_BY_CLIP = 0.35, 0.25


def main() -> FlowResult:
    folder, read = Path(ARGS.input), not ARGS.no_text
    names = list_pictures(folder)
    check_outside(ARGS.out, folder)
    rules, answers = RULES if read else BLIND, str(ARGS.answers or ARGS.out / ".answers")
    judge = rules if ARGS.judge == RULES else ARGS.judge
    critic = partial(open_critic, judge, model=ARGS.judge_model, device=ARGS.device, cache=answers)
    critic()  # what is no judge shows before any work
    if ARGS.aesthetics == RULES:
        score, least = partial(aesthetics_by_rules, read_text=read, answers=answers), LEAST_BY_RULES
    else:
        open_image_text_model(ARGS.aesthetics, ARGS.device)
        score = partial(aesthetics_by_model, source=ARGS.aesthetics, device=ARGS.device)
        least = LEAST_BY_CLIP
    least = least if ARGS.least is None else ARGS.least
    gate = partial(open_text_gate, ARGS.detector, ARGS.device)
    settings = {"tool": "filter_posters", "input": ARGS.input, "judge": ARGS.judge, "judge_model": ARGS.judge_model,
                "aesthetics": ARGS.aesthetics, "least": least, "copies": ARGS.copies, "no_text": ARGS.no_text,
                "shorter_side": ARGS.shorter_side, "heldout": ARGS.heldout, "licence": ARGS.licence,
                "inputs": fingerprint(folder, names)}  # fmt: skip
    if ARGS.detector:
        gate()  # what is no detector shows before any work
        settings["detector"] = ARGS.detector
    claim_folder(ARGS.out, settings, ARGS.shard, ARGS.layout)
    scan = FolderScan(folder, names, ARGS.shorter_side, critic if read else None)
    run_with_progress(Flow(scan, len(names), (), encode_scan_row, settings, names), ARGS.out / ".scan", ARGS)
    if ARGS.retry:  # a poster that is judged at last may be the one that others are copies of
        forget_shards(ARGS.out, everything=True)
    decision = decide(ARGS.out / ".scan", names, ARGS.copies)

    off = " (off: no text is read)"
    critics = frozenset(decision.critics)
    blemishes = (BLEMISHES, partial(drop_from_scan, dropped=decision.dropped[BLEMISHES], critics=critics))
    steps = (
        (EXACT, partial(drop_from_scan, dropped=decision.dropped[EXACT])),
        blemishes if read else (BLEMISHES + off, skip_step),
        (NEAR, partial(drop_from_scan, dropped=decision.dropped[NEAR])),
        ("caption", partial(add_caption, open_critic=critic)),
        ("aesthetics", partial(check_aesthetics, score=score, least=least)),
        ("text regions", partial(find_text_regions, open_critic=critic))
        if read
        else ("text regions" + off, skip_step),
        *([("harm", partial(drop_harmful, open_gate=gate))] if ARGS.detector else ()),
    )
    keep_files = ARGS.layout == "folder" or len(decision.kinds) == 1
    encode = partial(encode_poster, licence=ARGS.licence, keep_files=keep_files, heldout=ARGS.heldout)
    return make_set(Flow(ScannedPosters(folder, names, decision), len(names), steps, encode, settings, names), ARGS)


if __name__ == "__main__":
    options = ToolParser(__doc__)
    add = options.add_argument
    # fmt: off
    add("input", metavar="FOLDER", help="of posters, with its sub-folders")
    add("--judge", default=RULES, metavar="WHO",
        help='who finds blemishes and texts and writes captions: "rules" (OCR and measures, the default), the URL of '
             "an OpenAI-compatible endpoint with a model that sees, or the folder of a local one")
    add("--judge-model", metavar="NAME", help="the model's name at the endpoint (default: its first)")
    add("--answers", type=Path, metavar="DIR",
        help="keeps what judges said, so that they are not asked again (default: a hidden folder of the set)")
    add("--aesthetics", default=RULES, metavar="WHO",
        help='who scores: "rules" (the default), or the folder of a CLIP-like model (HPSv2, PickScore, SigLIP)')
    add("--least", type=float, metavar="SCORE",
        help=f"drop what scores lower (default {LEAST_BY_RULES} by rules, {LEAST_BY_CLIP} by a CLIP-like model)")
    add("--copies", type=int, choices=range(BITS // 2 + 1), default=6, metavar="BITS",
        help="drop posters whose perceptual hash differs from another's by at most so many of 64 bits (default 6)")
    add("--shorter-side", type=positive_int, default=256, metavar="PX", help="drop smaller posters (default 256)")
    add("--no-text", action="store_true", help="no OCR: quick, but finds no blemishes and no text regions")
    add("--detector", metavar="SPEC",
        help="drop posters in whose caption or texts this detector finds harm: rules, tiny, rules+tiny, hf:FOLDER, or "
             "an endpoint's URL (default: none looks)")
    add("--threads", type=positive_int, default=1, metavar="N",
        help="posters at a time in each process, for a judge at an endpoint (default 1)")
    add("--device", default="cpu", help="where local models run (default cpu)")
    add("--heldout", type=one_in, default=20, metavar="N", help="hold out every N-th poster; 0 for none (default 20)")
    add("--licence", default="unknown", help="SPDX name of the posters' licence, for the rows")
    # fmt: on
    ARGS = options.parse_args()
    run_tool(main, ARGS.debug)
