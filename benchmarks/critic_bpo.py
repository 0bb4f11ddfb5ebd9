"""BPO against a planted prior (support systems, BPO section 3.5): does preference training make a critic look?

    python benchmarks/critic_bpo.py --check            # whether the fine-tuned critic can show it at all
    python benchmarks/critic_bpo.py --seeds 0 1 2 3 4  # every arm of every seed; goes on where it was stopped
    python benchmarks/critic_bpo.py --table            # of the figures in benchmarks/bpo/<arm>-<seed>.json

A small Qwen2.5-VL with a closed vocabulary is taught to read posters on which every offer comes alike often, clear
ones first, then fine-tuned on posters of which nine in ten say "SALE 50%". From these weights, on the same new posters
of the same prior, each arm takes as many steps of as many posters:

    sft         fine-tuning on true critiques
    sft_chosen  fine-tuning on the true critiques of `bpo`'s own pairs, in the same batches
    text_only   DPO whose rejected sides are injected errors
    weakened    DPO whose rejected sides are what the critic said of the weakened poster
    bpo         DPO, half of each batch of either kind
    bpo_image   the same with the image-conditional term at 0.5

Pairs whose rejected side is still true are dropped. Measured on new posters, half of which keep the prior:
`breaking` and `keeping` are the shares of posters whose offer the critic's own answer gives letter for letter,
`balanced` their mean, `gap` `balanced` less the same on blank canvases, `ground` the share of right backgrounds.

The claims are rows of `CLAIMS`: paired differences over five seeds by Student's t, in intervals that hold at 95 % for
all rows together. Rates, and how weak letters are, were chosen on seed 100 by `--check`, which is none of the five.
The arms mean something only where `--check` finds that the critic before the prior (`reader`) reads over 0.8 of either
kind of posters, and the one behind it (`base`) clearly less of those that break the prior.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from replication import paired
from replication_claims import Claim
from torch import Tensor

from posterkit.critic.trained import TrainedCritic
from posterkit.datagen.critiques import (
    WEAKENED,
    CriticPoster,
    PosterFacts,
    false_claims,
    inject_error,
    match_length,
    weaken,
)
from posterkit.image_io import written_whole
from posterkit.pipelines.loading import quiet_bars
from posterkit.prompts import COLORS
from posterkit.training.losses import answer_dpo_loss
from posterkit.training.small_critic import SmallCritic, make_small_critic
from posterkit.typeset.fonts import FACES

SYSTEM, QUESTION = "You judge posters.", "Judge it."
WIDTH, HEIGHT = 56, 84  # six tokens
PRIOR, SHARE = "SALE 50%", 0.9
OFFERS = ("SALE 20%", "SALE 30%", "SALE 40%", "SALE 70%", "SALE 80%")
GROUNDS = {"navy": "white", "red": "white", "green": "white", "purple": "yellow"}
STRENGTH, GRAIN = (0.02, 0.4), 18.0  # of the letters against the ground, from weak to whole; of the noise, in levels
THINGS = ("sun", "box", "rings")
RUNS, RESULTS = Path("runs/critic_bpo"), Path(__file__).with_name("bpo")
POOL, NEW, MEASURED, BATCH = 2000, 800, 240, 16  # posters to teach by, for the arms, to measure on; of a step
TAUGHT = {"clear": (220, 2e-3), "reader": (200, 1e-3), "base": (160, 5e-4)}  # steps and rate of each lesson
READ_BATCH = 32
STEPS, SFT_AGAIN, DPO_RATE, BETA = 100, 3e-4, 3e-4, 0.1
ANSWER = 32  # tokens, of which a critique has at most 28
SMALL = SmallCritic(width=64, layers=2, heads=4, vision_width=64, vision_layers=2)
INJECTED = ("wrong_text", "wrong_position", "wrong_colour")  # errors of what a short critique says
ARMS = ("sft", "sft_chosen", "text_only", "weakened", "bpo", "bpo_image")


CLAIMS = (
    Claim("BPO above more fine-tuning on posters that break the prior", "BPO", "breaking", "bpo", "sft", 1),
    Claim("above fine-tuning on the same true critiques", "BPO", "breaking", "bpo", "sft_chosen", 1),
    Claim("above DPO with text-only negatives", "BPO", "breaking", "bpo", "text_only", 1),
    Claim("on both kinds of posters, above more fine-tuning", "BPO", "balanced", "bpo", "sft", 1),
    Claim("above fine-tuning on the same true critiques", "BPO", "balanced", "bpo", "sft_chosen", 1),
    Claim("above DPO with text-only negatives", "BPO", "balanced", "bpo", "text_only", 1),
    Claim("clean against blank, a larger gap than more fine-tuning", "BPO", "gap", "bpo", "sft", 1),
    Claim("a larger gap than DPO with text-only negatives", "BPO", "gap", "bpo", "text_only", 1),
)


def draw_sale(rng: Random, breaks: bool, clear: bool = False) -> CriticPoster:
    """A poster with an offer in two lines at its top or bottom, and a thing in the rest.

    Letters are strong or weak and there is grain, unless it is to be `clear`.
    """
    offer, (ground, letters) = rng.choice(OFFERS) if breaks else PRIOR, rng.choice([*GROUNDS.items()])
    color = rng.choice(("orange", "teal", "gray", "brown"))
    thing, top = rng.choice(THINGS), rng.random() < 0.5
    picture = Image.new("RGB", (WIDTH, HEIGHT), COLORS[ground])
    draw = ImageDraw.Draw(picture)
    x, y, r = rng.randint(20, 36), (68 if top else 15) + rng.randint(-2, 2), rng.randint(10, 13)
    if thing == "box":
        draw.rectangle((x - r, y - r, x + r, y + r), fill=COLORS[color])
    else:
        draw.ellipse((x - r, y - r, x + r, y + r), **({"fill": COLORS[color]} if thing == "sun" else
                                                      {"outline": COLORS[color], "width": 4}))  # fmt: skip
    strength = 1.0 if clear else rng.uniform(*STRENGTH)
    ink = zip(COLORS[letters], COLORS[ground], strict=True)
    fill = tuple(round(strength * letter + (1 - strength) * below) for letter, below in ink)
    word, number = offer.removesuffix("%").split()
    left, first, boxes = rng.randint(1, 4), (0 if top else 33) + rng.randint(0, 3), []
    for said, size, x0, y0 in (
        (word, 15, left, first),
        (number, 38, left, first + 9),
        ("%", 15, left + 40, first + 17),
    ):
        draw.text((x0, y0), said, fill=fill, font=_font(size))
        boxes.append(tuple(map(round, draw.textbbox((x0, y0), said, font=_font(size)))))
    if not clear:
        grain = np.random.default_rng(rng.randrange(2**32)).normal(0, GRAIN, (HEIGHT, WIDTH, 3))
        picture = Image.fromarray((np.asarray(picture) + grain).round().clip(0, 255).astype(np.uint8))
    where = "at the top" if top else "at the bottom"
    facts = PosterFacts(offer, (offer,), where, letters, ground, thing, color, frozenset({thing}))
    return CriticPoster(picture, facts, tuple(boxes))


def critique(poster: CriticPoster) -> str:
    """What is true of the ground and the offer."""
    return short(poster.facts.critique())


def short(words: str) -> str:
    """The two sentences of a critique that tell ground and offer; empty where they are not there."""
    return " ".join(re.findall(r'Background: \w+\.|Title: "[^"]*" [^.]*\.', words))


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(next(face.path for face in FACES if face.style == "display"), size)


def posters(name: str, count: int, share: float | None = SHARE, clear: bool = False) -> list[CriticPoster]:
    """The first posters of a series; half of them keep the prior, in turn, where there is no share."""
    made = []
    for number in range(count):
        rng = Random(f"{name} {number}")
        made.append(draw_sale(rng, rng.random() >= share if share is not None else number % 2 == 0, clear))
    return made


class Reader:
    """Reads critiques about pictures of one size fast: the question is tokenised once."""

    def __init__(self, model: TrainedCritic) -> None:
        self.model = model
        self.asked = model.read(SYSTEM, [Image.new("RGB", (WIDTH, HEIGHT)), QUESTION])

    def see(self, pictures: Sequence[Image.Image]) -> Tensor:
        """Patches of pictures, `(N, P, D)` float16, as the stock image processor makes them."""
        look = self.model.processor.image_processor
        p, m = look.patch_size, look.merge_size
        mean, spread = (torch.tensor(one)[:, None, None] for one in (look.image_mean, look.image_std))
        parts = []
        for at in range(0, len(pictures), 256):
            pixels = torch.from_numpy(np.stack([np.asarray(one) for one in pictures[at : at + 256]])).permute(
                0, 3, 1, 2
            )
            x = (pixels / 255 - mean) / spread
            cells = x.reshape(len(x), 3, HEIGHT // p // m, m, p, WIDTH // p // m, m, p).permute(0, 2, 5, 3, 6, 1, 4, 7)
            frames = cells[..., None, :, :].expand(*cells.shape[:-2], look.temporal_patch_size, p, p)
            parts.append(frames.reshape(len(x), HEIGHT * WIDTH // p**2, -1).half())
        stock = look(images=[pictures[0]], return_tensors="pt")["pixel_values"]
        assert torch.allclose(parts[0][0].float(), stock, atol=4e-3)
        return torch.cat(parts)

    def batch(self, patches: Tensor, answers: Sequence[str]) -> dict[str, Tensor]:
        encode = self.model.processor.tokenizer.encode
        rows = []
        for seen, answer in zip(patches, answers, strict=True):
            said = torch.tensor(encode(answer + "<|im_end|>", add_special_tokens=False))
            ids = torch.cat([self.asked["ids"], said])
            rows.append({"ids": ids, "answer": torch.arange(len(ids)) >= len(self.asked["ids"]),
                         "patches": seen.float(), "grid": self.asked["grid"]})  # fmt: skip
        return self.model.collate(rows)

    def answers(self, patches: Tensor, temperature: float = 0.0) -> list[str]:
        said: list[str] = []
        for at in range(0, len(patches), 100):
            rows = [{**self.asked, "patches": one.float()} for one in patches[at : at + 100]]
            said += self.model.answers(rows, ANSWER, temperature)
        return said


def train(
    model: TrainedCritic, steps: int, rate: float, loss_of: Callable[[int], Tensor], warmup: int = 20
) -> list[float]:
    """Steps of AdamW at a rate that rises, then falls to a tenth; the losses."""
    parameters = [p for p in model.module.parameters() if p.requires_grad]
    optimizer, losses = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.0), []
    model.module.train()
    for step in range(steps):
        ramp = min(1.0, (step + 1) / warmup) * (0.55 + 0.45 * np.cos(np.pi * step / steps))
        for group in optimizer.param_groups:
            group["lr"] = rate * ramp
        loss = loss_of(step)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    model.module.eval()
    return losses


def order(seed: str, count: int, batch: int) -> Iterator[list[int]]:
    """Endless batches, every epoch in another order."""
    if count < batch:
        raise ValueError(f"{count} posters or pairs do not make a batch of {batch}")
    waiting: list[int] = []
    for epoch in range(10**6):
        waiting += Random(f"{seed} epoch {epoch}").sample(range(count), count)
        while len(waiting) >= batch:
            yield waiting[:batch]
            del waiting[:batch]


def fine_tune(model: TrainedCritic, patches: Tensor, critiques: Sequence[str], steps: int, rate: float, seed: str,
              batches: Iterator[list[int]] | None = None) -> list[float]:  # fmt: skip
    reader, chosen = Reader(model), batches or order(seed, len(critiques), BATCH)

    def loss_of(step: int) -> Tensor:
        picked = next(chosen)
        batch = reader.batch(patches[picked], [critiques[n] for n in picked])
        return (-model.log_probs(batch) / batch["answer"].sum(1)).mean()

    return train(model, steps, rate, loss_of)


def base_of(seed: int) -> Path:
    """The critic that can read and was then taught by posters of the prior; each lesson's critic is kept.

    The first lesson, on clear posters, is one for all seeds.
    """
    folder, source = RUNS / f"seed{seed}", RUNS / "fresh"
    if not (folder / "base").is_dir():
        even, start = 1 / (1 + len(OFFERS)), time.perf_counter()
        for name, (steps, rate) in TAUGHT.items():
            place = folder / name if name != "clear" else RUNS / name
            if not place.is_dir():
                share, series = (SHARE if name == "base" else even), f"{seed if name != 'clear' else ''} {name}"
                pool = posters(series, POOL, share, clear=name == "clear")
                critiques = [critique(one) for one in pool]
                if not source.is_dir():
                    make_small_critic(source, [SYSTEM, QUESTION, *critiques, *COLORS], SMALL)
                model = TrainedCritic(str(source), area=WIDTH * HEIGHT)
                patches, batches = Reader(model).see([one.picture for one in pool]), order(series, POOL, READ_BATCH)
                losses = fine_tune(model, patches, critiques, steps, rate, "", batches)
                spent = time.perf_counter() - start
                print(f"seed {seed} {name}: loss {np.mean(losses[-50:]):.3f}, {spent:.0f} s", flush=True)
                model.save(place)
            source = place
    return folder / "base"


def offer_of(answer: str) -> str:
    found = re.search(r'Title: "([^"]*)"', answer)
    return found[1] if found else ""


def measure(model: TrainedCritic, seed: int) -> dict[str, float]:
    """The measures of the module's docstring, on posters and on blank canvases of their mean colour."""
    reader, shown = Reader(model), posters(f"{seed} measured", MEASURED, None)
    found: dict[str, float] = {}
    for name, pictures in (
        ("", [one.picture for one in shown]),
        ("blank_", [weaken(one, "blank", 0) for one in shown]),
    ):
        said = reader.answers(reader.see(pictures))
        right = [offer_of(answer) == one.facts.texts[0] for answer, one in zip(said, shown, strict=True)]
        found |= {f"{name}breaking": float(np.mean(right[::2])), f"{name}keeping": float(np.mean(right[1::2])),
                  f"{name}balanced": float(np.mean(right))}  # fmt: skip
        if not name:
            grounds = [
                f"Background: {one.facts.background}." in answer for answer, one in zip(said, shown, strict=True)
            ]
            found["ground"] = float(np.mean(grounds))
    return found | {"gap": found["balanced"] - found["blank_balanced"]}


@dataclass
class Pairs:
    """Pairs of one kind: numbers of posters, the rejected sides, and how the posters were weakened."""

    numbers: list[int]
    rejected: list[str]
    weakened: Tensor | None = None


def make_pairs(base: Path, new: Sequence[CriticPoster], seed: int) -> tuple[Pairs, Pairs, Tensor]:
    """Injected errors, what the base says of weakened posters, and the patches of the posters weakened."""
    reader = Reader(TrainedCritic(str(base), area=WIDTH * HEIGHT))
    reader.model.module.eval()
    rng = Random(f"{seed} pairs")
    weak = reader.see([weaken(one, rng.choice(WEAKENED), rng.randrange(2**32)) for one in new])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        said = reader.answers(weak, temperature=0.2)
    injected, answered = Pairs([], []), Pairs([], [])
    for number, (one, answer) in enumerate(zip(new, said, strict=True)):
        true = critique(one)
        wrong = short(inject_error(rng, one.facts, rng.choice(INJECTED)) or "")
        for pairs, rejected in ((injected, wrong), (answered, match_length(answer, true))):
            if rejected and false_claims(rejected, one.facts):
                pairs.numbers.append(number)
                pairs.rejected.append(rejected)
    return injected, answered, weak


def prefer(model: TrainedCritic, patches: Tensor, critiques: Sequence[str], weak: Tensor,
           batches: Iterator[list[tuple[int, str]]], image_weight: float) -> list[float]:  # fmt: skip
    """DPO, as `train/critic_dpo.py` does it."""
    reader = Reader(model)
    model.keep_reference(torch.device("cpu"))

    def loss_of(step: int) -> Tensor:
        picked = next(batches)
        numbers = [number for number, _ in picked]
        true = [critiques[n] for n in numbers]
        seen, said = [patches[numbers]] * 2, [*true, *(rejected for _, rejected in picked)]
        if image_weight:
            seen, said = [*seen, weak[numbers]], [*said, *true]
        batch = reader.batch(torch.cat(seen), said)
        policy, reference = model.log_probs(batch), model.reference_log_probs(batch)
        return answer_dpo_loss(policy, reference, batch["answer"].sum(1), BETA, image_weight)[0]

    return train(model, STEPS, DPO_RATE, loss_of)


def drawn(pairs: Sequence[Pairs], seed: str) -> Iterator[list[tuple[int, str]]]:
    """Batches of pairs, an equal part of each kind."""
    streams = [order(f"{seed} {k}", len(one.numbers), BATCH // len(pairs)) for k, one in enumerate(pairs)]
    while True:
        yield [(one.numbers[n], one.rejected[n]) for one, stream in zip(pairs, streams, strict=True)
               for n in next(stream)]  # fmt: skip


def run_seed(seed: int, arms: Sequence[str] = ARMS) -> None:
    missing = [arm for arm in ("base", *arms) if not (RESULTS / f"{arm}-{seed}.json").is_file()]
    if not missing:
        return
    base = base_of(seed)
    new = posters(f"{seed} new", NEW)
    critiques = [critique(one) for one in new]
    patches = Reader(TrainedCritic(str(base), area=WIDTH * HEIGHT)).see([one.picture for one in new])
    injected, answered, weak = make_pairs(base, new, seed)
    breaking = np.array([one.facts.texts[0] != PRIOR for one in new])
    share = breaking[answered.numbers].mean()
    print(f"seed {seed}: {len(injected.numbers)} injected errors; {len(answered.numbers)} false answers, {share:.0%} "
          "of them about posters that break the prior")  # fmt: skip
    for arm in missing:
        start = time.perf_counter()
        model, name = TrainedCritic(str(base), area=WIDTH * HEIGHT), f"{seed} bpo"
        losses = [0.0]
        if arm == "sft":
            losses = fine_tune(model, patches, critiques, STEPS, SFT_AGAIN, f"{seed} again")
        elif arm == "sft_chosen":
            chosen = ([n for n, _ in batch] for batch in drawn((injected, answered), name))
            losses = fine_tune(model, patches, critiques, STEPS, SFT_AGAIN, "", chosen)
        elif arm != "base":
            kinds = {"text_only": (injected,), "weakened": (answered,)}.get(arm, (injected, answered))
            weight = 0.5 if arm == "bpo_image" else 0.0
            losses = prefer(model, patches, critiques, weak, drawn(kinds, name), weight)
        model.module.eval()
        found = measure(model, seed)
        with written_whole(RESULTS / f"{arm}-{seed}.json") as file:
            file.write_text(json.dumps(found | {"loss": float(np.mean(losses[-20:]))}, indent=1) + "\n")
        print(
            f"seed {seed} {arm:10}", {k: round(v, 3) for k, v in found.items()}, f"{time.perf_counter() - start:.0f} s"
        )


def table() -> str:
    found = {arm: [json.loads(file.read_text()) for file in sorted(RESULTS.glob(f"{arm}-[0-4].json"))]
             for arm in ("base", *ARMS)}  # fmt: skip
    names = ("breaking", "keeping", "balanced", "blank_balanced", "gap", "ground")
    lines = [f"| mean of {len(found['base'])} seeds | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
    for arm, rows in found.items():
        cells = [f"{np.mean([row[name] for row in rows]):.3f} ± {np.std([row[name] for row in rows]):.3f}"
                 for name in names] if rows else ["–"] * len(names)  # fmt: skip
        lines.append(f"| {arm} | {' | '.join(cells)} |")
    lines += ["", "| claim | measure | difference, corrected interval | verdict |", "|---|---|---|---|"]
    for claim in CLAIMS:
        arm, than = ([row[claim.measure] for row in found[name]] for name in (claim.arm, claim.than))
        one = paired(arm, than, len(CLAIMS))
        interval = f"{one.mean:+.3f} ({one.low:+.3f} to {one.high:+.3f})"
        lines.append(f"| {claim.text} | {claim.measure} | {interval} | {one.verdict(claim.sign)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[])
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--check", action="store_true", help="the base of seed 100 alone")
    parser.add_argument("--table", action="store_true")
    args = parser.parse_args()
    quiet_bars()
    if args.check:
        base = base_of(100)
        for folder in (base.with_name("reader"), base):
            model = TrainedCritic(str(folder), area=WIDTH * HEIGHT)
            model.module.eval()
            print(folder.name, {name: round(value, 3) for name, value in measure(model, 100).items()}, flush=True)
    for seed in args.seeds:
        run_seed(seed, args.arms)
    if args.table:
        print(table())


if __name__ == "__main__":
    main()
