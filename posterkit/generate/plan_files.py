"""Reads plans from the files that people keep them in: JSON, SVG, or a poster that was made after one."""

# pyright: standard
from __future__ import annotations

import json
from pathlib import Path

from posterkit.documents import read_text
from posterkit.generate.metadata import read_record
from posterkit.layout import Layout
from posterkit.layout.json_form import layout_from_json
from posterkit.layout.svg_form import layout_from_svg


def read_plan(path: Path) -> Layout:
    """A plan from its file, or from the record of a poster that was made after one.

    Raises:
        ValueError: it holds none.
        OSError: it cannot be read.
    """
    if path.suffix.lower() == ".png":
        record = read_record(path)
        said = record.get("plan") or record.get("row", {}).get("lettering", {}).get("plan")
        if not said:
            raise ValueError(f"{path}: was made after no plan; posterkit plan makes one")
        return layout_from_json(said if isinstance(said, str) else json.dumps(said), str(path))
    return (layout_from_svg if path.suffix.lower() == ".svg" else layout_from_json)(read_text(path), str(path))
