"""What a run's weights come from, through all stages before it, and whose licence that has."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from posterkit.documents import read_yaml
from posterkit.pipelines.registry import resolve_folder
from posterkit.training.config import RunConfig

_FLUX_DEV = {
    "license": "other",
    "license_name": "flux-1-dev-non-commercial-license",
    "license_link": "https://huggingface.co/black-forest-labs/FLUX.1-dev/blob/main/LICENSE.md",
}
_APACHE = {"license": "apache-2.0"}
# of what stages start from: hub ids, which local copies are known by their last part
_LICENCES = {
    "black-forest-labs/FLUX.1-dev": _FLUX_DEV,
    "black-forest-labs/FLUX.1-schnell": _APACHE,
    "PosterCraft/PosterCraft-v1_RL": _FLUX_DEV,
    "Qwen/Qwen-Image": _APACHE,
    "Qwen/Qwen-Image-Edit": _APACHE,
    "Qwen/Qwen-Image-Edit-2509": _APACHE,
    "Qwen/Qwen-Image-Edit-2511": _APACHE,
    "Qwen/Qwen2.5-VL-7B-Instruct": _APACHE,
    "Qwen/Qwen3-VL-4B-Instruct": _APACHE,
    "Qwen/Qwen3-VL-8B-Instruct": _APACHE,
}


class Origin(NamedTuple):
    """What a run's weights come from.

    Attributes:
        base: a hub id, `mini:<name>`, the last part of a folder's path, or None for weights that were made here.
        stages: run folders between the base and this run, the oldest first, by their names.
        licence: of the base, in the hub's keys; `{"license": "unknown"}` where nothing says so.
        scripts: that the base can draw, where its card says so.
    """

    base: str | None
    stages: list[str]
    licence: dict[str, str]
    scripts: list[str] | None


def origin_of(config: RunConfig) -> Origin:
    """Follow `init_from` through the run folders of former stages down to what everything began with."""
    runs: list[Path] = []
    start = config.init_from
    while start:
        run = next((one for one in (Path(start), Path(start).parent) if (one / "config.yaml").is_file()), None)
        if run is None or run.resolve() in runs:  # a folder that was renamed may name itself
            break
        runs.insert(0, run.resolve())
        start = read_yaml((run / "config.yaml").read_text(encoding="utf-8"), str(run / "config.yaml")).get("init_from")
    stages = [run.name for run in runs]
    if not start:
        # all weights were made by this repository from its own synthetic posters
        return Origin(None, stages, _APACHE, None)
    head = _head_of(start)
    ours = head.get("posterkit") or {}
    scripts = ours.get("scripts") if isinstance(ours, dict) else None
    for name, licence in _LICENCES.items():
        if start == name or (Path(start).is_dir() and Path(start).resolve().name == name.split("/")[1]):
            return Origin(name, stages, licence, scripts)
    licence = {key: str(head[key]) for key in ("license", "license_name", "license_link") if head.get(key)}
    name = start if start.startswith("mini:") or not Path(start).exists() else Path(start).resolve().name
    return Origin(name, stages, licence or {"license": "unknown"}, scripts)


def _head_of(start: str) -> dict[str, Any]:
    """The front matter of a checkpoint's own card, if it lies here and has one."""
    folder = Path(resolve_folder(start)) if start.startswith("mini:") or Path(start).is_dir() else Path(start)
    while folder.name and not (folder / "README.md").is_file() and start.startswith("mini:"):
        folder = folder.parent  # mini:postercraft/vae has the card of the whole
    if not (folder / "README.md").is_file():
        return {}
    parts = (folder / "README.md").read_text(encoding="utf-8").split("---", 2)
    try:
        head = read_yaml(parts[1]) if len(parts) == 3 and not parts[0].strip() else {}
    except ValueError:
        return {}
    return head if isinstance(head, dict) else {}
