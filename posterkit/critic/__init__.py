"""Critics: what is wrong with a poster, in words, by rules or by a vision-language model."""

from __future__ import annotations

from pathlib import Path

from posterkit.critic.critic import Critic, Suggestions
from posterkit.llm.open_model import open_vision_language_model, opened_once
from posterkit.llm.principle import Principle

__all__ = ["BLIND", "RULES", "Critic", "Suggestions", "open_critic"]

RULES, BLIND = "rules", "rules-blind"


def open_critic(
    source: str = RULES, *, model: str | None = None, device: str = "cpu", cache: str | Path | None = None,
    principle: Principle | None = None,
) -> Critic:  # fmt: skip
    """A critic by its address; the same one for the same arguments within a process, so that a model is loaded once.

    Args:
        source: "rules" (measures and OCR, no model), "rules-blind" (without OCR: fast, and without texts), the URL of
            an OpenAI-compatible endpoint with a vision-language model, or the folder or hub id of a local one.
        model: the model's name at the endpoint; None takes its first one.
        device: where a local model runs.
        cache: a folder that keeps a model's answers and the texts that the rules read.
        principle: what a local model's answers are steered by.

    Raises:
        AnswerError: a local model cannot be loaded, or an endpoint does not answer.
        ValueError: there is no such critic, the URL is not one, the model takes no images, or there is a principle
            and the critic is no local model.
    """
    return _open(source.strip(), model, device, None if cache is None else str(cache), principle)


@opened_once()
def _open(source: str, model: str | None, device: str, cache: str | None, principle: Principle | None) -> Critic:
    if source in (RULES, BLIND):
        if principle is not None:
            raise ValueError(f"the critic {source} is no language model; a principle steers a local one")
        from posterkit.critic.rules import RulesCritic

        return RulesCritic(read_text=source == RULES, cache=cache)
    from posterkit.critic.model import ModelCritic
    from posterkit.llm.answer_cache import CachedClient

    opened = open_vision_language_model(source, model, device, principle=principle)
    return ModelCritic(CachedClient(opened, cache) if cache else opened)
