"""One family of errors; each carries the HTTP status and exit code that an edge should answer with.

RecsysError
├── NotFound      404  what was asked for does not exist
├── Conflict      409  it collides with what is already there
├── Invalid       422  the input is wrong; nothing was changed
├── Unauthorized  401  the caller has to log in first
├── Forbidden     403  the caller may not do this
├── Throttled     429  too often; the detail `retry_after` says after how many seconds again
└── Unavailable   503  a part we depend on is down or damaged; try again later
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "Conflict",
    "Forbidden",
    "Invalid",
    "NotFound",
    "RecsysError",
    "Throttled",
    "Unauthorized",
    "Unavailable",
]


class RecsysError(Exception):
    """Something the user should read: what happened, what was expected, what to do.

    Attributes
    ----------
    status
        The HTTP status.
    title
        What happened, in a few words.
    exit_code
        What a command ends with; 2: the input was wrong, 1: anything else.
    message
        The text for the user.
    details
        Further facts by name.
    """

    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, **details: object) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class NotFound(RecsysError):
    """A thing that does not exist."""

    status = 404
    title = "Not found"
    exit_code = 2


class Conflict(RecsysError):
    """A request that contradicts the present state."""

    status = 409
    title = "Conflict"
    exit_code = 2


class Invalid(RecsysError):
    """Input that is not valid."""

    status = 422
    title = "Invalid input"
    exit_code = 2


class Forbidden(RecsysError):
    """A caller without the right to do this."""

    status = 403
    title = "Forbidden"
    exit_code = 2


class Unauthorized(RecsysError):
    """A caller who must authenticate first."""

    status = 401
    title = "Unauthorized"
    exit_code = 2


class Throttled(RecsysError):
    """More requests than the limit allows."""

    status = 429
    title = "Too many requests"


class Unavailable(RecsysError):
    """`public` is what is read over HTTP: messages for operators name addresses, files and commands."""

    status = 503
    title = "Unavailable"

    def __init__(self, message: str, *, public: str | None = None, **details: object) -> None:
        super().__init__(message, **details)
        self.public = public or "A part of this service does not answer now; try again in a moment."
