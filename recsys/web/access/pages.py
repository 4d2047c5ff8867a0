"""Requests of web pages with a publishable key: which routes it opens, for which origins and visitor.

Everybody can read a publishable key, so it gives no rights over others: a page sends events of its own
visitor and asks for the visitor's lists. The visitor is the user of a signed token, the guest of an issued
session, or nobody in particular. Cookies are ignored, and a route that is not listed below is refused.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from anyio import to_thread
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from starlette.types import Scope

from recsys.database.session import unit_of_work
from recsys.domains.users.api_keys.api_key_cache import Key
from recsys.domains.users.tables import User
from recsys.errors import Forbidden, RecsysError, Unauthorized
from recsys.web.access.signing import user_token_secrets
from recsys.web.access.user_tokens import looks_like_token, read_user_token

__all__ = ["PAGE_ROUTES", "PageVisitor", "PageVisitors", "is_page_path", "visitor_of"]

PAGE_ROUTES: Mapping[tuple[str, str], str] = {
    ("POST", "/api/v1/auth/guest"): "a session for a guest",
    ("POST", "/api/v1/auth/guest/claim"): "the guest's history for the user of the token",
    ("GET", "/api/v1/consent"): "what the visitor allows",
    ("PUT", "/api/v1/consent"): "what the visitor allows",
    ("GET", "/api/v1/recommendations"): "the visitor's list",
    ("POST", "/api/v1/recommendations"): "several lists of the visitor",
    ("GET", "/api/v1/products/popular"): "the same for everybody",
    ("GET", "/api/v1/products/new"): "the same for everybody",
    ("GET", "/api/v1/products/{product_id}/similar"): "the same for everybody",
    ("GET", "/api/v1/products/{product_id}/bought-together"): "the same for everybody",
    ("GET", "/api/v1/search/products"): "active products, in the visitor's order",
    ("GET", "/api/v1/search/suggest"): "the same for everybody",
    ("POST", "/api/v1/search/clicks"): "an event of the visitor",
    ("POST", "/api/v1/interactions"): "events of the visitor",
    ("POST", "/api/v1/recommendations/feedback"): "events of the visitor",
}
"""The routes that a publishable key opens, with what a page gets there."""
_TEMPLATES = {
    # an id of the shop's own may contain slashes
    (method, path): re.compile(re.sub(r"\\\{\w+\\\}", ".+", re.escape(path)))
    for method, path in PAGE_ROUTES
}
_FRESH_SECONDS = 60.0
_MISSING_SECONDS = 5.0
_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class PageVisitor:
    """The visitor of a page.

    Attributes
    ----------
    user_id
        Of the signed token; None for a guest.
    """

    user_id: int | None


def visitor_of(scope: Scope) -> PageVisitor | None:
    """The visitor whose page sent this request; None for requests without a publishable key."""
    visitor: PageVisitor | None = scope.get("state", {}).get("page_visitor")
    return visitor


def is_page_path(path: str) -> bool:
    """Whether a publishable key opens any route of this path."""
    return any(template.fullmatch(path) for template in _TEMPLATES.values())


class PageVisitors:
    """Admits requests with a publishable key; remembers the ids of users for a minute."""

    def __init__(self) -> None:
        self._user_ids: dict[str, tuple[int | None, float]] = {}

    async def admit(self, scope: Scope, key: Key) -> PageVisitor:
        """The visitor of a request with this key.

        Raises
        ------
        Forbidden
            The page is of another origin, or no page may ask the route.
        Unauthorized
            The token is not valid.
        Unavailable
            Tokens cannot be checked.
        """
        headers = dict(scope["headers"])
        _check_origin(headers, key)
        method, path = scope["method"], scope["path"]
        if not any(method == route[0] and form.fullmatch(path) for route, form in _TEMPLATES.items()):
            raise Forbidden(
                "A publishable key does not open this: web pages send events and ask for their visitor's "
                "lists. Let the shop's server ask, with a secret key."
            )
        token = _bearer_token(headers.get(b"authorization"))
        if token is None:
            return PageVisitor(None)
        if not looks_like_token(token):
            raise Unauthorized(
                "With a publishable key, `Authorization: Bearer` takes a signed user token "
                "(docs/guides/integrate.md), not the token of a log-in."
            )
        user = read_user_token(user_token_secrets(key.prefix, key.signing_epoch), token)
        return PageVisitor(await self._user_id(user))

    async def _user_id(self, username: str) -> int | None:
        """The user of the shop's own id; None for a user who is not stored yet or whose account is closed."""
        known = self._user_ids.get(username)
        if known is not None and time.monotonic() < known[1]:
            return known[0]
        try:
            user_id = await to_thread.run_sync(_look_up, username)
        except (RecsysError, SQLAlchemyError):
            # lists are served without PostgreSQL: the id of a user does not change
            if known is None:
                raise
            return known[0]
        if len(self._user_ids) >= _REMEMBERED:
            self._user_ids.clear()
        seconds = _MISSING_SECONDS if user_id is None else _FRESH_SECONDS
        self._user_ids[username] = user_id, time.monotonic() + seconds
        return user_id


def _check_origin(headers: Mapping[bytes, bytes], key: Key) -> None:
    origin = headers.get(b"origin")
    if origin is None and headers.get(b"sec-fetch-site") == b"same-origin":
        # browsers send no Origin with a GET to the page's own server; they alone can say that it is one
        host = headers.get(b"host", b"").decode("latin-1")
        if host in {urlsplit(each).netloc for each in key.origins}:
            return
    if origin is None:
        raise Forbidden(
            "This publishable key is for web pages: the request has no Origin header. Let the shop's server "
            "use a secret key."
        )
    if origin.decode("latin-1") not in key.origins:
        raise Forbidden(
            f"The publishable key {key.prefix} is not for pages of this origin; it is for "
            f"{', '.join(sorted(key.origins))} (`recsys keys publish NAME --origin ORIGIN` creates one)."
        )


def _bearer_token(header: bytes | None) -> str | None:
    """The token of `Authorization: Bearer`; None without the header, and where it holds the key itself."""
    if header is None:
        return None
    scheme, _, token = header.decode("latin-1").strip().partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthorized("The Authorization header is not `Bearer TOKEN`.")
    return None if token.strip().startswith("pk_") else token.strip()


def _look_up(username: str) -> int | None:
    with unit_of_work() as session:
        return session.scalar(select(User.id).where(User.username == username, User.is_active.is_not(False)))
