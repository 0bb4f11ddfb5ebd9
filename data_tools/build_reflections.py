"""Build reflections: several posters for a prompt, and what would bring the others to the best (PosterCraft stage 4).

    python data_tools/build_reflections.py prompts.txt --out sets/reflect
    python data_tools/build_reflections.py sets/prompts --out sets/reflect --model FLUX --lora stage3/lora \\
        --judge http://localhost:8000/v1 --answers answers/ --threads 8

Prompts come from a text file (one a line), a .jsonl file, or a set. The judge's aesthetics, text and content together
choose the best of each prompt; each of the others becomes a row with a content and a style suggestion that never
speak of a second picture. Train the generator with draft and words as input and the best as target, and a critic
with the draft as input and the words as answer.
"""

from __future__ import annotations

from functools import partial

from posterkit.datagen.candidate_options import CandidateOptions, draw_step, judge_of, requests_of, settings_of
from posterkit.datagen.command_line import make_set, run_tool
from posterkit.datagen.engine import Flow, FlowResult
from posterkit.datagen.preferences import ScoreCandidates, encode_reflection, pass_gates, suggest_improvements


def main() -> FlowResult:
    requests = requests_of(ARGS, turns=ARGS.candidates - 1)
    draw, (critic, reward) = draw_step(ARGS, requests), judge_of(ARGS)
    steps = (
        ("draw", draw),
        ("judge", ScoreCandidates(reward, whole=True)),
        ("best", partial(pass_gates, text=ARGS.gate_text, content=ARGS.gate_content)),
        ("suggest", partial(suggest_improvements, open_critic=critic)),
    )
    settings = {"tool": "build_reflections", **settings_of(ARGS, requests, draw),
                "gate_text": ARGS.gate_text, "gate_content": ARGS.gate_content}  # fmt: skip
    encode = partial(encode_reflection, model=draw.model.source, alike=ARGS.layout == "webdataset")
    return make_set(Flow(requests, len(requests), steps, encode, settings, requests.names), ARGS)


if __name__ == "__main__":
    options = CandidateOptions(__doc__, candidates=6, gates=(0.0, 0.0))
    ARGS = options.parse_args()
    run_tool(main, ARGS.debug)
