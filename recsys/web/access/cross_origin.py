"""Cross-origin requests of web pages with a publishable key (the CORS protocol of the Fetch standard).

A preflight carries no key: it is answered for the origins of active publishable keys, on the paths that such
a key opens. The request itself is answered readably only with a key that is for its origin.
"""

from __future__ import annotations

from collections.abc import Collection

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from recsys.domains.users.api_keys.api_key_cache import KeyRing
from recsys.web.access.authorization import key_of
from recsys.web.access.guest_sessions import GUEST_HEADER
from recsys.web.access.pages import PAGE_ROUTES, is_page_path
from recsys.web.errors import problem

__all__ = ["EXPOSED_HEADERS", "PageOrigins"]

EXPOSED_HEADERS = ("ETag", "Retry-After", "RateLimit", "RateLimit-Policy", "X-Request-ID")
"""The headers of answers that scripts of other origins may read."""
_REQUEST_HEADERS = ("Authorization", "Content-Type", GUEST_HEADER, "X-Api-Key", "X-Request-ID")
_PREFLIGHT_SECONDS = 600
_METHODS = sorted({method for method, _ in PAGE_ROUTES})


class PageOrigins:
    """Plain ASGI, outside of everything: a page must be able to read errors as well.

    Attributes
    ----------
    app
        The application inside.
    ring
        The active keys.
    origins
        Those of the setting `api.cors_origins`, which the application inside answers.
    """

    def __init__(self, app: ASGIApp, *, ring: KeyRing, origins: Collection[str]) -> None:
        self.app = app
        self.ring = ring
        self.origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a preflight, or let the application answer readably."""
        origin = _header(scope, b"origin") if scope["type"] == "http" else None
        if origin is None or origin in self.origins:
            await self.app(scope, receive, send)
        elif scope["method"] == "OPTIONS" and _header(scope, b"access-control-request-method") is not None:
            await self._answer_preflight(origin, scope, receive, send)
        else:
            await self.app(scope, receive, _readable(origin, scope, send))

    async def _answer_preflight(self, origin: str, scope: Scope, receive: Receive, send: Send) -> None:
        if not self.ring.has_origin(origin) or not is_page_path(scope["path"]):
            refused = problem(
                403,
                "Web pages of this origin may not ask this: no active publishable key is for them "
                "(`recsys keys publish NAME --origin ORIGIN`), or publishable keys do not open it.",
                title="Forbidden",
                headers={"Vary": "Origin"},
            )
            await refused(scope, receive, send)
            return
        headers = [
            *_allowing(origin),
            (b"access-control-allow-methods", ", ".join(_METHODS).encode("ascii")),
            (b"access-control-allow-headers", ", ".join(_REQUEST_HEADERS).encode("ascii")),
            (b"access-control-max-age", str(_PREFLIGHT_SECONDS).encode("ascii")),
        ]
        await send({"type": "http.response.start", "status": 204, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


def _readable(origin: str, scope: Scope, send: Send) -> Send:
    async def send_readable(message: Message) -> None:
        if message["type"] == "http.response.start":
            key = key_of(scope)
            if key is not None and origin in key.origins:
                exposed = (b"access-control-expose-headers", ", ".join(EXPOSED_HEADERS).encode("ascii"))
                message["headers"] = [*message["headers"], *_allowing(origin), exposed]
        await send(message)

    return send_readable


def _allowing(origin: str) -> list[tuple[bytes, bytes]]:
    return [(b"access-control-allow-origin", origin.encode("latin-1")), (b"vary", b"Origin")]


def _header(scope: Scope, name: bytes) -> str | None:
    for each, value in scope["headers"]:
        if each == name:
            text: str = value.decode("latin-1")
            return text
    return None
