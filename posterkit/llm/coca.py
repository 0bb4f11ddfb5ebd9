"""Constitutional calibration (CoCA, arXiv 2409.11365): a principle's effect on the next token, amplified.

    processor = CoCAProcessor(model, without, alpha=4.0)
    model.generate(**with_principle, logits_processor=[processor])

The model reads the question twice, with the principle (`generate` does that) and without it (the processor does). Of
the two branches' logits, lp and l, the next token comes from

    lp + alpha * (lp - l)

and goes into both. alpha 0 is plain decoding with the principle, -1 without it. Classifier-free guidance of scale
1 + alpha is the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessor

from posterkit.llm.principle import DEFAULT_ALPHA


class CoCAProcessor(LogitsProcessor):
    """Steers one call of `generate`; a new call takes a new one.

    Args:
        model: the one that generates; its second branch runs here, with a cache of its own.
        without: inputs without the principle, as the processor or tokenizer gives them: `input_ids` and
            `attention_mask` `(B, L)`, padded on the left, and pictures where the question has any.
        alpha: how far the effect is amplified, at least -1.
        plausibility: in (0, 1], tokens less likely with the principle than this share of the likeliest one are ruled
            out; None rules none out, as published.
        first_n: only so many tokens are steered; those after it cost one pass each. None for all.

    Raises:
        ValueError: alpha or plausibility is out of its range.
    """

    def __init__(
        self, model: Any, without: Mapping[str, Tensor], alpha: float = DEFAULT_ALPHA,
        plausibility: float | None = None, first_n: int | None = None,
    ) -> None:  # fmt: skip
        if not (math.isfinite(alpha) and alpha >= -1):
            raise ValueError(f"alpha must be a number of at least -1, got {alpha}")
        if plausibility is not None and not 0 < plausibility <= 1:
            raise ValueError(f"plausibility must lie in (0, 1], got {plausibility}")
        self._model, self._inputs = model, dict(without)
        self.alpha, self.plausibility, self.first_n = alpha, plausibility, first_n
        self._done = 0
        self._length = -1  # of `input_ids` at the last call
        self._cache: Any = None

    @torch.no_grad()
    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The calibrated scores `(B, V)` of the branch with the principle.

        Args:
            input_ids: what that branch has read and said, `(B, L)`.
            scores: its logits, `(B, V)`.

        Raises:
            ValueError: it is a beam search, or the processor steered another call before.
        """
        if self.first_n is not None and self._done >= self.first_n:
            return scores
        if self.alpha == 0:
            return self._plausible(scores, scores)
        rows = self._inputs["input_ids"].shape[0]
        if input_ids.shape[0] != rows:
            raise ValueError(
                f"{input_ids.shape[0]} rows for {rows} questions: beams are not steered, nor several answers"
            )
        if self._done and input_ids.shape[1] != self._length + 1:
            raise ValueError("a CoCAProcessor steers one call of generate; make a new one for the next")
        self._length = input_ids.shape[1]
        bare = (self._begin() if self._cache is None else self._go_on(input_ids[:, -1:])).to(scores)
        self._done += 1
        steered = scores + self.alpha * (scores - bare)
        # what another processor has ruled out stays so
        return self._plausible(steered.masked_fill(scores.isneginf(), -torch.inf), scores)

    def _plausible(self, steered: Tensor, scores: Tensor) -> Tensor:
        if self.plausibility is None:
            return steered
        least = scores.amax(-1, keepdim=True) + math.log(self.plausibility)
        return steered.masked_fill(scores < least, -torch.inf)

    def _begin(self) -> Tensor:
        """The bare branch reads its question, pictures included."""
        inputs = self._inputs
        self._mask = inputs.setdefault("attention_mask", torch.ones_like(inputs["input_ids"]))
        inner = getattr(self._model, "model", None)
        kept = getattr(inner, "rope_deltas", None)  # of the other branch, which a model with pictures keeps in itself
        try:
            # positions as `generate` counts them: from the first token that is no padding, pictures by their grids
            self._positions = self._model._prepare_position_ids_for_generation(inputs["input_ids"], dict(inputs))
            read = self._model(**inputs, position_ids=self._positions, use_cache=True)
        finally:
            if kept is not None and inner is not None:
                inner.rope_deltas = kept
        self._cache = read.past_key_values
        return read.logits[:, -1]

    def _go_on(self, tokens: Tensor) -> Tensor:
        """The bare branch reads the token that was chosen."""
        self._mask = torch.cat([self._mask, torch.ones_like(tokens)], 1)
        self._positions = self._positions[..., -1:] + 1
        read = self._model(
            input_ids=tokens, attention_mask=self._mask, past_key_values=self._cache, use_cache=True,
            position_ids=self._positions,
        )  # fmt: skip
        self._cache = read.past_key_values
        return read.logits[:, -1]
