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

from posterkit.critic.opening import BLIND, RULES
from posterkit.datagen.command_line import Options, every, make_set, run_shown, run_tool, whole
from posterkit.datagen.engine import Flow, Outcome, claim_folder, forget
from posterkit.datagen.hq_posters import (
    Aesthetics,
    Caption,
    ClipAt,
    DropKnown,
    EncodePoster,
    LooksOf,
    Posters,
    Regions,
    leave,
)  # fmt: skip
from posterkit.datagen.near_duplicates import BITS
from posterkit.datagen.poster_scan import (
    BLEMISHES,
    EXACT,
    NEAR,
    JudgeAt,
    Scan,
    check_outside,
    encode_line,
    fingerprint,
    list_posters,
    settle,
)  # fmt: skip

# on the rules' own scale drawn posters have about 0.85, letters on photographs 0.4 to 0.9, washed-out ones and noise
# less than 0.3; a CLIP-like model's is PosterCraft's, of HPSv2
LEAST_BY_RULES, LEAST_BY_CLIP = 0.35, 0.25


def main() -> Outcome:
    folder, read = Path(GIVEN.input), not GIVEN.no_text
    names = list_posters(folder)
    check_outside(GIVEN.out, folder)
    rules, answers = RULES if read else BLIND, str(GIVEN.answers or GIVEN.out / ".answers")
    judge = JudgeAt(rules if GIVEN.judge == RULES else GIVEN.judge, GIVEN.judge_model, GIVEN.device, answers)
    by_rules = GIVEN.aesthetics == RULES
    scorer = LooksOf(JudgeAt(rules, answers=answers)) if by_rules else ClipAt(GIVEN.aesthetics, GIVEN.device)
    least = (LEAST_BY_RULES if by_rules else LEAST_BY_CLIP) if GIVEN.least is None else GIVEN.least
    judge.open()  # what is no judge shows before any work
    if isinstance(scorer, ClipAt):
        scorer.open()

    settings = {"tool": "filter_posters", "input": GIVEN.input, "judge": GIVEN.judge, "judge_model": GIVEN.judge_model,
                "aesthetics": GIVEN.aesthetics, "least": least, "copies": GIVEN.copies, "no_text": GIVEN.no_text,
                "shorter_side": GIVEN.shorter_side, "heldout": GIVEN.heldout, "licence": GIVEN.licence,
                "inputs": fingerprint(folder, names)}  # fmt: skip
    claim_folder(GIVEN.out, settings, GIVEN.shard, GIVEN.layout)
    scan = Scan(folder, names, GIVEN.shorter_side, judge if read else None)
    run_shown(Flow(scan, len(names), (), encode_line, settings, names), GIVEN.out / ".scan", GIVEN)
    if GIVEN.retry:  # a poster that is judged at last may be the one that others are copies of
        forget(GIVEN.out, everything=True)
    settled = settle(GIVEN.out / ".scan", names, GIVEN.copies)

    off = " (off: no text is read)"
    steps = (
        (EXACT, DropKnown(settled.lost[EXACT])),
        (BLEMISHES, DropKnown(settled.lost[BLEMISHES], frozenset(settled.by))) if read else (BLEMISHES + off, leave),
        (NEAR, DropKnown(settled.lost[NEAR])),
        ("caption", Caption(judge)),
        ("aesthetics", Aesthetics(scorer, least)),
        ("text regions", Regions(judge)) if read else ("text regions" + off, leave),
    )
    keep_files = GIVEN.layout == "folder" or len(settled.kinds) == 1
    encode = EncodePoster(GIVEN.licence, keep_files, GIVEN.heldout)
    return make_set(Flow(Posters(folder, names, settled), len(names), steps, encode, settings, names), GIVEN)


if __name__ == "__main__":
    options = Options(__doc__)
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
    add("--shorter-side", type=whole, default=256, metavar="PX", help="drop smaller posters (default 256)")
    add("--no-text", action="store_true", help="no OCR: quick, but finds no blemishes and no text regions")
    add("--threads", type=whole, default=1, metavar="N",
        help="posters at a time in each process, for a judge at an endpoint (default 1)")
    add("--device", default="cpu", help="where local models run (default cpu)")
    add("--heldout", type=every, default=20, metavar="N", help="hold out every N-th poster; 0 for none (default 20)")
    add("--licence", default="unknown", help="SPDX name of the posters' licence, for the rows")
    # fmt: on
    GIVEN = options.parse_args()
    run_tool(main, GIVEN.debug)
