"""Bootstrapped negatives (BPO, arXiv 2403.08730): a poster made worse, or a prompt with words that it does not show.

BPO weakens the picture that a model answers about and injects errors into answers; for a reward model the weakened
poster, or the wrong prompt, is the rejected side. `posterkit.training.loading.misspelling` spoils the lettering.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from random import Random

import numpy as np
from PIL import Image, ImageFilter
from transformers.utils.constants import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from posterkit.prompts.quotes import quotes
from posterkit.schema import Box

NOISE_STEPS = (500, 700, 900)  # of 1000
_LEGIBLE = 3  # pixels: height of the tallest line of a poster whose text is illegible
_MONTHS = re.compile(r"(?i)\b(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)|\d[./-]\d")
_MONEY = re.compile(r"[$€£¥₹%]|\b(?:usd|eur|gbp)\b", re.IGNORECASE)


def noise_strength(step: int) -> tuple[float, float]:
    """The weights of the picture and of noise in BPO's weakened picture at one of its 1000 steps: 0.365, 0.931 at 900.

    Raises:
        ValueError: there is no such step.
    """
    if not 0 <= step < 1000:
        raise ValueError(f"a step lies in 0..999, got {step}")
    betas = 1 / (1 + np.exp(-np.linspace(-6, 6, 1000))) * (0.5e-2 - 1e-5) + 1e-5
    kept = float(np.prod(1 - betas[: step + 1]))
    return kept**0.5, (1 - kept) ** 0.5


def noised(poster: np.ndarray, step: int, seed: int) -> np.ndarray:
    """A poster `(H, W, 3)` uint8 with diffusion noise, added as BPO does to pixels in CLIP's scaling."""
    kept, noise = noise_strength(step)
    mean, spread = (np.array(one) * 255 for one in (OPENAI_CLIP_MEAN, OPENAI_CLIP_STD))
    drawn = np.random.default_rng(seed).standard_normal(poster.shape)
    made = (kept * (poster - mean) / spread + noise * drawn) * spread + mean
    return made.round().clip(0, 255).astype(np.uint8)


def illegible(poster: np.ndarray, lines: Sequence[Box]) -> tuple[np.ndarray, tuple[int, int]]:
    """A poster reduced until its tallest line has 3 pixels and enlarged again; and the width and height between.

    Args:
        lines: boxes of the lines of text, in pixels.
    """
    height, width = poster.shape[:2]
    scale = min(0.5, _LEGIBLE / max(y1 - y0 for _, y0, _, y1 in lines))
    small = max(1, round(width * scale)), max(1, round(height * scale))
    picture = Image.fromarray(poster).resize(small, Image.Resampling.BOX)
    return np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR)), small


def text_blurred(poster: np.ndarray, lines: Sequence[Box]) -> np.ndarray:
    """A poster whose lines of text are blurred by half their height."""
    made = Image.fromarray(poster)
    for x0, y0, x1, y1 in lines:
        radius = max(2.0, (y1 - y0) / 2)
        blurred = made.filter(ImageFilter.GaussianBlur(radius))
        made.paste(blurred.crop((x0, y0, x1, y1)), (x0, y0))
    return np.asarray(made)


def text_masked(poster: np.ndarray, lines: Sequence[Box]) -> np.ndarray:
    """A poster whose lines of text are covered by the colour around them."""
    made = poster.copy()
    for x0, y0, x1, y1 in lines:
        around = poster[max(0, y0 - 2) : y1 + 2, max(0, x0 - 2) : x1 + 2]
        edge = np.concatenate([around[:2].reshape(-1, 3), around[-2:].reshape(-1, 3)])
        made[y0:y1, x0:x1] = np.median(edge, 0).round()
    return made


def blank(poster: np.ndarray) -> np.ndarray:
    """A canvas of the poster's mean colour."""
    return np.broadcast_to(poster.mean((0, 1)).round().astype(np.uint8), poster.shape).copy()


def requote(prompt: str, number: int, text: str) -> str | None:
    """A prompt with another text in place of its quote `number`; None where the text cannot be quoted."""
    quote = quotes(prompt)[number]
    width = 2 if prompt.startswith('\\"', quote.start) else 1
    start, end = quote.start + width, quote.end - width
    changed = prompt[:start] + text + prompt[end:]
    found = [one.text for one in quotes(changed)]
    return changed if number < len(found) and found[number] == text else None


def letters_of(texts: Sequence[str]) -> dict[str, list[str]]:
    """The letters and digits of texts by their Unicode category, within which they may replace one another."""
    found: dict[str, set[str]] = {}
    for letter in {letter for text in texts for letter in text if letter.isalnum()}:
        found.setdefault(unicodedata.category(letter), set()).add(letter)
    return {kind: sorted(letters) for kind, letters in found.items()}


def text_error(rng: Random, text: str, letters: dict[str, list[str]]) -> tuple[str, str] | None:
    """A text with one character changed into another of its kind, and what was changed: price, date, digit, character.

    Args:
        letters: replacements, see `letters_of`; of the set's texts, so that no rare letter gives the error away.

    Returns:
        None where no character of the text can be changed.
    """
    digits = [place for place, letter in enumerate(text) if letter.isdigit()]
    places = digits or [place for place, letter in enumerate(text) if letter.isalnum()]
    rng.shuffle(places)
    for place in places:
        others = [one for one in letters.get(unicodedata.category(text[place]), ()) if one != text[place]]
        if others:
            wrong = text[:place] + rng.choice(others) + text[place + 1 :]
            price, date = (bool(pattern.search(text)) for pattern in (_MONEY, _MONTHS))
            return wrong, ("price" if price else "date" if date else "digit") if digits else "character"
    return None
