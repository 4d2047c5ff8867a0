"""What a payment gateway has to be able to do; a provider's own client is put behind this protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any, Protocol

from recsys.errors import Unavailable

__all__ = ["Answer", "Card", "Charge", "Gateway", "GatewayOutcome", "GatewayTimeout"]


class GatewayOutcome(StrEnum):
    """What the gateway says about one request."""

    APPROVED = "approved"
    DECLINED = "declined"
    UNKNOWN = "unknown"


class GatewayTimeout(Unavailable):
    """The gateway did not answer in time: whether money moved is unknown until it is asked again."""

    title = "Payment gateway timeout"


@dataclass(frozen=True)
class Charge:
    """One request for money; the same `key` asks for the same money, however often it is sent.

    Attributes
    ----------
    token
        What the gateway's payment form gave for the card.
    capture
        Take the money at once; otherwise it is held until it is captured or voided.
    """

    key: str
    token: str
    amount: Decimal
    currency: str
    capture: bool


@dataclass(frozen=True)
class Answer:
    """What the gateway answered; `code` is its reason for a no, `details` is safe to store."""

    outcome: GatewayOutcome
    transaction_id: str | None = None
    code: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Card:
    """What may be known of the card behind a token; never its number."""

    kind: str
    brand: str
    last4: str
    expiry_month: int
    expiry_year: int


class Gateway(Protocol):
    """The steps of money. Each takes a key of the caller's that makes a repeat harmless.

    All of them raise GatewayTimeout when no answer came, and Unavailable when the gateway can't be reached.
    """

    name: str

    def card(self, token: str) -> Card | None:
        """The card behind a token, None for a token that the gateway doesn't know."""
        ...

    def charge(self, charge: Charge) -> Answer:
        """Hold the money, or take it at once."""
        ...

    def find(self, key: str, token: str) -> Answer:
        """What became of the charge with this key; UNKNOWN when it never arrived."""
        ...

    def capture(self, transaction_id: str, amount: Decimal, *, key: str) -> Answer:
        """Take money that is held."""
        ...

    def void(self, transaction_id: str, *, key: str) -> Answer:
        """Let go of money that is held."""
        ...

    def refund(self, transaction_id: str, amount: Decimal, *, key: str) -> Answer:
        """Give money back; the answer's transaction_id is the refund's own."""
        ...

    def webhook(self, body: bytes, signature: str) -> Mapping[str, Any]:
        """The message of a webhook whose signature is right. Raises Forbidden otherwise."""
        ...
