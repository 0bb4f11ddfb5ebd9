"""Posters, rows and worths as JSON: what goes between a reward's server and its clients. Pictures are base64 PNG."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from PIL import Image

from posterkit.rewards.reward import RewardResult
from posterkit.schema import TEXT, PosterRequest, Region
from posterkit.sizing import Size


def pack(images: Sequence[Image.Image], rows: Sequence[PosterRequest]) -> dict[str, Any]:
    """A question: posters and what they were asked to be."""
    return {"images": [_png(image.convert("RGB")) for image in images], "rows": [_packed(row) for row in rows]}


def unpack(told: Any) -> tuple[list[Image.Image], list[PosterRequest]]:
    """The posters and rows of a question.

    Raises:
        ValueError: it is none: a key is missing or of the wrong kind, a picture is damaged, the numbers differ.
    """
    try:
        images, rows = [_picture(one) for one in told["images"]], [_unpacked(row) for row in told["rows"]]
    except (KeyError, TypeError, AttributeError, OSError, SyntaxError) as fault:
        what = f"{fault} is missing" if isinstance(fault, KeyError) else str(fault)
        raise ValueError(f'a question holds "images" and "rows"; {what}') from None
    if len(images) != len(rows):
        raise ValueError(f"{len(images)} posters for {len(rows)} rows; give one row for each")
    return images, rows


def pack_results(worths: Sequence[RewardResult | None], faults: Sequence[str]) -> list[dict[str, Any]]:
    """An answer; a row without a worth has its fault instead."""
    left = iter(faults)
    return [asdict(worth) if worth is not None else {"fault": next(left, "failed")} for worth in worths]


def unpack_results(told: Any, count: int) -> list[RewardResult]:
    """The worths of an answer; a row that failed is NaN and says why.

    Raises:
        ValueError: it is no answer, or not of so many rows.
    """
    if not isinstance(told, list) or len(told) != count:
        found = f"{len(told)} worths" if isinstance(told, list) else type(told).__name__
        raise ValueError(f"{found} for {count} posters")
    try:
        return [
            RewardResult(float("nan"), {}, str(one["fault"]))
            if "fault" in one
            else RewardResult(
                float(one["value"]), {str(k): float(v) for k, v in one["parts"].items()}, str(one["why"])
            )
            for one in told
        ]
    except (KeyError, TypeError, AttributeError) as fault:
        raise ValueError(f"a worth holds value, parts and why: {fault}") from None


def _packed(row: PosterRequest) -> dict[str, Any]:
    mask = row.mask_picture()
    return {
        "task": row.task, "prompt": row.as_instruction(), "texts": row.texts,
        "references": [_png(picture) for picture in row.pictures()], "mask": mask and _png(mask),
        "placed": row.placed, "regions": [asdict(region) for region in row.regions], "size": row.size,
        "caption": row.caption, "spare": row.spare, "id": row.id,
    }  # fmt: skip


def _unpacked(told: dict[str, Any]) -> PosterRequest:
    def maybe(value: Any) -> Any:
        return None if value is None else tuple(value)

    mask = told.get("mask")
    return PosterRequest(
        str(told["prompt"]) if told["task"] == TEXT else "", task=str(told["task"]),
        instruction=None if told["task"] == TEXT else str(told["prompt"]), texts=maybe(told.get("texts")),
        images=tuple(np.asarray(_picture(one)) for one in told.get("references") or ()),
        mask=None if mask is None else np.asarray(_picture(mask, "L")), placed=maybe(told.get("placed")),
        regions=tuple(
            Region(tuple(one["box"]), one["role"], one["text"]) for one in told.get("regions") or ()
        ),
        size=None if told.get("size") is None else Size(*told["size"]), caption=str(told.get("caption") or ""),
        spare=int(told.get("spare") or 0), id=str(told.get("id") or ""),
    )  # fmt: skip


def _png(image: Image.Image) -> str:
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)
    return base64.b64encode(file.getvalue()).decode()


def _picture(told: str, mode: str = "RGB") -> Image.Image:
    with Image.open(io.BytesIO(base64.b64decode(told, validate=True)), formats=("PNG",)) as picture:
        return picture.convert(mode)
