"""Headers that every answer carries, so that browsers neither guess, frame, remember nor leak it."""

from __future__ import annotations

from starlette.types import Message, Scope

from recsys.settings import get_settings

__all__ = ["secure"]

_ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"frame-ancestors 'none'"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
)
# answers are personal unless their route says otherwise: neither a proxy nor a browser keeps them
_NOT_KEPT = (b"cache-control", b"no-store")
_HTTPS_ONLY = (b"strict-transport-security", b"max-age=31536000")


def secure(scope: Scope, start: Message, *more: tuple[bytes, bytes]) -> None:
    """Add them, and `more`, to the head of an answer (`http.response.start`); what a route set stays."""
    headers = list(start["headers"])
    there = {name.lower() for name, _ in headers}
    headers += [one for one in _ALWAYS if one[0] not in there]
    if _NOT_KEPT[0] not in there and scope["path"].startswith("/api/"):
        headers.append(_NOT_KEPT)
    # over plain http it means nothing, and in development it would lock a browser out of localhost
    if scope.get("scheme") == "https" and get_settings().environment != "development":
        headers.append(_HTTPS_ONLY)
    headers += more
    start["headers"] = headers
