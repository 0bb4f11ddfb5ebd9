"""The steps of `data_tools/build_critic_pairs.py`: draw a poster, answer wrongly, check, match lengths, encode."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

from PIL import Image

from posterkit.datagen.critiques import (
    ERRORS,
    QUESTION,
    WEAKENED,
    CriticPoster,
    check_size,
    draw_critic_poster,
    false_claims,
    inject_error,
    match_length,
    weaken,
)
from posterkit.datagen.engine import Drop
from posterkit.datasets.sample_files import Row, encoded
from posterkit.llm.client import AnswerError, LanguageModel
from posterkit.llm.open_model import opened_once
from posterkit.sizing import Size

SYSTEM = "You judge posters strictly. Say only what you see."
PICTURES = ("target", "weakened")  # keys of a row that name files
_HELD_OUT = 10  # every so many-th pair


@dataclass(frozen=True)
class CriticPair:
    """A pair on its way.

    Attributes:
        weakened: the poster as the image-conditional term shows it, and as the critic saw it for a generated answer.
        kind: what made the rejected side: one of `ERRORS`, or of `WEAKENED`.
        reason: what is wrong with it.
    """

    number: int
    poster: CriticPoster
    weakened: Image.Image
    weakening: str
    kind: str
    rejected: str = ""
    reason: str = ""


@dataclass(frozen=True)
class CriticPosters:
    """Posters, each with how its answer is to be wrong; the same for the same seed and number.

    Args:
        generated: share of the pairs whose rejected side the critic itself gives.
    """

    seed: int
    size: Size
    generated: float = 0.0

    def __post_init__(self) -> None:
        check_size(self.size)

    def __getitem__(self, number: int) -> CriticPair:
        rng = Random(f"{self.seed} critic pair {number}")
        poster = draw_critic_poster(rng, self.size)
        how = rng.choice(WEAKENED)
        kind = how if rng.random() < self.generated else ERRORS[number % len(ERRORS)]
        return CriticPair(number, poster, weaken(poster, how, rng.randrange(2**32)), how, kind)


def answer_wrongly(
    pair: CriticPair, *, seed: int, open_critic: Callable[[], LanguageModel] | None
) -> CriticPair | Drop:
    """Give the pair its rejected side: an injected error, or the critic's answer about the weakened poster."""
    facts = pair.poster.facts
    if pair.kind in WEAKENED:
        assert open_critic is not None
        try:
            question = QUESTION.format(asked=facts.asked)
            return replace(pair, rejected=open_critic().ask(SYSTEM, question, [pair.weakened]).strip())
        except AnswerError as error:
            return Drop("no answer", str(error), fault=True)
    rejected = inject_error(Random(f"{seed} error {pair.number}"), facts, pair.kind)
    return Drop("not possible here", pair.kind) if rejected is None else replace(pair, rejected=rejected)


def match_lengths(pair: CriticPair) -> CriticPair | Drop:
    """Cut the rejected side to the chosen one's length."""
    kept = match_length(pair.rejected, pair.poster.facts.critique())
    return Drop("length", pair.rejected[:80]) if kept is None else replace(pair, rejected=kept)


def drop_true(pair: CriticPair) -> CriticPair | Drop:
    """Keep a pair whose rejected side is false, by the check; an injected error must be found as what it is."""
    found = false_claims(pair.rejected, pair.poster.facts)
    if pair.kind in ERRORS:
        found = [one for one in found if one[0] == pair.kind]
    if not found:
        return Drop("still true", pair.rejected[:80])
    return replace(pair, reason="; ".join(reason for _, reason in found))


def encode_pair(pair: CriticPair, *, seed: int) -> tuple[Row, dict[str, bytes]]:
    """The pair as a row and its two pictures."""
    name, facts = f"critic-{seed}-{pair.number:06d}", pair.poster.facts
    files = {f"{name}.png": encoded(pair.poster.picture), f"{name}.weak.png": encoded(pair.weakened)}
    row = {
        "id": name, "task": "text", "target": f"{name}.png", "weakened": f"{name}.weak.png",
        "weakening": pair.weakening, "prompt": QUESTION.format(asked=facts.asked), "chosen": facts.critique(),
        "rejected": pair.rejected, "kind": pair.kind, "why": pair.reason, "licence": "CC0-1.0",
        "split": "heldout" if pair.number % _HELD_OUT == _HELD_OUT - 1 else "train",
    }  # fmt: skip
    return row, files


@opened_once()
def open_answering_critic(source: str, model: str | None, device: str, temperature: float = 0.2) -> LanguageModel:
    """The critic as BPO asks it, at temperature 0.2.

    Raises:
        ValueError, AnswerError: as `open_language_model`, or no server answers.
    """
    if source.startswith(("http://", "https://")):
        from posterkit.llm.endpoint import Endpoint

        endpoint = Endpoint(source, model, temperature=temperature, max_tokens=256)
        endpoint.reach()
        return endpoint
    from posterkit.llm.local import LocalModel

    return LocalModel(source, device=device, temperature=temperature, max_new_tokens=256)
