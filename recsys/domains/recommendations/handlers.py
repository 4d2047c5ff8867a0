"""What the shop's events tell the recommender: each becomes a row in `user_interactions`, once.

An order that is cancelled or refunded keeps its purchases. Whoever paid for something wanted it, which is
what a taste is learned from, and taking it back says little against that: sizes, delays, a better price. A
refund often names an amount and no line. And an interaction is a fact of its moment: rows that disappear
later would make a data set of that moment differ from the one that models were trained and judged on. Orders
that are cancelled before they are paid never become purchases.
"""

from __future__ import annotations

from typing import Any
from uuid import uuid5

from sqlalchemy.orm import Session

from recsys.database.after_commit import after_commit
from recsys.database.collecting import collect
from recsys.domains.recommendations.interactions import guest_identity
from recsys.domains.recommendations.interactions.ingest import GONE, take
from recsys.domains.recommendations.interactions.recent import remember_touched
from recsys.domains.recommendations.types import InteractionType
from recsys.errors import Invalid
from recsys.events.envelope import Envelope
from recsys.events.vocabulary import (
    CartItemAdded,
    OrderPaid,
    ProductLiked,
    ProductViewed,
    ReviewPosted,
    SearchResultClicked,
    UserLoggedIn,
)
from recsys.log import get_logger

__all__ = [
    "adopt_interactions",
    "remember_cart",
    "remember_like",
    "remember_purchase",
    "remember_review",
    "remember_search_click",
    "remember_view",
]

_log = get_logger(__name__)


def remember_view(session: Session, heard: Envelope) -> None:
    """A product was looked at."""
    event = heard.event
    assert isinstance(event, ProductViewed)
    one = _interaction(event, InteractionType.VIEW) | {"created_at": event.occurred}
    _store(session, heard, [one])


def remember_like(session: Session, heard: Envelope) -> None:
    """A product was liked."""
    event = heard.event
    assert isinstance(event, ProductLiked)
    _store(session, heard, [_interaction(event, InteractionType.LIKE)])


def remember_cart(session: Session, heard: Envelope) -> None:
    """Pieces of a product came into a cart."""
    event = heard.event
    assert isinstance(event, CartItemAdded)
    one = _interaction(event, InteractionType.ADD_TO_CART) | {"interaction_value": event.quantity}
    _store(session, heard, [one])


def remember_purchase(session: Session, heard: Envelope) -> None:
    """An order was paid: one purchase for each of its lines."""
    event = heard.event
    assert isinstance(event, OrderPaid)
    who = {"user_id": event.user_id, "session_id": event.session_id}
    lines = [
        {
            **who,
            "product_id": line.product_id,
            "interaction_type": InteractionType.PURCHASE,
            "interaction_value": line.quantity,
            "context": {"order_id": event.order_id},
        }
        for line in event.lines
    ]
    _store(session, heard, lines)


def remember_review(session: Session, heard: Envelope) -> None:
    """A product was reviewed; the value is the rating."""
    event = heard.event
    assert isinstance(event, ReviewPosted)
    one = _interaction(event, InteractionType.REVIEW) | {"interaction_value": event.rating}
    _store(session, heard, [one])


def remember_search_click(session: Session, heard: Envelope) -> None:
    """A product that a search had found was opened."""
    event = heard.event
    assert isinstance(event, SearchResultClicked)
    context = {"source": "search", "position": event.position}
    _store(session, heard, [_interaction(event, InteractionType.VIEW) | {"context": context}])


def adopt_interactions(session: Session, heard: Envelope) -> None:
    """Once more what the log-in did: rows may have come another way, and Redis may have been away."""
    event = heard.event
    assert isinstance(event, UserLoggedIn)
    if event.guest_session_id is not None:
        guest_identity.settle(session, [event.guest_session_id])
        guest_identity.tell_again(session, event.guest_session_id, event.user_id)


def _interaction(event: Any, kind: InteractionType) -> dict[str, Any]:
    return {
        "user_id": event.user_id,
        "session_id": getattr(event, "session_id", None),
        "product_id": event.product_id,
        "interaction_type": kind,
    }


def _store(session: Session, heard: Envelope, interactions: list[dict[str, Any]]) -> None:
    """Each gets an id made from the event's and its place, so that an event heard again adds nothing.

    Those of all events of a transaction are stored together: the same few statements for any number. The
    moments are our own, whatever the clock of the machine that made them says to that of this one.
    """
    for place, one in enumerate(interactions):
        # a purchase by a guest of whom no session is known says nothing about anybody
        if one["user_id"] is not None or one["session_id"] is not None:
            given = {
                "created_at": heard.occurred_at,
                **one,
                "event_id": str(uuid5(heard.event_id, str(place))),
            }
            collect(session, _store_all, (heard, given))


def _store_all(session: Session, several: list[tuple[Envelope, dict[str, Any]]]) -> None:
    """What cannot be stored for another reason than that its product or user is gone raises Invalid.

    The consumer then handles the events one by one, and the one to blame becomes a dead letter.
    """
    verdicts, touched = take(session, [given for _, given in several], judged=True)
    for (heard, _), verdict in zip(several, verdicts, strict=True):
        if verdict.status == "refused" and verdict.reason not in GONE:
            raise Invalid(f"an event's interaction cannot be stored: {verdict.reason}")
        if verdict.status == "refused":
            _log.warning(
                "an event's interaction is not stored",
                name=heard.event.name,
                event_id=str(heard.event_id),
                reason=verdict.reason,
            )
    if touched:
        after_commit(session, lambda: remember_touched(touched))
