"""One batch as a picture: the decoded latents of its samples with their ids, words and region weights."""

from __future__ import annotations

import textwrap
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont, ImageOps
from torch import Tensor

from posterkit.datasets.dataset import INDEX, PosterDataset
from posterkit.datasets.sample_files import Row
from posterkit.pipelines.flux_inputs import feedback_text
from posterkit.training.adapters.autoencoder import tensor_to_images
from posterkit.training.config import RunConfig, sets_of
from posterkit.training.loading.regions import PATCH, region_weights

_TILE = 256  # pixels, the larger side of a picture
_SHOWN = 8  # samples
_GAP = 8
_LINES = 7  # of text under a sample
_FEEDBACK = 8  # lines of its feedback, below them
_COLORS = ((230, 30, 30), (30, 80, 240))  # of major and minor regions


def picture_of_batch(batch: Any, model: Any, config: RunConfig, run_folder: Path) -> Image.Image:
    """A column for each sample: target, weights where the batch has any, references, id, task, first words, feedback.

    A batch holds tensors by name, or is pictures `(B, 3, H, W)` in [-1, 1].
    """
    tile = (_TILE, _TILE)
    columns = [
        [ImageOps.contain(one, tile, Image.Resampling.LANCZOS) for one in column]
        for column in _pictures(batch, model, config)
    ]
    texts = _words(batch, model, config, run_folder, len(columns))
    font = ImageFont.load_default(13)
    width = (_TILE + _GAP) * len(columns) + _GAP
    heights = [max(one.height for one in row if one) + _GAP for row in zip_longest(*columns)]
    height = sum(heights) + 2 * _GAP + 17 * max(len(lines) for lines in texts)
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    for number, (column, lines) in enumerate(zip(columns, texts, strict=True)):
        left, top = _GAP + number * (_TILE + _GAP), _GAP
        for tile, row_height in zip(column, heights, strict=False):
            sheet.paste(tile, (left + (_TILE - tile.width) // 2, top))
            top += row_height
        draw.multiline_text((left, sum(heights) + _GAP), "\n".join(lines), "black", font, spacing=4)
    return sheet


def _pictures(batch: Any, model: Any, config: RunConfig) -> list[list[Image.Image]]:
    if isinstance(batch, Tensor):
        return [[one] for one in tensor_to_images(batch[:_SHOWN])]
    if hasattr(batch, "pictures"):
        return batch.pictures[:_SHOWN]
    names = sorted(name for name in batch if name.startswith("latents"))
    device = next(model.vae.module.parameters()).device
    with torch.no_grad():
        pixels = [[model.vae.decode(one[None].float().to(device)) for one in batch[name][:_SHOWN]] for name in names]
    columns = [[tensor_to_images(one)[0] for one in column] for column in zip(*pixels, strict=True)]
    if "shares" in batch:
        for column, shares in zip(columns, batch["shares"], strict=False):
            column.insert(1, _weighed(column[0], shares.cpu(), config))
    return columns


def _weighed(target: Image.Image, shares: Tensor, config: Any) -> Image.Image:
    """The poster in grey, major regions red and minor ones blue, each token as strong as its share; least weight."""
    rows, columns = target.height // PATCH, target.width // PATCH
    grid = shares.reshape(rows, columns, 3).numpy().repeat(PATCH, 0).repeat(PATCH, 1)
    pixels = np.asarray(target.convert("L").convert("RGB"), dtype=np.float32)
    for share, color in zip((grid[..., 0] + grid[..., 2], grid[..., 1]), _COLORS, strict=True):
        pixels = pixels + 0.6 * share[..., None] * (np.array(color, dtype=np.float32) - pixels)
    picture = Image.fromarray(pixels.round().astype(np.uint8))
    weights = region_weights(shares, getattr(config, "major", 0.6), getattr(config, "minor", 0.2))
    said = f"{weights.min():.2f} to {weights.max():.2f}"
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(max(10, target.height // 18))
    draw.text((3, 2), said, "white", font, stroke_width=2, stroke_fill="black")
    return picture


def _words(batch: Any, model: Any, config: RunConfig, run_folder: Path, count: int) -> list[list[str]]:
    """The lines under each sample: id, task, first words and feedback, as far as the batch or its set has them."""
    ids = list(getattr(batch, "ids", [])) or [f"sample {number + 1}" for number in range(count)]
    tasks = list(getattr(batch, "tasks", [])) or [""] * count
    folders = [folder for _, _, folder in sets_of(config, run_folder) if (folder / INDEX).is_file()]
    rows: dict[str, Row] = {str(row.get("id")): row for folder in folders for row in PosterDataset(folder).rows}
    decoded = _read_ids(batch, model)
    texts = []
    for number in range(count):
        row = rows.get(ids[number], {})
        said = (
            row.get("instruction") or row.get("caption") or row.get("prompt") or (decoded[number] if decoded else "")
        )
        lines = [line for part in (ids[number], tasks[number], str(said)) for line in textwrap.wrap(part, 36)][:_LINES]
        if "content" in row:
            suggested = feedback_text([row["content"], row["style"]])
            lines += textwrap.wrap(f"feedback: {suggested}", 36)[:_FEEDBACK]
        texts.append(lines)
    return texts


def _read_ids(batch: Any, model: Any) -> list[str]:
    """The texts of a batch's token ids, where it has them."""
    parts = getattr(model, "parts", {})
    for key, tokenizer in (("t5", "tokenizer_2"), ("ids", "tokenizer")):
        if not isinstance(batch, Tensor) and key in batch and tokenizer in parts:
            lists = [[token for token in one if token >= 0] for one in batch[key].tolist()]
            said = parts[tokenizer].batch_decode(lists, skip_special_tokens=True)
            return [one.rpartition("user\n")[2].removesuffix("assistant\n").strip() for one in said]
    return []
