"""Gorse beside us, with the same users, products and interactions, for comparisons in one run."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg

from recsys.embedded.processes import free_port

__all__ = ["QUESTIONS", "running_gorse"]

QUESTIONS = {
    "stored list": "/api/recommend/{}?n=20",
    "similar": "/api/item-to-item/neighbors/{}?n=20",
    "popular": "/api/non-personalized/popular?n=20",
}
"""The path of each question; `{}` is a user or a product."""

_BATCH = 2_000
_PATIENCE = 600.0
_CONFIGURATION = """
[database]
data_store = "{database}"
cache_store = "{database}"
[master]
port = {grpc}
host = "127.0.0.1"
http_port = {http}
http_host = "127.0.0.1"
n_jobs = 2
[server]
default_n = 20
[recommend]
cache_size = 100
[recommend.data_source]
positive_feedback_types = ["purchase", "add_to_cart", "like"]
read_feedback_types = ["view"]
[[recommend.non-personalized]]
name = "popular"
score = "count(feedback, .FeedbackType == 'purchase')"
[[recommend.item-to-item]]
name = "neighbors"
type = "users"
[recommend.collaborative]
fit_period = "60m"
fit_epoch = 20
[recommend.ranker]
type = "none"
recommenders = ["collaborative", "item-to-item/neighbors", "non-personalized/popular"]
[recommend.fallback]
recommenders = ["non-personalized/popular"]
"""
_EVENTS = (
    "SELECT user_id::text, product_id::text, interaction_type, created_at "
    "FROM recommendations_db.user_interactions WHERE user_id IS NOT NULL ORDER BY created_at, id"
)


@contextmanager
def running_gorse(
    program: Path, folder: Path, database_url: str, empty_database: str, users: Sequence[int]
) -> Iterator[tuple[int, psutil.Process]]:
    """The port and the process of Gorse, when it has a list for each of the users.

    Parameters
    ----------
    program
        `gorse-in-one`: master, server and worker in one process.
    folder
        Takes its configuration and its log.
    database_url
        The shop whose users, products and interactions it gets.
    empty_database
        Where it keeps them and its lists; a Redis for its lists has to have the module for search.
    users
        Those who are asked for.
    """
    http, grpc = free_port(), free_port()
    database = f"postgres://{empty_database.partition('://')[2]}"
    configuration = folder / "gorse.toml"
    configuration.write_text(_CONFIGURATION.format(database=database, http=http, grpc=grpc))
    with open(folder / "gorse.log", "wb") as log:
        process = subprocess.Popen(
            [program, "--config", configuration, "--cache-path", folder / "gorse-cache"],
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{http}", timeout=60) as client:
            _wait(lambda: client.get("/api/health/ready").status_code == 200, folder)
            _fill(client, database_url)
            _wait(lambda: all(_has_list(client, user) for user in users), folder)
        yield http, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(30)


def _fill(client: httpx.Client, database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        people = connection.execute("SELECT id::text FROM users_db.users").fetchall()
        products = connection.execute(
            "SELECT p.id::text, p.name, coalesce(c.name, ''), p.created_at FROM products_db.products p "
            "LEFT JOIN products_db.categories c ON c.id = p.category_id WHERE p.status = 'active'"
        ).fetchall()
        events = connection.execute(_EVENTS).fetchall()
    _post(client, "/api/users", [{"UserId": user} for (user,) in people])
    items = [
        {"ItemId": id, "Comment": name, "Categories": [category], "Timestamp": created.isoformat()}
        for id, name, category, created in products
    ]
    _post(client, "/api/items", items)
    feedback = [
        {"UserId": user, "ItemId": item, "FeedbackType": kind, "Timestamp": at.isoformat()}
        for user, item, kind, at in events
    ]
    _post(client, "/api/feedback", feedback)


def _post(client: httpx.Client, path: str, rows: Sequence[Mapping[str, Any]]) -> None:
    for first in range(0, len(rows), _BATCH):
        answer = client.post(path, json=rows[first : first + _BATCH])
        answer.raise_for_status()


def _has_list(client: httpx.Client, user: int) -> bool:
    made = client.get(f"/api/collaborative-filtering/{user}", params={"n": 20})
    return made.status_code == 200 and bool(made.json())


def _wait(condition: Any, folder: Path) -> None:
    ends = time.monotonic() + _PATIENCE
    while True:
        try:
            if condition():
                return
        except httpx.TransportError:
            pass
        if time.monotonic() > ends:
            raise TimeoutError(f"Gorse was not ready in {_PATIENCE:.0f} s; see {folder / 'gorse.log'}")
        time.sleep(2)
