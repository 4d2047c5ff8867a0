"""The members of a segment, and which users may be in one."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from enum import StrEnum

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, INTEGER
from sqlalchemy.orm import Session

from recsys.own_ids.answers import usernames_of
from recsys.privacy import consent

__all__ = [
    "SEGMENT_TITLES",
    "NamedMember",
    "Segment",
    "SegmentKind",
    "SegmentMember",
    "as_csv",
    "kept",
    "named",
]


class SegmentKind(StrEnum):
    """The questions that a segment answers."""

    BUYERS = "buyers"
    LOOK_ALIKES = "look-alikes"
    NEXT_CATEGORY = "next-category"
    REPLENISHMENT = "replenishment"
    PRICE_DROP = "price-drop"
    BACK_IN_STOCK = "back-in-stock"


SEGMENT_TITLES = {
    SegmentKind.BUYERS: "Likely buyers",
    SegmentKind.LOOK_ALIKES: "Look-alikes",
    SegmentKind.NEXT_CATEGORY: "Next best category",
    SegmentKind.REPLENISHMENT: "Replenishment due",
    SegmentKind.PRICE_DROP: "Price drop for those who looked",
    SegmentKind.BACK_IN_STOCK: "Back in stock for those who looked",
}


@dataclass(frozen=True)
class SegmentMember:
    """One user of a segment, and the product or category that it is about.

    Attributes
    ----------
    chance
        From 0 to 1, that the user chooses the product, where one is known.
    similarity
        Of a look-alike to the given users, from 0 to 1.
    at
        When the product is due, or when the user last looked at it.
    """

    user_id: int
    product_id: int | None = None
    category_id: int | None = None
    chance: float | None = None
    similarity: float | None = None
    at: datetime | None = None


@dataclass(frozen=True)
class NamedMember:
    """A member with the shop's own ids and names; its fields are the columns of the CSV, in their order.

    The fields that are not described here are as those of the member.

    Attributes
    ----------
    username, sku, category_slug
        The own ids of the user, the product and the category.
    product, category
        Names.
    """

    user_id: int
    username: str | None
    product_id: int | None
    sku: str | None
    product: str | None
    category_id: int | None
    category_slug: str | None
    category: str | None
    chance: float | None
    similarity: float | None
    at: datetime | None


@dataclass(frozen=True)
class Segment:
    """Members, the most likely first.

    Attributes
    ----------
    model
        By which model; None where none was used.
    as_of
        The moment from which days are counted; None where none are.
    from_old_data
        Whether that moment is the newest interaction's, since none is younger.
    """

    kind: SegmentKind
    model: str | None
    members: list[SegmentMember]
    as_of: datetime | None = None
    from_old_data: bool = False


_ACTIVE = text("SELECT id FROM users_db.users WHERE id = ANY(:ids) AND is_active IS NOT FALSE").bindparams(
    bindparam("ids", type_=ARRAY(INTEGER))
)
_PRODUCTS = text("SELECT id, sku, name FROM products_db.products WHERE id = ANY(:ids)").bindparams(
    bindparam("ids", type_=ARRAY(INTEGER))
)
_CATEGORIES = text("SELECT id, slug, name FROM products_db.categories WHERE id = ANY(:ids)").bindparams(
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


def named(session: Session, members: Sequence[SegmentMember]) -> list[NamedMember]:
    """The members with own ids and names, in their order."""
    usernames = usernames_of(session, (member.user_id for member in members))
    products, categories = (
        {
            row.id: row
            for row in session.execute(
                query, {"ids": sorted({getattr(each, field) for each in members} - {None})}
            )
        }
        for query, field in ((_PRODUCTS, "product_id"), (_CATEGORIES, "category_id"))
    )
    found = []
    for member in members:
        product, category = products.get(member.product_id), categories.get(member.category_id)
        found.append(
            NamedMember(
                **asdict(member),
                username=usernames.get(member.user_id),
                sku=None if product is None else product.sku,
                product=None if product is None else product.name,
                category_slug=None if category is None else category.slug,
                category=None if category is None else category.name,
            )
        )
    return found


def as_csv(members: Iterable[NamedMember], blocks: Callable[[int], str] | None = None) -> str:
    """The members as CSV (RFC 4180) with a header; empty where a value is not known.

    Parameters
    ----------
    blocks
        The address of a block for the mail to a user, which becomes the last column, `mail_block`.
    """
    text_file = io.StringIO()
    writer = csv.writer(text_file)
    names = [field.name for field in fields(NamedMember)]
    writer.writerow([*names, "mail_block"] if blocks else names)
    for member in members:
        values = [getattr(member, name) for name in names] + ([blocks(member.user_id)] if blocks else [])
        writer.writerow(
            [
                "" if value is None else value.isoformat() if isinstance(value, datetime) else value
                for value in values
            ]
        )
    return text_file.getvalue()
