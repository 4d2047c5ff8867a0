"""Events per second from the outbox over the relay to a handler, against bare XADD and XREADGROUP.

Run as `python -m tests.performance.bench_events`. Servers are embedded and thrown away. The floor moves the
same entries through a stream with one XADD each (pipelined by 500) and XREADGROUP plus XACK by 50, without a
database: nothing of it would survive a transaction that fails.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from time import perf_counter
from typing import Any
from uuid import uuid4

from rich.console import Console
from rich.table import Table
from sqlalchemy.orm import Session

from recsys import clock, embedded
from recsys.cache.client import get_redis
from recsys.database.addresses import database_url
from recsys.database.migrate import upgrade
from recsys.database.session import unit_of_work
from recsys.events import relay
from recsys.events.consumer import Consumer
from recsys.events.envelope import Envelope, fields_of
from recsys.events.publish import publish
from recsys.events.vocabulary import ProductCreated
from recsys.settings import Settings, get_settings
from tests.support.servers import temporary_var

EVENTS = 10_000
TOGETHER = 10


def main() -> None:
    """Print the rate of each step and of the whole, and its ratio to the floor."""
    with temporary_var("recsys-bench-") as var:
        os.environ["RECSYS_VAR"] = str(var)
        get_settings.cache_clear()
        settings = Settings()
        embedded.start(settings)
        try:
            upgrade(database_url())
            relay.prepare()
            steps = {
                f"publish ({TOGETHER} in a transaction)": _timed(_publish),
                "relay": _timed(lambda: relay.run(threading.Event(), once=True)),
                "consume (inbox, one handler)": _timed(_consume),
            }
            floor = _timed(_floor)
        finally:
            embedded.stop(settings)
    whole = sum(steps.values())
    table = Table(title=f"{EVENTS:,} events, one process after the other")
    table.add_column("")
    table.add_column("events/s", justify="right")
    for name, seconds in {**steps, "the whole way": whole, "bare XADD + XREADGROUP": floor}.items():
        table.add_row(name, f"{EVENTS / seconds:,.0f}")
    console = Console()
    console.print(table)
    console.print(f"ratio {floor / whole:.3f}")


def _timed(work: Callable[[], object]) -> float:
    began = perf_counter()
    work()
    return perf_counter() - began


def _publish() -> None:
    for start in range(0, EVENTS, TOGETHER):
        with unit_of_work() as session:
            for number in range(start, start + TOGETHER):
                publish(session, ProductCreated(product_id=number))


def _consume() -> None:
    seen = []

    def hear(session: Session, envelope: Envelope) -> None:
        seen.append(envelope.event_id)

    Consumer("bench", {ProductCreated: (hear,)}).run(threading.Event(), once=True)
    assert len(set(seen)) == EVENTS


def _floor() -> None:
    client = get_redis()
    client.xgroup_create("floor", "bench", id="0", mkstream=True)
    event = ProductCreated(product_id=1)
    for _ in range(0, EVENTS, 500):
        pipeline = client.pipeline(transaction=False)
        for _ in range(500):
            data = event.model_dump_json()
            pipeline.xadd("floor", fields_of(uuid4(), event.name, 1, event.aggregate, clock.now(), data))
        pipeline.execute()
    read = 0
    while read < EVENTS:
        answer: Any = client.xreadgroup("bench", "one", {"floor": ">"}, count=50)
        parts = answer.values() if isinstance(answer, dict) else [[each[1]] for each in answer]
        ids = [entry for part in parts for batch in part for entry, _ in batch]
        client.xack("floor", "bench", *ids)
        read += len(ids)


if __name__ == "__main__":
    main()
