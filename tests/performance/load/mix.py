"""A shop's busy hour: 75% lists, 15% interactions, 10% views of products, at a fixed pace.

Requests start at fixed moments whether the ones before have ended or not (no coordinated omission), on
keep-alive connections that are opened again when the server closes them, as a proxy's are.
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import text

from recsys.database.session import unit_of_work

__all__ = ["MixResult", "Request", "busy_hour", "send", "users_and_products"]

LISTS, INTERACTIONS = 0.75, 0.15
TYPES = ("view", "view", "view", "add_to_cart", "like", "purchase")


@dataclass(frozen=True)
class Request:
    """One request of the mix; `kind` is list, interaction or view."""

    kind: str
    method: str
    path: str
    body: bytes = b""

    @property
    def packed(self) -> bytes:
        """As HTTP/1.1."""
        head = f"{self.method} {self.path} HTTP/1.1\r\nHost: bench\r\n"
        if self.body:
            head += f"Content-Type: application/json\r\nContent-Length: {len(self.body)}\r\n"
        return head.encode() + b"\r\n" + self.body


@dataclass
class MixResult:
    """Milliseconds from the planned start by kind, statuses, lists that were incomplete, lost connections."""

    milliseconds: dict[str, list[float]] = field(
        default_factory=lambda: {"list": [], "interaction": [], "view": []}
    )
    statuses: Counter[int] = field(default_factory=Counter)
    accepted: int = 0
    """Interactions that were stored or queued."""
    incomplete: int = 0
    sources: Counter[str] = field(default_factory=Counter)
    closed: int = 0

    def quantile(self, share: float, *kinds: str) -> float:
        """The milliseconds that this share of the requests of some kinds stayed below."""
        cuts = statistics.quantiles([each for kind in kinds for each in self.milliseconds[kind]], n=1000)
        return cuts[round(share * 1000) - 1]

    @property
    def complete(self) -> float:
        """The share of lists that were ready within the deadline."""
        return 1.0 - self.incomplete / max(1, len(self.milliseconds["list"]))


def users_and_products() -> tuple[list[int], list[int]]:
    """Users with a list of the live generation, and up to 20,000 products on sale, of the demo's shop."""
    with unit_of_work() as session:
        users = list(
            session.scalars(
                text(
                    "SELECT user_id FROM recommendations_db.stored_lists s "
                    "JOIN recommendations_db.recommendation_generations g ON g.id = s.generation_id "
                    "WHERE g.status = 'live'"
                )
            )
        )
        products = list(
            session.scalars(text("SELECT id FROM products_db.products WHERE status = 'active' LIMIT 20000"))
        )
    if not users:
        raise SystemExit("there are no stored lists; run `make demo` first")
    return users, products


def busy_hour(users: Sequence[int], products: Sequence[int], count: int, seed: int = 0) -> list[Request]:
    """So many requests of random users about random products."""
    draw = random.Random(seed)
    requests = []
    for _ in range(count):
        user, product, part = draw.choice(users), draw.choice(products), draw.random()
        if part < LISTS:
            requests.append(Request("list", "GET", f"/api/v1/users/{user}/recommendations?limit=20"))
        elif part < LISTS + INTERACTIONS:
            body = {"user_id": user, "product_id": product, "interaction_type": draw.choice(TYPES)}
            requests.append(Request("interaction", "POST", "/api/v1/interactions", json.dumps(body).encode()))
        else:
            body = {"session_id": f"bench-{user}-{draw.getrandbits(64):x}", "source": "bench"}
            path = f"/api/v1/products/{product}/views"
            requests.append(Request("view", "POST", path, json.dumps(body).encode()))
    return requests


async def send(url: str, requests: Sequence[Request], rate: float, connections: int = 64) -> MixResult:
    """All of them, `rate` each second."""
    host, port = url.removeprefix("http://").split(":")
    waiting: asyncio.Queue[tuple[float, Request] | None] = asyncio.Queue()
    result = MixResult()

    async def worker() -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        while (planned_request := await waiting.get()) is not None:
            planned, request = planned_request
            while True:
                writer.write(request.packed)
                try:
                    head = await reader.readuntil(b"\r\n\r\n")
                    break
                except (asyncio.IncompleteReadError, ConnectionError):
                    # idle connections may be closed; a proxy must not send a post again, so it is counted
                    result.closed += 1
                    reader, writer = await asyncio.open_connection(host, int(port))
            length = int(head.lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
            body = await reader.readexactly(length)
            result.milliseconds[request.kind].append((time.perf_counter() - planned) * 1000)
            status = int(head.split(b" ", 2)[1])
            result.statuses[status] += 1
            result.accepted += request.kind == "interaction" and status < 300
            if request.kind == "list" and status == 200:
                provenance = json.loads(body)["provenance"]
                result.sources[provenance["source"]] += 1
                result.incomplete += not provenance["complete"]
        writer.close()

    workers = [asyncio.create_task(worker()) for _ in range(connections)]
    began = time.perf_counter()
    for number, request in enumerate(requests):
        planned = began + number / rate
        delay = planned - time.perf_counter()
        if delay > 0:
            await asyncio.sleep(delay)
        waiting.put_nowait((planned, request))
    for _ in workers:
        waiting.put_nowait(None)
    await asyncio.gather(*workers)
    return result
