"""How much a client may ask for."""

from __future__ import annotations

from dataclasses import dataclass

from posterkit.app.service_errors import ServiceError
from posterkit.schema import PosterRequest


@dataclass(frozen=True)
class Limits:
    """What one request, and all of them together, may cost."""

    body: int = 64 * 2**20  # bytes of a request, uploads and all
    body_seconds: float = 120.0  # for a whole body, and for each piece of a reply
    pixels: int = 64 * 2**20  # of one uploaded picture, and of a poster
    queue: int = 32  # posters that wait, those whose requests are still being read among them
    prompt: int = 8000  # letters of a request's words, texts and all
    steps: int = 400  # denoising steps of a request, all its candidates together
    posters: int = 10  # of one request
    kept: int = 100  # finished jobs whose results can be fetched
    kept_seconds: float = 3600.0  # for so long at most
    connections: int = 512  # at once

    def check(self, request: PosterRequest) -> None:
        """ServiceError where a request's words are too long or its poster too large."""
        words = (request.prompt, request.negative_prompt or "", *(request.texts or ()))
        if (letters := sum(map(len, words))) > self.prompt:
            raise ServiceError(400, f"{letters} letters of words; the limit is {self.prompt}", "too_long")
        width, height = request.size or (None, None)
        if width and height and width * height > self.pixels:
            large = f"{width}x{height} is {width * height / 2**20:.1f} megapixels"
            raise ServiceError(400, f"{large}; the limit is {self.pixels / 2**20:g}", "too_large")

    def check_steps(self, steps: int) -> None:
        """ServiceError where a request takes too many denoising steps."""
        if steps > self.steps:
            raise ServiceError(400, f"{steps} denoising steps in all; the limit is {self.steps}", "too_many_steps")
