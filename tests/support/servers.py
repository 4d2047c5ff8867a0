"""Real PostgreSQL and Valkey for tests: one pair per pytest process, started when first asked for."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
import sqlalchemy
from psycopg import sql
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from recsys import embedded
from recsys.database.servers.placement import server_of_text
from recsys.database.servers.relocation import add_deletion_trigger
from recsys.settings import Settings
from tests.support.databases import CLONE, Databases

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Servers:
    """The running pair and the settings that find it."""

    settings: Settings
    database_url: str
    redis_url: str

    def database(self, name: str) -> str:
        """The address of another database of the same server."""
        return urlunsplit(urlsplit(self.database_url)._replace(path=f"/{name}"))


def _execute(servers: Servers, statement: str, *names: str) -> None:
    with psycopg.connect(servers.database("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


@contextmanager
def _database(servers: Servers, template: str) -> Iterator[str]:
    name = f"test_{secrets.token_hex(6)}"
    _execute(servers, CLONE, name, template)
    try:
        yield servers.database(name)
    finally:
        _execute(servers, "DROP DATABASE {} WITH (FORCE)", name)


@contextmanager
def empty_database(servers: Servers) -> Iterator[str]:
    """The address of a database without a schema."""
    with _database(servers, "template0") as url:
        yield url


@contextmanager
def temporary_var(prefix: str = "recsys-tests-") -> Iterator[Path]:
    """A folder for a `var/` that every user may enter; whatever servers it holds are deleted with it.

    pytest's `tmp_path` is closed to other users, and PostgreSQL runs as one when the tests run as root.
    """
    var = Path(tempfile.mkdtemp(prefix=prefix)).resolve()
    var.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RECSYS_")}
    watchdog = subprocess.Popen(
        [sys.executable, "-m", "tests.support.watchdog", str(var)],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield var
    finally:
        assert watchdog.stdin is not None
        watchdog.stdin.close()
        assert watchdog.wait(120) == 0, "the test servers could not be deleted"


def _stays_on_one_server(connection: Connection, _: object, statement: str, *__: object) -> None:
    """Each statement of every test touches tables of one server alone, wherever these lie today.

    Migrations, whose connections are not pooled, run on each server for all tables.
    """
    if not isinstance(connection.engine.pool, NullPool):
        server_of_text(statement)


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """PostgreSQL and Valkey in a temporary `var/`, without durability, for this pytest process alone."""
    sqlalchemy.event.listen(Engine, "before_cursor_execute", _stays_on_one_server)
    with temporary_var() as var:
        settings = Settings(var=var, environment="test")
        found = embedded.start(settings, throwaway=True)
        yield Servers(settings, found.database_url, found.redis_url)


@pytest.fixture(scope="session")
def migrated_template(servers: Servers) -> str:
    """The name of a migrated, empty database to clone from."""
    from recsys.database import migrate

    name = "migrated"
    _execute(servers, "CREATE DATABASE {}", name)
    migrate.upgrade(servers.database(name))
    return name


@pytest.fixture(scope="session")
def other_databases(servers: Servers) -> Iterator[Databases]:
    """Databases that stand for servers beside the shop's."""
    from recsys.database import migrate
    from recsys.database.servers.placement import SERVER_NAMES

    name = "migrated_other"
    _execute(servers, "CREATE DATABASE {}", name)
    for server in SERVER_NAMES:
        migrate.upgrade(servers.database(name), server=server)
    lender = Databases(servers.database("{}"), name)
    yield lender
    lender.close()


@pytest.fixture(scope="session")
def database_url(servers: Servers, migrated_template: str) -> Iterator[str]:
    """A migrated database shared by tests that roll back."""
    with _database(servers, migrated_template) as url:
        yield url


@pytest.fixture
def session(database_url: str) -> Iterator[Session]:
    """A session whose work is undone after the test; a commit inside it only ends a savepoint."""
    engine = create_engine(database_url, poolclass=NullPool)
    try:
        with engine.connect() as connection:
            outer = connection.begin()
            with Session(connection, join_transaction_mode="create_savepoint") as inner:
                yield inner
            outer.rollback()
    finally:
        engine.dispose()


@pytest.fixture(scope="session")
def databases(servers: Servers, migrated_template: str) -> Iterator[Databases]:
    """The databases that are lent to tests."""
    template = migrated_template
    if os.environ.get("TESTS_DATABASES") == "several":
        template = "migrated_divided"
        _execute(servers, CLONE, template, migrated_template)
        with psycopg.connect(servers.database(template)) as connection:
            add_deletion_trigger(connection)
    lender = Databases(servers.database("{}"), template)
    yield lender
    lender.close()


@pytest.fixture
def fresh_database(databases: Databases) -> Iterator[str]:
    """The address of a migrated, empty database that belongs to this test alone."""
    with databases.lent() as url:
        yield url
