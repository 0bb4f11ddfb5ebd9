"""The page: what stands where, and what happens when it is used."""

# pyright: standard
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr  # pyright: ignore[reportMissingImports]
from anyio import to_thread

from posterkit.app.ui.actions import Desk
from posterkit.app.ui.batch_desk import BATCH, BATCH_FIELDS, BatchDesk
from posterkit.app.ui.brand import BRAND, BRAND_FIELDS, kit_html, open_kit, use_kit
from posterkit.app.ui.form import FIELDS, FORMATS, TEXTS, TITLES
from posterkit.app.ui.preview import stage_html, status_html
from posterkit.app.ui.session import Session
from posterkit.lettering import ALIGNS, LAYOUTS, PLACES, STYLES
from posterkit.tasks import TASKS, TEXT
from posterkit.typeset.fonts import FACES

_PICTURES = [".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".avif", ".bmp", ".gif"]
_HEAD = (
    '<header class="pk-head"><a class="pk-skip" href="#pk-draw">To the brief</a><h1>posterkit</h1>'
    '<p>Model: {model}</p><button id="pk-theme" type="button" aria-pressed="false">Dark</button></header>'
)
_QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
# past Gradio's queue: one request, and no stream to wait for
_LIVE: dict[str, Any] = {**_QUIET, "trigger_mode": "always_last", "queue": False}


class PageLayout:
    """Builds the page over the desks that do its work."""

    def __init__(self, desk: Desk, batches: BatchDesk) -> None:
        self.desk, self.batches = desk, batches
        self.folder = desk.queue.folder

    def blocks(self) -> gr.Blocks:
        """The page as Gradio has it."""
        with gr.Blocks(title="posterkit", analytics_enabled=False, fill_width=True) as blocks:
            session = gr.State(Session(how=self.desk.queue.how), delete_callback=Session.leave)
            gr.HTML(_HEAD.format(model=self.desk.maker.settings.model or "mini"), elem_id="pk-head")
            with gr.Tabs():
                with gr.Tab("Poster", id="poster"), gr.Row(elem_classes="pk-columns"):
                    self._poster(session)
                with gr.Tab("Batch", id="batch"), gr.Row(elem_classes="pk-columns"):
                    self._batch(session)
                with gr.Tab("Brand", id="brand"), gr.Row(elem_classes="pk-columns"):
                    self._brand(session)
        return blocks

    def _poster(self, session: gr.State) -> None:
        c: dict[str, Any] = {}
        with gr.Column(elem_classes="pk-brief"):
            _brief(c)
        with gr.Column(elem_classes="pk-desk"):
            with gr.Row(elem_classes="pk-bar"):
                view = gr.Radio(
                    ["Poster", "Layout", "Compare"], value="Poster", show_label=False, label="View", container=False,
                    elem_classes="pk-view", elem_id="pk-view",
                )  # fmt: skip
                stop = gr.Button("Stop", elem_id="pk-stop", min_width=80, interactive=False)
                draw = gr.Button("Draw the poster", variant="primary", elem_id="pk-draw", min_width=180)
            stage = gr.HTML(stage_html(None), elem_id="pk-stage")
            status = gr.HTML(status_html(""), elem_id="pk-line")
        with gr.Column(elem_classes="pk-side"):
            gallery = gr.Gallery(
                label="Posters by seed", columns=2, allow_preview=False, object_fit="contain",
                buttons=[], elem_classes="pk-gallery", elem_id="pk-gallery", visible=False,
            )  # fmt: skip
            gr.HTML("<h2>Files</h2>")
            exports = gr.HTML(self.desk.exports(Session()), elem_id="pk-files")
            with gr.Accordion("Print", open=False):
                profile = gr.File(label="ICC profile of the press (.icc)", file_types=[".icc", ".icm"], height=96)
                marks = gr.Checkbox(label="Crop marks around the PDF's page")
            gr.HTML("<h2>Go on from a poster</h2>")
            dropped = gr.File(label="A poster made by posterkit", height=110, elem_id="pk-dropped",
                              file_types=[".png", ".svg", ".pdf", ".psd", ".pptx"])  # fmt: skip
        fields = [c[name] for name in FIELDS]
        told = [stage, status, exports]
        inputs = [session, *fields]
        turns = asyncio.Semaphore(2)  # visitors whose plans are made at once

        def live(act: Any) -> Any:
            def work(session: Session, values: tuple[Any, ...]) -> tuple[str, str, str]:
                line = act(session, dict(zip(FIELDS, values, strict=True)))
                return self.desk.stage(session), line, self.desk.exports(session)

            async def run(session: Session, *values: Any) -> tuple[str, str, str]:
                async with turns:
                    return await to_thread.run_sync(work, session, values)

            return run

        others = [c[name].input for name in FIELDS if name not in (*TEXTS, "files", "mask", "mask_file", "logo")]
        others += [event for name in ("files", "mask_file", "logo") for event in (c[name].upload, c[name].clear)]
        others += [c["mask"].apply]
        gr.on([c[name].input for name in TEXTS], live(self.desk.set_again), inputs, told, **_LIVE)
        gr.on(others, live(self.desk.plan_anew), inputs, told, **_LIVE)
        gr.on(c["task"].change, _shown_for, c["task"], _conditional(c), **_QUIET)
        gr.on(
            [c["files"].upload, c["files"].clear, c["task"].input],
            lambda *given: self.desk.background(given[0], dict(zip(FIELDS, given[1:], strict=True))),
            [session, *fields], c["mask"], **_QUIET,
        )  # fmt: skip

        async def drawing(session: Session, *values: Any) -> AsyncIterator[tuple[Any, ...]]:
            form, drawn, line = dict(zip(FIELDS, values, strict=True)), None, ""
            busy = gr.Button(interactive=False), gr.Button(interactive=True)
            async for line in self.desk.draw(session, form):
                here = self.desk.stage(session) if session.view is not drawn else gr.skip()
                drawn = session.view
                yield here, line, gr.skip(), gr.skip(), *busy
            pictures = gr.Gallery(self.desk.gallery(session), visible=bool(session.posters))
            rest = gr.Button(interactive=True), gr.Button(interactive=False)
            yield self.desk.stage(session), line, self.desk.exports(session), pictures, *rest

        gr.on(draw.click, drawing, inputs, [*told, gallery, draw, stop], concurrency_limit=None, **_QUIET)
        stop.click(self.desk.stop, session, None, concurrency_limit=None, **_QUIET)
        view.input(self.desk.look, [session, view], stage, **_LIVE)

        def chosen(session: Session, event: gr.SelectData) -> tuple[Any, ...]:
            line = self.desk.show(session, event.index)
            record = session.shown.record if session.shown else None
            seed = record["row"].get("seed") if record else gr.skip()
            return self.desk.stage(session), line, self.desk.exports(session), seed

        gallery.select(chosen, session, [*told, c["seed"]], **_QUIET)

        def printed(session: Session, profile: str | None, marks: bool) -> str:
            session.how = replace(session.how, profile=profile and Path(profile), marks=marks)
            return self.desk.exports(session)

        gr.on([profile.upload, profile.clear, marks.input], printed, [session, profile, marks], exports, **_QUIET)

        def opened(session: Session, path: str | None) -> list[Any]:
            form, line = self.desk.open_poster(session, path)
            values = [form[name] if form else gr.skip() for name in FIELDS]
            pictures = gr.Gallery(self.desk.gallery(session), visible=bool(self.desk.gallery(session)))
            return [self.desk.stage(session), line, self.desk.exports(session), pictures, *values]

        dropped.upload(opened, [session, dropped], [*told, gallery, *fields], **_QUIET)

    def _batch(self, session: gr.State) -> None:
        c: dict[str, Any] = {}
        with gr.Column(elem_classes="pk-brief"):
            gr.HTML("<h2>What goes in</h2>")
            c["uploads"] = gr.File(label="Pictures with what lies beside them, or one table with its pictures",
                                   file_count="multiple", height=170, elem_id="pk-uploads")  # fmt: skip
            c["task"] = gr.Dropdown([(TITLES[name], name) for name in TASKS], value="extending", label="What is made")
            c["prompt"] = gr.Textbox(label="Prompt; {name} is a column, or the picture's name", lines=2)
            _texts(c, "pk-batch")
            with gr.Row():
                c["style"] = gr.Dropdown([("by the texts", ""), *((one, one) for one in STYLES)], label="Faces")
                c["seeds"] = gr.Number(1, label="Posters of each", precision=0, minimum=1, maximum=16, min_width=90)
                c["steps"] = gr.Textbox(label="Steps", placeholder="auto", min_width=90)
            c["sizes"] = gr.Textbox(label="Sizes of each, such as instagram-story, a3")
            with gr.Row(elem_classes="pk-actions"):
                make = gr.Button("Make the posters", variant="primary", elem_id="pk-make", scale=2, min_width=150)
                explain = gr.Button("Explain", scale=1, min_width=90, elem_id="pk-explain")
                stop = gr.Button("Stop", scale=1, min_width=80, elem_id="pk-stop-batch")
        with gr.Column(elem_classes="pk-desk"):
            gr.HTML("<h2>The ledger</h2>")
            status = gr.HTML(status_html("Nothing made yet"), elem_id="pk-batch-line")
            links = gr.HTML("", elem_id="pk-batch-files")
            ledger = gr.HTML("", elem_id="pk-ledger")
            gallery = gr.Gallery(label="Posters of the batch", show_label=False, columns=5, object_fit="contain",
                                 buttons=[], elem_classes="pk-gallery", visible=False)  # fmt: skip
        inputs = [session, *(c[name] for name in BATCH_FIELDS)]

        async def running(session: Session, *values: Any) -> AsyncIterator[tuple[Any, ...]]:
            before = None
            async for line, table, pictures, files in self.batches.run(session, _batch_form(values)):
                shown = gr.skip() if pictures == before else gr.Gallery(pictures, visible=bool(pictures))
                before = pictures
                yield line, table, shown, files

        make.click(running, inputs, [status, ledger, gallery, links], concurrency_limit=None, **_QUIET)
        explain.click(
            lambda session, *values: self.batches.explain(session, _batch_form(values)),
            inputs, [status, ledger], **_QUIET,
        )  # fmt: skip
        stop.click(self.batches.stop, session, None, concurrency_limit=None, **_QUIET)

    def _brand(self, session: gr.State) -> None:
        c: dict[str, Any] = {}
        families = sorted({face.family for face in FACES})
        with gr.Column(elem_classes="pk-brief"):
            gr.HTML("<h2>What every poster has in common</h2>")
            c["name"] = gr.Textbox(label="Name")
            c["palette"] = gr.Textbox(label="Colours: title, other texts, button", placeholder="#0a3d62, #1e272e")
            c["families"] = gr.Dropdown(families, multiselect=True, label="Shipped fonts")
            c["font_files"] = gr.File(label="Your fonts (.ttf, .otf)", file_count="multiple", height=96,
                                      file_types=[".ttf", ".otf"])  # fmt: skip
            c["logo"] = gr.File(label="Logo", file_types=_PICTURES, height=96)
            with gr.Row():
                c["logo_at"] = gr.Dropdown([("calmest place", ""), *((one, one) for one in PLACES)],
                                           label="Logo stands")  # fmt: skip
                c["clear_space"] = gr.Textbox(label="Clear space, of its height", placeholder="0.5")
            c["margin"] = gr.Textbox(label="Margin", placeholder="6%")
            c["avoid"] = gr.Textbox(label="Words to avoid", placeholder="cheap, bargain")
            c["keep"] = gr.Textbox(label="Names to keep")
            c["look"] = gr.Textbox(label="Look, behind every prompt", placeholder="warm daylight")
            with gr.Row(elem_classes="pk-actions"):
                use = gr.Button("Use this kit", variant="primary", scale=2, elem_id="pk-use-kit")
                leave = gr.Button("Use none", scale=1, min_width=90)
        with gr.Column(elem_classes="pk-desk"):
            gr.HTML("<h2>The kit in use</h2>")
            status = gr.HTML(status_html(""), elem_id="pk-kit-line")
            shown = gr.HTML(kit_html(None), elem_id="pk-kit")
            file = gr.File(label="The kit as a file", visible=False, interactive=False)
            files = gr.File(label="Or open a kit: its .yaml, with its fonts and its logo", file_count="multiple",
                            height=130, elem_id="pk-kit-files")  # fmt: skip
        fields = [c[name] for name in BRAND_FIELDS]

        def used(session: Session, *values: Any) -> tuple[Any, ...]:
            line, path = use_kit(session, dict(zip(BRAND_FIELDS, values, strict=True)), self.folder)
            return line, kit_html(session.kit), gr.File(path, visible=path is not None)

        def opened(session: Session, paths: list[str]) -> list[Any]:
            said, line, path = open_kit(session, paths or [], self.folder)
            values = [said.get(name, BRAND[name]) if said else gr.skip() for name in BRAND_FIELDS]
            return [line, kit_html(session.kit), gr.File(path, visible=path is not None), *values]

        def left(session: Session) -> tuple[Any, ...]:
            session.kit = None
            return status_html("Posters keep to no kit"), kit_html(None), gr.File(None, visible=False)

        use.click(used, [session, *fields], [status, shown, file], **_QUIET)
        files.upload(opened, [session, files], [status, shown, file, *fields], **_QUIET)
        leave.click(left, session, [status, shown, file], **_QUIET)


def _brief(c: dict[str, Any]) -> None:
    """The fields of a poster."""
    c["task"] = gr.Radio([(title, name) for name, title in TITLES.items()], value=TEXT, label="Begin",
                         elem_classes="pk-tasks", elem_id="pk-task")  # fmt: skip
    c["files"] = gr.File(label="Pictures", file_count="multiple", height=130, visible=False, elem_id="pk-photo")
    c["anchor"] = gr.Radio(list(PLACES), value="center", label="Where the photo stands in the frame", visible=False,
                           elem_classes="pk-anchor", elem_id="pk-anchor")  # fmt: skip
    c["mask"] = gr.ImageEditor(
        label="Paint over what shall be made anew", sources=(), transforms=(), type="pil", layers=False, height=320,
        brush=gr.Brush(default_size=40, colors=["#b8321acc"], color_mode="fixed"), visible=False, buttons=[],
        elem_id="pk-mask",
    )  # fmt: skip
    c["mask_file"] = gr.File(label="Or a mask: white is made, black is kept", file_types=_PICTURES, height=96,
                             visible=False, elem_id="pk-mask-file")  # fmt: skip
    c["prompt"] = gr.Textbox(label="What it shows", lines=3, placeholder="a lighthouse at night, heavy sea",
                             elem_id="pk-prompt")  # fmt: skip
    _texts(c)
    with gr.Row():
        c["size"] = gr.Dropdown(FORMATS, value=FORMATS[0], label="Format", allow_custom_value=True, elem_id="pk-size")
        c["seeds"] = gr.Number(1, label="Posters", precision=0, minimum=1, maximum=8, min_width=90, elem_id="pk-seeds")
    with gr.Accordion("Type and colour", open=False):
        for name, label, choices in (("style", "Faces", STYLES), ("layout", "Arrangement", LAYOUTS),
                                     ("align", "Aligned", ALIGNS)):  # fmt: skip
            c[name] = gr.Dropdown([("chosen for you", ""), *((one, one) for one in choices)], label=label)
        c["colors"] = gr.Textbox(label="Colours: title, other texts, button", placeholder="#ffd400, white")
        c["logo"] = gr.File(label="Logo", file_types=_PICTURES, height=96)
        c["qr"] = gr.Textbox(label="QR code for", placeholder="https://example.org")
    with gr.Accordion("Paper and drawing", open=False):
        with gr.Row():
            c["bleed"] = gr.Textbox(label="Bleed", placeholder="3mm")
            c["safe"] = gr.Textbox(label="Safe area", placeholder="5mm")
        with gr.Row():
            # an empty gr.Number says 0 once it has been on screen
            c["seed"] = gr.Textbox(label="Seed", placeholder="any", min_width=90, elem_id="pk-seed")
            c["steps"] = gr.Textbox(label="Steps", placeholder="auto", min_width=90, elem_id="pk-steps")
            c["guidance"] = gr.Textbox(label="Guidance", placeholder="auto", min_width=90)
        c["negative_prompt"] = gr.Textbox(label="Stay away from")


def _texts(c: dict[str, Any], name: str = "pk") -> None:
    labels = {"title": "Title", "subtitle": "Line below", "body": "Details; a blank line begins another text",
              "cta": "Call to action"}  # fmt: skip
    for role in TEXTS:
        lines = {"title": 1, "body": 2}.get(role, 1)
        c[role] = gr.Textbox(label=labels[role], lines=lines, elem_id=f"{name}-{role}",
                             max_lines=6, elem_classes=f"pk-{role}")  # fmt: skip


def _conditional(c: dict[str, Any]) -> list[Any]:
    return [c[name] for name in ("files", "anchor", "mask", "mask_file", "size")]


def _shown_for(task: str) -> list[Any]:
    """The fields that a task has, and those that it has not."""
    several = task in TASKS and TASKS[task].references[-1] > 1
    label = "Pictures" if several else "Picture"
    return [gr.File(visible=task != TEXT, label=label), gr.Radio(visible=task == "extending"),
            gr.ImageEditor(visible=task == "filling"), gr.File(visible=task == "filling"),
            gr.Dropdown(visible=task != "filling")]  # fmt: skip


def _batch_form(values: Any) -> dict[str, Any]:
    return {**BATCH, **dict(zip(BATCH_FIELDS, values, strict=True))}
