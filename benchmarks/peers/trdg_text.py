"""Photographs with one text by TextRecognitionDataGenerator; run by the Python of its own environment.

A picture of 512x512 as ours, or (HEIGHT 72) the strip around one line that it is made for.
"""

import io
import json
import random
import sys
import time
from pathlib import Path

from trdg.generators import GeneratorFromStrings

PHOTOS, FONTS, WORDS, COUNT, HEIGHT = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
SIDE = 512

random.seed(0)
words = [word for word in Path(WORDS).read_text(encoding="utf-8").split() if word.isascii()]
texts = [" ".join(random.choices(words, k=random.randint(1, 5))) for _ in range(COUNT + 5)]
fonts = sorted(str(path) for path in Path(FONTS).rglob("*") if path.suffix in (".ttf", ".otf"))
# its pictures are as high as `size`; the margins leave a line of about 72 px
above = max(5, (HEIGHT - 72) // 2)
pictures = GeneratorFromStrings(
    texts, count=-1, fonts=fonts, size=HEIGHT, width=SIDE, margins=(above, 5, above, 5), alignment=1, skewing_angle=14,
    random_skew=True, background_type=3, image_dir=PHOTOS, text_color="#000000,#ffffff",
)  # fmt: skip
for _ in range(5):
    next(pictures)
start, wall = time.process_time(), time.perf_counter()
made = 0
while made < COUNT:
    picture, _ = next(pictures)
    if picture is not None:  # it gives none where the colours are too alike
        picture.save(io.BytesIO(), "PNG", compress_level=1, compress_type=3)
        made += 1
spent = time.process_time() - start, time.perf_counter() - wall
if len(sys.argv) > 6:
    picture.save(sys.argv[6])
print(json.dumps({"images": COUNT, "cpu": spent[0], "wall": spent[1]}))
