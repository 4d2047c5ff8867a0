"""Errors of the client.

ClientError
├── NoAnswer       no response that counts, after all attempts
└── ProblemAnswer  the API refused the request: a problem (RFC 9457)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["ClientError", "NoAnswer", "ProblemAnswer"]


class ClientError(Exception):
    """What came back is no answer of the API; the base of all errors of this package."""


class NoAnswer(ClientError):
    """No response came in time, or 429, 502, 503 and 504 at every attempt.

    Whether the API handled the request is unknown. To send the same `ShopEvent` objects again is safe.
    """


class ProblemAnswer(ClientError):
    """The API answered with an error.

    Attributes
    ----------
    status
        The HTTP status: 401 and 403 for keys and tokens, 404 for what does not exist, 422 for wrong input.
    title, detail
        What happened, in a few words and in a sentence.
    errors
        For 422, the fields: mappings with `field` and `expected`.
    request_id
        The id of the request in the service's log.
    members
        All members of the problem.
    """

    def __init__(self, status: int, members: Mapping[str, Any]) -> None:
        self.status = status
        self.title = str(members.get("title", ""))
        self.detail = str(members.get("detail", ""))
        self.errors: Sequence[Mapping[str, str]] = members.get("errors") or ()
        self.request_id: str | None = members.get("request_id")
        self.members = members
        fields = "".join(f"; {each.get('field')}: {each.get('expected')}" for each in self.errors)
        super().__init__(f"{status} {self.title}: {self.detail}{fields}")
