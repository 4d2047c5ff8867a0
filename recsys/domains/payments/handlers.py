"""Handlers of events: the payments of a cancelled order are voided or refunded."""

from __future__ import annotations

from sqlalchemy.orm import Session

from recsys.domains.payments.refunds import cancellation_refunds
from recsys.events.envelope import Envelope
from recsys.events.vocabulary import OrderCancelled, PaymentAuthorised, PaymentCaptured

__all__ = ["give_back"]


def give_back(session: Session, envelope: Envelope) -> None:
    """Return the money of a cancelled order, also of a payment that succeeded after the cancellation."""
    event = envelope.event
    assert isinstance(event, OrderCancelled | PaymentAuthorised | PaymentCaptured)
    cancellation_refunds.give_back(session, event.order_id)
