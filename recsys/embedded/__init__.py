"""The embedded PostgreSQL and Valkey under `var/`: started, found and stopped; durable, loopback only."""

from __future__ import annotations

from recsys.embedded.servers import (
    Addresses,
    ServerStatus,
    addresses,
    database_address,
    redis_address,
    remove,
    start,
    status,
    stop,
)

__all__ = [
    "Addresses",
    "ServerStatus",
    "addresses",
    "database_address",
    "redis_address",
    "remove",
    "start",
    "status",
    "stop",
]
