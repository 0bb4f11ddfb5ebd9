"""Policies: what may not stand on a poster, by domain, in YAML files; house rules have the same form.

name: superlatives
title: No superlatives
terms: {en: [best, the * est], zh: [最好]}
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import Any

from posterkit.documents import read_text, read_yaml

FOLDER = Path(__file__).parent / "policies"
HOUSE = FOLDER / "house"  # shipped house rules, which nobody has unless they ask for them
_KEYS = ("name", "title", "terms", "together", "replace", "lines")
_STARTS = re.compile(r"(?<!\w)\S|[\u2e80-\U0003ffff]")
_LONG = 9  # letters of a term that no other words happen to hold
_GAP, _GAP_CJK = r"(?:\W+\w+){0,3}?\W+", r"\w{0,6}?"


@dataclass(frozen=True)
class SafetyPolicy:
    """What a domain forbids.

    Attributes:
        name: of the category.
        title: in words, for reasons.
        terms: by language. `*` is the rest of a word, `<n>` a number, `_` up to three words between two others.
        together: pairs of lists of terms; one of each list in a text, or in a text and its context, is forbidden.
        replace: by language, terms and what a rewriter puts in their place.
        lines: by language, harmless lines that may stand where a forbidden one stood, in any order.
    """

    name: str
    title: str
    terms: Mapping[str, Sequence[str]] = field(default_factory=dict)
    together: Sequence[Sequence[Sequence[str]]] = ()
    replace: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    lines: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def find(self, text: str) -> str | None:
        """The first forbidden words of a plain text (see `text_variants.plain`); None where there are none."""
        return self._terms.search(text) or self.find_together(text)

    def find_squeezed(self, letters: str) -> str | None:
        """The first long term in a text without blanks and marks, see `text_variants.squeezed`."""
        return next((term for term in self._squeezed if term in letters), None)

    @cached_property
    def _squeezed(self) -> list[str]:
        terms = [term.rstrip("*") for of_language in self.terms.values() for term in of_language]
        terms = [term for term in terms if not set(term) & set("*_<")]
        letters = [re.sub(r"[\W_]", "", term.casefold()) for term in terms]
        return [term for term in letters if len(term) >= _LONG]

    def find_together(self, text: str) -> str | None:
        """Words of it that are forbidden together, with an ellipsis between them."""
        for one, other in self._pairs:
            if (first := one.search(text)) and (second := other.search(text)):
                return f"{first} … {second}"
        return None

    @cached_property
    def _terms(self) -> Terms:
        return Terms(term for of_language in self.terms.values() for term in of_language)

    @cached_property
    def _pairs(self) -> list[tuple[Terms, Terms]]:
        return [(Terms(one), Terms(other)) for one, other in self.together]


class Terms:
    """Finds the first of many terms; only those are tried whose first two letters begin a word of the text."""

    def __init__(self, terms: Iterable[str]) -> None:
        self._terms: dict[str, list[str]] = {}
        for term in terms:
            beginning = "" if term[0] in "*_<" else term.casefold()[:2].rstrip(" *")
            self._terms.setdefault(beginning, []).append(term)

    def search(self, text: str) -> str | None:
        """The words of a plain text that a term stands for."""
        there = _beginnings(text)
        for beginning, terms in self._terms.items():
            if beginning in there:
                for term in terms:
                    if match := _pattern(term).search(text):
                        return match[0]
        return None


@lru_cache(256)
def _beginnings(text: str) -> frozenset[str]:
    """One and two letters from each word's start, and from each letter of scripts that have no blanks; and ""."""
    starts = [match.start() for match in _STARTS.finditer(text)]
    return frozenset(text[at : at + size] for at in starts for size in (1, 2)) | {""}


@cache
def _pattern(term: str) -> re.Pattern[str]:
    return re.compile(expression(term))


def expression(term: str) -> str:
    """A term as a regular expression for plain text."""
    spaced = term[0] < "\u2e80"
    words = re.escape(term.casefold()).replace(r"\*", r"\w*").replace("<n>", r"\d[\d.,]*")
    words = re.sub(r"(?:\\ )?_(?:\\ )?", (lambda _: _GAP) if spaced else (lambda _: _GAP_CJK), words)
    words = words.replace("\\ ", r"\W+")
    return rf"(?<!\w){words}(?!\w)" if spaced else words


def read_policy(path: str | Path) -> SafetyPolicy:
    """A policy from a YAML file.

    Raises:
        ValueError: it is no policy; the line says which key.
        OSError: it cannot be read.
    """
    values = read_yaml(read_text(path), str(path))
    if not isinstance(values, dict):
        raise ValueError(f"{path}: a policy is a mapping of {', '.join(_KEYS)}")
    for key in values:
        if key not in _KEYS:
            near = difflib.get_close_matches(str(key), _KEYS, 1, 0)[0]
            raise ValueError(f'{path}: unknown key "{key}" (did you mean "{near}"?)')
    for key in ("name", "title"):
        if not isinstance(values.get(key), str) or not values[key]:
            raise ValueError(f'{path}: "{key}" is missing')
    for key in ("terms", "lines"):
        values[key] = _by_language(values.get(key), f'{path}: "{key}"')
    pairs = values.setdefault("together", [])
    if not all(isinstance(pair, list) and len(pair) == 2 and all(map(_strings, pair)) for pair in pairs):
        raise ValueError(f'{path}: "together" takes pairs of lists of words')
    if not values["terms"] and not pairs:
        raise ValueError(f'{path}: forbids nothing; give "terms" or "together"')
    for language, words in (values.get("replace") or {}).items():
        if not isinstance(words, dict) or not all(isinstance(word, str) for both in words.items() for word in both):
            raise ValueError(f'{path}: "replace" of {language} takes words and what replaces them')
    return SafetyPolicy(**values)


def _by_language(values: Any, what: str) -> dict[str, list[str]]:
    if not isinstance(values or {}, dict) or not all(_strings(words) for words in (values or {}).values()):
        raise ValueError(f"{what} takes lists of words by language: {{en: [word, two words]}}")
    return values or {}


def _strings(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(word, str) and word.strip() for word in value)


@lru_cache
def shipped_policies() -> tuple[SafetyPolicy, ...]:
    """Those that hold for everybody, by name."""
    return tuple(read_policy(path) for path in sorted(FOLDER.glob("*.yaml")))


def open_policies(house: Iterable[str] = (), without: Iterable[str] = ()) -> tuple[SafetyPolicy, ...]:
    """The shipped policies, and house rules.

    Args:
        house: YAML files, or names of shipped house rules (`superlatives`).
        without: names of shipped policies that shall not hold.

    Raises:
        ValueError: there is no such policy, or a file is none.
    """
    left_out, shipped = set(without), shipped_policies()
    if unknown := left_out - {policy.name for policy in shipped}:
        known = ", ".join(policy.name for policy in shipped)
        raise ValueError(f"there is no policy {sorted(unknown)[0]!r}; there are {known}")
    chosen = [policy for policy in shipped if policy.name not in left_out]
    for source in house:
        path = HOUSE / f"{source}.yaml" if (HOUSE / f"{source}.yaml").is_file() else Path(source)
        if not path.is_file():
            names = ", ".join(sorted(path.stem for path in HOUSE.glob("*.yaml")))
            raise ValueError(f"{source}: there is no such policy; give a YAML file, or one of {names}")
        chosen.append(read_policy(path))
    return tuple(chosen)
