"""What of a picture the texts must leave free: faces, lettering that it has already, and its subject."""

# pyright: standard
from __future__ import annotations

from PIL import Image

from posterkit.layout import Box, Obstacle
from posterkit.metrics.faces import find_faces
from posterkit.metrics.poster_reader import open_poster_reader
from posterkit.pipelines.segmenters import RuleSegmenter

_READ_AT = 1280  # pixels; a longer side is reduced to it, smaller lettering than then reads is no obstacle
_CHIN, _TEMPLES, _HAIR = 0.18, 0.3, 0.45  # of a face's side, added below, beside and above it
_SUBJECT = 0.03  # of the picture; a smaller thing is no subject
_ABOVE, _BESIDE = 0.15, 0.25  # of the picture's height and width; a narrower free band holds no title
_LEAST = 0.0004  # of the picture; smaller lettering may be covered


def find_obstacles(image: Image.Image) -> list[Obstacle]:
    """Faces by a cascade of local binary patterns, lettering by OCR; both in the picture's pixels.

    poster = typeset(photo, brief, avoid=find_obstacles(photo))
    """
    scale = min(1.0, _READ_AT / max(image.size))
    small = image.convert("RGB").resize([max(1, round(side * scale)) for side in image.size], Image.Resampling.BOX)
    faces = [Box(*box) for box in find_faces(small)]
    found = [Obstacle(_scaled(_head(box), scale), "face") for box in faces]
    for line in open_poster_reader(fast=True).lines(small):
        box = Box(*line.box)
        letters = sum(letter.isalnum() for letter in line.text)
        if letters > 1 and box.width * box.height >= _LEAST * small.width * small.height:
            found.append(Obstacle(_scaled(box, scale), "lettering"))
    return found


def find_subject(image: Image.Image) -> list[Obstacle]:
    """The box of what stands out of a picture, if anything does, in its pixels.

    What leaves no band free for texts is none: they must lie on it, and saliency says where that does least harm.
    """
    found = RuleSegmenter()(image.convert("RGB"), (), most=1)
    boxes = [Box(*thing.box) for thing in found if thing.share >= _SUBJECT]
    return [Obstacle(box, "subject") for box in boxes if _leaves_room(box, *image.size)]


def _head(face: Box) -> Box:
    side = face.width
    return Box(face.x0 - _TEMPLES * side, face.y0 - _HAIR * side, face.x1 + _TEMPLES * side, face.y1 + _CHIN * side)


def _leaves_room(box: Box, width: int, height: int) -> bool:
    above, beside = max(box.y0, height - box.y1), max(box.x0, width - box.x1)
    return above >= _ABOVE * height or beside >= _BESIDE * width


def _scaled(box: Box, scale: float) -> Box:
    return Box(*(side / scale for side in box))
