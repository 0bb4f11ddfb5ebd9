"""Under which licences a poster's model, LoRAs and fonts stand, as their own files say: may its posters be sold?

    for one in licences_of("black-forest-labs/FLUX.1-schnell", None, ["style.safetensors"], faces):
        print(one.line())

Nothing is guessed: a licence stands in a model card's front matter, in a LICENSE file's heading, or in a font's name
table. What stands nowhere is unknown.
"""

# pyright: standard
from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

from fontTools.ttLib import TTFont, TTLibError
from huggingface_hub import try_to_load_from_cache

from posterkit.documents import read_text
from posterkit.messages import one_line
from posterkit.pipelines.loading import card_head
from posterkit.pipelines.registry import is_hub_id, resolve
from posterkit.pipelines.revision import each_source, path_and_weight
from posterkit.typeset.fonts import FONTS, Face
from posterkit.typeset.placed_text import PlacedText

YES, NO, READ, UNKNOWN = "yes", "no", "read this", "unknown"
# licences whose own words settle it, by SPDX name or as hubs write it; everything else has to be read
_FREE = (
    "apache-2.0", "mit", "bsd", "bsd-2-clause", "bsd-3-clause", "bsl-1.0", "cc0-1.0", "cc-by-4.0", "cc-by-3.0",
    "isc", "ofl-1.1", "ofl", "unlicense", "wtfpl", "zlib",
)  # fmt: skip
_NOT_FREE = re.compile(r"cc-by-nc(-(sa|nd))?-\d\.\d|fair-noncommercial-research-license")
_HEADINGS = (  # the first words of a LICENSE file
    ("Apache License Version 2.0", "apache-2.0"), ("MIT License", "mit"), ("BSD 3-Clause License", "bsd-3-clause"),
    ("BSD 2-Clause License", "bsd-2-clause"), ("CC0 1.0 Universal", "cc0-1.0"),
    ("SIL OPEN FONT LICENSE Version 1.1", "ofl-1.1"), ("Attribution-NonCommercial 4.0 International", "cc-by-nc-4.0"),
)  # fmt: skip
_FILES = ("LICENSE", "LICENSE.md", "LICENSE.txt", "LICENCE", "COPYING")
_MOST = 2**20  # bytes of a licence
_LICENCE, _LICENCE_URL = 13, 14  # of a font's name table
_OFL = re.compile(r"SIL Open Font License,? Version 1\.1|scripts\.sil\.org/OFL|openfontlicense\.org", re.IGNORECASE)


@dataclass(frozen=True)
class Licence:
    """What may be done with something that a poster is made with.

    Attributes:
        what: model, transformer, LoRA or font.
        name: whose licence it is.
        licence: its SPDX name, or what its file calls it; "unknown" where nothing says so.
        sell: whether posters made with it may be sold: "yes", "no", "read this" or "unknown".
        where: where it stands.
    """

    what: str
    name: str
    licence: str
    sell: str
    where: str

    def line(self) -> str:
        """For people."""
        where = f" ({self.where})" if self.where else ""
        return f"{self.what} {self.name}: {self.licence}{where}; may I sell this: {self.sell}"

    def row(self) -> dict[str, str]:
        """As it stands in a record."""
        return {key: value for key, value in asdict(self).items() if value}


def licences_of(
    model: str | None, transformer: str | None, loras: Iterable[str | None], faces: Iterable[Face]
) -> list[Licence]:
    """The licences of everything that a poster is made with, each once."""
    found = [licence_of_weights("model", model)] if model else []
    found += [licence_of_weights("transformer", transformer)] if transformer else []
    found += [licence_of_weights("LoRA", one) for several in loras if several for one in each_source(several)]
    found += [licence_of_font(face) for face in faces]
    return list(dict.fromkeys(found))


def licence_of_weights(what: str, source: str) -> Licence:
    """The licence of a folder, a file or a hub id, by its card or its LICENSE file; nothing is fetched."""
    path, _ = path_and_weight(source)
    name = Path(path).name if Path(path).is_absolute() else path
    place = _on_disk(path)
    if place is None:
        return Licence(what, name, UNKNOWN, UNKNOWN, "its card is not on this machine")
    head = card_head(str(place))
    said, own = (str(head.get(key) or "").strip() for key in ("license", "license_name"))
    link = one_line(str(head.get("license_link") or ""), 200)
    if said and said.lower() not in ("other", UNKNOWN):
        return Licence(what, name, said, _verdict(said), "its card")
    if own or link:
        return Licence(what, name, own or link, READ, f"its card, {link}" if own and link else "its card")
    if found := _heading(place if place.is_dir() else place.parent):
        return Licence(what, name, *found)
    return Licence(what, name, said.lower() or UNKNOWN, READ if said.lower() == "other" else UNKNOWN, "")


def _on_disk(source: str) -> Path | None:
    """The folder or file of a model; of a hub id what its cache has."""
    if source.partition(":")[0] == "mini" or Path(source).exists():
        return Path(resolve(source))
    owner_and_name = source.partition("@")[0].partition(":")[0]
    if not is_hub_id(owner_and_name):
        return None
    found = try_to_load_from_cache(owner_and_name, "README.md")
    return Path(found).parent if isinstance(found, str) else None


@lru_cache(maxsize=64)
def licence_of_font(face: Face) -> Licence:
    """A shipped font's by our table, a user's by its own name table."""
    if face.path.is_relative_to(FONTS):
        return Licence("font", face.family, face.licence, _verdict(face.licence), "shipped with posterkit")
    try:
        with TTFont(face.path, lazy=True, fontNumber=0) as font:
            words = [font["name"].getDebugName(number) or "" for number in (_LICENCE, _LICENCE_URL)]
    except (OSError, TTLibError, KeyError, AttributeError):
        words = []
    if any(_OFL.search(word) for word in words):
        return Licence("font", face.family, "OFL-1.1", YES, "its name table")
    said = next((one_line(word, 120) for word in words if word.strip()), "")
    return Licence("font", face.family, said or UNKNOWN, READ if said else UNKNOWN, "its name table" if said else "")


def faces_of(texts: Iterable[PlacedText]) -> list[Face]:
    """The fonts whose letters stand on a poster, each once."""
    return list(dict.fromkeys(run.face for text in texts for at in text.placed_lines for run in at.line.runs))


def verdict(licences: Iterable[Licence]) -> str:
    """The answer for a whole poster: its worst part's."""
    found = [one.sell for one in licences]
    return next((answer for answer in (NO, UNKNOWN, READ) if answer in found), YES if found else UNKNOWN)


def _verdict(licence: str) -> str:
    name = licence.lower()
    return YES if name in _FREE else NO if _NOT_FREE.fullmatch(name) else READ


def _heading(folder: Path) -> tuple[str, str, str] | None:
    for name in _FILES:
        try:
            words = " ".join(read_text(folder / name, most=_MOST)[:2000].split())
        except (OSError, ValueError):
            continue
        found = next((spdx for heading, spdx in _HEADINGS if heading.lower() in words[:200].lower()), None)
        return (found, _verdict(found), name) if found else (f"see {name}", READ, name)
    return None
