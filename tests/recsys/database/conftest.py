"""Databases for these tests: the documented schema as facts, and an empty database."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from tests.recsys.database import catalog
from tests.recsys.database.documented import create_documented
from tests.support.servers import Servers


@pytest.fixture(scope="session")
def documented(servers: Servers) -> catalog.Facts:
    """What PostgreSQL makes of the documented DDL, in a scratch database."""
    with (
        psycopg.connect(servers.database("postgres")) as connection,
        connection.transaction(force_rollback=True),
    ):
        create_documented(connection)
        return catalog.facts(connection)


@pytest.fixture
def built(database_url: str) -> Iterator[psycopg.Connection]:
    """A connection to what the migrations built; whatever a test changes is undone."""
    with psycopg.connect(database_url) as connection, connection.transaction(force_rollback=True):
        yield connection


@pytest.fixture
def empty_database(servers: Servers) -> Iterator[str]:
    """The address of a database in which nothing was ever made."""
    name = sql.Identifier(f"empty_{secrets.token_hex(6)}")
    with psycopg.connect(servers.database("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(name))
        try:
            yield servers.database(name.as_string().strip('"'))
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
