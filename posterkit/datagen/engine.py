"""The engine of the data tools: items through steps into shards, on many processes. It knows nothing about posters.

    flow = Flow(source, 2000, steps=(("read", read), ("text", set_text)), encode=encode_sample, settings={"seed": 0})
    outcome = run_flow(flow, "sets/text", workers=8)

With any number of workers, and stopped and started as often as you like, a set comes out the same to the byte.
"""

from __future__ import annotations

import json
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

from PIL import Image

from posterkit.datasets.processes import begin_worker
from posterkit.datasets.sample_files import Row, encoded
from posterkit.datasets.shards import FolderShard, TarShard
from posterkit.image_io import remove_unfinished, written_whole

ShardFormat = Literal["folder", "webdataset"]
Funnel = dict[str, dict[str, Any]]
_THUMBNAIL = (160, 160)


@dataclass(frozen=True)
class Drop:
    """What a step returns in place of an item that goes no further."""

    reason: str  # a word or two, counted in the funnel
    detail: str = ""  # what was found, one line
    picture: Image.Image | None = None  # shown in the report, as a thumbnail
    fault: bool = False  # the item is broken, not merely unfit; the tool's exit code says so


@dataclass(frozen=True)
class Flow:
    """How a set is made; it is pickled into every worker."""

    source: Any  # items by number, `source[i]`; item i is the same in every process
    count: int
    steps: tuple[tuple[str, Callable[[Any], Any]], ...]  # by name; each takes an item and returns one, or a `Drop`
    encode: Callable[[Any], tuple[Row, dict[str, bytes]]]  # item -> its row, with an `id`, and its files by name
    settings: dict[str, Any]  # plain JSON that decides what comes out; a folder made with others is refused
    names: Sequence[str] | None = None  # what an item is called before it has a row; its number where None
    paths: tuple[str, ...] = ("target", "references", "mask", "chosen", "rejected", "draft")  # that name files


def skip_step(item: Any) -> Any:
    """Stands for a step that is switched off; its name in the funnel says so."""
    return item


@dataclass(frozen=True)
class FlowResult:
    """What a set holds: rows kept, items dropped, how many of these were broken or broke a step, and the funnel.

    The funnel has for each step how many items came in, and how many it dropped for which reason.
    """

    kept: int
    dropped: int
    faults: int
    funnel: Funnel


@dataclass(frozen=True)
class _Task:
    """What every worker knows."""

    flow: Flow
    out: Path
    layout: ShardFormat
    threads: int


def run_flow(
    flow: Flow,
    out: str | Path,
    *,
    workers: int = 1,
    threads: int = 1,
    shard: int = 1000,
    layout: ShardFormat = "folder",
    retry: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> FlowResult:
    """Make what is missing of a set in `out`, then its index.

    A shard's data are written under a name of their own and renamed, its record comes last: nothing is ever half
    written, and what has a record is not made again. `out` gets `samples.jsonl` (a row for each sample),
    `dropped.jsonl` (a line for each item that went no further: where and why), `funnel.json`, and the shards.

    Args:
        workers: processes; 1 works in this one.
        threads: items at a time in each process, for steps that wait for an answer from elsewhere.
        shard: items in one shard.
        layout: "folder" puts a shard's files into a folder, "webdataset" into a tar file.
        retry: make shards again that lost broken items.
        progress: gets how many items are through, and of how many.

    Raises:
        ValueError: `out` holds a set made with other settings, or a larger one: a set can grow, but not shrink.
        OSError: nothing can be written, or a worker died; what was made stays.
    """
    task = _Task(flow, Path(out), layout, threads)
    count = flow.count
    claim_folder(task.out, flow.settings, shard, layout)
    last = max(task.out.glob(".flow/[0-9]*.json"), key=lambda path: int(path.stem), default=None)
    made = json.loads(last.read_text(encoding="utf-8"))["span"][1] if last else 0
    if made > count:
        raise ValueError(f"{out}: holds {made} items, now {count} are asked for; take another folder")
    if retry:
        forget_shards(task.out)
    spans = [(start, min(count, start + shard)) for start in range(0, count, shard)]
    records = [_record(task.out, k) for k in range(len(spans))]
    missing = [
        k for k, span in enumerate(spans)
        if not records[k].is_file() or json.loads(records[k].read_text(encoding="utf-8"))["span"] != list(span)
    ]  # fmt: skip
    done = count - sum(spans[k][1] - spans[k][0] for k in missing)
    for k in _made(task, [(k, *spans[k]) for k in missing], workers):
        done += spans[k][1] - spans[k][0]
        if progress:
            progress(done, count)
    return _write_index(task.out, len(spans))


def forget_shards(out: str | Path, everything: bool = False) -> None:
    """Take back the records of shards that lost broken items, or of all: `run_flow` makes these again."""
    for path in Path(out).glob(".flow/[0-9]*.json"):
        dropped = json.loads(path.read_text(encoding="utf-8"))["dropped"]
        if everything or any(row["fault"] for row in dropped):
            for row in dropped:
                if "thumbnail" in row:
                    (Path(out) / row["thumbnail"]).unlink(missing_ok=True)
            path.unlink()


def _made(task: _Task, jobs: list[tuple[int, int, int]], workers: int) -> Iterator[int]:
    """The number of each shard as it is ready."""
    if workers == 1 or len(jobs) < 2:
        for job in jobs:
            yield _make_shard(task, *job)
        return
    # spawned, not forked: a fork copies the locks of threads that it does not copy
    pool = ProcessPoolExecutor(min(workers, len(jobs)), get_context("spawn"), _begin, (task,))
    try:
        waiting = {pool.submit(_work, *job) for job in jobs}
        while waiting:
            ready, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in ready)
    except BrokenProcessPool:
        raise OSError(f"{task.out}: a worker died (out of memory?); the same command goes on from there") from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _begin(task: _Task) -> None:
    global _TASK
    _TASK = task
    shorten_warnings()
    begin_worker()


def shorten_warnings() -> None:
    """Warnings are one line each."""
    warnings.formatwarning = lambda message, *_, **__: f"posterkit: {message}\n"


def _work(k: int, start: int, stop: int) -> int:
    return _make_shard(_TASK, k, start, stop)


def _make_shard(task: _Task, k: int, start: int, stop: int) -> int:
    """Items `start` to `stop` through all steps into shard `k`, then its record."""
    rows: list[Row] = []
    drops: list[Row] = []
    funnel: Funnel = {}
    tar = task.layout == "webdataset"
    with TarShard(task.out, k) if tar else FolderShard(task.out, k, task.flow.paths) as shard:
        for number, (made, passed) in zip(range(start, stop), _in_order(task, start, stop), strict=True):
            for step in passed:
                funnel.setdefault(step, {"in": 0, "dropped": {}})["in"] += 1
            step = passed[-1]
            if not isinstance(made, Drop):
                rows.append(shard.put(*made))
                continue
            lost = funnel[step]["dropped"]
            lost[made.reason] = lost.get(made.reason, 0) + 1
            name = task.flow.names[number] if task.flow.names else str(number)
            drops.append({"id": name, "step": step, "reason": made.reason, "detail": made.detail, "fault": made.fault})
            if made.picture is not None:
                drops[-1]["thumbnail"] = f"dropped/{number:08d}.jpg"
                small = made.picture.convert("RGB")
                small.thumbnail(_THUMBNAIL)
                with written_whole(task.out / drops[-1]["thumbnail"]) as thumbnail:
                    thumbnail.write_bytes(encoded(small, "JPEG", quality=85))
    record = {"span": [start, stop], "rows": rows, "dropped": drops, "funnel": funnel}
    _write_json(_record(task.out, k), record)
    return k


def _in_order(task: _Task, start: int, stop: int) -> Iterator[tuple[Any, list[str]]]:
    """Items `start` to `stop` after their last step, and the steps that each went into; a few at a time are ahead."""
    if task.threads == 1:
        yield from (_through(task.flow, number) for number in range(start, stop))
        return
    with ThreadPoolExecutor(task.threads) as pool:
        ahead: deque[Future[tuple[Any, list[str]]]] = deque()
        try:
            for number in range(start, stop):
                ahead.append(pool.submit(_through, task.flow, number))
                if len(ahead) >= 2 * task.threads:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for waiting in ahead:
                waiting.cancel()


def _through(flow: Flow, number: int) -> tuple[Any, list[str]]:
    """An item after its last step, or its `Drop`, and the names of the steps that it went into."""
    item: Any = number
    passed: list[str] = []
    for name, step in (("source", flow.source.__getitem__), *flow.steps, ("encode", flow.encode)):
        passed.append(name)
        try:
            item = step(item)
        except Exception as error:  # whatever one item does to a step, the others go on
            item = Drop("failed", f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}", fault=True)
        if isinstance(item, Drop):
            break
    return item, passed


def claim_folder(out: Path, settings: dict[str, Any], shard: int, layout: ShardFormat) -> None:
    """Make a set's folder, or see that it was made with the same settings; ValueError where it holds anything else.

    `run_flow` begins with it; a tool that works before its flow does so too.
    """
    path = out / ".flow" / "settings.json"
    now = json.loads(json.dumps({**settings, "shard": shard, "layout": layout}))
    if path.is_file():
        found = json.loads(path.read_text(encoding="utf-8"))
        for key in sorted(found.keys() | now.keys()):
            if found.get(key) != now.get(key):
                was = f"{key}={found.get(key)}, now {now.get(key)}"
                raise ValueError(f"{out}: holds a set made with {was}; take another folder")
    elif out.is_dir() and any(entry.name != ".flow" for entry in out.iterdir()):  # a run may end right here
        raise ValueError(f"{out}: is not empty and holds no set; take another folder")
    else:
        _write_json(path, now, indent=1)


def _record(out: Path, k: int) -> Path:
    return out / ".flow" / f"{k:05d}.json"


def _write_index(out: Path, shards: int) -> FlowResult:
    """Join the records of all shards; one at a time, so that a large set needs no more memory than a small one."""
    counts: Counter[str] = Counter()
    funnel: Funnel = {}
    with (
        written_whole(out / "samples.jsonl") as index, written_whole(out / "dropped.jsonl") as dropped,
        index.open("w", encoding="utf-8") as rows, dropped.open("w", encoding="utf-8") as drops,
    ):  # fmt: skip
        for k in range(shards):
            record = json.loads(_record(out, k).read_text(encoding="utf-8"))
            for file, key in ((rows, "rows"), (drops, "dropped")):
                file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in record[key])
                counts[key] += len(record[key])
            counts["faults"] += sum(row["fault"] for row in record["dropped"])
            for step, found in record["funnel"].items():
                entry = funnel.setdefault(step, {"in": 0, "dropped": {}})
                entry["in"] += found["in"]
                entry["dropped"] = dict(Counter(entry["dropped"]) + Counter(found["dropped"]))
    _write_json(out / "funnel.json", funnel, indent=1)
    for folder in (out, out / "dropped", out / ".flow"):
        remove_unfinished(folder)
    return FlowResult(counts["rows"], counts["dropped"], counts["faults"], funnel)


def _write_json(path: Path, value: object, indent: int | None = None) -> None:
    with written_whole(path) as temporary:
        temporary.write_text(json.dumps(value, indent=indent, ensure_ascii=False), encoding="utf-8")
