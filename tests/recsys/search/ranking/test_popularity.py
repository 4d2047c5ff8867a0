"""Popularity in the index: it follows what people do, now and then, in parts, as a reindex counts it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from recsys.domains.recommendations.tables import UserInteraction
from recsys.search.backends.postgres.index import PostgresIndex
from recsys.search.ranking import popularity
from recsys.search.tables import ProductSearch
from recsys.settings import SearchSettings
from tests.journeys.conftest import Counter
from tests.recsys.search.asking import found, indexed, run
from tests.recsys.search.catalogue import fill


def test_popularity_follows_what_people_do_once_a_minute(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = counter.desk.person("ann")
    made = indexed(counter, "Red lamp", "Blue lamp")

    def like(name: str, times: int) -> None:
        several = [{"interaction_type": "like", "product_id": made[name]}] * times
        counter.send("POST", "/interactions", who=ann, json=several)
        counter.settle_events()

    # what is kept in Redis stays until it expires: each limit is another search
    assert found(counter, "q=lamp&limit=10") == ["Blue lamp", "Red lamp"]
    like("Red lamp", 1)
    assert found(counter, "q=lamp&limit=11") == ["Red lamp", "Blue lamp"]
    like("Blue lamp", 2)
    assert found(counter, "q=lamp&limit=12") == ["Red lamp", "Blue lamp"]
    monkeypatch.setattr(popularity, "EVERY", timedelta(0))
    like("Blue lamp", 1)
    assert found(counter, "q=lamp&limit=13") == ["Blue lamp", "Red lamp"]
    # all of a product's interactions are counted, as a reindex counts them
    known: list[Any] = counter.desk.rows("SELECT product_id, popularity FROM products_db.product_search")
    assert run("reindex")[0] == 0
    computed: list[Any] = counter.desk.rows("SELECT product_id, popularity FROM products_db.product_search")
    assert dict(known) == pytest.approx(dict(computed), abs=1e-3)


def test_many_interactions_are_counted_in_parts(session: Session) -> None:
    filled = fill(session)
    PostgresIndex(SearchSettings()).reindex(session)
    begin = datetime(2026, 3, 1, tzinfo=UTC)
    ids = sorted(filled.products.values())
    session.add_all(
        UserInteraction(product_id=one, interaction_type="view", created_at=begin + timedelta(minutes=place))
        for place, one in enumerate(ids)
    )
    session.flush()
    until, now, parts = begin - timedelta(hours=1), begin + timedelta(days=1), 0
    while until < now - popularity.LATE:
        until, parts = popularity.follow(session, until, now, most=3), parts + 1
    counted = select(func.count()).where(ProductSearch.popularity > 0)
    assert (session.scalar(counted), parts) == (len(ids), len(ids) // 3 + 1)
