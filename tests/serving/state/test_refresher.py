"""Snapshots of serving data: exchanged whole, and never waited for by the event loop."""

from __future__ import annotations

import asyncio

import pytest

from serving.state.redis_connection import RedisConnection
from serving.state.refresher import Refresher


def test_the_generation_does_not_wait_for_a_snapshot_that_is_being_prepared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def seven(self: RedisConnection) -> int:
        return 7

    monkeypatch.setattr(RedisConnection, "live_generation", seven)
    refresher = Refresher()
    before = refresher.data
    with refresher._preparing:  # another job compares new products with all others for seconds
        asyncio.run(asyncio.wait_for(refresher.refresh_generation(), 5))
    assert refresher.data.generation == 7
    assert refresher.data.version == before.version + 1
    assert before.generation is None, "who began with the former snapshot keeps it"


def test_nothing_is_exchanged_while_nothing_changes() -> None:
    refresher = Refresher()
    refresher._publish()
    settled = refresher.data
    for _ in range(3):
        refresher._publish()
    assert refresher.data is settled
