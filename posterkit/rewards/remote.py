"""The client of a served reward; posters, requests and results as JSON."""

# pyright: standard
from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from PIL import Image

from posterkit.image_io import open_image
from posterkit.llm.client import AnswerError
from posterkit.llm.http import JsonClient
from posterkit.messages import one_line
from posterkit.rewards.reward import RewardError, RewardResult, check_count
from posterkit.schema import TEXT, PosterRequest, Region
from posterkit.sizing import Size

_LONGEST_WHY = 2000  # letters
MOST_BYTES = 1 << 24  # of a reply; a result takes some hundred bytes


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

    def __call__(self, images: Sequence[Image.Image], requests: Sequence[PosterRequest]) -> list[RewardResult]:
        """The results; NaN with the error in `why` for a request that failed on the server.

        Raises:
            RewardError: no server answers after all tries, or the answer is not usable.
        """
        check_count(self.url, images, requests)
        try:
            found = self._client.post("/score", pack(images, requests))
            return unpack_results(found.get("results") if isinstance(found, dict) else found, len(requests))
        except AnswerError as error:
            raise RewardError(str(error)) from None
        except ValueError as error:
            raise RewardError(f"{self.url}: unusable answer: {error}") from None


def pack(images: Sequence[Image.Image], requests: Sequence[PosterRequest]) -> dict[str, Any]:
    """Posters and their requests as JSON values; pictures are base64 PNG."""
    return {"images": [_png(image.convert("RGB")) for image in images], "requests": [_packed(row) for row in requests]}


def unpack(body: Any) -> tuple[list[Image.Image], list[PosterRequest]]:
    """The posters and requests of what `pack` made.

    Raises:
        ValueError: a key is missing or of the wrong kind, a picture is damaged, or the numbers differ.
    """
    try:
        images, requests = [_picture(one) for one in body["images"]], [_unpacked(row) for row in body["requests"]]
    except (KeyError, TypeError, AttributeError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise ValueError(f'a request holds "images" and "requests"; {what}') from None
    if len(images) != len(requests):
        raise ValueError(f"{len(images)} posters for {len(requests)} requests; give one request for each")
    return images, requests


def pack_results(results: Sequence[RewardResult | None], faults: Sequence[str]) -> list[dict[str, Any]]:
    """Results as JSON values; a request without one has its error instead."""
    left = iter(faults)
    return [asdict(result) if result is not None else {"error": next(left, "failed")} for result in results]


def unpack_results(packed: object, count: int) -> list[RewardResult]:
    """The results of what `pack_results` made; a request that failed is NaN and says why.

    Raises:
        ValueError: these are no results, or not so many.
    """
    if not isinstance(packed, list) or len(packed) != count:
        found = f"{len(packed)} results" if isinstance(packed, list) else type(packed).__name__
        raise ValueError(f"{found} for {count} posters")
    try:
        return [
            RewardResult(float("nan"), {}, one_line(str(one["error"])))
            if "error" in one
            else RewardResult(
                _in_range(one["value"]),
                {one_line(k, 80): float(v) for k, v in one["parts"].items()},
                one_line(str(one["why"]), _LONGEST_WHY),
            )
            for one in packed
        ]
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"a result holds value, parts and why: {error}") from None


def _in_range(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"a value must be a number from 0 to 1, found {one_line(repr(value), 40)}")
    return float(value)


def _packed(row: PosterRequest) -> dict[str, Any]:
    mask = row.mask_picture()
    return {
        "task": row.task, "prompt": row.as_instruction(), "texts": row.texts,
        "references": [_png(picture) for picture in row.pictures()], "mask": mask and _png(mask),
        "placed": row.placed, "regions": [asdict(region) for region in row.regions], "size": row.size,
        "caption": row.caption, "spare": row.spare, "id": row.id,
    }  # fmt: skip


def _unpacked(row: dict[str, Any]) -> PosterRequest:
    def maybe(value: Any) -> Any:
        return None if value is None else tuple(value)

    mask = row.get("mask")
    return PosterRequest(
        str(row["prompt"]) if row["task"] == TEXT else "", task=str(row["task"]),
        instruction=None if row["task"] == TEXT else str(row["prompt"]), texts=maybe(row.get("texts")),
        images=tuple(np.asarray(_picture(one)) for one in row.get("references") or ()),
        mask=None if mask is None else np.asarray(_picture(mask, "L")), placed=maybe(row.get("placed")),
        regions=tuple(
            Region(tuple(one["box"]), one["role"], one["text"]) for one in row.get("regions") or ()
        ),
        size=None if row.get("size") is None else Size(*row["size"]), caption=str(row.get("caption") or ""),
        spare=int(row.get("spare") or 0), id=str(row.get("id") or ""),
    )  # fmt: skip


def _png(image: Image.Image) -> str:
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)
    return base64.b64encode(file.getvalue()).decode()


def _picture(data: str, mode: str = "RGB") -> Image.Image:
    with open_image(base64.b64decode(data, validate=True), formats=("PNG",)) as picture:
        return picture.convert(mode)
