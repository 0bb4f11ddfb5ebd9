"""Words a prompt for a model: every text in quotes, or none where they are typeset."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from posterkit.prompts.quotes import in_quotes, quoted_texts, quotes
from posterkit.tasks import TASKS

# words before a quoted text that make no sense once the quote is gone
_LEAD = (
    r"\b(?:titled|entitled|called|saying|says|that says|which says|reading|that reads|which reads"
    r"|(?:with )?(?:the |a )?(?:title|text|words|headline|slogan))\s*:?\s*$"
)
# tasks whose picture is wholly new; in the others text may stand in what is kept
_NEW_PICTURES = frozenset(("text", "id_driven", "layout_driven", "style_driven"))


def words_for(task: str, prompt: str, texts: Sequence[str], draws: bool) -> str:
    """The prompt as the pipeline gets it.

    A model that letters by itself reads the texts in quotes. For one that shall leave them to the typesetter, quoted
    texts and the words that announce them go, and where the picture is wholly new the prompt demands room.
    """
    if draws:
        found = quoted_texts(prompt)
        missing = [in_quotes(text) for text in texts if text not in found]
        if not missing:
            return prompt
        title, *small = [*missing] if not found else ["", *missing]
        clauses = [f"title {title} at the top"] if title else []
        clauses += [f"a small line {' and '.join(small)}"] if small else []
        return ", ".join(part for part in (prompt.strip(" ,."), *clauses) if part) + "."
    left = without_texts(prompt)
    if task not in _NEW_PICTURES or "no text" in left.lower():
        return left
    left = left or ("" if task == "text" else TASKS[task].default)
    room = "no text, empty space at the top" if texts else "no text"
    return ", ".join(part for part in (left.strip(" ,."), room) if part) + "."


def without_texts(prompt: str, texts: Collection[str] | None = None) -> str:
    """The prompt without its quoted strings (all, or only `texts`) and without the words that announce them."""
    for quote in reversed(quotes(prompt)):
        if texts is not None and quote.text not in texts:
            continue
        before = re.sub(_LEAD, "", prompt[: quote.start], flags=re.IGNORECASE)
        prompt = f"{before} {prompt[quote.end :]}"
    prompt = re.sub(r"\s+([,.;:!?])", r"\1", re.sub(r"\s+", " ", prompt))
    return re.sub(r"([,;:])(?:\s*[,;:.])+", r"\1", prompt).strip(" ,;:")
