"""Is a critic of at most 6 MB better than the rules? By kind of question, on held-out synthetic posters.

    python train/critic_sft.py                                  # configs/mini/critic_sft.yaml: 2 million weights
    python benchmarks/mini_critic.py runs/mini/critic_sft --count 180

For each kind of question of `posterkit.datagen.poster_questions` the share of right answers, letter for letter, of
three: the trained critic, the rules (OCR and measures, see `answer_by_rules`) and the most frequent answer, which
needs no picture. A title is right in any case and punctuation. The critic is shipped, and `--critic mini` takes it,
only where it is above the rules by a paired 95 % interval over questions and below them in no kind, at 6 MB at most.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from posterkit.critic.rules import RulesCritic, place
from posterkit.critic.trained import TrainedCritic
from posterkit.datagen.critique_pairs import SYSTEM
from posterkit.datagen.poster_questions import ASKED, PosterQuestion, PosterQuestions
from posterkit.evaluation.statistics import bootstrap
from posterkit.metrics.appearance import Appearance
from posterkit.metrics.ocr import words
from posterkit.pipelines.loading import quiet_bars
from posterkit.sizing import Size

MOST_BYTES = 6 * 10**6


def answer_by_rules(critic: RulesCritic, poster: Image.Image, one: PosterQuestion) -> str:
    """What OCR and measures say; nothing where rules see no things."""
    if one.question in ("subject", "color"):
        return ""
    appearance = Appearance(poster, critic.texts(poster))
    if one.question == "background":
        return appearance.background
    texts = sorted(appearance.texts, key=lambda text: -(text.box[3] - text.box[1]))
    if one.question == "count":
        return str(len(texts))
    if not texts:
        return ""
    title = texts[0]
    x0, y0, x1, y1 = title.box
    where = place((x0 + x1) / 2 / poster.width, (y0 + y1) / 2 / poster.height)
    sound = words(title.text) == words(one.prompt.partition('"')[2].rpartition('"')[0])
    verdict = {"title": title.text, "fault": "none" if sound else "title misspelt",
               "verdict": "pass" if sound else "fail"}  # fmt: skip
    return {"title": title.text, "place": where, "letters": title.color, "defect": "yes" if sound else "no",
            "verdict": json.dumps(verdict)}[one.question]  # fmt: skip


def is_right(answer: str, one: PosterQuestion) -> bool:
    """Letter for letter, but for a title's case and punctuation, alone or in a verdict."""
    if one.question == "title":
        return words(answer) == words(one.answer)
    if one.question == "verdict":
        try:
            said, true = json.loads(answer), json.loads(one.answer)
            return said == {**true, "title": said["title"]} and words(said["title"]) == words(true["title"])
        except (ValueError, KeyError, TypeError, AttributeError):
            return False
    return answer == one.answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, nargs="?", help="of train/critic_sft.py; without it the rules alone")
    parser.add_argument("--count", type=int, default=180, help="posters (default 180)")
    parser.add_argument("--size", type=int, nargs=2, default=(192, 288), metavar="PX")
    parser.add_argument("--area", type=int, default=28 * 28 * 48)
    args = parser.parse_args()
    quiet_bars()
    taught, source = PosterQuestions(0, Size(*args.size)), PosterQuestions(10**6, Size(*args.size))
    asked = [source[number] for number in range(args.count)]
    likely: dict[str, Counter[str]] = {kind: Counter() for kind in ASKED}
    for number in range(4 * args.count):
        one = taught[number]
        likely[one.question][one.answer] += 1
    critic = RulesCritic()
    said = {"constant": [likely[one.question].most_common(1)[0][0] for one in asked],
            "rules": [answer_by_rules(critic, one.poster, one) for one in asked]}  # fmt: skip
    if args.run:
        model = TrainedCritic(str(args.run / "model"), area=args.area)
        model.module.eval()
        rows = [model.read(SYSTEM, [one.poster, one.prompt]) for one in asked]
        said["critic"] = [answer for at in range(0, len(rows), 16) for answer in model.answers(rows[at : at + 16], 64)]
        size = sum(file.stat().st_size for file in (args.run / "model").iterdir())
        print(f"{args.run}/model: {size / 1e6:.1f} MB, {'fits' if size <= MOST_BYTES else 'does not fit'} in 6 MB")
    right = {name: np.array([is_right(answer, one) for answer, one in zip(answers, asked, strict=True)])
             for name, answers in said.items()}  # fmt: skip
    print(f"| right of {len(asked)} | {' | '.join(right)} |\n|---|{'---|' * len(right)}")
    for kind in (*ASKED, "all"):
        some = np.array([kind in (one.question, "all") for one in asked])
        print(f"| {kind} | {' | '.join(f'{values[some].mean():.2f}' for values in right.values())} |")
    if args.run:
        found = bootstrap((right["critic"].astype(float) - right["rules"]).tolist())
        print(f"critic less rules: {found.mean:+.3f} ({found.low:+.3f} to {found.high:+.3f})")


if __name__ == "__main__":
    main()
