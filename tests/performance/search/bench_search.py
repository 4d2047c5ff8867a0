"""Searches per second and their 99th percentile on the demo's 92,331 products, over HTTP, never from a cache.

Run it by `make bench`, or `python -m tests.performance.search.bench_search [--here] [--seconds 10] [--rate
100]`. One uvicorn process answers; the load comes from this process at a fixed rate, and a time counts from
the moment at which its request was due, so that a server that falls behind can't hide it. Every query differs
from the others in a filter that lets everything through, so nothing comes from Redis but in the last row. The
personalised ones ask a stand-in for a recommender, which makes up scores. At last 20,000 hostile searches.

--here : the shop of this environment (RECSYS_VAR …), filled and reindexed; else a new one of the demo's data.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import httpx
import psutil
from fastapi import FastAPI
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from rich.console import Console
from sqlalchemy import text
from sqlalchemy.orm import Session

from recsys.api import create_api
from recsys.database.session import unit_of_work
from recsys.search.ranking import personalization
from recsys.settings import get_settings
from serving.server.runtime_tuning import tuned_runtime
from tests.recsys.search.hostile import paths
from tests.support.servers import ROOT, temporary_var

TARGET_MS = 50
HOSTILE = 20_000
USERS = 20
PASSWORD = "correct horse battery"


class StandIn:
    """Made-up scores, the same for a user and product whenever they are asked for."""

    def scores(
        self, session: Session, user_id: int, product_ids: Sequence[int]
    ) -> Mapping[int, float] | None:
        return {one: (one * 2654435761 + user_id * 40503) % 1000 / 1000 for one in product_ids}


def app() -> FastAPI:
    """The core's application with a personaliser, tuned as `recsys serve api` is."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        with tuned_runtime():
            yield

    personalization.use(StandIn())
    return create_api(lifespan=lifespan)


@contextmanager
def shop(here: bool) -> Iterator[None]:
    """The shop of this environment, or a new one with the demo's data."""
    if here:
        yield
        return
    with temporary_var("recsys-bench-") as var:
        os.environ["RECSYS_VAR"] = str(var)
        get_settings.cache_clear()
        for command in (["up"], ["migrate"], ["import", "complete-journey"], ["search", "reindex"]):
            subprocess.run(
                [sys.executable, "-m", "recsys", *command], cwd=ROOT, check=True, stdout=subprocess.DEVNULL
            )
        yield


@contextmanager
def server(console: Console) -> Iterator[tuple[str, psutil.Process]]:
    """One process of uvicorn."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    quick = {"RECSYS_USERS__ARGON2_TIME_COST": "1", "RECSYS_USERS__ARGON2_MEMORY_KIB": "64"}
    command = [
        "-m",
        "uvicorn",
        "--factory",
        "tests.performance.search.bench_search:app",
        "--log-level",
        "error",
    ]
    process = subprocess.Popen(
        [sys.executable, *command, "--no-access-log", "--port", str(port)],
        cwd=ROOT,
        env={**os.environ, **quick, "RECSYS_LOG_LEVEL": "ERROR"},
        stdout=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            try:
                httpx.get(f"{url}/metrics", timeout=1)
                break
            except httpx.TransportError:
                time.sleep(0.1)
        else:
            console.print("the server did not start")
            raise SystemExit(1)
        yield url, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(20)


def tokens(url: str) -> list[str]:
    """Users who are logged in."""
    found = []
    mark = random.Random().randrange(10**9)
    with httpx.Client(base_url=f"{url}/api/v1") as client:
        for number in range(USERS):
            name = f"bench{mark}x{number}"
            body = {"username": name, "email": f"{name}@example.org", "full_name": name, "password": PASSWORD}
            client.post("/auth/register", json=body).raise_for_status()
            answer = client.post("/auth/login", json={"login": name, "password": PASSWORD})
            found.append(answer.raise_for_status().json()["token"])
    return found


def queries(seed: int) -> dict[str, Callable[[int], str]]:
    """By kind, a path for each number. Words are those of product names, as often as they are there."""
    with unit_of_work() as session:
        names = session.scalars(
            text(
                "SELECT name FROM products_db.product_search WHERE status = 'active' "
                "ORDER BY md5(product_id::text || :seed) LIMIT 3000"
            ),
            {"seed": str(seed)},
        ).all()
    chance = random.Random(seed)
    typed = []
    for name in names:
        words = [word for word in name.lower().replace("/", " ").split() if word.isalpha() and len(word) > 3]
        if words:
            typed.append(" ".join(chance.sample(words, min(len(words), chance.choice([1, 1, 2])))))

    def all_pass(number: int) -> str:
        return f"max_price={50_000 + number % 40_000}.{number // 40_000:02d}"

    def misspelt(number: int) -> str:
        words = typed[number % len(typed)].split()
        place = chance.randrange(1, len(words[0]))
        words[0] = words[0][:place] + words[0][place + 1 :]
        return " ".join(words)

    def products(query: str, number: int, more: str = "") -> str:
        return f"/api/v1/search/products?q={quote(query)}&{all_pass(number)}{more}"

    facets = "&facet=category&facet=brand&facet=price"
    return {
        "word": lambda number: products(typed[number % len(typed)], number),
        "misspelt": lambda number: products(misspelt(number), number),
        "prefix": lambda number: (
            f"/api/v1/search/suggest?prefix={quote(typed[number % len(typed)][: chance.randint(2, 7)])}"
        ),
        "faceted": lambda number: products(typed[number % len(typed)], number, facets),
        "personalised": lambda number: products(typed[number % len(typed)], number),
        "cached": lambda number: f"/api/v1/search/products?q={quote(typed[number % 50])}",
    }


async def load(
    url: str, path: Callable[[int], str], logins: Sequence[str], rate: float, seconds: float, first: int
) -> list[float]:
    """Milliseconds of each request, from the moment it was due."""
    port = int(url.rsplit(":", 1)[1])
    free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    for _ in range(16):
        free.put_nowait(await asyncio.open_connection("127.0.0.1", port))
    spent: list[float] = []

    async def ask(number: int, due: float) -> None:
        login = f"Authorization: Bearer {logins[number % len(logins)]}\r\n" if logins else ""
        request = f"GET {path(number)} HTTP/1.1\r\nHost: bench\r\n{login}\r\n".encode()
        reader, writer = await free.get()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(head.decode())
        length = next(
            int(line.split(b":")[1])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length")
        )
        await reader.readexactly(length)
        spent.append((time.perf_counter() - due) * 1000)
        free.put_nowait((reader, writer))

    begin = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(int(rate * seconds)):
            due = begin + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            group.create_task(ask(first + number, due))
    while not free.empty():
        _, writer = free.get_nowait()
        writer.close()
        await writer.wait_closed()
    return spent


def most_per_second(url: str, path: Callable[[int], str], logins: Sequence[str], first: int) -> float:
    """Answers per second when there is always another request waiting."""
    begin = time.perf_counter()
    count = len(asyncio.run(load(url, path, logins, 100_000, 600 / 100_000, first)))
    return count / (time.perf_counter() - begin)


def hostile(url: str, console: Console) -> None:
    """20,000 searches by somebody who means harm."""
    statuses: dict[int, int] = {}
    with httpx.Client(base_url=url, timeout=30) as client:

        @examples(max_examples=HOSTILE, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        @given(paths())
        def check(path: str) -> None:
            status = client.get(path).status_code
            statuses[status] = statuses.get(status, 0) + 1
            assert status < 500, path

        check()
    counts = ", ".join(f"{count} times {status}" for status, count in sorted(statuses.items()))
    console.print(f"hostile searches: {sum(statuses.values())} ({counts}); none was answered by a 5xx")


def processor_seconds(process: psutil.Process) -> tuple[float, float]:
    """What the server and PostgreSQL (connections that have ended, too) have used so far."""
    with unit_of_work() as session:
        postmaster = psutil.Process(session.scalar(text("SELECT pg_backend_pid()"))).parent()
    assert postmaster is not None
    alive = 0.0
    for one in postmaster.children():
        # a process that ends right now is in the postmaster's own figures a moment later
        with suppress(psutil.NoSuchProcess):
            alive += sum(one.cpu_times()[:2])
    return sum(process.cpu_times()[:2]), sum(postmaster.cpu_times()[:4]) + alive


def main() -> None:
    """Measure each kind, and try to break it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--here", action="store_true")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rate", type=float, default=100.0)
    parser.add_argument("--hostile", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--only", action="append", help="this kind of search; may be given several times")
    options = parser.parse_args()
    console = Console(soft_wrap=True)
    with shop(options.here), server(console) as (url, process):
        logins = tokens(url)
        with unit_of_work() as session:
            number = session.scalar(text("SELECT count(*) FROM products_db.product_search"))
        others = psutil.cpu_percent(2.0)
        console.print(
            f"{number} products; {options.rate:g} searches/s for {options.seconds:g} s each; "
            f"{psutil.cpu_count()} cores, {others:.0f}% in use by others as it began"
        )
        # other numbers in each run, or one soon after another would be answered from its cache
        first = int(time.time()) % 1000 * 3000
        for kind, path in queries(7).items():
            if options.only and kind not in options.only:
                continue
            who = logins if kind == "personalised" else []
            asyncio.run(load(url, path, who, options.rate, 1.0, first + 100_000))
            before = processor_seconds(process)
            spent = sorted(asyncio.run(load(url, path, who, options.rate, options.seconds, first)))
            python, database = (
                (after - first) * 1000 / len(spent)
                for after, first in zip(processor_seconds(process), before, strict=True)
            )
            p99 = spent[int(len(spent) * 0.99)]
            most = most_per_second(url, path, who, first + 200_000)
            verdict = "within" if p99 < TARGET_MS else "MISSES"
            console.print(
                f"{kind:>12}: median {statistics.median(spent):6.1f} ms, p99 {p99:6.1f} ms "
                f"({verdict} {TARGET_MS} ms); at most {most:4.0f} searches/s; "
                f"processor: {python:.1f} ms Python, {database:.1f} ms PostgreSQL each"
            )
        if options.hostile:
            hostile(url, console)


if __name__ == "__main__":
    sys.path.insert(0, str(Path.cwd()))
    main()
