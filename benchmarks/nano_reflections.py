"""Stage 4 on glyph posters: a critic that knows the prompt alone, reflections of a model's own posters, redrawing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import mean

import numpy as np
import torch
from glyph_posters import GlyphPosters
from mini_report import draw
from nano_measures import REREAD, REWARDED, Picture, background, letters, pipeline_of, title_similarity
from PIL import Image

from posterkit.critic import Suggestions
from posterkit.datagen.engine import Flow, run_flow
from posterkit.documents import read_yaml
from posterkit.metrics.color import border_color, srgb_to_lab
from posterkit.prompts import COLORS
from posterkit.schema import PosterSample
from posterkit.training.loading.drafts import Drafted, encode_drafted
from posterkit.training.stages import open_start

WISHES, OF_EACH = 144, 6  # prompts of a set of reflections; posters of each, as published
OTHER = 18.0  # Lab; a border further away from the ground that was asked for has another colour


def critique(sample: PosterSample, poster: Picture) -> Suggestions:
    """What a poster lacks of its prompt: letters of the title, the background's colour; empty where it lacks nothing.

    It says it in the words of captions, which the nano model's T5 has learnt.
    """
    end = "top" if sample.layout and sample.layout.startswith("top") else "bottom"
    content = f'"{sample.texts[0].text}" at the {end}' if letters(sample, poster) < 1 else ""
    style = f"a {sample.background} {sample.style} background" if _ground_off(sample, poster) > OTHER else ""
    return Suggestions(content, style)


def worth(sample: PosterSample, poster: Picture) -> float:
    """In [0, 1]: letters that can be read, less what the ground is off."""
    return max(0.0, letters(sample, poster) - min(1.0, _ground_off(sample, poster) / 100))


def make_reflections(start: str, seed: int, folder: Path) -> None:
    """Posters of a model, and what would bring the others to the best of each prompt (PosterCraft section 3.4)."""
    wishes = [GlyphPosters(seed + 10)[number] for number in range(WISHES)]
    drawn = draw_each(start, [wish for wish in wishes for _ in range(OF_EACH)], seed)
    found = []
    for number, wish in enumerate(wishes):
        posters = drawn[number * OF_EACH : (number + 1) * OF_EACH]
        worths = [worth(wish, poster) for poster in posters]
        best = int(np.argmax(worths))
        for turn, poster in enumerate(posters):
            said = critique(wish, poster)
            if worths[turn] < worths[best] and (said.content or said.style):
                name = f"{wish.id}-{turn}"
                caption = wish.caption or ""
                found.append(Drafted(name, "train", "glyphs", caption, poster, posters[best], said, ()))
    run_flow(Flow(found, len(found), (), encode_drafted, {"tool": "nano reflections", "start": start}), folder)


def measure_refined(folder: str, seed: int, sheet: Path | None = None) -> dict[str, float]:
    """Drafts of the model that stage 4 began with, redrawn once by what the critic says of them.

    Returns:
        letters, ocr, background: of what comes out; a draft of which the critic says nothing is left as it is.
        kept: share of letters of whichever is worth more, draft or redraw.
        redrawn: share of posters that are.
    """
    samples = held_out(seed)
    drafts = draw_each(begun_with(folder), samples, seed)
    said = [critique(sample, draft) for sample, draft in zip(samples, drafts, strict=True)]
    wrong = [number for number, one in enumerate(said) if one.content or one.style]
    pipe, made = pipeline_of(open_start(folder, "postercraft")), list(drafts)
    for first in range(0, len(wrong), 32):
        rows = wrong[first : first + 32]
        images = pipe(
            prompt=[samples[n].caption for n in rows], draft_image=[Image.fromarray(drafts[n]) for n in rows],
            feedback=[[one for one in (said[n].content, said[n].style) if one] for n in rows],
            generator=[torch.Generator().manual_seed(seed + n) for n in rows],
        ).images  # fmt: skip
        for number, image in zip(rows, images, strict=True):
            made[number] = np.asarray(image)
    if sheet is not None:
        _save(sheet, [[samples[n].target, drafts[n], made[n]] for n in wrong[:36]])
    return {
        "letters": mean(map(letters, samples, made)),
        "ocr": title_similarity(samples[:REREAD], made),
        "background": mean(map(background, samples, made)),
        "kept": mean(map(letters, samples, map(_better, samples, drafts, made))),
        "redrawn": len(wrong) / len(samples),
    }


def measure_best_of_2(folder: str, seed: int, sheet: Path | None = None) -> dict[str, float]:
    """`kept`, as `measure_refined` has it, of two drafts from different noise, which cost as much as a redraw."""
    samples = held_out(seed)
    drafts, others = (draw_each(folder, samples, one) for one in (seed, seed + len(samples)))
    return {"kept": mean(map(letters, samples, map(_better, samples, drafts, others)))}


def held_out(seed: int) -> list[PosterSample]:
    """The posters that a rewarded model is measured on."""
    return [GlyphPosters(seed, split="heldout")[number] for number in range(REWARDED)]


def begun_with(folder: str) -> str:
    """What the stage in a run folder began with."""
    return read_yaml((Path(folder) / "config.yaml").read_text(encoding="utf-8"))["init_from"]


def draw_each(start: str, samples: Sequence[PosterSample], seed: int) -> list[Picture]:
    """A poster for each sample, each from noise of its own."""
    options = {"batch": 32, "seed": seed, "steps": None}
    return draw(pipeline_of(open_start(start, "postercraft")), "text", samples, [[]] * len(samples), options)


def _better(sample: PosterSample, first: Picture, second: Picture) -> Picture:
    return second if worth(sample, second) > worth(sample, first) else first


def _ground_off(sample: PosterSample, poster: Picture) -> float:
    """Lab distance of the border from the ground that was asked for."""
    asked = np.array(COLORS[sample.background or ""], dtype=np.uint8)[None, None]
    return float(np.linalg.norm(border_color(poster) - srgb_to_lab(asked)[0, 0]))


def _save(path: Path, columns: Sequence[Sequence[Picture]]) -> None:
    """Asked for, draft and redraw under one another, twelve posters in a row, each on white."""
    tiles = [np.concatenate([np.pad(p, ((0, 4), (0, 4), (0, 0)), constant_values=255) for p in c]) for c in columns]
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % 12)
    rows = [np.concatenate(tiles[first : first + 12], 1) for first in range(0, len(tiles), 12)]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(rows)).save(path)
