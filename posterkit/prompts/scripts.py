"""Scripts of texts, to compare with those that a model can draw."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable

# first word of a character's Unicode name -> script, where they differ
_SCRIPTS = {
    "cjk": "han", "ideographic": "han", "bopomofo": "han",
    "hiragana": "kana", "katakana": "kana", "halfwidth": "kana",
}  # fmt: skip


def scripts(text: str) -> list[str]:
    """Scripts of the text's letters, in order: latin, greek, cyrillic, han, kana, hangul, arabic, hebrew, thai, ...

    Digits, signs and marks belong to no script.
    """
    found: dict[str, None] = {}
    for letter in unicodedata.normalize("NFKC", text):
        if unicodedata.category(letter)[0] == "L":
            first = unicodedata.name(letter, "unknown").split()[0].split("-")[0].lower()
            if first not in ("modifier", "micro", "feminine", "masculine"):
                found[_SCRIPTS.get(first, first)] = None
    return list(found)


def unsupported_scripts(texts: Iterable[str], supported: Collection[str]) -> dict[str, list[str]]:
    """Texts that a model cannot draw, each with the scripts that it does not know.

    Args:
        texts: what must stand on the poster.
        supported: scripts that the model's card names (`posterkit.pipelines.loading.card_scripts`).

    Returns:
        text -> its unsupported scripts; empty where the model can draw everything. What is in it has to be typeset.
    """
    known = {script.lower() for script in supported}
    missing = {text: [script for script in scripts(text) if script not in known] for text in texts}
    return {text: found for text, found in missing.items() if found}
