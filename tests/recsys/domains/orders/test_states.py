"""Which state may follow which."""

from __future__ import annotations

import itertools

import pytest

from recsys.domains.orders.states import (
    FINANCIAL,
    FULFILLMENT,
    ORDER,
    Financial,
    Fulfillment,
    Machine,
    Status,
)
from recsys.errors import Conflict


@pytest.mark.parametrize(
    ("machine", "states"), [(ORDER, Status), (FINANCIAL, Financial), (FULFILLMENT, Fulfillment)]
)
def test_every_state_is_known_and_only_what_is_listed_may_follow(machine: Machine, states: type) -> None:
    words = {str(state) for state in states}
    assert set(machine.steps) | set().union(*machine.steps.values()) <= words
    for old, new in itertools.product(words, words):
        if machine.allows(old, new):
            machine.check(old, new)
        else:
            with pytest.raises(Conflict, match=f"{machine.noun} is {old} and can't become {new}"):
                machine.check(old, new)


def test_a_happy_order() -> None:
    steps = [Status.PENDING, Status.PROCESSING, Status.SHIPPED, Status.DELIVERED, Status.COMPLETED]
    assert all(ORDER.allows(old, new) for old, new in itertools.pairwise(steps))


def test_nothing_is_cancelled_once_it_left_and_nothing_follows_an_end() -> None:
    assert not any(ORDER.allows(state, Status.CANCELLED) for state in (Status.SHIPPED, Status.DELIVERED))
    assert not ORDER.steps[Status.CANCELLED]
    with pytest.raises(Conflict, match="nothing: that is final"):
        ORDER.check(Status.CANCELLED, Status.PENDING)


def test_money_is_given_back_only_where_it_came_in() -> None:
    for state in Financial:
        allowed = FINANCIAL.allows(state, Financial.REFUNDED)
        assert allowed == (state in (Financial.PAID, Financial.PARTIALLY_REFUNDED))
