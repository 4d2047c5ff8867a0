"""Bodies as clients send them: compressed with gzip, and JSON that a browser's beacon calls plain text."""

from __future__ import annotations

import zlib

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["BEACON_PATHS", "BodyFault", "PlainBody"]

BEACON_PATHS = frozenset(
    {
        "/api/v1/analytics/collect",
        "/api/v1/interactions",
        "/api/v1/recommendations/feedback",
        "/api/v1/search/clicks",
    }
)
"""Routes of events: `navigator.sendBeacon` sends a text as text/plain, and no page can change that."""
_GZIP = 16 + zlib.MAX_WBITS
_IDENTITY = (b"", b"identity")
_BEACON_TYPES = (b"", b"text/plain")


class BodyFault(HTTPException):
    """A body that cannot be read; FastAPI lets only its own kind of error through while it reads."""


class PlainBody:
    """Plain ASGI: the application inside reads JSON that is not compressed.

    Attributes
    ----------
    app
        The application inside.
    max_bytes
        Of a body after it was expanded; a larger one is a 413 as soon as it passes the bound.

    Raises
    ------
    BodyFault
        By a request: 400 for a body that is not whole gzip, 413, and 415 for another encoding.
    """

    def __init__(self, app: ASGIApp, *, max_bytes: int) -> None:
        self.app = app
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request inward with its body expanded and its JSON named as JSON."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self.app(scope, receive, send)
            return
        encoding = content_type = b""
        for name, value in scope["headers"]:
            if name == b"content-encoding":
                encoding = value.strip().lower()
            elif name == b"content-type":
                content_type = value.partition(b";")[0].strip().lower()
        if content_type in _BEACON_TYPES and scope["path"] in BEACON_PATHS:
            _replace(scope, b"content-type", b"application/json")
        if encoding not in _IDENTITY:
            if encoding not in (b"gzip", b"x-gzip"):
                raise BodyFault(
                    415,
                    "This content encoding is not read here; send gzip or none.",
                    {"Accept-Encoding": "gzip"},
                )
            _replace(scope, b"content-encoding", None)
            _replace(scope, b"content-length", None)
            receive = _Expanded(receive, self.max_bytes).receive
        await self.app(scope, receive, send)


class _Expanded:
    """The messages of a gzip body, expanded piece by piece (RFC 1952; several members follow each other)."""

    def __init__(self, receive: Receive, max_bytes: int) -> None:
        self._receive = receive
        self._left = max_bytes
        self._max_bytes = max_bytes
        self._member = zlib.decompressobj(_GZIP)

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] != "http.request":
            return message
        more = message.get("more_body", False)
        try:
            body = self._expand(message.get("body", b""))
        except zlib.error as error:
            raise BodyFault(400, "The body is not gzip, which its Content-Encoding says.") from error
        if not more and not self._member.eof:
            raise BodyFault(400, "The gzip body ends too early.")
        return {"type": "http.request", "body": body, "more_body": more}

    def _expand(self, data: bytes) -> bytes:
        pieces = []
        while data:
            if self._member.eof:
                self._member = zlib.decompressobj(_GZIP)
            # one byte more than is allowed shows that there is more
            piece = self._member.decompress(data, self._left + 1)
            self._left -= len(piece)
            if self._left < 0:
                raise BodyFault(
                    413,
                    f"The expanded body is larger than {self._max_bytes} bytes; send it in smaller parts.",
                )
            pieces.append(piece)
            data = self._member.unconsumed_tail or self._member.unused_data
        return b"".join(pieces)


def _replace(scope: Scope, name: bytes, value: bytes | None) -> None:
    headers = [pair for pair in scope["headers"] if pair[0] != name]
    scope["headers"] = headers if value is None else [*headers, (name, value)]
