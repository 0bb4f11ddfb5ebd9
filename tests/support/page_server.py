"""The page behind a real server on loopback, and a browser before it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from posterkit.app.intake import Intake
from posterkit.app.job_queue import JobQueue
from posterkit.app.limits import Limits
from posterkit.generate.maker import PosterMaker
from posterkit.serving import Server, listen

CHROMIUM = Path("/usr/bin/chromium")


@contextmanager
def shown(maker: PosterMaker, limits: Limits = Limits(), key: str = "") -> Iterator[str]:  # noqa: B008
    """The address of a page over a maker."""
    from posterkit.app.ui.page_app import page_app

    with TemporaryDirectory(prefix="posterkit-") as folder, listen("127.0.0.1", 0) as listener:
        queue = JobQueue(maker, Path(folder), limits)
        server = Server(page_app(queue, Intake(maker, limits), key), grace=1)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        queue.stop(0.0)
        server.should_exit = True
        thread.join(10)
        assert queue.join(60)
