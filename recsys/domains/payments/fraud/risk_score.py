"""How suspicious a payment is: named flags, each with its weight, added up to a score of 0 to 9.99."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

__all__ = ["BLOCK_FROM", "REVIEW_FROM", "FraudDecision", "Risk", "Signals", "assess"]

REVIEW_FROM = Decimal("4.00")
BLOCK_FROM = Decimal("8.00")
_MOST = Decimal("9.99")


class FraudDecision(StrEnum):
    """What follows from a score."""

    PASS = "pass"
    REVIEW = "review"
    BLOCK = "block"


@dataclass(frozen=True)
class Signals:
    """What is known when somebody pays.

    Attributes
    ----------
    amount, usual_amount
        Of this order, and on average of the user's paid orders (None without any).
    account_hours
        Age of the account, None for guests.
    failed_last_hour, tokens_last_day
        This user's failed attempts and different cards.
    billing_country, shipping_country
        Two letters each, None where unknown.
    """

    amount: Decimal
    usual_amount: Decimal | None = None
    account_hours: float | None = None
    failed_last_hour: int = 0
    tokens_last_day: int = 0
    billing_country: str | None = None
    shipping_country: str | None = None


@dataclass(frozen=True)
class Risk:
    """The score, which flags gave it (name → points), and what follows."""

    score: Decimal
    flags: dict[str, Decimal]
    decision: FraudDecision


def assess(signals: Signals) -> Risk:
    """Add up the flags that are raised; pure, so that a score can be explained and tried out."""
    raised = {
        "amount_far_above_usual": (
            signals.usual_amount is not None and signals.amount > 5 * signals.usual_amount,
            Decimal("2.00"),
        ),
        "large_first_order": (
            signals.usual_amount is None and signals.amount >= 1000,
            Decimal("2.00"),
        ),
        "new_account": (signals.account_hours is not None and signals.account_hours < 1, Decimal("1.00")),
        "guest": (signals.account_hours is None, Decimal("0.50")),
        "failed_attempts": (signals.failed_last_hour >= 3, Decimal("2.50")),
        "many_failed_attempts": (signals.failed_last_hour >= 10, Decimal("4.00")),
        "several_cards": (signals.tokens_last_day >= 3, Decimal("2.50")),
        "country_mismatch": (
            signals.billing_country is not None
            and signals.shipping_country is not None
            and signals.billing_country != signals.shipping_country,
            Decimal("1.50"),
        ),
    }
    flags = {name: points for name, (is_raised, points) in raised.items() if is_raised}
    score = min(sum(flags.values(), Decimal(0)), _MOST)
    if score >= BLOCK_FROM:
        decision = FraudDecision.BLOCK
    elif score >= REVIEW_FROM:
        decision = FraudDecision.REVIEW
    else:
        decision = FraudDecision.PASS
    return Risk(score, flags, decision)
