"""What a model paints over: a sketch of the user's, or a drawing of the request."""

# pyright: standard
from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from PIL import Image, ImageOps

from posterkit.layout import Layout
from posterkit.pipelines.loading import CardDraft
from posterkit.schema import ImageSource, PosterRequest, picture_of
from posterkit.sizing import SHAPE_TOLERANCE, Size

if TYPE_CHECKING:
    from posterkit.synthetic.layouts import TitleLayout

DRAWN = ("text", "rescaling", "style_driven", "layout_driven")  # tasks whose draft is a drawing of the request
STRENGTH = 0.6  # of a draft where neither request nor checkpoint says how far it is painted over


@dataclass(frozen=True)
class DraftPlan:
    """A draft, settled."""

    strength: float  # how much of it is painted anew, in (0, 1]
    sketch: ImageSource | None = None  # the user's; None draws the request
    layout: TitleLayout | None = None  # where a drawing has its subject, and room for texts

    def picture(self, request: PosterRequest, size: Size) -> Image.Image:
        """The picture to paint over, at the size that the model draws.

        Args:
            request: as the user wrote it, with the seed of this very poster.
        """
        if self.sketch is None:
            from posterkit.generate.reference_look import look_of, rescaled  # likewise
            from posterkit.synthetic.scene_draft import draft

            if request.task == "rescaling":
                return rescaled(request.pictures()[0], size)
            look = look_of(request)
            return draft(request, size, **(look if self.layout is None else {"layout": self.layout, **look}))
        sketch = picture_of(self.sketch)
        if abs(sketch.width / sketch.height / size.aspect - 1) > SHAPE_TOLERANCE:
            warnings.warn(f"the draft is {Size(*sketch.size)}; it is cropped to the poster's shape", stacklevel=2)
        return ImageOps.fit(sketch, size, Image.Resampling.LANCZOS)


def plan_draft(
    request: PosterRequest, default: CardDraft | None, lettered: bool, preserved: bool = False
) -> DraftPlan | None:
    """The draft that a request is painted over; None where it begins from noise.

    Args:
        default: what the checkpoint's card says; None where its posters begin from noise.
        lettered: the model letters the poster, which it cannot do over a draft without letters.
        preserved: the poster shows cut-out subjects; their studio is its draft.

    Raises:
        ValueError: there is a strength, and no draft.
    """
    word = request.draft if isinstance(request.draft, str) else None  # an array cannot be compared with a word
    sketch = None if word in ("auto", "none") else request.draft
    own = default is not None and not lettered and not request.regional  # regions steer what begins from noise
    drawn = word == "auto" or (request.draft is None and own)
    if sketch is None and not (drawn and (preserved or request.task in DRAWN) and not request.feedback):
        if request.strength is not None:
            raise ValueError(f"strength {request.strength} paints over a draft, and there is none")
        return None
    return DraftPlan(request.strength or (default.strength if default else STRENGTH), sketch)


def drawn_after(plan: Layout) -> TitleLayout | None:
    """Where a drawing after a plan has its subject, and room for texts; None where the plan has no subject.

    The room is a title's and what stands with it; texts on the subject's other side need calm ground, no room.
    """
    from posterkit.synthetic.layouts import TitleLayout  # start-up must not wait for it

    subject = next((one.box for one in plan if one.role == "subject"), None)
    if subject is None or not plan.texts:
        return None
    first = next((one for one in plan.texts if one.role == "title"), plan.texts[0])
    beside = [one.box for one in plan.texts if one.group == first.group and not one.box.overlaps(subject)]
    left, top, right, bottom = zip(*(beside or [first.box]), strict=True)
    width, height = plan.size
    title, subject = (
        (box[0] / width, box[1] / height, box[2] / width, box[3] / height)
        for box in ((min(left), min(top), max(right), max(bottom)), subject)
    )
    return TitleLayout("reference", title, first.align, subject, "")


def with_draft(request: PosterRequest, plan: DraftPlan, original: PosterRequest) -> PosterRequest:
    """A request as the pipeline takes it, with its draft as a picture."""
    assert request.size is not None
    picture = plan.picture(replace(original, seed=request.seed), request.size)
    return replace(request, draft=picture, strength=plan.strength)
