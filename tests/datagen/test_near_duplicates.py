"""Near copies: no pair is missed, and re-encoded, resized and slightly cropped posters are told from similar ones."""

from __future__ import annotations

import functools
import io
from pathlib import Path
from random import Random

import imagehash
import numpy as np
import pytest
import skimage.data
from PIL import Image, ImageEnhance, ImageOps

from posterkit import PosterBrief, typeset
from posterkit.datagen.near_duplicates import (
    NearDuplicate,
    altered_hashes,
    find_altered_copies,
    find_near_duplicates,
    near_pairs,
    perceptual_hash,
    same_thumbnail,
    thumbnail,
    without_border,
)
from posterkit.datagen.poster_filter import same_poster

SHELF = Path(skimage.data.__file__).parent
DISTANCE = 6  # the tool's default


def bits(a: int, b: int) -> int:
    return (a ^ b).bit_count()


def one_by_one(hashes, merits, names, distance):
    """The same greedy rule, with every picture compared to every one that stays."""
    staying: list[int] = []
    copies = {}
    for n in sorted(range(len(hashes)), key=lambda n: (-merits[n][0], -merits[n][1], names[n])):
        near = [other for other in staying if bits(hashes[n], hashes[other]) <= distance]
        if near:
            copies[n] = NearDuplicate(near[0], bits(hashes[n], hashes[near[0]]))
        else:
            staying.append(n)
    return copies


def clusters(seed: int, count: int) -> list[int]:
    """Hashes around a few others, 0 to 12 bits away."""
    rng = Random(seed)
    centres = [rng.getrandbits(64) for _ in range(8)]
    found = []
    for _ in range(count):
        value = rng.choice(centres)
        for _ in range(rng.randint(0, 12)):
            value ^= 1 << rng.randrange(64)
        found.append(value)
    return found


@pytest.mark.parametrize("seed", range(40))
def test_the_search_finds_what_comparing_all_with_all_finds(seed):
    rng = Random(seed)
    hashes, distance = clusters(seed, rng.randint(0, 60)), rng.randint(0, 16)
    merits = [(rng.choice((10, 20)), rng.choice((1, 2))) for _ in hashes]
    names = [f"{rng.randrange(99):02d}-{n}" for n in range(len(hashes))]
    assert find_near_duplicates(hashes, merits, names, distance) == one_by_one(hashes, merits, names, distance)


@pytest.mark.parametrize("distance", [0, 1, 6, 13, 32])
def test_every_near_pair_is_found_once(distance):
    hashes = np.unique(np.asarray(clusters(99, 150), np.uint64))
    values = hashes.tolist()
    pairs = [
        [a, b] for a in range(len(values)) for b in range(a + 1, len(values)) if bits(values[a], values[b]) <= distance
    ]
    assert near_pairs(hashes, distance).tolist() == pairs


def test_pairs_at_the_very_limit_are_found_among_many():
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**64, 20000, dtype=np.uint64).tolist()
    for n in range(1000):  # each differs from its original in exactly six bits, wherever these lie
        flipped = sum(1 << int(bit) for bit in rng.permutation(64)[:DISTANCE])
        hashes.append(hashes[n] ^ flipped)
    found = find_near_duplicates(hashes, [(1,)] * len(hashes), [f"{n:06d}" for n in range(len(hashes))], DISTANCE)
    assert found == {20000 + n: NearDuplicate(n, DISTANCE) for n in range(1000)}


@pytest.mark.slow
def test_a_million_blank_pages_are_one_page():
    count = 1_000_000
    names = [f"{n:07d}" for n in range(count)]
    found = find_near_duplicates([2**63] * count, [(1,)] * count, names, DISTANCE)
    assert len(found) == count - 1 and set(found.values()) == {NearDuplicate(0, 0)}


def test_the_one_of_most_merit_stays_then_the_first_by_name():
    merits = [(100, 9), (400, 5), (400, 7)]
    assert find_near_duplicates([7, 7, 6], merits, ["a", "b", "c"], 1) == {
        0: NearDuplicate(2, 1),
        1: NearDuplicate(2, 1),
    }
    assert find_near_duplicates([7, 7], [(100,), (100,)], ["b", "a"], 0) == {0: NearDuplicate(1, 0)}


def test_a_copy_of_a_dropped_copy_stays_if_it_is_far_from_what_stays():
    near, far = 0b1111, 0b1111_1111  # 4 and 8 bits from the first, 4 from each other
    assert find_near_duplicates([0, near, far], [(1,)] * 3, ["a", "b", "c"], 4) == {1: NearDuplicate(0, 4)}


def test_wrong_calls_are_refused():
    with pytest.raises(ValueError, match="0 to 32 of their 64 bits, found 33"):
        find_near_duplicates([1], [(1,)], ["a"], 33)
    with pytest.raises(ValueError, match="2 hashes, 1 merits"):
        find_near_duplicates([1, 2], [(1,)], ["a", "b"], 3)


def test_the_hash_is_imagehashs_own():
    with Image.open(SHELF / "coffee.png") as picture:
        theirs = imagehash.phash(picture)
        ours = perceptual_hash(picture)
    assert [bool(ours >> (63 - n) & 1) for n in range(64)] == theirs.hash.flatten().tolist()


def photo(name: str, size: tuple[int, int] = (416, 608)) -> Image.Image:
    with Image.open(SHELF / name) as picture:
        return ImageOps.fit(picture.convert("RGB"), size)


@functools.cache
def poster(name: str, *texts: str) -> Image.Image:
    return typeset(photo(name), PosterBrief(texts=list(texts))).image


def jpeg(picture: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return Image.open(file)


COPIES = {
    "encoded anew": lambda p: jpeg(p, 40),
    "half as large": lambda p: p.resize((p.width // 2, p.height // 2)),
    "twice as large": lambda p: p.resize((p.width * 2, p.height * 2)),
    "slightly cropped": lambda p: p.crop((5, 7, p.width - 5, p.height - 7)),
    "a little brighter": lambda p: ImageEnhance.Brightness(p).enhance(1.1),
    "stretched a little": lambda p: p.resize((p.width, p.height + 16)),
}
PHOTOS = ("coffee.png", "chelsea.png", "rocket.jpg", "astronaut.png", "motorcycle_left.png")


@pytest.mark.parametrize("change", COPIES)
def test_a_poster_is_near_its_copies(change):
    for name in PHOTOS:
        original = poster(name, "HARBOUR LIGHTS", "Friday 8 pm")
        assert bits(perceptual_hash(original), perceptual_hash(COPIES[change](original))) <= DISTANCE, name


def test_posters_with_the_same_words_on_other_photos_are_far_apart():
    hashes = [perceptual_hash(poster(name, "HARBOUR LIGHTS", "Friday 8 pm")) for name in PHOTOS]
    assert min(bits(a, b) for n, a in enumerate(hashes) for b in hashes[:n]) > DISTANCE


def test_another_part_of_the_same_photo_is_no_copy():
    for name in PHOTOS:
        whole = photo(name, (600, 400))
        left, right = whole.crop((0, 0, 400, 400)), whole.crop((200, 0, 600, 400))
        assert bits(perceptual_hash(left), perceptual_hash(right)) > DISTANCE, name


ALTERED = {
    "mirrored": ImageOps.mirror,
    "in a frame": lambda p: ImageOps.expand(p, 20, "white"),
    "cropped by a tenth": lambda p: p.crop((20, 30, p.width - 20, p.height - 30)),
    "cropped by a fifth": lambda p: p.crop((41, 60, p.width - 41, p.height - 60)),
}


@pytest.mark.parametrize("change", ALTERED)
def test_an_altered_copy_is_found(change):
    originals = [poster(name, "HARBOUR LIGHTS", "Friday 8 pm") for name in PHOTOS]
    pictures = [*originals, *map(ALTERED[change], originals)]
    hashes, altered = [perceptual_hash(one) for one in pictures], [altered_hashes(one) for one in pictures]
    found = {(a, b) for a, b, _ in find_altered_copies(hashes, altered, DISTANCE)}
    count = len(PHOTOS)
    right = {(n, n + count) for n in range(count)}
    assert len(found & right) >= count - 1 and not {(a, b) for a, b in found if b % count != a % count}
    thumbnails = [thumbnail(one) for one in pictures]
    assert sum(same_thumbnail(thumbnails[a], thumbnails[b]) for a, b in found & right) >= count - 1


def plain(color: str, *texts: str) -> Image.Image:
    return typeset(Image.new("RGB", (416, 608), color), PosterBrief(texts=list(texts))).image


def test_plain_posters_of_other_colours_or_other_titles_are_no_copies():
    colors = ("navy", "darkred", "teal", "white", "gold")
    titles = ("JAZZ NIGHT", "OPEN AIR", "LIFT OFF", "SALE TODAY", "FREE ENTRY")
    rows = [{"thumbnail": thumbnail(plain(color, title)), "titles": [title]} for color in colors for title in titles]
    for n, row in enumerate(rows):
        assert [same_poster(row, other) for other in rows].count(True) == 1, n
        assert same_poster(row, {"thumbnail": row["thumbnail"]})  # where no title is read the picture decides


def test_a_border_is_taken_off_and_a_plain_ground_is_none():
    framed = ImageOps.expand(photo("coffee.png"), 12, "white")
    assert abs(without_border(framed).width - 416) <= 4
    ground = plain("navy", "JAZZ NIGHT")
    assert without_border(ground).size == ground.size
