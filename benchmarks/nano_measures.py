"""What a nano model does, measured on held-out glyph posters: letters that can be read, colours that are right."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch
from glyph_posters import GlyphPosters
from mini_report import draw
from numpy.typing import NDArray
from PIL import Image

from posterkit.metrics.color import srgb_to_lab
from posterkit.metrics.expected_texts import request_from_sample
from posterkit.metrics.fidelity import diversity
from posterkit.metrics.glyphs import glyph_accuracy, read_glyphs
from posterkit.metrics.ocr import TextReader, text_accuracy
from posterkit.rewards import open_reward
from posterkit.schema import PosterSample
from posterkit.tasks import TASKS
from posterkit.training.loading.regions import region_shares
from posterkit.training.losses import add_noise
from posterkit.training.losses.flow import velocity_error
from posterkit.training.stages import open_start

Picture = NDArray[np.uint8]
POSTERS, OF_TASK, READ, LOSSES = 96, 32, 32, 64  # held-out posters: of text, of each task, read by OCR, of a loss
REWARDED, REREAD, WISHES = 288, 64, 24  # of a rewarded model: posters, those read by OCR, wishes drawn four times
RULES = "configs/rewards/glyphs.yaml"
TIMES = (0.15, 0.35, 0.55, 0.75, 0.95)


def measure_postercraft(folder: str, seed: int, sheet: Path | None = None) -> dict[str, float]:
    """Text to poster.

    Returns:
        letters: share of the titles' letters that template matching reads at their place.
        ocr: similarity of what an OCR model reads and the title, both in [0, 1].
        background: mean distance in Lab from the poster that was asked for, outside its texts.
        loss_title, loss_background: held-out velocity error of tokens with and without large letters.
    """
    model = open_start(folder, "postercraft")
    samples = [GlyphPosters(seed, split="heldout")[number] for number in range(POSTERS)]
    pictures = draw(
        pipeline_of(model), "text", samples, [[]] * len(samples), {"batch": 32, "seed": seed, "steps": None}
    )
    losses = velocity_losses(model, samples[:LOSSES], seed)
    _save(sheet, samples, pictures)
    return {
        "letters": mean(map(letters, samples, pictures)),
        "ocr": title_similarity(samples[:READ], pictures),
        "background": mean(map(background, samples, pictures)),
        "loss_title": float((losses * (shares := _titles(samples[:LOSSES]))).sum() / shares.sum()),
        "loss_background": float((losses * (1 - shares)).sum() / (1 - shares).sum()),
    }


def measure_rewarded(folder: str, seed: int, sheet: Path | None = None) -> dict[str, float]:
    """Text to poster by a model that learnt from what its letters were worth, and by those that it is compared with.

    Returns:
        letters, ocr, background: as above, over more posters; the first is the reward.
        diversity: mean distance in Lab between four posters of one prompt.
    """
    model = open_start(folder, "postercraft")
    samples = [GlyphPosters(seed, split="heldout")[number] for number in range(REWARDED)]
    wishes = [sample for sample in samples[:WISHES] for _ in range(4)]
    pipe, options = pipeline_of(model), {"batch": 32, "seed": seed, "steps": None}
    pictures = draw(pipe, "text", samples, [[]] * len(samples), options)
    again = draw(pipe, "text", wishes, [[]] * len(wishes), options)
    _save(sheet, samples, pictures)
    return {
        "letters": mean(map(letters, samples, pictures)),
        "ocr": title_similarity(samples[:REREAD], pictures),
        "background": mean(map(background, samples, pictures)),
        "diversity": mean(diversity(again[start : start + 4]) for start in range(0, len(again), 4)),
    }


def measure_posteromni(folder: str, seed: int, sheet: Path | None = None, judge: bool = False) -> dict[str, float]:
    """The six tasks.

    Args:
        judge: also say what the posters are worth, and how much those of one wish differ.

    Returns:
        Of each task and as `local` and `global`, the mean over a group's tasks: mean distance in Lab from the poster
        that was asked for, over what the task makes; the same with `loss_`: held-out velocity error of the tokens that
        the task makes; letters: share of the titles' letters that can be read, where the title had to be made from
        words; loss_title: held-out velocity error of the titles of rendered text. Where it is judged, worth: mean in
        [0, 1] by the rules for glyph posters; diversity: mean distance in Lab between four posters of one wish.
    """
    model = open_start(folder, "posteromni")
    pipe, found, read, shown = pipeline_of(model), {}, [], []
    options, worths, differ = {"batch": 32, "seed": seed, "steps": None}, [], []
    reward = open_reward(RULES, fast=True)
    for task in TASKS:
        samples = [GlyphPosters(seed, (task,), "heldout")[number] for number in range(OF_TASK)]
        pictures = draw(pipe, task, samples, [list(sample.references) for sample in samples], options)
        if judge:
            rows = [request_from_sample(sample) for sample in samples]
            worths += reward([Image.fromarray(picture) for picture in pictures], rows)
            wishes = [sample for sample in samples[: WISHES // len(TASKS)] for _ in range(4)]
            again = draw(pipe, task, wishes, [list(wish.references) for wish in wishes], options)
            differ += [diversity(again[start : start + 4]) for start in range(0, len(again), 4)]
        pairs = list(zip(samples, pictures, strict=True))
        found[f"loss_{task}"] = made_loss(model, samples, seed)
        found[task] = mean(distance(picture, sample.target, made_of(sample)) for sample, picture in pairs)
        read += [letters(sample, picture) for sample, picture in pairs if '"' in (sample.words or "")]
        shown += pairs[:6]
    for group in ("local", "global"):
        for name in ("", "loss_"):
            found[name + group] = mean(found[name + task.name] for task in TASKS.values() if task.group == group)
    _save(sheet, *zip(*shown, strict=True))
    found["letters"] = mean(read)
    texts = [GlyphPosters(seed, split="heldout", bare=True)[number] for number in range(LOSSES)]
    found["loss_title"] = float(
        (velocity_losses(model, texts, seed) * (shares := _titles(texts))).sum() / shares.sum()
    )
    if judge:
        found |= {"worth": mean(worth.value for worth in worths), "diversity": mean(differ)}
    return found


def measure_rewarded_posteromni(folder: str, seed: int, sheet: Path | None = None) -> dict[str, float]:
    """The six tasks by a model that learnt from rewards, and by the one that it is compared with."""
    return measure_posteromni(folder, seed, sheet, judge=True)


def measure_pairs(folder: str, seed: int, sheet: Path | None = None) -> dict[str, float]:
    """A reward model: of each kind of held-out pairs the share whose sides it tells apart, as its recipe found it."""
    found = json.loads((Path(folder) / "heldout.json").read_text(encoding="utf-8"))
    return {"all": found["right"], **{kind: one["right"] for kind, one in found["kinds"].items()}}


def measure_retention(folder: str, seed: int) -> dict[str, float]:
    """Held-out velocity error on the narrow set that a model was tuned on (`task`), and on all others (`others`)."""
    model = open_start(folder, "postercraft")
    narrow, others = (GlyphPosters(seed, split="heldout", brand=brand) for brand in (True, False))
    return {
        name: float(velocity_losses(model, [source[number] for number in range(LOSSES)], seed).mean())
        for name, source in (("task", narrow), ("others", others))
    }


@torch.no_grad()
def made_loss(model: Any, samples: list[PosterSample], seed: int) -> float:
    """Squared velocity error over the tokens that the task makes, of posters whose references may differ in shape."""
    rows, error, made = model.precompute(samples), 0.0, 0.0
    for kind in sorted({model.bucket(row) for row in rows}):
        alike = model.collate([row for row in rows if model.bucket(row) == kind])
        error += float((_losses(model, alike, seed) * alike["made"]).sum())
        made += float(alike["made"].sum())
    return error / made


@torch.no_grad()
def velocity_losses(model: Any, samples: list[PosterSample], seed: int) -> torch.Tensor:
    """Squared velocity error of every token, `(B, S)`, mean over five times; the same noise for every model."""
    return _losses(model, model.collate(model.precompute(samples)), seed)


def _losses(model: Any, batch: Any, seed: int) -> torch.Tensor:
    model.module.eval()
    x0, condition = model.encode(batch)
    generator = torch.Generator().manual_seed(seed)
    found = []
    for time in TIMES:
        noise, t = torch.randn(x0.shape, generator=generator), torch.full((len(x0),), time)
        found.append(velocity_error(model.velocity(add_noise(x0, noise, t), t, condition), noise - x0))
    return torch.stack(found).mean(0)


def letters(sample: PosterSample, picture: Picture) -> float:
    """Share of the title's letters that stand at their place on a picture."""
    title = sample.texts[0]
    return glyph_accuracy(read_glyphs(picture, [line.box for line in title.lines]), title.text)


def title_similarity(samples: list[PosterSample], pictures: Sequence[Picture]) -> float:
    """Mean similarity in [0, 1] of the titles and what an OCR model reads on their posters."""
    reader = TextReader(enlarge_to=384)
    found = [[line.text for line in reader(picture)] for picture in pictures[: len(samples)]]
    return mean(text_accuracy([s.texts[0].text], read).similarity for s, read in zip(samples, found, strict=True))


def background(sample: PosterSample, picture: Picture) -> float:
    """Mean distance in Lab from the poster that was asked for, outside its texts."""
    return distance(picture, sample.target, ~texts_of(sample))


def distance(a: Picture, b: Picture, where: NDArray[np.bool_]) -> float:
    """Mean distance in CIE Lab over some pixels."""
    return float(np.linalg.norm(srgb_to_lab(a[where]) - srgb_to_lab(b[where]), axis=-1).mean())


def texts_of(sample: PosterSample) -> NDArray[np.bool_]:
    """`(H, W)`, True inside the boxes of texts."""
    found = np.zeros(sample.target.shape[:2], dtype=bool)
    for x0, y0, x1, y1 in (region.box for region in sample.regions):
        found[y0:y1, x0:x1] = True
    return found


def made_of(sample: PosterSample) -> NDArray[np.bool_]:
    """`(H, W)`, True where the task makes the picture."""
    return np.ones(sample.target.shape[:2], dtype=bool) if sample.mask is None else sample.mask > 127


def _titles(samples: list[PosterSample]) -> torch.Tensor:
    """`(B, S)`: how much of each token a title covers."""
    shares = torch.stack([region_shares(sample) for sample in samples])
    return shares[..., 0] + shares[..., 2]


def pipeline_of(model: Any) -> Any:
    """The pipeline of an adapter, without progress bars."""
    pipe = model.pipeline()
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _save(path: Path | None, samples: Any, pictures: Any) -> None:
    """A sheet: the reference if there is one, what was asked for, and under it what was made."""
    if path is None:
        return
    columns = []
    for sample, picture in list(zip(samples, pictures, strict=True))[:36]:
        tiles = []
        for shown in (*sample.references[:1], sample.target, picture):
            tile = np.full((100, 100, 3), 255, np.uint8)
            tile[: shown.shape[0], : shown.shape[1]] = shown
            tiles.append(tile if sample.references else tile[:, :68])
        columns.append(np.concatenate(tiles))
    rows = [np.concatenate(columns[start : start + 12], 1) for start in range(0, len(columns), 12)]
    rows = [row for row in rows if row.shape == rows[0].shape]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(rows)).save(path)
