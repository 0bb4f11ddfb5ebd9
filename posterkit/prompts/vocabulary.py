"""Words of a prompt for colours, theme, style and mood; the tables are in `words/`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from posterkit.documents import table_lines

WORDS = Path(__file__).parent / "words"
# the colour words that briefs, captions and measures share: name -> sRGB
COLORS: dict[str, tuple[int, int, int]] = {
    "black": (22, 22, 26), "white": (246, 244, 240), "gray": (136, 138, 142),
    "red": (204, 44, 44), "orange": (238, 130, 42), "yellow": (246, 206, 64), "brown": (120, 76, 46),
    "green": (58, 142, 74), "teal": (32, 140, 144), "blue": (44, 98, 196), "navy": (26, 38, 86),
    "purple": (116, 62, 158), "pink": (238, 150, 182), "beige": (228, 208, 172),
}  # fmt: skip

_ADJECTIVE = r"(?:ый|ой|ая|ое|ые|ого|ому|ым|ом|ую|ых|ыми|(?<=[a-zß])(?:e[mnrs]?)?)"
# what may stand before a colour's name and belongs to it
_SHADE = (
    r"(?:(?:bright|dark|light|deep|pale|soft|warm|cool|vivid|pastel|muted|midnight|sunny|sky|mint"
    r"|dunkel|hell|tief|zart|blass|knall|pastell|himmel|nacht|mitternachts|sonnen|schokoladen|mint|warme[smnr]?"
    r"|т[её]мно|светло|бледно|нежно|ярко|небесно|полуночно|солнечно|мятно|шоколадно|т[её]пл\w+|[深浅淡暗亮暖]|濃い|薄い)"
    r"[\s-]?)??"  # lazy: "dark-blue" is a word of its own
)
_NEGATED = re.compile(r"(?:\b(?:no|not|without|avoid|never|kein\w*|ohne|sans|sin)\s+|不要|没有)$", re.IGNORECASE)


class Vocabulary:
    """Words that mean one of a few names.

    Args:
        table: a line for each name: the name, a colon, the words; `*` at a word's end stands for any ending, `~` for
            those of a German or a hard Russian adjective, `-` for a blank or a hyphen.
        before: an expression for what may stand before a word and belongs to it.
    """

    def __init__(self, table: Iterable[str], before: str = "") -> None:
        self.names: dict[str, str] = {}
        for line in table:
            name, words = line.split(":")
            self.names |= {word.lower(): name.strip() for word in words.split()}
        longest_first = sorted(self.names, key=len, reverse=True)
        # each word with what of it a text has to hold; those with spaces around them first
        self._words = [(word, word.rstrip("*~").partition("-")[0].casefold())
                       for word in sorted(longest_first, key=_is_unspaced)]  # fmt: skip
        self._before = before

    def take(self, prose: str) -> tuple[list[str], str]:
        """The names that the prose speaks of, each once, in order, and the prose without those words.

        What is ruled out ("no red") is not spoken of.
        """
        there = self._there(prose)
        return self.named(prose), _pattern(there, self._before).sub(" ", prose) if there else prose

    def named(self, prose: str) -> list[str]:
        """The names alone; see `take`."""
        return list(dict.fromkeys(self.names[word] for _, word in self.find(prose)))

    def find(self, prose: str) -> Iterator[tuple[tuple[int, int], str]]:
        """Where the prose speaks of a name, start and end, and the table's word for it; in order."""
        there = self._there(prose)
        for match in _pattern(there, self._before).finditer(prose) if there else ():
            if not _NEGATED.search(prose, 0, match.start()):
                yield match.span(), there[(match.lastindex or 1) - 1]

    def _there(self, prose: str) -> tuple[str, ...]:
        """The words that may stand in the prose; an expression of all would take far longer to compile."""
        folded = prose.casefold()
        return tuple(word for word, beginning in self._words if beginning in folded)


def _is_unspaced(word: str) -> bool:
    """Whether it is written without spaces around it, as Chinese and Japanese are."""
    return word[0] >= "\u2e80"


@lru_cache(256)
def _pattern(words: Sequence[str], before: str) -> re.Pattern[str]:
    """Every word as a group of its own; those that are written without spaces stand last."""
    spaced = [f"({_expression(word)})" for word in words if not _is_unspaced(word)]
    unspaced = [f"({re.escape(word)})" for word in words if _is_unspaced(word)]
    parts = [rf"(?<![\w-]){before}(?:{'|'.join(spaced)})"] if spaced else []
    parts += [f"{before}(?:{'|'.join(unspaced)})"] if unspaced else []
    return re.compile("|".join(parts), re.IGNORECASE)


def _expression(word: str) -> str:
    ending = {"*": r"\w*", "~": _ADJECTIVE}.get(word[-1], "") + r"\b"
    return re.escape(word.rstrip("*~")).replace(r"\-", r"[\s-]") + ending


def read_table(name: str) -> list[str]:
    """The lines of a table in `words/` without its comments."""
    return table_lines(WORDS / f"{name}.txt")


COLOR_WORDS = Vocabulary(read_table("colors"), before=_SHADE)
STYLES, THEMES, MOODS = (Vocabulary(read_table(name)) for name in ("styles", "themes", "moods"))
