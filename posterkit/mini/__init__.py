"""The shipped checkpoints, in plain diffusers and transformers folders."""

from pathlib import Path

NAMES = ("posteromni", "postercraft", "planner")


def path(name: str) -> str:
    """The folder of a shipped checkpoint.

    Args:
        name: "posteromni", "postercraft" or "planner".

    Raises:
        ValueError: no such checkpoint.
        FileNotFoundError: the package was installed without its weights.
    """
    if name not in NAMES:
        raise ValueError(f"unknown mini checkpoint {name!r}; there are {', '.join(NAMES)}")
    folder = Path(__file__).parent / name
    if not any((folder / name).is_file() for name in ("model_index.json", "config.json")):
        raise FileNotFoundError(f"{folder}: the mini checkpoint is not there; install posterkit with its package data")
    return str(folder)
