"""A reward that another machine serves."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

import httpx
from PIL import Image

from posterkit.llm.answers import one_line
from posterkit.llm.endpoint import API_KEY
from posterkit.rewards.parts.part import check_count
from posterkit.rewards.reward import RewardResult
from posterkit.rewards.service.wire import pack, unpack_results
from posterkit.schema import PosterRequest

_TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}


class RewardError(OSError):
    """A reward gave no usable answer; the message is one line that says who and why."""


class RemoteReward:
    """What `python -m posterkit.rewards.service.server` serves, over HTTP.

    Args:
        url: such as `http://host:8990`.
        timeout: seconds for one try.
        retries: further tries where nobody answers, or the server is busy or fails.
        pause: seconds before the first further try, doubled each time.

    Raises:
        ValueError: the URL is none.
    """

    def __init__(self, url: str, *, timeout: float = 300.0, retries: int = 4, pause: float = 1.0) -> None:
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL as fault:
            raise ValueError(f"reward {url}: not a URL ({fault})") from None
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise ValueError(f"reward {url}: a served reward starts with reward+http:// and names a host")
        self.url, self.retries, self.pause = str(parsed).rstrip("/"), retries, pause
        self._name: str | None = None
        key = os.environ.get(API_KEY, "").strip()
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        # what is asked goes to the URL given, past the machine's proxies
        self._client = httpx.Client(timeout=timeout, headers=headers, trust_env=False)

    @property
    def name(self) -> str:
        """The served reward's own name, so that what is cached here and there agrees.

        Raises:
            RewardError: nobody answers.
        """
        if self._name is None:
            told = self._exchange("GET", "/reward", None)
            name = told.get("name") if isinstance(told, dict) else None
            if not isinstance(name, str):
                raise RewardError(f"{self.url}: serves no reward of posterkit")
            self._name = name
        return self._name

    def reach(self) -> None:
        """RewardError where nobody answers; what is answered does not matter, and nothing is tried again."""
        try:
            self._client.get(f"{self.url}/reward")
        except httpx.HTTPError as fault:
            raise RewardError(f"{self.url}: {one_line(str(fault)) or type(fault).__name__}") from None

    def __call__(self, images: Sequence[Image.Image], rows: Sequence[PosterRequest]) -> list[RewardResult]:
        """The worths; NaN with the fault in `why` for a row that failed over there.

        Raises:
            RewardError: nobody answers after all tries, or what is answered is no answer.
        """
        check_count(self.url, images, rows)
        told = self._exchange("POST", "/worths", pack(images, rows))
        try:
            return unpack_results(told.get("worths") if isinstance(told, dict) else told, len(rows))
        except ValueError as fault:
            raise RewardError(f"{self.url}: unusable answer: {fault}") from None

    def _exchange(self, method: str, path: str, body: Any) -> Any:
        said = ""
        for tried in range(self.retries + 1):
            if tried:
                time.sleep(self.pause * 2 ** (tried - 1))
            try:
                reply = self._client.request(method, f"{self.url}{path}", json=body)
            except httpx.HTTPError as fault:
                said = one_line(str(fault)) or type(fault).__name__
                continue
            if reply.is_success:
                try:
                    return reply.json()
                except ValueError:
                    raise RewardError(f"{self.url}{path}: the answer is no JSON: {one_line(reply.text)}") from None
            said = f"HTTP {reply.status_code}: {one_line(reply.text)}"
            if reply.status_code not in _TRY_AGAIN:
                raise RewardError(f"{self.url}{path}: {said}")
        raise RewardError(f"{self.url}{path}: {said}; gave up after {self.retries + 1} tries")
