"""The check of every request: its API key, and the rate limit of its caller."""

from __future__ import annotations

import math
from contextlib import AsyncExitStack
from functools import lru_cache
from ipaddress import IPv6Address, ip_address

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from recsys.cache import keys as cache_keys
from recsys.domains.users.api_keys.api_key_cache import Granted, Key, KeyRing, RefusedKey, Why
from recsys.domains.users.api_keys.service import KEY_SHAPE
from recsys.errors import RecsysError, Unavailable
from recsys.settings import get_settings
from recsys.web.access.authorization import key_of, keys_are_optional
from recsys.web.access.pages import PageVisitors
from recsys.web.access.rate_limit import Limit, RateLimits, Taken
from recsys.web.errors import problem

__all__ = ["Gate"]

_BEARER = b"bearer "
_LONGEST_KEY = 200
_PAGE_BURST_SECONDS = 4


class Gate:
    """Plain ASGI, inside of `middleware.RequestContextMiddleware`; leaves the key in `scope["state"]["key"]`.

    A key that is sent is right or the answer is a 401, wherever it is sent: a program with a wrong key must
    not believe that it works. What watches the process (health, metrics) passes unasked.
    """

    def __init__(
        self, app: ASGIApp, *, ring: KeyRing | None = None, limits: RateLimits | None = None
    ) -> None:
        self.app = app
        self.ring = ring or KeyRing()
        self.limits = limits or RateLimits()
        self.pages = PageVisitors()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check the API key of an HTTP request; pass everything else on."""
        if scope["type"] == "http":
            await self._pass(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        # an application's lifespan is one call, as long as it lives
        async with AsyncExitStack() as stack:

            async def send_when_done(message: Message) -> None:
                # the server ends the loop, and what still runs in it, as soon as it hears of the end
                if message["type"].startswith("lifespan.shutdown"):
                    await stack.aclose()
                await send(message)

            await stack.enter_async_context(self.ring.kept_fresh())
            await stack.enter_async_context(self.limits.running())
            await self.app(scope, receive, send_when_done)

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path == "/metrics" or path.startswith("/health/"):
            await self.app(scope, receive, send)
            return
        raw = _presented(scope)
        found = None if raw is None else await self.ring.identify_or_look(raw)
        key = found.key if isinstance(found, Granted) else None
        # read by what is around this as well: a page may read its refusals
        scope["state"]["key"] = key
        limit = _limit(scope, key)
        taken = None if limit is None else await self.limits.take(limit)
        if limit is not None and taken is not None:
            if not taken.allowed:
                await _too_often(scope, receive, send, limit, taken)
                return
            send = _with_headers(send, limit, taken)
        if isinstance(found, RefusedKey):
            await _refuse(scope, receive, send, found)
            return
        if key is not None and key.origins:
            try:
                scope["state"]["page_visitor"] = await self.pages.admit(scope, key)
            except RecsysError as error:
                await _render(error, scope, receive, send)
                return
        await self.app(scope, receive, send)


def _presented(scope: Scope) -> bytes | None:
    """The key of `X-Api-Key`, else of `Authorization: Bearer` when it looks like one and not like a token."""
    for name, value in scope["headers"]:
        if name == b"x-api-key":
            return bytes(value[:_LONGEST_KEY])
    for name, value in scope["headers"]:
        if name == b"authorization" and value[:7].lower() == _BEARER:
            token = value[7:].strip()
            if KEY_SHAPE.fullmatch(token.decode("latin-1")):
                return bytes(token)
    return None


def _limit(scope: Scope, key: Key | None) -> Limit | None:
    settings = get_settings().api
    if key is not None and key.origins:
        # everybody has the key: each visitor has a limit, so that one of them cannot use up that of all
        rate = settings.page_rate_per_second if key.rate_per_second is None else key.rate_per_second
        return _bucket("page", f"{key.id}:{_address(scope)}", rate, math.ceil(rate * _PAGE_BURST_SECONDS))
    if key is not None:
        if key.rate_per_second is None:
            return _bucket("key", str(key.id), settings.rate_per_second, settings.burst)
        # a rate of its own holds as many seconds of requests as the setting's
        seconds = settings.burst / settings.rate_per_second if settings.rate_per_second else 2.0
        return _bucket("key", str(key.id), key.rate_per_second, math.ceil(key.rate_per_second * seconds))
    if not settings.rate_per_second or keys_are_optional(scope):
        return None
    return _bucket("address", _address(scope), settings.rate_per_second, settings.burst)


@lru_cache(maxsize=10_000)
def _bucket(kind: str, who: str, rate: float, burst: int) -> Limit | None:
    if rate <= 0:
        return None
    return Limit(cache_keys.rate_limit(kind, who), rate, max(1, burst), kind)


def caller_without_key(scope: Scope) -> str | None:
    """The address of a request without a secret key; None with one, or where none is needed."""
    key = key_of(scope)
    if key is not None:
        return _address(scope) if key.origins else None
    return None if keys_are_optional(scope) else _address(scope)


def _address(scope: Scope) -> str:
    client = scope.get("client")
    if client is None:
        return "local"
    try:
        address = ip_address(client[0].partition("%")[0])
    except ValueError:
        return str(client[0])
    if isinstance(address, IPv6Address):
        # one customer of a provider has a whole /64 to send from
        return str(address.ipv4_mapped or address.exploded[:19])
    return str(address)


async def _refuse(scope: Scope, receive: Receive, send: Send, refused: RefusedKey) -> None:
    request_id = scope["state"].get("request_id")
    if refused.why is Why.NOT_READY:
        answer = problem(
            503,
            "API keys cannot be checked yet; try again in a moment.",
            title="Unavailable",
            request_id=request_id,
            headers={"Retry-After": "5"},
        )
    else:
        detail = (
            "This API key has expired; use a new one."
            if refused.why is Why.EXPIRED
            else "This API key is unknown or revoked; `recsys keys list` lists the valid ones."
        )
        answer = problem(
            401,
            detail,
            title="Unauthorized",
            request_id=request_id,
            headers={"WWW-Authenticate": "Bearer"},
        )
    await answer(scope, receive, send)


async def _render(error: RecsysError, scope: Scope, receive: Receive, send: Send) -> None:
    headers = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": "5"}}
    answer = problem(
        error.status,
        error.public if isinstance(error, Unavailable) else error.message,
        title=error.title,
        request_id=scope["state"].get("request_id"),
        headers=headers.get(error.status),
    )
    await answer(scope, receive, send)


async def _too_often(scope: Scope, receive: Receive, send: Send, limit: Limit, taken: Taken) -> None:
    seconds = max(1, math.ceil(taken.retry_after))
    answer = problem(
        429,
        f"More than {limit.rate:g} requests a second; try again in {seconds} "
        f"second{'' if seconds == 1 else 's'}.",
        title="Too many requests",
        request_id=scope["state"].get("request_id"),
        headers={"Retry-After": str(seconds)},
    )
    await answer(scope, receive, _with_headers(send, limit, taken))


def _with_headers(send: Send, limit: Limit, taken: Taken) -> Send:
    async def send_with_limits(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], limit.headers, taken.header(limit)]
        await send(message)

    return send_with_limits
