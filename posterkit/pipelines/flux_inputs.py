"""What FLUX.1's transformer takes beside the noise: position ids, feedback, the condition; and what a call may ask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from posterkit.pipelines.regional_prompts import RegionTexts


def position_ids(rows: int, columns: int, image: int = 0) -> torch.Tensor:
    """Position ids `(rows * columns, 3)`, float32: which image (0 the target, 1 the draft), row, column."""
    row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    return torch.stack([torch.full_like(row, image), row, column], dim=-1).flatten(0, 1).float()


def feedback_text(suggestions: Sequence[str]) -> str:
    """What T5 reads of one poster's feedback: its suggestions, in order, one space apart.

    Raises:
        ValueError: nothing is suggested.
    """
    if isinstance(suggestions, str) or not all(isinstance(line, str) for line in suggestions):
        raise ValueError(f"feedback is one list of strings per prompt, got {suggestions!r}")
    text = " ".join(line.strip() for line in suggestions if line.strip())
    if not text:
        raise ValueError(f"feedback {list(suggestions)!r} suggests nothing; leave it out or write what to change")
    return text


@dataclass
class Condition:
    """What the transformer is told beside the noise tokens."""

    prompt_embeds: torch.Tensor  # `(B, L, D)`, with feedback `(B, 2 L, D)`
    pooled: torch.Tensor  # `(B, P)`
    text_ids: torch.Tensor  # `(L, 3)`, zeros
    image_ids: torch.Tensor  # `(S, 3)`, with a draft `(2 S, 3)`
    guidance: torch.Tensor | None = None  # `(1,)` for guidance-distilled transformers, else None
    draft: torch.Tensor | None = None  # `(B, S, 4 C)` or None
    regions: RegionTexts | None = None  # with prompts of their own

    def at(self, timestep: torch.Tensor) -> Condition:
        """The same at a timestep in [0, 1000]: without the regions once they no longer count."""
        gone = self.regions is not None and not self.regions.count_at(timestep)
        return replace(self, regions=None) if gone else self

    def joined(self, other: Condition) -> Condition:
        """Both as one batch, self first."""
        return replace(
            self,
            prompt_embeds=torch.cat([self.prompt_embeds, other.prompt_embeds]),
            pooled=torch.cat([self.pooled, other.pooled]),
            draft=None if self.draft is None or other.draft is None else torch.cat([self.draft, other.draft]),
        )


def one_each(texts: str | list[str] | None, batch: int) -> list[str] | None:
    """One text for every prompt."""
    return [texts] * batch if isinstance(texts, str) else texts


def check_texts(name: str, texts: object) -> None:
    """Raise a ValueError for anything but a text, a list of texts, or None."""
    for text in texts if isinstance(texts, list) else [texts]:
        if text is not None and not isinstance(text, str):
            raise ValueError(f"{name} must be a string or a list of strings, got {type(text).__name__}")


def count_prompts(prompt, prompt_2, embeds, pooled, prefix: str = "") -> int:
    """How many prompts there are.

    Raises:
        ValueError: they are missing, given twice, of a wrong type, or differ in number.
    """
    names = f"{prefix}prompt", f"{prefix}prompt_2", f"{prefix}prompt_embeds"
    if embeds is not None:
        if prompt is not None or prompt_2 is not None:
            raise ValueError(f"give {names[0]} or {names[2]}, not both")
        if pooled is None:
            raise ValueError(f"{names[2]} needs its pooled vector from the same encode_prompt call")
        if len(pooled) != len(embeds):
            raise ValueError(f"{names[2]} holds {len(embeds)} prompts, its pooled vector {len(pooled)}")
        return len(embeds)
    if prompt is None:
        raise ValueError(f"give {names[0]} or {names[2]}")
    for name, texts in zip(names, (prompt, prompt_2), strict=False):
        check_texts(name, texts)
    batch = 1 if isinstance(prompt, str) else len(prompt)
    if batch == 0:
        raise ValueError(f"{names[0]} is an empty list")
    if prompt_2 is not None and (1 if isinstance(prompt_2, str) else len(prompt_2)) != batch:
        raise ValueError(f"{names[1]} must hold as many texts as {names[0]}: {batch}")
    return batch
