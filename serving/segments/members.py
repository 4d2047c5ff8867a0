"""The members of a segment, and which users may be in one."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, INTEGER
from sqlalchemy.orm import Session

from recsys.privacy import consent

__all__ = ["Segment", "SegmentKind", "SegmentMember", "as_csv", "kept"]


class SegmentKind(StrEnum):
    """The questions that a segment answers."""

    BUYERS = "buyers"
    LOOK_ALIKES = "look-alikes"
    NEXT_CATEGORY = "next-category"
    REPLENISHMENT = "replenishment"
    PRICE_DROP = "price-drop"
    BACK_IN_STOCK = "back-in-stock"


@dataclass(frozen=True)
class SegmentMember:
    """One user of a segment, and the product or category that it is about.

    chance : from 0 to 1, that the user chooses the product, where one is known.
    similarity : of a look-alike to the given users, from 0 to 1.
    at : when the product is due, or when the user last looked at it.
    """

    user_id: int
    product_id: int | None = None
    category_id: int | None = None
    chance: float | None = None
    similarity: float | None = None
    at: datetime | None = None


@dataclass(frozen=True)
class Segment:
    """Members, the most likely first. model : by which model, None where none was used."""

    kind: SegmentKind
    model: str | None
    members: list[SegmentMember]


_ACTIVE = text("SELECT id FROM users_db.users WHERE id = ANY(:ids) AND is_active IS NOT FALSE").bindparams(
    bindparam("ids", type_=ARRAY(INTEGER))
)
_BLOCK = 10_000


def kept(session: Session, users: Collection[int]) -> set[int]:
    """Which of these users may be in a segment: active ones who do not refuse personalisation."""
    allowed: set[int] = set()
    ordered = sorted(set(users))
    for first in range(0, len(ordered), _BLOCK):
        active = set(session.scalars(_ACTIVE, {"ids": ordered[first : first + _BLOCK]}))
        allowed |= active - consent.without_personalisation(session, active)
    return allowed


def as_csv(members: Iterable[SegmentMember]) -> str:
    """The members as CSV (RFC 4180) with a header; empty where a value is not known."""
    text_file = io.StringIO()
    writer = csv.writer(text_file)
    names = [field.name for field in fields(SegmentMember)]
    writer.writerow(names)
    for member in members:
        values = (getattr(member, name) for name in names)
        writer.writerow(
            [
                "" if value is None else value.isoformat() if isinstance(value, datetime) else value
                for value in values
            ]
        )
    return text_file.getvalue()
