"""Live type layers of Photoshop documents: what of a text its type tool keeps beside the pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

from fontTools.ttLib import TTFont

from posterkit.layout import Box
from posterkit.lettering import Align
from posterkit.typeset.fonts import Face
from posterkit.typeset.placed_text import PlacedLine, PlacedText

JUSTIFICATION = {"left": 0, "right": 1, "center": 2}
_OURS = ["PhotoshopKinsokuHard", "PhotoshopKinsokuSoft"]  # sets that a document names, with rules of their own
_MOJIKUMI = [f"Photoshop6MojiKumiSet{number}" for number in range(1, 5)]


@dataclass(frozen=True)
class TypeColumn:
    """Lines that make one type layer.

    Attributes:
        lines: top to bottom; None for a blank one.
        align: which side of them stands in one line.
        leading: pixels from baseline to baseline.
        x, baseline: where Photoshop anchors the first line: at its left, middle or right.
    """

    lines: tuple[PlacedLine | None, ...]
    align: Align
    leading: float
    x: float
    baseline: float

    @property
    def text(self) -> str:
        """The words, a carriage return after each line, as Photoshop has them."""
        return "\r".join(at.line.text if at else "" for at in self.lines)


def type_columns(placed: PlacedText) -> list[TypeColumn]:
    """A text as type layers: one, or dishes and prices as two where the text is a menu."""
    rows: dict[float, list[PlacedLine]] = {}
    for at in placed.placed_lines:
        rows.setdefault(at.baseline, []).append(at)
    baselines = sorted(rows)
    steps = [below - above for above, below in pairwise(baselines)]
    leading = steps[0] if steps else 1.2 * placed.size
    columns = []
    for number in range(max(map(len, rows.values()))):
        own: list[PlacedLine | None] = [rows[y][number] if number < len(rows[y]) else None for y in baselines]
        while own[0] is None:
            own, baselines = own[1:], baselines[1:]
        while own[-1] is None:
            own = own[:-1]
        first = own[0]
        assert first is not None
        align: Align = placed.align if len(rows[first.baseline]) == 1 else "right" if number else "left"
        shift = {"left": 0.0, "center": 0.5, "right": 1.0}[align] * first.line.width * placed.size
        columns.append(TypeColumn(tuple(own), align, leading, first.x + shift, first.baseline))
    return columns


def type_setting(placed: PlacedText, column: TypeColumn) -> dict[str, Any]:
    """The fields of psd-tools' TypeToolObjectSetting for a column of a text; lengths are the document's pixels."""
    from psd_tools.psd.descriptor import DescriptorBlock, Double, Enumerated, Integer, RawData, String

    def of(kind: bytes, value: bytes) -> Enumerated:
        return Enumerated(kind, value)

    found = DescriptorBlock(classID=b"TxLr")
    found[b"Txt "] = String(column.text)
    found[b"textGridding"] = of(b"textGridding", b"None")
    found[b"Ornt"] = of(b"Ornt", b"Hrzn")
    found[b"AntA"] = of(b"Annt", b"antiAliasSharp")
    ink = _ink(placed, column)
    found[b"bounds"], found[b"boundingBox"] = _bounds(ink, b"bounds"), _bounds(ink, b"boundingBox")
    found[b"TextIndex"] = Integer(0)
    found[b"EngineData"] = RawData(_engine(_engine_data(placed, column), root=True))
    warp = DescriptorBlock(classID=b"warp")
    warp[b"warpStyle"] = of(b"warpStyle", b"warpNone")
    for name in (b"warpValue", b"warpPerspective", b"warpPerspectiveOther"):
        warp[name] = Double(0.0)
    warp[b"warpRotate"] = of(b"Ornt", b"Hrzn")
    return {
        "version": 1, "transform": (1.0, 0.0, 0.0, 1.0, column.x, column.baseline), "text_version": 50,
        "text_data": found, "warp_version": 1, "warp": warp,
    }  # fmt: skip


def _ink(placed: PlacedText, column: TypeColumn) -> Box:
    """The ink of a column from its anchor, in pixels."""
    lines = [at for at in column.lines if at is not None]
    size = placed.size
    return Box(
        min(at.x + at.line.left * size for at in lines) - column.x,
        min(at.baseline - at.line.top * size for at in lines) - column.baseline,
        max(at.x + at.line.right * size for at in lines) - column.x,
        max(at.baseline + at.line.bottom * size for at in lines) - column.baseline,
    )


def _bounds(box: Box, kind: bytes) -> Any:
    from psd_tools.psd.descriptor import Descriptor, UnitFloat
    from psd_tools.terminology import Unit

    found = Descriptor(classID=kind)
    for name, side in zip((b"Left", b"Top ", b"Rght", b"Btom"), box, strict=True):
        found[name] = UnitFloat(unit=Unit.Points, value=side)
    return found


def _engine_data(placed: PlacedText, column: TypeColumn) -> dict[str, Any]:
    """What the text engine keeps: the words, and how each stretch of them is set."""
    runs, faces = _runs(column)
    styles = [
        {"StyleSheet": {"StyleSheetData": _style(placed, column, faces.index(face), tracking)}}
        for face, tracking, _ in runs
    ]
    units = [_units(line) + 1 for line in column.text.split("\r")]  # with its carriage return
    paragraph = {"DefaultStyleSheet": 0, "Properties": {"Justification": JUSTIFICATION[column.align]}}
    still = {"Axis": [1.0, 0.0, 1.0], "XY": [0.0, 0.0]}
    point = {"ShapeType": 0, "TransformPoint0": [1.0, 0.0], "TransformPoint1": [0.0, 1.0],
             "TransformPoint2": [0.0, 0.0]}  # fmt: skip
    shape = {"ShapeType": 0, "Procession": 0, "Lines": {"WritingDirection": 0, "Children": []},
             "Cookie": {"Photoshop": {"ShapeType": 0, "PointBase": [0.0, 0.0], "Base": point}}}  # fmt: skip
    resources = _resources(faces)
    return {
        "EngineDict": {
            "Editor": {"Text": column.text + "\r"},
            "ParagraphRun": {
                "DefaultRunData": {"ParagraphSheet": {"DefaultStyleSheet": 0, "Properties": {}}, "Adjustments": still},
                "RunArray": [{"ParagraphSheet": paragraph, "Adjustments": still} for _ in units],
                "RunLengthArray": units, "IsJoinable": 1,
            },
            "StyleRun": {
                "DefaultRunData": {"StyleSheet": {"StyleSheetData": {}}},
                "RunArray": styles, "RunLengthArray": [length for _, _, length in runs], "IsJoinable": 2,
            },
            "GridInfo": {
                "GridIsOn": False, "ShowGrid": False, "GridSize": 18.0, "GridLeading": 22.0,
                "GridColor": _color((0, 0, 255)), "GridLeadingFillColor": _color((0, 0, 255)),
                "AlignLineHeightToGridFlags": False,
            },
            "AntiAlias": 4, "UseFractionalGlyphWidths": True,
            "Rendered": {"Version": 1, "Shapes": {"WritingDirection": 0, "Children": [shape]}},
        },
        "ResourceDict": resources, "DocumentResources": resources,
    }  # fmt: skip


def _runs(column: TypeColumn) -> tuple[list[tuple[Face, float, int]], list[Face]]:
    """Stretches in the words' order: face, tracking, UTF-16 units; and the faces in use."""
    runs: list[tuple[Face, float, int]] = []
    for at in column.lines:
        stretches = sorted(at.line.runs, key=lambda run: run.start) if at else []
        for run in stretches:
            runs.append((run.face, run.tracking, _units(run.text)))
        if runs:
            face, tracking, length = runs[-1]
            runs[-1] = face, tracking, length + 1  # the carriage return
    return runs, list(dict.fromkeys(face for face, _, _ in runs))


def _units(text: str) -> int:
    return len(text.encode("utf-16-be")) // 2


def _style(placed: PlacedText, column: TypeColumn, font: int, tracking: float) -> dict[str, Any]:
    return {
        "Font": font, "FontSize": float(placed.size), "FauxBold": False, "FauxItalic": False, "AutoLeading": False,
        "Leading": float(column.leading), "HorizontalScale": 1.0, "VerticalScale": 1.0,
        "Tracking": round(1000 * tracking), "AutoKerning": True, "Kerning": 0, "BaselineShift": 0.0, "FontCaps": 0,
        "FontBaseline": 0, "Underline": False, "Strikethrough": False, "Ligatures": not tracking, "DLigatures": False,
        "BaselineDirection": 2, "Tsume": 0.0, "StyleRunAlignment": 2, "Language": 0, "NoBreak": False,
        "FillColor": _color(placed.color), "StrokeColor": _color((0, 0, 0)), "FillFlag": True, "StrokeFlag": False,
        "FillFirst": True, "YUnderline": 1, "OutlineWidth": 1.0,
    }  # fmt: skip


def _color(color: Sequence[int]) -> dict[str, Any]:
    return {"Type": 1, "Values": [1.0, *(channel / 255 for channel in color)]}


def _resources(faces: Sequence[Face]) -> dict[str, Any]:
    fonts = [{"Name": postscript_name(face), "Script": 0, "FontType": 1, "Synthetic": 0} for face in faces]
    fonts.append({"Name": "AdobeInvisFont", "Script": 0, "FontType": 0, "Synthetic": 0})
    return {
        "KinsokuSet": [{"Name": name, "NoStart": "", "NoEnd": "", "Keep": "", "Hanging": ""} for name in _OURS],
        "MojiKumiSet": [{"InternalName": name} for name in _MOJIKUMI],
        "TheNormalStyleSheet": 0, "TheNormalParagraphSheet": 0,
        "ParagraphSheetSet": [
            {"Name": "Normal RGB", "DefaultStyleSheet": 0, "Properties": {"Justification": 0, "AutoLeading": 1.2}}
        ],
        "StyleSheetSet": [{"Name": "Normal RGB", "StyleSheetData": {"Font": len(faces), "FontSize": 12.0}}],
        "FontSet": fonts, "SuperscriptSize": 0.583, "SuperscriptPosition": 0.333, "SubscriptSize": 0.583,
        "SubscriptPosition": 0.333, "SmallCapSize": 0.7,
    }  # fmt: skip


@lru_cache(maxsize=64)
def postscript_name(face: Face) -> str:
    """The name by which programs find an installed font, from the font file."""
    font: Any = TTFont(str(face.path), lazy=True)
    return font["name"].getDebugName(6) or face.name


def _engine(value: Any, root: bool = False) -> Any:
    """Plain values as psd-tools' elements of engine data."""
    from psd_tools.psd import engine_data

    if isinstance(value, dict):
        found = (engine_data.EngineData if root else engine_data.Dict)()
        for key, item in value.items():
            found[key] = _engine(item)
        return found
    if isinstance(value, list):
        return engine_data.List([_engine(item) for item in value])
    kinds = {str: engine_data.String, bool: engine_data.Bool, int: engine_data.Integer, float: engine_data.Float}
    return kinds[type(value)](value)
