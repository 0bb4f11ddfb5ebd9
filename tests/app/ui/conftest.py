from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import skimage.data
from PIL import Image

from posterkit.app.intake import Intake
from posterkit.app.job_queue import JobQueue
from posterkit.app.limits import Limits
from posterkit.app.ui.actions import Desk
from posterkit.app.ui.form import START

LINES = {"title": "NORTH LIGHT", "subtitle": "From 6 May", "cta": "Book now"}
SMALL = START | {"prompt": "a lighthouse at night", "size": "192x288", "steps": 2, "seed": 3, **LINES}


@pytest.fixture
def desk(maker, tmp_path: Path) -> Iterator[Desk]:
    queue = JobQueue(maker, tmp_path, Limits())
    yield Desk(queue, Intake(maker, Limits()))
    queue.stop(0.0)
    assert queue.join(30)


@pytest.fixture
def small() -> dict[str, Any]:
    """A form for a small poster that is drawn in two steps."""
    return dict(SMALL)


@pytest.fixture(scope="session")
def cup(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photograph of 240x160."""
    path = tmp_path_factory.mktemp("photos") / "cup.jpg"
    Image.fromarray(skimage.data.coffee()).resize((240, 160)).save(path)
    return path
