"""What one visitor of the page has before them: a job, its posters, the one on the stage, a brand kit."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path
from typing import Any

from PIL import Image

from posterkit.app.poster_job import PosterJob
from posterkit.app.ui.form import TEXTS, texts_of
from posterkit.app.ui.preview import StageView
from posterkit.generate.edit_finished import EditedPoster, OpenedPng, edit_poster, open_png
from posterkit.generate.metadata import read_poster, read_record
from posterkit.layout import Box
from posterkit.safety.gate import SafetyGate
from posterkit.typeset.brand_kit import BrandKit
from posterkit.typeset.export_options import DEFAULTS, ExportOptions
from posterkit.typeset.exporters import check_export

_X4 = "poster-x4.pdf"
# name of the file, and what the page calls it
EXPORTS = {"poster.png": "PNG", "poster.pdf": "PDF", _X4: "PDF/X-4", "poster.psd": "PSD", "poster.svg": "SVG",
           "poster.pptx": "PPTX"}  # fmt: skip


@dataclass
class ShownPoster:
    """A finished poster on the page.

    Attributes:
        files: as the job wrote them, by ending.
        before: what it was made from.
        texts: what it says now, with marks of roles; None where nothing was changed.
        key: names it in addresses.
    """

    files: Mapping[str, Path]
    seed: int | None
    record: dict[str, Any]
    notes: Sequence[str] = ()
    before: Image.Image | None = None
    texts: list[str] | None = None
    key: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    _opened: OpenedPng | None = None

    @classmethod
    def of_file(cls, path: Path) -> ShownPoster:
        """A poster of posterkit's that was dropped onto the page; ValueError where it is none."""
        record = read_record(path)
        row = record.get("row")
        seed = (record.get("chosen") or row).get("seed") if isinstance(row, dict) else None
        return cls({path.suffix.lower().lstrip("."): path}, seed, record)

    def view(self) -> StageView:
        """The poster as it is now; ValueError where its file is gone."""
        edited = self.edited() if self.texts is not None else None
        path = next(iter(self.files.values()))
        image = edited.image if edited and edited.image else read_poster(path)
        return self.staged(image)

    def staged(self, image: Image.Image) -> StageView:
        """A picture of the poster as the stage shows it."""
        boxes = [(one["role"], Box(*one.get("button") or one["box"])) for one in self.record.get("typeset") or ()]
        return StageView(image, f"The poster, seed {self.seed}", boxes, self.before)

    def edited(self, gate: SafetyGate | None = None) -> EditedPoster:
        """The poster with the texts that it has now; ValueError where they do not fit, or may not be set."""
        if self._opened is None:
            self._opened = open_png(self.files["png"])
        return self._opened.edited(self.texts, gate=gate)

    def forget(self) -> None:
        """Let go what `edited` holds in memory."""
        self._opened = None

    def words_of(self, form: Mapping[str, Any]) -> list[str] | None:
        """The form's texts, one for each that the poster has; None where it has others, or cannot be edited."""
        asked = {role: [text for text in texts_of(form) if text.startswith(f"@{role}:")] for role in TEXTS}
        if "png" not in self.files or not (placed := self.record.get("typeset")):
            return None
        quoted = sum(map(len, asked.values())) < len(placed)  # some stand in the prompt
        texts = []
        for one in placed:
            role = one["role"] if one["role"] in TEXTS else "body"
            if asked[role]:
                texts.append(asked[role].pop(0))
            elif quoted:
                texts.append(f"@{role}:{one['text']}")
            else:
                return None
        return None if any(asked.values()) else texts

    def export(self, name: str, target: Path, how: ExportOptions, gate: SafetyGate | None) -> None:
        """Write the poster as one of `EXPORTS`; ValueError where it cannot be."""
        ending = target.suffix.lstrip(".")
        how = replace(how, profile=how.profile if name == _X4 else None, marks=how.marks and ending == "pdf")
        check_export(target, how)
        if ending in self.files and self.texts is None:
            shutil.copyfile(self.files[ending], target)
            return
        # a PSD keeps its own layers: cut-outs, kept pixels
        source = self.files.get(ending) if ending == "psd" else None
        edit_poster(source or self.files["png"], self.texts, how=how, gate=gate).save(target)

    def exports_html(self, how: ExportOptions) -> str:
        """Links to the forms that the poster may be had in."""
        links = []
        for name, title in EXPORTS.items():
            why = self._missing(name, how)
            link = f'<a href="posters/{self.key}/{name}" download="{name}" data-form="{title}">{title}</a>'
            links.append(f'<span aria-disabled="true" title="{escape(why)}">{title}</span>' if why else link)
        return f'<nav class="pk-exports" aria-label="Download the poster">{"".join(links)}</nav>'

    def _missing(self, name: str, how: ExportOptions) -> str:
        """Why a form cannot be had; "" where it can."""
        if name == _X4 and how.profile is None:
            return "needs the ICC profile of the press, under Print"
        if "png" not in self.files and Path(name).suffix.lstrip(".") not in self.files:
            return "a poster that was dropped as a PNG may become any form"
        try:
            check_export(name, how if name == _X4 else DEFAULTS)
        except ValueError as error:
            return str(error)
        return ""


@dataclass
class Session:
    """What one visitor has before them.

    Attributes:
        folder: of their uploads; made when it is needed.
        posters: of the last job, or that were dropped.
        shown: the one on the stage; None while a plan is there.
        outdated: the form asks for other posters than these.
        view: what is on the stage.
        look: how the stage shows it: poster, layout or compare.
        how: files are written.
        stopping: the visitor's batch is to stop.
    """

    folder: Path | None = None
    job: PosterJob | None = None
    posters: list[ShownPoster] = field(default_factory=list)
    shown: ShownPoster | None = None
    outdated: bool = False
    view: StageView | None = None
    look: str = "poster"
    kit: BrandKit | None = None
    how: ExportOptions = DEFAULTS
    stopping: bool = False

    def leave(self) -> None:
        """The visitor has gone: their uploads go too."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def place(self, parent: Path) -> Path:
        """The visitor's folder."""
        if self.folder is None:
            self.folder = parent / f"visitor-{secrets.token_hex(8)}"
            self.folder.mkdir(mode=0o700)
        return self.folder
