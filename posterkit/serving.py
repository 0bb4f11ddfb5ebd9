"""What posterkit's HTTP servers share: a key, limits on bodies, patience with slow clients; needs posterkit[serve]."""

# pyright: standard
from __future__ import annotations

import asyncio
import hmac
import os
import socket
import time
from collections.abc import Callable
from typing import Annotated, Any

import uvicorn
from fastapi import Header, HTTPException
from uvicorn.protocols.http.h11_impl import H11Protocol

from posterkit.llm.http import API_KEY

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_HEAD_SECONDS = 15.0  # from a connection, or the first byte of a further request, to the end of its headers
_UNREAD_SECONDS = 1.0  # between looks at whether a connection that does not read has been closed
_CLOSE = {"Connection": "close"}  # what the client still sends is not read

Receive = Callable[[], Any]
Send = Callable[[Any], Any]


def server_key() -> str:
    """The key that clients must send, from the environment variable `POSTERKIT_API_KEY`; "" where there is none.

    The variable may hold several, one for each client, separated by commas.
    """
    return ",".join(key.strip() for key in os.environ.get(API_KEY, "").split(",") if key.strip())


def key_fits(given: str, key: str) -> bool:
    """Whether a key is the server's, or one of its several; takes as long for every wrong one."""
    return sum(hmac.compare_digest(given.encode(), one.encode()) for one in key.split(",")) > 0


def header_fits(authorization: str, key: str) -> bool:
    """Whether an Authorization header carries a key of the server's."""
    return authorization.startswith("Bearer ") and key_fits(authorization.removeprefix("Bearer "), key)


def authorizer(key: str) -> Callable[..., None]:
    """The dependency of routes that only clients with the key may call; all may where there is no key."""

    def authorize(authorization: Annotated[str, Header()] = "") -> None:
        if key and not header_fits(authorization, key):
            raise HTTPException(401, f"wrong key; set {API_KEY}", {"WWW-Authenticate": "Bearer"})

    return authorize


class LimitedBody:
    """Ends requests whose body is too long or too slow, and clients that do not read what they asked for.

    Args:
        most: bytes of a body; a function, so that it is read for each request.
        seconds: for a whole body, and for each piece of a reply.
    """

    def __init__(self, app: Any, most: Callable[[], int], seconds: float = 120.0) -> None:
        self.app, self.most, self.seconds = app, most, seconds

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        most, deadline = self.most(), time.monotonic() + self.seconds
        announced = dict(scope["headers"]).get(b"content-length", b"")
        read, whole = 0, False

        async def limited() -> Any:
            nonlocal read, whole
            if whole:  # what comes now is that the client has gone
                return await receive()
            if announced.isdigit() and int(announced) > most:
                raise _too_long(most)
            try:
                message = await asyncio.wait_for(receive(), deadline - time.monotonic())
            except TimeoutError:
                raise HTTPException(408, f"no whole body in {self.seconds:g} s", _CLOSE) from None
            read += len(message.get("body", b""))
            if read > most:
                raise _too_long(most)
            whole = not message.get("more_body", False)
            return message

        async def patient(message: Any) -> None:
            await asyncio.wait_for(send(message), self.seconds)

        await self.app(scope, limited, patient)


def _too_long(most: int) -> HTTPException:
    return HTTPException(413, f"a request has at most {most} bytes", _CLOSE)


class _TimedProtocol(H11Protocol):
    """Ends connections that uvicorn waits for without end.

    Those are closed that send no whole head of a request in time. Those that do not read what they asked for are
    dropped once they are closed: what they have not read would keep them open.
    """

    _timer: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._timer = self.loop.call_later(_HEAD_SECONDS, transport.close)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        waits = self.cycle is None or self.cycle.response_complete
        if waits and self._timer is None:
            self._timer = self.loop.call_later(_HEAD_SECONDS, self.transport.close)
        elif not waits:
            self._stop_timer()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._drop_closed()

    def resume_writing(self) -> None:
        self._stop_dropping()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._stop_dropping()
        super().connection_lost(exc)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _drop_closed(self) -> None:
        if self.transport.is_closing():
            self.transport.abort()
        else:
            self._unread = self.loop.call_later(_UNREAD_SECONDS, self._drop_closed)

    def _stop_dropping(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None


class Server(uvicorn.Server):
    """A server of one application.

    Args:
        most_connections: at once; further ones get status 503.
        grace: seconds in which running requests may end after a signal.
        on_signal: called at once when SIGTERM or Ctrl-C comes.
    """

    def __init__(
        self, app: Any, *, most_connections: int | None = None, grace: float = 5.0,
        on_signal: Callable[[], None] = lambda: None, log_level: str = "critical",
    ) -> None:  # fmt: skip
        super().__init__(
            uvicorn.Config(
                app, http=_TimedProtocol, ws="none", log_level=log_level, limit_concurrency=most_connections,
                timeout_graceful_shutdown=max(1, round(grace)), server_header=False,
            )
        )  # fmt: skip
        self._on_signal = on_signal

    def handle_exit(self, sig: int, frame: Any) -> None:
        self._on_signal()
        super().handle_exit(sig, frame)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; OSError where the port is taken or there is no such host, OverflowError for no port."""
    return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
