"""The one HTTP client: JSON to one server, with retries, a limit on bytes and a deadline for the whole reply."""

from __future__ import annotations

import os
import threading
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpcore
import httpx

from posterkit.documents import read_json
from posterkit.llm.client import AnswerError
from posterkit.messages import one_line

API_KEY = "POSTERKIT_API_KEY"  # the variable that holds the key; no other tool's key is ever sent anywhere
MOST_BYTES = 1_000_000
LONGEST_PAUSE = 60.0  # seconds; a server that asks for a longer one is not waited for any longer
_TRY_AGAIN = {408, 409, 425, 429, 500, 502, 503, 504, 529}


class RequestRefused(AnswerError):
    """The server does not take the request as it is (status 400 or 422)."""


class JsonClient:
    """Sends JSON to one server and reads JSON from it; several threads may share one.

    Proxies and .netrc of the machine stay out of it: a request goes to the given URL and nowhere else.

    Args:
        url: of the server; its query, fragment and user are dropped.
        name: of the server in an error about the URL.
        api_key: sent as a bearer token; None takes the environment variable `POSTERKIT_API_KEY`, if there is one.
        timeout: seconds for one try, from connecting to the last byte.
        retries: further tries where the server cannot be reached, is busy or fails (429, 5xx).
        pause: seconds before the first further try, doubled each time. A longer Retry-After is heeded, up to 60 s.
        most_bytes: of a reply.

    Raises:
        ValueError: the URL is none, or the key cannot be sent.
    """

    def __init__(
        self,
        url: str,
        name: str = "an endpoint",
        *,
        api_key: str | None = None,
        timeout: float = 120.0,
        retries: int = 2,
        pause: float = 1.0,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise ValueError(f"{url}: not a URL ({error})") from None
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise ValueError(f"{url}: {name} starts with http:// or https:// and names a host")
        path = parsed.path.rstrip("/")
        self.url = str(parsed.copy_with(path=path or "/", query=None, fragment=None, userinfo=b"")).rstrip("/")
        self.timeout, self.retries, self.pause, self.most_bytes = timeout, retries, pause, most_bytes
        key = (api_key or os.environ.get(API_KEY, "")).strip()
        if not (key.isascii() and key.isprintable()):  # the client's own error would print it
            where = "api_key" if api_key else API_KEY
            raise ValueError(f"{where}: the key holds a character that cannot be sent; printable ASCII is accepted")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._network = _Network()
        self._client = httpx.Client(
            timeout=timeout, headers=headers, trust_env=False, transport=_transport(self._network)
        )

    def get(self, path: str) -> Any:
        """The JSON at a path; errors as `post`."""
        return self._exchange("GET", path, None)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """The JSON that answers a body.

        Raises:
            RequestRefused: the server does not take this body.
            AnswerError: there is no answer after all tries, it is too long, or it is not JSON.
        """
        return self._exchange("POST", path, body)

    def reach(self, path: str) -> None:
        """AnswerError where no server answers; any status counts as an answer, and nothing is tried again."""
        try:
            self._network.end_in(self.timeout)
            with self._client.stream("GET", self.url + path):
                pass
        except httpx.HTTPError as error:
            raise AnswerError(f"{self.url}: {_said(error)}") from None

    def _exchange(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        pause = self.pause
        for left in range(self.retries, -1, -1):
            try:
                return self._try(method, path, body)
            except _Busy as busy:
                if not left:
                    raise AnswerError(f"{self.url}{path}: {busy}; gave up after {self.retries + 1} tries") from None
                wait = max(pause, busy.wait)
            time.sleep(min(wait, LONGEST_PAUSE))
            pause *= 2

    def _try(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        """One try: JSON, AnswerError where another would not help, _Busy where it may."""
        deadline = self._network.end_in(self.timeout)
        received = bytearray()
        try:
            with self._client.stream(method, self.url + path, json=body) as reply:
                for piece in reply.iter_bytes():
                    received += piece
                    if len(received) > self.most_bytes:
                        raise AnswerError(f"{self.url}{path}: the reply is longer than {self.most_bytes} bytes")
                    if time.monotonic() > deadline:
                        raise _Busy(f"no whole reply in {self.timeout:g} s")
        except httpx.TimeoutException:
            raise _Busy(f"no {'whole ' if received else ''}reply in {self.timeout:g} s") from None
        except httpx.HTTPError as error:
            raise _Busy(_said(error)) from None
        if reply.status_code in _TRY_AGAIN:
            raise _Busy(f"status {reply.status_code}", _seconds(reply.headers.get("Retry-After", "")))
        text = received.decode("utf-8", errors="replace")
        if reply.status_code != 200:
            refused = RequestRefused if reply.status_code in (400, 422) else AnswerError
            raise refused(f"{self.url}{path}: status {reply.status_code}: {one_line(text)}")
        try:
            return read_json(text)
        except ValueError:
            raise AnswerError(f"{self.url}{path}: the reply is not JSON: {one_line(text)}") from None


class _Network(httpcore.SyncBackend):
    """Connections whose every read and write ends at the deadline of the thread that waits for it.

    httpx counts its timeout anew for each read, so that a server which sends a byte of its headers now and then keeps
    a caller for ever.
    """

    def __init__(self) -> None:
        self._of_thread = threading.local()

    def end_in(self, seconds: float) -> float:
        """Set this thread's deadline, and return it."""
        self._of_thread.deadline = time.monotonic() + seconds
        return self._of_thread.deadline

    def left(self, timeout: float | None) -> float:
        """Seconds that one read or write may take."""
        left = self._of_thread.deadline - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("out of time")
        return left if timeout is None else min(left, timeout)

    def connect_tcp(self, host: str, port: int, timeout: float | None = None, *rest: Any, **more: Any) -> _Stream:
        return _Stream(super().connect_tcp(host, port, self.left(timeout), *rest, **more), self)


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, network: _Network) -> None:
        self._stream, self._network = stream, network

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._network.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._network.left(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None) -> _Stream:
        return _Stream(
            self._stream.start_tls(ssl_context, server_hostname, self._network.left(timeout)), self._network
        )

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _transport(network: _Network) -> httpx.BaseTransport:
    """httpx's own, over these connections; httpx has no argument for them, httpcore below it has."""
    transport = httpx.HTTPTransport(trust_env=False)
    transport._pool = httpcore.ConnectionPool(
        ssl_context=httpx.create_ssl_context(trust_env=False), network_backend=network, keepalive_expiry=5.0
    )
    return transport


class _Busy(Exception):
    """Worth another try, after so many seconds at least."""

    def __init__(self, why: str, wait: float = 0.0) -> None:
        super().__init__(why)
        self.wait = wait


def _said(error: httpx.HTTPError) -> str:
    return one_line(str(error)) or type(error).__name__


def _seconds(retry_after: str) -> float:
    """What a Retry-After header asks for, in seconds or as a date; 0 where it asks for nothing that can be read."""
    if retry_after.strip().isascii() and retry_after.strip().isdigit():
        return float(retry_after)
    try:
        date = parsedate_to_datetime(retry_after)
        return max(0.0, (date - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return 0.0
