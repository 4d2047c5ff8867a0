"""Writing a generation of stored lists against bare COPY: `python -m tests.performance.bench_generations`.

Both on a database of an embedded server that is thrown away, in turns. A generation is written as scoring
writes it: packed lists, then their rows in `product_recommendations`, then the switch, each committed. The
first one meets an empty table; the next find most products again, whose rows keep their ids. The floor is
one `COPY … FROM STDIN` of the rows that the first left, into the same table with the same indexes and foreign
key, emptied: it looks nothing up and makes no ids.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil
import psycopg
import typer
from rich.console import Console
from rich.table import Table

from recsys import clock, embedded
from recsys.database.addresses import libpq_url
from recsys.database.migrate import upgrade
from recsys.database.session import get_engine, unit_of_work
from recsys.domains.recommendations.reasons import Kind, ReasonCode
from recsys.domains.recommendations.stored_lists import generations
from recsys.domains.recommendations.stored_lists.codec import Entry, StoredList, pack
from recsys.domains.recommendations.stored_lists.rows import write_rows
from recsys.domains.recommendations.stored_lists.user_lists import store_lists
from recsys.settings import Settings, get_settings
from serving.batch.list_storage import USERS_PER_BATCH
from tests.support.servers import temporary_var

TARGET = 0.5
KEPT = 0.8
"""The share of a list that the next generation has, too."""
TABLE = "recommendations_db.product_recommendations"
MODEL = "bench-v1"
FLOOR = "bare COPY"

Lists = dict[int, bytes]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Cost:
    """Seconds on the clock, of processors (PostgreSQL's and ours), and bytes of WAL."""

    seconds: float
    processor: float
    wal: int


def main(users: int = 2_000, length: int = 100, products: int = 50_000, rounds: int = 2) -> None:
    """Print rows per second of each, the ratios and the bytes of WAL; exit 1 when one is below half."""
    console = Console()
    costs: dict[str, list[Cost]] = {}
    with temporary_var("recsys-bench-") as var:
        os.environ["RECSYS_VAR"] = str(var)
        get_settings.cache_clear()
        settings = Settings()
        embedded.start(settings)
        try:
            url = libpq_url(settings)
            upgrade(url)
            _shop(url, users, products)
            for turn in range(rounds):
                for name, cost in _round(url, _lists(users, length, products, turn)).items():
                    costs.setdefault(name, []).append(cost)
        finally:
            get_engine().dispose()
            embedded.stop(settings)
    rows = users * length
    table = Table(title=f"{users:,} users × {length} products, best of {rounds} turns")
    for column in ("", "seconds", "rows/s", "of bare COPY", "by processor time", "WAL bytes a row"):
        table.add_column(column, justify="right" if column else "left")
    seconds = {name: min(one.seconds for one in found) for name, found in costs.items()}
    used = {name: min(one.processor for one in found) for name, found in costs.items()}
    ratios = {name: seconds[FLOOR] / one for name, one in seconds.items()}
    for name, ratio in ratios.items():
        speed, wal = f"{rows / seconds[name]:,.0f}", f"{costs[name][0].wal / rows:,.0f}"
        work = f"{used[FLOOR] / used[name]:.2f}"
        table.add_row(name, f"{seconds[name]:.2f}", speed, f"{ratio:.2f}", work, wal)
    console.print(table)
    worst = min(ratios.values())
    console.print(f"ratio {worst:.2f} (at least {TARGET:.2f})")
    if worst < TARGET:
        raise typer.Exit(1)


def _round(url: str, lists: list[list[Lists]]) -> dict[str, Cost]:
    with psycopg.connect(url, autocommit=True) as connection:
        _empty(connection)
        costs = {}
        for name, given in zip(("first generation", "second", "third, which sweeps"), lists, strict=True):
            costs[name] = _measured(connection, partial(_write, given))
            if name == "first generation":
                with connection.cursor().copy(f"COPY {TABLE} TO STDOUT".encode()) as copy:
                    dump = b"".join(copy)
        _empty(connection)

        def floor() -> None:
            with connection.cursor().copy(f"COPY {TABLE} FROM STDIN".encode()) as copy:
                copy.write(dump)

        return {FLOOR: _measured(connection, floor)} | costs


def _measured(connection: psycopg.Connection[Any], work: Callable[[], None]) -> Cost:
    # what earlier turns left behind is not this one's: neither dirty pages nor dead rows
    connection.execute(f"VACUUM ANALYZE {TABLE}".encode())
    connection.execute("CHECKPOINT")
    (before,) = connection.execute("SELECT pg_current_wal_insert_lsn()").fetchone() or ()
    used, began = _processor(connection), perf_counter()
    work()
    seconds, used = perf_counter() - began, _processor(connection) - used
    written = connection.execute("SELECT pg_current_wal_insert_lsn() - %s::pg_lsn", [before]).fetchone()
    return Cost(seconds, used, int(written[0]) if written else 0)


def _processor(connection: psycopg.Connection[Any]) -> float:
    """Seconds of processors that this process and all of PostgreSQL's used so far."""
    server = psutil.Process(connection.info.backend_pid).parent()
    assert server is not None
    # of a process that ended the server knows the time as its children's
    ended = server.cpu_times()
    alive = [one.cpu_times() for one in (server, psutil.Process(), *server.children())]
    return float(sum(one.user + one.system for one in alive) + ended.children_user + ended.children_system)


def _write(batches: list[Lists]) -> None:
    """What `serving.batch.scoring.score` does with finished lists, but for Redis."""
    with unit_of_work() as session:
        shown = generations.live(session)
        before = None if shown is None else shown.id
        generation, _ = generations.start(session, MODEL, "1")
    for packed in batches:
        with unit_of_work() as session:
            store_lists(session, generation, packed)
    expires = clock.now() + timedelta(hours=24)
    with unit_of_work() as session:
        users, rows = write_rows(
            session, generation, expires_at=expires, keep=[] if before is None else [before]
        )
        generations.go_live(
            session, generation, model=MODEL, before=before, users=users, rows=rows, expires_at=expires
        )


def _lists(users: int, length: int, products: int, turn: int) -> list[list[Lists]]:
    """The packed lists of three generations, in the batches of a scoring."""
    chance = np.random.default_rng(turn)
    stays = int(KEPT * length)
    now = np.array([chance.choice(products, length, replace=False) for _ in range(users)]) + 1
    made = []
    for generation in range(3):
        batches = []
        for first in range(0, users, USERS_PER_BATCH):
            some = now[first : first + USERS_PER_BATCH]
            batches.append({first + row + 1: _packed(line, chance) for row, line in enumerate(some)})
        made.append(batches)
        if generation < 2:
            # products of the list's end leave, others come in at its start
            fresh = np.array([_others(line, length - stays, products, chance) for line in now])
            now = np.hstack([fresh, now[:, :stays]])
    return made


def _others(line: Rows, count: int, products: int, chance: np.random.Generator) -> Rows:
    drawn = chance.choice(products, 2 * count, replace=False) + 1
    return drawn[~np.isin(drawn, line)][:count]


def _packed(products: Rows, chance: np.random.Generator) -> bytes:
    scores = np.sort(chance.integers(1, 10_000, products.size))[::-1]
    evidence = chance.permutation(products)
    entries = [
        Entry(product, score, Kind.COLLABORATIVE, ReasonCode.BECAUSE_BOUGHT, why, True)
        for product, score, why in zip(products.tolist(), scores.tolist(), evidence.tolist(), strict=True)
    ]
    return pack(StoredList(1, MODEL, "1", entries, int(clock.now().timestamp())))


def _shop(url: str, users: int, products: int) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            """
            INSERT INTO users_db.users (email, username, full_name, password_hash)
            SELECT 'user' || i || '@example.com', 'user' || i, 'User ' || i, '-' FROM generate_series(1, %s) i
            """,
            [users],
        )
        connection.execute(
            """
            INSERT INTO products_db.products (name, slug, price)
            SELECT 'A product with a name of usual length ' || i, 'product-' || i, 9.99
            FROM generate_series(1, %s) i
            """,
            [products],
        )
        connection.execute(
            """
            INSERT INTO recommendations_db.recommendation_models (name, version, type, is_active)
            VALUES (%s, '1', 'collaborative_filtering', true)
            """,
            [MODEL],
        )
        connection.execute("VACUUM ANALYZE")


def _empty(connection: psycopg.Connection[Any]) -> None:
    connection.execute(f"TRUNCATE {TABLE}, recommendations_db.recommendation_generations CASCADE".encode())


if __name__ == "__main__":
    typer.run(main)
