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
from typing import Any, Literal

from PIL import Image

from posterkit.critic.trained import TrainedCritic
from posterkit.datagen.engine import Flow
from posterkit.datagen.identities import SyntheticIdentities
from posterkit.datagen.identity_questions import SYSTEM, IdentityQuestion, IdentityQuestions, encode_question
from posterkit.evaluation.identity_bench import as_markdown, identity_figures, read_answer
from posterkit.image_io import written_whole
from posterkit.pipelines.loading import quiet_bars
from posterkit.sizing import Size
from posterkit.training.config import Count, RunConfig, Share, parse_config
from posterkit.training.errors import WrongCall, setting_up
from posterkit.training.loading.critic_answers import (
    CriticQuestions,
    answer_batches,
    answers_to,
    open_critic_questions,
)
from posterkit.training.lora import Trainable, check_language_model, train_language_model
from posterkit.training.run import Run
from posterkit.training.stages import DTYPES


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
class IdentityConfig(RunConfig):
    """
    Attributes:
        data: the questions.
        area: pixels that each picture is brought to before the model reads it.
        base: dtype of weights that are frozen under a LoRA; what trains is float32.
        trainable: all weights, or a LoRA.
        heldout_questions: of choice and about places, answered at the end.
    """

    data: IdentitiesConfig = field(default_factory=IdentitiesConfig)
    area: Count = 28 * 28 * 12
    base: Literal["fp32", "bf16"] = "fp32"
    trainable: Trainable = field(default_factory=lambda: Trainable(targets=["q_proj", "k_proj", "v_proj", "o_proj"]))
    heldout_questions: Count = 200

    def check(self) -> None:
        super().check()
        if self.init_from is None:
            raise ValueError("init_from is null; a critic starts from a vision-language model")
        check_language_model(self.base, self.trainable, self.init_from)


def main() -> None:
    config = parse_config(IdentityConfig)
    run = Run(config)
    with setting_up():
        if run.sharded:
            raise WrongCall("the critic's weights are not sharded; train a LoRA with configs/accelerate/ddp.yaml")
        train, heldout = open_critic_questions(config.data.path, flow_of(config.data), run,
                                               "data_tools/build_identities.py")  # fmt: skip
        model = open_trained(config)

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


def open_trained(config: IdentityConfig) -> TrainedCritic:
    """The critic, and what trains in it."""
    assert config.init_from is not None
    quiet_bars()
    model = TrainedCritic(config.init_from, area=config.area, dtype=DTYPES[config.base])
    train_language_model(model, model.module["backbone"], config.trainable)
    return model


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
