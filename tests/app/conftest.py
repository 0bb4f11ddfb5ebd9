from __future__ import annotations

import pytest
from poster_server import running

from posterkit.generate.maker import PosterMaker


@pytest.fixture(scope="session")
def maker():
    with PosterMaker(device="cpu", metadata="full") as maker:
        yield maker


@pytest.fixture(scope="session")
def served(maker):
    with running(maker) as server:
        yield server
