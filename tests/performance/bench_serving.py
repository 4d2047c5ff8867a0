"""Requests per second of lists of 20, against a bare route: the bytes of a stored list after one Redis GET.

Run it by `make bench`, or `python -m tests.performance.bench_serving [--seconds 5]`. Both servers are one
uvicorn process each, measured in turns in one run; the load comes from 16 keep-alive connections of this
process. On a machine that does other work the processor time per request is the steadier figure.
The same questions are also put to a server that keeps no list in memory, so that each answer of a product
or for everybody is read from Redis, as it is for the many products of a large shop. `--rate 1000` asks at
fixed moments besides, and says the quantiles from the planned start.
`--gorse PATH` measures a Gorse beside both, with the same users, products and interactions: PATH is its
`gorse-in-one`, whose lists lie in PostgreSQL here, as Valkey lacks the search that Gorse asks of Redis.
`--profile` says besides where that time goes, stage by stage (being watched costs some of it).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import psycopg
import redis
import redis.asyncio
from fastapi import FastAPI, Response
from rich.console import Console

from recsys.cache.client import redis_url
from recsys.embedded import start
from recsys.settings import Settings, get_settings
from serving.recommender import live_lists
from serving.server.app import create_worker
from tests.performance.load import gorse, stack_sampler
from tests.performance.load.paced import paced, summary
from tests.support.servers import ROOT, temporary_var

CONNECTIONS = 16
ROUNDS = 3
USERS = 28
KEY = "bench:{}"
STORED = "/api/v1/users/{}/recommendations"
QUESTIONS = {
    "stored list": STORED,
    "stored list, in stock": STORED + "?in_stock=true",
    "similar": "/api/v1/products/{}/similar",
    "bought together": "/api/v1/products/{}/bought-together",
    "popular": "/api/v1/products/popular",
}
"""The path of each question; `{}` is a user or a product."""


def bare() -> FastAPI:
    """The floor: FastAPI, one path parameter, one asynchronous GET, bytes out."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.redis = redis.asyncio.Redis.from_url(redis_url())
        yield
        await app.state.redis.aclose()

    app = FastAPI(lifespan=lifespan)

    @app.get("/api/v1/users/{user_id}/recommendations")
    async def stored(user_id: int) -> Response:
        return Response(await app.state.redis.get(KEY.format(user_id)), media_type="application/json")

    return app


def without_memory() -> FastAPI:
    """The application, with room for one list in memory: every other list is read from Redis."""
    live_lists.CAPACITY = 1
    return create_worker()


class _Client(asyncio.Protocol):
    """One keep-alive connection that asks again as soon as it was answered."""

    def __init__(self, requests: list[bytes], ends: float, latencies: list[float]) -> None:
        self.requests, self.ends, self.latencies = requests, ends, latencies
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.buffer, self.asked, self.turn = b"", 0.0, 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.ask()

    def ask(self) -> None:
        self.asked = time.perf_counter()
        self.turn += 1
        self.transport.write(self.requests[self.turn % len(self.requests)])

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head = self.buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        lowered = self.buffer[:head].lower()
        start = lowered.index(b"content-length:") + 15
        length = int(lowered[start:].split(b"\r\n", 1)[0])
        if len(self.buffer) < head + 4 + length:
            return
        assert self.buffer.startswith(b"HTTP/1.1 200"), self.buffer[:200]
        self.buffer = b""
        now = time.perf_counter()
        self.latencies.append(now - self.asked)
        if now < self.ends:
            self.ask()
        else:
            self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if error is None:
            self.closed.set_result(None)
        else:
            self.closed.set_exception(error)


async def load(port: int, seconds: float, path: str) -> tuple[float, float]:
    """Requests per second and the 99th percentile in milliseconds."""
    requests = [
        f"GET {path.format(number)} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()
        for number in range(1, USERS + 1)
    ]
    latencies: list[float] = []
    began = time.perf_counter()
    loop = asyncio.get_running_loop()
    made = [
        await loop.create_connection(lambda: _Client(requests, began + seconds, latencies), "127.0.0.1", port)
        for _ in range(CONNECTIONS)
    ]
    await asyncio.gather(*(client.closed for _, client in made))
    taken = time.perf_counter() - began
    return len(latencies) / taken, statistics.quantiles(latencies, n=100)[98] * 1000


@contextmanager
def server(factory: str) -> Iterator[tuple[int, psutil.Process]]:
    """The port of a uvicorn process that runs `factory`, and the process."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    command = [sys.executable, "-m", "uvicorn", factory, "--factory", "--port", str(port), "--no-access-log"]
    with open(os.devnull, "w") as nowhere:
        process = subprocess.Popen([*command, "--log-level", "warning"], cwd=ROOT, stderr=nowhere)
        try:
            for _ in range(600):
                try:
                    httpx.get(f"http://127.0.0.1:{port}/docs")
                    break
                except httpx.TransportError:
                    time.sleep(0.1)
            yield port, psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait()


def main() -> None:
    """Prepare a scored shop, measure both in turns, print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--profile", action="store_true", help="where the processor time goes, by stage")
    parser.add_argument(
        "--gorse", type=Path, metavar="PATH", help="its gorse-in-one, measured in the same run"
    )
    parser.add_argument("--rate", type=float, default=0.0, help="requests/s at fixed moments; 0: none")
    given = parser.parse_args()
    seconds = given.seconds
    ours_by, floor_by = (
        ("tests.performance.load.stack_sampler:ours", "tests.performance.load.stack_sampler:floor")
        if given.profile
        else ("serving.server.app:create_worker", "tests.performance.bench_serving:bare")
    )
    spent: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    console = Console(highlight=False)
    with temporary_var() as var:
        addresses = start(Settings(var=var, environment="test"), throwaway=True)
        os.environ |= {
            "RECSYS_VAR": str(var),
            stack_sampler.FOLDER: str(var),
            "RECSYS_ENVIRONMENT": "development",
            "RECSYS_API__RATE_PER_SECOND": "0",
            "RECSYS_DATABASE__URL": addresses.database_url,
            "RECSYS_REDIS__URL": addresses.redis_url,
        }
        get_settings.cache_clear()
        _prepare(addresses.database_url)
        with (
            server(ours_by) as ours,
            server(floor_by) as floor,
            server("tests.performance.bench_serving:without_memory") as from_redis,
            ExitStack() as others,
        ):
            client = redis.Redis.from_url(addresses.redis_url)
            for user in range(1, USERS + 1):
                answer = httpx.get(f"http://127.0.0.1:{ours[0]}/api/v1/users/{user}/recommendations")
                assert answer.json()["provenance"]["source"] == "stored"
                client.set(KEY.format(user), answer.content)
            client.close()
            size = len(answer.content)
            measured_paths = [("bare route", STORED, floor)]
            measured_paths += [(name, path, ours) for name, path in QUESTIONS.items()]
            measured_paths += [
                (f"{name}, from Redis", path, from_redis)
                for name, path in QUESTIONS.items()
                # of popular products there is one list, which stays in memory
                if path.startswith("/api/v1/products/{}")
            ]
            if given.gorse is not None:
                running = others.enter_context(_gorse(given.gorse.resolve(), var, addresses.database_url))
                measured_paths += [
                    (f"Gorse: {name}", path, running) for name, path in gorse.QUESTIONS.items()
                ]
            figures: dict[str, list[tuple[float, float, float]]] = {name: [] for name, _, _ in measured_paths}
            asked: dict[str, float] = defaultdict(float)
            for _ in range(ROUNDS):
                for name, path, (port, process) in measured_paths:
                    is_watched = given.profile and process in (ours[1], floor[1])
                    if is_watched:
                        stack_sampler.read(process)
                    before = sum(process.cpu_times()[:2])
                    rate, p99 = asyncio.run(load(port, seconds, path))
                    used = (sum(process.cpu_times()[:2]) - before) / (rate * seconds)
                    figures[name].append((rate, p99, used))
                    if is_watched:
                        asked[name] += rate * seconds
                        for stage, taken in stack_sampler.read(process).items():
                            spent[name][stage] += taken
            at_moments = {
                name: asyncio.run(_paced(port, path, given.rate, seconds))
                for name, path, (port, _) in measured_paths
                if given.rate
            }
    rates, costs = {}, {}
    console.print(f"load of the machine: {os.getloadavg()[0]:.1f}, processors: {os.cpu_count()}")
    console.print(f"{size:,} bytes, {CONNECTIONS} connections, median of {ROUNDS} rounds of {seconds} s")
    for name, measured in figures.items():
        rates[name], p99, costs[name] = (statistics.median(column) for column in zip(*measured, strict=True))
        console.print(
            f"{name}: {rates[name]:,.0f} requests/s, p99 {p99:.1f} ms, "
            f"{costs[name] * 1e6:.0f} µs of processor time a request; "
            f"{rates[name] / rates['bare route']:.2f} of the bare route's requests/s, "
            f"{costs['bare route'] / costs[name]:.2f} by processor time"
        )
    for name in gorse.QUESTIONS if given.gorse is not None else ():
        other = f"Gorse: {name}"
        console.print(
            f"{name} against Gorse: {rates[name] / rates[other]:.1f} times the requests/s, "
            f"{costs[other] / costs[name]:.1f} by processor time"
        )
    for name, found in at_moments.items():
        console.print(f"{name}, at fixed moments: {found}")
    for name, by_stage in spent.items():
        _say(console, name, by_stage, asked[name])


@contextmanager
def _gorse(program: Path, var: Path, database_url: str) -> Iterator[tuple[int, psutil.Process]]:
    """Gorse with what the shop has."""
    host = urlsplit(database_url).netloc.rpartition("@")[2]
    with psycopg.connect(database_url, autocommit=True) as connection:
        # a server for tests has passwords of one iteration, which Gorse's driver takes for an attack
        connection.execute("SET scram_iterations = 4096")
        connection.execute("CREATE ROLE gorse LOGIN PASSWORD 'gorse'")
        connection.execute("CREATE DATABASE gorse OWNER gorse")
    place = f"postgres://gorse:gorse@{host}/gorse?sslmode=disable"
    with gorse.running_gorse(program, var, database_url, place, range(1, USERS + 1)) as running:
        yield running


async def _paced(port: int, path: str, rate: float, seconds: float) -> str:
    paths = [path.format(number) for number in range(1, USERS + 1)]
    return summary(await paced(f"http://127.0.0.1:{port}", paths, rate, seconds))


def _say(console: Console, name: str, spent: Mapping[str, float], requests: float) -> None:
    console.print(f"\n{name}: microseconds of processor time a request")
    for stage, taken in sorted(spent.items(), key=lambda one: -one[1]):
        console.print(f"{taken / requests * 1e6:8.1f}  {stage}")


def _prepare(database_url: str) -> None:
    from recsys.database import migrate
    from serving.batch import scoring
    from tests.serving import shopping

    migrate.upgrade(database_url)
    shopping.open_shop(database_url)
    shopping.promote(shopping.fit(), "knn-v1")
    scoring.score()


if __name__ == "__main__":
    main()
