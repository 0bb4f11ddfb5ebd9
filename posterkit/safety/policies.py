"""Policies: what may not stand on a poster, by domain, in YAML files; house rules have the same form.

name: superlatives
title: No superlatives
terms: {en: [best, the * est], zh: [最好]}
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import Any

from posterkit.documents import read_text, read_yaml
from posterkit.messages import one_line
from posterkit.safety.text_variants import plain

FOLDER = Path(__file__).parent / "policies"
HOUSE = FOLDER / "house"  # shipped house rules, which nobody has unless they ask for them
_KEYS = ("name", "title", "words", "terms", "together", "allow", "replace", "lines")
_CJK = "\u2e80-\U0003ffff"  # scripts that have no blanks: a word of another script may stand right beside them
_BEFORE, _BEHIND = rf"(?<![^\W{_CJK}])", rf"(?![^\W{_CJK}])"  # the ends of a word
_STARTS = re.compile(rf"{_BEFORE}\S|[{_CJK}]")
_LONG = 9  # letters of a term that no other words happen to hold
_BETWEEN, _GAP_CJK = r"\W+", r"\w{0,6}?"  # words of a term
_LIST = re.compile(r"<(\w+)>")


@dataclass(frozen=True)
class SafetyPolicy:
    """What a domain forbids.

    Attributes:
        name: of the category.
        title: in words, for reasons.
        terms: by language. `*` is the rest of a word, `<n>` a number, `_` up to three words between two others.
        together: pairs of lists of terms; one of each list in a text, or in a text and its context, is forbidden.
        replace: by language, terms and what a rewriter puts in their place; of house rules.
        lines: by language, harmless lines that may stand where a forbidden one stood, in any order.
        words: by language, lists that terms name: `<disease>` is any word of the list "disease".
        allow: by language, terms that are read over.
    """

    name: str
    title: str
    terms: Mapping[str, Sequence[str]] = field(default_factory=dict)
    together: Sequence[Sequence[Sequence[str]]] = ()
    replace: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    lines: Mapping[str, Sequence[str]] = field(default_factory=dict)
    words: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)
    allow: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def find(self, text: str) -> str | None:
        """The first forbidden words of a plain text (see `text_variants.plain`); None where there are none."""
        if not (self._term(text) or self._pair(text)):
            return None  # most texts, so that few are searched for what is allowed
        text = self._without_allowed(text)
        return self._term(text) or self._pair(text)

    def find_squeezed(self, letters: str) -> str | None:
        """The first long term in a text without blanks and marks, see `text_variants.squeezed`."""
        return next((term for term in self._squeezed if term in letters), None)

    @cached_property
    def _squeezed(self) -> list[str]:
        terms = [plain(term).rstrip("*") for of_language in self.terms.values() for term in of_language]
        terms = [term for term in terms if not set(term) & set("*_<")]
        letters = [re.sub(r"[\W_]", "", term) for term in terms]
        return [term for term in letters if len(term) >= _LONG]

    def find_together(self, text: str) -> str | None:
        """Words of it that are forbidden together, with an ellipsis between them."""
        return self._pair(self._without_allowed(text)) if self._pair(text) else None

    def _term(self, text: str) -> str | None:
        there: dict[Terms, bool] = {}
        for lists, terms in self._terms:
            for words in lists:
                if words not in there:
                    there[words] = words.search(text) is not None
                if not there[words]:
                    break
            else:
                if found := terms.search(text):
                    return found
        return None

    def _pair(self, text: str) -> str | None:
        for one, other in self._pairs:
            if (first := one.search(text)) and (second := other.search(text)):
                return f"{first} … {second}"
        return None

    @cached_property
    def _terms(self) -> list[tuple[list[Terms], Terms]]:
        """The terms, by the lists that they name: a text without a word of each has none of them."""
        alone: list[str] = []
        found: list[tuple[list[Terms], Terms]] = []
        for language, terms in self.terms.items():
            lists = self.words.get(language, {})
            grouped: dict[tuple[str, ...], list[str]] = {}
            for term in terms:
                names = tuple(sorted(lists.keys() & _LIST.findall(term)))
                (grouped.setdefault(names, []) if names else alone).append(term)
            words = {name: Terms(words) for name, words in lists.items()}
            found += [([words[name] for name in names], Terms(group, lists)) for names, group in grouped.items()]
        return [([], Terms(alone)), *found]

    @cached_property
    def _allow(self) -> list[Terms]:
        return [Terms(terms, self.words.get(language, {}), " ") for language, terms in self.allow.items()]

    def _without_allowed(self, text: str) -> str:
        for terms in self._allow:
            text = terms.taken_out(text)
        return text

    @cached_property
    def _pairs(self) -> list[tuple[Terms, Terms]]:
        return [(Terms(self._named(one)), Terms(self._named(other))) for one, other in self.together]

    def _named(self, words: Sequence[str]) -> Iterator[str]:
        """Words of a pair; in place of a list's name the words of that list in all languages."""
        for word in words:
            if named := _LIST.fullmatch(word):
                for lists in self.words.values():
                    yield from lists.get(named[1], ())
            else:
                yield word


class Terms:
    """Finds the first of many terms; only those are tried whose first word the text has.

    Args:
        lists: of words, that they name.
        between: two words of a term, see `expression`.
    """

    def __init__(
        self, terms: Iterable[str], lists: Mapping[str, Sequence[str]] | None = None, between: str = _BETWEEN
    ) -> None:
        self._terms: dict[str, list[tuple[str, str]]] = {}  # first words and expressions
        lists = {name: [*map(plain, words)] for name, words in (lists or {}).items()}
        for term in map(plain, terms):
            named = _LIST.match(term)
            firsts = lists.get(named[1], ["<"]) if named else [term]
            for word in {re.split("[*_< ]", one)[0] for one in firsts}:
                self._terms.setdefault(word[:2], []).append((word, expression(term, lists, between)))
        self._beginnings = frozenset(self._terms)

    def _likely(self, text: str) -> Iterator[re.Pattern[str]]:
        for beginning in sorted(_beginnings(text) & self._beginnings):
            for word, pattern in self._terms[beginning]:
                if word in text:
                    yield _compiled(pattern)

    def search(self, text: str) -> str | None:
        """The words of a plain text that a term stands for."""
        for pattern in self._likely(text):
            if match := pattern.search(text):
                return match[0]
        return None

    def taken_out(self, text: str) -> str:
        """The text with an ellipsis in place of each term."""
        for pattern in self._likely(text):
            text = pattern.sub("…", text)
        return text


@lru_cache(256)
def _beginnings(text: str) -> frozenset[str]:
    """One and two letters from each word's start, and from each letter of scripts that have no blanks; and ""."""
    starts = [match.start() for match in _STARTS.finditer(text)]
    return frozenset(text[at : at + size] for at in starts for size in (1, 2)) | {""}


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def expression(term: str, lists: Mapping[str, Sequence[str]] | None = None, between: str = _BETWEEN) -> str:
    """A term as a regular expression for small letters.

    Args:
        lists: of words, that it names.
        between: what may stand between two words; by default marks too: "risk-free", "no. 1".
    """
    lists = lists or {}
    gap = rf"(?:{between}\w+){{0,3}}?{between}"
    named = _LIST.match(term)
    spaced = (lists.get(named[1], term)[0] if named else term)[0] < "\u2e80"

    def worded(words: str) -> str:
        words = re.escape(words.casefold()).replace(r"\*", r"\w*").replace("<n>", r"\d[\d.,]*")
        words = re.sub(r"(?:\\ )?_(?:\\ )?", (lambda _: gap) if spaced else (lambda _: _GAP_CJK), words)
        return words.replace("\\ ", between)

    def listed(match: re.Match[str]) -> str:
        return f"(?:{'|'.join(map(worded, lists[match[1]]))})" if match[1] in lists else match[0]

    words = _LIST.sub(listed, worded(term))
    return f"{_BEFORE}{words}{_BEHIND}" if spaced else words


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
    for key in ("terms", "allow", "lines"):
        values[key] = _by_language(values.get(key), f'{path}: "{key}"')
    values["words"] = values.get("words") or {}
    named = values["words"].values() if isinstance(values["words"], dict) else [None]
    if not all(isinstance(one, dict) for one in named):
        raise ValueError(f'{path}: "words" takes lists of words by language and name')
    lists = {name: words for language, named in values["words"].items()
             for name, words in _by_language(named, f'{path}: "words" of {language}').items()}  # fmt: skip
    if odd := [name for name in lists if not re.fullmatch("[a-z]{2,}", str(name))]:
        raise ValueError(f"{path}: the name {odd[0]!r} of a list of words has other letters than a to z, or one alone")
    pairs = values["together"] = values.get("together") or []
    if not isinstance(pairs, list) or not all(
        isinstance(pair, list) and len(pair) == 2 and all(map(_strings, pair)) for pair in pairs
    ):
        raise ValueError(f'{path}: "together" takes pairs of lists of words')
    if not any(values["terms"].values()) and not pairs:
        raise ValueError(f'{path}: forbids nothing; give "terms" or "together"')
    terms = [term for key in ("terms", "allow") for words in values[key].values() for term in words]
    terms += [term for pair in pairs for words in pair for term in words]
    for name in {name for term in terms for name in _LIST.findall(term)} - {*lists, "n"}:
        raise ValueError(f'{path}: a term names <{name}>, and there are no "words" of that name')
    values["replace"] = values.get("replace") or {}
    if not isinstance(values["replace"], dict):
        raise ValueError(f'{path}: "replace" takes words and what replaces them, by language')
    for language, words in values["replace"].items():
        if not isinstance(words, dict) or not all(isinstance(word, str) for both in words.items() for word in both):
            raise ValueError(f'{path}: "replace" of {language} takes words and what replaces them')
    return SafetyPolicy(**values)


def _by_language(values: Any, what: str) -> dict[str, list[str]]:
    takes = f"{what} takes lists of words by language: {{en: [word, two words]}}"
    if not isinstance(values or {}, dict):
        raise ValueError(takes)
    for language, words in (values or {}).items():
        odd = [word for word in words if not _strings([word])] if isinstance(words, list) else [words]
        if odd:
            quotes = ", which needs quotes to be a word" if isinstance(odd[0], (bool, int, float)) else ""
            raise ValueError(f"{takes}; of {language} there is {one_line(repr(odd[0]), 40)}{quotes}")
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
