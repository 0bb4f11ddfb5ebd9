"""Other words in the type layers of a Photoshop document; every other layer stays as it is."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from posterkit.image_io import MAX_PIXELS
from posterkit.layout import Box
from posterkit.lettering import ROLES, Align
from posterkit.typeset.editing import Choose, FoundText, face_named, reset
from posterkit.typeset.fonts import Face, for_text
from posterkit.typeset.psd import PixelPart, add_part, text_parts
from posterkit.typeset.psd_type import JUSTIFICATION
from posterkit.typeset.shaping import shape
from posterkit.typeset.xmp import revised

_ALIGNS: dict[int, Align] = {number: align for align, number in JUSTIFICATION.items()}  # type: ignore[misc]
_STRAIGHT = 1e-3


def edit_psd(content: bytes, choose: Choose, revise: Callable[[str], str], extra: Sequence[Face]) -> bytes:
    """A document with other words; its merged picture is drawn anew from the layers.

    Raises:
        ValueError: it is no PSD, has no type layers, a layer is turned, or the words do not fit.
    """
    from psd_tools import PSDImage
    from psd_tools.constants import Resource

    try:
        document = PSDImage.open(io.BytesIO(content))
    except Exception:  # whatever its parser meets, in words about its own code
        raise ValueError("is no PSD that can be read") from None
    if document.width * document.height > MAX_PIXELS:
        raise ValueError(f"has {document.width}x{document.height} pixels; {MAX_PIXELS >> 20} megapixels are read")
    layers = [layer for layer in document.descendants() if layer.kind == "type"]
    buttons = _named(document, "button: ")
    found = [_found(layer, extra, buttons) for layer in layers]
    taken = [*(one.box for one in found), *_named(document, "logo: ").values(), *_named(document, "qr: ").values()]
    for layer, one, new in zip(layers, found, choose(found), strict=True):
        if new is None:
            continue
        placed = reset(one, new, taken, document.size)
        *_, part = text_parts(placed, document.size)
        role, _, words = layer.name.partition(": ")
        _exchange(layer, part, document)
        if role in ROLES:  # as posterkit names them; a designer's own names stay
            layer.name = part.name
            for button in document.descendants():
                if button.name == f"button: {words}":
                    button.name = f"button: {part.name.partition(': ')[2]}"
    if xmp := document.image_resources.get(Resource.XMP_METADATA):
        xmp.data = revised(xmp.data, revise)
    document.mark_updated()  # so that its merged picture is drawn anew
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def _named(document: Any, beginning: str) -> dict[str, Box]:
    """The boxes of layers whose names begin so, by the rest of the name."""
    layers = (layer for layer in document.descendants() if layer.name.startswith(beginning))
    return {layer.name.removeprefix(beginning): Box(*map(float, layer.bbox)) for layer in layers}


def _found(layer: Any, extra: Sequence[Face], buttons: dict[str, Box]) -> FoundText:
    try:
        styles = [run["StyleSheet"]["StyleSheetData"] for run in layer.engine_dict["StyleRun"]["RunArray"]]
        paragraph = layer.engine_dict["ParagraphRun"]["RunArray"][0]["ParagraphSheet"]["Properties"]
        names = [font["Name"].value for font in layer.resource_dict["FontSet"]]
        size, color = float(styles[0]["FontSize"]), [float(value) for value in styles[0]["FillColor"]["Values"]][-3:]
        used = [names[int(style["Font"])] for style in styles if "Font" in style]
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ValueError(f"the type layer {layer.name!r} cannot be read ({error!r})") from None
    across, down_x, down_y, scale, x, baseline = layer.transform
    if abs(down_x) > _STRAIGHT or abs(down_y) > _STRAIGHT or abs(across - scale) > _STRAIGHT * abs(scale):
        raise ValueError(f"the type layer {layer.name!r} is turned or stretched; set it straight first")
    faces = tuple(dict.fromkeys(face for name in used if (face := face_named([name], extra))))
    if not faces:
        raise ValueError(f"the type layer {layer.name!r} is set in {used[0]}, which is not shipped; give its file "
                         "with --font")  # fmt: skip
    size *= scale
    tracking = float(styles[0].get("Tracking", 0)) / 1000
    auto = bool(styles[0].get("AutoLeading", True)) or "Leading" not in styles[0]
    leading = 1.2 * size if auto else float(styles[0]["Leading"]) * scale
    lines = layer.text.rstrip("\r").split("\r")
    shaped = [shape(line, for_text(line, extra=faces), tracking) for line in lines if line.strip()]
    role, _, words = layer.name.partition(": ")
    red, green, blue = (round(255 * value) for value in color)
    return FoundText(
        "\n".join(lines), role if role in ROLES else "text", faces, size, (red, green, blue),
        _ALIGNS.get(int(paragraph.get("Justification", 0)), "left"), x, baseline,
        max((line.width for line in shaped), default=1.0) * size, (len(lines) - 1) * leading + 0.75 * size, leading,
        tracking, buttons.get(words),
    )  # fmt: skip


def _exchange(layer: Any, part: PixelPart, document: Any) -> None:
    """Give a layer the pixels and the words of a part; its place among the layers, name, mode and mask stay."""
    from psd_tools import PSDImage
    from psd_tools.constants import ChannelID, Tag

    made = add_part(PSDImage.new("RGB", document.size), part)
    if made is None:
        raise ValueError(f"the type layer {layer.name!r} stands outside the picture; move it in first")
    record, own = layer._record, made._record
    old = list(zip(record.channel_info, layer._channels, strict=True))
    masks = [(info, data) for info, data in old if info.id in _masks(ChannelID)]
    record.top, record.left, record.bottom, record.right = own.top, own.left, own.bottom, own.right
    record.channel_info = [*own.channel_info, *(info for info, _ in masks)]
    del layer._channels[:]
    for data in (*made._channels, *(data for _, data in masks)):
        layer._channels.append(data)
    record.tagged_blocks[Tag.TYPE_TOOL_OBJECT_SETTING] = own.tagged_blocks[Tag.TYPE_TOOL_OBJECT_SETTING]
    layer._type_data = own.tagged_blocks.get_data(Tag.TYPE_TOOL_OBJECT_SETTING)


def _masks(channels: Any) -> Iterator[Any]:
    yield channels.USER_LAYER_MASK
    yield channels.REAL_USER_LAYER_MASK
