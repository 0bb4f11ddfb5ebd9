"""Build poster prompts from an entity library and a style library over six themes (PosterOmni's front end).

    python data_tools/build_prompts.py --out prompts/ --count 20000 --languages en zh
    python data_tools/build_prompts.py --out prompts/ --count 2000 --writer http://localhost:8000/v1 --threads 16

`prompts/prompts.jsonl` gets a line for each prompt. A writer words the structured draft anew; quoted texts stay.
"""

from __future__ import annotations

from functools import partial

from posterkit.datagen.command_line import ToolParser, make_set, one_in, positive_int, run_tool
from posterkit.datagen.engine import Flow, FlowResult, skip_step
from posterkit.datagen.prompts import (
    LANGUAGES,
    THEMES,
    PosterPrompts,
    check_count,
    encode_prompt,
    open_writer,
    rewrite_prose,
)


def main() -> FlowResult:
    prompts = PosterPrompts(ARGS.seed, tuple(ARGS.languages), tuple(ARGS.themes), ARGS.heldout)
    check_count(prompts, ARGS.count)
    write = skip_step
    if ARGS.writer != "rules":
        writer = partial(open_writer, ARGS.writer, ARGS.writer_model, ARGS.device)
        writer()  # what cannot be opened at all is no row's fault
        write = partial(rewrite_prose, open_model=writer)
    settings = {"tool": "build_prompts", "seed": ARGS.seed, "languages": ARGS.languages, "themes": ARGS.themes,
                "heldout": ARGS.heldout, "writer": ARGS.writer, "writer_model": ARGS.writer_model}  # fmt: skip
    outcome = make_set(Flow(prompts, ARGS.count, (("write", write),), encode_prompt, settings), ARGS)
    (ARGS.out / "samples.jsonl").rename(ARGS.out / "prompts.jsonl")  # it holds no samples yet
    return outcome


if __name__ == "__main__":
    options = ToolParser(__doc__)
    options.add_argument("--count", type=positive_int, default=2000, metavar="N", help="prompts (default 2000)")
    options.add_argument("--languages", nargs="+", choices=LANGUAGES, default=list(LANGUAGES), help="default en zh")
    options.add_argument("--themes", nargs="+", choices=THEMES, default=list(THEMES), help="default: all six")
    pairs = "about one of N pairs of entity and style (default 20)"
    options.add_argument("--heldout", type=one_in, default=20, metavar="N", help=pairs)
    who = "rules (default), the URL of an OpenAI-compatible endpoint, or a language model's folder or hub id"
    options.add_argument("--writer", default="rules", metavar="WHO", help=who)
    options.add_argument("--writer-model", metavar="NAME", help="the writer's name at the endpoint")
    options.add_argument("--device", default="cpu", help="where a local writer runs (default cpu)")
    waiting = "prompts that wait for a writer at once"
    options.add_argument("--threads", type=positive_int, default=1, metavar="N", help=waiting)
    ARGS = options.parse_args()
    run_tool(main, ARGS.debug)
