"""OpenAI's image requests as rows, and jobs as OpenAI's clients read them."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from PIL import Image

from posterkit.app.intake import Sent, wanted_formats
from posterkit.app.poster_job import PosterJob, PosterResult
from posterkit.app.service_errors import ServiceError
from posterkit.image_io import read_cutout
from posterkit.messages import one_line
from posterkit.schema import is_whole

# what OpenAI's models take and ours have no use for; each is left out with a note
_IGNORED = (
    "model", "quality", "background", "moderation", "output_compression", "partial_images", "input_fidelity", "user",
    "safety_identifier",
)  # fmt: skip
_SAME_AS_OURS = {"model": ("posterkit",), "background": ("auto", "opaque"), "partial_images": (0,)}
_NO_TOKENS = {
    "input_tokens": 0, "output_tokens": 0, "total_tokens": 0,
    "input_tokens_details": {"image_tokens": 0, "text_tokens": 0},
}  # fmt: skip


class ImageCall:
    """One call of `/v1/images/generations` or `/v1/images/edits`; changes what was sent into our own row.

    Every key of a manifest's row may stand beside OpenAI's: texts, seed, steps, style ...

    Attributes:
        formats: the one that is answered.
        as_url: the answer names the posters' addresses, in place of their bytes.
        stream: each poster is sent when it is done.
        notes: what was left out.

    Raises:
        ServiceError: a value is of the wrong kind.
    """

    def __init__(self, sent: Sent, edit: bool) -> None:
        row, self.edit = sent.row, edit
        row.pop("formats", None)
        if (count := row.pop("n", None)) is not None:
            if not is_whole(count) or count < 1:
                found = one_line(repr(count), 20)
                raise ServiceError(400, f"n must be a whole number of at least 1, found {found}", "invalid_request")
            row["seeds"] = count
        self.stream = bool(row.pop("stream", False))
        self.formats = wanted_formats([str(row.pop("output_format", None) or "png")])
        form = row.pop("response_format", None) or "b64_json"
        if form not in ("b64_json", "url"):
            raise ServiceError(400, f"response_format is b64_json or url, found {one_line(str(form), 20)!r}")
        self.as_url = form == "url"
        self.notes = [
            f"{key} is ignored: {_reason(key)}"
            for key in _IGNORED
            if (value := row.pop(key, None)) is not None and value not in _SAME_AS_OURS.get(key, ("auto",))
        ]
        if row.get("size") == "auto":
            del row["size"]
        if edit:
            self._find_task(sent)
        elif row.get("images"):
            raise ServiceError(400, "images belong to /v1/images/edits or /v1/posters", "invalid_request")

    def _find_task(self, sent: Sent) -> None:
        row = sent.row
        images = row.get("images")
        row["images"] = images if isinstance(images, list) else [images] if images else []
        if not row["images"]:
            raise ServiceError(400, "an edit needs an image", "invalid_request")
        if row.get("mask"):
            row.setdefault("task", "filling")
            if row["mask"] in sent.files:
                self._turn_mask(sent)
        if "task" not in row:
            row["task"] = "id_driven"
            self.notes.append("the task is id_driven, the subject in a new poster; name another one as task")

    def _turn_mask(self, sent: Sent) -> None:
        """OpenAI's masks are transparent where something is made, ours are white there."""
        path = sent.folder / sent.row["mask"]
        if (cut := read_cutout(path)) is None:
            self.notes.append("the mask has no transparent part; white in it is made")
            return
        name = sent.free_name("mask-white.png")
        made = cut.getchannel("A").point([255] * 128 + [0] * 128)
        Image.merge("L", [made]).save(sent.folder / name)
        sent.row["mask"] = name

    def answer(self, job: PosterJob, address: Callable[[PosterJob, int, str], str]) -> dict[str, Any]:
        """What the client gets when a job is done; ServiceError where it failed."""
        if job.error:
            raise job.error
        data = [self._image(job, number, result, address) for number, result in enumerate(job.results, start=1)]
        made = [result for result in job.results if not result.error]
        return {
            "created": int(job.created), "data": [one for one in data if "error" not in one],
            "background": "opaque", "output_format": self.formats[0].replace("jpg", "jpeg"), "size": made[0].size,
            "notes": [*self.notes, *job.notes], "errors": [one["error"] for one in data if "error" in one],
        }  # fmt: skip

    def _image(
        self, job: PosterJob, number: int, result: PosterResult, address: Callable[[PosterJob, int, str], str]
    ) -> dict[str, Any]:
        if result.error:
            return result.error.body()
        (ending, path), *_ = result.files.items()
        where = (
            {"url": address(job, number, ending)}
            if self.as_url
            else {"b64_json": base64.b64encode(path.read_bytes()).decode()}
        )
        return {**where, "seed": result.seed, "size": result.size, "notes": result.notes, "record": result.record}

    async def events(self, job: PosterJob) -> AsyncIterator[str]:
        """The posters as server-sent events, and a comment now and then while they are drawn."""
        async for _ in job.changes(every=5.0):
            yield ": drawing\n\n"
        if job.error:
            yield server_event("error", job.error.body())
            return
        kind = "image_edit.completed" if self.edit else "image_generation.completed"
        for number, result in enumerate(job.results, start=1):
            if result.error:
                yield server_event("error", result.error.body())
                continue
            said = self._image(job, number, result, lambda *_: "")
            ending = self.formats[0].replace("jpg", "jpeg")
            more = {"type": kind, "created_at": int(job.created), "output_format": ending, "background": "opaque"}
            notes = [*self.notes, *job.notes, *result.notes]
            yield server_event(kind, {**said, **more, "quality": "auto", "usage": _NO_TOKENS, "notes": notes})


def server_event(kind: str, data: dict[str, Any]) -> str:
    """One server-sent event."""
    return f"event: {kind}\ndata: {json.dumps(data)}\n\n"


def _reason(key: str) -> str:
    if key == "model":
        return "this server has one model"
    if key == "background":
        return "posters are opaque"
    return "posterkit has no such setting"
