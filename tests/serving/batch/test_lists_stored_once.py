"""A list that two processes make is stored once, and none is stored too late."""

from __future__ import annotations

import threading

import pytest
import redis

from recsys.cache import keys
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.stored_lists import generations
from recsys.domains.recommendations.stored_lists.user_lists import store_lists
from recsys.errors import Conflict
from serving.batch.list_storage import ListStorage
from tests.serving.api.answers import execute
from tests.support.shop import Shop
from tests.support.waiting import until


def begin() -> int:
    with unit_of_work() as session:
        return generations.start(session, "knn-v1", "1")[0]


def test_the_first_list_of_a_user_stays_and_is_the_one_in_redis(
    scored_shop: Shop, redis_client: redis.Redis
) -> None:
    generation = begin()
    for user in (1, 2, 3):
        redis_client.sadd(keys.recent_interactions(user), b"65")
    first, second = ListStorage(generation, 600), ListStorage(generation, 600)
    first.note_recent([1, 2])
    second.note_recent([1, 2, 3])
    with unit_of_work() as session:
        first.add(session, {1: b"a1", 2: b"a2"})
    # as after a crash between PostgreSQL and Redis
    redis_client.delete(keys.stored_recommendations(generation, 1))
    with unit_of_work() as session:
        second.add(session, {1: b"b1", 2: b"b2", 3: b"b3"})
    stored = execute(
        scored_shop,
        "SELECT user_id, list FROM recommendations_db.stored_lists WHERE generation_id = %s ORDER BY 1",
        generation,
    )
    assert stored == [(1, b"a1"), (2, b"a2"), (3, b"b3")]
    for user, packed in stored:
        assert redis_client.get(keys.stored_recommendations(generation, user)) == packed
    # what the second one noted of users 1 and 2 may be newer than the lists that are stored
    assert set(first.recent) == {1, 2}
    assert set(second.recent) == {3}


def test_nothing_is_stored_in_a_generation_that_is_shown_or_given_up(scored_shop: Shop) -> None:
    generation = begin()
    with unit_of_work() as session:
        generations.give_up(session, generation)
    for late in (1, generation):
        with (
            pytest.raises(Conflict, match="is not being written any more"),
            unit_of_work() as session,
        ):
            store_lists(session, late, {1: b"late"})
    assert execute(scored_shop, "SELECT 1 FROM recommendations_db.stored_lists WHERE list = 'late'") == []


def test_who_gives_a_generation_up_waits_for_lists_that_are_being_stored(scored_shop: Shop) -> None:
    generation = begin()

    def give_up() -> None:
        with unit_of_work() as session:
            generations.give_up(session, generation)

    ending = threading.Thread(target=give_up)
    waits = (
        "SELECT 1 FROM pg_stat_activity "
        "WHERE wait_event_type = 'Lock' AND query LIKE '%%status = ''failed''%%'"
    )
    with unit_of_work() as session:
        assert store_lists(session, generation, {1: b"a"}) == {1: b"a"}
        ending.start()
        until(lambda: execute(scored_shop, waits) != [])
    ending.join(30)
    found = execute(
        scored_shop, "SELECT 1 FROM recommendations_db.stored_lists WHERE generation_id = %s", generation
    )
    assert found == []
