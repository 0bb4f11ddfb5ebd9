"""Worker processes that end with their parent."""

from __future__ import annotations

import os
import signal
import threading
from multiprocessing import parent_process


def begin_worker() -> None:
    """A worker ends at once on Ctrl-C, which reaches every process, and where the first process was killed."""
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # as in a shell's background
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    first = parent_process()
    assert first is not None
    first.join()
    os._exit(1)
