"""What happens to money (stream `payment_events`)."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, ClassVar

from pydantic import Field

from recsys.events.vocabulary.base import Amount, Event, OrderId, PaymentId, RefundId

__all__ = [
    "FraudFlagged",
    "PaymentAuthorised",
    "PaymentCaptured",
    "PaymentFailed",
    "PaymentVoided",
    "RefundFailed",
    "RefundSucceeded",
    "VoidFailed",
]

Code = Annotated[str, Field(description="The gateway's reason, such as `declined`.")]


class _PaymentEvent(Event):
    family: ClassVar[str] = "payment"
    ordered_by: ClassVar[str] = "payment_id"

    payment_id: PaymentId
    order_id: OrderId


class PaymentAuthorised(_PaymentEvent):
    """The money is held, not yet taken."""

    name: ClassVar[str] = "payment.authorised"

    amount: Amount


class PaymentCaptured(_PaymentEvent):
    """The money was taken."""

    name: ClassVar[str] = "payment.captured"

    amount: Amount


class PaymentFailed(_PaymentEvent):
    """The gateway refused."""

    name: ClassVar[str] = "payment.failed"

    code: Code


class PaymentVoided(_PaymentEvent):
    """Money that was held is held no longer."""

    name: ClassVar[str] = "payment.voided"

    amount: Amount


class VoidFailed(_PaymentEvent):
    """The gateway did not let go of money that is held."""

    name: ClassVar[str] = "payment.void_failed"

    code: Code


class RefundSucceeded(_PaymentEvent):
    """Money went back."""

    name: ClassVar[str] = "payment.refund_succeeded"

    refund_id: RefundId
    amount: Amount


class RefundFailed(_PaymentEvent):
    """Money could not be sent back."""

    name: ClassVar[str] = "payment.refund_failed"

    refund_id: RefundId
    code: Code


class FraudFlagged(_PaymentEvent):
    """A payment looks suspicious."""

    name: ClassVar[str] = "payment.fraud_flagged"

    score: Annotated[Decimal, Field(description="How suspicious, 0 to 9.99.")]
    flags: Annotated[tuple[str, ...], Field(description="The names of the raised flags.")] = ()
    decision: Annotated[str | None, Field(description="What follows: pass, review or block.")] = None
