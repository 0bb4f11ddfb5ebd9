"""What a poster's file says of where it comes from: IPTC's digital source type, a plain label, alt text.

IPTC Photo Metadata 2023.1 (DigitalSourceType, AltTextAccessibility), in XMP; what article 50 of the EU's AI Act asks
of pictures that a model has made.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, unescape

from posterkit.messages import one_line
from posterkit.prompts.wording import without_texts

CODES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
MADE, COMPOSITE = "trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia"
LABELS = {MADE: "Made with AI by posterkit", COMPOSITE: "Made partly with AI by posterkit"}
LEVELS = ("none", "label", "full")  # of what a file says: nothing, the marks alone, the record as well
_LONGEST = 400  # letters of an alt text
_MOST = 512 * 2**20  # bytes of a file that is searched
# IPTC's terms, a longer one before what it begins with; in a manifest other letters can follow a term
_KNOWN = (
    "compositeWithTrainedAlgorithmicMedia|compositeCapture|compositeSynthetic|composite|trainedAlgorithmicMedia|"
    "algorithmicallyEnhanced|algorithmicMedia|computationalCapture|digitalCapture|digitalCreation|digitalArt|"
    "dataDrivenMedia|humanEdits|minorHumanEdits|negativeFilm|positiveFilm|print|screenCapture|softwareImage|"
    "virtualRecording"
)
_TERM = re.compile(f"digitalsourcetype/({_KNOWN})".encode())
_PROPERTY = re.compile(rb"Iptc4xmpExt:DigitalSourceType[^<]{0,240}digitalsourcetype/([A-Za-z]{3,60})")
_TOOLS = (
    # what other programs write of a picture that a model made, and nothing else does
    (re.compile(rb"(?:tEXt|iTXt)parameters\0"), MADE), (re.compile(rb"(?:tEXt|iTXt)(?:prompt|workflow)\0"), MADE),
    (re.compile(rb"c2pa\.(?:created|edited)[\s\S]{0,400}trainedAlgorithmicMedia"), MADE),
)  # fmt: skip
_INPUTS = re.compile(rb"<posterkit:inputs[^>]*>(.*?)</posterkit:inputs>", re.DOTALL)
_CREDENTIALS = re.compile(rb"jumb[\s\S]{0,64}c2pa")


@dataclass(frozen=True)
class Marks:
    """What a file says of its origin."""

    source_type: str | None  # IPTC's term; None where a picture is nobody's machine's
    label: str = ""  # the same in words; "" where there is nothing to say
    alt: str = ""  # what the poster shows and says, for those who do not see it
    inputs: tuple[str, ...] = ()  # source types of the pictures that it was made from, as far as they were marked

    def properties(self, creator: str) -> str:
        """XMP properties as RDF/XML elements, with their namespaces.

        Args:
            creator: the program and its version.
        """
        lines = [f'<xmp:CreatorTool xmlns:xmp="http://ns.adobe.com/xap/1.0/">{escape(creator)}</xmp:CreatorTool>']
        if self.source_type:
            lines.append(
                '<Iptc4xmpExt:DigitalSourceType xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">'
                f"{CODES}{self.source_type}</Iptc4xmpExt:DigitalSourceType>"
            )
        if self.label:
            lines.append(
                f'<photoshop:Credit xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/">{escape(self.label)}'
                "</photoshop:Credit>"
            )
            lines.append(_language_alternative("dc:description", "http://purl.org/dc/elements/1.1/", self.label))
        if self.alt:
            lines.append(
                _language_alternative(
                    "Iptc4xmpCore:AltTextAccessibility", "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/", self.alt
                )
            )
        if self.inputs:
            items = "".join(f"<rdf:li>{CODES}{term}</rdf:li>" for term in self.inputs)
            lines.append(
                f'<posterkit:inputs xmlns:posterkit="urn:posterkit:1"><rdf:Bag>{items}</rdf:Bag></posterkit:inputs>'
            )
        return "".join(lines)


def _language_alternative(name: str, namespace: str, text: str) -> str:
    prefix = name.split(":")[0]
    return (
        f'<{name} xmlns:{prefix}="{namespace}"><rdf:Alt><rdf:li xml:lang="x-default">{escape(text)}</rdf:li></rdf:Alt>'
        f"</{name}>"
    )


def marks_of(record: dict[str, Any]) -> Marks:
    """The marks of a poster by its record.

    A poster of which pixels were kept is a composite, unless what was kept was made by a model too. One that was only
    typeset says of its picture what that said of itself.
    """
    row = {"task": "text", "prompt": "", "texts": (), **record.get("row", {})}
    inputs = tuple(record.get("inputs", ()))
    if row["task"] == "typeset":
        source_type = next(iter(inputs), None)
    elif kept_pixels(row) and not (inputs and set(inputs) == {MADE}):
        source_type = COMPOSITE
    else:
        source_type = MADE
    return Marks(source_type, LABELS.get(source_type or "", ""), alt_text(row["prompt"], row["texts"]), inputs)


def kept_pixels(row: dict[str, Any]) -> bool:
    """Whether pixels of an input picture stand on a poster, by its row."""
    keeps = row["task"] in ("extending", "filling")
    return row.get("preserve") is True or (keeps and row.get("preserve") is not False)


def alt_text(prompt: str, texts: Sequence[str]) -> str:
    """What a poster shows and says, from its brief: the prompt without what it quotes, and every text."""
    shown = one_line(without_texts(prompt).strip(" ,.;:"), _LONGEST)
    said = "; ".join(f"“{one_line(text, 120)}”" for text in texts)
    return one_line(". ".join(part for part in (shown, said) if part), _LONGEST)


def read_marks(path: str | Path) -> Marks | None:
    """The marks in a file of any format, ours or another program's; None where it has none.

    The search is for the bytes of IPTC's terms, which XMP packets and C2PA manifests leave uncompressed, and for the
    entries that image generators write.

    Raises:
        ValueError: the file cannot be read.
    """
    path = Path(path)
    try:
        if not 0 < path.stat().st_size <= _MOST:
            return None
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            # XMP says it of the picture itself; in a manifest the pictures that it was made from come first
            found = _PROPERTY.findall(content) or _TERM.findall(content)[::-1]
            terms = [match.decode("ascii") for match in found]
            terms += [term for pattern, term in _TOOLS if pattern.search(content)]
            inputs = _TERM.findall(marked[1]) if (marked := _INPUTS.search(content)) else []
            said = [
                _inside(content, element) for element in (b"photoshop:Credit", b"Iptc4xmpCore:AltTextAccessibility")
            ]
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from None
    if not terms:
        return None
    return Marks(
        terms[0], said[0] or LABELS.get(terms[0], ""), said[1], tuple(term.decode("ascii") for term in inputs)
    )


def has_credentials(path: str | Path) -> bool:
    """Whether a file carries a C2PA manifest, see `posterkit.safety.content_credentials`."""
    try:
        with Path(path).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return _CREDENTIALS.search(content) is not None
    except (OSError, ValueError):  # not there, or empty: whoever reads the picture says so
        return False


def _inside(content: mmap.mmap, element: bytes) -> str:
    match = re.search(rb"<" + element + rb"[^>]*>(?:<rdf:Alt><rdf:li[^>]*>)?([^<]*)<", content)
    return unescape(match[1].decode("utf-8", "replace")) if match else ""


def inputs_of(paths: Iterable[str | Path]) -> list[str]:
    """Source types of input pictures that say that a model had a part in them."""
    found = (read_marks(path) for path in paths)
    return [marks.source_type for marks in found if marks and marks.source_type]
