"""The three states of an order (order, money, goods) and the steps that are allowed between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from recsys.errors import Conflict

__all__ = ["FINANCIAL", "FULFILLMENT", "ORDER", "Financial", "Fulfillment", "Machine", "Status"]


class Status(StrEnum):
    """How far the order as a whole is."""

    PENDING = "pending"
    PROCESSING = "processing"
    SHIPPED = "shipped"
    DELIVERED = "delivered"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


class Financial(StrEnum):
    """What happened to its money."""

    PENDING = "pending"
    AUTHORIZED = "authorized"
    PAID = "paid"
    FAILED = "failed"
    VOIDED = "voided"
    PARTIALLY_REFUNDED = "partially_refunded"
    REFUNDED = "refunded"


class Fulfillment(StrEnum):
    """What happened to its goods."""

    UNFULFILLED = "unfulfilled"
    FULFILLED = "fulfilled"
    DELIVERED = "delivered"
    RETURNED = "returned"


@dataclass(frozen=True)
class Machine:
    """Which state may follow which; a state that nothing follows is final."""

    noun: str
    steps: Mapping[str, frozenset[str]]

    def check(self, old: str, new: str) -> None:
        """Raises Conflict when `new` may not follow `old`, naming what may."""
        if new in self.steps.get(old, frozenset()):
            return
        allowed = ", ".join(sorted(self.steps.get(old, frozenset()))) or "nothing: that is final"
        raise Conflict(f"{self.noun} is {old} and can't become {new}; what may follow: {allowed}.")

    def allows(self, old: str, new: str) -> bool:
        """Whether `new` may follow `old`."""
        return new in self.steps.get(old, frozenset())


def _steps(*pairs: tuple[str, tuple[str, ...]]) -> dict[str, frozenset[str]]:
    return {old: frozenset(map(str, new)) for old, new in pairs}


ORDER = Machine(
    "The order",
    _steps(
        (Status.PENDING, (Status.PROCESSING, Status.CANCELLED)),
        (Status.PROCESSING, (Status.SHIPPED, Status.COMPLETED, Status.CANCELLED)),
        (Status.SHIPPED, (Status.DELIVERED,)),
        (Status.DELIVERED, (Status.COMPLETED,)),
        (Status.COMPLETED, ()),
        (Status.CANCELLED, ()),
    ),
)
"""An order that left the house is no longer cancelled but refunded; one without parcels completes at once."""

FINANCIAL = Machine(
    "The order's payment",
    _steps(
        (Financial.PENDING, (Financial.AUTHORIZED, Financial.PAID, Financial.FAILED, Financial.VOIDED)),
        # a declined card is followed by another try
        (Financial.FAILED, (Financial.AUTHORIZED, Financial.PAID, Financial.FAILED, Financial.VOIDED)),
        (Financial.AUTHORIZED, (Financial.PAID, Financial.VOIDED, Financial.FAILED)),
        (Financial.PAID, (Financial.PARTIALLY_REFUNDED, Financial.REFUNDED)),
        (Financial.PARTIALLY_REFUNDED, (Financial.PARTIALLY_REFUNDED, Financial.REFUNDED)),
        # money that was let go is followed by another try; or the order was cancelled while money was still
        # on its way: it arrives, and goes back
        (Financial.VOIDED, (Financial.AUTHORIZED, Financial.PAID, Financial.FAILED)),
        (Financial.REFUNDED, ()),
    ),
)

FULFILLMENT = Machine(
    "The order's delivery",
    _steps(
        (Fulfillment.UNFULFILLED, (Fulfillment.FULFILLED,)),
        (Fulfillment.FULFILLED, (Fulfillment.DELIVERED, Fulfillment.RETURNED)),
        (Fulfillment.DELIVERED, (Fulfillment.RETURNED,)),
        (Fulfillment.RETURNED, ()),
    ),
)
