"""Webhooks of the gateway: signed, taken in once, and never able to turn a payment back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from recsys import clock
from recsys.domains.payments import service
from recsys.domains.payments.gateway import Answer, GatewayOutcome
from recsys.domains.payments.refunds import refunds
from recsys.domains.payments.states import PaymentStatus
from recsys.domains.payments.tables import Payment, Refund, WebhookEvent
from recsys.errors import Invalid
from recsys.web.validators import Text

__all__ = ["Message", "take"]

Outcomes = Literal["applied", "ignored", "repeated"]
_TYPES = ("payment.approved", "payment.declined", "payment.captured", "refund.approved", "refund.declined")
_LARGEST_ID = 2**31 - 1


class Message(BaseModel):
    """What a gateway reports: of which payment or refund (by our key), and what became of it.

    A type that we do not know, or a key of a payment that we do not have, is filed as ignored: the gateway
    would send it again for days. What cannot be filed at all is refused.
    """

    model_config = ConfigDict(extra="ignore")

    id: Text = Field(min_length=1, max_length=255)
    type: Text = Field(min_length=1, max_length=100, examples=list(_TYPES))
    key: str = Field(
        pattern=r"^(payment|refund):[0-9]{1,40}$", description="Key of our request to the gateway."
    )
    transaction_id: Text | None = Field(default=None, max_length=255)
    code: Text | None = Field(default=None, max_length=100)

    @property
    def row(self) -> int | None:
        """The id that the key names; None where no row of ours can have it."""
        number = int(self.key.partition(":")[2])
        return number if 0 < number <= _LARGEST_ID else None


def take(session: Session, gateway: str, raw: Mapping[str, Any]) -> Outcomes:
    """Apply a message whose signature was right.

    The event's id is written in the same transaction: sent twice, or to two workers at once, it is applied
    once. What comes late (an approval of a payment that failed, a decline of a captured one) is ignored.

    Raises
    ------
    Invalid
        It is no message.
    """
    try:
        message = Message.model_validate(raw)
    except ValidationError as error:
        fields = ", ".join(".".join(map(str, one["loc"])) or "message" for one in error.errors())
        raise Invalid(f"The webhook is not as expected: {fields}.") from None
    fresh = session.scalar(
        insert(WebhookEvent)
        .values(
            gateway=gateway,
            event_id=message.id,
            kind=message.type,
            outcome="applied",
            received_at=clock.now(),
        )
        .on_conflict_do_nothing(index_elements=[WebhookEvent.gateway, WebhookEvent.event_id])
        .returning(WebhookEvent.event_id)
    )
    if fresh is None:
        return "repeated"
    applied = _apply(session, gateway, message)
    if not applied:
        session.get_one(WebhookEvent, (gateway, message.id)).outcome = "ignored"
    return "applied" if applied else "ignored"


def _apply(session: Session, gateway: str, message: Message) -> bool:
    kind, number = message.key.partition(":")[0], message.row
    if number is None or message.type not in _TYPES or not message.type.startswith(kind):
        return False
    outcome = GatewayOutcome.DECLINED if message.type.endswith("declined") else GatewayOutcome.APPROVED
    answer = Answer(outcome, message.transaction_id, message.code, {"webhook": message.id})
    if kind == "refund":
        return _apply_to_refund(session, gateway, number, answer)
    payment = session.scalars(
        select(Payment).where(Payment.id == number, Payment.gateway == gateway)
    ).one_or_none()
    if payment is None:
        return False
    payment = service.locked(session, payment.id)
    if message.type == "payment.captured" and payment.status == PaymentStatus.CAPTURING:
        service.captured(session, payment)
        return True
    if payment.status != PaymentStatus.PENDING:
        return False
    service.finish(session, payment.id, answer)
    return True


def _apply_to_refund(session: Session, gateway: str, refund_id: int, answer: Answer) -> bool:
    found = session.execute(
        select(Refund.status)
        .join(Payment, Payment.id == Refund.payment_id)
        .where(Refund.id == refund_id, Payment.gateway == gateway)
    ).one_or_none()
    if found is None or found.status != "pending":
        return False
    refunds.finish(session, refund_id, answer)
    return True
