"""Errors that a client is told, in the form that OpenAI's clients read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from posterkit.messages import error_line
from posterkit.safety.decision import Refused

_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}


class ServiceError(Exception):
    """What a client did wrong, or why it must wait.

    Args:
        status: of HTTP.
        message: one line.
        code: a word for programs.
        retry: seconds after which another try makes sense.
        details: more values for the client.
    """

    def __init__(
        self, status: int, message: str, code: str | None = None, *, retry: int | None = None, **details: Any
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.retry, self.details = status, code, retry, details

    def body(self) -> dict[str, Any]:
        """As JSON has it."""
        kind = _TYPES.get(self.status) or ("server_error" if self.status >= 500 else "invalid_request_error")
        error = {"message": str(self), "type": kind, "param": None, "code": self.code, **self.details}
        return {"error": error}


def service_error(error: Exception, folder: Path | None = None) -> ServiceError:
    """An error of the maker as a client is told it; the server's own folder is not named.

    A ValueError is the request's fault, all else the server's.
    """
    if isinstance(error, ServiceError):
        return error
    line = error_line(error)
    if folder is not None:
        line = line.replace(f"{folder}/", "")
    if isinstance(error, Refused):
        decisions = [one.row() for one in error.decisions if one.action != "allow"]
        return ServiceError(400, line, "content_policy_violation", decisions=decisions)
    if isinstance(error, ValueError):
        return ServiceError(400, line, "invalid_request")
    return ServiceError(500, line, "failed")
