"""Questions about identities on posters, in PVIT's form (arXiv 2410.07113): names are introduced by pictures.

    Picture 1 shows Velmo. Pictures 2 and 3 show Nurika. The last picture is a poster. Where does Nurika stand?

Five kinds of questions; and four kinds of negatives, to which the answer is that the name is not there, or was never
introduced. PVIT without them refuses next to nothing (1.1 % against 99.8 %).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

import numpy as np
from PIL import Image

from posterkit.critic.rules import place
from posterkit.datagen.critiques import check_size
from posterkit.datagen.identities import IdentityPool, SyntheticIdentities, split_of
from posterkit.datagen.prompts import THEMES, draw_texts, with_article
from posterkit.datasets.sample_files import Row, encoded
from posterkit.prompts import PosterBrief
from posterkit.prompts.scene import Scene
from posterkit.schema import Box, PosterSample
from posterkit.sizing import Size
from posterkit.synthetic import background_name
from posterkit.synthetic.studio import studio_scene
from posterkit.tasks import TASKS
from posterkit.typeset.poster import typeset

SYSTEM = "You know what you were shown, by its name. Answer about the poster, and say so where a name is not on it."
QUESTIONS = ("describe", "choice", "free", "reason", "copy")
NEGATIVES = ("absent", "unknown", "lookalike", "swapped")
ABSENT, UNKNOWN = "{name} is not on this poster.", "{name} was not introduced."
LEAST_NEGATIVE = 0.25
MOST_REFERENCES = 4
PLACES = ("on the left", "on the right", "in the middle", "at the bottom", "at the top", "at the bottom left",
          "at the bottom right", "at the top left", "at the top right")  # fmt: skip
_STARTS = (
    "Vel",
    "Nur",
    "Tam",
    "Bor",
    "Kel",
    "Zim",
    "Por",
    "Lun",
    "Dar",
    "Fen",
    "Gal",
    "Hos",
    "Jov",
    "Mir",
    "Ral",
    "Sib",
)
_ENDS = ("mo", "ika", "ato", "une", "ilo", "esa", "oro", "ani", "udo", "eki", "ima", "osa")


class _Scene(NamedTuple):
    """A poster, what stands on it where, its title and its ground's colour."""

    picture: Image.Image
    boxes: tuple[Box, ...]
    title: str
    background: str


@dataclass(frozen=True)
class IdentityQuestion:
    """A question about a name, its pictures in the prompt's order, and the true answer."""

    id: str
    images: tuple[Image.Image, ...]  # references, then the poster
    prompt: str
    answer: str
    question: str  # one of `QUESTIONS`
    negative: str | None  # one of `NEGATIVES`, or None where the question can be answered
    names: tuple[str, ...]  # that were introduced, and the one asked about last
    identity: int  # number of the one that is asked about; `kind` and `consent` are its own
    kind: str
    consent: str
    split: str
    box: Box | None  # where it stands on the poster; None where it does not
    caption: str  # what the poster shows, with `<name>` in the identity's place; empty for negatives
    noun: str
    own: tuple[int, ...] = ()  # numbers of the pictures that show it; none where it was not introduced

    @property
    def references(self) -> int:
        return len(self.images) - 1


def names_of(split: str) -> list[str]:
    """Invented names; none is of both splits, and all syllables are of both."""
    kept = [f"{start}{end}" for i, start in enumerate(_STARTS) for j, end in enumerate(_ENDS)
            if ((i + j) % 4 == 0) == (split == "heldout")]  # fmt: skip
    return kept


@dataclass(frozen=True)
class IdentityQuestions:
    """Questions by number, with one to four references in turn; every fourth is held out, with identities of its own.

    Args:
        pool: the identities; where there are few, strangers are drawn.
        negatives: share of questions that cannot be answered, the four kinds in turn.
        careless: lets it fall below `LEAST_NEGATIVE`.

    Raises:
        ValueError: the share is too small and nobody asked for that.
    """

    pool: IdentityPool
    seed: int = 0
    size: Size = Size(192, 288)  # noqa: RUF009  # a tuple
    negatives: float = 0.4
    careless: bool = False
    questions: tuple[str, ...] = QUESTIONS

    def __post_init__(self) -> None:
        check_size(self.size)
        if not self.careless and not LEAST_NEGATIVE <= self.negatives < 1:
            raise ValueError(
                f"negatives {self.negatives:g}: at least {LEAST_NEGATIVE:g} of the questions must have no answer, or "
                "a critic learns never to refuse; --few-negatives takes that"
            )

    def __getitem__(self, number: int) -> IdentityQuestion:
        rng = Random(f"{self.seed} identity question {number}")
        split = "heldout" if number % 4 == 3 else "train"
        asked = self._draw(rng, split)
        noun = self.pool.noun(asked)  # what two have in common may be all that there is to see of them
        others = [n for n in self._numbers(split) if n != asked
                  and (self.pool.noun(n) != noun or noun == self.pool.kind(asked))]  # fmt: skip
        block = number // 4
        references = 1 + block % MOST_REFERENCES
        negative = NEGATIVES[block // MOST_REFERENCES % len(NEGATIVES)] if rng.random() < self.negatives else None
        if negative == "swapped":
            references = max(2, references)
        others = rng.sample(others, min(len(others), 2))
        known = [asked, *others[: rng.randint(negative == "swapped", min(2, references - 1))]]
        known = known[:references]
        if negative == "unknown":
            known = known[1:] or others[:1] or known
        names = dict(zip([asked, *others], rng.sample(names_of(split), 1 + len(others)), strict=True))
        images, said, owners = self._introduce(rng, known, names, references)
        scene, box, where = self._scene(rng, asked, others, known, negative)
        kind = rng.choice(self.questions)
        name = names[asked]
        prompt, answer = _question(rng, kind, name, noun, where or rng.choice(PLACES[:2]), scene)
        if negative:
            answer = (UNKNOWN if negative == "unknown" else ABSENT).format(name=name)
        caption = "" if negative else (
            f'A poster of <name>, {with_article(noun)}, {where} on {with_article(scene.background)} ground, with the '
            f'title "{scene.title}".'
        )  # fmt: skip
        prompt = f"{said} The last picture is a poster. {prompt}"
        return IdentityQuestion(
            f"identity-{self.seed}-{number:06d}", (*images, scene.picture), prompt,
            answer, kind, negative, (*(names[n] for n in known if n != asked), name), asked, self.pool.kind(asked),
            self.pool.consent, split, box, caption, noun, tuple(n for n, one in enumerate(owners) if one == asked),
        )  # fmt: skip

    def _numbers(self, split: str) -> list[int]:
        return [n for n in range(len(self.pool)) if split_of(n) == split] or list(range(len(self.pool)))

    def _draw(self, rng: Random, split: str) -> int:
        return rng.choice(self._numbers(split))

    def _introduce(
        self, rng: Random, known: Sequence[int], names: dict[int, str], references: int
    ) -> tuple[list[Image.Image], str, list[int]]:
        """Pictures of those that are known, in an order of their own, the words that name them, and whose each is."""
        counts = dict.fromkeys(known, 1)
        for _ in range(references - len(known)):
            counts[rng.choice(list(known))] += 1
        images: list[Image.Image] = []
        owners: list[int] = []
        said = []
        for one in rng.sample(list(known), len(known)):
            first = len(images) + 1
            images += self.pool.references(one, counts[one], rng)
            owners += [one] * counts[one]
            numbers = [str(number) for number in range(first, len(images) + 1)]
            listed = numbers[0] if len(numbers) == 1 else f"{', '.join(numbers[:-1])} and {numbers[-1]}"
            said.append(f"Picture{'s' * (len(numbers) > 1)} {listed} show{'s' * (len(numbers) == 1)} {names[one]}.")
        return images, " ".join(said), owners

    def _scene(
        self, rng: Random, asked: int, others: Sequence[int], known: Sequence[int], negative: str | None
    ) -> tuple[_Scene, Box | None, str]:
        """The poster: with the identity, or with what the negative has in its place; often something stands beside."""
        introduced = [n for n in known if n != asked]
        strangers = [n for n in others if n not in known]
        if negative == "lookalike":
            first = self.pool.lookalike(asked, rng)
        elif negative == "swapped" and introduced:
            first = self.pool.cutout(introduced[0], rng)
        elif negative == "absent" or negative == "swapped":
            first = self.pool.cutout(strangers[0], rng) if strangers else _stranger(rng)
        else:  # the name that was never introduced may well be there
            first = self.pool.cutout(asked, rng)
        things = [first]
        if rng.random() < 0.6:
            beside = strangers[-1] if strangers and negative != "absent" else None
            things.append(_stranger(rng) if beside is None else self.pool.cutout(beside, rng))
        order = rng.sample(range(len(things)), len(things))
        scene = draw_scene(rng, [things[n] for n in order], self.size)
        if negative:
            return scene, None, ""
        x0, y0, x1, y1 = box = scene.boxes[order.index(0)]
        return scene, box, place((x0 + x1) / 2 / self.size.width, (y0 + y1) / 2 / self.size.height)


def draw_scene(rng: Random, things: Sequence[Image.Image], size: Size) -> _Scene:
    """A poster on which things (RGBA) stand side by side below a title, or above it."""
    top = rng.random() < 0.5
    where = rng.choice(("left", "right", "bottom")) if len(things) == 1 and size.width > 96 else "bottom"
    setup = studio_scene(Scene("", place=where if top else "top"), things, size, rng.randrange(2**31))
    title, _ = draw_texts(rng, rng.choice([*THEMES]), "en")
    edge = round(0.04 * size.width)
    y0, y1 = (edge, round(0.2 * size.height)) if top else (round(0.8 * size.height), size.height - edge)
    picture = setup.picture()
    background = background_name(np.asarray(picture))
    if size.width > 96:  # smaller letters are none
        box = (edge, y0, size.width - edge, y1)
        picture = typeset(picture, PosterBrief(texts=[title]), boxes=(box,)).image
    return _Scene(picture, setup.boxes, title, background)


def _stranger(rng: Random) -> Image.Image:
    """Something that is none of the identities."""
    pool = SyntheticIdentities(3 * 2**20, 2**31)
    return pool.cutout(rng.randrange(len(pool)), rng)


def _question(rng: Random, kind: str, name: str, noun: str, where: str, scene: _Scene) -> tuple[str, str]:
    """A question of a kind about a name, and its answer where it can be answered."""
    if kind == "describe":
        ground = with_article(scene.background)
        return f"Describe {name} on the poster.", f"{name}, {with_article(noun)}, stands {where} on {ground} ground."
    if kind == "choice":
        options = rng.sample([one for one in PLACES if one != where], 3)
        options.insert(rng.randrange(4), where)
        listed = " ".join(f"{letter}: {option}." for letter, option in zip("ABCD", options, strict=True))
        return f"Where does {name} stand? {listed}", f"{'ABCD'[options.index(where)]}"
    if kind == "free":
        return f"Where does {name} stand?", f"{name} stands {where}."
    if kind == "reason":
        above = "above" if "bottom" in where or not where.startswith("at") else "below"
        return (f"Why does {name} stand where it does?",
                f"{name} stands {where}, so that the title {above} keeps calm ground.")  # fmt: skip
    return f"Write a line of copy for {name}.", f"{scene.title}: {name} is here."


def encode_question(one: IdentityQuestion) -> tuple[Row, dict[str, bytes]]:
    """A question as its row and its pictures."""
    files = {f"{one.id}.{n}.png": encoded(image.convert("RGB")) for n, image in enumerate(one.images)}
    row = {
        "id": one.id, "task": "text", "images": list(files), "prompt": one.prompt, "answer": one.answer,
        "question": one.question, "negative": one.negative, "references": one.references, "names": list(one.names),
        "identity": one.identity, "kind": one.kind, "consent": one.consent, "box": one.box, "caption": one.caption,
        "licence": "CC0-1.0" if one.consent == "synthetic" else "unknown", "split": one.split,
    }  # fmt: skip
    return row, files


def as_sample(one: IdentityQuestion, trigger: str | None = None) -> PosterSample | None:
    """The record as a training sample of id_driven: references in, poster out; None for negatives.

    Args:
        trigger: stands for the name in the caption; None takes the noun alone.
    """
    known = len(one.names) == 1
    if one.negative or not known or one.box is None:
        return None
    who = f"{trigger}, {with_article(one.noun)}" if trigger else with_article(one.noun)
    caption = one.caption.replace(f"<name>, {with_article(one.noun)}", who)
    return PosterSample(
        one.id, "id_driven", np.asarray(one.images[-1].convert("RGB")),
        [np.asarray(image.convert("RGB")) for image in one.images[:-1]], caption=caption,
        instruction=TASKS["id_driven"].instruction(caption), words=caption, theme=one.kind, source=one.consent,
        licence="CC0-1.0" if one.consent == "synthetic" else "unknown", split=one.split, subject=one.box,
    )  # fmt: skip
