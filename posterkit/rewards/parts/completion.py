"""Did the poster do what its task is about, and not the nothing that looks like it?"""

from __future__ import annotations

import numpy as np
from PIL import Image

from posterkit.metrics.appearance import ramp
from posterkit.rewards.parts.preservation import at_request_size, canvas_of, made_parts
from posterkit.rewards.parts.reference import copied
from posterkit.rewards.reward import PosterReward, RewardResult
from posterkit.schema import PosterRequest

COPY = 0.6, 0.85  # correlation with a reference from which on a poster begins to be a copy, and is one


class Completion(PosterReward):
    """What is made is really made; in [0, 1].

    Extending and filling: the made area is not blank (`filled`), goes on from the seam (`seam`) and is not what needs
    no model, the edge drawn out or the kept part mirrored (`drawn`); their product. The other tasks: the poster is not
    a reference again, be it stretched, cropped, framed or pasted in (`own`).

    What hacks it: anything else is made too: noise that fades in at the seam, another poster, a copy that is turned or
    mirrored. It only shuts the door on doing nothing; the other parts say whether what was made is any good.
    """

    name = "completion"

    def applies(self, request: PosterRequest) -> bool:
        return bool(request.references) and (request.mask_array is None or 0 < (request.mask_array > 127).mean() < 1)

    def score(self, poster: Image.Image, request: PosterRequest) -> RewardResult:
        seen = at_request_size(poster, request)
        if request.mask_array is not None:
            parts = made_parts(seen, *canvas_of(request))
            faults = {
                "filled": "still blank", "seam": "a step all along the seam",
                "drawn": "the kept part's own pixels drawn out or mirrored",
            }  # fmt: skip
            said = "; ".join(faults[name] for name, value in parts.items() if value < 0.5)
            return RewardResult(float(np.prod(list(parts.values()))), parts, said)
        own = 1 - ramp(max(copied(seen, reference) for reference in request.references), *COPY)
        return RewardResult(own, {"own": own}, "" if own > 0.5 else "the reference itself, not a poster made from it")
