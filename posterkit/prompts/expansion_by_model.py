"""Prompt expansion ("recap") by a language model (PosterCraft's inference recipe)."""

from __future__ import annotations

from dataclasses import replace

from posterkit.llm.client import AnswerError, LanguageModel
from posterkit.llm.opening import open_language_model
from posterkit.prompts import Expander, Expansion, PosterBrief, expand, in_quotes

INSTRUCTION = """\
You write prompts for a model that draws posters. Rewrite the user's prompt as one richer prompt in the same language.
- Keep every detail of the prompt; never contradict it.
- Describe subject, style, colours, light and composition more precisely, and where each text stands.
- Copy every text of the list below letter for letter, each exactly once, in straight double quotes.
- Quote nothing else, and add no other text to the poster. If the list is empty, the poster has no text.
- Less than 300 words. Answer with the prompt alone: no heading, no comment, no alternatives."""


def asking(chat: LanguageModel) -> Expander:
    """An expander that asks a language model."""

    def expander(brief: PosterBrief) -> str:
        texts = "\n".join(f"- {in_quotes(text)}" for text in brief.texts) or "(none)"
        return chat.ask(INSTRUCTION, f"Prompt: {brief.prompt}\n\nTexts:\n{texts}")

    return expander


def expand_prompt(
    prompt: str | PosterBrief, how: str = "rules", model: str | None = None, device: str = "cpu"
) -> Expansion:
    """Expand a prompt, or keep it and say why (a warning, and in the result).

    Args:
        prompt: a prompt, or the brief read from it.
        how: "rules", an endpoint's URL, or a local model's folder or hub id. A local model is freed afterwards.

    Raises:
        ValueError: `how` cannot be an expander at all (a URL that is none, a key that cannot be sent).
    """
    if how == "rules":
        return expand(prompt)
    try:
        chat = open_language_model(how, model, device)
    except AnswerError as fault:
        reason = str(fault)

        def failing(_: PosterBrief) -> str:
            raise AnswerError(reason)

        return expand(prompt, failing, how)
    # an endpoint knows its model's name only once it has been asked
    return replace(expand(prompt, asking(chat), chat.name), by=chat.name)
