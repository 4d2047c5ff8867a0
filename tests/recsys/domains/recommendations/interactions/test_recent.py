"""Recent interactions in Redis of users and guests, and what cancels a dismissal."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import redis

from recsys import clock
from recsys.cache import keys
from recsys.domains.recommendations.interactions.recent import (
    Recent,
    Touched,
    inherit,
    remember_touched,
)
from recsys.domains.recommendations.types import InteractionType
from tests.support.shop import Shop

DISMISSED, LIKE, VIEW, PURCHASE = (
    InteractionType.DISMISSED,
    InteractionType.LIKE,
    InteractionType.VIEW,
    InteractionType.PURCHASE,
)


COLLECTED = clock.now()


def touched(kind: InteractionType, product: int = 7, *, ago: float = 0, user: int | None = 1) -> Touched:
    return Touched(user, product, kind, clock.now() - timedelta(seconds=ago), "visit")


def taken_back(**about: Any) -> Touched:
    return replace(touched(DISMISSED, **about), value=Decimal(-1))


def known(client: redis.Redis) -> Recent:
    """What Redis knows of user 1."""
    members = client.smembers(keys.recent_interactions(1))
    assert isinstance(members, set)
    return Recent.read(members)


def test_members_say_what_they_mean() -> None:
    found = Recent.read([b"1", b"2", b"-2", b"d3"])
    assert (found.touched, found.bought, found.dismissed) == ({1, 2, 3}, {2}, {3})
    wrong = [b"", b"x", b"d", b"dd1", b"\xff", b"--1", b"1_0", b"9" * 5000]
    assert Recent.read([*wrong, b"1", b"-2", b"d3"]) == found, "what is none costs nobody the others"


@pytest.mark.parametrize(
    ("batches", "dismissed"),
    [
        ([[touched(DISMISSED)]], True),
        ([[touched(DISMISSED)], [touched(VIEW)]], True),
        ([[touched(DISMISSED)], [touched(LIKE)]], False),
        ([[touched(DISMISSED)], [touched(PURCHASE)]], False),
        ([[touched(DISMISSED)], [taken_back()]], False),
        ([[touched(DISMISSED)], [taken_back()], [touched(DISMISSED)]], True),
        ([[touched(DISMISSED), taken_back(ago=2)]], True),
        ([[taken_back(), touched(DISMISSED, ago=2)]], False),
        ([[touched(DISMISSED)], [taken_back(ago=3600)]], True),
        ([[touched(DISMISSED)], [touched(LIKE)], [touched(DISMISSED)]], True),
        ([[touched(LIKE), touched(DISMISSED, ago=2)]], False),
        ([[touched(DISMISSED), touched(LIKE, ago=2)]], True),
        # a late event may have been before the dismissal
        ([[touched(DISMISSED)], [touched(LIKE, ago=3600)]], True),
        ([[touched(DISMISSED)], [touched(LIKE, 8)]], True),
    ],
)
def test_a_dismissal_holds_until_it_is_taken_back(
    shop: Shop, redis_client: redis.Redis, batches: list[list[Touched]], dismissed: bool
) -> None:
    # the moments above are those of collecting the tests, which may be a while ago
    since = clock.now() - COLLECTED
    for several in batches:
        remember_touched([replace(one, moment=one.moment + since) for one in several])
    assert (7 in known(redis_client).dismissed) is dismissed
    assert 7 in known(redis_client).touched


def test_a_guest_s_set_moves_to_the_user_and_its_key_is_short(shop: Shop, redis_client: redis.Redis) -> None:
    remember_touched([touched(DISMISSED, user=None), touched(PURCHASE, 8, user=None), touched(VIEW, 9)])
    inherit("visit", 1)
    found = known(redis_client)
    assert (found.touched, found.bought, found.dismissed) == ({7, 8, 9}, {8}, {7})
    assert list(redis_client.scan_iter("interactions:recent:*")) == [keys.recent_interactions(1).encode()]
    assert redis_client.ttl(keys.recent_interactions(1)) > 0
    for length in (64, 65, 255):
        assert len(keys.recent_session_interactions("x" * length)) == len("interactions:recent:session:") + 64
