"""Periodic jobs: one leader at a time, a job's failure stops nothing, and another process takes over."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from recsys.errors import Unavailable
from recsys.events import periodic
from recsys.events.periodic import Job
from tests.support.shop import Shop


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loops that turn at once."""
    monkeypatch.setattr(periodic, "_STANDBY_SECONDS", 0.01)
    monkeypatch.setattr(periodic, "_TICK_SECONDS", 0.01)


@pytest.fixture
def stop() -> Iterator[threading.Event]:
    """Set at the end of the test, whatever happened."""
    event = threading.Event()
    yield event
    event.set()


def test_one_process_runs_them_and_another_takes_over(shop: Shop, stop: threading.Event) -> None:
    leaders: list[str] = []
    alone, turn = threading.Lock(), threading.Condition()

    def job() -> None:
        assert alone.acquire(blocking=False), "two processes run a job at the same time"
        with turn:
            leaders.append(threading.current_thread().name)
            turn.notify_all()
        alone.release()

    jobs = {"job": Job(lambda settings: 0.01, job)}
    threads = [
        threading.Thread(target=periodic.run, args=(stop,), kwargs={"jobs": jobs}, name=name)
        for name in ("a", "b")
    ]
    for thread in threads:
        thread.start()
    with turn:
        assert turn.wait_for(lambda: len(leaders) >= 5, 30)
    assert len(set(leaders)) == 1
    # whichever leads then, the lock of the first went with its connection
    with shop.connect(autocommit=True) as admin:
        ended = admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted "
            "AND objid = %s AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
            [periodic.LEADER_LOCK],
        ).fetchall()
    assert ended == [(True,)]
    with turn:
        before = len(leaders)
        assert turn.wait_for(lambda: len(leaders) >= before + 5, 30)
    stop.set()
    for thread in threads:
        thread.join(30)


def test_a_job_that_fails_or_is_off_stops_no_other(shop: Shop, stop: threading.Event) -> None:
    calls: list[str] = []

    def fails() -> None:
        calls.append("fails")
        raise Unavailable("away")

    def works() -> None:
        calls.append("works")
        if calls.count("works") == 3:
            stop.set()

    jobs = {
        "fails": Job(lambda settings: 0.001, fails),
        "off": Job(lambda settings: 0, lambda: calls.append("off")),
        "works": Job(lambda settings: 0.001, works),
    }
    periodic.run(stop, jobs=jobs)
    assert calls.count("fails") == 3
    assert "off" not in calls
