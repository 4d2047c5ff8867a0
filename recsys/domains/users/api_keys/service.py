"""API keys: made, listed and revoked; what programs call the API with instead of an account.

A key is `rk_<prefix>_<secret>`. The prefix names it to humans and finds its row; the secret holds 256 bits of
chance, so a plain SHA-256 of the whole key is enough to keep it by (see `recsys.security.token_id`).
"""

from __future__ import annotations

import re
import secrets
import string
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, get_args

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import Session

from recsys import clock
from recsys.domains.users.tables import ApiKey
from recsys.errors import Conflict, Invalid, NotFound
from recsys.security import token_id

__all__ = [
    "KEY_SHAPE",
    "SCOPES",
    "Scope",
    "active",
    "any_active",
    "create",
    "listed",
    "prefix_of",
    "revoke",
    "state_of",
]

Scope = Literal["recommend", "events", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
"""recommend: lists of anybody, of guests and for carts. events: tell what happened. admin: run the shop."""

KEY_SHAPE = re.compile(r"rk_([a-z0-9]{8})_[A-Za-z0-9]{43}")
_PREFIX_LETTERS = string.ascii_lowercase + string.digits
_SECRET_LETTERS = string.ascii_letters + string.digits
_PREFIX_LENGTH = 8
_SECRET_LENGTH = 43  # of 62 letters each: 256 bits
_LONGEST_NAME = 100
_MOST_DAYS = 36_500.0
_TRIES = 5


@dataclass(frozen=True)
class Created:
    """A new key; its text is returned only here."""

    key: str
    row: ApiKey

    def __repr__(self) -> str:
        return f"Created({self.row.prefix})"


def create(
    session: Session,
    name: str,
    scopes: Sequence[str],
    *,
    expires_days: float | None = None,
    rate_per_second: float | None = None,
) -> Created:
    """A new key. Raises Invalid for a name, scope, term or rate that can't be.

    `rate_per_second` goes before the setting `api.rate_per_second`; 0 takes the limit off this key.
    """
    wanted = [scope for scope in SCOPES if scope in scopes]
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown or not wanted:
        problem = f"unknown scope {unknown[0]!r}" if unknown else "a key needs a scope"
        raise Invalid(f"{problem}; expected one or more of {', '.join(SCOPES)}")
    if not name.strip() or len(name) > _LONGEST_NAME or not name.isprintable():
        raise Invalid(f"the name of a key is 1 to {_LONGEST_NAME} printable characters")
    # written so that NaN is refused as well
    if expires_days is not None and not 0 < expires_days <= _MOST_DAYS:
        raise Invalid(f"a key expires after more than 0 and at most {_MOST_DAYS:.0f} days")
    if rate_per_second is not None and not 0 <= rate_per_second <= 1e6:
        raise Invalid("the rate of a key is 0 (no limit) to 1,000,000 requests a second")
    now = clock.now()
    prefix = _free_prefix(session)
    key = f"rk_{prefix}_{_chosen(_SECRET_LETTERS, _SECRET_LENGTH)}"
    row = ApiKey(
        name=name.strip(),
        prefix=prefix,
        hash=token_id(key),
        scopes=list(wanted),
        rate_per_second=rate_per_second,
        created_at=now,
        expires_at=None if expires_days is None else now + timedelta(days=expires_days),
    )
    session.add(row)
    session.flush()
    return Created(key, row)


def listed(session: Session) -> Sequence[ApiKey]:
    """All keys there ever were, in the order of their making."""
    return session.scalars(select(ApiKey).order_by(ApiKey.id)).all()


def revoke(session: Session, which: str) -> ApiKey:
    """End a key by its prefix or its name; servers refuse it within seconds.

    Revoking twice changes nothing. Raises NotFound, or Conflict when several active keys have the name.
    """
    which = prefix_of(which) or which.strip().removeprefix("rk_")
    by_prefix = session.scalars(select(ApiKey).where(ApiKey.prefix == which)).one_or_none()
    found = [by_prefix] if by_prefix is not None else _named(session, which)
    if not found:
        raise NotFound(f"no key has the prefix or name {which!r}; `recsys keys list` shows all")
    if len(found) > 1:
        prefixes = ", ".join(one.prefix for one in found)
        raise Conflict(f"{len(found)} keys are called {which!r}; say which by its prefix: {prefixes}")
    (row,) = found
    session.refresh(row, with_for_update=True)
    if row.revoked_at is None:
        row.revoked_at = clock.now()
        session.flush()
    return row


def active(session: Session) -> Sequence[ApiKey]:
    """The keys that open something now."""
    return session.scalars(select(ApiKey).where(*_opens())).all()


def any_active(session: Session) -> bool:
    """Whether there is a key at all that opens something now."""
    return session.scalar(select(func.count()).select_from(ApiKey).where(*_opens())) != 0


def state_of(row: ApiKey) -> Literal["active", "expired", "revoked"]:
    """The state of a key."""
    if row.revoked_at is not None:
        return "revoked"
    return "expired" if row.expires_at is not None and row.expires_at <= clock.now() else "active"


def prefix_of(key: str) -> str | None:
    """The prefix of something that looks like a key; None for everything else."""
    found = KEY_SHAPE.fullmatch(key)
    return None if found is None else found[1]


def _opens() -> tuple[ColumnElement[bool], ...]:
    return (
        ApiKey.revoked_at.is_(None),
        or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > clock.now()),
    )


def _named(session: Session, name: str) -> list[ApiKey]:
    rows = session.scalars(select(ApiKey).where(ApiKey.name == name).order_by(ApiKey.id)).all()
    # the name of a revoked key may be used again: the key in force is meant
    return [one for one in rows if one.revoked_at is None] or list(rows)[-1:]


def _free_prefix(session: Session) -> str:
    for _ in range(_TRIES):
        prefix = _chosen(_PREFIX_LETTERS, _PREFIX_LENGTH)
        if session.scalar(select(ApiKey.id).where(ApiKey.prefix == prefix)) is None:
            return prefix
    raise Conflict("no free prefix was found for a key; try again")


def _chosen(letters: str, length: int) -> str:
    return "".join(secrets.choice(letters) for _ in range(length))
