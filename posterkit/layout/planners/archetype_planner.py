"""The archetypes as a planner: one of a handful of arrangements, with the request's things beside it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from PIL import Image

from posterkit.layout.ground import Ground
from posterkit.layout.layout_request import LayoutRequest
from posterkit.layout.planner import plan
from posterkit.layout.things import place_things
from posterkit.layout.types import Layout, Measurer
from posterkit.prompts import PosterBrief


@dataclass(frozen=True)
class ArchetypePlanner:
    """`posterkit.layout.plan`.

    Args:
        archetype: take this one.
    """

    archetype: str | None = None
    name: str = "archetypes"

    def plan(self, request: LayoutRequest, measurer: Measurer) -> Layout:
        request.check()
        texts = [(index, one) for index, one in enumerate(request.elements) if one.is_text]
        if not texts:
            empty = Layout(*request.size, (), planner=self.name)
            return place_things(empty, request, Ground(request))
        picture = request.picture or Image.new("RGB", request.size, (128, 128, 128))
        layout = plan(
            picture, PosterBrief(texts=[one.text for _, one in texts]), measurer=measurer,
            roles=[one.role for _, one in texts], archetype=self.archetype, align=request.align, avoid=request.avoid,
        )  # fmt: skip
        elements = tuple(replace(one, index=texts[one.index][0]) for one in layout)
        return place_things(replace(layout, elements=elements, planner=self.name), request, Ground(request))
