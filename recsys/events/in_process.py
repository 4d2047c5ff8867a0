"""Relay, periodic jobs and consumers as threads of another process, for a shop on one machine."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from recsys.events import consumer_groups, periodic, relay
from recsys.events.consumer import Consumer
from recsys.log import get_logger
from recsys.settings import Settings

__all__ = ["periodic_jobs", "stopped_by_signals", "wanted", "working"]

_DRAIN_SECONDS = 10.0
_log = get_logger(__name__)


def wanted(settings: Settings) -> bool:
    """Whether `recsys serve api` should run them, by the setting `events.inside_api`."""
    chosen = settings.events.inside_api
    return settings.environment == "development" if chosen is None else chosen


@contextmanager
def working(also: Mapping[str, Callable[[threading.Event], object]] | None = None) -> Iterator[None]:
    """Run the relay, periodic jobs and a consumer of every group inside the block; all finish at its end.

    Parameters
    ----------
    also
        Work of other packages, by name; it ends when the event is set.
    """
    stop = threading.Event()
    work: dict[str, Callable[[], object]] = {
        "relay": lambda: relay.run(stop),
        "periodic jobs": lambda: periodic.run(stop),
    }
    for name, job in (also or {}).items():
        work[name] = lambda job=job: job(stop)  # type: ignore[misc]
    for group in consumer_groups.group_names():
        consumer = Consumer(group)
        work[f"consumer {group}"] = lambda consumer=consumer: consumer.run(stop)  # type: ignore[misc]
    threads = [
        threading.Thread(target=_guarded, args=(name, job, stop), name=name, daemon=True)
        for name, job in work.items()
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(_DRAIN_SECONDS)
            if thread.is_alive():
                _log.warning(
                    "a thread did not finish in time; its work is repeated elsewhere", thread=thread.name
                )


@contextmanager
def periodic_jobs(stop: threading.Event, *, once: bool = False) -> Iterator[None]:
    """Run periodic jobs in a thread inside the block (with `once`: none), which sets `stop` at its end."""
    if once:
        yield
        return
    thread = threading.Thread(
        target=_guarded,
        args=("periodic jobs", lambda: periodic.run(stop), stop),
        name="periodic jobs",
        daemon=True,
    )
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(_DRAIN_SECONDS)


@contextmanager
def stopped_by_signals() -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set, so that a process finishes the work that it has begun."""
    stop = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _guarded(name: str, job: Callable[[], object], stop: threading.Event) -> None:
    """An unexpected error in one thread is logged and the thread starts again."""
    while not stop.is_set():
        try:
            job()
            return
        except Exception as error:  # noqa: BLE001 the thread's edge
            _log.error("stopped unexpectedly; it starts again", thread=name, error=type(error).__name__)
            stop.wait(5.0)
