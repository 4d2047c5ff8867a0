"""Carts in Redis: atomic, bounded, expiring, merged once, ordered once."""

from __future__ import annotations

import pytest
import redis

from recsys.cache import keys
from recsys.domains.orders.carts import store as carts
from recsys.domains.orders.carts.store import Cart, CartLine, Owner
from recsys.errors import Invalid
from recsys.settings import get_settings
from tests.support.shop import Shop

ADA, GUEST = Owner(user_id=5), Owner(session_id="visit-1")


def held(owner: Owner) -> dict[tuple[int, int | None], int]:
    return {(line.product_id, line.variant_id): line.quantity for line in carts.read(owner).lines}


def test_pieces_add_up_and_a_put_is_the_same_twice(shop: Shop) -> None:
    carts.add(ADA, CartLine(1, None, 2))
    carts.add(ADA, CartLine(1, None, 3))
    carts.add(ADA, CartLine(1, 7, 1))
    assert held(ADA) == {(1, None): 5, (1, 7): 1}
    for _ in range(2):
        carts.put(ADA, CartLine(1, None, 4))
    assert held(ADA) == {(1, None): 4, (1, 7): 1}
    carts.put(ADA, CartLine(1, 7, 0))
    assert held(ADA) == {(1, None): 4}
    carts.clear(ADA)
    assert carts.read(ADA) == Cart(None, ())


def test_each_change_is_published_once_with_what_changed(shop: Shop, redis_client: redis.Redis) -> None:
    carts.add(GUEST, CartLine(3, None, 2))
    carts.put(GUEST, CartLine(3, None, 5))
    carts.put(GUEST, CartLine(3, None, 5))
    carts.put(GUEST, CartLine(3, None, 1))
    carts.clear(GUEST)
    events = [(one[b"name"], one[b"data"]) for _, one in redis_client.xrange(keys.cart_events())]  # type: ignore[union-attr, index]
    assert [name for name, _ in events] == [
        b"cart.item_added",
        b"cart.item_added",
        b"cart.item_removed",
        b"cart.cleared",
    ]
    assert b'"quantity":3' in events[1][1]
    assert b'"quantity":4' in events[2][1]
    assert redis_client.xlen(keys.cart_analytics()) == 4


def test_a_cart_is_bounded_and_a_refused_change_leaves_it_alone(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECSYS_SHOP__MAX_CART_LINES", "2")
    get_settings.cache_clear()
    carts.add(ADA, CartLine(1, None, 998))
    with pytest.raises(Invalid, match="at most 999 pieces"):
        carts.add(ADA, CartLine(1, None, 2))
    carts.add(ADA, CartLine(2, None, 1))
    with pytest.raises(Invalid, match="at most 2 different products"):
        carts.add(ADA, CartLine(3, None, 1))
    assert held(ADA) == {(1, None): 998, (2, None): 1}


def test_a_guest_s_cart_expires_before_a_user_s(shop: Shop, redis_client: redis.Redis) -> None:
    carts.add(ADA, CartLine(1, None, 1))
    carts.add(GUEST, CartLine(1, None, 1))
    mine, theirs = redis_client.ttl(ADA.key), redis_client.ttl(GUEST.key)
    assert 0 < theirs <= 7 * 86_400 < mine <= 30 * 86_400


def test_a_guest_s_cart_moves_once_and_what_does_not_fit_stays_out(
    shop: Shop, redis_client: redis.Redis
) -> None:
    carts.add(ADA, CartLine(1, None, 998))
    carts.add(GUEST, CartLine(1, None, 5))
    carts.add(GUEST, CartLine(2, 9, 1))
    assert carts.merge("visit-1", 5) is True
    assert carts.merge("visit-1", 5) is False
    assert held(ADA) == {(1, None): 999, (2, 9): 1}
    assert carts.read(GUEST) == Cart(None, ())
    if not get_settings().redis.is_cluster:
        # in a cluster the job that looks for abandoned carts takes empty ones off
        assert redis_client.zscore(keys.changed_carts(), "session:visit-1") is None


def test_what_is_ordered_leaves_once_and_what_was_added_since_stays(shop: Shop) -> None:
    carts.add(ADA, CartLine(1, None, 2))
    first = carts.read(ADA)
    carts.add(ADA, CartLine(1, None, 1))
    carts.add(ADA, CartLine(2, None, 4))
    assert carts.read(ADA).id == first.id
    for _ in range(2):
        carts.take_ordered(ADA, 77, first.lines)
    assert held(ADA) == {(1, None): 1, (2, None): 4}
    carts.add(ADA, CartLine(2, None, 1))
    assert carts.read(ADA).id not in (None, first.id)


def test_an_owner_is_a_user_or_a_guest() -> None:
    for owner in (ADA, GUEST, Owner(session_id="user:7:x")):
        assert Owner.named(owner.name) == owner
    with pytest.raises(ValueError, match="not to both or neither"):
        Owner()
    with pytest.raises(ValueError, match="not to both or neither"):
        Owner(user_id=1, session_id="x")
