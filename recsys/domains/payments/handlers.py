"""What payments do when they hear events: a cancelled order's money goes back."""

from __future__ import annotations

from sqlalchemy.orm import Session

from recsys.domains.payments.refunds import cancellation_refunds
from recsys.events.envelope import Envelope
from recsys.events.vocabulary import OrderCancelled, PaymentAuthorised, PaymentCaptured

__all__ = ["give_back"]


def give_back(session: Session, heard: Envelope) -> None:
    """Heard for a cancelled order, and for a payment that came through after its order was cancelled."""
    event = heard.event
    assert isinstance(event, OrderCancelled | PaymentAuthorised | PaymentCaptured)
    cancellation_refunds.give_back(session, event.order_id)
