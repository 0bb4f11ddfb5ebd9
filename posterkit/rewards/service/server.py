"""Serve a reward to other machines.

    python -m posterkit.rewards.service.server rules --port 8990 [--host 0.0.0.0] [--workers 2] [--cache DIR] [--fast]

Those that train open it as `reward+http://HOST:8990`. `GET /reward` names it, `POST /worths` scores. With the variable
POSTERKIT_API_KEY set on both sides, only who knows the key is answered.
"""

from __future__ import annotations

import argparse
import hmac
import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from posterkit.documents import read_json
from posterkit.llm.http import API_KEY
from posterkit.rewards.registry import open_reward
from posterkit.rewards.remote import pack_results, unpack
from posterkit.rewards.service.pool import RewardPool

LARGEST = 1 << 30  # bytes of a question


class RewardServer(ThreadingHTTPServer):
    """Answers questions about posters; `serve_forever` runs it, `shutdown` and `server_close` end it.

    Args:
        reward: guarded, so that one bad poster fails alone.
        host, port: where it listens; port 0 takes any that is free, see `server_port`.
    """

    daemon_threads = True

    def __init__(self, reward: RewardPool, host: str = "127.0.0.1", port: int = 8990) -> None:
        self.reward, self.key = reward, os.environ.get(API_KEY, "").strip()
        super().__init__((host, port), _Answering)

    def server_close(self) -> None:
        super().server_close()
        self.reward.close()


class _Answering(BaseHTTPRequestHandler):
    server: RewardServer  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_GET(self) -> None:
        if self._let_in():
            self._say({"name": self.server.reward.name} if self.path == "/reward" else None)

    def do_POST(self) -> None:
        if not self._let_in():
            return
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > LARGEST:
            self._say({"fault": f"a question has a Content-Length of at most {LARGEST} bytes"}, 413)
            return
        body = self.rfile.read(int(length))
        if self.path != "/worths":
            self._say(None)
            return
        try:
            images, rows = unpack(read_json(body, "the question"))
        except ValueError as fault:
            self._say({"fault": str(fault)}, 400)
            return
        scoring = self.server.reward.submit(images, rows)
        self._say({"worths": pack_results(scoring.result(), scoring.faults)})

    def _let_in(self) -> bool:
        told = self.headers.get("Authorization", "").encode()
        if not self.server.key or hmac.compare_digest(told, f"Bearer {self.server.key}".encode()):
            return True
        self._say({"fault": f"wrong key; set {API_KEY}"}, 401)
        return False

    def _say(self, told: dict[str, Any] | None, status: int = 200) -> None:
        if told is None:
            told, status = {"fault": f"nothing at {self.path}; there are GET /reward and POST /worths"}, 404
        body = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """A line for each question would drown what matters."""


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m posterkit.rewards.service.server", description="Serve a reward to other machines."
    )
    parser.add_argument("reward", help="rules, generic, text:0.6+aesthetics:0.4, a YAML file, a folder, ...")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 lets other machines in")
    parser.add_argument("--port", type=int, default=8990)
    parser.add_argument("--workers", type=int, default=1, help="processes that score")
    parser.add_argument("--limit", type=float, default=120.0, help="seconds that one poster may take")
    parser.add_argument("--cache", help="a folder that keeps the worths")
    parser.add_argument("--device", default="cpu", help="where models run")
    parser.add_argument("--fast", action="store_true", help="OCR at its fast setting")
    given = parser.parse_args()
    options = {"cache": given.cache, "device": given.device, "fast": given.fast}
    try:
        open_reward(given.reward, **options)
        # a failing row is told to who asked; only they know how many they can do without
        reward = RewardPool(given.reward, workers=given.workers, limit=given.limit, tolerated=1.0, **options)
        server = RewardServer(reward, given.host, given.port)
    except (OSError, ValueError) as error:
        print(f"posterkit: {error}", file=sys.stderr)
        return 2
    print(f"{reward.name} at http://{given.host}:{server.server_port}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
