"""Serve a reward to other machines; needs posterkit[serve].

    python -m posterkit.rewards.service.server rules --port 8990 [--host 0.0.0.0] [--workers 2] [--cache DIR] [--fast]

A training run opens it as `reward+http://HOST:8990`. `GET /reward` names the reward, `POST /score` scores posters.
Where the variable POSTERKIT_API_KEY is set on the server, only requests with that key are answered.
"""

# pyright: standard
from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from typing import Any

try:
    from fastapi import Depends, FastAPI, HTTPException, Request
    from fastapi.concurrency import run_in_threadpool
except ImportError:
    sys.exit("posterkit: a reward server needs FastAPI and uvicorn: pip install 'posterkit[serve]'")

from posterkit.documents import read_json
from posterkit.rewards.remote import pack_results, unpack
from posterkit.rewards.service.pool import RewardPool
from posterkit.rewards.specs import open_reward
from posterkit.serving import LimitedBody, Server, authorizer, listen, server_key

MOST_BYTES = 1 << 30  # of a request


def reward_app(reward: RewardPool) -> FastAPI:
    """The web application that scores posters with a reward; a poster that fails costs its own result alone."""
    app = FastAPI(openapi_url=None, dependencies=[Depends(authorizer(server_key()))])
    app.add_middleware(LimitedBody, most=lambda: MOST_BYTES)

    @app.get("/reward")
    def name() -> dict[str, str]:
        return {"name": reward.name}

    @app.post("/score")
    async def score(request: Request) -> dict[str, Any]:
        return await run_in_threadpool(scored, await request.body())

    def scored(body: bytes) -> dict[str, Any]:
        try:
            images, requests = unpack(read_json(body, "the request", most=MOST_BYTES))
        except ValueError as error:
            raise HTTPException(400, str(error)) from None
        scoring = reward.submit(images, requests)
        return {"results": pack_results(scoring.result(), scoring.faults)}

    return app


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m posterkit.rewards.service.server", description="Serve a reward to other machines."
    )
    parser.add_argument("reward", help="rules, generic, text:0.6+aesthetics:0.4, a YAML file, a folder, ...")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 lets other machines in")
    parser.add_argument("--port", type=int, default=8990, help="0 takes any free one")
    parser.add_argument("--workers", type=int, default=1, help="processes that score")
    parser.add_argument("--limit", type=float, default=120.0, help="seconds that one poster may take")
    parser.add_argument("--cache", help="a folder that keeps the results")
    parser.add_argument("--device", default="cpu", help="where models run")
    parser.add_argument("--fast", action="store_true", help="OCR at its fast setting")
    given = parser.parse_args()
    options = {"cache": given.cache, "device": given.device, "fast": given.fast}
    try:
        open_reward(given.reward, **options)
        listener = listen(given.host, given.port)
        # a poster that fails is reported to the client; only the client knows how many it can do without
        reward = RewardPool(given.reward, workers=given.workers, limit=given.limit, tolerated=1.0, **options)
    except (OSError, OverflowError, ValueError) as error:
        print(f"posterkit: {error}", file=sys.stderr)
        return 2
    print(f"{reward.name} at http://{given.host}:{listener.getsockname()[1]}", flush=True)
    with listener, reward, suppress(KeyboardInterrupt):
        Server(reward_app(reward), log_level="warning").run(sockets=[listener])
    return 0


if __name__ == "__main__":
    sys.exit(main())
