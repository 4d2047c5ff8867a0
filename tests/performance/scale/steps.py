"""The steps of one shop from its import to its answers, each with its figures."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psutil
import psycopg
import redis

from tests.performance.bench_answers import api
from tests.performance.load.paced import paced
from tests.performance.scale.commands import Cost, Servers, measured

__all__ = ["ScaleRun"]

_TABLES = {
    "interactions": ("recommendations_db.user_interactions", "recommendations_db.interaction_events"),
    "catalogue and users": ("products_db.products", "products_db.product_variants", "users_db.users"),
    "stored lists": ("recommendations_db.stored_lists",),
    "rows of lists": ("recommendations_db.product_recommendations",),
}
_PURCHASES = """
    INSERT INTO recommendations_db.user_interactions (user_id, product_id, interaction_type, created_at)
    SELECT u.id, (SELECT id FROM products_db.products ORDER BY id LIMIT 1), 'purchase', now()
    FROM users_db.users u WHERE random() < %s
"""
_EVENTS_OF_POST, _POSTS, _POSTS_AT_ONCE = 500, 20, 2


class ScaleRun:
    """One size. A step that fails is noted with its reason, and the next one is tried."""

    def __init__(
        self,
        var: Path,
        *,
        interactions: int,
        users: int,
        products: int,
        most_seconds: float,
        say: Callable[[str], None],
    ) -> None:
        self.figures: dict[str, float | str] = {}
        self._servers, self._shop = Servers(var), var / "simulated"
        self._sizes = (
            "--interactions",
            str(interactions),
            "--users",
            str(users),
            "--products",
            str(products),
        )
        self._most_seconds, self._say = most_seconds, say

    def prepare(self) -> None:
        """Simulate, start, import, build features twice (the second build has nothing new to read)."""
        self._step("simulate", "simulate", str(self._shop), *self._sizes, "--seed", "1")
        measured(self._servers, "up")
        [postgres] = [
            each
            for each in json.loads(measured(self._servers, "status").printed)
            if each["name"] == "postgres"
        ]
        self._servers.postgres = psutil.Process(postgres["pid"])
        measured(self._servers, "migrate", json_option=False)
        imported = self._step(
            "import",
            *("import", "csv", "--products", str(self._shop / "products.parquet")),
            *("--users", str(self._shop / "users/*.parquet")),
            *("--interactions", str(self._shop / "interactions/*.parquet")),
        )
        if imported is not None:
            rows = imported.output["tables"]["user_interactions"]["added"]
            self.figures["interactions"] = float(rows)
            self.figures["import rows/s"] = rows / imported.seconds
        self._step("features build", "features", "build")
        self._step("features build, nothing new", "features", "build")
        self._note_storage()

    def fit_each(self, names: list[str]) -> None:
        """Fit each model in a process of its own."""
        for name in names:
            cost = self._step(f"fit {name}", name, module="tests.performance.scale.fit")
            if cost is not None:
                self.figures[f"fit {name}, s"] = cost.output["fit_seconds"]
                self.figures[f"fit {name}, cpu s"] = cost.output["fit_cpu_seconds"]
                self.figures[f"{name} users/s"] = cost.output["users_per_second"]

    def serve(self, name: str) -> None:
        """Train, judge, promote and score one model; score again."""
        trained = self._step(f"train run {name}", "train", "run", name)
        if trained is not None:
            for each in trained.output.get("steps", []):
                self.figures[f"  {each['name']}, s"] = float(each["seconds"])
        before = self._redis_bytes()
        scored = self._step("score", "serve", "score")
        if scored is not None and scored.output["users"]:
            users = scored.output["users"]
            self.figures["scored users"] = float(users)
            self.figures["score users/s"] = users / scored.seconds
            self.figures["Redis KiB/user"] = (self._redis_bytes() - before) / users / 1024
        self._step("score again", "serve", "score")
        for share in (0.0, 0.05):
            self._let_users_act(share)
            step = self._step(f"score changed, {share:.0%} of users", "serve", "score", "--changed")
            if step is not None:
                self.figures[f"score changed, {share:.0%} of users, lists"] = step.output["ranked"]
        self._note_storage()

    def answers(self, rate: float, seconds: float) -> None:
        """Ask the API for stored, filtered and similar lists, and post events."""
        with psycopg.connect(self._address("database_url")) as connection:
            users = _ids(connection, "SELECT id FROM users_db.users ORDER BY md5(id::text) LIMIT 2000")
            products = _ids(
                connection, "SELECT id FROM products_db.products ORDER BY md5(id::text) LIMIT 500"
            )
        kinds = {
            "stored": [f"/api/v1/users/{user}/recommendations?limit=20" for user in users],
            "live": [f"/api/v1/users/{user}/recommendations?limit=20&min_price=5" for user in users],
            "similar": [f"/api/v1/products/{product}/similar?limit=20" for product in products],
        }
        with api() as url:
            for kind, paths in kinds.items():
                asyncio.run(paced(url, paths, rate / 4, 1))
                latencies, wrong, _ = asyncio.run(paced(url, paths, rate, seconds))
                cuts = statistics.quantiles(latencies, n=100)
                self.figures[f"answer {kind}, p50 ms"] = cuts[49]
                self.figures[f"answer {kind}, p99 ms"] = cuts[98]
                self.figures[f"answer {kind}, failed"] = float(wrong)
            self.figures["events/s"] = _event_rate(url, users, products)
            port = int(url.rsplit(":", 1)[1])
            self.figures["API MiB"] = _resident_mib(port)

    def _let_users_act(self, share: float) -> None:
        """Let a share of the users buy something now."""
        with psycopg.connect(self._address("database_url")) as connection:
            connection.execute(_PURCHASES, [share])

    def stop(self) -> None:
        """Stop the servers, whose processor seconds are read no more."""
        self._servers.postgres = None
        measured(self._servers, "down", json_option=False)

    def _step(self, title: str, *arguments: str, module: str = "recsys") -> Cost | None:
        try:
            cost = measured(self._servers, *arguments, module=module, most_seconds=self._most_seconds)
        except RuntimeError as error:
            self.figures[f"{title}, s"] = "failed"
            self._say(f"{title}: {error}")
            return None
        self.figures[f"{title}, s"] = cost.seconds
        self.figures[f"{title}, cpu s"] = cost.cpu
        self.figures[f"{title}, database cpu s"] = cost.database_cpu
        self.figures[f"{title}, MiB"] = cost.peak_mib
        self.figures[f"{title}, own MiB"] = cost.own_mib
        self._say(
            f"{title}: {cost.seconds:,.1f} s, {cost.cpu:,.1f} s of processors, {cost.database_cpu:,.1f} s of "
            f"the database's, {cost.peak_mib:,.0f} MiB, {cost.own_mib:,.0f} without pages of files"
        )
        return cost

    def _address(self, name: str) -> str:
        return str(measured(self._servers, "env").output[name])

    def _redis_bytes(self) -> int:
        with redis.Redis.from_url(self._address("redis_url")) as client:
            return int(client.info("memory")["used_memory"])

    def _note_storage(self) -> None:
        with psycopg.connect(self._address("database_url")) as connection:
            for title, tables in _TABLES.items():
                sizes = _ids(
                    connection, "SELECT pg_total_relation_size(unnest(%s::regclass[]))", list(tables)
                )
                self.figures[f"PostgreSQL {title}, MiB"] = sum(sizes) / 2**20
        self.figures["Redis MiB"] = self._redis_bytes() / 2**20
        for folder in ("datasets", "models"):
            self.figures[f"var/{folder}, MiB"] = sum(_file_sizes(self._servers.var / folder)) / 2**20


def _ids(connection: psycopg.Connection[Any], query: str, *parameters: object) -> list[int]:
    return [int(value) for (value,) in connection.execute(query.encode(), parameters).fetchall()]


def _file_sizes(folder: Path) -> Iterator[int]:
    return (path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _event_rate(url: str, users: list[int], products: list[int]) -> float:
    """Events that are stored in a second, posted in batches over a few connections."""

    def post(turn: int) -> int:
        body = [
            {
                "event_id": str(uuid4()),
                "user_id": users[(turn * _EVENTS_OF_POST + number) % len(users)],
                "product_id": products[number % len(products)],
                "interaction_type": "view",
            }
            for number in range(_EVENTS_OF_POST)
        ]
        response = httpx.post(f"{url}/api/v1/interactions", json=body, timeout=120)
        response.raise_for_status()
        return _EVENTS_OF_POST

    began = time.perf_counter()
    with ThreadPoolExecutor(_POSTS_AT_ONCE) as pool:
        stored = sum(pool.map(post, range(_POSTS)))
    return stored / (time.perf_counter() - began)


def _resident_mib(port: int) -> float:
    """Resident memory of the process that listens on the port, and of its children."""
    [pid] = {
        each.pid
        for each in psutil.net_connections("tcp")
        if each.status == psutil.CONN_LISTEN and each.laddr.port == port and each.pid is not None
    }
    parent = psutil.Process(pid)
    return float(sum(each.memory_info().rss for each in (parent, *parent.children(recursive=True)))) / 2**20
