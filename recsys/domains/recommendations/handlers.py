"""Handlers of the shop's events: each event becomes rows in `user_interactions`, once.

A cancelled or refunded order keeps its purchases. A customer who paid for a product wanted it, and that is
what models learn from; a return says little against it, for its cause may be a size, a delay or a better
price. A refund often names an amount and no line. Rows that disappeared later would also make a data set of
an earlier moment differ from the data that models were trained and evaluated on. Orders that are cancelled
before they are paid never become purchases.
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


def remember_view(session: Session, envelope: Envelope) -> None:
    """A product was looked at."""
    event = envelope.event
    assert isinstance(event, ProductViewed)
    interaction = _interaction(event, InteractionType.VIEW) | {"created_at": event.occurred}
    _store(session, envelope, [interaction])


def remember_like(session: Session, envelope: Envelope) -> None:
    """A product was liked."""
    event = envelope.event
    assert isinstance(event, ProductLiked)
    _store(session, envelope, [_interaction(event, InteractionType.LIKE)])


def remember_cart(session: Session, envelope: Envelope) -> None:
    """Pieces of a product came into a cart."""
    event = envelope.event
    assert isinstance(event, CartItemAdded)
    interaction = _interaction(event, InteractionType.ADD_TO_CART) | {"interaction_value": event.quantity}
    _store(session, envelope, [interaction])


def remember_purchase(session: Session, envelope: Envelope) -> None:
    """An order was paid: one purchase for each of its lines."""
    event = envelope.event
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
    _store(session, envelope, lines)


def remember_review(session: Session, envelope: Envelope) -> None:
    """A product was reviewed; the value is the rating."""
    event = envelope.event
    assert isinstance(event, ReviewPosted)
    interaction = _interaction(event, InteractionType.REVIEW) | {"interaction_value": event.rating}
    _store(session, envelope, [interaction])


def remember_search_click(session: Session, envelope: Envelope) -> None:
    """A product that a search had found was opened."""
    event = envelope.event
    assert isinstance(event, SearchResultClicked)
    context = {"source": "search", "position": event.position}
    _store(session, envelope, [_interaction(event, InteractionType.VIEW) | {"context": context}])


def adopt_interactions(session: Session, envelope: Envelope) -> None:
    """Repeat what the log-in did: rows may have arrived since, and Redis may have been unreachable."""
    event = envelope.event
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


def _store(session: Session, envelope: Envelope, interactions: list[dict[str, Any]]) -> None:
    """Collect interactions of one event, each with an id made from the event's id and its place.

    So an event that is delivered again adds nothing.

    The interactions of all events of a transaction are stored together, by the same few statements for any
    number. Their times come from our own processes and are accepted even if they lie in the future here.
    """
    for place, interaction in enumerate(interactions):
        # a purchase by a guest without a session belongs to nobody
        if interaction["user_id"] is not None or interaction["session_id"] is not None:
            stamped = {
                "created_at": envelope.occurred_at,
                **interaction,
                "event_id": str(uuid5(envelope.event_id, str(place))),
            }
            collect(session, _store_all, (envelope, stamped))


def _store_all(session: Session, several: list[tuple[Envelope, dict[str, Any]]]) -> None:
    """Store all.

    The consumer handles the events one by one after an error, and the invalid event becomes a dead letter.

    Raises
    ------
    Invalid
        One is refused for something else than a deleted product or user.
    """
    verdicts, touched = take(session, [interaction for _, interaction in several], judged=True)
    for (envelope, _), verdict in zip(several, verdicts, strict=True):
        if verdict.status == "refused" and verdict.reason not in GONE:
            raise Invalid(f"an event's interaction cannot be stored: {verdict.reason}")
        if verdict.status == "refused":
            _log.warning(
                "an event's interaction is not stored",
                name=envelope.event.name,
                event_id=str(envelope.event_id),
                reason=verdict.reason,
            )
    if touched:
        after_commit(session, lambda: remember_touched(touched))
