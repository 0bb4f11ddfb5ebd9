"""What a poster's file says beside its picture: the record, and a small picture for contact sheets."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from xml.sax.saxutils import escape, unescape

from PIL import Image, ImageOps

CHUNK = "posterkit"  # of a PNG, where a poster's record stands
_PREVIEW = (400, 600)  # pixels


@dataclass(frozen=True)
class FileNotes:
    """What a poster's file says beside its picture; false where it is nothing."""

    record: str = ""  # kept as it is; `posterkit.generate.metadata.read_record` finds it
    properties: str = ""  # XMP properties as RDF/XML elements, with their namespaces
    alt: str = ""  # what the poster shows and says, for those who do not see it

    def __bool__(self) -> bool:
        return bool(self.record or self.properties or self.alt)


NOTHING = FileNotes()


_RECORD = re.compile(rb"(?<=<posterkit:record>).*?(?=</posterkit:record>)", re.DOTALL)


def revised(packed: bytes, revise: Callable[[str], str]) -> bytes:
    """An XMP packet with another record in the place of its own; one without any stays as it is."""
    return _RECORD.sub(lambda match: escape(revise(unescape(match[0].decode()))).encode(), packed)


def preview(image: Image.Image) -> str:
    """A poster as a small JPEG in base64."""
    file = io.BytesIO()
    ImageOps.contain(image, _PREVIEW, Image.Resampling.LANCZOS).save(file, "JPEG", quality=85)
    return base64.b64encode(file.getvalue()).decode()


def packet(notes: FileNotes, image: Image.Image | None = None) -> bytes:
    """An XMP packet (ISO 16684-1); uncompressed in its file, so that any program finds it.

    Args:
        image: whose small picture is kept in it; None for none.
    """
    own = f"<posterkit:record>{escape(notes.record)}</posterkit:record>" if notes.record else ""
    own += f"<posterkit:preview>{preview(image)}</posterkit:preview>" if image is not None else ""
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
        f'xmlns:posterkit="urn:posterkit:1">{own}{notes.properties}</rdf:Description></rdf:RDF></x:xmpmeta>'
        '<?xpacket end="r"?>'
    ).encode()
