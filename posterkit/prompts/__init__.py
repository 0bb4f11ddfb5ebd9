"""Prompts: briefs, quoted texts, vocabulary, expansion."""

from posterkit.prompts.brief import PosterBrief
from posterkit.prompts.expansion import Expander, Expansion, expand, expand_by_rules
from posterkit.prompts.quotes import Quote, in_quotes, quoted_texts, quotes, without_quotes
from posterkit.prompts.scripts import scripts, unsupported_scripts
from posterkit.prompts.vocabulary import COLORS
from posterkit.prompts.wording import without_texts, words_for

__all__ = ["COLORS", "Expander", "Expansion", "PosterBrief", "Quote", "expand", "expand_by_rules", "in_quotes",
           "quoted_texts", "quotes", "scripts", "unsupported_scripts", "without_quotes",
           "without_texts", "words_for"]  # fmt: skip
