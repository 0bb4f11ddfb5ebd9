"""Batches of reflections: drafts, what to change in them, and better posters for the same prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from posterkit.datagen.engine import Flow, run_flow
from posterkit.datasets.dataset import PosterDataset
from posterkit.datasets.pair_dataset import as_samples, pictures_of
from posterkit.pipelines.flux_inputs import feedback_text
from posterkit.training.adapters import Adapter
from posterkit.training.loading.batches import Batch, encode_posters
from posterkit.training.loading.data_report import leave_out
from posterkit.training.loading.drafts import DraftsOfPosters, encode_drafted
from posterkit.training.loading.pairs import two_sided_batches
from posterkit.training.loading.prefetch import PrefetchLoader
from posterkit.training.loading.sets import PosterSet, SetConfig
from posterkit.training.protocols import RunView


class ReflectedPosters(PosterDataset):
    """Both posters of each reflection as samples of their own: target, draft, target, and so on.

    A target's caption is the prompt, a draft's its feedback, which T5 reads apart from the prompt: so what the
    encoders say of either is kept once, and the drafts of one prompt share their target.

    Raises:
        FileNotFoundError: there is no set.
        ValueError: it holds a row that is no reflection, or one without an id or a prompt.
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


def open_reflected(config: SetConfig, run: RunView) -> PosterSet:
    """The reflections at `config.path`; where that is null, some drawn into the run folder, once.

    Raises:
        FileNotFoundError: there is no set.
        ValueError: it holds no reflection to train on, or something else; or the run folder holds a set that was
            drawn otherwise.
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


def reflection_batches(posters: PosterSet, model: Adapter, run: RunView, config: SetConfig) -> PrefetchLoader:
    """Endless batches of `batch_size` reflections on the run's device; as `encoded_batches`.

    What `model.precompute` returns of a target has its own name in a batch, of a draft and its feedback the name with
    `_draft` behind it. A reflection is left out that suggests nothing, whose draft and target are the same picture or
    do not go to one size, or of which one cannot be used.

    Raises:
        ValueError: the model's family does not know a task of the set, or nothing is left to train on.
        OSError: the disk is too small for what the encoders say.
    """
    dataset = posters.train
    encoded, lost = encode_posters(dataset, model, run, config, sides=2)
    shapes = [model.bucket(row) for row in encoded.cache.shapes()]
    place_of = {number: place for place, number in enumerate(encoded.numbers)}
    pairs: list[tuple[int, int]] = []
    for number in range(0, len(dataset), 2):
        target, draft = place_of.get(number), place_of.get(number + 1)
        if target is None or draft is None:
            continue  # the report names the side that is missing
        if not dataset.rows[number + 1]["caption"]:
            leave_out(lost, "suggest nothing", dataset, number, "content and style are empty")
        elif _same_picture(dataset, number):
            leave_out(lost, "have the same picture as draft and target", dataset, number, "one content")
        elif shapes[target] != shapes[draft]:
            leave_out(lost, "have a draft of another size", dataset, number, f"{shapes[draft]} for {shapes[target]}")
        else:
            pairs.append((target, draft))
    return two_sided_batches(
        run,
        model,
        encoded,
        pairs,
        lost,
        lambda target, draft: (encoded.row(target), encoded.cache[target], encoded.cache[draft]),
        lambda rows: _collate(model, rows),
        "reflections",
    )


def _collate(model: Adapter, rows: Sequence[Any]) -> Batch:
    tensors, drafts = (model.collate([row[side] for row in rows]) for side in (1, 2))
    tensors |= {f"{name}_draft": value for name, value in drafts.items()}
    return Batch(tensors, [str(row["id"]) for row, *_ in rows], [str(row["task"]) for row, *_ in rows])


def _sides(row: dict[str, Any]) -> list[dict[str, Any]]:
    """A reflection's target and draft as rows of samples; the draft's caption is empty where nothing is suggested."""
    draft, target = as_samples(row)
    said: Any = [row.get("content"), row.get("style")]
    try:
        feedback = feedback_text(said)
    except ValueError:
        feedback = ""
    return [{**target, "id": row["id"]}, {**draft, "id": row["id"], "caption": feedback}]


def _same_picture(dataset: PosterDataset, number: int) -> bool:
    """Whether a reflection's two files hold the same; they are only read where they are of one size."""
    files, row = dataset.files, dataset.rows[number]
    names, shard = [one["target"] for one in dataset.rows[number : number + 2]], row.get("shard")
    if shard:
        sizes = {files.members(shard)[name][1] for name in names}
    else:
        sizes = {files.stamp(row, name)[0] for name in names}
    return len(sizes) == 1 and files.read(row, names[0]) == files.read(row, names[1])
