"""`posterkit mcp`: tools that make, plan and judge posters, for agents that speak MCP on stdin and stdout."""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

from posterkit.cli import options
from posterkit.cli.serve import add_folder, add_service_options, allowed_folder, check_model, limits_of


def add_options(command: argparse.ArgumentParser) -> None:
    add_folder(command)
    add_service_options(command)


def run(args: argparse.Namespace) -> int:
    """Answer until stdin ends."""
    allowed = allowed_folder(args)
    try:
        from posterkit.app.mcp_tools import PosterTools
    except ImportError:
        raise ValueError("an MCP server needs mcp: pip install 'posterkit[mcp]'") from None
    from posterkit.app.intake import Intake
    from posterkit.app.job_queue import JobQueue
    from posterkit.generate.maker import PosterMaker

    limits = limits_of(args)
    with PosterMaker(**options.settings_of(args)) as maker, TemporaryDirectory(prefix="posterkit-") as folder:
        check_model(maker)
        queue = JobQueue(maker, Path(folder), limits, options.export_options(args))
        try:
            PosterTools(queue, Intake(maker, limits, allowed)).server().run("stdio")
        finally:
            queue.stop(0.0)
            queue.join(10.0)
    return 0
