"""Did the poster do what its task is about, and not the nothing that looks like it?"""

from __future__ import annotations

import numpy as np
from PIL import Image

from posterkit.rewards.parts.part import Part, pixels, share
from posterkit.rewards.parts.preservation import canvas_of, made_parts
from posterkit.rewards.parts.reference import copied
from posterkit.rewards.reward import RewardResult
from posterkit.schema import PosterRequest

COPY = 0.6, 0.85  # correlation with a reference from which on a poster begins to be a copy, and is one


class Completion(Part):
    """What is made is really made; in [0, 1].

    Extending and filling: the made area is not blank (`filled`), goes on from the seam (`seam`) and is not what needs
    no model, the edge drawn out or the kept part mirrored (`drawn`); their product. The other tasks: the poster is not
    a reference again, be it stretched, cropped, framed or pasted in (`own`).

    What hacks it: anything else is made too: noise that fades in at the seam, another poster, a copy that is turned or
    mirrored. It only shuts the door on doing nothing; the other parts say whether what was made is any good.
    """

    name = "completion"

    def applies(self, row: PosterRequest) -> bool:
        return bool(row.references) and (row.mask_array is None or 0 < (row.mask_array > 127).mean() < 1)

    def judge(self, poster: Image.Image, row: PosterRequest) -> RewardResult:
        seen = pixels(poster, row)
        if row.mask_array is not None:
            parts = made_parts(seen, *canvas_of(row))
            faults = {
                "filled": "still blank", "seam": "a step all along the seam",
                "drawn": "the kept part's own pixels drawn out or mirrored",
            }  # fmt: skip
            said = "; ".join(faults[name] for name, value in parts.items() if value < 0.5)
            return RewardResult(float(np.prod(list(parts.values()))), parts, said)
        own = 1 - share(max(copied(seen, reference) for reference in row.references), *COPY)
        return RewardResult(own, {"own": own}, "" if own > 0.5 else "the reference itself, not a poster made from it")
