"""A small network that reads what a drawing shows: its subject and theme, colour, place, style and box.

    python benchmarks/recogniser.py --out runs/recogniser       # about twenty-five minutes on one core

It judges what a model drew (`mini_report.py`), so it is trained on synthetic drawings without lettering, some of them
softened, and is told nothing of any model. A question counts only where it answers right for at least 97 % of held-out
drawings; `recogniser.json` beside the weights says how often it does.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from posterkit.prompts import COLORS
from posterkit.schema import PosterSample
from posterkit.sizing import fit_area
from posterkit.synthetic import SyntheticPosters
from posterkit.synthetic.contents import PLACES, STYLES, SUBJECTS, read_contents
from posterkit.synthetic.layouts import LAYOUTS, TitleLayout
from posterkit.synthetic.palettes import background_name
from posterkit.synthetic.scene_draft import FREE, NO_TITLE, SIDES
from posterkit.synthetic.synthetic_poster import draw_poster, motif_area, render
from posterkit.training.optimizers import MuonAdamW, parameter_groups

Picture = NDArray[np.uint8]
FOLDER = Path("runs/recogniser")
AREA = 128 * 192  # pixels that it sees, whatever the picture's size
SIZES = ((128, 192), (192, 128), (160, 160))
AREAS = (*FREE.values(), *SIDES.values(), *(layout.subject for layout in LAYOUTS))  # where a draft's subject stands
NAMES = {
    "subject": [subject for subjects in SUBJECTS.values() for subject in subjects],
    "color": list(COLORS),
    "place": list(PLACES),
    "style": list(STYLES.values()),
}
READ = ("subject", "color", "style")  # from the crop; the place follows from the whole picture
CROP = 96
THEMES = {subject: theme for theme, subjects in SUBJECTS.items() for subject in subjects}
ENOUGH = 0.97  # a question counts from here on
WELL = 0.95  # and is asked of the subjects for which it is answered right this often; of lights no style can be told
SOMETIMES = ("color", "style", "place", "box")


class Recogniser(nn.Module):
    """Finds the subject's square on the small picture, then reads a crop of it at `CROP` pixels a side."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.locator = nn.Sequential(_block(3, 32), _block(32, 48), _block(48, 64), _block(64, 64))
        self.where = nn.Sequential(nn.Linear(64 * 16 + 64, 64), nn.ReLU(), nn.Linear(64, 3 + len(PLACES)))
        self.reader = nn.Sequential(
            _block(3, width), _Residual(width), _block(width, 2 * width), _Residual(2 * width),
            _block(2 * width, 4 * width), _Residual(4 * width),
        )  # fmt: skip
        self.feature = nn.Sequential(nn.Linear(20 * width, 96), nn.ReLU())
        self.heads = nn.ModuleDict({name: nn.Linear(96, len(NAMES[name])) for name in READ})

    def locate(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Squares `(B, 3)`, logits of the place, and features `(B, 64)`, of pictures `(B, 3, H, W)` in [-1, 1].

        A square is its middle, as shares of the picture's sides, and half its side, as a share of the shorter one.
        """
        x = self.locator(F.avg_pool2d(x, 2).contiguous(memory_format=torch.channels_last))
        pooled = x.amax((2, 3))
        found = self.where(torch.cat([F.adaptive_avg_pool2d(x, 4).flatten(1), pooled], 1))
        return found[:, :3].sigmoid(), found[:, 3:], pooled

    def read(self, x: Tensor, squares: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Logits of each question, and features `(B, 96)`, from the squares of pictures."""
        x = self.reader(_crops(x, squares).contiguous(memory_format=torch.channels_last))
        feature = self.feature(torch.cat([F.adaptive_avg_pool2d(x, 2).flatten(1), x.amax((2, 3))], 1))
        return {name: head(feature) for name, head in self.heads.items()}, feature


def _crops(x: Tensor, squares: Tensor) -> Tensor:
    """`(B, 3, CROP, CROP)`: the squares and a margin of a fifth around them; the edge is repeated beyond it."""
    height, width = x.shape[-2:]
    half = 1.2 * squares[:, 2] * min(height, width)
    zero = torch.zeros_like(half)
    rows = [
        torch.stack([2 * half / width, zero, 2 * squares[:, 0] - 1], 1),
        torch.stack([zero, 2 * half / height, 2 * squares[:, 1] - 1], 1),
    ]
    grid = F.affine_grid(torch.stack(rows, 1), [len(x), 3, CROP, CROP], align_corners=False)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)


class _Convolution(nn.Module):
    """3 x 3, its kernel kept as a matrix: that is what Muon steps."""

    def __init__(self, inside: int, outside: int, stride: int = 1) -> None:
        super().__init__()
        self.shape, self.stride = (outside, inside, 3, 3), stride
        self.weight = nn.Parameter(torch.randn(outside, inside * 9) * (2 / (inside * 9)) ** 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight.view(self.shape), None, self.stride, 1)


def _block(inside: int, outside: int, stride: int = 2) -> nn.Sequential:
    return nn.Sequential(_Convolution(inside, outside, stride), nn.BatchNorm2d(outside), nn.ReLU(inplace=True))


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(_block(width, width, 1), _Convolution(width, width), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.inner(x))


# --- reading ------------------------------------------------------------------------------------------------------


class Reading:
    """What the recogniser says of pictures.

    Attributes:
        best: question -> the likeliest answer of each picture; with "theme", which follows from the subject.
        second: the two likeliest colours of each: a colour often lies between two names.
        boxes: `(N, 4)`, x0, y0, x1, y1 as shares of the picture's sides.
        features: `(N, 160)`, of the whole and of the subject.
    """

    def __init__(self, logits: dict[str, Tensor], boxes: Tensor, features: Tensor) -> None:
        self.best = {name: [NAMES[name][i] for i in found.argmax(1)] for name, found in logits.items()}
        self.best["theme"] = [THEMES[subject] for subject in self.best["subject"]]
        self.second = [{NAMES["color"][i] for i in row} for row in logits["color"].topk(2).indices.tolist()]
        self.boxes, self.features = boxes.numpy(), features.numpy()


@torch.no_grad()
def read(model: Recogniser, pictures: Sequence[Picture]) -> Reading:
    """Read pictures of any sizes; each is brought to `AREA` pixels first."""
    model.eval()
    logits: dict[str, list[Tensor]] = {name: [] for name in NAMES}
    boxes, features = [], []
    for picture in pictures:
        x = _tensor([picture])
        squares, place, whole = model.locate(x)
        answers, feature = model.read(x, squares)
        for name, found in {**answers, "place": place}.items():
            logits[name].append(found)
        boxes.append(torch.tensor([_box(squares[0].tolist(), x.shape[-1], x.shape[-2])]))
        features.append(torch.cat([whole, feature], 1))
    return Reading({name: torch.cat(found) for name, found in logits.items()}, torch.cat(boxes), torch.cat(features))


def _box(square: Sequence[float], width: int, height: int) -> tuple[float, ...]:
    """A square as a box in shares of the picture's sides, cut at its edges."""
    x, y, half = square
    rx, ry = half * min(width, height) / width, half * min(width, height) / height
    return tuple(min(1.0, max(0.0, v)) for v in (x - rx, y - ry, x + rx, y + ry))


def _tensor(pictures: Sequence[Picture]) -> Tensor:
    height, width = pictures[0].shape[:2]
    if width * height != AREA:
        size = fit_area((width, height), AREA)
        pictures = [np.asarray(Image.fromarray(p).resize(size, Image.Resampling.BOX if width > size[0] else
                                                         Image.Resampling.BICUBIC)) for p in pictures]  # fmt: skip
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


def right(
    reading: Reading, samples: Sequence[PosterSample], asked: dict[str, list[str]] | None = None
) -> dict[str, list[float]]:
    """Question -> 1 or 0 for each sample that it can be asked of.

    Args:
        asked: question -> the subjects of which it is asked; all where None.
    """

    def ask(name: str, sample: PosterSample) -> bool:
        known = sample.subject if name == "box" else sample.shows.get(name)
        fit = asked is None or name not in asked or not set(asked[name]).isdisjoint(_answers(sample, "subject"))
        return bool(known) and fit

    found = {
        name: [
            float(said in _answers(sample, name))
            for said, sample in zip(reading.best[name], samples, strict=True)
            if ask(name, sample)
        ]
        for name in ("subject", "theme", "place", "style")
    }
    found["color"] = [
        float(not names.isdisjoint(_answers(sample, "color")))
        for names, sample in zip(reading.second, samples, strict=True)
        if ask("color", sample)
    ]
    found["box"] = [
        float(overlap(box, _box(own_square(sample), sample.target.shape[1], sample.target.shape[0])) >= 0.5)
        for box, sample in zip(reading.boxes, samples, strict=True)
        if ask("box", sample)
    ]
    return found


def _answers(sample: PosterSample, question: str) -> list[str]:
    """What counts as right; nothing where nobody knows."""
    said = sample.shows.get(question) or []
    return said if isinstance(said, list) else [said]


def own_square(sample: PosterSample) -> list[float]:
    """The subject's square, as `Recogniser.locate` gives it."""
    assert sample.subject is not None
    x0, y0, x1, y1 = sample.subject
    height, width = sample.target.shape[:2]
    return [(x0 + x1) / 2 / width, (y0 + y1) / 2 / height, (x1 - x0) / 2 / min(width, height)]


def overlap(one: Sequence[float], other: Sequence[float]) -> float:
    """Intersection over union of two boxes x0, y0, x1, y1."""
    sides = [min(one[k + 2], other[k + 2]) - max(one[k], other[k]) for k in (0, 1)]
    shared = max(0.0, sides[0]) * max(0.0, sides[1])
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (one, other)]
    return shared / (sum(areas) - shared) if shared else 0.0


def load(folder: Path = FOLDER) -> tuple[Recogniser, dict[str, Any]]:
    """The trained network, and what `check` found of it.

    Raises:
        SystemExit: it is not trained yet.
    """
    if not (folder / "recogniser.json").is_file():
        raise SystemExit(f"{folder}: no recogniser there; train it: python benchmarks/recogniser.py --out {folder}")
    model = Recogniser()
    model.load_state_dict(load_file(folder / "recogniser.safetensors"))
    return model.eval(), json.loads((folder / "recogniser.json").read_text())


# --- training -----------------------------------------------------------------------------------------------------


class Drawings:
    """Drawings without lettering in three shapes; every other one is arranged freely, as drafts are."""

    def __init__(self, split: str, seed: int) -> None:
        self.split, self.seed = split, seed
        self.source = SyntheticPosters(seed, tasks=("text",), split=split, lettering=False, captions="short")

    def sample(self, index: int, size: tuple[int, int]) -> PosterSample:
        """Drawing `index`, at a size in pixels."""
        if index % 2 == 0:
            return self.source.sample(index, size=size)
        rng = Random(f"{self.split} {self.seed} {index}")
        layout = TitleLayout("draft", NO_TITLE, "center", rng.choice(AREAS), "")
        poster = draw_poster(rng, aspect=size[0] / size[1], text=False, layout=layout)
        drawn, area = render(poster, size), motif_area(poster, size)
        shows = read_contents(poster, area, size, background_name(drawn.image))
        name = f"{self.split}-{self.seed}-free-{index}"
        return PosterSample(name, "text", drawn.image, subject=drawn.subject, shows=shows.labels, split=self.split)


def batches(source: Drawings, size: int) -> Iterator[list[PosterSample]]:
    """Endless batches, each of one shape."""
    number = 0
    while True:
        yield [source.sample(number * size + k, SIZES[number % len(SIZES)]) for k in range(size)]
        number += 1


def soften(x: Tensor, generator: torch.Generator) -> Tensor:
    """Two batches in five lose detail and gain noise, so that softness alone makes no subject unreadable."""
    blur, noise = torch.rand(2, generator=generator).tolist()
    if blur < 0.6:
        return x
    sides = [round(side / (1 + 2 * (blur - 0.6))) for side in x.shape[-2:]]
    x = F.interpolate(F.interpolate(x, sides, mode="area"), x.shape[-2:], mode="bicubic")
    return x + 0.06 * noise * torch.randn(x.shape, generator=generator)


def loss_of(model: Recogniser, x: Tensor, samples: Sequence[PosterSample], generator: torch.Generator) -> Tensor:
    """Cross entropy of every question, and the square's absolute error; the reader sees squares that are a bit off."""
    squares = torch.tensor([own_square(sample) for sample in samples])
    found, place, _ = model.locate(x)
    off = torch.randn(squares.shape, generator=generator) * torch.tensor([0.02, 0.02, 0.04])
    logits, _ = model.read(x, squares + off)
    loss = 6 * (found - squares).abs().mean()
    for name, answered in {**logits, "place": place}.items():
        answers = [NAMES[name].index(s.shows[name]) if s.shows[name] else -100 for s in samples]
        loss = loss + F.cross_entropy(answered, torch.tensor(answers), ignore_index=-100)
    return loss


def train(options: argparse.Namespace) -> Recogniser:
    """Train on fresh drawings for `steps` batches; the rate falls to nothing."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    model = Recogniser() if options.seed == 7 else load(options.out)[0].train()
    optimizer = MuonAdamW(parameter_groups(model.parameters(), 0.0), options.rate, options.rate)
    rate = partial(torch.optim.lr_scheduler.LambdaLR, optimizer)
    schedule = rate(lambda step: min(1.0, (step + 1) / 50, 1.02 - step / options.steps))
    source = batches(Drawings("train", options.seed), options.batch)
    start, shown = time.process_time(), 0.0
    for step in range(1, options.steps + 1):
        samples = next(source)
        loss = loss_of(model, soften(_tensor([s.target for s in samples]), generator), samples, generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        shown += loss.item()
        if step % 100 == 0:
            print(f"step {step}: loss {shown / 100:.3f}, {time.process_time() - start:.0f} s", flush=True)
            shown = 0.0
    return model


def check(model: Recogniser, count: int) -> dict[str, Any]:
    """How often it is right on held-out drawings.

    Returns:
        `by subject`, on drawings of one seed; `asked`, for each question the subjects that it answers well of there;
        `accuracy` by question for those, on drawings of another seed.
    """
    by_subject, asked, accuracy = {}, {}, {}
    for seed in (3, 5):
        source = Drawings("heldout", seed)
        samples = [source.sample(i, SIZES[i // 2 % len(SIZES)]) for i in range(count)]
        reading = read(model, [sample.target for sample in samples])
        if seed == 5:
            found = right(reading, samples, asked)
            accuracy = {name: round(float(np.mean(values)), 4) for name, values in found.items()}
            continue
        for subject, rows in sorted(_rows(samples).items()):
            found = right(_only(reading, rows), [samples[i] for i in rows])
            by_subject[subject] = {name: round(float(np.mean(values)), 3) for name, values in found.items() if values}
        for name in SOMETIMES:
            asked[name] = [subject for subject, found in by_subject.items() if found.get(name, 0) >= WELL]
    return {"accuracy": accuracy, "asked": asked, "count": count, "by subject": by_subject}


def _rows(samples: Sequence[PosterSample]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for i, sample in enumerate(samples):
        found.setdefault(sample.shows["subject"], []).append(i)
    return found


def _only(reading: Reading, rows: Sequence[int]) -> Reading:
    part = object.__new__(Reading)
    part.best = {name: [values[i] for i in rows] for name, values in reading.best.items()}
    part.second = [reading.second[i] for i in rows]
    part.boxes, part.features = reading.boxes[list(rows)], reading.features[list(rows)]
    return part


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2600, help="batches to learn from; 0 checks what is there")
    parser.add_argument("--check", type=int, default=3000, help="held-out drawings, twice so many")
    parser.add_argument("--batch", type=int, default=48)
    parser.add_argument("--rate", type=float, default=5e-3)
    parser.add_argument("--seed", type=int, default=7, help="of the drawings; another one goes on from what is there")
    parser.add_argument("--out", type=Path, default=FOLDER)
    options = parser.parse_args()
    model = train(options) if options.steps else load(options.out)[0]
    found = check(model, options.check)
    options.out.mkdir(parents=True, exist_ok=True)
    save_file({name: weight.contiguous() for name, weight in model.state_dict().items()},
              options.out / "recogniser.safetensors")  # fmt: skip
    (options.out / "recogniser.json").write_text(json.dumps(found, indent=1) + "\n")
    for name, accuracy in found["accuracy"].items():
        print(f"{name:<8} {accuracy:.3f}{'' if accuracy >= ENOUGH else '  does not count'}")


if __name__ == "__main__":
    main()
