"""Load on the HTTP API: every request is answered, memory stays flat, a full queue makes clients wait.

    OMP_NUM_THREADS=1 python benchmarks/serve_load.py --requests 1000 --clients 24 --queue 8

Starts `posterkit serve` with mini at a tiny size, and sends requests from many clients at once. A client that gets 429
waits as Retry-After says and asks again. Each poster is checked: a PNG of the right size, with the seed that its
request had. Memory is the server's own figure at `/metrics` after every request; its slope is taken from the second
half, with the 95 % interval of the means of 20 blocks.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

import httpx
import numpy as np
from scipy import stats

from posterkit.image_io import open_image

_BLOCKS = 20


@dataclass
class Load:
    """What became of the requests."""

    wrong: list[str] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)  # MiB, after each request


async def one_client(url: str, numbers: list[int], load: Load, side: int, steps: int) -> None:
    """Send requests until there are none left."""
    async with httpx.AsyncClient(base_url=url, timeout=300, trust_env=False) as client:
        while numbers:
            seed = numbers.pop()
            row = {"prompt": "a red boat", "size": f"{side}x{side}", "seed": seed, "steps": steps, "draft": "none"}
            began = time.monotonic()
            while (answer := await client.post("/v1/images/generations", json=row)).status_code == 429:
                load.statuses[429] += 1
                await asyncio.sleep(float(answer.headers["Retry-After"]))
            load.statuses[answer.status_code] += 1
            load.seconds.append(time.monotonic() - began)
            if fault := fault_of(answer, seed, side):
                load.wrong.append(fault)
            text = (await client.get("/metrics")).text
            (memory,) = (line for line in text.splitlines() if line.startswith("posterkit_memory_bytes "))
            load.memory.append(float(memory.split()[1]) / 2**20)


def fault_of(answer: httpx.Response, seed: int, side: int) -> str:
    """What is wrong with an answer; "" where it is the poster that was asked for."""
    if answer.status_code != 200:
        return f"seed {seed}: status {answer.status_code}: {answer.text[:120]}"
    (image,) = answer.json()["data"]
    with open_image(base64.b64decode(image["b64_json"]), formats=("PNG",)) as poster:
        poster.load()
        row = json.loads(poster.text["posterkit"])["row"]  # type: ignore[attr-defined]
        right = poster.size == (side, side) and row["seed"] == seed
    return "" if right else f"seed {seed}: another poster came"


def slope(memory: list[float]) -> tuple[float, float]:
    """MiB per 1000 requests over the second half, and half of its 95 % interval, from the means of blocks."""
    late = np.array(memory[len(memory) // 2 :])
    blocks = [block.mean() for block in np.array_split(late, _BLOCKS)]
    fitted = stats.linregress(np.arange(_BLOCKS) * len(late) / _BLOCKS, blocks)
    return fitted.slope * 1000, stats.t.ppf(0.975, _BLOCKS - 2) * fitted.stderr * 1000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=24)
    parser.add_argument("--queue", type=int, default=8)
    parser.add_argument("--side", type=int, default=64, help="of the posters in pixels")
    parser.add_argument("--steps", type=int, default=1)
    given = parser.parse_args()
    command = [
        sys.executable,
        "-m",
        "posterkit",
        "serve",
        "--port",
        "0",
        "--device",
        "cpu",
        "--queue",
        str(given.queue),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url = server.stdout.readline().strip().rpartition(" ")[2]
        load, numbers, began = Load(), list(range(given.requests)), time.monotonic()

        async def everybody() -> None:
            clients = (one_client(url, numbers, load, given.side, given.steps) for _ in range(given.clients))
            await asyncio.gather(*clients)

        asyncio.run(everybody())
        seconds = time.monotonic() - began
        server.send_signal(signal.SIGTERM)
    done = load.statuses[200]
    print(f"{given.requests} requests, {done} answered rightly, {len(load.wrong)} lost or wrong; server ended with "
          f"{server.returncode}")  # fmt: skip
    for line in load.wrong[:5]:
        print(f"  {line}")
    first, middle, last = np.percentile(load.seconds, (50, 95, 100))
    print(f"{seconds:.0f} s, {done / seconds:.1f} posters/s; a client waits {first:.1f} s (median), {middle:.1f} s "
          f"(95 %), {last:.1f} s (longest); {load.statuses[429]} answers were 429")  # fmt: skip
    per, half = slope(load.memory)
    print(f"memory {load.memory[0]:.0f} MiB at first, {load.memory[-1]:.0f} MiB at last; second half {per:+.2f} "
          f"+- {half:.2f} MiB per 1000 requests")  # fmt: skip
    return 1 if load.wrong or done != given.requests or server.returncode else 0


if __name__ == "__main__":
    sys.exit(main())
