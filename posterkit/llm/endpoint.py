"""A language model behind an OpenAI-compatible endpoint (vLLM, llama.cpp, Ollama, SGLang, hosted ones)."""

from __future__ import annotations

import base64
import io
import math
import threading
from collections.abc import Sequence
from typing import Any

from posterkit.image_io import reduced
from posterkit.llm.client import IMAGE_SIDE, AnswerError, Images, Schema
from posterkit.llm.http import JsonClient, RequestRefused
from posterkit.messages import one_line

CHAT = "/chat/completions"


class Endpoint:
    """An OpenAI-compatible chat endpoint; one may be shared by several threads.

    Pictures go as JPEG (quality 95, full colour) in data URLs. A schema goes as `response_format`; an endpoint that
    refuses that (400, 422) gets questions without it from then on.

    Args:
        url: such as `http://localhost:8000/v1`; the part from `/chat/completions` on may be there or not.
        model: the model's name there; None takes the first one that the endpoint lists.
        api_key: sent as a bearer token; None takes the environment variable `POSTERKIT_API_KEY`, if there is one.
        timeout: seconds for one try, from connecting to the last byte.
        retries: further tries where the endpoint cannot be reached, is busy or fails (429, 5xx).
        pause: seconds before the first further try; doubled each time. A longer Retry-After is heeded, up to 60 s.
        temperature, max_tokens: of the answer.
        image_side: longer side in pixels that pictures are reduced to; what is smaller stays as it is.

    Raises:
        ValueError: the URL is not one, or the key cannot be sent.
    """

    def __init__(
        self,
        url: str,
        model: str | None = None,
        *,
        api_key: str | None = None,
        timeout: float = 120.0,
        retries: int = 2,
        pause: float = 1.0,
        temperature: float = 0.6,
        max_tokens: int = 4096,
        image_side: int = IMAGE_SIDE,
    ) -> None:
        self._client = JsonClient(url, api_key=api_key, timeout=timeout, retries=retries, pause=pause)
        self.url = self._client.url.removesuffix(CHAT)
        if self.url.count("/") == 2:
            self.url += "/v1"
        self._client.url = self.url
        self.model, self.temperature, self.max_tokens, self.image_side = model, temperature, max_tokens, image_side
        self._naming = threading.Lock()
        self._takes_schemas = True

    @property
    def name(self) -> str:
        return f"{self.model} at {self.url}" if self.model else self.url

    def ask(self, system: str, user: str, images: Images = (), schema: Schema | None = None) -> str:
        """The answer to one question; AnswerError where there is none."""
        body = self._body(system, user, images)
        if schema is None or not self._takes_schemas:
            return self._content(self._client.post(CHAT, body))
        form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}
        try:
            reply = self._client.post(CHAT, body | {"response_format": form})
        except RequestRefused:
            reply = self._client.post(CHAT, body)
            self._takes_schemas = False  # the same question without it is answered, so it was that
        return self._content(reply)

    def choice_probabilities(
        self, system: str, questions: Sequence[str], choices: Sequence[str], images: Images = ()
    ) -> list[list[float]]:
        """The probability of each choice among all of them, by the `logprobs` of the first token.

        Where the endpoint gives none, the choice that it answers has probability 1. Raises as the protocol's.
        """
        bodies = [self._body(system, question, images) | {"max_tokens": 1} for question in questions]
        return [self._probabilities(body, choices) for body in bodies]

    def _probabilities(self, body: dict[str, Any], choices: Sequence[str]) -> list[float]:
        try:
            reply = self._client.post(CHAT, body | {"logprobs": True, "top_logprobs": 20})
        except RequestRefused:
            reply = self._client.post(CHAT, body)
        content = self._content(reply)
        try:
            first = reply["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
            tokens = [(one["token"].strip(), math.exp(one["logprob"])) for one in first]
        except (KeyError, IndexError, TypeError, AttributeError):
            tokens = [(content.strip(), 1.0)]
        found = [sum(probability for token, probability in tokens if token == choice) for choice in choices]
        if not sum(found):
            raise AnswerError(f"{self.name}: answers {one_line(content)!r}; {', '.join(choices)} are accepted")
        return [probability / sum(found) for probability in found]

    def _body(self, system: str, user: str, images: Images) -> dict[str, Any]:
        content: Any = []
        for image in images:
            file = io.BytesIO()
            reduced(image, self.image_side).save(file, "JPEG", quality=95, subsampling=0)
            url = f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
            content.append({"type": "image_url", "image_url": {"url": url}})
        content = [*content, {"type": "text", "text": user}] if content else user
        return {
            "model": self.find_model(),
            "messages": [{"role": "system", "content": system}, {"role": "user", "content": content}],
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
        }

    def _content(self, reply: Any) -> str:
        try:
            content = reply["choices"][0]["message"]["content"]
        except (KeyError, IndexError, TypeError):
            content = None
        if not isinstance(content, str) or not content.strip():
            raise AnswerError(f"{self.url}: the reply holds no text at choices[0].message.content")
        return content

    def find_model(self) -> str:
        """The model's name; the first one that the endpoint lists where none was given.

        Raises:
            AnswerError: it cannot be reached, or names none.
        """
        with self._naming:
            if self.model is None:
                reply = self._client.get("/models")
                try:
                    name = reply["data"][0]["id"]
                except (KeyError, IndexError, TypeError):
                    name = None
                if not isinstance(name, str):
                    raise AnswerError(f"{self.url}/models: names no model; name one yourself")
                self.model = one_line(name)
            return self.model

    def reach(self) -> None:
        """AnswerError where no server answers; the answer does not matter, since not all endpoints list models."""
        self._client.reach("/models")
