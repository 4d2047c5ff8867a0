"""Tables for one transaction: the same statements on one server and on several."""

from __future__ import annotations

import pytest

from recsys.database.servers.copies import copy_to, staging
from recsys.database.session import driver_connection, unit_of_work
from recsys.domains.products.tables import Brand
from tests.support.shop import Shop

_SCHEMAS = "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'staging%'"


@pytest.fixture(params=["one server", "several servers"])
def anywhere(request: pytest.FixtureRequest, shop: Shop) -> Shop:
    if request.param == "several servers":
        request.getfixturevalue("other_servers")
    return shop


def test_rows_are_brought_with_their_types(anywhere: Shop) -> None:
    query = """
        SELECT id, name, created_at, CAST(1.5 AS numeric) AS price, ARRAY['ä', NULL] AS words,
               CAST('{"a": 1}' AS jsonb) AS data
        FROM products_db.brands WHERE name <> %(other)s ORDER BY id
    """
    with unit_of_work() as session:
        session.add_all(Brand(name=name, slug=name) for name in "abc")
    with unit_of_work() as session:
        expected = driver_connection(session).execute(query, {"other": "b"}).fetchall()
        for _ in range(2):  # a second table takes the place of the first
            copy_to(session, "recommendations", "given", query, {"other": "b"}, indexed=["id"])
        found = driver_connection(session, "recommendations").execute("SELECT * FROM given ORDER BY id")
        assert found.fetchall() == expected
        assert len(expected) == 2
    with unit_of_work() as session:
        left = driver_connection(session, "recommendations").execute("SELECT to_regclass('given')")
        assert left.fetchall() == [(None,)]


def test_what_nobody_has_is_brought_too(anywhere: Shop) -> None:
    with unit_of_work() as session:
        copy_to(session, "recommendations", "given", "SELECT id, name FROM products_db.brands")
        found = driver_connection(session, "recommendations").execute("SELECT id, name FROM given")
        assert found.fetchall() == []


def test_staging_tables_are_gone_and_both_servers_take_the_writes(anywhere: Shop) -> None:
    with unit_of_work() as session:
        session.add(Brand(name="a", slug="a"))
        session.flush()
        connection = driver_connection(session, "recommendations")
        for _ in range(2):
            with staging(session, "recommendations", ["given"]) as kind:
                connection.execute(f"CREATE {kind} TABLE given AS SELECT 1 AS n".encode())
                connection.execute(
                    "INSERT INTO recommendations_db.user_interactions (product_id, interaction_type) "
                    "SELECT n, 'view' FROM given"
                )
        assert connection.execute(_SCHEMAS).fetchall() == []
    with anywhere.connect() as connection:
        assert connection.execute("SELECT count(*) FROM products_db.brands").fetchone() == (1,)
        counted = "SELECT count(*) FROM recommendations_db.user_interactions"
        assert connection.execute(counted).fetchone() == (2,)


def test_a_failure_leaves_no_staging_table(anywhere: Shop) -> None:
    def fail() -> None:
        with unit_of_work() as session, staging(session, "recommendations", ["given"]) as kind:
            made = f"CREATE {kind} TABLE given AS SELECT 1 AS n"
            driver_connection(session, "recommendations").execute(made.encode())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with unit_of_work() as session:
        assert driver_connection(session, "recommendations").execute(_SCHEMAS).fetchall() == []
