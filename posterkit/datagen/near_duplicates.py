"""Finds near-duplicate pictures: perceptual hashes, and an exact search for hashes that differ by a few bits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

BITS = 64
FRAME = 12  # levels by which a pixel differs from the corner's, from which it is no frame
THUMBNAIL = 32.0  # mean levels between two thumbnails from which they show different posters
_MOST = 64  # pictures of one hash of which each is compared
_BLOCK = 2**22  # pairs compared at a time

Hashes = NDArray[np.uint64]


@dataclass(frozen=True)
class NearDuplicate:
    """A picture to drop: the number of the one that is kept in its place, and by how many bits their hashes differ."""

    of: int
    distance: int


def perceptual_hash(picture: Image.Image) -> int:
    """The 64-bit DCT hash of a picture's luminance (`imagehash.phash`), as an unsigned number.

    Copies in another size or compression differ by a few bits, pictures that have nothing to do with each other by
    about 32. Colour and fine detail, such as small text, leave no trace in it.
    """
    # imported here: what only reads a set does without the extra "data"
    from imagehash import phash

    return int(str(phash(picture)), 16)


def altered_hashes(picture: Image.Image) -> tuple[int, ...]:
    """Hashes of the picture mirrored, without a border of one colour, and cropped by 5 and by 10 % a side."""
    wide, high = picture.size
    cropped = [picture.crop((wide * cut, high * cut, wide * (1 - cut), high * (1 - cut))) for cut in (0.05, 0.1)]
    return tuple(perceptual_hash(one) for one in (ImageOps.mirror(picture), without_border(picture), *cropped))


def without_border(picture: Image.Image) -> Image.Image:
    """The picture without a frame of its corner's colour; itself where it has none or is nothing else."""
    pixels = np.asarray(picture.convert("RGB"), np.int16)
    other = np.abs(pixels - pixels[0, 0]).max(2) > FRAME
    rows, columns = np.flatnonzero(other.mean(1) > 0.5), np.flatnonzero(other.mean(0) > 0.5)
    if not rows.size or not columns.size:
        return picture
    box = int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
    sides = box[0], box[1], picture.width - box[2], picture.height - box[3]
    return picture.crop(box) if min(sides) > 0 and max(sides) < 0.25 * max(picture.size) else picture


def thumbnail(picture: Image.Image) -> list[int]:
    """8x8 RGB values of the picture without its border: what a hash leaves out, for `same_thumbnail`."""
    return np.asarray(without_border(picture).convert("RGB").resize((8, 8), Image.Resampling.BOX)).ravel().tolist()


def same_thumbnail(a: Sequence[int], b: Sequence[int]) -> bool:
    """Whether two thumbnails show one poster, mirrored or not, brighter or darker: alike less their means."""
    one, other = (np.asarray(values, float).reshape(8, 8, 3) for values in (a, b))
    apart = min(float(np.abs((one - one.mean()) - (two - two.mean())).mean()) for two in (other, other[:, ::-1]))
    return apart < THUMBNAIL and abs(float(one.mean() - other.mean())) < 2 * THUMBNAIL


def find_altered_copies(
    hashes: Sequence[int], altered: Sequence[Sequence[int]], distance: int
) -> list[tuple[int, int, int]]:
    """Pairs of pictures of which one, altered as by `altered_hashes`, is near the other: numbers, and bits apart."""
    every = np.asarray([*hashes, *(one for those in altered for one in those)], np.uint64)
    owners = np.asarray([*range(len(hashes)), *(n for n, those in enumerate(altered) for _ in those)])
    plain = np.arange(len(every)) < len(hashes)
    unique, member = np.unique(every, return_inverse=True)
    near = [(u, u) for u in range(len(unique))] + [(int(a), int(b)) for a, b in near_pairs(unique, distance)]
    order, starts = np.argsort(member, kind="stable"), np.searchsorted(np.sort(member), range(len(unique) + 1))
    found: dict[tuple[int, int], int] = {}
    for a, b in near:
        apart = int(np.bitwise_count(unique[a] ^ unique[b]))
        for one in order[starts[a] : starts[a + 1]][:_MOST]:
            for other in order[starts[b] : starts[b + 1]][:_MOST]:
                if owners[one] != owners[other] and (plain[one] or plain[other]):
                    pair = int(min(owners[one], owners[other])), int(max(owners[one], owners[other]))
                    found[pair] = min(apart, found.get(pair, BITS))
    return sorted((*pair, apart) for pair, apart in found.items())


def find_near_duplicates(
    hashes: Sequence[int], merits: Sequence[tuple[int, ...]], names: Sequence[str], distance: int
) -> dict[int, NearDuplicate]:
    """Which pictures to drop so that no two of those that stay differ by `distance` bits or fewer.

    Pictures are taken in order of merit, then by name; one is dropped where a picture that stays is near it. No pair
    is missed: of `distance + 1` bands of the bits two near hashes have at least one in common.

    Args:
        hashes: 64 bits each.
        merits: what makes one better than another, such as its number of pixels; the larger comes first.
        names: of the pictures; the first in the alphabet stays among equals.
        distance: 0 to 32 differing bits; 0 drops equal hashes only.

    Returns:
        For each dropped number, the first in order of the near pictures that stay.

    Raises:
        ValueError: the distance is out of range, or the lengths differ.
    """
    if not 0 <= distance <= BITS // 2:
        raise ValueError(f"two hashes may differ by 0 to {BITS // 2} of their {BITS} bits, found {distance}")
    if not len(hashes) == len(merits) == len(names):
        raise ValueError(f"{len(hashes)} hashes, {len(merits)} merits, {len(names)} names; give as many of each")
    order = sorted(range(len(hashes)), key=lambda number: ([-merit for merit in merits[number]], names[number]))
    # equal hashes share one fate, so the search is among different ones; first[u] is the first in order with hash u
    ordered = np.asarray([hashes[number] for number in order], np.uint64)
    unique, first, member = np.unique(ordered, return_index=True, return_inverse=True)
    near: dict[int, list[int]] = {}
    for a, b in near_pairs(unique, distance):
        near.setdefault(int(a), []).append(int(b))
        near.setdefault(int(b), []).append(int(a))
    kept: dict[int, NearDuplicate] = {}  # hash -> who stays for it; itself at distance 0
    for u in np.argsort(first).tolist():
        staying = [v for v in near.get(u, ()) if v in kept and kept[v].distance == 0]
        v = min(staying, key=first.__getitem__, default=u)
        kept[u] = NearDuplicate(order[int(first[v])], int(np.bitwise_count(unique[u] ^ unique[v])))
    return {number: kept[u] for number, u in zip(order, member.tolist(), strict=True) if kept[u].of != number}


def near_pairs(hashes: Hashes, distance: int) -> NDArray[np.int64]:
    """All pairs of `(N,)` different hashes that differ by at most `distance` bits: `(P, 2)` indices, sorted, smaller
    first.
    """
    found = [np.zeros((0, 2), np.int64)]
    edges = np.linspace(0, BITS, distance + 2).round().astype(int)
    for low, high in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        key = (hashes >> np.uint64(low)) & np.uint64((1 << (high - low)) - 1)
        order = np.argsort(key, kind="stable")
        starts = np.flatnonzero(np.diff(key[order], prepend=key[order][:1] + np.uint64(1)))
        for bucket in np.split(order, starts[1:]):  # hashes with one band in common: all are compared, some at a time
            values, rows = hashes[bucket], max(1, _BLOCK // max(1, len(bucket)))
            for start in range(0, len(bucket) - 1, rows):
                apart = np.bitwise_count(values[start : start + rows, None] ^ values[None, start:])
                a, b = np.nonzero(apart <= distance)
                later = b > a
                found.append(np.stack([bucket[start + a[later]], bucket[start + b[later]]], axis=1))
    pairs = np.concatenate(found)
    pairs.sort(axis=1)
    return np.unique(pairs, axis=0)
