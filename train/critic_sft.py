"""Supervised fine-tuning of a critic: questions about posters whose answers are exact, and verdicts as JSON.

    accelerate launch train/critic_sft.py --config configs/mini/critic_sft.yaml

The posters are synthetic, so that title, places, colours, what is drawn and what is misspelt are known. The critic is
a Qwen2.5-VL or Qwen3-VL; with `init_from` null a small Qwen2.5-VL over the set's own words is made. Answers count:

    L = - E mean_t log p(answer_t | pictures, question, answer_<t)

At the end held-out questions are answered: `heldout.json` has the share that is right letter for letter by kind, and
the same of the most frequent answer, which needs no picture. `model/` is a folder that `--critic` opens.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field

from posterkit.critic.trained import TrainedCritic
from posterkit.datagen.critique_pairs import SYSTEM
from posterkit.datagen.engine import Flow
from posterkit.datagen.poster_questions import ASKED, PosterQuestions, encode_poster_question
from posterkit.image_io import written_whole
from posterkit.sizing import Size
from posterkit.training.config import Count, parse_config
from posterkit.training.errors import setting_up
from posterkit.training.language_model import LanguageModelConfig, open_trainable
from posterkit.training.loading.critic_answers import (
    CriticQuestions,
    answer_batches,
    answers_to,
    open_critic_questions,
)
from posterkit.training.run import Run
from posterkit.training.small_critic import SmallCritic, make_small_critic


@dataclass
class QuestionsConfig:
    """
    Attributes:
        path: a folder of questions; null draws them into `run_dir/set`.
        count, seed, size: of a drawn set: how many questions, which ones, and the posters' width and height in pixels.
    """

    path: str | None = None
    count: Count = 4000
    seed: int = 0
    size: tuple[int, int] = (192, 288)


@dataclass
class CriticSFTConfig(LanguageModelConfig):
    """
    Attributes:
        data: the questions.
        small: the size of a critic that is made here, where `init_from` is null.
        area: pixels that a picture is brought to before the model reads it.
        heldout_questions: answered at the end; `answer_tokens` at most in each answer.
    """

    data: QuestionsConfig = field(default_factory=QuestionsConfig)
    small: SmallCritic = field(default_factory=SmallCritic)
    area: Count = 28 * 28 * 24
    heldout_questions: Count = 300
    answer_tokens: Count = 64


def main() -> None:
    config = parse_config(CriticSFTConfig)
    run = Run(config)
    with setting_up():
        data = config.data
        settings = {"tool": "poster_questions", "seed": data.seed, "size": list(data.size)}
        flow = Flow(PosterQuestions(data.seed, Size(*data.size)), data.count, (), encode_poster_question, settings,
                    paths=("images",))  # fmt: skip
        train, heldout = open_critic_questions(data.path, flow, run, "train/critic_sft.py")
        model = open_trained(config, run, train)

    for batch in run.steps(model, answer_batches(train, model, SYSTEM, run)):
        with run.autocast():
            loss = (-model.log_probs(batch) / batch["answer"].sum(1)).mean()
        run.backward(loss)

    if run.accelerator.is_main_process and run.step == config.max_steps:
        with run.averaged(model), written_whole(run.folder / "heldout.json") as file:
            file.write_text(json.dumps(held_out(model, train, heldout, config), indent=1) + "\n", encoding="utf-8")
    run.finish(model)


def open_trained(config: CriticSFTConfig, run: Run, train: CriticQuestions) -> TrainedCritic:
    """The critic and what trains in it; a fresh one knows the words of the set."""
    source = config.init_from
    if source is None:
        fresh = run.folder / "fresh"
        if run.accelerator.is_main_process and not (fresh / "config.json").is_file():
            words = sorted({row[key] for row in train.rows for key in ("prompt", "answer", "system") if key in row})
            make_small_critic(fresh, [SYSTEM, *ASKED.values(), *words], config.small, config.seed)
        run.accelerator.wait_for_everyone()
        source = str(fresh)
    return open_trainable(TrainedCritic, config, source, area=config.area)


def held_out(
    model: TrainedCritic, train: CriticQuestions, heldout: CriticQuestions, config: CriticSFTConfig
) -> dict[str, dict[str, float]]:
    """By kind: questions, the share that is answered rightly, and what the most frequent answer has."""
    rows = heldout.rows[: config.heldout_questions]
    said = answers_to(model, heldout, rows, SYSTEM, config.answer_tokens)
    counts: dict[str, Counter[str]] = {}
    for row in train.rows:
        counts.setdefault(row["question"], Counter())[row["answer"]] += 1
    likely = {kind: answers.most_common(1)[0][0] for kind, answers in counts.items()}
    found = {}
    for kind in (*dict.fromkeys(row["question"] for row in rows), "all"):
        some = [(row, answer) for row, answer in zip(rows, said, strict=True) if kind in (row["question"], "all")]
        right = sum(answer == row["answer"] for row, answer in some)
        constant = sum(likely.get(row["question"]) == row["answer"] for row, _ in some)
        found[kind] = {"questions": len(some), "right": right / len(some), "constant": constant / len(some)}
    return found


if __name__ == "__main__":
    main()
