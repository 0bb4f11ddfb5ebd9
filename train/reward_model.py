"""The reward model, PosterOmni: how good a poster is for its request (PosterOmni section 3.4).

    accelerate launch train/reward_model.py --config configs/mini/reward_model.yaml

A vision-language model reads the pictures that go in, the words and the poster; a light head says a score r. It
learns from pairs of which one side is better (Bradley-Terry):

    L = -E log sigmoid(r(chosen) - r(rejected))

Judged pairs come from `data_tools/mine_preferences.py`. The others are free (`kinds`): the untouched input, so that
doing nothing scores low; a poster for another task; words that the poster does not show; and BPO's bootstraps: a
poster under noise, with its text spoilt or misspelt, a single character of the requested text changed. At the end
held-out pairs of every kind are scored: `heldout.json`, `heldout.jsonl` (each pair and what is wrong with it),
`calibration.png`, `pairs.png`. `posterkit.rewards.models.reward_model.LearnedReward("run folder")` is the reward.
`kinds.unedited=0` and `prompt=false` are the paper's ablations.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from posterkit.rewards.models.reward_model import RewardModel
from posterkit.training.config import Count, parse_config
from posterkit.training.errors import setting_up
from posterkit.training.language_model import LanguageModelConfig, open_trainable
from posterkit.training.loading.good_posters import JudgementConfig, open_good_posters
from posterkit.training.loading.judgements import KINDS, Judgements, Kinds, judged_batches
from posterkit.training.losses import bradley_terry_loss
from posterkit.training.monitor.held_out import report_held_out
from posterkit.training.run import Run


@dataclass
class RewardModelConfig(LanguageModelConfig):
    """
    Attributes:
        data: pairs, or posters of which free pairs are made.
        kinds: how often each kind of pair is drawn; one that is not named is not.
        prompt: whether the words are part of the input.
        area: pixels that each picture is brought to before the model reads it.
        heldout_pairs: of each kind, scored at the end.
    """

    data: JudgementConfig = field(default_factory=JudgementConfig)
    kinds: Kinds = field(default_factory=Kinds)
    prompt: bool = True
    area: Count = 28 * 28 * 24
    heldout_pairs: Count = 40

    def check(self) -> None:
        super().check()
        if self.init_from is None:
            raise ValueError("init_from is null; a reward model starts from a vision-language model")
        if self.area < 56 * 56:
            raise ValueError(f"area is {self.area} pixels, width times height; at least 56x56 = {56 * 56}")


def main() -> None:
    config = parse_config(RewardModelConfig)
    run = Run(config)
    with setting_up():
        model = open_trainable(RewardModel, config, area=config.area, prompt=config.prompt)
        train, heldout = open_good_posters(config.data, run)
        judgements = Judgements(train, config.kinds, config.seed)
        checks = Judgements(heldout, Kinds(*[1.0] * len(KINDS)), config.seed + 1, evenly=True)
    if judgements.missing:
        run.print(f"{', '.join(judgements.missing)}: nothing in this set to make such pairs of; left out")

    for batch in run.steps(model, judged_batches(judgements, model, run)):
        with run.autocast():
            chosen, rejected = model.score(batch).chunk(2)
        loss, figures = bradley_terry_loss(chosen, rejected)
        run.backward(loss, **figures)

    if run.accelerator.is_main_process:
        pairs = [checks[number] for number in range(config.heldout_pairs * len(checks.shares))]
        with run.averaged(model):
            report_held_out(model, pairs, run)
    run.finish(model)


if __name__ == "__main__":
    main()
