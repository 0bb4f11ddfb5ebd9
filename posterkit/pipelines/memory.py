"""What a model takes, part by part and moment by moment, by arithmetic; imports no torch.

A figure is the sum of the weights that lie there, the live tensors at the peak of a forward pass and what CUDA itself
takes. It says what is needed, not what a card with room to spare will show: PyTorch keeps freed blocks for later.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from posterkit.documents import read_text, read_yaml

GB = 10**9
MOMENTS = ("loading", "encoding", "denoising", "decoding")
OFFLOADS = ("none", "model", "group", "text")
# bytes of one quantised weight: a four-bit number, a byte for every 64 of them and a float for every 256 of those; a
# byte, and a number for each row, which is a thousandth at these widths
STORED = {
    "nf4": 0.5 + 1 / 64 + 4 / (64 * 256),
    "int8": 1.001,
    "torchao_int8": 1.001,
    "torchao_fp8": 1.001,
    "fp8": 1.001,
}
PACKAGES = {"nf4": "bitsandbytes", "int8": "bitsandbytes", "torchao_int8": "torchao", "torchao_fp8": "torchao"}
CONTEXT = 0.8 * GB  # CUDA's own, its libraries' and what is lost between tensors
WORKSPACE = 1.6  # of the live tensors: what kernels work in besides; diffusers' published peaks show 1.6
PROCESS = 3 * GB  # of main memory: Python, torch and CUDA's libraries


@dataclass(frozen=True)
class Preset:
    """How one family of models fits a machine.

    Attributes:
        quantize: part, or "modulation" of the transformer -> nf4, int8 (bitsandbytes), torchao_int8, torchao_fp8, fp8.
            The modulation stays in bfloat16 unless it is named.
        offload: "none": all on the card; "text": the text encoders' layers visit it one by one, the rest stays;
            "group": the transformer's blocks too; "model": whole models take turns.
        tile_vae: encode and decode in tiles of 512 pixels.
        compile: the transformer's blocks, once for each size.
        cache: threshold of the first-block cache, which skips blocks where little changes; None for none.
    """

    quantize: dict[str, str] = field(default_factory=dict)
    offload: str = "none"
    tile_vae: bool = False
    compile: bool = False
    cache: float | None = None

    def packages(self) -> list[str]:
        """What has to be installed for it."""
        return sorted({PACKAGES[how] for how in self.quantize.values() if how in PACKAGES})

    def words(self) -> str:
        """The preset in a line."""
        kinds = [f"{part.replace('_', ' ')} {how.replace('_', ' ')}" for part, how in self.quantize.items()]
        where = {
            "none": "all on the card",
            "text": "text encoders by layers",
            "group": "text encoders by layers, transformer by blocks",
            "model": "models in turn",
        }[self.offload]
        return ", ".join([*(kinds or ["bfloat16"]), where, *(["tiles"] if self.tile_vae else [])])


@dataclass(frozen=True)
class Part:
    """Sizes of one model of a pipeline."""

    parameters: int  # of all
    linear: int = 0  # of the linear layers in its blocks, less those of the modulation
    modulation: int = 0  # of the layers that make a block's scales and shifts from the time
    group: int = 0  # bytes in bfloat16 that visit the card together where it is offloaded by groups
    layer: int = 0  # bytes of its largest linear layer in bfloat16, which a quantised one is for a moment
    scale: float = 1.0  # of files whose parameters are fewer or more than the table's
    fixed: int | None = None  # bytes of a file that is quantised already

    def stored(self, how: str | None = None, modulation: str | None = None, width: int = 2) -> float:
        """Bytes of its weights.

        Args:
            how, modulation: what the blocks' layers and their modulation are quantised to.
            width: bytes of a weight that is not quantised.
        """
        if self.fixed is not None:
            return self.fixed
        rest = self.parameters
        total = 0.0
        for count, kind in ((self.linear, how), (self.modulation, modulation)):
            if kind is not None:
                rest -= count
                total += count * STORED[kind]
        return (total + rest * width) * self.scale


@dataclass(frozen=True)
class Sizes:
    """Sizes of a family's models, or of one checkpoint.

    Attributes:
        parts: by the pipeline's names for them.
        activations: bytes of live tensors: encoding, denoising, decoding, tiles (decoding in tiles), and reference
            (denoising, for each after the first).
        modulation: names of the modules that hold those layers.
        ways: presets, the best first.
        training: bytes of live tensors for a token in a step with gradient checkpointing: held through the forward
            pass, and work of the backward pass of one block; and how many blocks there are.
    """

    parts: dict[str, Part]
    activations: dict[str, int]
    modulation: tuple[str, ...]
    ways: tuple[Preset, ...]
    training: dict[str, int]

    def of_folder(self, folder: Path) -> Sizes:
        """The sizes of a checkpoint on disk, in bfloat16 as its files are; a part without files keeps the table's."""
        parts = {}
        for name, part in self.parts.items():
            found = sum(file.stat().st_size for file in (folder / name).glob("*.safetensors"))
            parts[name] = replace(part, scale=found / (2 * part.parameters)) if found else part
        return replace(self, parts=parts)

    def with_transformer(self, size: int) -> Sizes:
        """With a transformer that comes quantised in a file of so many bytes; ways that quantise or move it go."""
        ways = []
        for way in self.ways:
            kept = {part: how for part, how in way.quantize.items() if part not in ("transformer", "modulation")}
            if way.offload in ("none", "text") and (way := replace(way, quantize=kept)) not in ways:
                ways.append(way)
        parts = self.parts | {"transformer": replace(self.parts["transformer"], fixed=size)}
        return replace(self, parts=parts, ways=tuple(ways))


@functools.cache
def family_sizes(family: str) -> Sizes | None:
    """The table's entry for a family; None where it has none."""
    file = Path(__file__).with_name("presets.yaml")
    said: Any = read_yaml(read_text(file), str(file)).get(family)
    if said is None:
        return None
    return Sizes(
        parts={name: Part(**part) for name, part in said["parts"].items()},
        activations=said["activations"],
        modulation=tuple(said["modulation"]),
        ways=tuple(Preset(**way) for way in said["ways"]),
        training=said["training"],
    )


@dataclass(frozen=True)
class Moment:
    """Bytes by part at one moment, on the card and in main memory."""

    name: str
    card: dict[str, float]
    ram: dict[str, float]


@dataclass(frozen=True)
class Footprint:
    """Bytes by part at every moment."""

    moments: tuple[Moment, ...]

    @property
    def card(self) -> float:
        """The peak on the card."""
        return max(sum(moment.card.values()) for moment in self.moments)

    @property
    def ram(self) -> float:
        """The peak in main memory."""
        return max(sum(moment.ram.values()) for moment in self.moments)


def footprint(preset: Preset, sizes: Sizes, device: str = "cuda", width: int = 2) -> Footprint:
    """What a preset takes, for one poster of 1 MP.

    Models are placed one after the other. Their files are only mapped into memory, and layer by layer they go to where
    they stay. What waits in main memory counts whole from the start: its first visit to the card makes a copy.

    Args:
        device: "cuda"; "cpu" and "mps" have one memory for everything.
        width: bytes of a weight that is not quantised, and of an activation: 2 for bfloat16, 4 for float32.
    """
    modulation = preset.quantize.get("modulation")
    stored = {
        name: part.stored(preset.quantize.get(name), modulation if name == "transformer" else None, width)
        for name, part in sizes.parts.items()
    }
    waiting = {name: size for name, size in stored.items() if device == "cuda" and waits(name, preset)}
    layer = sizes.parts["transformer"].layer
    moments = []
    for moment in MOMENTS:
        card = {name: _on_card(name, moment, preset, sizes, size) for name, size in stored.items()}
        live = sizes.activations.get("tiles" if moment == "decoding" and preset.tile_vae else moment, 0)
        quantised = "transformer" in preset.quantize or sizes.parts["transformer"].fixed is not None
        passing = layer if moment == "loading" or (moment == "denoising" and quantised) else 0  # one layer at a time
        card["activations"] = live * WORKSPACE * width / 2 + passing
        if device == "cuda":
            moments.append(Moment(moment, card | {"CUDA": CONTEXT}, waiting | {"process": PROCESS}))
        else:
            moments.append(Moment(moment, {}, stored | {"activations": card["activations"], "process": PROCESS}))
    return Footprint(tuple(moments))


def waits(name: str, preset: Preset) -> bool:
    """Whether a part of the pipeline waits in main memory between its visits to the card."""
    if name.startswith("text_encoder"):
        return preset.offload != "none"
    return preset.offload == "model" or (preset.offload == "group" and name == "transformer")


def _on_card(name: str, moment: str, preset: Preset, sizes: Sizes, stored: float) -> float:
    """Bytes of a part that lie on the card at a moment."""
    if not waits(name, preset):
        return stored
    text = name.startswith("text_encoder")
    works = moment == ("encoding" if text else "denoising" if name == "transformer" else "decoding")
    if not works:
        return 0.0
    if preset.offload == "model":  # the encoders take turns, too
        return stored if name == _largest_encoder(sizes) or not text else 0.0
    part = sizes.parts[name]
    if text:
        return part.group * part.scale if name == _largest_encoder(sizes) else 0.0
    outside = 2 * (part.parameters - part.linear - part.modulation)  # the layers around the blocks come together
    blocks = stored / part.scale - outside
    return (outside + part.group * blocks / (2 * (part.linear + part.modulation))) * part.scale


def _largest_encoder(sizes: Sizes) -> str:
    return max(
        (name for name in sizes.parts if name.startswith("text_encoder")), key=lambda n: sizes.parts[n].parameters
    )
