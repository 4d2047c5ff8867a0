"""Webhooks with a right signature and anything inside: a clear 4xx, or filed; never an error of ours."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.journeys.conftest import Counter
from tests.recsys.domains.payments.webhooks import hook
from tests.recsys.domains.users.conftest import Person

MESSAGE = {"id": "evt_1", "type": "payment.approved", "key": "payment:1", "transaction_id": "ch_1"}
IDS = [2**31 - 1, 2**31, 2**32, 2**63, 9_999_999_999, 10**39, 0]
TEXT = st.text(max_size=12) | st.sampled_from(["a\0b", "\0", "x" * 256, "x" * 101])
MESSAGES = st.fixed_dictionaries(
    {},
    optional={
        "id": TEXT | st.integers(-(2**63), 2**63),
        "type": st.sampled_from(["payment.approved", "refund.declined", "dispute.opened"]) | TEXT,
        "key": st.builds(
            lambda kind, number: f"{kind}:{number}",
            st.sampled_from(["payment", "refund", "order"]),
            st.integers(-1, 10**42),
        )
        | TEXT,
        "transaction_id": st.none() | TEXT | st.integers(-(2**63), 2**63),
        "code": st.none() | TEXT,
        "more": st.none() | TEXT,
    },
)


def filed(counter: Counter) -> list[tuple[Any, ...]]:
    return counter.desk.rows(
        "SELECT event_id, kind, outcome FROM payments_db.webhook_events ORDER BY event_id"
    )


@pytest.mark.parametrize("kind", ["payment", "refund"])
def test_an_id_that_no_row_can_have_is_filed_as_ignored(counter: Counter, kind: str) -> None:
    for place, number in enumerate(IDS):
        message = {**MESSAGE, "id": f"evt_{place}", "type": f"{kind}.approved", "key": f"{kind}:{number}"}
        assert hook(counter, message) == (200, {"outcome": "ignored"}), number
        assert hook(counter, message) == (200, {"outcome": "repeated"}), number
    assert len(filed(counter)) == len(IDS)


def test_a_type_that_we_do_not_know_is_filed_as_ignored(counter: Counter, bought: tuple[Person, int]) -> None:
    assert hook(counter, {**MESSAGE, "type": "dispute.opened"}) == (200, {"outcome": "ignored"})
    assert hook(counter, {**MESSAGE, "id": "evt_2", "type": "refund.approved"}) == (
        200,
        {"outcome": "ignored"},
    )
    assert filed(counter) == [
        ("evt_1", "dispute.opened", "ignored"),
        ("evt_2", "refund.approved", "ignored"),
    ]


@pytest.mark.parametrize("field", ["id", "type", "transaction_id", "code"])
@pytest.mark.parametrize("wrong", ["a\0b", "x" * 256, "\ud7ff\0"])
def test_what_no_column_can_hold_is_refused_by_name(counter: Counter, field: str, wrong: str) -> None:
    status, answer = hook(counter, {**MESSAGE, field: wrong})
    assert status == 422
    assert field in answer["detail"]
    assert filed(counter) == []


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(message=MESSAGES)
def test_no_signed_message_is_an_error_of_ours(counter: Counter, message: dict[str, Any]) -> None:
    status, answer = hook(counter, message)
    assert status in (200, 422), answer
    if status == 200:
        assert answer["outcome"] in ("ignored", "repeated")
