"""Build preference pairs for a critic (BPO, arXiv 2403.08730): true critiques, and answers that only sound like them.

    python data_tools/build_critic_pairs.py --out sets/critic --count 10000
    python data_tools/build_critic_pairs.py --out sets/critic --count 4000 --critic models/qwen --weakened 0.5
    python data_tools/build_critic_pairs.py --out sets/misled --misled runs/judges/qwen

The chosen side is true by construction, since the posters are synthetic. A rejected side has one of seven typed
errors; with --critic some are what the critic itself answers about the poster under diffusion noise (steps 500, 700
and 900 of the paper's schedule), with its text illegible, blurred or covered, or blank. A pair goes no further where
its rejected side is still true, or cannot be brought within a fifth of the chosen one's length. For a second round,
give the trained critic: the funnel says how many of its answers are still wrong.

--misled takes the replies of `posterkit bench judge --split train` that gave what a picture suggests: the brief's
answer is chosen, the reply rejected. The other half of the questions measures what was learnt.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from posterkit.datagen.candidate_options import share
from posterkit.datagen.command_line import ToolParser, make_set, positive_int, run_tool, size
from posterkit.datagen.critique_pairs import (
    PICTURES,
    CriticPosters,
    answer_wrongly,
    drop_true,
    encode_pair,
    match_lengths,
    open_answering_critic,
)
from posterkit.datagen.engine import Flow, FlowResult
from posterkit.evaluation.misled_pairs import MisledPairs, encode_misled
from posterkit.sizing import Size


def main() -> FlowResult:
    if ARGS.misled:
        pairs = MisledPairs(ARGS.misled)
        settings = {"tool": "build_critic_pairs", "misled": pairs.judge, "pairs": len(pairs)}
        return make_set(Flow(pairs, len(pairs), (), encode_misled, settings, paths=PICTURES), ARGS)
    if ARGS.critic is None and ARGS.weakened:
        raise ValueError("--weakened takes the critic's own answers; name it with --critic")
    critic = partial(open_answering_critic, ARGS.critic, ARGS.model, ARGS.device) if ARGS.critic else None
    if critic:
        critic()  # what cannot be opened shows before any work
    weakened = (0.5 if critic else 0.0) if ARGS.weakened is None else ARGS.weakened
    steps = (
        ("answer", partial(answer_wrongly, seed=ARGS.seed, open_critic=critic)),
        ("length", match_lengths),
        ("check", drop_true),
    )
    settings = {"tool": "build_critic_pairs", "seed": ARGS.seed, "size": str(ARGS.size), "critic": ARGS.critic,
                "model": ARGS.model, "weakened": weakened}  # fmt: skip
    source, encode = CriticPosters(ARGS.seed, ARGS.size, weakened), partial(encode_pair, seed=ARGS.seed)
    return make_set(Flow(source, ARGS.count, steps, encode, settings, paths=PICTURES), ARGS)


if __name__ == "__main__":
    options = ToolParser(__doc__)
    add = options.add_argument
    # fmt: off
    add("--count", type=positive_int, default=2000, metavar="N", help="posters (default 2000); some give no pair")
    add("--size", type=size, default=Size(192, 288), metavar="WxH", help="default 192x288")
    add("--critic", metavar="MODEL", help="a vision-language model's folder, hub id or URL, which answers itself")
    add("--model", metavar="NAME", help="the model's name at an endpoint")
    add("--device", default="cpu", help="where a local critic runs (default cpu)")
    add("--misled", type=Path, metavar="DIR", help="a folder of posterkit bench judge --split train, and nothing else")
    add("--weakened", type=share, metavar="S", help="of the pairs that the critic answers (default 0.5 with --critic)")
    # fmt: on
    ARGS = options.parse_args()
    run_tool(main, ARGS.debug)
