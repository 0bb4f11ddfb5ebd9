"""Gives every input of one kind to the package's readers, in a process that may take 1 GiB more than it starts with.

    python tests/hostile/hostile_reader.py KIND FOLDER

Prints a line of JSON for each input: its name, what came of it, seconds, and what is wrong with that, if anything.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import resource
import sys
import time
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

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
    from posterkit.cli import info
    from posterkit.generate.record import check_models, request_from_poster

    said = []
    for as_json in (False, True):
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            try:
                info.run(argparse.Namespace(poster=path, json=as_json))
            except ValueError as error:
                said.append(str(error))
        if any(not letter.isprintable() and letter != "\n" for letter in output.getvalue()):
            raise AssertionError("a control character went to the terminal")
    request, settings, _ = request_from_poster(path)
    request.check()
    check_models(path, settings, request.lora, {})
    return "; ".join(said) or "read"


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
    from posterkit.batch.manifest import read_requests
    from posterkit.batch.rows import BadRow
    from posterkit.datagen.picture_folder import read_caption
    from posterkit.schema import PosterRequest

    said = []
    for row in read_requests(path, PosterRequest(task="filling" if list(path.glob("*.mask.png")) else "style_driven")):
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


def servers(path: Path) -> str:
    import socket
    import threading

    from PIL import Image

    from posterkit.llm.client import AnswerError
    from posterkit.llm.endpoint import Endpoint
    from posterkit.rewards.remote import RemoteReward
    from posterkit.rewards.reward import RewardError
    from posterkit.schema import PosterRequest

    threading.stack_size(2**18)  # the stacks of connections count too
    script = json.loads(path.read_text())
    head, piece = (script[key].encode("latin-1") for key in ("head", "piece"))

    def answer(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.recv(65536)
            connection.sendall(head)
            for _ in range(script["times"]):
                connection.sendall(piece)
                time.sleep(script["pause"])

    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=answer, args=(listening.accept()[0],), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        url, said = f"http://127.0.0.1:{listening.getsockname()[1]}", []
        reward = RemoteReward(url, timeout=1.0, retries=0)
        picture = Image.new("RGB", (8, 8))
        for ask in (
            lambda: reward([picture], [PosterRequest("x")]),
            lambda: reward.name,
            lambda: Endpoint(url, "m", timeout=1.0, retries=0).ask("s", "u", []),
        ):
            try:
                said.append(f"read: {ask()}")
            except (AnswerError, RewardError, ValueError) as error:
                one_line_of(str(error))
                said.append(str(error).replace(url, "URL"))
    return "; ".join(said)


def loras(path: Path) -> str:
    from diffusers import FluxTransformer2DModel

    from posterkit import mini
    from posterkit.cli.lora_info import describe
    from posterkit.pipelines.loading import lora_source
    from posterkit.pipelines.lora_weights import lora_state_dict, other_base, read_lora_file

    if "flux" not in _KEPT:
        _KEPT["flux"] = FluxTransformer2DModel.from_pretrained(mini.path("postercraft"), subfolder="transformer")
    content = read_lora_file(lora_source(str(path)).fetch())
    for value in describe(content).values():
        if value and not value.isprintable():
            raise AssertionError(f"not printable: {value!r}")
    difference = other_base(_KEPT["flux"], content.base)
    state = lora_state_dict(content, SimpleNamespace(transformer=_KEPT["flux"]))
    return f"read, {len(state)} tensors" + (f"; of another base, {difference}" if difference else "")


def weights(path: Path) -> str:
    import torch

    from posterkit import mini
    from posterkit.pipelines.loading import load_transformer
    from posterkit.pipelines.registry import FAMILIES

    load_transformer(str(path), str(mini.path("postercraft")), FAMILIES["postercraft"], torch.float32)
    return "read"


def folders(path: Path) -> str:
    from posterkit.generate.checkpoint import Settings, find_checkpoint
    from posterkit.pipelines.presets import load_pipeline

    find_checkpoint(Settings(model=str(path)), "text")
    load_pipeline(path, device="cpu")
    return "read"


_KEPT: dict[str, Any] = {}


def one_line_of(text: str) -> None:
    if not text or "\n" in text or len(text) > 2000:
        raise AssertionError(f"not one short line: {text[:300]!r}")


READERS = {
    "images": images, "large": images, "sets": sets, "shards": sets, "manifests": manifests, "records": records,
    "rewards": rewards,
    "configs": configs, "fonts": fonts, "sidecars": sidecars, "servers": servers, "loras": loras, "weights": weights,
    "folders": folders,
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
