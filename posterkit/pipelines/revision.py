"""What names the state of a model: a folder's content, or the hub's commit."""

from __future__ import annotations

import hashlib
from pathlib import Path

_WHOLE = 64 * 2**20  # bytes; larger weight files are sampled, reading 40 GB to name a revision helps nobody
_SAMPLE = 2**20


def revision_of(source: str) -> str:
    """What names the state of a model, a transformer or a LoRA, or of several."""
    if len(several := each_source(source)) > 1:
        return "+".join(map(revision_of, several))
    path, weight = path_and_weight(source)
    if Path(path).exists():
        return folder_revision(path) + weight
    if path.endswith(".safetensors") and path.count("/") < 2 and ":" not in path:
        raise ValueError(f"{path}: there is no such file")
    from huggingface_hub import try_to_load_from_cache

    # the snapshot's folder is named by its commit; a transformer or LoRA that is not there yet has only its name
    found = try_to_load_from_cache(path, "model_index.json") if path.count("/") == 1 else None
    return (Path(found).parent.name if isinstance(found, str) else path) + weight


def folder_revision(folder: str | Path) -> str:
    """What names a checkpoint's state: a hash over its configs, tokenizers and weights, 16 hexadecimal digits.

    Files up to 64 MiB count whole; of larger ones the size, the first and last MiB and 14 MiB between them, which any
    training step or conversion changes.
    """
    folder = Path(folder)
    digest = hashlib.sha256()
    files = [folder] if folder.is_file() else sorted(p for p in folder.rglob("*") if p.is_file())
    for path in files:
        name = "" if path == folder else path.relative_to(folder).as_posix()
        if name.startswith(".") or "/." in name or path.suffix.lower() in (".md", ".png", ".jpg"):
            continue
        size = path.stat().st_size
        digest.update(f"{name}\0{size}\0".encode())
        with path.open("rb") as file:
            if size <= _WHOLE:
                digest.update(hashlib.file_digest(file, "sha256").digest())
                continue
            for part in range(16):
                file.seek((size - _SAMPLE) * part // 15)
                digest.update(file.read(_SAMPLE))
    return digest.hexdigest()[:16]


def path_and_weight(source: str) -> tuple[str, str]:
    """`file=0.8` and `file*0.8` are a LoRA with its weight, unless a file has that name."""
    mark = max(source.rfind("="), source.rfind("*"))
    return (source[:mark], source[mark:]) if mark > 0 and not Path(source).exists() else (source, "")


def each_source(sources: str) -> list[str]:
    """Several LoRAs in one text, as records keep them: `a.safetensors*0.8; owner/name:b.safetensors`."""
    return [source.strip() for source in sources.split(";") if source.strip()]
