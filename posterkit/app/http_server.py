"""Runs the HTTP API, or the page, until SIGTERM or Ctrl-C; needs posterkit[serve]."""

# pyright: standard
from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from posterkit.app.api import PosterApi
from posterkit.app.intake import Intake
from posterkit.app.job_queue import JobQueue
from posterkit.app.limits import Limits
from posterkit.generate.maker import PosterMaker
from posterkit.llm.http import API_KEY
from posterkit.serving import LOOPBACK, Server, listen, server_key
from posterkit.typeset.export_options import DEFAULTS, ExportOptions


def check_host(host: str) -> str:
    """The key that clients must send; ValueError where other machines could come in without one."""
    key = server_key()
    if not key and host not in LOOPBACK:
        raise ValueError(f"--host {host} lets other machines in: set a key for them in the variable {API_KEY}")
    return key


def api_app(queue: JobQueue, intake: Intake, key: str) -> Any:
    """The HTTP API."""
    return PosterApi(queue, intake, key).app()


def serve(
    maker: PosterMaker, host: str, port: int, limits: Limits, *, allowed: Path | None = None,
    how: ExportOptions = DEFAULTS, grace: float = 30.0, debug: bool = False, announce: Callable[[str], None] = print,
    build: Callable[[JobQueue, Intake, str], Any] = api_app,
) -> None:  # fmt: skip
    """Serve a maker's posters; returns after SIGTERM or Ctrl-C, when the running job is over.

    Args:
        allowed: a folder whose files requests may name.
        how: files are written.
        grace: seconds that the running job may take after the signal, before it fails.
        announce: is told the server's address.
        build: makes the web application from a queue, what reads requests, and the key that clients must send.

    Raises:
        OSError, OverflowError: the port is taken, or there is no such host or port.
    """
    key = check_host(host)
    with listen(host, port) as listener, TemporaryDirectory(prefix="posterkit-") as folder:
        queue = JobQueue(maker, Path(folder), limits, how)
        app = build(queue, Intake(maker, limits, allowed), key)
        server = Server(
            app, most_connections=limits.connections, grace=grace + 10, on_signal=lambda: queue.stop(grace),
            log_level="error" if debug else "critical",
        )  # fmt: skip
        shown = f"[{host}]" if ":" in host else host
        announce(f"http://{shown}:{listener.getsockname()[1]}")
        # uvicorn raises the signal again once it has ended the server in good order
        before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
        try:
            with suppress(KeyboardInterrupt):
                server.run(sockets=[listener])
        finally:
            signal.signal(signal.SIGTERM, before)
            queue.stop(grace)
            queue.join(grace + 10)
