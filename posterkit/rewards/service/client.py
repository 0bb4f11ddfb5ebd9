"""A reward that another machine serves."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from posterkit.llm.client import AnswerError
from posterkit.llm.http import JsonClient
from posterkit.rewards.parts.part import check_count
from posterkit.rewards.reward import RewardResult
from posterkit.rewards.service.wire import pack, unpack_results
from posterkit.schema import PosterRequest

MOST_BYTES = 1 << 24  # of a reply; a result takes some hundred bytes


class RewardError(OSError):
    """A reward gave no usable result; the message is one line that names it and says why."""


class RemoteReward:
    """What `python -m posterkit.rewards.service.server` serves, over HTTP.

    Args:
        url: such as `http://host:8990`.
        timeout: seconds for one try, to the last byte.
        retries: further tries where no server answers, or it is busy or fails.
        pause: seconds before the first further try, doubled each time.

    Raises:
        ValueError: the URL is not one.
    """

    def __init__(self, url: str, *, timeout: float = 300.0, retries: int = 4, pause: float = 1.0) -> None:
        try:
            self._client = JsonClient(
                url, "a served reward", timeout=timeout, retries=retries, pause=pause, most_bytes=MOST_BYTES
            )
        except ValueError as error:
            raise ValueError(f"reward {error}") from None
        self.url = self._client.url
        self._name: str | None = None

    @property
    def name(self) -> str:
        """The served reward's own name, so that what is cached here and there agrees.

        Raises:
            RewardError: no server answers.
        """
        if self._name is None:
            try:
                found = self._client.get("/reward")
            except AnswerError as error:
                raise RewardError(str(error)) from None
            name = found.get("name") if isinstance(found, dict) else None
            if not isinstance(name, str):
                raise RewardError(f"{self.url}: serves no reward of posterkit")
            self._name = name
        return self._name

    def reach(self) -> None:
        """AnswerError where no server answers; any status counts as an answer, and nothing is tried again."""
        self._client.reach("/reward")

    def __call__(self, images: Sequence[Image.Image], rows: Sequence[PosterRequest]) -> list[RewardResult]:
        """The results; NaN with the fault in `why` for a row that failed on the server.

        Raises:
            RewardError: no server answers after all tries, or the answer is not usable.
        """
        check_count(self.url, images, rows)
        try:
            found = self._client.post("/worths", pack(images, rows))
            return unpack_results(found.get("worths") if isinstance(found, dict) else found, len(rows))
        except AnswerError as error:
            raise RewardError(str(error)) from None
        except ValueError as error:
            raise RewardError(f"{self.url}: unusable answer: {error}") from None
