"""Batches of the page."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from posterkit.app.limits import Limits
from posterkit.app.ui.batch_desk import BATCH, BatchDesk, pack
from posterkit.app.ui.brand import BRAND, kit_html, open_kit, use_kit
from posterkit.app.ui.session import Session


def ran(batches: BatchDesk, session: Session, said: dict[str, Any]) -> list[tuple[Any, ...]]:
    async def all_of_it() -> list[tuple[Any, ...]]:
        return [step async for step in batches.run(session, said)]

    return asyncio.run(all_of_it())


@pytest.mark.slow
def test_uploads_become_posters_a_ledger_and_a_zip(maker, cup: Path, tmp_path: Path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    words = tmp_path / "cup.txt"
    words.write_text("a cup on a table")
    said = BATCH | {"uploads": [str(cup), str(words), str(broken)], "title": "{name}", "steps": 2, "sizes": "192x288"}
    batches, session = BatchDesk(maker, Limits(), tmp_path), Session()
    line, rows = batches.explain(session, said)
    assert "2 rows" in line and "-&gt; cup-192x288.png" in rows and "uploads" not in rows
    line, table, pictures, links = ran(batches, session, said)[-1]
    assert "1 made, 1 failed" in line and "pk-done" in table and "pk-failed" in table and "broken.png" in table
    assert "uploads" not in table
    assert [name for _, name in pictures] == ["cup-192x288.png"] and "posters.zip" in links
    (folder,) = batches.finished.values()
    ledger = [json.loads(line) for line in (folder / "ledger.jsonl").read_text().splitlines()]
    assert sorted(one["status"] for one in ledger) == ["done", "failed"]
    pack(folder, tmp_path / "posters.zip")
    assert (tmp_path / "posters.zip").read_bytes().startswith(b"PK")


def test_a_table_may_name_nothing_but_what_was_uploaded_with_it(maker, cup: Path, tmp_path: Path):
    batches = BatchDesk(maker, Limits(), tmp_path)
    for row in ({"task": "extending", "images": [str(cup)]}, {"prompt": "a", "logo": str(cup)},
                {"prompt": "a", "texts": ["A"], "planner": "llm:http://127.0.0.1:9/v1"}):  # fmt: skip
        table = tmp_path / "jobs.jsonl"
        table.write_text(json.dumps(row))
        line, _ = batches.explain(Session(), BATCH | {"uploads": [str(table)]})
        assert "names what was not uploaded" in line, row
    table.write_text("\n".join(json.dumps({"prompt": f"a {number}"}) for number in range(501)))
    assert "at most 500" in batches.explain(Session(), BATCH | {"uploads": [str(table)]})[0]
    assert "upload pictures" in batches.explain(Session(), BATCH)[0]


def test_a_batch_is_stopped_between_two_posters(maker, cup: Path, tmp_path: Path):
    table = tmp_path / "jobs.jsonl"
    rows = [{"prompt": f"a boat {number}", "width": 64, "height": 96, "steps": 2} for number in range(12)]
    table.write_text("\n".join(map(json.dumps, rows)))
    batches, session = BatchDesk(maker, Limits(), tmp_path), Session()

    async def stopped() -> str:
        lines = []
        async for line, table, *_ in batches.run(session, BATCH | {"uploads": [str(tmp_path / "jobs.jsonl")]}):
            session.stopping = session.stopping or "pk-done" in table
            lines.append(line)
        return lines[-1]

    line = asyncio.run(stopped())
    assert " left" in line and "0 failed" in line


def test_a_kit_from_fields_is_kept_to_and_opens_again_from_its_file(desk, small, tmp_path: Path):
    session = Session()
    said = BRAND | {"name": "Acme", "palette": "#0a3d62, #f6b93b", "margin": "6%", "avoid": "cheap", "families": []}
    line, path = use_kit(session, said, tmp_path)
    assert "Acme" in line and path and session.kit is not None and session.kit.palette == ("#0a3d62", "#f6b93b")
    assert "which it avoids" in desk.plan(session, small | {"title": "CHEAP LIGHT"})
    assert "none of its colours" in desk.plan(session, small | {"colors": "#ff0000"})
    other = Session()
    fields, line, _ = open_kit(other, [path], tmp_path)
    assert fields["palette"] == "#0a3d62, #f6b93b" and other.kit == session.kit
    assert "#0a3d62" in kit_html(other.kit) and "No brand kit" in kit_html(None)
    assert "one .yaml" in open_kit(Session(), [], tmp_path)[1]
    line, path = use_kit(session, said | {"palette": "#12"}, tmp_path)
    assert 'role="alert"' in line and path is None and str(tmp_path) not in line
