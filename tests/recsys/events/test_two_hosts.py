"""Two hosts relay and consume; whichever dies, events stay in order, none is lost and none counted twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from recsys.cache import keys
from recsys.cache.client import get_redis
from recsys.database.session import unit_of_work
from recsys.events.envelope import open_entry
from recsys.settings import get_settings
from tests.recsys.events import counting
from tests.support import warm
from tests.support.shop import Shop

COMMANDS = (("recsys", "relay"), ("tests.recsys.events.counting",), ("tests.recsys.events.counting",))
WAVE = 150


class _Host:
    """A relay and two consumers with a folder of their own; they share the servers alone."""

    def __init__(self, var: Path) -> None:
        var.mkdir()
        self._environment = {**os.environ, "RECSYS_VAR": str(var)}
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        self._processes = [
            warm.start(
                *("-m", *command),
                env=self._environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for command in COMMANDS
        ]

    def die(self) -> None:
        """All at once, as when the power fails."""
        for process in self._processes:
            process.send_signal(signal.SIGKILL)
        for process in self._processes:
            process.wait(60)


@pytest.mark.parametrize("seed", [1, 2])
def test_hosts_that_die_in_turn_lose_nothing_and_keep_the_order(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, seed: int
) -> None:
    monkeypatch.setenv("RECSYS_EVENTS__TAKEOVER_SECONDS", "0.5")
    monkeypatch.setenv("RECSYS_EVENTS__ATTEMPTS", "100")
    monkeypatch.setenv("RECSYS_EVENTS__BATCH", "30")
    get_settings.cache_clear()
    counting.make_table()
    chance, published = random.Random(seed), 0
    hosts = [_Host(tmp_path / name) for name in ("first", "second")]
    try:
        for host in hosts:
            host.start()
        for turn in range(3):
            # the host that dies may lead or stand by, and have entries that it has not finished
            counting.publish_many(WAVE, first=published + 1)
            published += WAVE
            _until(lambda least=published - WAVE // 2: len(counting.numbers()) >= least)  # type: ignore[misc]
            time.sleep(chance.random() / 5)
            hosts[turn % 2].die()
            counting.publish_many(WAVE, first=published + 1)
            published += WAVE
            _until(lambda least=published - WAVE // 2: len(counting.numbers()) >= least)  # type: ignore[misc]
            hosts[turn % 2].start()
        _until(lambda: len(counting.numbers()) >= published)
        _until(lambda: not _unsent())
    finally:
        for host in hosts:
            host.die()
    assert sorted(counting.numbers()) == list(range(1, published + 1))
    sent = [open_entry(fields) for _, fields in get_redis().xrange(keys.product_events())]
    # what a killed relay had sent without marking comes again; the first time each came in order
    first_times = dict.fromkeys(each.event_id for each in sent)
    assert list(first_times) == _published()


def _published() -> list[object]:
    with unit_of_work() as session:
        return list(session.scalars(text("SELECT event_id FROM analytics_db.outbox ORDER BY id")))


def _unsent() -> int:
    with unit_of_work() as session:
        return int(
            session.scalar(text("SELECT count(*) FROM analytics_db.outbox WHERE sent_at IS NULL")) or 0
        )


def _until(condition: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + 240
    while not condition():
        assert time.monotonic() < ends_at, (len(counting.numbers()), _unsent())
        threading.Event().wait(0.05)
