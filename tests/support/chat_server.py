"""A real HTTP server on loopback that speaks as an OpenAI-compatible endpoint does, or as a test wants it to."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Behaviour = Callable[[BaseHTTPRequestHandler, dict[str, Any]], None]


def reply(handler: BaseHTTPRequestHandler, body: bytes, status: int = 200, **headers: str) -> None:
    handler.send_response(status)
    for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def chat(content: Any) -> bytes:
    return json.dumps({"choices": [{"message": {"role": "assistant", "content": content}}]}).encode()


class Server:
    """Keeps what it was asked, and answers as the test says: the n-th request by the n-th behaviour, then the last."""

    def __init__(self, *behaviours: Behaviour) -> None:
        self.asked: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
                server.asked.append((self.path, dict(self.headers), body))
                behaviour = behaviours[min(len(server.asked), len(behaviours)) - 1]
                try:
                    behaviour(self, body)
                except OSError:  # the client has hung up
                    self.close_connection = True

            do_GET = do_POST

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()


@contextmanager
def servers() -> Iterator[Callable[..., Server]]:
    """Starts servers, and stops them at the end."""
    running: list[Server] = []

    def start(*behaviours: Behaviour) -> Server:
        running.append(Server(*behaviours))
        return running[-1]

    try:
        yield start
    finally:
        for server in running:
            server.close()


def says(content: Any) -> Behaviour:
    """Always the same content; what is no text goes as JSON."""
    text = content if isinstance(content, str) else json.dumps(content)
    return lambda handler, body: reply(handler, chat(text))
