"""What the page does with a form: plans while one writes, draws, sets texts again, opens posters, writes files."""

# pyright: standard
from __future__ import annotations

import shutil
import tempfile
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from anyio import to_thread
from PIL import Image

from posterkit.app.intake import Intake
from posterkit.app.job_queue import JobQueue
from posterkit.app.poster_job import CANCELLED, QUEUED, PosterJob
from posterkit.app.service_errors import ServiceError, service_error
from posterkit.app.ui.form import TEXTS, brushed_mask, form_from, sent_from
from posterkit.app.ui.preview import error_html, plan_view, shown, stage_html, status_html
from posterkit.app.ui.session import Session, ShownPoster
from posterkit.generate.poster_plan import PosterPlan
from posterkit.image_io import read_image
from posterkit.messages import error_line
from posterkit.tasks import TASKS
from posterkit.typeset.exporters import check_export

_KEPT = 200  # posters whose addresses hold
_OTHER_TEXTS = "One text more or fewer needs a new drawing; undo it to have the poster back"
_EVERY = 0.3  # seconds between two looks at a job
_PAINT = "Paint over what shall be made anew and press the tick, or give a mask"
_BRUSHED = 1024  # pixels of the longer side in which a mask is painted
Form = Mapping[str, Any]


class Desk:
    """The page's actions over one queue; each returns HTML, or says in one line what is wrong."""

    def __init__(self, queue: JobQueue, intake: Intake) -> None:
        self.queue, self.intake, self.maker = queue, intake, queue.maker
        self.posters: OrderedDict[str, tuple[ShownPoster, Session]] = OrderedDict()
        self._lock = threading.Lock()
        self.formats = ("png", *(ending for ending in ("psd",) if _written_here(ending)))

    def plan_anew(self, session: Session, form: Form) -> str:
        """The plan of a brief that is no more the one of the posters that are there."""
        session.outdated = True
        return self.plan(session, form)

    def plan(self, session: Session, form: Form, notes: Sequence[str] = ()) -> str:
        """Put the plan of a form on the stage; the line under it, with notes."""
        session.shown = None
        words = any((form[key] or "").strip() for key in ("prompt", *TEXTS))
        if not (form["files"] if form["task"] in TASKS else words):
            session.view = None
            return status_html("")
        if _lacks_mask(form):
            session.view = None
            return status_html(_PAINT)
        folder = session.place(self.queue.folder)
        with tempfile.TemporaryDirectory(dir=folder) as place:
            try:
                plans, more = self.intake.plans(sent_from(form, Path(place)), session.kit)
                return self._show_plan(session, plans[0], [*notes, *more])
            except (ServiceError, ValueError, OSError) as error:
                return error_html(str(service_error(error, Path(place))))

    def _show_plan(self, session: Session, plan: PosterPlan, notes: Sequence[str]) -> str:
        session.view, said = plan_view(plan, self.maker)
        drawn = "{}x{}".format(*plan.native)
        words = f"The plan: {plan.finished}, drawn at {drawn} in {plan.steps} step{'s' * (plan.steps != 1)}"
        return status_html(words, notes=list(dict.fromkeys([*notes, *plan.notes, *said])))

    async def draw(self, session: Session, form: Form) -> AsyncIterator[str]:
        """Draw a form's posters; yields the line under the stage whenever it changes.

        The plan is on the stage while the model draws.
        """
        if session.job is not None and not session.job.over:
            yield error_html("a poster is being drawn; stop it first")
            return
        session.shown = None
        try:
            client = session.place(self.queue.folder)
            with self.queue.reserved(client) as folder:
                plans, notes = await to_thread.run_sync(self._plans, form, folder, session)
                before = await to_thread.run_sync(_before, plans[0])
                job = session.job = self.queue.submit(PosterJob(plans, self.formats, folder, notes, client=client))
        except (ServiceError, ValueError, OSError) as error:
            yield error_html(str(error))
            return
        try:
            yield await to_thread.run_sync(self._sketched, session, plans[0], job)
            async for _ in job.changes(every=_EVERY):
                yield self._progress(job)
        finally:
            if not job.over:  # the visitor has gone
                self.queue.cancel(job, "the client has gone")
        yield await to_thread.run_sync(self._finished, session, job, before)

    def _plans(self, form: Form, folder: Path, session: Session) -> tuple[list[PosterPlan], list[str]]:
        if _lacks_mask(form):
            raise ServiceError(400, _PAINT)
        try:
            return self.intake.plans(sent_from(form, folder), session.kit)
        except (ServiceError, ValueError, OSError) as error:
            raise service_error(error, folder) from None

    def _sketched(self, session: Session, plan: PosterPlan, job: PosterJob) -> str:
        try:
            self._show_plan(session, plan, ())
        except (ValueError, OSError):  # the job says why
            session.view = None
        return self._progress(job)

    def _progress(self, job: PosterJob) -> str:
        words, done, total = job.step
        if job.state == QUEUED:
            waiting = max(0, self.queue.waiting - len(job.plans))
            return status_html(f"Waiting, as {waiting} other posters do" if waiting else "Waiting")
        step = f", step {done} of {total}" if total else ""
        return status_html(words.capitalize() + step, done, total)

    def _finished(self, session: Session, job: PosterJob, before: Image.Image | None) -> str:
        """Put a job's first poster on the stage; the line under it."""
        if job.error is not None and not any(result.files for result in job.results):
            if job.state == CANCELLED:
                return status_html("Stopped; the plan is still here")
            return error_html(str(job.error))
        session.posters = [
            ShownPoster(result.files, result.seed, result.record or {}, result.notes, before)
            for result in job.results
            if result.files
        ]
        failed = [str(result.error) for result in job.results if result.error]
        return self.show(session, 0, [*job.notes, *failed])

    def show(self, session: Session, number: int, notes: Sequence[str] = ()) -> str:
        """Put a poster of the visitor's on the stage; the line under it."""
        if not 0 <= number < len(session.posters):
            return error_html("there is no such poster any more; draw it again")
        poster = session.posters[number]
        try:
            session.view = poster.view()
        except (ValueError, OSError) as error:
            return error_html(f"the poster has been let go, draw it again ({error_line(error)})")
        if session.shown not in (None, poster):
            session.shown.forget()
        session.shown, session.outdated = poster, False
        with self._lock:
            self.posters[poster.key] = poster, session
            while len(self.posters) > _KEPT:
                self.posters.popitem(last=False)
        words = f"Seed {poster.seed}. Change its texts: they are set again at once"
        return status_html(words, notes=list(dict.fromkeys([*notes, *poster.notes])))

    def set_again(self, session: Session, form: Form) -> str:
        """Set the form's texts on the finished poster, nothing is drawn; else plan anew."""
        poster = session.shown or (session.posters[0] if session.posters and not session.outdated else None)
        words = poster.words_of(form) if poster else None
        if poster is None or words is None:
            return self.plan(session, form, [_OTHER_TEXTS] if poster and "png" in poster.files else ())
        own = [f"@{one['role']}:{one['text']}" for one in poster.record["typeset"]]
        was, poster.texts = poster.texts, None if words == own else words
        try:
            edited = poster.edited(self.maker.gate)
        except (ValueError, OSError) as error:
            poster.texts = was
            return error_html(str(service_error(error)))
        session.shown = poster
        session.view = poster.staged(edited.image) if edited.image else poster.view()
        return status_html("Set again, without drawing", notes=list(edited.notes))

    def stop(self, session: Session) -> None:
        """End the visitor's job."""
        if session.job is not None:
            self.queue.cancel(session.job)

    def open_poster(self, session: Session, path: str | None) -> tuple[dict[str, Any] | None, str]:
        """Fill the form from a poster of posterkit's and put it on the stage; None where it is none."""
        if not path:
            return None, status_html("")
        own = session.place(self.queue.folder) / Path(path).name
        try:
            shutil.copyfile(path, own)
            poster = ShownPoster.of_file(own)
            form, notes = form_from(poster.record)
        except (ValueError, OSError) as error:
            return None, error_html(str(service_error(error, own.parent)))
        session.posters = [poster, *session.posters]
        return form, self.show(session, 0, notes)

    def look(self, session: Session, how: str) -> str:
        """Show the stage in another way from now on: poster, layout or compare."""
        session.look = how.lower()
        return self.stage(session)

    def stage(self, session: Session) -> str:
        """The stage as HTML."""
        return stage_html(session.view, session.look)

    def exports(self, session: Session) -> str:
        """Links to the files of the poster on the stage."""
        if session.shown is None:
            return '<p class="pk-hint">Draw a poster to have it as PNG, PDF, PDF/X-4, PSD, SVG and PPTX.</p>'
        return session.shown.exports_html(session.how)

    def gallery(self, session: Session) -> list[tuple[str, str]]:
        """The visitor's posters and their seeds."""
        return [(str(one.files["png"]), str(one.seed)) for one in session.posters if "png" in one.files]

    def write(self, key: str, name: str, target: Path) -> None:
        """Write the file behind an address; KeyError where there is no such poster, ValueError as `export`."""
        poster, session = self.posters[key]
        poster.export(name, target, session.how, self.maker.gate)

    def background(self, session: Session, form: Form) -> Any:
        """The photograph of a form as the mask editor shows it; None where there is none that can be read."""
        if form["task"] != "filling" or not form["files"]:
            return None
        try:
            image = read_image(form["files"][0], max_pixels=self.intake.limits.pixels)
        except ValueError:  # the plan says why
            return None
        image.thumbnail((_BRUSHED, _BRUSHED))
        return {"background": image, "layers": [], "composite": image}


def _before(plan: PosterPlan) -> Image.Image | None:
    """What a poster is made from: its first picture, or its draft."""
    if plan.request.images:
        pictures = plan.request.pictures()
    elif plan.draft is not None:
        pictures = [plan.draft.picture(plan.request, plan.native)]
    else:
        return None
    return shown(pictures[0])


def _lacks_mask(form: Form) -> bool:
    return form["task"] == "filling" and not form["mask_file"] and brushed_mask(form["mask"]) is None


def _written_here(ending: str) -> bool:
    try:
        check_export(f"poster.{ending}")
    except ValueError:
        return False
    return True
