"""Minutes at 70% of the most that one process answers, with a switch of model and of lists each minute.

Run it by `make soak` (after `make demo`), or `python -m tests.performance.load.soak [--minutes 10]`. It needs
two registered models; the model in use before is in use again at the end, with its lists.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from typing import Any

import psutil
from rich.console import Console
from sqlalchemy import text

from models.registry import registry
from recsys.database.session import unit_of_work
from recsys.embedded import start
from recsys.settings import get_settings
from tests.performance.bench_answers import api
from tests.performance.load.paced import paced
from tests.support.servers import ROOT

SHARE = 0.7
console = Console(highlight=False)


def recsys(*arguments: str) -> Any:
    """One of our commands; what it printed as JSON."""
    done = subprocess.run(
        [sys.executable, "-m", "recsys", *arguments, "--json"], cwd=ROOT, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"recsys {' '.join(arguments)}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def served() -> tuple[str, list[str]]:
    """The model that serves and the other registered ones."""
    with unit_of_work() as session:
        active, known = registry.active(session), registry.list_models(session)
    others = [one.name for one in known if active is not None and one.name != active.name]
    if active is None or not others:
        raise SystemExit("two registered models are needed, one of them active; run `make demo` first")
    return active.name, others


async def most(url: str, paths: list[str]) -> float:
    """How many requests a second come back when ever more are sent."""
    rate = best = 500.0
    while True:
        _, _, reached = await paced(url, paths, rate, 3)
        if reached < 0.95 * rate:
            return max(best, reached)
        best, rate = reached, rate * 1.25


async def switching(minutes: int, other: str, first: str, steps: list[str]) -> None:
    """Each minute: the other model, its lists; the next one back again, with the earlier lists."""
    for minute in range(minutes):
        began = time.monotonic()
        if minute % 2 == 0:
            await asyncio.to_thread(recsys, "train", "promote", other, "--force", "--reason", "soak")
            done = await asyncio.to_thread(recsys, "serve", "score")
            steps.append(f"{other}, generation {done['generation']}")
        else:
            done = await asyncio.to_thread(recsys, "train", "rollback", "--to", first, "--reason", "soak")
            steps.append(f"{first} again, generation {done['generation']}, in {done['seconds']} s")
        await asyncio.sleep(max(0.0, 60.0 - (time.monotonic() - began)))


async def soak(url: str, paths: list[str], minutes: int, first: str, other: str) -> None:
    """Load, switches and a look at the memory at the same time."""
    process = next(
        psutil.Process(one.pid) for one in psutil.net_connections() if one.laddr and one.status == "LISTEN"
        and one.laddr.port == int(url.rsplit(":", 1)[1]) and one.pid
    )  # fmt: skip
    maximum = await most(url, paths)
    rate = SHARE * maximum
    console.print(f"most: {maximum:,.0f} requests/s; soaking at {rate:,.0f} for {minutes} min")
    steps: list[str] = []
    switches = asyncio.create_task(switching(minutes, other, first, steps))
    memory, wrong, late = [], 0, []
    for minute in range(minutes):
        latencies, failed, _ = await paced(url, paths, rate, 60)
        wrong += failed
        late.append(statistics.quantiles(latencies, n=100)[98])
        memory.append(process.memory_info().rss / 2**20)
        step = steps[minute] if minute < len(steps) else "switching"
        console.print(
            f"minute {minute + 1}: p99 {late[-1]:.1f} ms, {memory[-1]:.0f} MiB, {failed} not 200; {step}"
        )
    await switches
    console.print(
        f"{wrong} answers were not 200; memory {memory[0]:.0f} MiB after the first minute, "
        f"{memory[-1]:.0f} MiB after the last (highest {max(memory):.0f})"
    )


def main() -> None:
    """Soak what lies under `var/`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=int, default=10)
    minutes = parser.parse_args().minutes
    start(get_settings())
    first, others = served()
    with unit_of_work() as session:
        users = list(session.scalars(text("SELECT DISTINCT user_id FROM recommendations_db.stored_lists")))
    paths = [f"/api/v1/users/{user}/recommendations" for user in users]
    with api() as url:
        asyncio.run(soak(url, paths, minutes, first, others[0]))
    if served()[0] != first:
        recsys("train", "rollback", "--to", first, "--reason", "the soak is over")


if __name__ == "__main__":
    main()
