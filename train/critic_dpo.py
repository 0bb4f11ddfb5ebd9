"""BPO: preference training of a critic against its own priors (Bootstrapped Preference Optimization, section 3).

    python data_tools/build_critic_pairs.py --out sets/critic --count 4000 --critic MODEL
    accelerate launch train/critic_dpo.py --config configs/critic/critic_dpo.yaml

A vision-language model that answers about posters believes its priors more than the picture. It learns from pairs: y+
is true of the poster I by construction; y- is what the model itself answered about the poster weakened, or y+ with an
injected error. Both are judged on the clean poster:

    L = -E log sigmoid(beta [log pi(y+|I) - log ref(y+|I)] - beta [log pi(y-|I) - log ref(y-|I)])

`image_weight` adds mDPO's term, which prefers y+ on the clean poster to y+ on the weakened one; without it words
alone can tell the sides apart. The reference is the model without its LoRA, or a frozen copy where all weights train.
At the end held-out pairs are scored: `heldout.json` has the share that is right by kind, on the clean poster and on a
blank one, and their difference: what the picture, not the words, decides. `model/` is a folder that `--critic` opens.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field

import torch
from PIL import Image

from posterkit.critic.trained import TrainedCritic
from posterkit.image_io import written_whole
from posterkit.training.config import Count, Positive, Share, parse_config
from posterkit.training.errors import setting_up
from posterkit.training.language_model import LanguageModelConfig, open_trainable
from posterkit.training.loading.critic_pairs import (
    CriticPairs,
    PairsConfig,
    critic_batch,
    critic_batches,
    open_critic_pairs,
)
from posterkit.training.losses import answer_dpo_loss
from posterkit.training.run import Run


@dataclass
class CriticConfig(LanguageModelConfig):
    """
    Attributes:
        data: the pairs.
        beta: how far the critic may leave its reference.
        image_weight: of the image-conditional term, 0 to 1.
        by_length: log-ratios are divided by the answers' tokens.
        area: pixels that a poster is brought to before the model reads it.
        heldout_pairs: scored at the end.
    """

    data: PairsConfig = field(default_factory=PairsConfig)
    beta: Positive = 0.1
    image_weight: Share = 0.0
    by_length: bool = False
    area: Count = 28 * 28 * 24
    heldout_pairs: Count = 200

    def check(self) -> None:
        super().check()
        if self.init_from is None:
            raise ValueError("init_from is null; a critic starts from a vision-language model")


def main() -> None:
    config = parse_config(CriticConfig)
    run = Run(config)
    with setting_up():
        model = open_trainable(TrainedCritic, config, area=config.area)
        model.keep_reference(run.device)
        train, heldout = open_critic_pairs(config.data, run)

    for batch in run.steps(model, critic_batches(train, model, run, weakened=config.image_weight > 0)):
        with run.autocast():
            policy, reference = model.log_probs(batch), model.reference_log_probs(batch)
        lengths = batch["answer"].sum(1)
        loss, figures = answer_dpo_loss(policy, reference, lengths, config.beta, config.image_weight, config.by_length)
        run.backward(loss, **figures)

    if run.accelerator.is_main_process:
        with run.averaged(model), written_whole(run.folder / "heldout.json") as file:
            file.write_text(json.dumps(held_out(model, heldout, run), indent=1) + "\n", encoding="utf-8")
    run.finish(model)


@torch.no_grad()
def held_out(model: TrainedCritic, pairs: CriticPairs, run: Run) -> dict[str, dict[str, float]]:
    """By kind: pairs, and the share whose true answer is the likelier one, on the poster and on a blank one."""
    model.module.eval()
    rows = pairs.rows[: run.config.heldout_pairs]  # type: ignore[attr-defined]
    right: dict[str, list[tuple[bool, bool]]] = defaultdict(list)
    for row in rows:
        batch = critic_batch(pairs, [row], model, weakened=False).to(run.device)
        unseen = batch | {"patches": blank_patches(model, pairs.picture(row, "target"), batch)}
        seen, blind = (model.log_probs(one) for one in (batch, unseen))
        right[row["kind"]].append((bool(seen[0] > seen[1]), bool(blind[0] > blind[1])))
    right["all"] = [one for found in list(right.values()) for one in found]
    found = {}
    for kind, both in right.items():
        seen, blind = (sum(side) / len(both) for side in zip(*both, strict=True))
        found[kind] = {"pairs": len(both), "right": seen, "right_blank": blind, "gap": seen - blind}
    return found


def blank_patches(model: TrainedCritic, poster: Image.Image, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """The patches of a canvas of the poster's mean colour, for both answers."""
    blank = poster.resize((1, 1), Image.Resampling.BOX).resize(poster.size)
    patches = model.read("", [blank])["patches"].to(batch["patches"])
    return torch.cat([patches, patches])


if __name__ == "__main__":
    main()
