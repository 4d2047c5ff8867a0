"""What the migrations build is what the document says, and the comparison notices when it is not."""

from __future__ import annotations

import psycopg
import pytest

from recsys.database.base import SCHEMAS
from recsys.database.custom_tables import OWN_TABLES
from tests.recsys.database import catalog
from tests.recsys.database.documented import documented_tables


def test_the_document_has_39_tables_in_seven_clusters() -> None:
    names = [table.name for table in documented_tables()]
    assert len(names) == len(set(names)) == 39
    assert {name.partition(".")[0] for name in names} == set(SCHEMAS)


def test_the_two_user_sessions_differ_and_payments_waits_for_its_methods() -> None:
    names = [table.name for table in documented_tables()]
    assert {"users_db.user_sessions", "analytics_db.user_sessions"} <= set(names)
    assert names.index("payments_db.payment_methods") < names.index("payments_db.payments")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("-- ### 1. a_db\nCREATE TABLE a (b INTEGER REFERENCES c(id));", "refers to c"),
        ("-- ### 1. a_db\nCREATE INDEX a ON b (c);", "expected CREATE TABLE"),
        ("-- ### 1. a_db\nCREATE TABLE a (x INTEGER);\nCREATE TABLE a (x INTEGER);", "twice"),
        (
            "-- ### 1. a_db\nCREATE TABLE a (x INTEGER REFERENCES b(id));\n"
            "CREATE TABLE b (x INTEGER REFERENCES a(id));",
            "circle",
        ),
    ],
)
def test_a_document_that_cannot_be_understood_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        documented_tables(text)


def test_the_migrations_build_the_documented_schema(
    documented: catalog.Facts, built: psycopg.Connection
) -> None:
    ours = catalog.without(catalog.facts(built), OWN_TABLES)
    assert catalog.differences(documented, ours) == []
    assert len(catalog.tables(ours)) == 39


def test_the_scratch_database_holds_every_documented_table(documented: catalog.Facts) -> None:
    assert catalog.tables(documented) == {table.name for table in documented_tables()}


def test_the_listed_own_tables_are_there_and_no_others(
    documented: catalog.Facts, built: psycopg.Connection
) -> None:
    extra = catalog.tables(catalog.facts(built)) - catalog.tables(documented)
    assert extra == set(OWN_TABLES)
    assert len(OWN_TABLES) == len(set(OWN_TABLES))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (
            "ALTER TABLE users_db.users ALTER is_active DROP DEFAULT",
            ["users_db.users column is_active: default"],
        ),
        (
            "ALTER TABLE products_db.products ALTER status SET DEFAULT 'draft'",
            ["products_db.products column status: default"],
        ),
        ("ALTER TABLE users_db.users ALTER email TYPE varchar(254)", ["users_db.users column email: type"]),
        (
            "ALTER TABLE recommendations_db.product_recommendations ALTER score TYPE numeric(6, 4)",
            ["recommendations_db.product_recommendations column score: type"],
        ),
        (
            "ALTER TABLE orders_db.orders ALTER order_number DROP NOT NULL",
            ["orders_db.orders column order_number: nullability"],
        ),
        (
            "ALTER TABLE orders_db.orders ALTER email SET NOT NULL",
            ["orders_db.orders column email: nullability"],
        ),
        (
            "ALTER TABLE users_db.users DROP CONSTRAINT users_email_key",
            ["users_db.users constraint users_email_key"],
        ),
        (
            "ALTER TABLE products_db.product_reviews DROP CONSTRAINT product_reviews_rating_check",
            ["products_db.product_reviews constraint product_reviews_rating_check"],
        ),
        (
            "ALTER TABLE products_db.product_reviews DROP CONSTRAINT product_reviews_rating_check, "
            "ADD CONSTRAINT product_reviews_rating_check CHECK (rating >= 0 AND rating <= 5)",
            ["products_db.product_reviews constraint product_reviews_rating_check"],
        ),
        (
            "ALTER TABLE orders_db.orders DROP CONSTRAINT orders_user_id_fkey, ADD FOREIGN KEY (user_id) "
            "REFERENCES users_db.users (id) ON DELETE CASCADE",
            ["orders_db.orders constraint orders_user_id_fkey"],
        ),
        (
            "ALTER TABLE analytics_db.user_sessions "
            "RENAME CONSTRAINT user_sessions_session_id_key TO one_session",
            [
                "analytics_db.user_sessions constraint one_session",
                "analytics_db.user_sessions constraint user_sessions_session_id_key",
            ],
        ),
        (
            "ALTER TABLE orders_db.order_items ADD UNIQUE (order_id, product_id)",
            ["orders_db.order_items constraint order_items_order_id_product_id_key"],
        ),
        (
            "ALTER TABLE users_db.users DROP CONSTRAINT users_pkey CASCADE",
            [
                "users_db.users constraint users_pkey",
                "users_db.user_profiles constraint user_profiles_user_id_fkey",
            ],
        ),
        ("CREATE TABLE users_db.more (id integer)", ["users_db.more kind", "users_db.more column id: type"]),
        ("DROP TABLE users_db.user_activities", ["users_db.user_activities kind"]),
        ("CREATE VIEW users_db.names AS SELECT username FROM users_db.users", ["users_db.names kind"]),
    ],
)
def test_a_single_change_is_named(
    documented: catalog.Facts, built: psycopg.Connection, change: str, named: list[str]
) -> None:
    built.execute(change.encode())
    found = catalog.differences(documented, catalog.without(catalog.facts(built), OWN_TABLES))
    for name in named:
        assert any(line.startswith(f"{name}:") for line in found), found
    tables = {name.split()[0] for name in named}
    assert "CASCADE" in change or all(line.startswith(tuple(tables)) for line in found)
