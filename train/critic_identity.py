"""PVIT: a critic learns to know what it is shown, by its name, and to say so where that is not there (PVIT section 3).

    python data_tools/build_identities.py synthetic --out sets/identities --count 20000 --identities 2000
    accelerate launch train/critic_identity.py --config configs/critic/critic_identity.yaml

Names are introduced by pictures before the poster; nothing is tuned to a single identity. Every epoch gives other
names, so that no name carries a signal. Only answers count:

    L = - E mean_t log p(answer_t | references, poster, question, answer_<t)

At the end held-out questions, about identities and names that no training question has, are answered: `heldout.json`
is the table of `posterkit bench identity`, answerable beside unanswerable. `model/` is a folder that `--critic` opens.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from posterkit.critic.trained import TrainedCritic
from posterkit.datagen.engine import Flow
from posterkit.datagen.identities import SyntheticIdentities
from posterkit.datagen.identity_questions import SYSTEM, IdentityQuestion, IdentityQuestions, encode_question
from posterkit.evaluation.identity_bench import as_markdown, identity_figures, read_answer
from posterkit.image_io import written_whole
from posterkit.sizing import Size
from posterkit.training.config import Count, Share, parse_config
from posterkit.training.errors import setting_up
from posterkit.training.language_model import LanguageModelConfig, open_trainable
from posterkit.training.loading.critic_answers import (
    CriticQuestions,
    answer_batches,
    answers_to,
    open_critic_questions,
)
from posterkit.training.run import Run


@dataclass
class IdentitiesConfig:
    """
    Attributes:
        path: a folder of questions; null draws them into `run_dir/set`.
        count, identities, seed, size: of a drawn set: how many questions about how many identities, which ones, and
            the posters' width and height in pixels.
        negatives: share of drawn questions without an answer.
        few_negatives: lets it fall below a quarter; the critic then hardly ever refuses.
    """

    path: str | None = None
    count: Count = 2000
    identities: Count = 200
    seed: int = 0
    size: tuple[int, int] = (192, 288)
    negatives: Share = 0.4
    few_negatives: bool = False


@dataclass
class IdentityConfig(LanguageModelConfig):
    """
    Attributes:
        data: the questions.
        area: pixels that each picture is brought to before the model reads it.
        heldout_questions: of choice and about places, answered at the end.
    """

    data: IdentitiesConfig = field(default_factory=IdentitiesConfig)
    area: Count = 28 * 28 * 12
    heldout_questions: Count = 200

    def check(self) -> None:
        super().check()
        if self.init_from is None:
            raise ValueError("init_from is null; a critic starts from a vision-language model")


def main() -> None:
    config = parse_config(IdentityConfig)
    run = Run(config)
    with setting_up():
        train, heldout = open_critic_questions(config.data.path, flow_of(config.data), run,
                                               "data_tools/build_identities.py")  # fmt: skip
        model = open_trainable(TrainedCritic, config, area=config.area)

    for batch in run.steps(model, answer_batches(train, model, SYSTEM, run)):
        with run.autocast():
            loss = (-model.log_probs(batch) / batch["answer"].sum(1)).mean()
        run.backward(loss)

    if run.accelerator.is_main_process and run.step == config.max_steps:
        with run.averaged(model):
            found = held_out(model, heldout, config)
        with written_whole(run.folder / "heldout.json") as file:
            file.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        run.print(as_markdown({"judge": "held out", **found}))
    run.finish(model)


def flow_of(data: IdentitiesConfig) -> Flow:
    """What draws the questions."""
    pool = SyntheticIdentities(data.identities, data.seed)
    source = IdentityQuestions(pool, data.seed, Size(*data.size), data.negatives, careless=data.few_negatives)
    settings = {"tool": "build_identities", "seed": data.seed, "size": list(data.size), "negatives": data.negatives,
                "identities": data.identities}  # fmt: skip
    return Flow(source, data.count, (), encode_question, settings, paths=("images",))


def held_out(model: TrainedCritic, heldout: CriticQuestions, config: IdentityConfig) -> dict[str, Any]:
    """The identity bench's table on held-out questions."""
    rows = [row for row in heldout.rows if row["question"] in ("choice", "free")][: config.heldout_questions]
    said = answers_to(model, heldout, rows, SYSTEM, most=24)
    asked = [question_of(row) for row in rows]
    return identity_figures(asked, [read_answer(reply, one) for reply, one in zip(said, asked, strict=True)])


def question_of(row: dict[str, Any]) -> IdentityQuestion:
    """A row of a set as what the bench asks, without its pictures."""
    blank = (Image.new("RGB", (1, 1)),) * (row["references"] + 1)
    return IdentityQuestion(
        row["id"], blank, row["prompt"], row["answer"], row["question"], row["negative"], tuple(row["names"]),
        row["identity"], row["kind"], row["consent"], row["split"], row["box"], row["caption"], "",
    )  # fmt: skip


if __name__ == "__main__":
    main()
