"""Briefs: what a poster must say and show; from a prompt, a row or a language model's answer."""

from posterkit.brief.expand import Expander, Expansion, expand, expand_by_rules
from posterkit.brief.poster_brief import PosterBrief
from posterkit.brief.quotes import Quote, in_quotes, quoted_texts, quotes, without_quotes
from posterkit.brief.scripts import scripts, unsupported_scripts
from posterkit.brief.wording import without_texts, words_for
from posterkit.brief.words import COLORS

__all__ = ["COLORS", "Expander", "Expansion", "PosterBrief", "Quote", "expand", "expand_by_rules", "in_quotes",
           "quoted_texts", "quotes", "scripts", "unsupported_scripts", "without_quotes",
           "without_texts", "words_for"]  # fmt: skip
