"""How much a client may ask for."""

from __future__ import annotations

from dataclasses import dataclass

from posterkit.app.service_errors import ServiceError
from posterkit.schema import PosterRequest


@dataclass(frozen=True)
class Limits:
    """What one request, and all of them together, may cost.

    Attributes:
        body: bytes of a request, uploads and all.
        body_seconds: for a whole body, and for each piece of a reply.
        pixels: of one uploaded picture, and of a poster.
        queue: posters that wait, those whose requests are still being read among them.
        prompt: letters of a request's words, texts and all.
        steps: denoising steps of a request, all its candidates together.
        posters: of one request.
        kept: finished jobs whose results can be fetched.
        kept_seconds: for so long at most.
        connections: at once.
    """

    body: int = 64 * 2**20
    body_seconds: float = 120.0
    pixels: int = 64 * 2**20
    queue: int = 32
    prompt: int = 8000
    steps: int = 400
    posters: int = 10
    kept: int = 100
    kept_seconds: float = 3600.0
    connections: int = 512

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
