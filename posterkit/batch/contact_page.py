"""The contact sheet as a page: every poster with its row, and what failed; pictures load as they are seen."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from html import escape
from pathlib import Path
from urllib.parse import quote

from posterkit.batch.index import PAGE
from posterkit.batch.ledger import Ledger, LedgerEntry
from posterkit.image_io import written_whole

ON_PAGE = 5000  # posters, and as many failed rows
_SHOWN = (".png", ".svg")  # what a browser shows as a picture
_MARK = '<meta name="generator" content="posterkit">'
_HEAD = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">{_MARK}
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{title}}</title>
<style>
body {{{{ font: 15px/1.4 system-ui, sans-serif; margin: 2rem; background: #f7f5f1; color: #222226; }}}}
main {{{{ display: grid; grid-template-columns: repeat(auto-fill, minmax(220px, 1fr)); gap: 1.5rem; }}}}
figure {{{{ margin: 0; }}}}
img {{{{ width: 100%; height: 320px; object-fit: contain; object-position: bottom left; }}}}
figcaption {{{{ overflow-wrap: anywhere; }}}}
small {{{{ color: #66645f; }}}}
th, td {{{{ text-align: left; padding: .2rem 1rem .2rem 0; vertical-align: top; overflow-wrap: anywhere; }}}}
</style></head><body>
"""


def write_page(ledger: Ledger, out: Path) -> Path | None:
    """Write the page of a batch; None where there is nothing to show, or where a file of the user's has its name."""
    posters, failed = ledger.posters(ON_PAGE), ledger.failures(ON_PAGE)
    if not posters and not failed:
        return None
    path = out / PAGE
    if path.exists() and _MARK not in path.read_text(encoding="utf-8", errors="replace")[:400]:
        warnings.warn(f"{path} is a file of yours; no contact page is written", stacklevel=2)
        return None
    with written_whole(path) as temporary, temporary.open("w", encoding="utf-8", errors="replace") as file:
        file.writelines(_lines(out.resolve().name, [entry for _, entry in posters], failed))
    return path


def _lines(title: str, posters: list[LedgerEntry], failed: list[LedgerEntry]) -> Iterator[str]:
    yield _HEAD.format(title=escape(title))
    yield f"<h1>{escape(title)}</h1>\n<p>{len(posters)} posters, {len(failed)} failed</p>\n<main>\n"
    for entry in posters:
        out = entry.out or ""
        link = quote(out.encode("utf-8", "surrogatepass"))
        shown = f'<img loading="lazy" src="{link}" alt="{escape(out)}">' if Path(out).suffix in _SHOWN else ""
        value = "" if entry.value is None else f", scored {entry.value:.2f}"
        notes = "".join(f"<br>{escape(note)}" for note in entry.notes)
        yield f'<figure><a href="{link}">{shown}<figcaption>{escape(out)}</a><br>'
        yield f"<small>{escape(entry.row)}: {escape(entry.task or '')}{value}{notes}</small></figcaption></figure>\n"
    yield "</main>\n"
    if failed:
        yield "<h2>Failed</h2>\n<table><tr><th>row</th><th>why</th></tr>\n"
        yield from (f"<tr><td>{escape(one.row)}</td><td>{escape(one.why)}</td></tr>\n" for one in failed)
        yield "</table>\n"
    yield "</body></html>\n"
