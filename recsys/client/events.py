"""What a shop reports: interactions, and feedback on recommended products."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import uuid4

__all__ = ["ListFeedback", "ShopEvent"]


def _new_id() -> str:
    return str(uuid4())


def _without_none(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value is not None}


def _time(moment: datetime | None) -> str | None:
    if moment is not None and moment.tzinfo is None:
        raise ValueError("created_at needs a time zone, such as datetime.now(UTC)")
    return None if moment is None else moment.isoformat()


@dataclass(frozen=True)
class ShopEvent:
    """One interaction of a user or guest with a product.

    Its id is made with the object: however often the object is sent, it is stored once.

    Attributes
    ----------
    type
        view, like, add_to_cart, purchase, review or dismissed.
    product
        The number of a product, or the shop's own id (SKU).
    user
        The number of a user, or the shop's own id (username); None for guests.
    session_id
        The session; without a user it identifies a guest.
    value
        Quantity, rating, seconds; at most two decimals.
    context
        Anything else worth storing with the event.
    created_at
        When it happened, with time zone; default: the time of arrival.
    event_id
        The shop's own id of the event, such as an order line.
    """

    type: str
    product: int | str
    user: int | str | None = None
    session_id: str | None = None
    value: float | None = None
    context: Mapping[str, Any] = field(default_factory=dict)
    created_at: datetime | None = None
    event_id: str = field(default_factory=_new_id)

    def body(self) -> dict[str, Any]:
        """Return the event as the API takes it."""
        return _without_none(
            {
                "interaction_type": self.type,
                "sku" if isinstance(self.product, str) else "product_id": self.product,
                "username" if isinstance(self.user, str) else "user_id": self.user,
                "session_id": self.session_id,
                "interaction_value": self.value,
                "context": dict(self.context) or None,
                "created_at": _time(self.created_at),
                "event_id": self.event_id,
            }
        )


@dataclass(frozen=True)
class ListFeedback:
    """What a user did with a recommended product; its id is made with the object, as that of `ShopEvent`.

    Attributes
    ----------
    type
        shown, clicked, carted, purchased, rated, dismissed or restored.
    product
        The number of a product, or the shop's own id (SKU).
    request_id
        `provenance.request_id` of the list.
    user
        The number of a user, or the shop's own id; None where the list's request says it.
    rating
        1 to 5, with `rated`.
    """

    type: str
    product: int | str
    request_id: str | None = None
    user: int | str | None = None
    session_id: str | None = None
    rating: int | None = None
    text: str | None = None
    created_at: datetime | None = None
    event_id: str = field(default_factory=_new_id)

    def body(self) -> dict[str, Any]:
        """Return the feedback as the API takes it."""
        return _without_none(
            {
                "feedback_type": self.type,
                "sku" if isinstance(self.product, str) else "product_id": self.product,
                "username" if isinstance(self.user, str) else "user_id": self.user,
                "request_id": self.request_id,
                "session_id": self.session_id,
                "rating": self.rating,
                "text": self.text,
                "created_at": _time(self.created_at),
                "event_id": self.event_id,
            }
        )
