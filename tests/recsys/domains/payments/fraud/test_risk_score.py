"""The risk of a payment: which flags are raised, what they add up to, what follows."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from recsys.domains.payments.fraud.risk_score import BLOCK_FROM, REVIEW_FROM, FraudDecision, Signals, assess

QUIET = Signals(Decimal("50.00"), usual_amount=Decimal("40.00"), account_hours=1000.0, tokens_last_day=1)


def test_a_usual_payment_raises_nothing() -> None:
    risk = assess(QUIET)
    assert (risk.score, risk.flags, risk.decision) == (Decimal(0), {}, FraudDecision.PASS)


def test_known_scores() -> None:
    watched = assess(replace(QUIET, failed_last_hour=3, billing_country="US", shipping_country="NG"))
    assert watched.flags == {"failed_attempts": Decimal("2.50"), "country_mismatch": Decimal("1.50")}
    assert (watched.score, watched.decision) == (Decimal("4.00"), FraudDecision.REVIEW)
    blocked = assess(replace(QUIET, failed_last_hour=10, tokens_last_day=3))
    assert (blocked.score, blocked.decision) == (Decimal("9.00"), FraudDecision.BLOCK)


def test_the_first_large_order_of_a_guest_is_not_blocked_alone() -> None:
    risk = assess(Signals(Decimal("1000.00")))
    assert set(risk.flags) == {"large_first_order", "guest"}
    assert risk.decision is FraudDecision.PASS


@given(
    st.builds(
        Signals,
        amount=st.decimals(0, 99999999, places=2),
        usual_amount=st.none() | st.decimals(0, 99999999, places=2),
        account_hours=st.none() | st.floats(0, 1e6),
        failed_last_hour=st.integers(0, 1000),
        tokens_last_day=st.integers(0, 1000),
        billing_country=st.none() | st.sampled_from(["US", "DE"]),
        shipping_country=st.none() | st.sampled_from(["US", "DE"]),
    )
)
def test_the_score_fits_its_column_and_decides_alone(signals: Signals) -> None:
    risk = assess(signals)
    assert 0 <= risk.score <= Decimal("9.99")
    assert risk.score == min(sum(risk.flags.values(), Decimal(0)), Decimal("9.99"))
    assert (risk.decision is FraudDecision.BLOCK) == (risk.score >= BLOCK_FROM)
    assert (risk.decision is FraudDecision.PASS) == (risk.score < REVIEW_FROM)
    worse = assess(replace(signals, failed_last_hour=signals.failed_last_hour + 10))
    assert worse.score >= risk.score
