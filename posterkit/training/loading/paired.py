"""Batches of two posters a sample: preference pairs; and reflections: draft, feedback, better poster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from posterkit.datagen.engine import Flow, run_flow
from posterkit.datasets.dataset import PosterDataset
from posterkit.datasets.pair_dataset import as_samples, pictures_of
from posterkit.datasets.sample_files import Row
from posterkit.pipelines.flux_inputs import feedback_text
from posterkit.training.adapters import Adapter
from posterkit.training.loading.batches import Batch, EncodedPoster, batches_of, collate_rows, encode_posters
from posterkit.training.loading.data_report import leave_out
from posterkit.training.loading.drafts import DraftsOfPosters, encode_drafted
from posterkit.training.loading.prefetch import PrefetchLoader
from posterkit.training.loading.sets import PosterSet, SetConfig
from posterkit.training.protocols import RunView


class PairedPosters(PosterDataset):
    """The two posters of each pair of candidates as samples of their own: chosen, rejected, chosen, and so on.

    Pairs whose rejected side is the unedited input are for reward models; they are no two posters of one size.
    ValueError where a row is no preference pair.
    """

    def __init__(self, config: SetConfig, split: str) -> None:
        assert config.path is not None
        super().__init__(config.path, tasks=config.tasks, split=split)
        for line, row in zip(self.lines, self.rows, strict=True):
            if pictures_of(row) != ("chosen", "rejected"):
                raise ValueError(
                    f"{self.index}:{line}: {row.get('id')}: is no preference pair; data_tools/mine_preferences.py "
                    "writes such a set"
                )
        kept = [n for n, row in enumerate(self.rows) if row.get("kind", "candidates") == "candidates"]
        self.lines = [self.lines[n] for n in kept for _ in range(2)]
        self.rows = [side for n in kept for side in as_samples(self.rows[n])]


class ReflectedPosters(PosterDataset):
    """Both posters of each reflection as samples of their own: target, draft, target, and so on.

    A target's caption is the prompt, a draft's its feedback, which T5 reads apart from the prompt: so what the
    encoders say of either is kept once, and the drafts of one prompt share their target. ValueError where a row is no
    reflection, or has no id or prompt.
    """

    def __init__(self, path: str | Path, tasks: Sequence[str] | None, split: str) -> None:
        super().__init__(path, tasks=tasks, split=split)
        for line, row in zip(self.lines, self.rows, strict=True):
            where = f"{self.index}:{line}: {row.get('id')}"
            if pictures_of(row) != ("draft", "target"):
                raise ValueError(f"{where}: is no reflection; data_tools/build_reflections.py writes such a set")
            for key in ("id", "prompt"):
                if not isinstance(row.get(key), str) or not row[key].strip():
                    raise ValueError(f"{where}: its {key} is {row.get(key)!r}; a reflection has words there")
        self.lines = [line for line in self.lines for _ in range(2)]
        self.rows = [side for row in self.rows for side in _sides(row)]


def open_pairs(config: SetConfig) -> PosterSet:
    """The pairs at `config.path`; raises as `PairedPosters`, or ValueError where there is no pair to train on."""
    train, heldout = PairedPosters(config, "train"), PairedPosters(config, "heldout")
    if not train.rows:
        raise ValueError(f"{train.index}: there is no pair of candidates to train on")
    return PosterSet(train, heldout)


def open_reflected(config: SetConfig, run: RunView) -> PosterSet:
    """The reflections at `config.path`; where that is null, some drawn into the run folder, once.

    Raises as `ReflectedPosters`, or ValueError where there is no reflection to train on, or where the run folder holds
    a set that was drawn with other settings.
    """
    folder = Path(config.path) if config.path else run.folder / "set"
    if config.path is None:
        source, unused = DraftsOfPosters(config), ("path", "tasks", "area", "cache", "keep", "words")
        drawn = {key: value for key, value in asdict(config).items() if key not in unused}
        settings = {"tool": type(source).__name__, **drawn}
        if run.accelerator.is_main_process:
            run.print(f"{folder}: drawing {config.count + config.heldout} posters and drafts of them")
            run_flow(Flow(source, config.count + config.heldout, (), encode_drafted, settings), folder)
        run.accelerator.wait_for_everyone()
    train, heldout = (ReflectedPosters(folder, config.tasks, split) for split in ("train", "heldout"))
    if not train.rows:
        raise ValueError(f"{train.index}: there is no reflection to train on")
    return PosterSet(train, heldout)


def pair_batches(posters: PosterSet, model: Adapter, run: RunView, config: SetConfig) -> PrefetchLoader:
    """Endless batches of `batch_size` pairs: the chosen posters, then in the same order the rejected ones.

    They are `(2B, ...)` on the run's device, as those of `encoded_batches`. A pair is left out whose sides are the
    same picture, do not go to one size, or of which one cannot be used. Raises as `encode_posters`.
    """

    def collate(pairs: Sequence[list[EncodedPoster]]) -> Batch:
        return collate_rows(model, [pair[side] for side in (0, 1) for pair in pairs])

    same, sizes = "have the same picture on both sides", "have sides of two sizes"
    return _two_sided_batches(posters.train, model, run, config, collate, "pairs", same, sizes)


def reflection_batches(posters: PosterSet, model: Adapter, run: RunView, config: SetConfig) -> PrefetchLoader:
    """Endless batches of `batch_size` reflections on the run's device; as `encoded_batches`.

    Tensors that `model.precompute` returns of a target have its names in a batch, those of a draft and its feedback
    the names with `_draft` behind them. A reflection is left out that suggests nothing, whose draft and target are the
    same picture or do not go to one size, or of which one cannot be used. Raises as `encode_posters`.
    """

    def collate(pairs: Sequence[list[EncodedPoster]]) -> Batch:
        batch = collate_rows(model, [target for target, _ in pairs])
        drafts = model.collate([encoded for _, (_, encoded, _) in pairs])
        batch |= {f"{name}_draft": value for name, value in drafts.items()}
        return batch

    same, sizes = "have the same picture as draft and target", "have a draft of another size"
    return _two_sided_batches(posters.train, model, run, config, collate, "reflections", same, sizes)


def _two_sided_batches(
    dataset: PosterDataset, model: Adapter, run: RunView, config: SetConfig,
    collate: Callable[[Sequence[list[EncodedPoster]]], Batch], what: str, same: str, sizes: str,
) -> PrefetchLoader:  # fmt: skip
    """Batches of samples, called `what`, whose two posters are rows 2n and 2n + 1 of a set.

    A sample is left out as `same` whose pictures are equal, as `sizes` where they are of two.
    """
    encoded, lost = encode_posters(dataset, model, run, config, sides=2)
    shapes = [model.bucket(row) for row in encoded.cache.shapes()]
    place_of = {number: place for place, number in enumerate(encoded.numbers)}
    samples: list[tuple[int, int]] = []
    for number in range(0, len(dataset), 2):
        first, second = place_of.get(number), place_of.get(number + 1)
        if first is None or second is None:
            continue  # the report names the side that is missing
        if isinstance(dataset, ReflectedPosters) and not dataset.rows[number + 1]["caption"]:
            leave_out(lost, "suggest nothing", dataset, number, "content and style are empty")
        elif _same_picture(dataset, number):
            leave_out(lost, same, dataset, number, "one content")
        elif shapes[first] != shapes[second]:
            leave_out(lost, sizes, dataset, number, f"{shapes[second]} for {shapes[first]}")
        else:
            samples.append((first, second))
    lost = {reason: list({one.line: one for one in found}.values()) for reason, found in lost.items()}
    if not samples:
        reasons = "; ".join(f"{len(found)} {reason}" for reason, found in sorted(lost.items()))
        raise ValueError(f"{dataset.index}: none of {len(dataset) // 2} {what} is left: {reasons}")
    return batches_of(run, model, encoded, samples, lost, collate)


def _sides(row: Row) -> list[Row]:
    """A reflection's target and draft as rows of samples; the draft's caption is empty where nothing is suggested."""
    draft, target = as_samples(row)
    said: Any = [row.get("content"), row.get("style")]
    try:
        feedback = feedback_text(said)
    except ValueError:
        feedback = ""
    return [{**target, "id": row["id"]}, {**draft, "id": row["id"], "caption": feedback}]


def _same_picture(dataset: PosterDataset, number: int) -> bool:
    """Whether a sample's two files hold the same; they are only read where they are of one size."""
    files, row = dataset.files, dataset.rows[number]
    names, shard = [one["target"] for one in dataset.rows[number : number + 2]], row.get("shard")
    if shard:
        sizes = {files.members(shard)[name][1] for name in names}
    else:
        sizes = {files.stamp(row, name)[0] for name in names}
    return len(sizes) == 1 and files.read(row, names[0]) == files.read(row, names[1])
