"""`posterkit ui`: a page in the browser for posters, batches and brand kits."""

from __future__ import annotations

import argparse

from posterkit.cli import options
from posterkit.cli.serve import add_server_options, add_service_options, check_model, limits_of


def add_options(command: argparse.ArgumentParser) -> None:
    add_server_options(command, port=7860, grace=5.0)
    add_service_options(command)


def run(args: argparse.Namespace) -> int:
    """Show the page until SIGTERM or Ctrl-C."""
    try:
        from posterkit.app.http_server import check_host, serve
        from posterkit.app.ui.page_app import page_app
    except ImportError as error:
        raise ValueError(f"the page needs Gradio ({error.name}): pip install 'posterkit[ui]'") from None
    check_host(args.host)

    from posterkit.generate.maker import PosterMaker

    with PosterMaker(**options.settings_of(args)) as maker:
        check_model(maker)
        serve(
            maker, args.host, args.port, limits_of(args), how=options.export_options(args), grace=args.grace,
            debug=args.debug, build=page_app,
            announce=lambda url: print(f"posterkit at {url}", flush=True),
        )  # fmt: skip
    return 0
