"""Writes PostgreSQL's documents: single ones after events, or all of them merged at once.

Two processes may index the same product at the same time. Each document carries the time at which the
statement that read it began (`as_of`), and an older one never replaces a newer one. A change is committed
before its event is handled, so the newest document contains every published change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import orjson
from sqlalchemy import RowMapping, text
from sqlalchemy.orm import Session

from recsys.search.analysis.analyser import analyser
from recsys.search.analysis.document_tokens import document_vectors
from recsys.search.backends.postgres import lexicon
from recsys.search.documents import PRODUCTS, TREE, USERS
from recsys.search.queries import Differences
from recsys.search.ranking.popularity import popularity_of
from recsys.settings import SearchSettings

__all__ = ["build", "compare_products", "compare_users", "keep_products", "keep_users", "settle"]

_COLUMNS = (
    "name, price, category_id, category_name, brand_id, brand_name, tags, status, is_featured, "
    "rating_average, review_count, inventory_quantity, created_at, words, name_words"
)
_BATCH = 5000
_NAMES = _COLUMNS.split(", ")
_STORED = ["product_id", *_NAMES[:-2], "as_of"]
_SET = ", ".join(f"{name} = excluded.{name}" for name in [*_NAMES, "as_of"])
# the rows are passed as JSON: one parameter, whatever their number
_GIVEN = """
    jsonb_to_recordset(CAST(:rows AS jsonb)) AS fresh(
        product_id integer, name text, price numeric, category_id integer, category_name text,
        brand_id integer, brand_name text, tags text[], status text, is_featured boolean,
        rating_average numeric(3, 2), review_count integer, inventory_quantity bigint, created_at timestamptz,
        words tsvector, name_words tsvector, as_of timestamptz
    )
"""
_ONE = text(f"WITH RECURSIVE {TREE} {PRODUCTS} WHERE p.id = ANY(:ids) ORDER BY p.id FOR KEY SHARE OF p")
_KEEP = text(
    f"""
    INSERT INTO products_db.product_search AS kept (product_id, {_COLUMNS}, as_of)
    SELECT product_id, {_COLUMNS}, as_of FROM {_GIVEN} ORDER BY product_id
    ON CONFLICT (product_id) DO UPDATE SET {_SET} WHERE kept.as_of <= excluded.as_of
    """  # noqa: S608
)
_DROP_FRESH = text("DROP TABLE IF EXISTS pg_temp.fresh_documents, pg_temp.fresh_vectors")
# the texts are read from here once more, and never stored
_FRESH_DOCUMENTS = text(
    f"""
    CREATE TEMPORARY TABLE fresh_documents ON COMMIT DROP AS WITH RECURSIVE {TREE} {PRODUCTS}
    """
)
_FRESH_VECTORS = text(
    """
    CREATE TEMPORARY TABLE fresh_vectors (product_id integer, words tsvector, name_words tsvector)
    ON COMMIT DROP
    """
)
_TEXTS = text(
    """
    SELECT product_id, name, sku, variant_skus, brand_name, tags, options, category_path, short_description,
           description
    FROM fresh_documents
    """
)
_ANALYZE = text("ANALYZE fresh_documents (product_id), fresh_vectors (product_id)")
_FRESH = """
    (SELECT d.product_id, d.name, d.price, d.category_id, d.category_name, d.brand_id, d.brand_name, d.tags,
            d.status, d.is_featured, d.rating_average, d.review_count, d.inventory_quantity, d.created_at,
            v.words, v.name_words, d.as_of
     FROM fresh_documents d JOIN fresh_vectors v USING (product_id))
"""
_CHANGED = " OR ".join(f"kept.{name} IS DISTINCT FROM excluded.{name}" for name in _NAMES)
_MERGE = text(
    f"""
    WITH liked AS (
        SELECT * FROM unnest(CAST(:products AS integer[]), CAST(:popularity AS real[]))
            AS given(product_id, popularity)
    )
    INSERT INTO products_db.product_search AS kept (product_id, {_COLUMNS}, as_of, popularity)
    SELECT product_id, {_COLUMNS}, as_of, coalesce(liked.popularity, 0)
    FROM {_FRESH} fresh LEFT JOIN liked USING (product_id)
    -- a product that was deleted since must not come back; the others can't be deleted before the commit
    WHERE EXISTS (SELECT FROM products_db.products p WHERE p.id = fresh.product_id FOR KEY SHARE)
    ORDER BY product_id
    ON CONFLICT (product_id) DO UPDATE SET {_SET}, popularity = excluded.popularity
    WHERE kept.as_of <= excluded.as_of
      AND (abs(kept.popularity - excluded.popularity) > 0.001 OR {_CHANGED})
    """  # noqa: S608
)
# only the owner may; for other accounts, autovacuum does it later
_SETTLE = text(
    """
    SELECT gin_clean_pending_list(i.indexrelid)
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam
    WHERE i.indrelid = CAST('products_db.product_search' AS regclass) AND a.amname = 'gin'
      AND pg_has_role(c.relowner, 'MEMBER')
    """
)
_COMPARE = text(
    f"""
    SELECT count(*) AS checked,
           count(*) FILTER (WHERE kept.product_id IS NULL) AS missing,
           count(*) FILTER (WHERE excluded.product_id IS NULL) AS superfluous,
           count(*) FILTER (WHERE kept.product_id = excluded.product_id AND ({_CHANGED})) AS stale,
           array_agg(coalesce(excluded.product_id, kept.product_id)) FILTER (
               WHERE kept.product_id IS NULL OR excluded.product_id IS NULL OR {_CHANGED}) AS differing
    FROM {_FRESH} excluded FULL JOIN products_db.product_search kept USING (product_id)
    """  # noqa: S608
)

_USER_COLUMNS = (
    "username, full_name, bio, latitude, longitude, is_active, is_online, followers_count, following_count, "
    "created_at, words, names"
)
_USER_DOCUMENT = """
    SELECT d.*,
           setweight(to_tsvector('simple', d.username), 'A')
           || setweight(to_tsvector('simple', d.full_name), 'A')
           || setweight(to_tsvector('simple', coalesce(d.bio, '')), 'D') AS words,
           lower(d.username || ' ' || d.full_name) AS names
    FROM (%s) d
"""
_USER_SET = ", ".join(f"{name} = excluded.{name}" for name in [*_USER_COLUMNS.split(", "), "as_of"])
_USER_CHANGED = " OR ".join(
    f"kept.{name} IS DISTINCT FROM excluded.{name}"
    # presence changes without an event, and is read from the users when it is displayed
    for name in _USER_COLUMNS.split(", ")
    if name != "is_online"
)
_KEEP_USERS = text(
    f"""
    INSERT INTO users_db.user_search AS kept (user_id, {_USER_COLUMNS}, as_of)
    SELECT user_id, {_USER_COLUMNS}, as_of
    FROM ({_USER_DOCUMENT % (USERS + "WHERE CAST(:ids AS integer[]) IS NULL OR u.id = ANY(:ids)")}) fresh
    ORDER BY user_id
    ON CONFLICT (user_id) DO UPDATE SET {_USER_SET}
    WHERE kept.as_of <= excluded.as_of AND ({_USER_CHANGED} OR kept.is_online <> excluded.is_online)
    """  # noqa: S608
)
_COMPARE_USERS = text(
    f"""
    SELECT count(*) AS checked,
           count(*) FILTER (WHERE kept.user_id IS NULL) AS missing,
           count(*) FILTER (WHERE excluded.user_id IS NULL) AS superfluous,
           count(*) FILTER (WHERE kept.user_id = excluded.user_id AND ({_USER_CHANGED})) AS stale,
           array_agg(coalesce(excluded.user_id, kept.user_id)) FILTER (
               WHERE kept.user_id IS NULL OR excluded.user_id IS NULL OR {_USER_CHANGED}) AS differing
    FROM ({_USER_DOCUMENT % USERS}) excluded
    FULL JOIN users_db.user_search kept USING (user_id)
    """  # noqa: S608
)


def keep_products(session: Session, settings: SearchSettings, ids: Sequence[int]) -> None:
    """Index these products again. A deleted product's document is deleted by its foreign key."""
    if not ids:
        return
    rows = list(session.execute(_ONE, {"ids": sorted(set(ids))}).mappings())
    if rows:
        session.execute(_KEEP, _parameters(rows, settings))
        lexicon.keep(session, settings.language, rows)
    settle(session)


def keep_users(session: Session, ids: Sequence[int] | None) -> int:
    """Index these users (None: all) again; the number of changed documents."""
    return int(session.execute(_KEEP_USERS, {"ids": ids if ids is None else list(ids)}).rowcount)  # type: ignore[attr-defined]


def build(session: Session, settings: SearchSettings) -> int:
    """Index all products into temporary tables, then merge them by one statement; how many differed.

    Readers see the old state until the transaction is committed, and the whole new state afterwards.
    Documents that events wrote in the meantime are newer than those read here, and stay.
    """
    _build_fresh(session, settings)
    differed = int(session.execute(_MERGE, popularity_of(session)).rowcount)  # type: ignore[attr-defined]
    settle(session)
    return differed


def settle(session: Session) -> None:
    """Move the pending entries of the GIN indexes into place, since every search reads all pending ones."""
    session.execute(_SETTLE)


def compare_products(session: Session, settings: SearchSettings) -> tuple[Differences, list[int]]:
    """How the documents differ from the products, and the ids of all that do; popularity is not compared."""
    _build_fresh(session, settings)
    return _differences(session.execute(_COMPARE).one())


def compare_users(session: Session) -> tuple[Differences, list[int]]:
    """How the documents differ from the users, and the ids of all that do."""
    return _differences(session.execute(_COMPARE_USERS).one())


def _build_fresh(session: Session, settings: SearchSettings) -> None:
    """All products as they should be indexed, in two temporary tables: documents, and their vectors."""
    used = analyser(settings.language)
    for statement in (_DROP_FRESH, _FRESH_DOCUMENTS, _FRESH_VECTORS):
        session.execute(statement)
    driver = session.connection().connection.driver_connection
    assert driver is not None
    texts = session.execute(_TEXTS, execution_options={"yield_per": _BATCH})
    for rows in texts.mappings().partitions():
        with driver.cursor().copy("COPY fresh_vectors FROM STDIN") as copy:
            for row in rows:
                vectors = document_vectors(row, used)
                copy.write_row((row["product_id"], vectors.words, vectors.name_words))
    session.execute(_ANALYZE)


def _parameters(rows: Sequence[RowMapping], settings: SearchSettings) -> dict[str, str]:
    """Products with their vectors, as the parameter of a statement."""
    used = analyser(settings.language)
    products = [{name: row[name] for name in _STORED} | asdict(document_vectors(row, used)) for row in rows]
    return {"rows": orjson.dumps(products, default=str).decode()}


def _differences(row: object) -> tuple[Differences, list[int]]:
    checked, missing, superfluous, stale, differing = row  # type: ignore[misc]
    ids = sorted(differing or [])  # type: ignore[has-type]
    return Differences(checked, missing, superfluous, stale, tuple(ids[:10])), ids  # type: ignore[has-type]
