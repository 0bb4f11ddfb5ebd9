"""What Prometheus reads at `/metrics`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import psutil

from posterkit.app.job_queue import JobQueue
from posterkit.app.poster_job import CANCELLED, DONE, FAILED

TEXT_FORMAT = "text/plain; version=0.0.4; charset=utf-8"


def metrics_text(queue: JobQueue, statuses: Counter[int]) -> str:
    """The counters and gauges of a queue and of the HTTP statuses that were answered."""
    process = psutil.Process()
    families: list[tuple[str, str, str, Mapping[str, float]]] = [
        ("posters_total", "counter", "Posters by what became of them.",
         {f'{{result="{state}"}}': queue.counts[state] for state in (DONE, FAILED, CANCELLED)}),
        ("drawing_seconds_total", "counter", "Seconds that done posters took to draw.", {"": queue.drawing_seconds}),
        ("http_requests_total", "counter", "Requests by HTTP status.",
         {f'{{status="{status}"}}': count for status, count in sorted(statuses.items())}),
        ("queue_posters", "gauge", "Posters that wait.", {"": queue.waiting}),
        ("queue_limit", "gauge", "Posters that may wait.", {"": queue.limits.queue}),
        ("drawing", "gauge", "1 while a poster is drawn.", {"": queue.drawing}),
        ("jobs_kept", "gauge", "Jobs that are known, finished ones among them.", {"": len(queue.jobs)}),
        ("memory_bytes", "gauge", "Resident memory of the server.", {"": process.memory_info().rss}),
        ("start_time_seconds", "gauge", "When the server started, in Unix time.", {"": process.create_time()}),
    ]  # fmt: skip
    lines = []
    for name, kind, words, values in families:
        lines += [f"# HELP posterkit_{name} {words}", f"# TYPE posterkit_{name} {kind}"]
        lines += [f"posterkit_{name}{labels} {float(value):.10g}" for labels, value in values.items()]
    return "\n".join(lines) + "\n"
