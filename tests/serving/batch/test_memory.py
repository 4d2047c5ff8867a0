"""What stored lists take in Redis: the bound that the documentation states."""

from __future__ import annotations

import redis

from recsys.cache.cluster import Cluster
from recsys.domains.recommendations.reasons import Kind, ReasonCode
from recsys.domains.recommendations.stored_lists import cache as list_cache
from recsys.domains.recommendations.stored_lists.codec import Entry, StoredList, pack
from tests.support.shop import Shop

PRODUCTS, NEW, USERS = 100, 40, 40_000
BOUND = 1_900
"""Bytes a user and generation, with the key and what Redis needs for it."""


def used_memory(client: redis.Redis) -> int:
    """Bytes of the server, or of all masters of the cluster."""
    if isinstance(client, Cluster):
        found = client.info("memory", target_nodes=Cluster.PRIMARIES)
        return sum(int(each["used_memory"]) for each in found.values())
    return int(client.info("memory")["used_memory"])


def test_a_million_users_take_what_is_stated(shop: Shop, redis_client: redis.Redis) -> None:
    entries = [
        Entry(
            2**31 - place - 1, 10_000 - place, Kind.COLLABORATIVE, ReasonCode.BECAUSE_BOUGHT, 2**31 - 1, True
        )
        for place in range(PRODUCTS)
    ]
    name = "a_rather_long_name_of_a_model-v100"
    packed = pack(StoredList(2**31 - 1, name, "100", entries, 2**31, entries[:NEW]))
    assert len(packed) == 19 + 34 + 3 + 11 * (PRODUCTS + NEW)
    before = used_memory(redis_client)
    for first in range(0, USERS, 500):
        users = range(10**6 + first, 10**6 + first + 500)
        list_cache.write_lists(7, dict.fromkeys(users, packed), 3600)
    taken = used_memory(redis_client) - before
    assert 1_600 * USERS < taken < BOUND * USERS, taken / USERS
