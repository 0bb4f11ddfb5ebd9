"""An MCP server over the same queue as the HTTP API: tools that agents call; needs posterkit[mcp]."""

# pyright: standard
from __future__ import annotations

import base64
import io
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

from anyio import to_thread
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import CallToolResult, ImageContent, TextContent
from PIL import Image
from pydantic import Field

from posterkit import __version__
from posterkit.app.intake import Intake, Sent, wanted_formats
from posterkit.app.job_queue import JobQueue
from posterkit.app.poster_job import PosterJob
from posterkit.app.service_errors import ServiceError, service_error
from posterkit.critic import RULES, open_critic
from posterkit.generate.choose import score_row
from posterkit.generate.layout_plan import plan_layout
from posterkit.generate.metadata import read_record
from posterkit.image_io import read_image, reduced
from posterkit.layout.json_form import layout_to_json
from posterkit.lettering import LAYOUTS, STYLES, unmarked
from posterkit.llm.client import AnswerError
from posterkit.schema import PosterRequest
from posterkit.sizing import Size
from posterkit.tasks import TASKS
from posterkit.typeset.template import template_picture

_LARGEST = 700_000  # bytes of a picture that agents are shown as it is
_SHOWN = 1024  # pixels a side of the smaller one that they see in its place
_PICTURE = "a file's path in the allowed folder, or a data: URL of base64"
T = TypeVar("T")

Texts = Annotated[list[str] | None, Field(description="Texts on the poster, the title first, letter for letter")]
SaveAs = Annotated[
    str | None, Field(description="File in the allowed folder: .png, .svg, .pdf or .psd; never written over")
]
More = Annotated[
    dict[str, Any] | None,
    Field(description="Further keys of a request: negative_prompt, guidance, best_of, boxes, roles, align, draft ..."),
]  # fmt: skip


class PosterTools:
    """The tools; each answers with a picture, and with its record as JSON.

    Files are read from and written to the intake's allowed folder; without one, pictures come as `data:` URLs.
    """

    def __init__(self, queue: JobQueue, intake: Intake) -> None:
        self.queue, self.intake = queue, intake

    def server(self) -> MCPServer[Any]:
        """The MCP server with every tool."""
        server: MCPServer[Any] = MCPServer("posterkit", version=__version__, log_level="WARNING")
        for tool in (self.make_poster, self.transform_poster, self.plan_layout, self.judge_poster):
            server.add_tool(tool, description=" ".join((tool.__doc__ or "").split()), structured_output=False)
        return server

    async def make_poster(
        self, context: Context, prompt: Annotated[str, Field(description="What to show; quoted parts are texts")],
        texts: Texts = None, width: int | None = None, height: int | None = None, seed: int | None = None,
        steps: int | None = None,
        style: Annotated[str | None, Field(description=f"The faces: {', '.join(STYLES)}")] = None,
        layout: Annotated[str | None, Field(description=f"The arrangement: {', '.join(LAYOUTS)}")] = None,
        colors: Annotated[list[str] | None, Field(description="Of title, texts, button: names or #rrggbb")] = None,
        save_as: SaveAs = None, more: More = None,
    ) -> CallToolResult:  # fmt: skip
        """Makes a poster from words. Its texts are set in real fonts and never misspelt. 832x1216 by default."""
        given = {"task": "text", "prompt": prompt, "texts": texts, "width": width, "height": height, "seed": seed,
                 "steps": steps, "style": style, "layout": layout, "colors": colors}  # fmt: skip
        return await self._made(context, given, more, save_as)

    async def transform_poster(
        self, context: Context, task: Annotated[str, Field(description=", ".join(TASKS))],
        images: Annotated[list[str], Field(description=f"The reference images: each {_PICTURE}")],
        prompt: Annotated[str, Field(description="What to make; may be empty")] = "", texts: Texts = None,
        mask: Annotated[str | None, Field(description=f"Filling: white is made; {_PICTURE}")] = None,
        width: int | None = None, height: int | None = None, seed: int | None = None, steps: int | None = None,
        save_as: SaveAs = None, more: More = None,
    ) -> CallToolResult:  # fmt: skip
        """Makes a poster from pictures: extends or fills one, brings one to another format, keeps a subject, a layout
        or a style."""
        given = {"task": task, "images": images, "prompt": prompt, "texts": texts, "mask": mask, "width": width,
                 "height": height, "seed": seed, "steps": steps}  # fmt: skip
        return await self._made(context, given, more, save_as)

    async def plan_layout(
        self, texts: list[str], prompt: str = "", width: int = 832, height: int = 1216,
        planner: Annotated[str, Field(description="grammar, retrieval or archetypes")] = "grammar",
        align: Annotated[str | None, Field(description="left, center or right")] = None, seed: int = 0,
    ) -> CallToolResult:  # fmt: skip
        """Plans where a poster's texts and subject stand, without drawing it; seeds give other plans."""
        if ":" in planner:
            raise ToolError("planner: grammar, retrieval or archetypes")
        size = Size(width, height)
        request = PosterRequest(prompt, texts=texts, size=size)

        def planned() -> tuple[Image.Image, dict[str, Any]]:
            self.intake.limits.check(request)
            request.check()
            layout, faults = plan_layout(
                prompt, texts, planner=planner, width=width, height=height, align=align, seed=seed
            )
            return template_picture(layout), {"plan": json.loads(layout_to_json(layout)), "faults": faults}

        return _answer(*await _threaded(planned))

    async def judge_poster(
        self, image: Annotated[str, Field(description=f"The poster: {_PICTURE}")],
        prompt: Annotated[str, Field(description="What it was to show")] = "", texts: Texts = None,
    ) -> CallToolResult:  # fmt: skip
        """Says what a poster is worth, from 0 to 1 in parts, what is wrong with it, and what would make it better."""
        try:
            with self.queue.reserved(None) as folder:
                return _answer(
                    *await _threaded(lambda: self._judged(Sent({"images": [image]}, folder), prompt, texts), folder)
                )
        except ServiceError as error:
            raise ToolError(str(error)) from None

    def _judged(self, sent: Sent, prompt: str, texts: list[str] | None) -> tuple[Image.Image, dict[str, Any]]:
        path = self.intake.picture(sent)
        poster = read_image(path, name=path.name, max_pixels=self.intake.limits.pixels)
        request = PosterRequest(prompt, texts=texts, size=Size(*poster.size), caption=prompt, id="poster")
        self.intake.limits.check(request)
        maker = self.queue.maker
        result = maker.scorer([request.task])(poster, request)
        critic = open_critic(maker.settings.critic or RULES)
        quoted = " ".join(f'"{text}"' for text in unmarked(texts or [])[0])
        said = critic.suggest(poster, f"{prompt} {quoted}".strip())
        found = score_row(result) | {"content": said.content, "style": said.style, "shows": critic.caption(poster)}
        try:
            return poster, found | {"record": read_record(path)}
        except ValueError:  # made by something else
            return poster, found | {"record": None}

    async def _made(
        self, context: Context, given: dict[str, Any], more: dict[str, Any] | None, save_as: str | None
    ) -> CallToolResult:
        row = {key: value for key, value in given.items() if value is not None}
        if twice := sorted(row.keys() & (more or {}).keys()):
            raise ToolError(f"more: {twice[0]} is an argument of its own; give it once")
        row |= more or {}
        if "seeds" in row:
            raise ToolError("seeds: a call makes one poster; call again with another seed")
        try:
            target = self._target(save_as)
            with self.queue.reserved(None) as folder:
                sent = Sent(row, folder)
                plans, notes = await _threaded(lambda: self.intake.plans(sent), folder)
                job = self.queue.submit(PosterJob(plans, ("png",), folder, notes, target))
        except ServiceError as error:
            raise ToolError(str(error)) from None
        try:
            async for done, total, words in _progress(job):
                await context.report_progress(done, total, words)
            if job.error:
                raise ToolError(str(job.error))
            return await to_thread.run_sync(_job_answer, job)
        finally:
            if job.over:
                self.queue.discard(job)
            else:
                self.queue.cancel(job, "the client has gone")

    def _target(self, save_as: str | None) -> Path | None:
        """Where a poster is written to; ServiceError where it may not be."""
        if save_as is None:
            return None
        folder = self.intake.allowed
        if folder is None:
            raise ServiceError(400, "save_as: there is no allowed folder (posterkit mcp --allow-folder FOLDER)")
        target = (folder / save_as).resolve()
        if not target.is_relative_to(folder) or not target.parent.is_dir():
            raise ServiceError(400, f"save_as: {save_as} is not in the allowed folder")
        wanted_formats([target.suffix or "none"])
        return target


async def _threaded(work: Callable[[], T], folder: Path | None = None) -> T:
    try:
        return await to_thread.run_sync(work)
    except (ServiceError, ValueError, OSError, AnswerError) as error:
        raise ToolError(str(service_error(error, folder))) from None


async def _progress(job: PosterJob) -> AsyncIterator[tuple[int, int | None, str]]:
    """Steps done, of how many, and what is done now: only where the number rises, as MCP asks for."""
    before, last, told, over = 0, job.step, -1, None
    changes = job.changes()
    while not over:
        over = await anext(changes, True)
        words, done, total = job.step
        if words != last[0]:
            before += last[1]
        last = job.step
        if before + done > told:
            told = before + done
            yield told, before + total if total else None, words


def _job_answer(job: PosterJob) -> CallToolResult:
    (result,) = job.results
    said = {
        "seed": result.seed, "size": result.size, "saved": result.saved and str(result.saved),
        "notes": [*job.notes, *result.notes], "record": result.record,
    }  # fmt: skip
    content = result.files["png"].read_bytes()
    return _answer(read_image(content) if len(content) > _LARGEST else content, said)


def _answer(picture: Image.Image | bytes, said: dict[str, Any]) -> CallToolResult:
    """A picture and what is said of it; a large picture is shown smaller."""
    kind = "image/png"
    if isinstance(picture, Image.Image):
        file = io.BytesIO()
        picture.save(file, "PNG")
        if file.tell() > _LARGEST:
            kind, file = "image/jpeg", io.BytesIO()
            reduced(picture, _SHOWN).save(file, "JPEG", quality=90)
        picture = file.getvalue()
    shown = ImageContent(type="image", data=base64.b64encode(picture).decode(), mime_type=kind)
    text = TextContent(type="text", text=json.dumps(said, ensure_ascii=False))
    return CallToolResult(content=[shown, text], structured_content=said)
