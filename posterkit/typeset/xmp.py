"""What a poster's file says beside its picture: the record, and a small picture for contact sheets."""

from __future__ import annotations

import base64
import io
from xml.sax.saxutils import escape

from PIL import Image, ImageOps

_PREVIEW = (400, 600)  # pixels


def preview(image: Image.Image) -> str:
    """A poster as a small JPEG in base64."""
    file = io.BytesIO()
    ImageOps.contain(image, _PREVIEW, Image.Resampling.LANCZOS).save(file, "JPEG", quality=85)
    return base64.b64encode(file.getvalue()).decode()


def packet(metadata: str, image: Image.Image) -> bytes:
    """An XMP packet (ISO 16684-1); uncompressed in its file, so that any program finds it."""
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
        f'xmlns:posterkit="urn:posterkit:1"><posterkit:record>{escape(metadata)}</posterkit:record>'
        f"<posterkit:preview>{preview(image)}</posterkit:preview>"
        '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
    ).encode()
