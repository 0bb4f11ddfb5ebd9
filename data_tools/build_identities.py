"""Build questions about identities on posters (PVIT, arXiv 2410.07113): products, mascots, logos, persons.

    python data_tools/build_identities.py synthetic --out sets/identities --count 4000 --identities 200
    python data_tools/build_identities.py products/ --out sets/mine --count 400
    python data_tools/build_identities.py people/ --kind person --consent "signed, drive/consents" --out sets/people
    python data_tools/build_identities.py products/ --out sets/id_driven --as id_driven --trigger "sks thing"

Names are introduced by one to four pictures; a poster shows what they stand for, or not: absent, unknown, a
look-alike, or the other one that was introduced. Every fourth question is held out, with identities and names of its
own. In a folder each sub-folder is one identity; its photographs are checked by how well their subject can be cut out,
and what is not taken is named. `--as id_driven` writes the same records as training samples of that task.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from posterkit.datagen.candidate_options import share
from posterkit.datagen.command_line import ToolParser, make_set, positive_int, run_tool, size
from posterkit.datagen.engine import Drop, Flow, FlowResult
from posterkit.datagen.identities import (
    HELD_OUT,
    KINDS,
    PERSON,
    FolderIdentities,
    IdentityPool,
    SyntheticIdentities,
)
from posterkit.datagen.identity_questions import IdentityQuestion, IdentityQuestions, as_sample, encode_question
from posterkit.datagen.picture_folder import check_outside, fingerprint, list_pictures
from posterkit.datasets.sample_files import encode_sample
from posterkit.schema import PosterSample
from posterkit.sizing import Size


@dataclass(frozen=True)
class AsSample:
    """A record as a training sample; a question that none can be made of goes no further."""

    trigger: str | None

    def __call__(self, one: IdentityQuestion) -> PosterSample | Drop:
        sample = as_sample(one, self.trigger)
        return Drop("negative or several", one.negative or "several names") if sample is None else sample


def main() -> FlowResult:
    pool: IdentityPool
    settings = {"tool": "build_identities", "input": ARGS.input, "seed": ARGS.seed, "size": str(ARGS.size),
                "negatives": ARGS.negatives, "as": ARGS.form, "trigger": ARGS.trigger}  # fmt: skip
    if ARGS.input == "synthetic":
        pool = SyntheticIdentities(ARGS.identities, ARGS.seed)
        settings["identities"] = ARGS.identities
    else:
        folder = Path(ARGS.input)
        check_outside(ARGS.out, folder)
        pool = FolderIdentities(folder, ARGS.kind, ARGS.consent, ARGS.segmenter)
        settings |= {"kind": ARGS.kind, "consent": ARGS.consent, "segmenter": ARGS.segmenter,
                     "inputs": fingerprint(folder, list_pictures(folder))}  # fmt: skip
    if len(pool) < HELD_OUT:
        said = f"{len(pool)} identities: every {HELD_OUT}th is held out, so held-out questions are about the same ones"
        warnings.warn(said, stacklevel=1)
    source = IdentityQuestions(pool, ARGS.seed, ARGS.size, ARGS.negatives, careless=ARGS.few_negatives)
    if ARGS.form == "id_driven":
        steps = (("sample", AsSample(ARGS.trigger)),)
        return make_set(Flow(source, ARGS.count, steps, partial(encode_sample), settings), ARGS)
    return make_set(Flow(source, ARGS.count, (), encode_question, settings, paths=("images",)), ARGS)


if __name__ == "__main__":
    options = ToolParser(__doc__)
    add = options.add_argument
    # fmt: off
    add("input", help='a folder with a sub-folder of photographs for each identity, or "synthetic"')
    add("--count", type=positive_int, default=2000, metavar="N", help="questions (default 2000)")
    add("--identities", type=positive_int, default=200, metavar="N", help="synthetic ones (default 200)")
    add("--size", type=size, default=Size(192, 288), metavar="WxH", help="of the posters (default 192x288)")
    add("--negatives", type=share, default=0.4, metavar="S", help="of questions without an answer (default 0.4)")
    add("--few-negatives", action="store_true", help="take fewer than a quarter; a critic then hardly ever refuses")
    add("--kind", choices=(*KINDS, PERSON), default="product", help="of a folder's identities (default product)")
    add("--consent", default="", metavar="WORDS", help="where the consent to the pictures is kept; persons need it")
    add("--segmenter", default="rules", metavar="WHO", help="who cuts out: rules (default), or a SAM-2 folder")
    add("--as", dest="form", choices=("questions", "id_driven"), default="questions",
        help="questions for a critic (default), or training samples of id_driven")
    add("--trigger", metavar="WORDS", help="what stands for the name in captions of id_driven")
    # fmt: on
    ARGS = options.parse_args()
    run_tool(main, ARGS.debug)
