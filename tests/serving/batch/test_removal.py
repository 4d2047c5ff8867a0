"""Stored lists of users who are gone: closed by the API, or deleted by any program."""

from __future__ import annotations

import httpx
import pytest
import redis

from recsys.cache import keys
from recsys.events import in_process
from tests.serving.api.answers import ask, execute, ids
from tests.support.shop import Shop
from tests.support.waiting import until

USER = 11


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM users_db.users WHERE id = 11",
        "DELETE FROM users_db.users WHERE id BETWEEN 10 AND 12",
    ],
)
def test_a_user_deleted_by_sql_has_no_list_any_more(
    client: httpx.Client, scored_shop: Shop, redis_client: redis.Redis, statement: str
) -> None:
    assert ask(client, USER)["provenance"]["source"] == "stored"
    execute(scored_shop, statement)
    with in_process.working():
        until(lambda: redis_client.exists(keys.stored_recommendations(1, USER)) == 0)
        until(lambda: ask(client, USER)["provenance"]["source"] == "popular")
    assert ids(ask(client, USER)) == ids(client.get("/api/v1/products/popular").json())
    assert ask(client, 1)["provenance"]["source"] == "stored", "the others keep theirs"


def test_a_deletion_that_is_rolled_back_publishes_nothing(scored_shop: Shop) -> None:
    execute(scored_shop, "BEGIN; DELETE FROM users_db.users WHERE id = 11; ROLLBACK")
    published = "SELECT count(*) FROM analytics_db.outbox WHERE name = 'user.deactivated'"
    assert execute(scored_shop, published) == [(0,)]
    execute(scored_shop, "DELETE FROM users_db.users WHERE id = 11")
    execute(scored_shop, "DELETE FROM users_db.users WHERE id = 11")
    assert execute(scored_shop, published) == [(1,)]
