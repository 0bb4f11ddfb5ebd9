"""The texts that a poster must show, from a request or from a training sample."""

from __future__ import annotations

from collections import Counter

from posterkit.metrics.ocr import words
from posterkit.prompts import quoted_texts
from posterkit.schema import TEXT, Box, PosterRequest, PosterSample
from posterkit.sizing import Size

VISIBLE = 0.8  # of a text's box; from so much of it in the kept pixels on, the words can be read there


def expected_texts(request: PosterRequest) -> tuple[str, ...] | None:
    """The texts that must stand on the poster: those that the prompt quotes, and the request's; None for neither.

    A quoted text that is among the request's, or made up of their words, is taken once, in the request's spelling.
    """
    quoted = quoted_texts(request.as_instruction())
    if request.texts is None:
        return tuple(quoted) or None
    known = {tuple(words(text)) for text in request.texts}
    left, more = Counter(word for text in request.texts for word in words(text)), []
    for text in quoted:
        found = Counter(words(text))
        if found <= left or tuple(words(text)) in known:  # however the request divides its texts
            left -= found
        else:
            more.append(text)
    return (*more, *request.texts)


def request_from_sample(sample: PosterSample) -> PosterRequest:
    """The request that a sample of a set answers, without the finished poster.

    Its texts are those that its model can know: quoted in the instruction, or visible in the input images. The words
    of the others are spare.
    """
    quoted = {tuple(words(text)) for text in quoted_texts(sample.instruction)}
    known = [
        text for text in sample.texts
        if tuple(words(text.text)) in quoted or sample.task == "rescaling" or _is_kept(sample, text.box)
    ]  # fmt: skip
    height, width = sample.target.shape[:2]
    return PosterRequest(
        sample.caption if sample.task == TEXT else sample.words or "",
        task=sample.task, texts=[text.text for text in known], images=sample.references, mask=sample.mask,
        size=Size(width, height), id=sample.id, instruction=sample.instruction, caption=sample.caption,
        placed=sample.placed, regions=sample.regions,
        spare=sum(len(words(text.text)) for text in sample.texts if text not in known),
    )  # fmt: skip


def _is_kept(sample: PosterSample, box: Box | None) -> bool:
    if sample.mask is None or box is None:
        return False
    x0, y0, x1, y1 = box
    return float((sample.mask[y0:y1, x0:x1] == 0).mean()) >= VISIBLE if x1 > x0 and y1 > y0 else False
