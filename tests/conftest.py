"""What every test starts from."""

from __future__ import annotations

import logging
import warnings

import pytest

pytest_plugins = ["checkpoints"]


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
