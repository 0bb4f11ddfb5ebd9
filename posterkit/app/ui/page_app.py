"""The page's web application: who may come in, the files of posters, Gradio's part; needs posterkit[ui]."""

# pyright: standard
from __future__ import annotations

import hashlib
import hmac
import os
import tempfile
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import gradio as gr  # pyright: ignore[reportMissingImports]
from anyio import to_thread
from fastapi import FastAPI
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, RedirectResponse, Response

from posterkit.app.intake import FORMATS, Intake
from posterkit.app.job_queue import JobQueue
from posterkit.app.ui.actions import Desk
from posterkit.app.ui.batch_desk import BatchDesk, pack
from posterkit.app.ui.form import START
from posterkit.app.ui.page import PageLayout
from posterkit.app.ui.session import EXPORTS, Session
from posterkit.app.ui.theme import FONT_FILES, page_head, page_theme
from posterkit.messages import error_line
from posterkit.serving import LOOPBACK, LimitedBody, header_fits, key_fits

_COOKIE = "posterkit"
_MOST_KEY = 4096  # bytes of a form that signs in
_OPEN = ("/fonts/",)  # what the page to sign in needs


def page_app(queue: JobQueue, intake: Intake, key: str) -> FastAPI:
    """The page over a queue.

    Args:
        key: that visitors sign in with; "" lets in this machine's own browsers.
    """
    limits = queue.limits
    os.environ["GRADIO_TEMP_DIR"] = str(queue.folder / "uploads")  # goes with the server
    desk, batches = Desk(queue, intake), BatchDesk(queue.maker, limits, queue.folder)
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_route("/fonts/{name}", _font)
    app.add_route("/posters/{key}/{name}", partial(_poster, desk))
    app.add_route("/batches/{key}/{name}", partial(_batch_file, batches))
    blocks = PageLayout(desk, batches).blocks()
    blocks.queue(max_size=limits.queue + 32, default_concurrency_limit=4, api_open=False)
    app = gr.mount_gradio_app(
        app, blocks, "/", theme=page_theme(), head=page_head(), footer_links=[], show_error=True, ssr_mode=False,
        max_file_size=limits.body, enable_monitoring=False, pwa=False,
        i18n=gr.I18n(en={"common.upload": "Choose others"}),  # Gradio names no such button
    )  # fmt: skip
    app.add_middleware(PageGuard, key=key)
    app.add_middleware(LimitedBody, most=lambda: limits.body, seconds=limits.body_seconds)
    threading.Thread(target=_warm_up, args=(desk,), name="warming up", daemon=True).start()
    return app


class PageGuard:
    """Lets browsers of this machine in, or, where there is a key, who has signed in with it.

    Requests that another page has a browser send are refused.
    """

    def __init__(self, app: Any, key: str) -> None:
        self.app, self.key = app, key
        self.mark = hashlib.sha256(f"posterkit page {key}".encode()).hexdigest()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        answer = await self._answer(Request(scope, receive))
        await (answer or self.app)(scope, receive, send)

    async def _answer(self, request: Request) -> Response | None:
        """What is answered in the page's place; None lets the request pass."""
        origin = request.headers.get("origin")
        foreign = origin is not None and urlsplit(origin).netloc != request.headers.get("host", "")
        if foreign or (not self.key and request.url.hostname not in LOOPBACK):
            why = "another page asks" if foreign else "a page without a key is for this machine alone"
            return PlainTextResponse(f"{why}\n", 403)
        signed = hmac.compare_digest(request.cookies.get(_COOKIE, ""), self.mark)
        if not self.key or signed or header_fits(request.headers.get("authorization", ""), self.key):
            return None
        if request.url.path.startswith(_OPEN):
            return None
        if request.url.path == "/sign-in" and request.method == "POST":
            return await self._sign_in(request)
        return HTMLResponse(_SIGN_IN.format(head=page_head(), said=""), 401)

    async def _sign_in(self, request: Request) -> Response:
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > _MOST_KEY:
                return PlainTextResponse("too long\n", 413)
        given = parse_qs(body.decode("utf-8", "replace")).get("key", [""])[0].strip()
        if not key_fits(given, self.key):
            said = '<p class="pk-error" role="alert">This is not the key.</p>'
            return HTMLResponse(_SIGN_IN.format(head=page_head(), said=said), 401)
        answer = RedirectResponse("/", 303)
        secure = request.url.scheme == "https"
        answer.set_cookie(_COOKIE, self.mark, httponly=True, samesite="strict", secure=secure)
        return answer


async def _font(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in FONT_FILES:
        return PlainTextResponse("no such font\n", 404)
    return FileResponse(FONT_FILES[name], media_type="font/ttf", headers={"Cache-Control": "max-age=86400"})


async def _poster(desk: Desk, request: Request) -> Response:
    key, name = request.path_params["key"], request.path_params["name"]
    if key not in desk.posters or name not in EXPORTS:
        return PlainTextResponse("there is no such poster any more; draw it again\n", 404)
    media = FORMATS[name.rpartition(".")[2]]
    return await _made(partial(desk.write, key, name), name, media)


async def _batch_file(batches: BatchDesk, request: Request) -> Response:
    name = request.path_params["name"]
    folder = batches.finished.get(request.path_params["key"])
    if folder is None or name not in ("posters.zip", "ledger.jsonl"):
        return PlainTextResponse("there is no such batch any more\n", 404)
    if name == "ledger.jsonl":
        return FileResponse(folder / name, media_type="application/jsonl", filename=name)
    return await _made(partial(pack, folder), name, "application/zip")


async def _made(write: Callable[[Path], None], name: str, media: str) -> Response:
    """A file that is written now and goes once it is sent; or why it cannot be written, in one line."""
    place = tempfile.TemporaryDirectory(prefix="posterkit-export-")
    target = Path(place.name) / name
    try:
        await to_thread.run_sync(write, target)
    except (KeyError, ValueError, OSError) as error:
        place.cleanup()
        return PlainTextResponse(error_line(error).replace(f"{target.parent}/", "") + "\n", 400)
    return FileResponse(target, media_type=media, filename=name, background=BackgroundTask(place.cleanup))


def _warm_up(desk: Desk) -> None:
    """Load what planning needs, so that the first visitor need not wait for it."""
    desk.plan(Session(), START | {"prompt": "a lighthouse", "title": "NORTH"})


_SIGN_IN = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    "<title>posterkit</title>{head}</head><body><main class='gradio-container pk-door'><h1>posterkit</h1>{said}"
    "<form method='post' action='/sign-in'><label for='key'>Key</label><input id='key' name='key' type='password' "
    "autocomplete='current-password' autofocus required><button>Open</button></form></main></body></html>"
)
