"""Users who were inactive for long have no stored list; their lists are the same, ranked live."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest
import redis

from recsys.cache import keys
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.stored_lists.user_lists import with_lists
from recsys.settings import get_settings
from serving.batch import scoring
from serving.server.app import create_app
from tests.serving import shopping
from tests.serving.api.answers import ask, execute, ids
from tests.serving.batch.refreshing import hear, view
from tests.serving.running import running
from tests.support.shop import Shop
from tests.support.waiting import until

INACTIVE = 1
DAYS = 100


@pytest.fixture
def aged_shop(open_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """A trained shop where user 1 has interacted last a year before the others; lists after 100 days go."""
    execute(
        open_shop,
        "UPDATE recommendations_db.user_interactions SET created_at = created_at - interval '365 days' "
        "WHERE user_id = %s RETURNING id",
        INACTIVE,
    )
    monkeypatch.setenv("RECSYS_SERVING__STORED_ACTIVE_DAYS", str(DAYS))
    get_settings.cache_clear()
    shopping.promote(shopping.fit(), "knn-v1")
    return open_shop


@pytest.fixture
def aged_client(aged_shop: Shop) -> Iterator[httpx.Client]:
    report = scoring.score()
    assert (report.users, report.inactive) == (28, 1)
    with running(create_app()) as client:
        yield client


def stored_users() -> set[int]:
    with unit_of_work() as session:
        return with_lists(session, range(1, shopping.USERS + 1))


def test_an_inactive_user_gets_live_the_list_that_was_not_stored(
    aged_client: httpx.Client, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert INACTIVE not in stored_users()
    assert redis_client.get(keys.stored_recommendations(1, INACTIVE)) is None
    live = ask(aged_client, INACTIVE)
    assert live["provenance"]["source"] == "live"
    assert ask(aged_client, 2)["provenance"]["source"] == "stored"
    monkeypatch.setenv("RECSYS_SERVING__STORED_ACTIVE_DAYS", "0")
    get_settings.cache_clear()
    report = scoring.score()
    assert (report.users, report.inactive) == (29, 0)
    until(lambda: ask(aged_client, INACTIVE)["provenance"]["source"] == "stored")
    assert ids(ask(aged_client, INACTIVE)) == ids(live)


def test_the_next_interaction_brings_a_stored_list(aged_client: httpx.Client, aged_shop: Shop) -> None:
    view(aged_client, 75, user=INACTIVE)
    hear(INACTIVE)
    assert INACTIVE in stored_users()
    assert ask(aged_client, INACTIVE)["provenance"]["source"] == "stored"
    assert scoring.score().inactive == 0


@pytest.mark.parametrize(("before_the_end", "inactive"), [(DAYS - 1, 0), (DAYS + 1, 1)])
def test_a_log_in_counts_as_activity(aged_shop: Shop, before_the_end: int, inactive: int) -> None:
    [[end]] = execute(aged_shop, "SELECT max(created_at) FROM recommendations_db.user_interactions")
    execute(
        aged_shop,
        "UPDATE users_db.users SET last_seen = %s WHERE id = %s RETURNING id",
        end - timedelta(days=before_the_end),
        INACTIVE,
    )
    assert scoring.score().inactive == inactive
    assert (INACTIVE in stored_users()) is not bool(inactive)


def test_days_count_back_from_the_end_of_the_training_data(aged_shop: Shop) -> None:
    # one interaction of today does not make all others inactive, whose data are years old
    execute(
        aged_shop,
        "INSERT INTO recommendations_db.user_interactions (user_id, product_id, interaction_type) "
        "VALUES (2, 95, 'purchase') RETURNING id",
    )
    assert scoring.score().inactive == 1


@pytest.mark.parametrize(("days", "users"), [("0", 29), (str(DAYS), 28)])
def test_interactions_without_a_time_are_no_activity(
    aged_shop: Shop, monkeypatch: pytest.MonkeyPatch, days: str, users: int
) -> None:
    execute(
        aged_shop,
        "UPDATE recommendations_db.user_interactions SET created_at = NULL WHERE user_id = %s RETURNING id",
        INACTIVE,
    )
    monkeypatch.setenv("RECSYS_SERVING__STORED_ACTIVE_DAYS", days)
    get_settings.cache_clear()
    assert scoring.score().users == users
