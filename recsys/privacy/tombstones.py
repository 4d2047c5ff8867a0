"""Tombstones: which users and sessions were erased, without a way back from them to a person.

What is stored of an identifier is a keyed hash. An event that arrives late, or was queued before the erasure,
is dropped where it would be stored. The number of a user is never given again, so anything of an erased user
is late; a browser may keep its guest session, so of a session only what happened until the erasure is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, VARCHAR
from sqlalchemy.orm import Session

from recsys.web.access.signing import signatures

__all__ = [
    "ErasedPeople",
    "Tombstone",
    "bury",
    "everybody",
    "identifiers_of",
    "session_name",
    "user_name",
    "username_name",
]

_PURPOSE = b"erased identifier"
_USER_FIELDS = frozenset({"user_id", "target_id"})
_SESSION_FIELDS = frozenset({"session_id", "guest_session_id", "login"})
_BURY = text(
    """
    INSERT INTO users_db.erased_identifiers (hash, erased_at)
    SELECT hash, :moment FROM unnest(:hashes) AS given(hash) ORDER BY hash
    ON CONFLICT (hash) DO UPDATE SET erased_at = excluded.erased_at
    """
).bindparams(bindparam("hashes", type_=ARRAY(VARCHAR)))
_FIND = text("SELECT hash, erased_at FROM users_db.erased_identifiers WHERE hash = ANY(:hashes)").bindparams(
    bindparam("hashes", type_=ARRAY(VARCHAR))
)
_EVERYBODY = text("SELECT hash, erased_at FROM users_db.erased_identifiers")
_ANY = text("SELECT EXISTS (SELECT FROM users_db.erased_identifiers)")


class Tombstone(NamedTuple):
    """The hash of an identifier, and when it was erased last."""

    hash: str
    erased_at: datetime


def user_name(user_id: int) -> str:
    """The identifier of a user."""
    return f"user:{user_id}"


def session_name(session_id: str) -> str:
    """The identifier of a guest session or log-in."""
    return f"session:{session_id}"


def username_name(username: str) -> str:
    """The identifier of a username, in lower case."""
    return f"username:{username.lower()}"


def bury(session: Session, identifiers: Collection[str], moment: datetime) -> None:
    """Store tombstones, in the caller's transaction."""
    hashes = sorted({signatures(_PURPOSE, each.encode())[0].hex() for each in identifiers})
    session.execute(_BURY, {"hashes": hashes, "moment": moment})


def everybody(session: Session) -> frozenset[Tombstone]:
    """All tombstones."""
    return frozenset(Tombstone(row.hash, row.erased_at) for row in session.execute(_EVERYBODY))


def identifiers_of(value: object) -> set[str]:
    """The users and sessions that a JSON value names in its fields, at any depth."""
    found: set[str] = set()
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, Mapping):
            for name, content in each.items():
                if name in _USER_FIELDS and isinstance(content, int | str) and str(content).isdecimal():
                    found.add(user_name(int(content)))
                elif name in _SESSION_FIELDS and isinstance(content, str):
                    found.add(session_name(content))
                elif name == "username" and isinstance(content, str):
                    found.add(username_name(content))
                else:
                    waiting.append(content)
        elif isinstance(each, list | tuple):
            waiting.extend(each)
    return found


class ErasedPeople:
    """The tombstones of some identifiers, read at one moment."""

    def __init__(self, erased_at: Mapping[str, datetime]) -> None:
        self._erased_at = erased_at

    @classmethod
    def among(cls, session: Session, identifiers: Iterable[str]) -> ErasedPeople:
        """Read those of `identifiers`: no query for none, one while nobody was ever erased, else two."""
        wanted = set(identifiers)
        if not wanted or not session.scalar(_ANY):
            return cls({})
        # under every key that is accepted: a replaced key may have made a tombstone
        names = {
            signature.hex(): each for each in wanted for signature in signatures(_PURPOSE, each.encode())
        }
        rows: Any = session.execute(_FIND, {"hashes": sorted(names)})
        return cls({names[row.hash]: row.erased_at for row in rows})

    @property
    def newest(self) -> datetime | None:
        """When the last of them was erased; None where none was."""
        return max(self._erased_at.values(), default=None)

    def knows(self, identifier: str) -> bool:
        """Whether there is a tombstone of it."""
        return identifier in self._erased_at

    def includes(
        self, identifiers: Iterable[str], occurred_at: datetime, *, is_refused: bool = False
    ) -> bool:
        """Whether something of this moment that names these identifiers is to be dropped.

        Parameters
        ----------
        identifiers
            What it names.
        occurred_at
            The moment.
        is_refused
            It names a user who does not exist. Only then a username counts: somebody else may have the name
            by now.
        """
        for each in identifiers:
            erased_at = self._erased_at.get(each)
            if erased_at is None:
                continue
            kind = each.partition(":")[0]
            if (
                kind == "user"
                or (is_refused and kind == "username")
                or (kind == "session" and occurred_at <= erased_at)
            ):
                return True
        return False
