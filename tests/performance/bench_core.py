"""Checkouts per second, and reads of the catalogue against a bare FastAPI route that does one `SELECT 1`.

Run it by `make bench`, or `python -m tests.performance.bench_core [--seconds 4]`. Both servers are one
uvicorn process each, with the same pool of connections, measured in turns in one run; the load comes from 16
keep-alive connections of this process. Processor time is the server's own, without PostgreSQL's. A checkout
is a whole order of two things by a guest: stock, order, lines, address, history, events, one transaction.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import random
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import orjson
import psutil
from fastapi import FastAPI
from rich.console import Console
from rich.table import Table
from sqlalchemy import text

from recsys.database import migrate
from recsys.database.session import get_engine, unit_of_work
from recsys.domains.orders.carts import store as carts
from recsys.domains.orders.carts.store import CartLine, Owner
from recsys.domains.products import service
from recsys.domains.products.schemas import ProductIn, VariantIn
from recsys.embedded import start
from recsys.settings import Settings, get_settings
from recsys.web.access.guest_sessions import with_signature
from tests.performance.bench_serving import server
from tests.support.servers import temporary_var

CONNECTIONS = 16
ROUNDS = 3
PRODUCTS = 400
CHECKOUTS = 400
SEED = 5
BODY = {
    "email": "guest@example.org",
    "shipping_address": {
        "first_name": "Ada",
        "last_name": "Lovelace",
        "address1": "12 St James's Square",
        "city": "London",
        "country": "GB",
        "zip": "SW1Y 4JH",
    },
}

Offer = tuple[int, int]


@dataclass(frozen=True)
class Measured:
    """Requests per second, the 99th percentile in milliseconds, the server's processor seconds a request."""

    rate: float
    p99: float
    cost: float


def bare() -> FastAPI:
    """The floor: FastAPI, one connection of the pool, one statement, a small answer."""
    app = FastAPI()

    @app.get("/one")
    def one() -> dict[str, int]:
        with get_engine().connect() as connection:
            return {"one": connection.execute(text("SELECT 1")).scalar_one()}

    return app


class _Client(asyncio.Protocol):
    """One keep-alive connection that sends the next request as soon as one was answered."""

    def __init__(self, requests: Iterator[bytes], status: int, ends: float, latencies: list[float]) -> None:
        self.requests, self.ends, self.latencies = requests, ends, latencies
        self.expected = f"HTTP/1.1 {status} ".encode()
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.buffer, self.asked = b"", 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.ask()

    def ask(self) -> None:
        following = next(self.requests, None)
        self.asked = time.perf_counter()
        if following is None or self.asked > self.ends:
            self.transport.close()
        else:
            self.transport.write(following)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head = self.buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        lowered = self.buffer[:head].lower()
        begins = lowered.index(b"content-length:") + 15
        if len(self.buffer) < head + 4 + int(lowered[begins:].split(b"\r\n", 1)[0]):
            return
        assert self.buffer.startswith(self.expected), self.buffer[:500]
        self.buffer = b""
        self.latencies.append(time.perf_counter() - self.asked)
        self.ask()

    def connection_lost(self, error: Exception | None) -> None:
        if error is None:
            self.closed.set_result(None)
        else:
            self.closed.set_exception(error)


async def _load(
    port: int, requests: Iterator[bytes], status: int, seconds: float
) -> tuple[list[float], float]:
    latencies: list[float] = []
    began = time.perf_counter()
    loop = asyncio.get_running_loop()
    made = [
        await loop.create_connection(
            lambda: _Client(requests, status, began + seconds, latencies), "127.0.0.1", port
        )
        for _ in range(CONNECTIONS)
    ]
    await asyncio.gather(*(client.closed for _, client in made))
    return latencies, time.perf_counter() - began


def _measure(
    at: tuple[int, psutil.Process], requests: Iterator[bytes], *, status: int = 200, seconds: float
) -> Measured:
    port, process = at
    before = sum(process.cpu_times()[:2])
    latencies, taken = asyncio.run(_load(port, requests, status, seconds))
    used = sum(process.cpu_times()[:2]) - before
    p99 = statistics.quantiles(latencies, n=100)[98] * 1000
    return Measured(len(latencies) / taken, p99, used / len(latencies))


def _get(*paths: str) -> Iterator[bytes]:
    return itertools.cycle([f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode() for path in paths])


def _checkouts(visits: list[str]) -> Iterator[bytes]:
    body = orjson.dumps(BODY)
    for visit in visits:
        head = (
            f"POST /api/v1/orders HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
            f"X-Session-Id: {with_signature(visit)}\r\nIdempotency-Key: order-{visit}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        yield head.encode() + body


def _filled(name: str, offers: list[Offer], chance: random.Random) -> list[str]:
    """So many visits, each with two things in its cart."""
    visits = [f"{name}-{number}" for number in range(CHECKOUTS)]
    for visit in visits:
        for product, variant in chance.sample(offers, 2):
            carts.add(Owner(session_id=visit), CartLine(product, variant, 1))
    return visits


def _catalogue() -> list[Offer]:
    offers = []
    with unit_of_work() as session:
        for number in range(PRODUCTS):
            made = service.create(
                session, ProductIn.model_validate({"name": f"Thing {number}", "price": "9.99"})
            )
            variant = VariantIn(name="one", inventory_quantity=1_000_000)
            offers.append((made.id, service.add_variant(session, made.id, variant, by=None).id))
    return offers


def main() -> None:
    """Fill a catalogue, measure everything in turns, print rates and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0)
    seconds = parser.parse_args().seconds
    with temporary_var() as var:
        addresses = start(Settings(var=var, environment="test"), throwaway=True)
        os.environ |= {
            "RECSYS_VAR": str(var),
            "RECSYS_ENVIRONMENT": "development",
            "RECSYS_DATABASE__URL": addresses.database_url,
            "RECSYS_REDIS__URL": addresses.redis_url,
        }
        get_settings.cache_clear()
        migrate.upgrade(addresses.database_url)
        figures = _rounds(_catalogue(), seconds)
    _report(figures, seconds)


def _rounds(offers: list[Offer], seconds: float) -> dict[str, list[Measured]]:
    figures: dict[str, list[Measured]] = {}
    chance = random.Random(SEED)
    products = [f"/api/v1/products/{product}" for product, _ in offers]
    with (
        server("recsys.api:create_api") as ours,
        server("tests.performance.bench_core:bare") as floor,
    ):
        for path in products:
            httpx.get(f"http://127.0.0.1:{ours[0]}{path}").raise_for_status()
        for number in range(ROUNDS):
            spread = _checkouts(_filled(f"spread-{number}", offers, chance))
            hot = _checkouts(_filled(f"hot-{number}", offers[:2], chance))
            # orders of all products drop them from Redis: read them before
            for name, measured in {
                "bare SELECT 1": _measure(floor, _get("/one"), seconds=seconds),
                "GET /products/{id}": _measure(ours, _get(*products), seconds=seconds),
                "GET /products (20)": _measure(ours, _get("/api/v1/products"), seconds=seconds),
                "checkout, 400 products": _measure(ours, spread, status=201, seconds=60),
                "checkout, the same 2 products": _measure(ours, hot, status=201, seconds=60),
            }.items():
                figures.setdefault(name, []).append(measured)
    return figures


def _report(figures: dict[str, list[Measured]], seconds: float) -> None:
    rounds = f"{ROUNDS} rounds of {seconds:g} s or {CHECKOUTS} checkouts"
    table = Table(title=f"{CONNECTIONS} connections, median of {rounds}")
    for column in ("", "requests/s", "p99 ms", "µs of processor", "ratio", "by processor"):
        table.add_column(column, justify="left" if not column else "right")
    middle = {
        name: Measured(
            *(statistics.median(getattr(one, part) for one in several) for part in ("rate", "p99", "cost"))
        )
        for name, several in figures.items()
    }
    floor = middle["bare SELECT 1"]
    for name, one in middle.items():
        table.add_row(
            name,
            f"{one.rate:,.0f}",
            f"{one.p99:.1f}",
            f"{one.cost * 1e6:,.0f}",
            f"{one.rate / floor.rate:.2f}",
            f"{floor.cost / one.cost:.2f}",
        )
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
