"""A language model behind an OpenAI-compatible endpoint (vLLM, llama.cpp, Ollama, SGLang, hosted ones)."""

from __future__ import annotations

import json
import os
import time
from typing import Any

import httpx

from posterkit.judges.chat import AnswerError

API_KEY = "POSTERKIT_API_KEY"  # the variable that holds the key; no other tool's key is ever sent anywhere
MOST_BYTES = 1_000_000
_TRY_AGAIN = {408, 409, 425, 429, 500, 502, 503, 504, 529}


class Endpoint:
    """An OpenAI-compatible chat endpoint.

    Args:
        url: such as `http://localhost:8000/v1`; the part from `/chat/completions` on may be there or not.
        model: the model's name there; None asks the endpoint for its first one.
        api_key: sent as a bearer token; None takes the environment variable `POSTERKIT_API_KEY`, if there is one.
        timeout: seconds for one try, from connecting to the last byte.
        retries: further tries where the endpoint cannot be reached, is busy or fails (429, 5xx).
        pause: seconds before the first further try; doubled each time.
        temperature, max_tokens: of the answer.

    Raises:
        ValueError: the URL is none, or the key cannot be sent.
    """

    def __init__(
        self,
        url: str,
        model: str | None = None,
        *,
        api_key: str | None = None,
        timeout: float = 120.0,
        retries: int = 2,
        pause: float = 1.0,
        temperature: float = 0.6,
        max_tokens: int = 4096,
    ) -> None:
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL as fault:
            raise ValueError(f"{url}: not a URL ({fault})") from None
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise ValueError(f"{url}: an endpoint starts with http:// or https:// and names a host")
        path = parsed.path.rstrip("/").removesuffix("/chat/completions") or "/v1"
        self.url = str(parsed.copy_with(path=path, query=None, fragment=None, userinfo=b""))
        self.model, self.timeout, self.retries, self.pause = model, timeout, retries, pause
        self.temperature, self.max_tokens = temperature, max_tokens
        key = (api_key or os.environ.get(API_KEY, "")).strip()
        if not (key.isascii() and key.isprintable()):  # the client's own error would print it
            where = "api_key" if api_key else API_KEY
            raise ValueError(f"{where}: the key holds a character that cannot be sent; printable ASCII is accepted")
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    @property
    def name(self) -> str:
        return f"{self.model} at {self.url}" if self.model else self.url

    def ask(self, system: str, user: str) -> str:
        """The answer to one question; AnswerError where there is none."""
        if self.model is None:
            self.model = self._first_model()
        body = {
            "model": self.model,
            "messages": [{"role": "system", "content": system}, {"role": "user", "content": user}],
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
        }
        reply = self._exchange("POST", "/chat/completions", body)
        try:
            content = reply["choices"][0]["message"]["content"]
        except (KeyError, IndexError, TypeError):
            content = None
        if not isinstance(content, str) or not content.strip():
            raise AnswerError(f"{self.url}: the reply holds no text at choices[0].message.content")
        return content

    def _first_model(self) -> str:
        reply = self._exchange("GET", "/models")
        try:
            name = reply["data"][0]["id"]
        except (KeyError, IndexError, TypeError):
            name = None
        if not isinstance(name, str):
            raise AnswerError(f"{self.url}/models: names no model; name one yourself")
        return _one_line(name)

    def _exchange(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        pause = self.pause
        for left in range(self.retries, -1, -1):
            try:
                return self._try(method, path, body)
            except _Busy as fault:
                if not left:
                    raise AnswerError(f"{self.url}{path}: {fault}; gave up after {self.retries + 1} tries") from None
            time.sleep(pause)
            pause *= 2

    def _try(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        """One try: JSON, AnswerError where another would not help, _Busy where it may."""
        deadline = time.monotonic() + self.timeout
        received = bytearray()
        try:
            # proxies and .netrc of the machine stay out of it: what is asked goes to the URL given and nowhere else
            with (
                httpx.Client(timeout=self.timeout, headers=self._headers, trust_env=False) as client,
                client.stream(method, self.url + path, json=body) as reply,
            ):
                for piece in reply.iter_bytes():
                    received += piece
                    if len(received) > MOST_BYTES:
                        raise AnswerError(f"{self.url}{path}: the reply is longer than {MOST_BYTES} bytes")
                    if time.monotonic() > deadline:
                        raise _Busy(f"no whole reply in {self.timeout:g} s")
        except httpx.TimeoutException:
            raise _Busy(f"no reply in {self.timeout:g} s") from None
        except httpx.HTTPError as fault:
            raise _Busy(_one_line(str(fault)) or type(fault).__name__) from None
        if reply.status_code in _TRY_AGAIN:
            raise _Busy(f"status {reply.status_code}")
        text = received.decode("utf-8", errors="replace")
        if reply.status_code != 200:
            raise AnswerError(f"{self.url}{path}: status {reply.status_code}: {_one_line(text)}")
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            raise AnswerError(f"{self.url}{path}: the reply is not JSON: {_one_line(text)}") from None


class _Busy(Exception):
    """Worth another try."""


def _one_line(text: str, most: int = 160) -> str:
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return line if len(line) <= most else line[: most - 1] + "…"
