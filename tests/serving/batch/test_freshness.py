"""An interaction changes the next list: by folding in at once, then by the refreshed stored list."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx
import pytest
import redis
from sqlalchemy import text

from recsys import clock
from recsys.cache import keys
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.stored_lists import locks
from recsys.domains.recommendations.stored_lists.codec import unpack
from recsys.domains.recommendations.stored_lists.user_lists import read_list
from recsys.events import in_process
from recsys.events.envelope import Envelope
from recsys.events.publish import publish
from recsys.events.vocabulary import InteractionsRecorded, PriceChanged
from serving.batch.handlers import refresh
from serving.batch.list_builder import UserBatch
from serving.batch.refresh import refresh_lists
from tests.serving.api.answers import ask, execute, ids
from tests.serving.batch.refreshing import ROWS, hear, view
from tests.support.shop import Shop
from tests.support.waiting import until

LAMPS = range(61, 91)


def lamps(answer: dict[str, Any]) -> int:
    return sum(row_ in LAMPS for row_ in ids(answer))


def test_an_event_changes_the_next_list_and_then_the_stored_list(
    client: httpx.Client, scored_shop: Shop, redis_client: redis.Redis
) -> None:
    before = ask(client, 1)
    assert before["provenance"]["source"] == "stored"
    for product in (70, 71, 72):
        view(client, product, kind="purchase")
    live = ask(client, 1)
    assert live["provenance"]["source"] == "live"
    assert lamps(live) > lamps(before)
    hear(1)
    after = ask(client, 1)
    assert after["provenance"]["source"] == "stored"
    assert after["provenance"]["generation"] == 1
    assert ids(after) == ids(live), "the stored list equals the live one"
    assert redis_client.smembers(keys.recent_interactions(1)) == set()
    packed = redis_client.get(keys.stored_recommendations(1, 1))
    assert isinstance(packed, bytes)
    with unit_of_work() as session:
        assert read_list(session, 1) == unpack(packed)
    rows = [row for row in execute(scored_shop, ROWS) if row[0] == 1]
    ranked = sorted((row for row in rows if "any" in row[6]), key=lambda row: row[6]["any"]["rank"])
    assert [row[1] for row in ranked] == [row_.product for row_ in unpack(packed).entries]
    assert 0 < redis_client.ttl(keys.stored_recommendations(1, 1)) <= 7 * 24 * 3600


def test_rows_of_a_refreshed_list_keep_their_ids(client: httpx.Client, scored_shop: Shop) -> None:
    before = {row[1]: row[2] for row in execute(scored_shop, ROWS) if row[0] == 1}
    others = [row for row in execute(scored_shop, ROWS) if row[0] != 1]
    view(client, 75, kind="purchase")
    hear(1)
    after = {row[1]: row[2] for row in execute(scored_shop, ROWS) if row[0] == 1}
    both = before.keys() & after.keys()
    assert len(both) > 50
    assert all(before[product] == after[product] for product in both)
    assert [row for row in execute(scored_shop, ROWS) if row[0] != 1] == others


def test_an_interaction_during_a_refresh_is_not_lost(client: httpx.Client, redis_client: redis.Redis) -> None:
    view(client, 75)
    with unit_of_work() as session:
        assert refresh_lists(session, [1]) == {1}
        redis_client.sadd(keys.recent_interactions(1), 80)  # another request, before this one is committed
    assert redis_client.smembers(keys.recent_interactions(1)) == {b"80"}
    assert ask(client, 1)["provenance"]["source"] == "live"


def test_lists_of_the_users_of_one_transaction_are_refreshed_in_one_pass(
    client: httpx.Client, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[list[int]] = []
    lists = UserBatch.lists

    def counted(batch: UserBatch, connection: Any) -> Any:
        passes.append(batch.users.tolist())
        return lists(batch, connection)

    monkeypatch.setattr(UserBatch, "lists", counted)
    events = []
    for user in (3, 1, 2, 1):
        view(client, 70 + user, user=user)
        events.append(InteractionsRecorded(user_id=user, product_ids=(70 + user,)))
    with unit_of_work() as session:
        for event in events:
            refresh(session, Envelope(uuid4(), clock.now(), event))
    assert passes == [[1, 2, 3]]
    for user in (1, 2, 3):
        assert ask(client, user)["provenance"]["source"] == "stored"
        assert redis_client.smembers(keys.recent_interactions(user)) == set()


def test_a_scoring_replaces_refreshed_lists(client: httpx.Client, scored_shop: Shop) -> None:
    view(client, 75)
    before = execute(scored_shop, ROWS)
    with locks.only_one_scoring():
        hear(1)
    assert execute(scored_shop, ROWS) == before
    assert ask(client, 1)["provenance"]["source"] == "live", "the event is in the answer all the same"
    from serving.batch import scoring

    scoring.score()
    until(lambda: ask(client, 1)["provenance"]["generation"] == 2)
    assert ask(client, 1)["provenance"]["source"] == "stored"


def test_no_list_is_refreshed_without_a_reason(client: httpx.Client, redis_client: redis.Redis) -> None:
    before = redis_client.get(keys.stored_recommendations(1, 1))
    hear(1)
    hear(999_999)
    assert redis_client.get(keys.stored_recommendations(1, 1)) == before
    assert redis_client.get(keys.stored_recommendations(1, 999999)) is None


def test_a_price_and_a_sold_out_product_apply_at_once(
    client: httpx.Client, scored_shop: Shop, redis_client: redis.Redis
) -> None:
    first = ask(client, 1)["items"][0]["product_id"]
    with in_process.working():
        with unit_of_work() as session:
            changed = text("UPDATE products_db.products SET price = 7.77 WHERE id = :id")
            session.execute(changed, {"id": first})
            publish(session, PriceChanged(product_id=first, price="7.77"))
        until(lambda: ask(client, 1)["items"][0]["price"] == 7.77)


def test_a_list_is_refreshed_by_the_event_consumer(client: httpx.Client, scored_shop: Shop) -> None:
    with in_process.working():
        view(client, 75, kind="purchase")
        assert ask(client, 1)["provenance"]["source"] in ("live", "stored")
        until(lambda: ask(client, 1)["provenance"]["source"] == "stored")
    (row,) = [row_ for row_ in execute(scored_shop, ROWS) if row_[:2] == (1, 75)] or [None]
    assert row is None or row[6]["novel"] is False
