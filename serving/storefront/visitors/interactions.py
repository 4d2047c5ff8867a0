"""Interactions that a form of the shop front reports, for browsers without scripts as for others."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from recsys.domains.recommendations import service
from recsys.write_buffer.buffer import Sender
from recsys.write_buffer.deadlines import Deadline
from serving.storefront.visitors.visitor import ShopVisitor

__all__ = ["record", "restore"]


def record(visitor: ShopVisitor, product: int, kind: str, value: Decimal | None = None) -> None:
    """Store an interaction of the visitor with a product. Raises NonePosted where it is refused."""
    whose: dict[str, Any] = (
        {"session_id": visitor.guest} if visitor.user_id is None else {"user_id": visitor.user_id}
    )
    body = {**whose, "product_id": product, "interaction_type": kind}
    if value is not None:
        body["interaction_value"] = str(value)
    # the page vouches for its visitor, as the server of a shop does with a secret key
    service.record_interactions(body, Sender(deadline=Deadline.of_post(), with_key=True))


def restore(visitor: ShopVisitor, product: int) -> None:
    """Take a dismissal back: a dismissal below 0 does that."""
    record(visitor, product, "dismissed", Decimal(-1))
