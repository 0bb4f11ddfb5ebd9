"""The HTTP API: posters as jobs, OpenAI's image calls, health and metrics; needs posterkit[serve]."""

# pyright: standard
from __future__ import annotations

import logging
import re
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from anyio import CapacityLimiter, to_thread
from fastapi import Depends, FastAPI, Header, Query
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse

from posterkit.app.forms import read_sent
from posterkit.app.intake import FORMATS, Intake, Sent, wanted_formats
from posterkit.app.job_queue import JobQueue
from posterkit.app.metrics import TEXT_FORMAT, metrics_text
from posterkit.app.openai_images import ImageCall, server_event
from posterkit.app.poster_job import PosterJob
from posterkit.app.service_errors import ServiceError, service_error
from posterkit.messages import error_line, one_line
from posterkit.serving import LOOPBACK, LimitedBody, header_fits

_log = logging.getLogger("posterkit.app")
_AT_ONCE = 2  # requests that are read and planned at the same time
_GONE = Response(status_code=499)  # nobody reads it
_CLIENT_GONE = "the client has gone"


class PosterApi:
    """The routes over one queue.

    Args:
        key: that clients must send, or several, separated by commas; "" lets all in.
    """

    def __init__(self, queue: JobQueue, intake: Intake, key: str = "") -> None:
        self.queue, self.intake, self.key = queue, intake, key
        self.statuses: Counter[int] = Counter()
        self._planning = CapacityLimiter(_AT_ONCE)

    def app(self) -> FastAPI:
        """The web application."""
        app = FastAPI(title="posterkit", docs_url=None, redoc_url=None, openapi_url=None)
        limits = self.queue.limits
        app.add_middleware(LimitedBody, most=lambda: limits.body, seconds=limits.body_seconds)
        app.add_exception_handler(ServiceError, _service_answer)
        app.add_exception_handler(HTTPException, _http_answer)
        app.add_exception_handler(RequestValidationError, _wrong_answer)
        app.add_exception_handler(ClientDisconnect, _gone_answer)
        app.add_exception_handler(Exception, _failed_answer)
        app.add_middleware(_StatusCounter, counts=self.statuses)
        guarded: dict[str, Any] = {"dependencies": [Depends(self._authorize)]}
        app.get("/healthz")(self.health)
        app.get("/metrics", **guarded)(self.metrics)
        app.get("/v1/models", **guarded)(self.models)
        app.post("/v1/posters", **guarded)(self.post_poster)
        app.post("/v1/images/generations", **guarded)(self.generate_images)
        app.post("/v1/images/edits", **guarded)(self.edit_images)
        app.get("/v1/jobs/{name}", **guarded)(self.job)
        app.delete("/v1/jobs/{name}", **guarded)(self.cancel)
        app.get("/v1/jobs/{name}/events", **guarded)(self.events)
        app.get("/v1/jobs/{name}/posters/{number}")(self.poster)  # by the job's own key too
        return app

    async def health(self) -> JSONResponse:
        alive = self.queue.alive
        return JSONResponse({"status": "ok" if alive else "stopping"}, 200 if alive else 503)

    async def metrics(self) -> PlainTextResponse:
        return PlainTextResponse(metrics_text(self.queue, self.statuses), media_type=TEXT_FORMAT)

    async def models(self) -> dict[str, Any]:
        return {"object": "list", "data": [{"id": "posterkit", "object": "model", "owned_by": "posterkit"}]}

    async def post_poster(
        self, request: Request, format: str = "", wait: Annotated[float, Query(ge=0, le=3600)] = 0.0,
        accept: Annotated[str, Header()] = "",
    ) -> Response:  # fmt: skip
        """A job for a row; with `format` or an Accept header, the poster itself when it is done."""
        with self.queue.reserved(self._client(request)) as folder:
            sent = await read_sent(request, folder)
            direct = wanted_formats([format])[0] if format else _accepted(accept, tuple(FORMATS))
            named = sent.row.pop("formats", None) or [direct or Path(str(sent.row.get("out") or "")).suffix or "png"]
            if not isinstance(named, list) or not all(isinstance(one, str) for one in named):
                raise ServiceError(400, 'formats is a list such as ["png", "pdf"]', "invalid_request")
            formats = wanted_formats([*named, *([direct] if direct else [])])
            job = await self._submitted(request, sent, formats)
        if direct is None:
            until = time.monotonic() + wait
            async for _ in job.changes():
                if time.monotonic() >= until:
                    break
        elif not await self._finished(job, request):
            return _GONE
        elif job.error:
            raise job.error
        else:
            return self._file(job, 1, direct)
        return JSONResponse(_job_view(job), 200 if job.over else 202, {"Location": f"/v1/jobs/{job.id}"})

    async def generate_images(self, request: Request) -> Response:
        """OpenAI's images.generate."""
        return await self._images(request, edit=False)

    async def edit_images(self, request: Request) -> Response:
        """OpenAI's images.edit."""
        return await self._images(request, edit=True)

    async def job(self, name: str) -> dict[str, Any]:
        return _job_view(self.queue.find(name))

    async def cancel(self, name: str) -> dict[str, Any]:
        """End a job; one that is over is let go with its files."""
        job = self.queue.find(name)
        if job.over:
            self.queue.discard(job)
        else:
            self.queue.cancel(job)
        return _job_view(job)

    async def events(self, name: str) -> StreamingResponse:
        """Server-sent events: `progress` after each step, at last `done`, `failed` or `cancelled`."""
        return StreamingResponse(_events(self.queue.find(name)), media_type="text/event-stream")

    async def poster(
        self, request: Request, name: str, number: int, format: str = "", key: str = "",
        accept: Annotated[str, Header()] = "", authorization: Annotated[str, Header()] = "",
    ) -> Response:  # fmt: skip
        """A finished poster's file, to who has the server's key or the job's."""
        known = self.queue.jobs.get(name)
        if known is None or not secrets.compare_digest(key.encode(), known.key.encode()):
            self._authorize(request, authorization)
        job = self.queue.find(name)
        if not job.over:
            raise ServiceError(409, f"the job is {job.state}", "not_finished", retry=self.queue.retry_after())
        if job.error:
            raise job.error
        if not 1 <= number <= len(job.results):
            raise ServiceError(404, f"the job has no poster {number}; it has {len(job.results)}", "no_such_poster")
        return self._file(job, number, wanted_formats([format])[0] if format else None, accept)

    async def _images(self, request: Request, edit: bool) -> Response:
        with self.queue.reserved(self._client(request)) as folder:
            sent = await read_sent(request, folder)
            call = await self._threaded(sent, lambda: ImageCall(sent, edit))
            job = await self._submitted(request, sent, call.formats)
        if call.stream:
            return StreamingResponse(self._streamed(call, job), media_type="text/event-stream")
        if not await self._finished(job, request):
            return _GONE
        try:
            base = str(request.base_url).rstrip("/")
            answer = await to_thread.run_sync(call.answer, job, lambda *which: base + _address(*which))
        finally:
            if not call.as_url:
                self.queue.discard(job)
        return JSONResponse(answer)

    async def _streamed(self, call: ImageCall, job: PosterJob) -> AsyncIterator[str]:
        try:
            async for event in call.events(job):
                yield event
        finally:
            self._leave(job)

    async def _submitted(self, request: Request, sent: Sent, formats: tuple[str, ...]) -> PosterJob:
        plans, notes = await self._threaded(sent, lambda: self.intake.plans(sent))
        return self.queue.submit(PosterJob(plans, formats, sent.folder, notes, client=self._client(request)))

    def _client(self, request: Request) -> tuple[str, str]:
        """Who asks: the key that they sent, and their machine."""
        return request.headers["authorization"] if self.key else "", request.client.host if request.client else ""

    async def _threaded(self, sent: Sent, work: Any) -> Any:
        try:
            return await to_thread.run_sync(work, limiter=self._planning)
        except (ServiceError, ValueError) as error:
            raise service_error(error, sent.folder) from None

    async def _finished(self, job: PosterJob, request: Request) -> bool:
        """Wait for a job; False, and the job is cancelled, where its client goes away."""
        try:
            async for _ in job.changes():
                if await request.is_disconnected():
                    self._leave(job)
                    return False
        except BaseException:  # the server ends the request
            self._leave(job)
            raise
        return True

    def _leave(self, job: PosterJob) -> None:
        """Nobody will fetch the job."""
        if job.over:
            self.queue.discard(job)
        else:
            self.queue.cancel(job, _CLIENT_GONE)

    def _file(self, job: PosterJob, number: int, ending: str | None, accept: str = "") -> FileResponse:
        result = job.results[number - 1]
        if result.error:
            raise result.error
        made = tuple(result.files)
        ending = ending or _accepted(accept, made) or (made[0] if not accept or "*/*" in accept else None)
        if ending not in result.files:
            raise ServiceError(
                406, f"the poster was made as {', '.join(made)}; name formats when you ask for it", "not_made"
            )
        return FileResponse(
            result.files[ending], media_type=FORMATS[ending], filename=f"poster-{number}.{ending}",
            content_disposition_type="inline",
        )  # fmt: skip

    def _authorize(self, request: Request, authorization: Annotated[str, Header()] = "") -> None:
        if self.key:
            if not header_fits(authorization, self.key):
                raise ServiceError(401, "wrong or missing key; send Authorization: Bearer KEY", "invalid_api_key")
            return
        # without a key only programs of this machine are served, and no page that a browser has open
        origin = request.headers.get("origin")
        hosts = [request.url.hostname] + ([urlsplit(origin).hostname] if origin else [])
        if not all(host in LOOPBACK for host in hosts):
            raise ServiceError(403, "a server without a key is for this machine alone", "not_local")


class _StatusCounter:
    """Counts the statuses of all replies."""

    def __init__(self, app: Any, counts: Counter[int]) -> None:
        self.app, self.counts = app, counts

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def counted(message: Any) -> None:
            if message["type"] == "http.response.start":
                self.counts[message["status"]] += 1
            await send(message)

        await self.app(scope, receive, counted)


async def _events(job: PosterJob) -> AsyncIterator[str]:
    told = None
    async for _ in job.changes(every=10.0):
        view = _job_view(job)
        now = (view["state"], *view["progress"].values())
        yield server_event("progress", view) if now != told else ": waiting\n\n"
        told = now
    yield server_event(job.state, _job_view(job))


def _job_view(job: PosterJob) -> dict[str, Any]:
    """A job as JSON."""
    words, done, total = job.step
    view: dict[str, Any] = {
        "id": job.id, "state": job.state, "progress": {"words": words, "done": done, "total": total},
        "created": round(job.created, 3), "ended": job.ended and round(job.ended, 3), "notes": job.notes,
        "events": f"/v1/jobs/{job.id}/events", "posters": [],
    }  # fmt: skip
    for number, result in enumerate(job.results, start=1):
        view["posters"].append(
            result.error.body()
            if result.error
            else {
                "seed": result.seed, "size": result.size, "notes": result.notes, "record": result.record,
                "files": {ending: _address(job, number, ending) for ending in result.files},
            }
        )  # fmt: skip
    return view | (job.error.body() if job.error else {})


def _address(job: PosterJob, number: int, ending: str) -> str:
    return f"/v1/jobs/{job.id}/posters/{number}?format={ending}&key={job.key}"


def _accepted(accept: str, endings: tuple[str, ...]) -> str | None:
    """The format that an Accept header likes best; None where it names none of these."""
    weights: dict[str, float] = {}
    for part in accept.split(","):
        kind, *options = (word.strip().lower() for word in part.split(";"))
        quality = next((word[2:] for word in options if re.fullmatch(r"q=[01](\.\d{0,3})?", word)), "1")
        weights[kind] = float(quality)
    named = []
    for ending in endings:
        family = FORMATS[ending].partition("/")[0] + "/*"
        named.append((weights.get(FORMATS[ending], weights.get(family, 0.0)), ending))
    best = max(named, key=lambda pair: pair[0], default=(0.0, ""))
    if "application/json" in weights and weights["application/json"] >= best[0]:
        return None
    return best[1] if best[0] > 0 else None


async def _service_answer(request: Request, error: Any) -> JSONResponse:
    headers = {"Retry-After": str(error.retry)} if error.retry else {}
    return JSONResponse(error.body(), error.status, headers)


async def _http_answer(request: Request, error: Any) -> JSONResponse:
    said = str(error.detail)
    if error.status_code == 404:
        known = ", ".join(sorted({route.path for route in request.app.routes}))
        said = f"{one_line(request.url.path, 40)}: no such address; there are {known}"
    return JSONResponse(ServiceError(error.status_code, said).body(), error.status_code, error.headers)


async def _wrong_answer(request: Request, error: Any) -> JSONResponse:
    """A value of the address or of a header that is none."""
    first = error.errors()[0]
    found = one_line(str(first["input"]), 40)
    said = f"{first['loc'][-1]}: {first['msg'].replace('Input should', 'it should')}, found {found!r}"
    return JSONResponse(ServiceError(400, said, "invalid_request").body(), 400)


async def _gone_answer(request: Request, error: Any) -> Response:
    return _GONE


async def _failed_answer(request: Request, error: Any) -> JSONResponse:
    _log.error("%s %s: %s", request.method, request.url.path, error_line(error), exc_info=error)
    return JSONResponse(ServiceError(500, "the server failed; its log says why", "failed").body(), 500)
