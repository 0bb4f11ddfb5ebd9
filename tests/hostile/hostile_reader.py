"""Gives every input of one kind to the package's readers, in a process that may take 1 GiB more than it starts with.

    python tests/hostile/hostile_reader.py KIND FOLDER

Prints a line of JSON for each input: its name, what came of it, seconds, and what is wrong with that, if anything.
"""

from __future__ import annotations

import json
import resource
import sys
import time
import warnings
from pathlib import Path

from posterkit.messages import error_line

GIB = 2**30


def images(path: Path) -> str:
    from posterkit.image_io import read_image_and_kind, read_size

    read_size(path)
    return "read, {0.width}x{0.height}".format(read_image_and_kind(path)[0])


def sets(path: Path) -> str:
    from posterkit.datagen.report import write_report
    from posterkit.datasets.dataset import PosterDataset
    from posterkit.datasets.validation import validate

    found = validate(path)
    for fault in found.faults:
        one_line_of(str(fault))
    said = [f"{len(found.faults)} faults, first: {found.faults[0]}"] if found.faults else ["no faults"]
    for reader in (lambda: list(PosterDataset(path)), lambda: write_report(path, "report.html")):
        try:
            reader()
        except (ValueError, OSError) as error:
            one_line_of(str(error))
            said.append(str(error))
    Path("report.html").unlink(missing_ok=True)
    return "; ".join(said)[:200]


def manifests(path: Path) -> str:
    from posterkit.batch.manifest import read_requests
    from posterkit.batch.rows import BadRow
    from posterkit.schema import PosterRequest

    said = []
    *_, good = rows = read_requests(path, PosterRequest(task=""))
    for row in rows:
        if isinstance(row, BadRow):
            one_line_of(row.why)
            said.append(row.why)
            continue
        try:
            row.pictures()
            row.mask_picture()
        except ValueError as error:
            one_line_of(str(error))
            said.append(str(error))
    if isinstance(good, BadRow):
        raise AssertionError("the good row went with the bad one")
    return f"one row refused: {said[0]}"[:200] if said else "read"


def records(path: Path) -> str:
    from posterkit.cli.info import run
    from posterkit.generate.record import check_models, request_from_poster

    request, settings, _ = request_from_poster(path)
    request.check()
    check_models(path, settings, request.lora, {})
    assert callable(run)
    return "read"


def rewards(path: Path) -> str:
    from posterkit.rewards.composition import read_composition
    from posterkit.rewards.specs import kind_of

    return kind_of(str(path)) if path.is_dir() else f"read: {read_composition(path)}"[:100]


def configs(path: Path) -> str:
    from posterkit.training.config import RunConfig, load_config

    return f"read: {load_config(RunConfig, path)}"[:100]


def fonts(path: Path) -> str:
    from posterkit.typeset.fonts import load_face
    from posterkit.typeset.shaping import shape

    face = load_face(path)
    return f"read; a line is {shape('Night', (face,), 40).width:.0f} wide"


def sidecars(path: Path) -> str:
    from posterkit.batch.folder import read_folder
    from posterkit.batch.rows import BadRow
    from posterkit.datagen.picture_folder import read_caption
    from posterkit.schema import PosterRequest

    said = []
    for row in read_folder(path, PosterRequest(task="filling" if list(path.glob("*.mask.png")) else "style_driven")):
        try:
            if not isinstance(row, BadRow):
                row.mask_picture()
                if len(row.prompt) > 2**16:
                    raise AssertionError("a long note became a prompt")
            said.append(row.why if isinstance(row, BadRow) else "read")
        except ValueError as error:
            said.append(str(error))
    try:
        if "root:" in read_caption(path / "a.png"):
            raise AssertionError("a file outside the folder became a caption")
    except (ValueError, OSError) as error:
        said.append(error_line(error))
    for line in said:
        one_line_of(line)
    return "; ".join(said)[:200]


def one_line_of(text: str) -> None:
    if not text or "\n" in text or len(text) > 2000:
        raise AssertionError(f"not one short line: {text[:300]!r}")


READERS = {
    "images": images, "sets": sets, "shards": sets, "manifests": manifests, "records": records, "rewards": rewards,
    "configs": configs, "fonts": fonts, "sidecars": sidecars,
}  # fmt: skip


def main(kind: str, folder: Path) -> None:
    read = READERS[kind]
    paths = sorted(folder.iterdir())
    try:
        read(paths[0])  # imports what it needs
    except Exception as error:
        assert not isinstance(error, ImportError), error
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + GIB, taken + GIB))
    warnings.simplefilter("ignore")
    for path in paths:
        print(json.dumps({"begun": path.name}), flush=True)
        began, wrong = time.monotonic(), None
        try:
            said = read(path)
        except (ValueError, OSError) as error:
            said = str(error)
            if not said or "\n" in said or len(said) > 2000:
                wrong = f"not one short line: {said[:300]!r}"
        except BaseException as error:
            said, wrong = type(error).__name__, f"{type(error).__name__}: {str(error)[:300]}"
        row = {"input": path.name, "said": said[:200], "seconds": round(time.monotonic() - began, 2), "wrong": wrong}
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
