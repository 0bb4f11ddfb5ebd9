"""The page's batches: uploads become a folder or a manifest, and go through `posterkit.batch`."""

# pyright: standard
from __future__ import annotations

import asyncio
import re
import secrets
import shutil
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from anyio import to_thread

from posterkit.app.limits import Limits
from posterkit.app.service_errors import ServiceError, service_error
from posterkit.app.ui.form import number, texts_of
from posterkit.app.ui.preview import error_html, status_html
from posterkit.app.ui.session import Session
from posterkit.batch.engines import BatchResult, run_local
from posterkit.batch.explain import explain
from posterkit.batch.index import RowIndex
from posterkit.batch.ledger import LedgerEntry
from posterkit.batch.manifest import read_requests
from posterkit.batch.variants import Variants
from posterkit.generate.maker import PosterMaker
from posterkit.lettering import Lettering
from posterkit.paper import parse_size
from posterkit.schema import PosterRequest

_MOST_ROWS, _MOST_FILES, _MOST_BYTES = 500, 500, 2**30
_TABLES = (".csv", ".tsv", ".xlsx", ".xlsm", ".jsonl")
_EVERY = 0.5  # seconds between two looks at a batch
_SHOWN = 60  # posters in the gallery
BATCH: dict[str, Any] = {
    "uploads": None, "task": "extending", "prompt": "", "title": "", "subtitle": "", "body": "", "cta": "",
    "style": "", "sizes": "", "seeds": 1, "steps": None,
}  # fmt: skip
BATCH_FIELDS = tuple(BATCH)


@dataclass
class BatchBoard:
    """What a batch has told so far; `posterkit.batch.engines.Reporter`."""

    rows: int = 0
    entries: list[LedgerEntry] = field(default_factory=list)

    def start(self, rows: int) -> None:
        self.rows = rows

    def found(self, before: int) -> None:
        pass

    def row(self, entry: LedgerEntry) -> None:
        self.entries.append(entry)

    def stopping(self) -> None:
        pass

    def html(self, session: Session) -> str:
        """The ledger as a table."""
        if not self.entries:
            return ""
        lines = "".join(
            f'<tr class="pk-{one.status}"><td>{escape(one.row)}</td><td>{one.status}</td><td>{escape(one.out or "")}'
            f"</td><td>{escape(_plain(session, one.why or '; '.join(one.notes)))}</td></tr>"
            for one in self.entries
        )
        return (
            '<div class="pk-ledger" tabindex="0" role="region" aria-label="Ledger"><table><thead><tr><th>Row</th>'
            f"<th>State</th><th>Poster</th><th>Why, notes</th></tr></thead><tbody>{lines}</tbody></table></div>"
        )


class BatchDesk:
    """Runs batches, one at a time, in folders of their own."""

    def __init__(self, maker: PosterMaker, limits: Limits, folder: Path) -> None:
        self.maker, self.limits, self.folder = maker, limits, folder
        self.finished: dict[str, Path] = {}  # folders of posters, by what names them in addresses
        self._one = asyncio.Lock()

    def explain(self, session: Session, said: Mapping[str, Any]) -> tuple[str, str]:
        """What would become of each upload: a line, and the rows."""
        try:
            index, out = self._rows(session, said)
            lines = list(explain(index, self.maker, out, 0))
        except (ServiceError, ValueError, OSError) as error:
            return self._refused(session, error), ""
        rows = escape(_plain(session, "\n".join(lines)))
        return status_html(f"{len(index)} rows"), f'<pre class="pk-explain" tabindex="0">{rows}</pre>'

    async def run(
        self, session: Session, said: Mapping[str, Any]
    ) -> AsyncIterator[tuple[str, str, list[tuple[str, str]], str]]:  # fmt: skip
        """Make every row; yields the line, the ledger, the posters and the links."""
        session.stopping = False
        board, ended = BatchBoard(), asyncio.Event()
        task = asyncio.create_task(self._run(session, said, board, ended))
        try:
            while not ended.is_set():
                made = len(board.entries)
                words = f"{made} of {board.rows} rows" if board.rows else "Waiting for the batch before it"
                yield status_html(words, made, board.rows), board.html(session), self._pictures(session, board), ""
                try:
                    await asyncio.wait_for(ended.wait(), _EVERY)
                except TimeoutError:
                    continue
            line, links = task.result() if task.done() else await task
        finally:
            session.stopping = True
        yield line, board.html(session), self._pictures(session, board), links

    def stop(self, session: Session) -> None:
        """Stop the visitor's batch after its current poster."""
        session.stopping = True

    async def _run(
        self, session: Session, said: Mapping[str, Any], board: BatchBoard, ended: asyncio.Event
    ) -> tuple[str, str]:
        try:
            async with self._one:
                result, out = await to_thread.run_sync(self._made, session, said, board)
        except (ServiceError, ValueError, OSError) as error:
            return self._refused(session, error), ""
        finally:
            ended.set()
        key = secrets.token_urlsafe(12)
        self.finished[key] = out
        words = f"{result.made} made, {result.failures} failed" + (f", {result.left} left" if result.left else "")
        return status_html(words), (
            f'<nav class="pk-exports" aria-label="Download the batch"><a href="batches/{key}/posters.zip" download>'
            f'All posters (ZIP)</a><a href="batches/{key}/ledger.jsonl" download>Ledger</a></nav>'
        )

    def _made(self, session: Session, said: Mapping[str, Any], board: BatchBoard) -> tuple[BatchResult, Path]:
        index, out = self._rows(session, said)
        return run_local(index, self.maker, out, board, stopped=lambda: session.stopping), out

    def _rows(self, session: Session, said: Mapping[str, Any]) -> tuple[RowIndex, Path]:
        """The rows of the uploads, within limits, and the folder of their posters."""
        paths = [Path(path) for path in said["uploads"] or ()]
        if not paths:
            raise ServiceError(400, "upload pictures, or a table with them", "invalid_request")
        if len(paths) > _MOST_FILES or sum(path.stat().st_size for path in paths) > _MOST_BYTES:
            raise ServiceError(413, f"a batch has at most {_MOST_FILES} files of {_MOST_BYTES >> 20} MB together")
        place = session.place(self.folder)
        work = place / f"batch-{len(list(place.glob('batch-*')))}"
        source = work / "uploads"
        source.mkdir(parents=True)
        for path in paths:
            shutil.copyfile(path, source / path.name)
        tables = [path.name for path in paths if path.suffix.lower() in _TABLES]
        if len(tables) > 1:
            raise ServiceError(400, f"one table at a time, found {' and '.join(tables)}", "invalid_request")
        sizes = tuple(size.strip() for size in said["sizes"].split(",") if size.strip())
        for size in sizes:
            parse_size(size, None)
        common = PosterRequest(
            said["prompt"] or "", task="" if tables else said["task"], texts=texts_of(said) or None,
            steps=number(said["steps"]) if said["steps"] else None, lettering=Lettering(style=said["style"] or None),
        )  # fmt: skip
        variants = Variants(int(said["seeds"] or 1), sizes, 0, {})
        index = read_requests(source / tables[0] if tables else source, common, variants=variants, kit=session.kit)
        self._check(index, work)
        return index, work / "posters"

    def _check(self, index: RowIndex, work: Path) -> None:
        """ServiceError where the rows are too many, ask for too much, or name files that were not uploaded."""
        if len(index) > _MOST_ROWS:
            raise ServiceError(400, f"{len(index)} posters; a batch on the page has at most {_MOST_ROWS}")
        for at in range(len(index)):
            row = index[at]
            if not isinstance(row, PosterRequest):
                continue
            self.limits.check(row)
            self.limits.check_steps((row.steps or 0) * (row.best_of or 1))
            planner = row.lettering.planner or ""
            named = [*row.files(), *([row.draft] if isinstance(row.draft, Path) else ())]
            named += [Path(font) for font in row.lettering.fonts if Path(font).is_file()]
            named += [Path(row.lettering.logo)] if row.lettering.logo else []
            allowed = work.parent.resolve()
            if row.lora or ":" in planner or not all(Path(one).resolve().is_relative_to(allowed) for one in named):
                raise ServiceError(400, f"{row.id}: names what was not uploaded with it", "file_refused")

    def _pictures(self, session: Session, board: BatchBoard) -> list[tuple[str, str]]:
        made = [one for one in board.entries if one.status != "failed" and (one.out or "").endswith(".png")]
        if session.folder is None:
            return []
        newest = max(session.folder.glob("batch-*"), key=lambda path: path.stat().st_mtime_ns, default=None)
        found = [(newest / "posters" / str(one.out), str(one.out)) for one in made[-_SHOWN:]] if newest else []
        return [(str(path), name) for path, name in found if path.is_file()]

    def _refused(self, session: Session, error: Exception) -> str:
        return error_html(_plain(session, str(service_error(error))))


def _plain(session: Session, text: str) -> str:
    """A text without the folders of the server."""
    return re.sub(rf"({re.escape(str(session.folder))}/)?(batch-\d+/(uploads|posters)/)?", "", text)


def pack(folder: Path, target: Path) -> None:
    """A batch's folder as a ZIP."""
    shutil.make_archive(str(target.with_suffix("")), "zip", folder)
