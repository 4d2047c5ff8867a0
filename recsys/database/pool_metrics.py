"""How much of the connection pools is in use, as gauges of the process that uses the most."""

from __future__ import annotations

from typing import Any

from prometheus_client import Gauge
from sqlalchemy import Engine, event
from sqlalchemy.pool import ConnectionPoolEntry

from recsys.web.metrics import REGISTRY

__all__ = ["watch_pool"]

_LENT = "recsys_lent"

# of several processes the fullest pool counts: the sum would hide it
_IN_USE = Gauge(
    "recsys_database_pool_in_use",
    "Connections to a PostgreSQL server in use, of the process that uses the most.",
    ["server"],
    registry=REGISTRY,
    multiprocess_mode="livemax",
)
_LIMIT = Gauge(
    "recsys_database_pool_limit",
    "Connections to a PostgreSQL server that one process opens at most.",
    registry=REGISTRY,
    multiprocess_mode="livemax",
)


def watch_pool(engine: Engine, server: str, limit: int) -> None:
    """Count the connections of an engine that are lent out.

    Parameters
    ----------
    server
        The server that it connects to: one full pool must not hide behind others.
    limit
        How many connections each engine lends at most.
    """
    _LIMIT.set(limit)
    in_use = _IN_USE.labels(server)

    @event.listens_for(engine, "checkout")
    def lent(_: object, record: ConnectionPoolEntry, __: object) -> None:
        marks = _marks_of(record)
        if not marks.get(_LENT):
            marks[_LENT] = True
            in_use.inc()

    @event.listens_for(engine, "checkin")
    def returned(_: object, record: ConnectionPoolEntry) -> None:
        # a connection that could not be made is returned without having been lent
        if _marks_of(record).pop(_LENT, False):
            in_use.dec()


def _marks_of(record: ConnectionPoolEntry) -> dict[Any, Any]:
    """What outlives the connection of an entry."""
    marks = record.record_info
    # only a connection that was detached from its pool has none
    assert marks is not None
    return marks
