"""Stored segments: written, refreshed, and read by those who apply rules for their members."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import ARRAY, Integer, bindparam, func, select, text
from sqlalchemy.orm import Session

from recsys import clock
from recsys.domains.recommendations.rules.tables import BusinessRule
from recsys.domains.recommendations.rules.types import GUESTS, KNOWN_USERS
from recsys.domains.recommendations.segments.tables import SegmentMembership, StoredSegment
from recsys.errors import Conflict, Invalid, NotFound

__all__ = [
    "MAX_STORED",
    "StoredSegmentInfo",
    "concerns",
    "delete",
    "exists",
    "failed",
    "get",
    "listed",
    "members",
    "set_members",
    "versions",
    "was_member",
    "write",
]

MAX_STORED = 100
"""Each process that answers keeps the members of those that rules name."""
_LOCK = 0x7365676D  # writers take turns
_IDS = bindparam("users", type_=ARRAY(Integer))
_REMOVE = text(
    """
    DELETE FROM recommendations_db.segment_members AS m
    WHERE segment = :name AND NOT EXISTS (SELECT FROM unnest(:users) AS u (id) WHERE u.id = m.user_id)
    """
).bindparams(_IDS)
_ADD = text(
    """
    INSERT INTO recommendations_db.segment_members (segment, user_id)
    SELECT :name, u.id FROM unnest(:users) AS u (id)
    ON CONFLICT DO NOTHING
    """
).bindparams(_IDS)


@dataclass(frozen=True)
class StoredSegmentInfo:
    """A stored segment as it is listed.

    Attributes
    ----------
    members
        How many there are.
    problem
        Why the last refresh failed.
    rules
        Names of the business rules that name it.
    """

    name: str
    definition: dict[str, Any]
    members: int
    created_by: str
    created_at: datetime
    refreshed_at: datetime | None
    problem: str | None
    rules: list[str]


def listed(session: Session) -> list[StoredSegmentInfo]:
    """All stored segments, by name."""
    query = select(SegmentMembership.segment, func.count().label("members")).group_by(
        SegmentMembership.segment
    )
    counts: dict[str, int] = {row.segment: row.members for row in session.execute(query)}
    named: dict[str | None, list[str]] = {}
    for name, segment in session.execute(
        select(BusinessRule.name, BusinessRule.segment)
        .where(BusinessRule.segment.is_not(None))
        .order_by(BusinessRule.name)
    ):
        named.setdefault(segment, []).append(name)
    return [
        StoredSegmentInfo(
            row.name,
            row.definition,
            counts.get(row.name, 0),
            row.created_by,
            row.created_at,
            row.refreshed_at,
            row.problem,
            named.get(row.name, []),
        )
        for row in session.scalars(select(StoredSegment).order_by(StoredSegment.name))
    ]


def get(session: Session, name: str) -> StoredSegment:
    """One stored segment. Raises NotFound."""
    row = session.get(StoredSegment, name)
    if row is None:
        raise NotFound(f"There is no stored segment {name!r}.")
    return row


def exists(session: Session, name: str) -> bool:
    """Whether rules may name it: a stored segment, or one of the reserved words."""
    return name in (GUESTS, KNOWN_USERS) or session.get(StoredSegment, name) is not None


def write(session: Session, name: str, definition: dict[str, Any], *, actor: str) -> StoredSegment:
    """Store a segment, or another definition of it. Raises Invalid (reserved name), Conflict (too many)."""
    if name in (GUESTS, KNOWN_USERS):
        raise Invalid(f"{name!r} is a reserved name; choose another one.", field="name")
    session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    row = session.get(StoredSegment, name, populate_existing=True)
    if row is None:
        if (session.scalar(select(func.count()).select_from(StoredSegment)) or 0) >= MAX_STORED:
            raise Conflict(f"There are {MAX_STORED} stored segments already; delete one first.")
        row = StoredSegment(
            name=name, definition=definition, version=1, created_by=actor, created_at=clock.now()
        )
        session.add(row)
    row.definition = definition
    session.flush()
    return row


def set_members(session: Session, name: str, users: Collection[int]) -> None:
    """Exchange the members; all at once for those who read them. Raises NotFound."""
    row = session.get(StoredSegment, name, with_for_update=True, populate_existing=True)
    if row is None:
        raise NotFound(f"There is no stored segment {name!r}.")
    values = {"name": name, "users": sorted(set(users))}
    session.execute(_REMOVE, values)
    session.execute(_ADD, values)
    row.version += 1
    row.refreshed_at, row.problem = clock.now(), None
    session.flush()


def failed(session: Session, name: str, problem: str) -> None:
    """Note why a refresh failed; the members stay."""
    row = session.get(StoredSegment, name)
    if row is not None:
        row.problem = problem


def delete(session: Session, name: str) -> None:
    """Delete a segment with its members. Raises NotFound, Conflict where a rule names it."""
    row = get(session, name)
    rules = session.scalars(select(BusinessRule.name).where(BusinessRule.segment == name)).all()
    if rules:
        raise Conflict(f"The rule {rules[0]!r} is for this segment; change or delete the rule first.")
    session.delete(row)
    session.flush()


def versions(session: Session, names: Collection[str]) -> dict[str, tuple[int, datetime | None]]:
    """Of those that exist: the version, which changes with the members, and when they were found."""
    query = select(StoredSegment.name, StoredSegment.version, StoredSegment.refreshed_at)
    rows = session.execute(query.where(StoredSegment.name.in_(names)))
    return {name: (version, refreshed_at) for name, version, refreshed_at in rows}


def members(session: Session, name: str) -> npt.NDArray[np.int32]:
    """The ids of the members, increasing."""
    query = select(SegmentMembership.user_id).where(SegmentMembership.segment == name)
    users: Sequence[int] = session.scalars(query).all()
    return np.sort(np.array(users, dtype=np.int32))


def concerns(session: Session, name: str | None, user: int | None) -> bool:
    """Whether a rule for this segment is for this user, or for a guest; None: for everybody."""
    if name is None or name in (GUESTS, KNOWN_USERS):
        return name is None or (name == GUESTS) == (user is None)
    return user is not None and session.get(SegmentMembership, (name, user)) is not None


def was_member(session: Session, name: str, user: int, moment: datetime) -> bool | None:
    """Whether a user was in a stored segment at a past moment; None where its members were found since."""
    row = session.get(StoredSegment, name)
    if row is None or row.refreshed_at is None or row.refreshed_at > moment:
        return None
    return session.get(SegmentMembership, (name, user)) is not None
