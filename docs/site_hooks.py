"""Hooks of mkdocs: pages that lie outside docs/, and links that lead out of it."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
BROUGHT = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}  # file: its page on the site
_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((?!\w+:|#)([^)#\s]+)(#[^)]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    """Bring in the pages that lie beside docs/."""
    for source, page in BROUGHT.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Lead links to brought pages there; what else lies outside of docs/ is no page, and its link plain words."""
    back = {page: source for source, page in BROUGHT.items()}
    here = posixpath.dirname(back.get(page.file.src_uri) or f"docs/{page.file.src_uri}")

    def led(link: re.Match[str]) -> str:
        words, target, anchor = link[1], posixpath.normpath(posixpath.join(here, link[2])), link[3] or ""
        if target in BROUGHT:
            target = f"docs/{BROUGHT[target]}"
        elif not target.startswith("docs/"):
            return words
        start = posixpath.dirname(f"docs/{page.file.src_uri}")
        return f"[{words}]({posixpath.relpath(target, start)}{anchor})"

    return _LINK.sub(led, markdown)
