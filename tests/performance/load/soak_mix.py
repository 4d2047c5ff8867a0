"""The mix of a busy hour while servers are killed in turn; at the end every accepted post is stored.

Run it by `make soak` (after `make demo`), or `python -m tests.performance.load.soak_mix [--minutes 4]`. In
the middle of each minute one part is killed as by a power cut (Valkey, then PostgreSQL) and started again
five seconds later. The exit code is 1 unless all accepted interactions are stored and no answer was 5xx.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import time

from rich.console import Console
from sqlalchemy import text

from recsys.cache import keys
from recsys.cache.client import get_redis
from recsys.database.session import dispose_engines, unit_of_work
from recsys.embedded import start, status
from recsys.settings import get_settings
from tests.performance.bench_answers import api
from tests.performance.load.mix import MixResult, busy_hour, send, users_and_products

PARTS = ("valkey", "postgres")
AWAY_SECONDS = 5.0
DRAIN_SECONDS = 120.0
console = Console(highlight=False)


def kill(part: str) -> None:
    """End a server at once, as a power cut does."""
    (pid,) = (server.pid for server in status(get_settings(), sizes=False) if server.name == part)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


def stored() -> int:
    """Interactions in PostgreSQL."""
    with unit_of_work() as session:
        return int(session.scalars(text("SELECT count(*) FROM recommendations_db.user_interactions")).one())


def waiting() -> int:
    """Posts that wait in Redis for PostgreSQL."""
    return int(get_redis().xlen(keys.posts_waiting()))


def revive() -> None:
    """Start what was killed; this process finds it at its address again."""
    start(get_settings())
    dispose_engines()


async def outages(minutes: int) -> None:
    """In each minute another part is away for some seconds."""
    for minute in range(minutes):
        await asyncio.sleep(30)
        part = PARTS[minute % len(PARTS)]
        kill(part)
        await asyncio.sleep(AWAY_SECONDS)
        await asyncio.to_thread(revive)
        console.print(f"minute {minute + 1}: {part} was killed and started again after {AWAY_SECONDS:.0f} s")
        await asyncio.sleep(max(0.0, 30 - AWAY_SECONDS))


async def soak(url: str, users: list[int], products: list[int], minutes: int, rate: float) -> MixResult:
    """The load and the outages at the same time."""
    requests = busy_hour(users, products, int(60 * minutes * rate))
    result, _ = await asyncio.gather(send(url, requests, rate), outages(minutes))
    return result


def main() -> None:
    """Soak the demo's shop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=int, default=4)
    parser.add_argument("--rate", type=float, default=100.0)
    given = parser.parse_args()
    start(get_settings())
    users, products = users_and_products()
    before = stored()
    with api() as url:
        result = asyncio.run(soak(url, users, products, given.minutes, given.rate))
        until = time.monotonic() + DRAIN_SECONDS
        while waiting() and time.monotonic() < until:
            time.sleep(0.5)
    written, accepted = stored() - before, result.accepted
    errors = sum(count for status_code, count in result.statuses.items() if status_code >= 500)
    late = {kind: result.quantile(0.99, kind) for kind in ("list", "interaction")}
    console.print(
        f"{sum(result.statuses.values()):,} requests, {errors} of them 5xx, {result.closed} disconnects; "
        f"lists {result.complete:.2%} complete, p99 {late['list']:.0f} ms; interactions p99 "
        f"{late['interaction']:.0f} ms, {accepted:,} accepted, {written:,} stored, {waiting()} still wait"
    )
    if errors or written != accepted:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
