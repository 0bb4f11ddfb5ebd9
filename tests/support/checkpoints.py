"""Tiny checkpoints of the real classes with random weights, saved once; and photographs to work on."""

from __future__ import annotations

from pathlib import Path

import pytest
from pictures import grain
from PIL import Image

NATIVE_AREA = 64 * 96


@pytest.fixture(scope="session")
def craft(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A FLUX.1 folder that draws 64x96."""
    import tiny_flux

    from posterkit import PosterCraftPipeline

    folder = tmp_path_factory.mktemp("craft")
    options = {"native_area": NATIVE_AREA, "num_inference_steps": 2, "max_sequence_length": 64}
    PosterCraftPipeline(**tiny_flux.components(), **options).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def omni(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Qwen-Image-Edit folder that draws 64x96."""
    import tiny_qwen

    from posterkit import PosterOmniPipeline

    folder = tmp_path_factory.mktemp("omni")
    areas = {"native_area": NATIVE_AREA, "reference_area": NATIVE_AREA, "condition_area": 56 * 56}
    PosterOmniPipeline(**tiny_qwen.components(), **areas, num_inference_steps=2).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A landscape photograph of 180x120: a gradient with grain, so that every pixel counts."""
    path = tmp_path / "photo.png"
    Image.fromarray(grain(180, 120)).save(path)
    return path
