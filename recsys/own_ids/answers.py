"""Own ids beside the numbers in answers: one query for all items of an answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from pydantic import BaseModel, Field
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, INTEGER
from sqlalchemy.orm import Session

__all__ = ["WithSku", "WithUsername", "WithVariantSku", "skus_of", "usernames_of", "with_own_ids"]


class WithSku(BaseModel):
    """An answer with a `product_id`."""

    sku: str | None = Field(default=None, description="The shop's own id of the product.")


class WithVariantSku(BaseModel):
    """An answer with a `variant_id`."""

    sku: str | None = Field(default=None, description="The shop's own id of the variant.")


class WithUsername(BaseModel):
    """An answer with a `user_id`."""

    username: str | None = Field(default=None, description="The shop's own id of the user.")


Item = TypeVar("Item", bound=BaseModel)
_QUERIES = {
    WithSku: ("product_id", "sku", "SELECT id, sku AS own_id FROM products_db.products"),
    WithVariantSku: ("variant_id", "sku", "SELECT id, sku AS own_id FROM products_db.product_variants"),
    WithUsername: ("user_id", "username", "SELECT id, username AS own_id FROM users_db.users"),
}
_STATEMENTS = {
    kind: text(f"{select} WHERE id = ANY(:ids)").bindparams(bindparam("ids", type_=ARRAY(INTEGER)))
    for kind, (_, _, select) in _QUERIES.items()
}


def with_own_ids(session: Session, items: Sequence[Item]) -> Sequence[Item]:
    """Fill in the own ids of items, which are all of one class of this module; return the items."""
    for kind, (number, own_id, _) in _QUERIES.items():
        if items and isinstance(items[0], kind):
            numbers = {value for item in items if (value := getattr(item, number)) is not None}
            own_ids = _own_ids(session, kind, numbers)
            for item in items:
                setattr(item, own_id, own_ids.get(getattr(item, number)))
    return items


def skus_of(session: Session, product_ids: Iterable[int]) -> dict[int, str | None]:
    """Return the SKU of each product that exists."""
    return _own_ids(session, WithSku, set(product_ids))


def usernames_of(session: Session, user_ids: Iterable[int]) -> dict[int, str | None]:
    """Return the username of each user that exists."""
    return _own_ids(session, WithUsername, set(user_ids))


def _own_ids(session: Session, kind: type[BaseModel], numbers: set[int]) -> dict[int, str | None]:
    if not numbers:
        return {}
    rows = session.execute(_STATEMENTS[kind], {"ids": sorted(numbers)})
    return {row.id: row.own_id for row in rows}
