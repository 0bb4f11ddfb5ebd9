"""`posterkit serve`: an HTTP API for posters, as OpenAI's clients speak it and as jobs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from posterkit.arguments import typed, whole
from posterkit.cli import options

_seconds = typed(float, "a number of seconds above 0", lambda value: 0 < value < 86400)
_megapixels = typed(float, "a number from 0.01 to 100", lambda value: 0.01 <= value <= 100)


def add_options(command: argparse.ArgumentParser) -> None:
    add_server_options(command, port=8080, grace=30.0)
    add_folder(command)
    add_service_options(command)


def add_server_options(command: argparse.ArgumentParser, port: int, grace: float) -> None:
    """Where a server listens, and what all its clients together may cost."""
    add = command.add_argument_group("the server").add_argument
    # fmt: off
    add("--host", default="127.0.0.1",
        help="0.0.0.0 lets other machines in, which needs a key in the variable POSTERKIT_API_KEY")
    add("--port", type=whole(0, 65535), default=port, metavar="N", help=f"0 takes any free one (default {port})")
    add("--grace", type=_seconds, default=grace, metavar="S",
        help=f"seconds that a running job may take after SIGTERM or Ctrl-C (default {grace:g})")
    add = command.add_argument_group("limits of the server").add_argument
    add("--max-body", type=whole(1, 2**20), metavar="KIB", help="of a request, uploads and all (default 65536)")
    add("--body-seconds", type=_seconds, metavar="S", help="for a whole request to arrive (default 120)")
    add("--queue", type=whole(1, 100_000), metavar="N", help="posters that wait; further ones get 429 (default 32)")
    add("--keep", type=whole(0, 100_000), metavar="N", help="finished jobs whose results are kept (default 100)")
    add("--keep-seconds", type=_seconds, metavar="S", help="for so long at most (default 3600)")
    # fmt: on


def add_folder(command: argparse.ArgumentParser) -> None:
    """A folder of the server's that requests may name files of."""
    folder = "requests may name files of this folder by their paths"
    command.add_argument("--allow-folder", type=Path, metavar="FOLDER", help=folder)


def add_service_options(command: argparse.ArgumentParser) -> None:
    """What every way of asking for posters shares: the model, the gate, limits of a request."""
    # fmt: off
    add = command.add_argument_group("limits of a request").add_argument
    add("--max-pixels", type=_megapixels, metavar="MP", help="of a picture and of a poster, in 2^20 (default 64)")
    add("--max-prompt", type=whole(1, 10**6), metavar="N", help="letters of prompt and texts (default 8000)")
    add("--max-steps", type=whole(1, 10**6), metavar="N",
        help="denoising steps, those of all its candidates together (default 400)")
    options.add_model_options(command)
    add = command.add_argument_group("posters").add_argument
    add("--upscaler", metavar="FILE", help="what enlarges the drawing: none, or a .safetensors file")
    add("--native", action="store_true", help="keep the size that the model draws; enlarge nothing")
    add("--draw-text", action=argparse.BooleanOptionalAction, default=None,
        help="let the diffusion model draw the texts, or set them in real fonts (the default with mini)")
    add("--segmenter", metavar="MODEL", help="what cuts subjects out: rules, or a SAM-2 folder or hub id")
    options.add_reward(add)
    add("--critic", metavar="SPEC", help="who suggests improvements: rules (default), a folder or an endpoint")
    options.add_export_options(command.add_argument_group("files").add_argument)
    options.add_safety_options(command)
    # fmt: on


def limits_of(args: argparse.Namespace) -> Any:
    """What the call says of limits; `posterkit.app.limits.Limits`."""
    from posterkit.app.limits import Limits

    options = {
        "body": "max_body",
        "body_seconds": "body_seconds",
        "queue": "queue",
        "kept": "keep",
        "kept_seconds": "keep_seconds",
        "prompt": "max_prompt",
        "steps": "max_steps",
        "pixels": "max_pixels",
    }
    given = {name: getattr(args, option, None) for name, option in options.items()}
    given["body"] = given["body"] and given["body"] * 2**10
    given["pixels"] = given["pixels"] and round(given["pixels"] * 2**20)
    return Limits(**{name: value for name, value in given.items() if value is not None})


def allowed_folder(args: argparse.Namespace) -> Path | None:
    """The folder whose files may be named; ValueError where it is none."""
    if args.allow_folder is not None and not args.allow_folder.is_dir():
        raise ValueError(f"{args.allow_folder}: there is no such folder")
    return args.allow_folder


def check_model(maker: Any) -> None:
    """ValueError where a maker's model can draw no poster at all, before anybody asks for one."""
    from posterkit.tasks import TEXT

    try:
        maker.checkpoint(TEXT)
    except ValueError:
        maker.checkpoint("extending")


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C."""
    allowed = allowed_folder(args)
    try:
        from posterkit.app.http_server import check_host, serve
    except ImportError:
        raise ValueError("a server needs FastAPI and uvicorn: pip install 'posterkit[serve]'") from None
    check_host(args.host)

    from posterkit.generate.maker import PosterMaker

    with PosterMaker(**options.settings_of(args)) as maker:
        check_model(maker)
        serve(
            maker, args.host, args.port, limits_of(args), allowed=allowed, how=options.export_options(args),
            grace=args.grace, debug=args.debug, announce=lambda url: print(f"posterkit at {url}", flush=True),
        )  # fmt: skip
    return 0
