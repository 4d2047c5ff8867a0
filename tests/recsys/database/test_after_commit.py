"""What follows from a commit follows from the whole transaction's, once, and never from less."""

from __future__ import annotations

import pytest
from redis.exceptions import ConnectionError as RedisAway
from sqlalchemy import text

from recsys.database.after_commit import after_commit
from recsys.database.session import unit_of_work
from tests.support.shop import Shop


def test_it_waits_for_the_transaction_and_not_for_a_savepoint(shop: Shop) -> None:
    done: list[str] = []
    with unit_of_work() as session:
        after_commit(session, lambda: done.append("before"))
        with session.begin_nested():
            session.execute(text("SELECT 1"))
            after_commit(session, lambda: done.append("inside"))
        assert done == []
        after_commit(session, lambda: done.append("after"))
    assert done == ["before", "inside", "after"]


def test_nothing_follows_from_what_is_rolled_back(shop: Shop) -> None:
    done: list[str] = []

    def fail() -> None:
        with unit_of_work() as session:
            after_commit(session, lambda: done.append("never"))
            with session.begin_nested():
                session.execute(text("SELECT 1"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert done == []


def test_a_redis_that_is_away_is_no_error_and_stops_nothing_else(shop: Shop) -> None:
    done: list[str] = []

    def away() -> None:
        raise RedisAway("nobody there")

    with unit_of_work() as session:
        after_commit(session, away)
        after_commit(session, lambda: done.append("still"))
    assert done == ["still"]
