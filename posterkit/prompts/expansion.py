"""Prompt expansion ("recap"), by rules or by a language model; every quoted text stays, letter for letter."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from posterkit.documents import table_lines
from posterkit.llm.client import AnswerError, LanguageModel
from posterkit.llm.open_model import open_language_model
from posterkit.llm.principle import Principle
from posterkit.prompts.brief import PosterBrief
from posterkit.prompts.quotes import in_quotes, quoted_texts

Expander = Callable[[PosterBrief], str]

_ROWS = (row.split(": ") for row in table_lines(Path(__file__).parent / "directions.txt"))
# what a theme suggests where the prompt says nothing: style, mood, background colour, composition
_DIRECTIONS = {theme: said.split(" | ") for theme, said in _ROWS}

# PosterCraft's inference recipe
INSTRUCTION = """\
You write prompts for a model that draws posters. Rewrite the user's prompt as one richer prompt in the same language.
- Keep every detail of the prompt; never contradict it.
- Describe subject, style, colours, light and composition more precisely, and where each text stands.
- Copy every text of the list below letter for letter, each exactly once, in straight double quotes.
- Quote nothing else, and add no other text to the poster. If the list is empty, the poster has no text.
- Less than 300 words. Answer with the prompt alone: no heading, no comment, no alternatives."""


@dataclass(frozen=True)
class Expansion:
    """A prompt after expansion."""

    prompt: str  # for the model that draws
    original: str  # the user's prompt
    by: str  # "rules", or the name of the language model
    used: bool  # whether `prompt` is the expansion; else it is `original`
    why_not: str | None = None  # why the expansion was not used


def expand_by_rules(brief: PosterBrief) -> str:
    """The prompt with what it leaves open: style, mood, background, composition by its theme, texts that it lacks."""
    style, mood, color, composition = _DIRECTIONS.get(brief.theme or "", _DIRECTIONS["else"])
    quoted = quoted_texts(brief.prompt)
    parts = [brief.prompt.strip() or "A poster"]
    said = [
        None if brief.style else f"{style} style",
        None if brief.mood else f"{mood} mood",
        None if brief.colors else f"on a {color} background",
        composition,
    ]
    parts.append(", ".join(word for word in said if word))
    missing = [in_quotes(text) for text in brief.texts if text not in quoted]
    if missing:
        parts.append(f"with the text {', '.join(missing)}")
    first, *others = (part if part.endswith((".", "!", "?", "。", "！", "？")) else f"{part}." for part in parts)
    return " ".join([first, *(sentence[0].upper() + sentence[1:] for sentence in others)])


def expand(prompt: str | PosterBrief, expander: Expander = expand_by_rules, by: str = "rules") -> Expansion:
    """Expand a prompt, or keep it and say why.

    The expansion is used only where it quotes exactly the brief's texts: none changed, dropped, added or repeated.

    Args:
        prompt: a prompt, or the brief read from it.
        expander: from a brief to a longer prompt; a ValueError or OSError from it means that there is none.
        by: the expander's name, for the record.
    """
    brief = PosterBrief.from_prompt(prompt) if isinstance(prompt, str) else prompt
    try:
        expanded = PosterBrief.from_answer(expander(brief), brief)
    except (ValueError, OSError) as fault:
        # an OSError comes from the expander, which names itself
        why = str(fault) if isinstance(fault, OSError) else f"{by}: {fault}"
        warnings.warn(f"the prompt stays as it is: {why}", stacklevel=2)
        return Expansion(brief.prompt, brief.prompt, by, False, why)
    return Expansion(expanded.prompt, brief.prompt, by, True)


def asking(chat: LanguageModel) -> Expander:
    """An expander that asks a language model."""

    def expander(brief: PosterBrief) -> str:
        texts = "\n".join(f"- {in_quotes(text)}" for text in brief.texts) or "(none)"
        return chat.ask(INSTRUCTION, f"Prompt: {brief.prompt}\n\nTexts:\n{texts}")

    return expander


def expand_prompt(
    prompt: str | PosterBrief, how: str = "rules", model: str | None = None, device: str = "cpu",
    principle: Principle | None = None,
) -> Expansion:  # fmt: skip
    """Expand a prompt, or keep it and say why (a warning, and in the result).

    Args:
        prompt: a prompt, or the brief read from it.
        how: "rules", an endpoint's URL, or a local model's folder or hub id. A local model is freed afterwards.
        principle: what a local model's answer is steered by.

    Raises:
        ValueError: `how` cannot be an expander at all (a URL that is none, a key that cannot be sent, no local model
            for a principle).
    """
    if how == "rules" and principle is not None:
        raise ValueError("rules are no language model; a principle steers a local one")
    if how == "rules":
        return expand(prompt)
    try:
        chat = open_language_model(how, model, device, principle)
    except AnswerError as fault:
        reason = str(fault)

        def failing(_: PosterBrief) -> str:
            raise AnswerError(reason)

        return expand(prompt, failing, how)
    # an endpoint knows its model's name only once it has been asked
    return replace(expand(prompt, asking(chat), chat.name), by=chat.name)
