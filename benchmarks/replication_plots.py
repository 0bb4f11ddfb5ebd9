"""The pictures of docs/replication.md: every claim's paired differences, LoPT's curves, what each stage draws."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from posterkit.image_io import read_image

matplotlib.use("Agg")
from matplotlib import pyplot as plt

COLORS = {"agrees": "#1a7f4b", "disagrees": "#c0392b", "cannot tell": "#7f8c8d"}
WINDOW = 5  # epochs that a curve of rewards is smoothed over
UNITS = (
    (("letters", "ocr", "kept"), "share of letters read"),
    (("local", "global", "background"), "distance from the poster asked for, Lab"),
    (("loss_local", "loss_global", "loss_background", "loss_title"), "held-out velocity error"),
    (("worth",), "worth by the rules for glyph posters"),
    (("unedited", "wrong_task", "candidates"), "share of pairs told apart"),
    (("diversity",), "distance between four posters of one prompt, Lab"),
    (("others@task",), "held-out velocity error on all other posters"),
)


def forest(rows: Sequence[tuple[Any, Any]], path: Path) -> None:
    """A row for each claim: a dot for each seed, the interval of the mean, green to the side that the claim expects.

    Args:
        rows: claims with their findings.
    """
    panels = [(unit, [row for row in rows if row[0].measure in names]) for names, unit in UNITS]
    panels = [(unit, found) for unit, found in panels if found]
    heights = [len(found) + 1.2 for _, found in panels]
    figure, axes = plt.subplots(
        len(panels), 1, figsize=(10, 0.42 * sum(heights) + 0.6), height_ratios=heights, squeeze=False
    )
    for axis, (unit, found) in zip(axes[:, 0], panels, strict=True):
        for place, (claim, finding) in enumerate(found):
            color = COLORS[finding.verdict(claim.sign)]
            y = len(found) - place
            axis.plot([finding.low, finding.high], [y, y], color=color, linewidth=3, solid_capstyle="butt")
            axis.plot(finding.differences, [y] * len(finding.differences), "o", color=color, markersize=4, alpha=0.5)
            axis.plot([finding.mean], [y], "|", color=color, markersize=14, markeredgewidth=2.5)
        axis.axvline(0, color="black", linewidth=0.8)
        several = len({claim.measure for claim, _ in found}) > 1
        names = [
            f"{claim.text}{f' ({claim.measure})' * several}  {'→' if claim.sign > 0 else '←'}" for claim, _ in found
        ]
        axis.set_yticks(range(len(found), 0, -1), names, fontsize=8)
        axis.set_ylim(0.3, len(found) + 0.7)
        axis.set_xlabel(f"paired difference: {unit}", fontsize=8)
        axis.tick_params(axis="x", labelsize=8)
        for side in ("top", "right", "left"):
            axis.spines[side].set_visible(False)
        axis.tick_params(axis="y", length=0)
    handles = [plt.Line2D([], [], color=color, linewidth=3, label=verdict) for verdict, color in COLORS.items()]
    figure.legend(handles=handles, ncols=3, loc="upper right", frameon=False, fontsize=8)
    figure.tight_layout(rect=(0, 0, 1, 0.97))
    figure.savefig(path, dpi=110)
    plt.close(figure)


def retention(curves: dict[str, list[list[tuple[float, float]]]], path: Path) -> None:
    """Task loss against the loss on all other posters while a model is tuned on a narrow set; the slow ones enlarged.

    Args:
        curves: for each strategy its runs, a list of (task loss, other loss) each.
    """
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.2))
    colors = dict(zip(curves, ("#c0392b", "#7f8c8d", "#1a5fb4", "#1a7f4b", "#62a0ea", "#57b880"), strict=False))
    slow = [name for name in curves if name.endswith("_slow") or not name.startswith("lopt")]
    shown = ([name for name in curves if not name.endswith("_slow")], "one learning rate"), (slow, "a slow first half")
    for axis, (names, title) in zip(axes, shown, strict=True):
        for name in names:
            for run in curves[name]:
                axis.plot(*zip(*run, strict=True), color=colors[name], linewidth=0.6, alpha=0.35)
            middle = [tuple(map(mean, zip(*points, strict=True))) for points in zip(*curves[name], strict=True)]
            label = name.removesuffix("_slow").replace("_", " ").replace("lopt", "LoPT,")
            axis.plot(*zip(*middle, strict=True), "o-", color=colors[name], label=label, markersize=4)
        axis.invert_xaxis()
        axis.set_title(f"LoPT with {title}", fontsize=9)
        axis.set_xlabel("held-out loss on the brand's posters (the task)", fontsize=9)
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(frameon=False, fontsize=8)
    axes[0].set_ylabel("held-out loss on all other posters", fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def stages(sheets: dict[str, Path], path: Path, columns: int, tile: tuple[int, int], pick: Sequence[int]) -> None:
    """What each arm of seed 0 drew, a row each, under what was asked for.

    Args:
        sheets: arm -> its sheet, of `columns` tiles a row; each tile is (reference,) asked, made.
        tile: width and height of one of these.
        pick: numbers of the posters to show.
    """
    width, height = tile
    rows: list[tuple[str, np.ndarray]] = []
    for name, sheet in sheets.items():
        picture = np.asarray(read_image(sheet))
        layers = 2 if width < 100 else 3
        cut = [
            [
                picture[(number // columns * layers + layer) * height :, number % columns * width :][:height, :width]
                for number in pick
            ]
            for layer in range(layers)
        ]
        if not rows:
            rows += [(label, np.concatenate(row, 1)) for label, row in zip(
                ("asked for",) if layers == 2 else ("reference", "asked for"), cut, strict=False)]  # fmt: skip
        name = name.removeprefix("bases/")
        rows.append(("base" if name.startswith("poster") else name.replace("_", " "), np.concatenate(cut[-1], 1)))
    labelled(rows, path)


def refined(sheet: Path, path: Path) -> None:
    """The first row of a sheet of `measure_refined`: asked for, draft, redraw."""
    picture = np.asarray(read_image(sheet))
    names = ("asked for", "draft", "redraw")
    labelled([(name, picture[n * 100 :][:100]) for n, name in enumerate(names)], path)


def labelled(rows: Sequence[tuple[str, np.ndarray]], path: Path) -> None:
    """Rows of pictures of one size under one another, what each is on its left."""
    height = rows[0][1].shape[0] + 6
    made = Image.new("RGB", (150 + rows[0][1].shape[1], height * len(rows)), "white")
    font, draw = ImageFont.load_default(14), ImageDraw.Draw(made)
    for place, (label, row) in enumerate(rows):
        made.paste(Image.fromarray(row), (150, place * height))
        draw.text((8, place * height + height // 2 - 13), label, fill="black", font=font)
    made.save(path, quality=92)


def rewards(above: dict[str, list[list[float]]], own: dict[str, list[list[float]]], path: Path) -> None:
    """What drawn posters were worth, epoch by epoch: mean over seeds, from the lowest to the highest.

    Args:
        above: text to poster; for each objective its runs, how much more than the reference's of the same prompts.
        own: the six tasks; for each reward its runs, by that reward itself, shown as the rise since the first epochs.
    """
    panels = [
        ("text to poster: letters", 64, "share read, above the reference's", above),
        ("the six tasks: each reward by itself", 32, f"since the first {WINDOW} epochs", own),
    ]
    panels = [panel for panel in panels if panel[-1]]
    figure, axes = plt.subplots(1, len(panels), figsize=(5.5 * len(panels), 4), squeeze=False)
    colors = ("#1a7f4b", "#1a5fb4", "#c0392b", "#e5a50a", "#7f8c8d")
    for axis, (title, posters, of, curves) in zip(axes[0], panels, strict=True):
        for (name, runs), color in zip(curves.items(), colors, strict=False):
            smooth = np.array([np.convolve(run, np.ones(WINDOW) / WINDOW, "valid") for run in runs])
            smooth = smooth - smooth[:, :1] if curves is own else smooth
            steps = np.arange(smooth.shape[1]) + WINDOW
            axis.fill_between(steps, smooth.min(0), smooth.max(0), color=color, alpha=0.12, linewidth=0)
            axis.plot(steps, smooth.mean(0), color=color, label=name)
        axis.axhline(0, color="black", linewidth=0.8)
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(frameon=False, fontsize=8, loc="upper left")
        axis.set_title(title, fontsize=9)
        axis.set_xlabel(f"epoch of {posters} posters", fontsize=9)
        axis.set_ylabel(f"{of} (mean of {WINDOW} epochs)", fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
