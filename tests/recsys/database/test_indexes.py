"""Indexes are there for what is searched, usable where they are partial, and few where imports are large."""

from __future__ import annotations

import re

import psycopg
import pytest
from psycopg import sql

from tests.recsys.database import catalog

FOREIGN_KEYS = """
SELECT n.nspname || '.' || c.relname, a.attname, k.confdeltype
FROM pg_constraint k
JOIN pg_class c ON c.oid = k.conrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.conkey[1]
WHERE k.contype = 'f' AND cardinality(k.conkey) = 1
ORDER BY 1, 2
"""


def _plan(connection: psycopg.Connection, table: str, column: str) -> str:
    connection.execute("SET LOCAL enable_seqscan = off")
    connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
    connection.execute(
        sql.SQL("PREPARE lookup AS SELECT 1 FROM {} WHERE {} = $1").format(
            sql.Identifier(*table.split(".")), sql.Identifier(column)
        )
    )
    lines = connection.execute("EXPLAIN EXECUTE lookup ('7')").fetchall()
    connection.execute("DEALLOCATE lookup")
    return "\n".join(line for (line,) in lines)


def test_every_foreign_key_can_be_searched_from_the_other_side(built: psycopg.Connection) -> None:
    # what PostgreSQL runs for ON DELETE is this lookup, with a generic plan: an index whose condition
    # it could not prove would not be used
    keys = built.execute(FOREIGN_KEYS).fetchall()
    assert len(keys) > 35
    unserved = [
        f"{table}.{column}"
        for table, column, _ in keys
        if not re.search(rf"Index Cond: \(\(?{column}\)?(::text)? = ", _plan(built, table, column))
    ]
    assert unserved == []


def test_a_missing_index_would_be_noticed(built: psycopg.Connection) -> None:
    built.execute("DROP INDEX orders_db.order_items_variant_id_idx")
    assert "Index Cond" not in _plan(built, "orders_db.order_items", "variant_id")


def test_tables_that_imports_fill_carry_these_indexes_and_no_more(built: psycopg.Connection) -> None:
    indexes = catalog.indexes(built)
    bulky = ("user_interactions", "order_items", "orders", "products", "product_recommendations")
    found = {
        name.partition(".")[2]: definition.partition("USING ")[2]
        for name, definition in indexes.items()
        if re.search(rf" ON \w+\.({'|'.join(bulky)}) ", definition)
    }
    assert found == {
        "user_interactions_user_id_created_at_idx": "btree (user_id, created_at) WHERE (user_id IS NOT NULL)",
        "user_interactions_product_id_idx": "btree (product_id)",
        "user_interactions_created_at_idx": "btree (created_at)",
        "user_interactions_session_id_idx": "btree (session_id) WHERE (user_id IS NULL)",
        "order_items_order_id_idx": "btree (order_id)",
        "order_items_product_id_idx": "btree (product_id)",
        "order_items_variant_id_idx": "btree (variant_id) WHERE (variant_id IS NOT NULL)",
        "orders_user_id_created_at_idx": "btree (user_id, created_at)",
        "orders_pending_idx": "btree (created_at) WHERE ((status)::text = 'pending'::text)",
        "products_category_id_idx": "btree (category_id)",
        "products_brand_id_idx": "btree (brand_id)",
    }


@pytest.mark.parametrize("first", ["live", "writing"])
def test_only_one_generation_is_live(built: psycopg.Connection, first: str) -> None:
    insert = (
        "INSERT INTO recommendations_db.recommendation_generations "
        "(model_name, model_version, status, started_at) VALUES ('als-v3', '3', %s, now())"
    )
    built.execute(insert, [first])
    built.execute(insert, ["retired"])
    built.execute(insert, ["writing"])
    if first == "writing":
        built.execute(insert, ["live"])
    with pytest.raises(psycopg.errors.UniqueViolation, match="one_live"):
        built.execute(insert, ["live"])


def test_a_generation_has_a_known_status(built: psycopg.Connection) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        built.execute(
            "INSERT INTO recommendations_db.recommendation_generations "
            "(model_name, model_version, status, started_at) VALUES ('als-v3', '3', 'ready', now())"
        )
