"""API keys: created, listed and revoked; programs and web pages call the API with them.

A secret key is `rk_<prefix>_<secret>`. The prefix names it to people and finds its row; the secret holds 256
random bits, so a plain SHA-256 of the whole key is enough to store (see `recsys.security.token_id`).
A publishable key, `pk_<prefix>_<letters>`, stands in the HTML of web pages, where everybody can read it. It
is bound to the origins of these pages, and opens what `recsys.web.access.pages` lists.
"""

from __future__ import annotations

import re
import secrets
import string
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, get_args
from urllib.parse import urlsplit

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import Session

from recsys import clock
from recsys.diagnosis import setting_values
from recsys.domains.users.tables import ApiKey, ApiKeyChange
from recsys.errors import Conflict, Invalid, NotFound
from recsys.security import token_id

__all__ = [
    "KEY_SHAPE",
    "PAGE",
    "SCOPES",
    "Scope",
    "active",
    "any_active",
    "create",
    "latest_changes",
    "listed",
    "prefix_of",
    "publish",
    "publishable",
    "revoke",
    "rotate",
    "state_of",
]

Scope = Literal["recommend", "events", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
"""recommend: lists of any user, of guests and for carts. events: post what happened. admin: run the shop."""
PAGE = "page"
"""The scope of publishable keys, which have no other."""

KEY_SHAPE = re.compile(r"[rp]k_([a-z0-9]{8})_[A-Za-z0-9]{43}")
_PREFIX_LETTERS = string.ascii_lowercase + string.digits
_SECRET_LETTERS = string.ascii_letters + string.digits
_PREFIX_LENGTH = 8
_SECRET_LENGTH = 43  # of 62 letters each: 256 bits
_LONGEST_NAME = 100
_MOST_DAYS = 36_500.0
_TRIES = 5
_MOST_ORIGINS = 50
_LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True)
class Created:
    """A new key, which is shown once and not stored."""

    key: str
    row: ApiKey

    def __repr__(self) -> str:
        return f"Created({self.row.prefix})"


def create(
    session: Session,
    name: str,
    scopes: Sequence[str],
    *,
    by: str,
    expires_days: float | None = None,
    rate_per_second: float | None = None,
) -> Created:
    """A new key.

    Parameters
    ----------
    scopes
        What it opens.
    by
        Whom the history of keys names, such as "user 7"; also of `publish`, `revoke` and `rotate`.
    expires_days
        Days until it expires; None: never.
    rate_per_second
        Goes before the setting `api.rate_per_second`; 0 takes the limit off this key.

    Raises
    ------
    Invalid
        The name, a scope, the term or the rate can't be.
    """
    wanted = [scope for scope in SCOPES if scope in scopes]
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown or not wanted:
        fault = f"unknown scope {unknown[0]!r}" if unknown else "a key needs a scope"
        raise Invalid(f"{fault}; expected one or more of {', '.join(SCOPES)}")
    return _insert(session, name, wanted, (), by, expires_days, rate_per_second)


def publish(
    session: Session,
    name: str,
    origins: Sequence[str],
    *,
    by: str,
    expires_days: float | None = None,
    rate_per_second: float | None = None,
) -> Created:
    """A new publishable key for the web pages of these origins, such as https://shop.example.

    Parameters
    ----------
    by
        Whom the history of keys names.
    expires_days
        Days until it expires; None: never.
    rate_per_second
        That of one visitor's address; default: the setting `api.page_rate_per_second`.

    Raises
    ------
    Invalid
        The name, an origin, the term or the rate cannot be.
    """
    if not 0 < len(origins) <= _MOST_ORIGINS:
        raise Invalid(f"a publishable key is for 1 to {_MOST_ORIGINS} origins, such as https://shop.example")
    for origin in origins:
        try:
            setting_values.origin(origin)
        except ValueError as error:
            raise Invalid(
                f"{origin[:100]!r} is not the origin of a web page; expected scheme, host and port in lower "
                "case, such as https://shop.example; no path, no *"
            ) from error
        parts = urlsplit(origin)
        if parts.scheme != "https" and parts.hostname not in _LOCAL_HOSTS:
            raise Invalid(
                f"the origin {origin} is not encrypted: anybody on the way could read and change the page; "
                "use https (http is for localhost)"
            )
        if parts.port == {"https": 443, "http": 80}[parts.scheme]:
            raise Invalid(f"browsers send the origin {origin} without its default port; leave it out")
    return _insert(session, name, [PAGE], list(dict.fromkeys(origins)), by, expires_days, rate_per_second)


def _insert(
    session: Session,
    name: str,
    scopes: Sequence[str],
    origins: Sequence[str],
    by: str,
    expires_days: float | None,
    rate_per_second: float | None,
) -> Created:
    if not name.strip() or len(name) > _LONGEST_NAME or not name.isprintable():
        raise Invalid(f"the name of a key is 1 to {_LONGEST_NAME} printable characters")
    # written so that NaN is refused as well
    if expires_days is not None and not 0 < expires_days <= _MOST_DAYS:
        raise Invalid(f"a key expires after more than 0 and at most {_MOST_DAYS:.0f} days")
    if rate_per_second is not None and not 0 <= rate_per_second <= 1e6:
        raise Invalid("the rate of a key is 0 (no limit) to 1,000,000 requests a second")
    now = clock.now()
    prefix = _free_prefix(session)
    kind = "pk" if origins else "rk"
    key = f"{kind}_{prefix}_{_chosen(_SECRET_LETTERS, _SECRET_LENGTH)}"
    row = ApiKey(
        name=name.strip(),
        prefix=prefix,
        hash=token_id(key),
        scopes=list(scopes),
        origins=list(origins),
        signing_epoch=1,
        rate_per_second=rate_per_second,
        created_at=now,
        expires_at=None if expires_days is None else now + timedelta(days=expires_days),
    )
    session.add(row)
    session.flush()
    _note(session, row, "created", by)
    return Created(key, row)


def listed(session: Session) -> Sequence[ApiKey]:
    """All keys, the revoked ones included, in the order of their creation."""
    return session.scalars(select(ApiKey).order_by(ApiKey.id)).all()


def revoke(session: Session, which: str, *, by: str) -> ApiKey:
    """End a key by its prefix or its name; servers refuse it within seconds.

    Revoking twice changes nothing.

    Raises
    ------
    NotFound
        No key has the prefix or the name.
    Conflict
        Several active keys have the name.
    """
    row = _the_key(session, which)
    session.refresh(row, with_for_update=True)
    if row.revoked_at is None:
        row.revoked_at = clock.now()
        _note(session, row, "revoked", by)
    return row


def publishable(session: Session, which: str) -> ApiKey:
    """An active publishable key by its prefix or its name. Raises NotFound, Conflict, Invalid."""
    row = _the_key(session, which)
    if not row.origins:
        raise Invalid(
            f"{row.name} is a secret key; only publishable keys (`recsys keys publish`) sign tokens"
        )
    if state_of(row) != "active":
        raise Invalid(f"the key {row.prefix} ({row.name}) is {state_of(row)}")
    return row


def rotate(session: Session, which: str, *, by: str, at_once: bool = False) -> ApiKey:
    """Give a publishable key another signing secret.

    Parameters
    ----------
    which
        Its prefix or its name.
    by
        Whom the history of keys names.
    at_once
        For secrets that leaked: the former one is no longer valid; otherwise it is until the next rotation.

    Raises
    ------
    NotFound
        No key has the prefix or the name.
    Conflict
        Several active keys have the name.
    Invalid
        The key is not publishable, or not active.
    """
    row = publishable(session, which)
    session.refresh(row, with_for_update=True)
    row.signing_epoch += 2 if at_once else 1
    _note(session, row, "rotated", by)
    return row


def latest_changes(session: Session, *, limit: int) -> Sequence[tuple[ApiKeyChange, ApiKey]]:
    """The last changes of keys with their keys, newest first."""
    newest = select(ApiKeyChange, ApiKey).join(ApiKey, ApiKey.id == ApiKeyChange.key_id)
    rows = session.execute(newest.order_by(ApiKeyChange.id.desc()).limit(limit)).all()
    return [(change, key) for change, key in rows]


def _note(session: Session, row: ApiKey, action: str, by: str) -> None:
    session.add(ApiKeyChange(key_id=row.id, action=action, actor=by, changed_at=clock.now()))
    session.flush()


def _the_key(session: Session, which: str) -> ApiKey:
    which = prefix_of(which) or which.strip().removeprefix("rk_").removeprefix("pk_")
    by_prefix = session.scalars(select(ApiKey).where(ApiKey.prefix == which)).one_or_none()
    rows = [by_prefix] if by_prefix is not None else _named(session, which)
    if not rows:
        raise NotFound(f"no key has the prefix or name {which!r}; `recsys keys list` shows all")
    if len(rows) > 1:
        prefixes = ", ".join(row.prefix for row in rows)
        raise Conflict(f"{len(rows)} keys are called {which!r}; name one by its prefix: {prefixes}")
    return rows[0]


def active(session: Session) -> Sequence[ApiKey]:
    """The keys that open something now."""
    return session.scalars(select(ApiKey).where(*_opens())).all()


def any_active(session: Session) -> bool:
    """Whether there is a key at all that opens something now."""
    return session.scalar(select(func.count()).select_from(ApiKey).where(*_opens())) != 0


def state_of(row: ApiKey) -> Literal["active", "expired", "revoked"]:
    """The state of a key, as lists show it."""
    if row.revoked_at is not None:
        return "revoked"
    return "expired" if row.expires_at is not None and row.expires_at <= clock.now() else "active"


def prefix_of(key: str) -> str | None:
    """The prefix of something that looks like a key; None for everything else."""
    match = KEY_SHAPE.fullmatch(key)
    return None if match is None else match[1]


def _opens() -> tuple[ColumnElement[bool], ...]:
    return (
        ApiKey.revoked_at.is_(None),
        or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > clock.now()),
    )


def _named(session: Session, name: str) -> list[ApiKey]:
    rows = session.scalars(select(ApiKey).where(ApiKey.name == name).order_by(ApiKey.id)).all()
    # a name may be used again after its key was revoked: the active key is meant
    return [row for row in rows if row.revoked_at is None] or list(rows)[-1:]


def _free_prefix(session: Session) -> str:
    for _ in range(_TRIES):
        prefix = _chosen(_PREFIX_LETTERS, _PREFIX_LENGTH)
        if session.scalar(select(ApiKey.id).where(ApiKey.prefix == prefix)) is None:
            return prefix
    raise Conflict("no free prefix was found for a key; try again")


def _chosen(letters: str, length: int) -> str:
    return "".join(secrets.choice(letters) for _ in range(length))
