"""Full memory, inputs that change, folders that cannot be written: with a tiny pipeline of the real classes."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from pictures import grain
from PIL import Image

from posterkit import PosterMaker, PosterRequest
from posterkit.batch.engines import run_local
from posterkit.batch.worker import BatchWorker, FolderLost, Job, input_stamps, trim_memory
from posterkit.generate.metadata import read_record
from posterkit.sizing import Size


class Silent:
    def start(self, rows): ...
    def found(self, before): ...
    def row(self, entry): ...
    def stopping(self): ...


class SmallMemory:
    """A decoder that has room for so many latent cells at once, as a card has."""

    def __init__(self, pipe: Any, cells: int) -> None:
        self.cells, self.seen = cells, []
        self._hook = pipe.vae.decoder.register_forward_pre_hook(self._check)

    def _check(self, module: Any, inputs: tuple[torch.Tensor, ...]) -> None:
        height, width = inputs[0].shape[-2:]
        self.seen.append(height * width)
        if height * width > self.cells:
            raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {height * width} cells")

    def remove(self) -> None:
        self._hook.remove()


@pytest.fixture(scope="module")
def maker(craft: str) -> Iterator[PosterMaker]:
    with PosterMaker(model=craft, native=True) as made:
        yield made


def request(name: str, size: tuple[int, int] = (64, 96)) -> PosterRequest:
    return PosterRequest("waves", size=Size(*size), steps=1, seed=1, id=name, out=f"{name}.png")


def made_with(maker: PosterMaker, cells: int, out: Path) -> tuple[Any, SmallMemory]:
    memory = SmallMemory(maker.pipeline("text"), cells)
    try:
        return run_local([request("a")], maker, out, Silent()), memory
    finally:
        memory.remove()


@pytest.mark.slow
def test_tiles_are_tried_where_memory_is_full_and_only_for_that_poster(
    tmp_path: Path, maker: PosterMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("posterkit.pipelines.out_of_memory.TILES", (64, 32))
    vae = maker.pipeline("text").vae
    scale = 2 ** (len(vae.config.block_out_channels) - 1)
    whole = (64 // scale) * (96 // scale)
    monkeypatch.setattr(type(vae), "tile_latent_min_size", 32 // scale, raising=False)
    result, memory = made_with(maker, whole // 4, tmp_path)
    assert result.made == 1 and memory.seen[0] == whole and max(memory.seen[-3:]) <= whole // 4
    assert read_record(tmp_path / "a.png")["drawn"]["memory"].startswith("in tiles of")
    assert not vae.use_tiling
    run_local([request("b")], maker, tmp_path, Silent())
    assert "memory" not in read_record(tmp_path / "b.png")["drawn"]


@pytest.mark.slow
def test_a_poster_that_fits_nowhere_fails_with_the_reason_and_the_next_is_made(
    tmp_path: Path, maker: PosterMaker
) -> None:
    result, _ = made_with(maker, 1, tmp_path)
    assert result.failures == 1 and not (tmp_path / "a.png").exists()
    why = result.failed[0].why
    assert why.startswith("memory is full, even in tiles of 256 pixels: OutOfMemoryError: CUDA out of memory")
    assert run_local([request("b")], maker, tmp_path, Silent()).made == 1


@pytest.mark.parametrize(
    ("how", "why"), [("gone", "photo.png: cannot be read"), ("other", "photo.png changed while the poster was made")]
)
def test_an_input_that_goes_or_changes_while_it_is_drawn_fails_its_row(
    tmp_path: Path, omni: str, how: str, why: str
) -> None:
    photo = tmp_path / "photo.png"
    Image.fromarray(grain(90, 60)).save(photo)
    with PosterMaker(model=omni, native=True) as maker:
        plan = maker.plan(PosterRequest(task="style_driven", images=[photo], seed=1, out="a.png", id="a"))
        worker = BatchWorker(maker, tmp_path / "out")
        job = Job(0, plan, inputs=input_stamps(plan))
        prepared = worker.prepare([job])
        photo.unlink() if how == "gone" else Image.fromarray(grain(90, 60, seed=3)).save(photo)
        (drawn,) = worker.draw([job], prepared)
        ((_, entry),) = worker.finish(drawn)
    assert entry.status == "failed" and why in entry.why
    assert not (tmp_path / "out" / "a.png").exists()


def test_an_input_that_has_vanished_fails_its_row_alone(tmp_path: Path, omni: str) -> None:
    rows = []
    for name in ("a", "b"):
        Image.fromarray(grain(90, 60)).save(tmp_path / f"{name}.png")
        images = [tmp_path / f"{name}.png"]
        rows.append(PosterRequest(task="style_driven", images=images, steps=1, id=name, out=f"{name}.png"))
    with PosterMaker(model=omni, native=True) as maker:
        (tmp_path / "a.png").unlink()
        result = run_local(rows, maker, tmp_path / "out", Silent())
    assert (result.made, result.failures) == (1, 1) and "a.png" in result.failed[0].why


def test_a_result_in_a_folder_that_is_a_file_costs_one_row(tmp_path: Path, maker: PosterMaker) -> None:
    (tmp_path / "sub").write_text("a file, where a folder shall be")
    rows = [PosterRequest("x", steps=1, id="a", out="sub/a.png"), request("b")]
    result = run_local(rows, maker, tmp_path, Silent())
    assert (result.made, result.failures) == (1, 1) and "sub/a.png" in result.failed[0].why


@pytest.mark.parametrize("folder", ["/proc/posters", "/dev/null/posters"])
@pytest.mark.skipif(os.name != "posix", reason="needs a folder that nobody may write")
def test_a_folder_that_cannot_be_written_is_refused_before_any_model_loads(folder: str, maker: PosterMaker) -> None:
    fresh = PosterMaker(model=maker.settings.model)
    with pytest.raises(ValueError, match=f"{folder}: cannot be written"):
        run_local([request("a")], fresh, Path(folder), Silent())
    assert fresh._opened is None


def test_a_folder_that_becomes_read_only_stops_the_run(
    tmp_path: Path, maker: PosterMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = maker.plan(request("a"))
    worker = BatchWorker(maker, tmp_path)
    monkeypatch.setattr("os.access", lambda path, mode: False)  # a test may run as root, whom nothing stops

    def refused(*args: object, **how: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("posterkit.generate.record.FinishedPoster.save", refused)
    job = Job(0, plan)
    (drawn,) = worker.draw([job], worker.prepare([job]))
    with pytest.raises(FolderLost, match="cannot be written any more"):
        worker.finish(drawn)


def test_a_row_is_the_same_bytes_in_every_company(tmp_path: Path, maker: PosterMaker) -> None:
    rows = [request(name, size) for name, size in (("a", (64, 96)), ("b", (96, 64)), ("c", (64, 96)))]
    run_local(rows, maker, tmp_path / "all", Silent())
    run_local([rows[2]], maker, tmp_path / "alone", Silent())
    assert (tmp_path / "all" / "c.png").read_bytes() == (tmp_path / "alone" / "c.png").read_bytes()
    assert np.asarray(Image.open(tmp_path / "all" / "a.png")).std() > 0


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_what_was_freed_goes_back_to_the_system():
    """A block at the end keeps the C library from giving back what was freed before it."""
    blocks = [np.ones(12_000) for _ in range(1000)]  # 96 kB each: too small to be a mapping of its own
    last, here = blocks.pop(), psutil.Process()
    blocks.clear()
    held = here.memory_info().rss
    trim_memory()
    assert held - here.memory_info().rss > 50 * 2**20
    assert last.all()
