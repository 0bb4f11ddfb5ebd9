"""Upstream diffusers' own pipeline tests, mounted from a source checkout named by DIFFUSERS_SRC.

The checkout's `tests` folder is imported under the name `diffusers_tests`, so that neither its `conftest.py` nor its
`src` is ever loaded: the installed diffusers is what gets tested. Where the variable is not set, modules that need it
skip with `pytest.importorskip("diffusers_tests", reason=...)`.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest

UPSTREAM_MARKERS = (
    "lora", "ip_adapter", "training", "attention", "memory", "cpu_offload", "group_offload", "cache", "compile",
    "single_file", "quantization", "bitsandbytes", "quanto", "torchao", "gguf", "modelopt", "sdnq", "autoround",
    "context_parallel", "tensor_parallel", "big_accelerator", "nightly",
)  # fmt: skip
PIPELINES = {"PosterOmniPipeline", "PosterCraftPipeline"}


def _mount(source: str) -> None:
    folder = Path(source) / "tests"
    if not (folder / "pipelines" / "testing_utils").is_dir():
        raise pytest.UsageError(
            f"DIFFUSERS_SRC={source}: no tests/pipelines/testing_utils there; a diffusers checkout"
        )
    spec = importlib.util.spec_from_file_location(
        "diffusers_tests", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["diffusers_tests"] = module
    spec.loader.exec_module(module)


def pytest_configure(config: pytest.Config) -> None:
    for marker in UPSTREAM_MARKERS:
        config.addinivalue_line("markers", f"{marker}: upstream diffusers' marker")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # every tokenizer and checkpoint of these tests is made here
    source = os.environ.get("DIFFUSERS_SRC")
    if source and "diffusers_tests" not in sys.modules:
        _mount(source)


@pytest.fixture(autouse=True)
def named_in_diffusers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Upstream's encode_prompt test looks a pipeline class up in `diffusers.pipelines` by its name."""
    pipeline_class = getattr(request.cls, "pipeline_class", None)
    if isinstance(pipeline_class, type) and pipeline_class.__name__ in PIPELINES:
        import diffusers.pipelines

        monkeypatch.setattr(diffusers.pipelines, pipeline_class.__name__, pipeline_class, raising=False)
