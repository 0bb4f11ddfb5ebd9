"""512x512 photographs with texts by SynthTIGER; run by the Python of its own environment, see text_render_speed.py."""

import io
import json
import random
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image
from synthtiger import components, layers

PHOTOS, FONTS, WORDS, COUNT, TEXTS = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
SIDE = 512

texture = components.BaseTexture(paths=[PHOTOS], weights=[1], crop=1)
font = components.BaseFont(paths=[FONTS], weights=[1], size=(28, 80))
color = components.RGB()
rotate = components.Switch(components.Rotate(angle=(-14, 14)), prob=0.25)
words = [word for word in Path(WORDS).read_text(encoding="utf-8").split() if word.isascii()]


def draw() -> np.ndarray:
    ground = layers.RectLayer((SIDE, SIDE))
    texture.apply([ground])
    drawn = [ground]
    for _ in range(TEXTS):
        text = " ".join(random.choices(words, k=random.randint(1, 5)))
        layer = layers.TextLayer(text, **font.sample({"text": text}))
        color.apply([layer])
        layer.size = layer.size * min(1, 0.9 * SIDE / layer.width)
        rotate.apply([layer])
        layer.topleft = [random.uniform(0, max(1, SIDE - side)) for side in layer.size]
        drawn.append(layer)
    # a Group paints its first layer last
    return layers.Group(drawn[::-1]).output(bbox=[0, 0, SIDE, SIDE])[..., :3].clip(0, 255).astype(np.uint8)


np.random.seed(0)
random.seed(0)
for _ in range(5):
    draw()
start, wall = time.process_time(), time.perf_counter()
for _ in range(COUNT):
    picture = draw()
    Image.fromarray(picture).save(io.BytesIO(), "PNG", compress_level=1, compress_type=3)
spent = time.process_time() - start, time.perf_counter() - wall
if len(sys.argv) > 6:
    Image.fromarray(picture).save(sys.argv[6])
print(json.dumps({"images": COUNT, "cpu": spent[0], "wall": spent[1]}))
