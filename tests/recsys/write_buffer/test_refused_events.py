"""Refused events are counted by reason, without what was sent, in bounded memory."""

from __future__ import annotations

from datetime import timedelta

import pytest
from redis import Redis

from recsys import clock
from recsys.cache import keys
from recsys.errors import Unavailable
from recsys.write_buffer import refused_events
from recsys.write_buffer.batches import PostVerdict
from recsys.write_buffer.refused_events import KEPT_DAYS, MOST_REASONS, OTHER, count_refused
from tests.support.shop import Shop


def refused(*reasons: str) -> list[PostVerdict]:
    return [
        PostVerdict(index=0, status="stored", event_id="x"),
        *(
            PostVerdict(index=place, status="refused", reason=reason)
            for place, reason in enumerate(reasons, 1)
        ),
    ]


def counted() -> dict[tuple[str, str], int]:
    return {(each.kind, each.reason): each.events for each in refused_events.refused_events()}


def test_counts_add_up_over_requests_days_and_kinds(shop: Shop, redis_client: Redis) -> None:
    now = clock.now()
    count_refused("interactions", refused("no product", "no product", "no user"))
    count_refused("feedback", refused("no product"))
    with clock.frozen_at(now + timedelta(days=1)):
        count_refused("interactions", refused("no product"))
        assert counted() == {
            ("interactions", "no product"): 3,
            ("interactions", "no user"): 1,
            ("feedback", "no product"): 1,
        }
    with clock.frozen_at(now + timedelta(days=KEPT_DAYS)):
        assert counted() == {("interactions", "no product"): 1}
    for key in redis_client.scan_iter("posts:refused:*"):
        assert 0 < redis_client.ttl(key) <= (KEPT_DAYS + 1) * 86_400


def test_names_that_a_sender_chooses_are_not_kept(shop: Shop, redis_client: Redis) -> None:
    unknown = "no such field is known"
    names = ["sesion_id", "ann@example.org", "a" * 41, "Ann Ant", "x: y"]
    count_refused(
        "interactions", refused(*(f"{name}: {unknown}" for name in names), f"price: {unknown}; no user")
    )
    assert counted() == {
        ("interactions", "a field with an unknown name"): 4,
        ("interactions", f"sesion_id: {unknown}"): 1,
        ("interactions", f"price: {unknown}; no user"): 1,
    }


def test_the_number_of_reasons_is_bounded(shop: Shop, redis_client: Redis) -> None:
    for number in range(MOST_REASONS):
        count_refused("interactions", refused(f"reason {number}"))
    for number in range(MOST_REASONS + 20):
        count_refused("interactions", refused(f"reason {number}", f"reason {number}"))
    day = keys.refused_events(clock.now().date().isoformat())
    assert redis_client.hlen(day) == MOST_REASONS + 1
    assert counted()["interactions", OTHER] == 40
    assert sum(counted().values()) == MOST_REASONS + 2 * (MOST_REASONS + 20)


def test_without_redis_a_request_is_answered_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> None:
        raise Unavailable("away")

    monkeypatch.setattr(refused_events, "get_redis", away)
    count_refused("interactions", refused("no product"))
    with pytest.raises(Unavailable):
        refused_events.refused_events()
