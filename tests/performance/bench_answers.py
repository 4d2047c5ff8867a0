"""Answers on the demo's whole data: stored ones at a fixed pace, live ones, how soon an event is in them.

Run it by `make bench` (after `make demo`), or `python -m tests.performance.bench_answers [--seconds 10]`.
The API is one process of its own; requests start at fixed moments whether the ones before were answered or
not, so that a slow answer makes nobody wait less (no coordinated omission).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle

import httpx
from rich.console import Console
from sqlalchemy import text

from recsys.database.session import unit_of_work
from recsys.embedded import start
from recsys.settings import get_settings
from tests.performance.load.paced import paced, post, summary
from tests.support.servers import ROOT

console = Console(highlight=False)
FILTERS = "category={category}&max_price=20&in_stock=true&diversity=0.3&novelty=new&limit=20"


@contextmanager
def api(workers: int = 1) -> Iterator[str]:
    """The address of an API process on the demo's data."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    environment = os.environ | {"RECSYS_API__RATE_PER_SECOND": "0", "RECSYS_LOG_LEVEL": "WARNING"}
    command = [sys.executable, "-m", "recsys", "serve", "api", "--port", str(port), "--workers", str(workers)]
    with open(os.devnull, "w") as nowhere:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=nowhere, stderr=nowhere)
        try:
            for _ in range(600):
                try:
                    httpx.get(f"http://127.0.0.1:{port}/health/ready", timeout=5).raise_for_status()
                    break
                except httpx.HTTPError:
                    time.sleep(0.1)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait()


def say(name: str, found: tuple[list[float], int, float]) -> None:
    console.print(f"{name}: {summary(found)}")


def at_a_pace(products: list[int], categories: list[int]) -> dict[str, list[str | bytes]]:
    """The questions whose lists are stored, of many different products and categories."""
    items = [f"/api/v1/products/{product}" for product in products]
    return {
        "similar": [f"{item}/similar" for item in items],
        "bought together": [f"{item}/bought-together" for item in items],
        "popular": [f"/api/v1/products/popular?category={category}" for category in categories],
        "similar, in stock": [f"{item}/similar?in_stock=true" for item in items],
    }


def page_of(user: int, product: int) -> bytes:
    """The request of a page of a product, for a user."""
    shelves = [{"placement": name} for name in ("for_you", "similar", "bought_together", "popular")]
    return post(
        "/api/v1/recommendations",
        {"user_id": user, "page": {"product_ids": [product]}, "shelves": shelves},
    )


def freshness(url: str, users: list[int], rounds: int) -> None:
    """From sending an event until an answer knows of it, by asking again and again."""
    taken = []
    with httpx.Client(base_url=url, timeout=10) as client:
        for number in range(rounds):
            user = users[number % len(users)]
            path = f"/api/v1/users/{user}/recommendations?novelty=new&limit=20"
            first = client.get(path).json()["items"][number % 20]["product_id"]
            began = time.perf_counter()
            event = {"user_id": user, "product_id": first, "interaction_type": "view"}
            client.post("/api/v1/interactions", json=event).raise_for_status()
            while first in [item["product_id"] for item in client.get(path).json()["items"]]:
                if time.perf_counter() - began > 10:
                    raise SystemExit("an event was not in the answer after 10 s")
            taken.append((time.perf_counter() - began) * 1000)
        cuts = statistics.quantiles(taken, n=100)
        console.print(f"event to answer: p50 {cuts[49]:.0f} ms, p99 {cuts[98]:.0f} ms ({rounds} events)")
        waits = [_until_stored(client, user) for user in users[: min(20, rounds)]]
        console.print(
            f"event to stored list (relay, consumer, rows): median {statistics.median(waits):.0f} ms, "
            f"worst {max(waits):.0f} ms ({len(waits)} events)"
        )


def _until_stored(client: httpx.Client, user: int) -> float:
    path = f"/api/v1/users/{user}/recommendations?limit=20"
    item = client.get(path).json()["items"][0]["product_id"]
    began = time.perf_counter()
    event = {"user_id": user, "product_id": item, "interaction_type": "view"}
    client.post("/api/v1/interactions", json=event).raise_for_status()
    while client.get(path).json()["provenance"]["source"] != "stored":
        if time.perf_counter() - began > 30:
            raise SystemExit("a list was not stored again within 30 s")
        time.sleep(0.005)
    return (time.perf_counter() - began) * 1000


def main() -> None:
    """Measure on what lies under `var/`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rate", type=float, default=1000.0)
    parser.add_argument("--events", type=int, default=200)
    given = parser.parse_args()
    start(get_settings())
    with unit_of_work() as session:
        users = list(
            session.scalars(text("SELECT user_id FROM recommendations_db.stored_lists ORDER BY 1 LIMIT 500"))
        )
        categories = list(
            session.scalars(
                text(
                    "SELECT category_id FROM products_db.products WHERE category_id IS NOT NULL "
                    "GROUP BY 1 ORDER BY count(*) DESC LIMIT 20"
                )
            )
        )
        products = list(
            session.scalars(
                text(
                    "SELECT product_id FROM recommendations_db.user_interactions "
                    "JOIN products_db.products p ON p.id = product_id GROUP BY 1 "
                    "ORDER BY count(*) DESC, 1 LIMIT 10000"
                )
            )
        )
        count = session.scalars(text("SELECT count(*) FROM products_db.products")).one()
    if not users:
        raise SystemExit("nobody is scored under var/; run `make demo` first")
    console.print(f"load of the machine: {os.getloadavg()[0]:.1f}, processors: {os.cpu_count()}")
    console.print(f"{count:,} products, {len(users)} users")
    look: Callable[[int], str] = lambda user: f"/api/v1/users/{user}/recommendations"  # noqa: E731
    with api() as url:
        paths = [look(user) for user in users]
        asyncio.run(paced(url, paths, 200, 2))
        say("stored list of 20", asyncio.run(paced(url, paths, given.rate, given.seconds)))
        for name, ready in at_a_pace(products, categories).items():
            asyncio.run(paced(url, ready, 200, 2))
            say(name, asyncio.run(paced(url, ready, given.rate, given.seconds)))
        pages = [page_of(user, product) for user, product in zip(users, cycle(products), strict=False)]
        asyncio.run(paced(url, pages, 10, 2))
        say("page of four placements", asyncio.run(paced(url, pages, 20, given.seconds)))
        live = [
            f"{look(user)}?{FILTERS.format(category=categories[place % len(categories)])}"
            for place, user in enumerate(users)
        ]
        asyncio.run(paced(url, live, 10, 2))
        say("live list, filters and diversity", asyncio.run(paced(url, live, 20, given.seconds)))
        whole = [f"{look(user)}?explain=false&diversity=0.1" for user in users]
        say("live list over the whole catalogue", asyncio.run(paced(url, whole, 20, given.seconds)))
        answer = httpx.get(url + live[0]).json()["provenance"]
        console.print(json.dumps(answer))
        freshness(url, users[:50], given.events)


if __name__ == "__main__":
    main()
