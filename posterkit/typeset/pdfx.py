"""PDF/X-4 (ISO 15930-7): what a printer's preflight looks for in a PDF."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from posterkit.typeset.press import Press

_DATE = "2000-01-01T00:00:00+00:00"  # as the PDF's own dates, so that the same poster has the same bytes
_VERSION = "1.6"  # PDF/X-4 is written in PDF 1.6


def pdfx_properties(title: str) -> str:
    """The XMP properties that PDF/X-4 asks for, as RDF/XML elements."""
    words = escape(title)
    return (
        '<pdfxid:GTS_PDFXVersion xmlns:pdfxid="http://www.npes.org/pdfx/ns/id/">PDF/X-4</pdfxid:GTS_PDFXVersion>'
        '<pdf:Trapped xmlns:pdf="http://ns.adobe.com/pdf/1.3/">False</pdf:Trapped>'
        f'<xmp:CreateDate xmlns:xmp="http://ns.adobe.com/xap/1.0/">{_DATE}</xmp:CreateDate>'
        f'<xmp:ModifyDate xmlns:xmp="http://ns.adobe.com/xap/1.0/">{_DATE}</xmp:ModifyDate>'
        f'<xmp:MetadataDate xmlns:xmp="http://ns.adobe.com/xap/1.0/">{_DATE}</xmp:MetadataDate>'
        '<xmpMM:DocumentID xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/">urn:posterkit:poster</xmpMM:DocumentID>'
        '<xmpMM:VersionID xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/">1</xmpMM:VersionID>'
        '<xmpMM:RenditionClass xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/">default</xmpMM:RenditionClass>'
        '<dc:title xmlns:dc="http://purl.org/dc/elements/1.1/">'
        f'<rdf:Alt><rdf:li xml:lang="x-default">{words}</rdf:li></rdf:Alt></dc:title>'
    )


def as_pdfx(content: bytes, press: Press) -> bytes:
    """A PDF in a press's inks, with its boxes and XMP properties, as PDF/X-4: output intent, trapping, document id."""
    import pikepdf
    from pikepdf import Array, Dictionary, Name, String

    with pikepdf.open(io.BytesIO(content)) as document:
        catalog: Any = document.Root
        profile = document.make_stream(press.data, N=4, Alternate=Name.DeviceCMYK)
        intent = Dictionary(
            Type=Name.OutputIntent, S=Name.GTS_PDFX, OutputConditionIdentifier=String(press.name),
            OutputCondition=String(press.name), Info=String(press.name), DestOutputProfile=profile,
        )  # fmt: skip
        catalog.OutputIntents = Array([document.make_indirect(intent)])
        document.docinfo["/Trapped"] = Name("/False")
        out = io.BytesIO()
        document.save(
            out, force_version=_VERSION, deterministic_id=True, object_stream_mode=pikepdf.ObjectStreamMode.disable
        )
    return out.getvalue()
