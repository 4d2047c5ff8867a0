"""A shop with a model, stored lists and a cart, its backup, and empty servers to restore into."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from psycopg import sql

from recsys import cli
from recsys.cache import keys
from serving.batch import scoring
from tests.serving import shopping
from tests.support.servers import Servers, empty_database
from tests.support.shop import Shop, forget_connections


@dataclass(frozen=True)
class Target:
    """Where a backup is restored to: an empty database, an empty number of Redis, a `var/` not made yet."""

    var: Path
    database_url: str
    redis_url: str

    @property
    def environment(self) -> dict[str, str]:
        return {
            "RECSYS_VAR": str(self.var),
            "RECSYS_DATABASE__URL": self.database_url,
            "RECSYS_REDIS__URL": self.redis_url,
        }

    def schemas(self) -> list[tuple[str]]:
        query = "SELECT nspname::text FROM pg_namespace WHERE nspname ~ '_db' ORDER BY 1"
        with psycopg.connect(self.database_url) as connection:
            return connection.execute(query).fetchall()


@pytest.fixture
def full_shop(shop: Shop, redis_client: redis.Redis) -> Shop:
    """An active model with stored lists, files of several kinds, and what only Redis has."""
    shopping.open_shop(shop.database_url)
    shopping.promote(shopping.fit(), "knn-v1")
    scoring.score()
    redis_client.hset(keys.cart(1), "7:3", 2)
    redis_client.expire(keys.cart(1), 3600)
    redis_client.xadd(keys.posts_waiting(), {"data": b"\x00\xff waiting"})
    redis_client.xgroup_create(keys.posts_waiting(), "intake", id="0")
    redis_client.set("search:mirror", "made again by itself")
    (shop.var / "reports").mkdir(exist_ok=True)
    (shop.var / "reports" / "a name with blanks.html").write_text("<p>ä</p>", encoding="utf-8")
    (shop.var / "mlflow").mkdir(exist_ok=True)
    with closing(sqlite3.connect(shop.var / "mlflow" / "mlflow.db")) as store:
        store.execute("CREATE TABLE runs (name text)")
        store.execute("INSERT INTO runs VALUES ('first')")
        store.commit()
    (shop.var / "run").mkdir(exist_ok=True)
    (shop.var / "run" / "cursor.key").write_text("secret of cursors")
    (shop.var / "run" / "noted.json").write_text("{}")
    forget_connections()
    return shop


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


Command = Callable[..., Done]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """`recsys backup ARGUMENTS` in this process, with further variables of its environment."""

    def run(*arguments: object, **environment: str) -> Done:
        with monkeypatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            forget_connections()
            capsys.readouterr()
            code = cli.run(["backup", *map(str, arguments)])
        forget_connections()
        return Done(code, *capsys.readouterr())

    return run


@pytest.fixture
def backup(full_shop: Shop, tmp_path: Path, command: Command) -> Path:
    """The folder of a backup of `full_shop`."""
    folder = tmp_path / "backups" / "first"
    done = command("create", folder, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["folder"] == str(folder)
    return folder


@pytest.fixture
def target(servers: Servers, tmp_path: Path) -> Iterator[Target]:
    """An empty database, and number 1 of the test's Redis."""
    address = servers.redis_url.removesuffix("/0").rstrip("/") + "/1"
    with empty_database(servers) as url, redis.Redis.from_url(address) as client:
        client.flushdb()
        try:
            yield Target(tmp_path / "restored", url, address)
        finally:
            client.flushdb()


def rows_of(url: str) -> dict[str, list[Any]]:
    """All rows of all tables of the shop, as text."""
    with psycopg.connect(url) as connection:
        tables = connection.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname ~ '_db$' ORDER BY 1, 2"
        ).fetchall()
        return {
            f"{schema}.{table}": connection.execute(
                sql.SQL("SELECT t::text FROM {} t ORDER BY 1").format(sql.Identifier(schema, table))
            ).fetchall()
            for schema, table in tables
        }


def files_of(folder: Path) -> dict[str, bytes]:
    """The content of each file below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
