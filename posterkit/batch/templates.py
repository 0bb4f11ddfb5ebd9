"""Templates: `{name}` in a row's words becomes what the column `name` of the row says."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from posterkit.batch.row_keys import ROW_KEYS
from posterkit.lettering import unmarked
from posterkit.messages import one_line
from posterkit.schema import PosterRequest

_FIELD = re.compile(r"\{\{|\}\}|\{([^\W\d][\w .-]{0,60})\}")
_NEAR = 0.8  # of two words, from which one is taken for a slip of the other


@dataclass
class Template:
    """One row's values, and which of them its words have named so far.

    `{{` and `}}` stand for braces. A text that comes out empty is left out, so that a subtitle may be missing.

    Args:
        row: its columns; those that are no keys of a manifest are values too.
        given: more values, such as the picture's own name; columns of the row come first.
    """

    row: Mapping[str, Any]
    given: Mapping[str, Any]
    named: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        columns = {key.lower(): value for key, value in self.row.items() if isinstance(value, str | int | float)}
        self.values = {**self.given, **columns}

    def filled_row(self) -> dict[str, Any]:
        """The row's own keys, filled in; ValueError where a template names what is no column."""
        row = {key: self._fill(value) for key, value in self.row.items() if key in ROW_KEYS}
        return {key: _without_empty(value) if key == "texts" else value for key, value in row.items()}

    def filled_common(self, common: PosterRequest) -> dict[str, Any]:
        """The values common to all rows that this row's columns change; ValueError for an unknown column."""
        prompt = self._fill(common.prompt)
        texts = None if common.texts is None else [self._fill(text) for text in common.texts]
        changed: dict[str, Any] = {"prompt": prompt} if prompt != common.prompt else {}
        if texts is not None and texts != list(common.texts or ()):
            changed["texts"] = [text for text in texts if text.strip()]
            changed["marks"] = [[self._fill(text), role] for text, role in common.lettering.marks]
        return changed

    def unknown(self) -> dict[str, Any]:
        """Columns that are neither keys nor named by a template.

        Where some columns are named, only those count that are nearly a key: they look misspelt.
        """
        others = [key for key in self.row if key not in ROW_KEYS and key.lower() not in self.named]
        slips = [key for key in others if difflib.get_close_matches(key, ROW_KEYS, 1, _NEAR)]
        return {key: self.row[key] for key in (slips if self.named else others)}

    def _fill(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._fill(item) for item in value]
        return _FIELD.sub(self._value, value) if isinstance(value, str) and ("{" in value or "}" in value) else value

    def _value(self, match: re.Match[str]) -> str:
        if match[0] in ("{{", "}}"):
            return match[0][0]
        key = match[1].strip().lower()
        if key not in self.values:
            near = difflib.get_close_matches(key, self.values, 1)
            meant = f"did you mean {{{near[0]}}}?" if near else f"the columns are {', '.join(self.values)}"
            raise ValueError(f"{one_line(match[0], 40)} names no column ({meant}); {{{{ and }}}} stand for braces")
        self.named.add(key)
        return str(self.values[key])


def with_filled(common: PosterRequest, filled: Mapping[str, Any]) -> PosterRequest:
    """The request common to all rows, with one row's values from `Template.filled_common` in it."""
    if not filled:
        return common
    lettering = replace(common.lettering, marks=tuple(map(tuple, filled.get("marks", common.lettering.marks))))
    changes = {key: filled[key] for key in ("prompt", "texts") if key in filled}
    return replace(common, lettering=lettering, **changes)


def _without_empty(texts: Any) -> Any:
    if not isinstance(texts, list):
        return texts
    return [text for text in texts if not isinstance(text, str) or unmarked([text])[0][0].strip()]
