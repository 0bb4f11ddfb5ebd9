"""What every test starts from."""

from __future__ import annotations

import gc
import logging
import warnings
from collections.abc import Generator

import pytest

pytest_plugins = ["checkpoints"]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Garbage collection passes over what importing has made, millions of objects of which none is garbage."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(autouse=True)
def messages_as_they_were():
    """The command line, called in this process, takes posterkit's messages over; hand them back."""
    ours, shown = logging.getLogger("posterkit"), warnings.showwarning
    handlers, propagate = ours.handlers, ours.propagate
    yield
    ours.handlers, ours.propagate, warnings.showwarning = handlers, propagate, shown


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs an NVIDIA card")
