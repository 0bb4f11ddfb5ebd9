"""A language model behind an OpenAI-compatible endpoint (vLLM, llama.cpp, Ollama, SGLang, hosted ones)."""

from __future__ import annotations

import base64
import io
import json
import math
import os
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
from PIL import Image

from posterkit.llm.answers import one_line
from posterkit.llm.client import IMAGE_SIDE, AnswerError, reduced

API_KEY = "POSTERKIT_API_KEY"  # the variable that holds the key; no other tool's key is ever sent anywhere
MOST_BYTES = 1_000_000
LONGEST_PAUSE = 60.0  # seconds; an endpoint that asks for a longer one is not waited for any longer
_TRY_AGAIN = {408, 409, 425, 429, 500, 502, 503, 504, 529}


class Endpoint:
    """An OpenAI-compatible chat endpoint; one may be shared by several threads.

    Pictures go as JPEG (quality 95, full colour) in data URLs. A schema goes as `response_format`; an endpoint that
    refuses that (400, 422) is asked without it from then on.

    Args:
        url: such as `http://localhost:8000/v1`; the part from `/chat/completions` on may be there or not.
        model: the model's name there; None asks the endpoint for its first one.
        api_key: sent as a bearer token; None takes the environment variable `POSTERKIT_API_KEY`, if there is one.
        timeout: seconds for one try, from connecting to the last byte.
        retries: further tries where the endpoint cannot be reached, is busy or fails (429, 5xx).
        pause: seconds before the first further try; doubled each time. A longer Retry-After is heeded, up to 60 s.
        temperature, max_tokens: of the answer.
        image_side: longer side in pixels that pictures are reduced to; what is smaller stays as it is.

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
        image_side: int = IMAGE_SIDE,
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
        self.temperature, self.max_tokens, self.image_side = temperature, max_tokens, image_side
        key = (api_key or os.environ.get(API_KEY, "")).strip()
        if not (key.isascii() and key.isprintable()):  # the client's own error would print it
            where = "api_key" if api_key else API_KEY
            raise ValueError(f"{where}: the key holds a character that cannot be sent; printable ASCII is accepted")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        # one client for all threads, which is safe; proxies and .netrc of the machine stay out of it: what is asked
        # goes to the URL given and nowhere else
        self._client = httpx.Client(timeout=timeout, headers=headers, trust_env=False)
        self._naming = threading.Lock()
        self._takes_schemas = True

    @property
    def name(self) -> str:
        return f"{self.model} at {self.url}" if self.model else self.url

    def ask(
        self,
        system: str,
        user: str,
        images: Sequence[Image.Image] = (),
        schema: dict[str, Any] | None = None,
    ) -> str:
        """The answer to one question; AnswerError where there is none."""
        return self._content(self._answered(self._body(system, user, images), schema))

    def weigh(
        self, system: str, users: Sequence[str], answers: Sequence[str], images: Sequence[Image.Image] = ()
    ) -> list[list[float]]:
        """How likely each of some answers is beside the others, by the `logprobs` of the first token.

        Where the endpoint gives none, the answer itself has all of it.

        Raises:
            AnswerError: there is no answer, or it is none of them.
        """
        return [self._weigh(self._body(system, user, images) | {"max_tokens": 1}, answers) for user in users]

    def _weigh(self, body: dict[str, Any], answers: Sequence[str]) -> list[float]:
        try:
            reply = self._exchange("POST", "/chat/completions", body | {"logprobs": True, "top_logprobs": 20})
        except _Refused:
            reply = self._exchange("POST", "/chat/completions", body)
        said = self._content(reply)
        try:
            first = reply["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
            likely = [(one["token"].strip(), math.exp(one["logprob"])) for one in first]
        except (KeyError, IndexError, TypeError, AttributeError):
            likely = [(said.strip(), 1.0)]
        chances = [sum(chance for token, chance in likely if token == answer) for answer in answers]
        if not sum(chances):
            raise AnswerError(f"{self.url}: answers {one_line(said)!r}; {', '.join(answers)} are accepted")
        return [chance / sum(chances) for chance in chances]

    def _body(self, system: str, user: str, images: Sequence[Image.Image]) -> dict[str, Any]:
        pictures = [{"type": "image_url", "image_url": {"url": self._data_url(image)}} for image in images]
        content = [*pictures, {"type": "text", "text": user}] if pictures else user
        return {
            "model": self.find_model(),
            "messages": [{"role": "system", "content": system}, {"role": "user", "content": content}],
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
        }

    def _content(self, reply: Any) -> str:
        try:
            content = reply["choices"][0]["message"]["content"]
        except (KeyError, IndexError, TypeError):
            content = None
        if not isinstance(content, str) or not content.strip():
            raise AnswerError(f"{self.url}: the reply holds no text at choices[0].message.content")
        return content

    def find_model(self) -> str:
        """The model's name; the endpoint is asked for its first one where none was given.

        Raises:
            AnswerError: it cannot be reached, or names none.
        """
        with self._naming:
            if self.model is None:
                reply = self._exchange("GET", "/models")
                try:
                    name = reply["data"][0]["id"]
                except (KeyError, IndexError, TypeError):
                    name = None
                if not isinstance(name, str):
                    raise AnswerError(f"{self.url}/models: names no model; name one yourself")
                self.model = one_line(name)
            return self.model

    def reach(self) -> None:
        """AnswerError where nobody answers there; what is answered does not matter, not all endpoints list models."""
        try:
            self._client.get(f"{self.url}/models")
        except httpx.HTTPError as fault:
            raise AnswerError(f"{self.url}: {one_line(str(fault)) or type(fault).__name__}") from None

    def _data_url(self, image: Image.Image) -> str:
        file = io.BytesIO()
        reduced(image, self.image_side).save(file, "JPEG", quality=95, subsampling=0)
        return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"

    def _answered(self, body: dict[str, Any], schema: dict[str, Any] | None) -> Any:
        """The reply, asked for with the schema where the endpoint takes one."""
        if schema is None or not self._takes_schemas:
            return self._exchange("POST", "/chat/completions", body)
        form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}
        try:
            return self._exchange("POST", "/chat/completions", body | {"response_format": form})
        except _Refused:
            reply = self._exchange("POST", "/chat/completions", body)
            # the same question without it is answered, so it was that
            self._takes_schemas = False
            return reply

    def _exchange(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        pause = self.pause
        for left in range(self.retries, -1, -1):
            try:
                return self._try(method, path, body)
            except _Busy as fault:
                if not left:
                    raise AnswerError(f"{self.url}{path}: {fault}; gave up after {self.retries + 1} tries") from None
                wait = max(pause, fault.wait)
            time.sleep(min(wait, LONGEST_PAUSE))
            pause *= 2

    def _try(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        """One try: JSON, AnswerError where another would not help, _Busy where it may."""
        deadline = time.monotonic() + self.timeout
        received = bytearray()
        try:
            with self._client.stream(method, self.url + path, json=body) as reply:
                for piece in reply.iter_bytes():
                    received += piece
                    if len(received) > MOST_BYTES:
                        raise AnswerError(f"{self.url}{path}: the reply is longer than {MOST_BYTES} bytes")
                    if time.monotonic() > deadline:
                        raise _Busy(f"no whole reply in {self.timeout:g} s")
        except httpx.TimeoutException:
            raise _Busy(f"no reply in {self.timeout:g} s") from None
        except httpx.HTTPError as fault:
            raise _Busy(one_line(str(fault)) or type(fault).__name__) from None
        if reply.status_code in _TRY_AGAIN:
            raise _Busy(f"status {reply.status_code}", _seconds(reply.headers.get("Retry-After", "")))
        text = received.decode("utf-8", errors="replace")
        if reply.status_code != 200:
            fault = _Refused if reply.status_code in (400, 422) else AnswerError
            raise fault(f"{self.url}{path}: status {reply.status_code}: {one_line(text)}")
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            raise AnswerError(f"{self.url}{path}: the reply is not JSON: {one_line(text)}") from None


class _Busy(Exception):
    """Worth another try, after so many seconds at least."""

    def __init__(self, why: str, wait: float = 0.0) -> None:
        super().__init__(why)
        self.wait = wait


class _Refused(AnswerError):
    """The endpoint does not take the question as it was put."""


def _seconds(retry_after: str) -> float:
    """What a Retry-After header asks for, in seconds or as a date; 0 where it asks for nothing that can be read."""
    if retry_after.strip().isascii() and retry_after.strip().isdigit():
        return float(retry_after)
    try:
        date = parsedate_to_datetime(retry_after)
        return max(0.0, (date - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return 0.0
