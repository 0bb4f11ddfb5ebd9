"""Filter a folder of posters down to those worth learning from (PosterCraft, stage 2's data).

    python data_tools/filter_posters.py posters/ --out sets/hq
    python data_tools/filter_posters.py posters/ --out sets/hq --judge http://localhost:8000/v1 --threads 16 \\
        --aesthetics models/hpsv2

Exact copies, credit blocks and watermarks, near copies and low scores are dropped; what is left gets a caption and
boxes of its major and minor texts. A poster's own caption is read from NAME.txt beside it. report.py shows the
result: the funnel, and thumbnails of what was dropped.
"""

from __future__ import annotations

from pathlib import Path

from posterkit.critic import BLIND, RULES
from posterkit.datagen.command_line import ToolParser, make_set, one_in, positive_int, run_tool, run_with_progress
from posterkit.datagen.engine import Flow, FlowResult, claim_folder, forget_shards
from posterkit.datagen.lazy_models import LazyCritic, LazyImageTextModel, RulesAesthetics
from posterkit.datagen.near_duplicates import BITS
from posterkit.datagen.picture_folder import check_outside, fingerprint, list_pictures
from posterkit.datagen.poster_filter import (
    BLEMISHES,
    EXACT,
    NEAR,
    AddCaption,
    AestheticsFilter,
    DropFromScan,
    EncodePoster,
    FindTextRegions,
    FolderScan,
    ScannedPosters,
    decide,
    encode_scan_row,
    skip_step,
)

# on the rules' own scale drawn posters have about 0.85, letters on photographs 0.4 to 0.9, washed-out ones and noise
# less than 0.3; a CLIP-like model's is PosterCraft's, of HPSv2
LEAST_BY_RULES, LEAST_BY_CLIP = 0.35, 0.25


def main() -> FlowResult:
    folder, read = Path(ARGS.input), not ARGS.no_text
    names = list_pictures(folder)
    check_outside(ARGS.out, folder)
    rules, answers = RULES if read else BLIND, str(ARGS.answers or ARGS.out / ".answers")
    judge = LazyCritic(rules if ARGS.judge == RULES else ARGS.judge, ARGS.judge_model, ARGS.device, answers)
    by_rules = ARGS.aesthetics == RULES
    scorer = RulesAesthetics(read, answers) if by_rules else LazyImageTextModel(ARGS.aesthetics, ARGS.device)
    least = (LEAST_BY_RULES if by_rules else LEAST_BY_CLIP) if ARGS.least is None else ARGS.least
    judge.open()  # what is no judge shows before any work
    if isinstance(scorer, LazyImageTextModel):
        scorer.open()

    settings = {"tool": "filter_posters", "input": ARGS.input, "judge": ARGS.judge, "judge_model": ARGS.judge_model,
                "aesthetics": ARGS.aesthetics, "least": least, "copies": ARGS.copies, "no_text": ARGS.no_text,
                "shorter_side": ARGS.shorter_side, "heldout": ARGS.heldout, "licence": ARGS.licence,
                "inputs": fingerprint(folder, names)}  # fmt: skip
    claim_folder(ARGS.out, settings, ARGS.shard, ARGS.layout)
    scan = FolderScan(folder, names, ARGS.shorter_side, judge if read else None)
    run_with_progress(Flow(scan, len(names), (), encode_scan_row, settings, names), ARGS.out / ".scan", ARGS)
    if ARGS.retry:  # a poster that is judged at last may be the one that others are copies of
        forget_shards(ARGS.out, everything=True)
    decision = decide(ARGS.out / ".scan", names, ARGS.copies)

    off = " (off: no text is read)"
    steps = (
        (EXACT, DropFromScan(decision.dropped[EXACT])),
        (BLEMISHES, DropFromScan(decision.dropped[BLEMISHES], frozenset(decision.critics)))
        if read
        else (BLEMISHES + off, skip_step),
        (NEAR, DropFromScan(decision.dropped[NEAR])),
        ("caption", AddCaption(judge)),
        ("aesthetics", AestheticsFilter(scorer, least)),
        ("text regions", FindTextRegions(judge)) if read else ("text regions" + off, skip_step),
    )
    keep_files = ARGS.layout == "folder" or len(decision.kinds) == 1
    encode = EncodePoster(ARGS.licence, keep_files, ARGS.heldout)
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
    add("--threads", type=positive_int, default=1, metavar="N",
        help="posters at a time in each process, for a judge at an endpoint (default 1)")
    add("--device", default="cpu", help="where local models run (default cpu)")
    add("--heldout", type=one_in, default=20, metavar="N", help="hold out every N-th poster; 0 for none (default 20)")
    add("--licence", default="unknown", help="SPDX name of the posters' licence, for the rows")
    # fmt: on
    ARGS = options.parse_args()
    run_tool(main, ARGS.debug)
