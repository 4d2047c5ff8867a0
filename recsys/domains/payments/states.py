"""The states of a payment and the steps between them."""

from __future__ import annotations

from enum import StrEnum

from recsys.domains.orders.states import Machine

__all__ = ["PAYMENT", "PaymentStatus", "RefundStatus"]


class PaymentStatus(StrEnum):
    """What became of the money."""

    PENDING = "pending"
    AUTHORIZED = "authorized"
    CAPTURING = "capturing"
    CAPTURED = "captured"
    FAILED = "failed"
    VOIDING = "voiding"
    VOIDED = "voided"
    PARTIALLY_REFUNDED = "partially_refunded"
    REFUNDED = "refunded"


class RefundStatus(StrEnum):
    """What became of money that should go back."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


_S = PaymentStatus

PAYMENT = Machine(
    "The payment",
    {
        _S.PENDING: frozenset({_S.AUTHORIZED, _S.CAPTURED, _S.FAILED}),
        _S.AUTHORIZED: frozenset({_S.CAPTURING, _S.VOIDING}),
        # a capture or a void that the gateway refuses leaves the money held
        _S.CAPTURING: frozenset({_S.CAPTURED, _S.AUTHORIZED}),
        _S.VOIDING: frozenset({_S.VOIDED, _S.AUTHORIZED}),
        _S.CAPTURED: frozenset({_S.PARTIALLY_REFUNDED, _S.REFUNDED}),
        _S.PARTIALLY_REFUNDED: frozenset({_S.PARTIALLY_REFUNDED, _S.REFUNDED}),
        _S.FAILED: frozenset(),
        _S.VOIDED: frozenset(),
        _S.REFUNDED: frozenset(),
    },
)
"""`capturing` and `voiding` are written before the gateway is asked, so that a crash between is seen."""
