"""Gorse beside us, with the same users, products and interactions, for comparisons in one run."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
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
_PATIENCE = 120.0
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
type = "mf"
fit_period = "60m"
fit_epoch = 20
[recommend.ranker]
type = "fm"
fit_epoch = 20
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
    program: Path, folder: Path, database_url: str, database: str, users: Sequence[int]
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
    database
        Where it keeps them and its lists; a Redis for its lists has to have the module for search.
    users
        Those who are asked for.
    """
    http, grpc = free_port(), free_port()
    cache, configuration = folder / "gorse", folder / "gorse.toml"
    cache.mkdir()
    configuration.write_text(_CONFIGURATION.format(database=database, http=http, grpc=grpc))
    command = [str(program), "--config", str(configuration), "--cache-path", str(cache)]
    with httpx.Client(base_url=f"http://127.0.0.1:{http}", timeout=60) as client:
        with _process(command, folder) as process:
            _wait(process, folder, lambda: client.get("/api/health/ready").status_code == 200)
            _fill(client, database_url)
        # it fits when it starts, and each hour
        with _process(command, folder) as process:
            _wait(process, folder, lambda: all(_has_list(client, user) for user in users))
            yield http, psutil.Process(process.pid)


@contextmanager
def _process(command: list[str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    with open(folder / "gorse.log", "ab") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield process
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
    paths = (path.format(user) for path in QUESTIONS.values())
    answers = [client.get(path) for path in paths]
    return all(answer.status_code == 200 and len(answer.json()) >= 5 for answer in answers)


def _wait(process: subprocess.Popen[bytes], folder: Path, condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + _PATIENCE
    while True:
        try:
            if condition():
                return
        except httpx.TransportError:
            pass
        if process.poll() is not None or time.monotonic() > ends:
            last = (folder / "gorse.log").read_text(errors="replace").strip().rpartition("\n")[2]
            raise RuntimeError(
                f"Gorse has no lists after {_PATIENCE:.0f} s, or ended; the last line of its log: {last}"
            )
        time.sleep(2)
