"""Hostile LoRAs, transformers in one file and model folders; part of the corpus, see `hostile_corpus`."""

from __future__ import annotations

import json
import pickle
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from posterkit import mini

Cases = Iterator[tuple[str, bytes | str | Callable[[Path], None]]]
TO_Q = "transformer.transformer_blocks.0.attn.to_q"


def safetensors(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    """A file whose header is this, or these bytes; `length` lies about it."""
    packed = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(packed) if length is None else length) + packed + data


def tensors(**shapes: tuple[int, ...]) -> dict[str, Any]:
    """A header of float32 tensors, one behind the other."""
    made, at = {}, 0
    for name, shape in shapes.items():
        size = 4
        for side in shape:
            size *= side
        made[name.replace("__", ".")] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    return made


def a_lora(metadata: dict[str, Any] | None = None, data: bytes | None = None, **more: tuple[int, ...]) -> bytes:
    header = tensors(**{f"{TO_Q}.lora_A.weight": (2, 192), f"{TO_Q}.lora_B.weight": (192, 2)}, **more)
    size = max(one["data_offsets"][1] for one in header.values())
    if metadata:
        header["__metadata__"] = metadata
    return safetensors(header, (data or b"\0\0\0\x3c") * (size // 4) if data is None or len(data) == 4 else data)


def headers() -> Cases:
    """Headers that are wrong for any safetensors file."""
    one = {"a.lora_A.weight": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}}
    for name, content in (
        ("empty", b""), ("zeros", bytes(64)), ("ones", b"\xff" * 64), ("words", b"no weights at all"),
        ("length", safetensors(one, bytes(16), 2**60)), ("short", safetensors(one, bytes(16), 9)),
        ("deep", safetensors(b"[" * 200_000)), ("deep-keys", safetensors(b'{"a":' * 200_000)),
        ("cut", safetensors(one, bytes(7))), ("long", safetensors(one, bytes(999))),
        ("outside", safetensors({"a": {"dtype": "F32", "shape": [2, 2],
        "data_offsets": [2**40, 2**40 + 16]}}, bytes(16))),
        ("backward", safetensors({"a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [16, 0]}}, bytes(16))),
        ("shape", safetensors({"a": {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 16]}}, bytes(16))),
        ("minus", safetensors({"a": {"dtype": "F32", "shape": [-2, 2], "data_offsets": [0, 16]}}, bytes(16))),
        ("dtype", safetensors({"a": {"dtype": "F99", "shape": [2, 2], "data_offsets": [0, 16]}}, bytes(16))),
        ("none", safetensors({})), ("list", safetensors([1])),
        ("keys", safetensors({f"k{n}": {"dtype": "F32", "shape": [0],
        "data_offsets": [0, 0]} for n in range(50_000)})),
    ):  # fmt: skip
        yield f"{name}.safetensors", content
    yield "pickle.safetensors", pickle.dumps({"a": 1})
    yield "pickle.bin", pickle.dumps({"a": 1})
    yield "link.safetensors", lambda path: path.symlink_to("/dev/zero")
    yield "folder.safetensors", lambda path: path.mkdir()


def loras() -> Cases:
    yield from headers()
    yield "good.safetensors", a_lora()
    for name, data in (("nan", b"\0\0\xc0\x7f"), ("infinite", b"\0\0\x80\x7f")):
        yield f"{name}.safetensors", a_lora(data=data)
    for name, said in (
        ("deep", "[" * 100_000), ("list", "[]"), ("alpha", '{"lora_alpha": "x"}'),
        ("alpha-nan", '{"lora_alpha": NaN}'),
        ("pattern", '{"alpha_pattern": 7, "lora_alpha": 1}'), ("huge", '{"lora_alpha": 1e308}'), ("half", "{"),
        ("null", '{"lora_alpha": null}'),
    ):  # fmt: skip
        yield f"config-{name}.safetensors", a_lora({"lora_adapter_metadata": said})
    for name, said in (("list", "[]"), ("kind", '{"kind": 7}'), ("other", '{"kind": "x", "weights": "y"}')):
        yield f"base-{name}.safetensors", a_lora({"posterkit_base": said})
    yield "controls.safetensors", a_lora({"ss_\x1b[2J": "\x1b]0;x\x07"})
    for name, shape in (("row", (192,)), ("wide", (192, 999)), ("cube", (192, 2, 2))):
        yield f"shape-{name}.safetensors", a_lora(**{"transformer.proj_out.lora_B.weight": shape})
    yield "half.safetensors", a_lora(**{"transformer.proj_out.lora_A.weight": (2, 192)})
    yield (
        "nothing.safetensors",
        a_lora(**{"transformer.nothing.lora_A.weight": (2, 2), "transformer.nothing.lora_B.weight": (2, 2)}),
    )
    yield "diff.safetensors", a_lora(**{"transformer.proj_out.diff": (2, 2)})
    yield "magnitude.safetensors", a_lora(**{f"{TO_Q}.dora_scale": (7, 1)})
    yield "alpha.safetensors", a_lora(**{f"{TO_Q}.alpha": (2, 2)})


def weights() -> Cases:
    yield from headers()
    for name in ("double_blocks.0.img_attn.qkv.weight", "single_blocks.x.linear1.weight",
    "double_blocks.99999.img_mod.lin.weight",
                 "single_transformer_blocks.0.attn.to_q.weight", "model.diffusion_model.double_blocks.0.a",
                 "single_blocks.",
                 "transformer_blocks.0.txt_mod.1.weight", "a" * 5000):  # fmt: skip
        yield f"{name[:30]}.safetensors", safetensors(tensors(**{name: (2, 2)}), bytes(16))
    for name, content in (("magic", b"GGUF"), ("counts", b"GGUF\3\0\0\0" + b"\xff" * 64), ("words", b"no weights"),
                          ("strings", b"GGUF\3\0\0\0" + struct.pack("<QQQ", 1, 1, 2**60)),
                          ("version", b"GGUF" + b"\xff" * 99),
                          ("none", b"GGUF\3\0\0\0" + bytes(16))):  # fmt: skip
        yield f"{name}.gguf", content


def folders() -> Cases:
    def changed(change: Callable[[Path], None]) -> Callable[[Path], None]:
        def write(folder: Path) -> None:
            shutil.copytree(mini.path("postercraft"), folder)
            change(folder)

        return write

    def index(**values: Any) -> Callable[[Path], None]:
        def write(folder: Path) -> None:
            path = folder / "model_index.json"
            path.write_text(json.dumps(json.loads(path.read_text()) | values))

        return changed(write)

    def config(part: str, text: str) -> Callable[[Path], None]:
        return changed(lambda folder: (folder / part / "config.json").write_text(text))

    def pickled(folder: Path) -> None:
        (file,) = (folder / "transformer").glob("*.safetensors")
        file.unlink()
        (folder / "transformer" / "diffusion_pytorch_model.bin").write_bytes(pickle.dumps({"a": 1}))

    def code(folder: Path) -> None:
        (folder / "vae" / "evil.py").write_text("open('executed', 'w')\nclass Evil: pass\n")
        index_file = folder / "model_index.json"
        index_file.write_text(json.dumps(json.loads(index_file.read_text()) | {"vae": ["evil", "Evil"]}))

    yield "empty", lambda path: path.mkdir()
    yield "code", changed(code)
    yield "pickled", changed(pickled)
    yield "class-list", index(_class_name=[])
    yield "class-number", index(_class_name=7)
    yield "class-other", index(_class_name="os.system")
    yield "part-number", index(transformer=7)
    yield "part-other", index(transformer=["os", "system"])
    yield "area", index(native_area="large")
    yield "steps", index(num_inference_steps=10**9)
    yield "index-deep", changed(lambda folder: (folder / "model_index.json").write_text("[" * 100_000))
    yield "index-list", changed(lambda folder: (folder / "model_index.json").write_text("[]"))
    yield "index-long", changed(lambda folder: (folder / "model_index.json").write_text(" " * 2**25))
    for part in ("transformer", "vae", "text_encoder"):
        yield f"{part}-list", config(part, "[]")
        yield f"{part}-half", config(part, "{")
        yield f"{part}-auto-map", config(part, '{"auto_map": {"AutoModel": "evil.Evil"}}')
    yield (
        "transformer-huge",
        config("transformer", '{"_class_name": "FluxTransformer2DModel", "num_layers": 1000000000}'),
    )
    yield "card", changed(lambda folder: (folder / "README.md").write_text("---\n" + "a: &a [*a]\n" + "---\n"))
    yield (
        "card-draft",
        changed(lambda folder: (folder / "README.md").write_text("---\nposterkit: {draft: {area: x}}\n---\n")),
    )
    yield (
        "card-scripts",
        changed(lambda folder: (folder / "README.md").write_text("---\nposterkit: {scripts: [7, {}]}\n---\n")),
    )
