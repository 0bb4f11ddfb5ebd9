"""Versions of packages that do not work together, as data. Floors are in pyproject.toml, tested versions in
constraints.txt; `posterkit doctor` reads all three."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

TEXT_ENCODER_LORA = "LoRA on text encoders and vision-language models"


@dataclass(frozen=True)
class BadPair:
    """Versions of two packages that do not work together."""

    versions: dict[str, str]  # for each package the bad ones, such as ">=5.24"
    breaks: str  # what fails
    cure: str  # the command that helps


BAD_PAIRS = (
    # transformers asks for this peft before it puts an adapter on one of its models; there is none yet
    BadPair({"transformers": ">=5.24", "peft": "<0.22"}, TEXT_ENCODER_LORA, 'pip install "transformers<5.24"'),
)


def installed_version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def find_bad_pairs() -> list[tuple[BadPair, str]]:
    """The bad pairs that are installed here, each with a line that names the versions and what fails."""
    from packaging.specifiers import SpecifierSet

    found = []
    for pair in BAD_PAIRS:
        here = {name: installed_version(name) for name in pair.versions}
        bad = {name: SpecifierSet(versions) for name, versions in pair.versions.items()}
        if all(number is not None and bad[name].contains(number, True) for name, number in here.items()):
            names = " and ".join(f"{name} {number}" for name, number in here.items())
            found.append((pair, f"{names} do not work together: {pair.breaks} fails"))
    return found


def check_versions(feature: str) -> None:
    """ValueError where installed packages cannot do this; the line names them and the cure."""
    for pair, line in find_bad_pairs():
        if pair.breaks == feature:
            raise ValueError(f"{line}; {pair.cure}")
