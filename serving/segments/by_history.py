"""Segments by interactions: replenishment that is due, lower prices, and products that are in stock again."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, LiteralString

from sqlalchemy import TextClause, text
from sqlalchemy.orm import Session

from recsys.database.servers.copies import copy_to
from serving.segments.members import SegmentMember, kept

__all__ = ["MIN_REPEATS", "back_in_stock", "due_replenishment", "lower_prices"]

MIN_REPEATS = 3
"""Repeat purchases of a product, by all users, from which its interval is estimated."""
ROWS_AT_ONCE = 2_000
_DUE = text(
    """
    WITH days AS (
        SELECT DISTINCT user_id, product_id, date_trunc('day', created_at) AS day
        FROM recommendations_db.user_interactions i
        WHERE interaction_type = 'purchase' AND user_id IS NOT NULL AND created_at < :now
          AND NOT EXISTS (SELECT FROM refusing r WHERE r.user_id = i.user_id)
    ), bought AS (
        SELECT user_id, product_id, day,
               day - lag(day) OVER (PARTITION BY user_id, product_id ORDER BY day) AS waited
        FROM days
    ), intervals AS (
        SELECT product_id, count(waited) AS repeats, count(*) AS purchases,
               percentile_cont(0.5) WITHIN GROUP (ORDER BY waited) AS waited
        FROM bought GROUP BY product_id HAVING count(waited) >= :repeats
    ), own AS (
        SELECT user_id, product_id, max(day) AS last, count(waited) AS repeats,
               percentile_cont(0.5) WITHIN GROUP (ORDER BY waited) AS waited
        FROM bought GROUP BY user_id, product_id
    ), due AS (
        SELECT own.user_id, own.product_id, i.repeats, i.purchases,
               own.last + CASE WHEN own.repeats >= 2 THEN own.waited ELSE i.waited END AS at
        FROM own JOIN intervals i USING (product_id)
        JOIN on_sale p ON p.id = own.product_id
    )
    SELECT user_id, product_id, at, (repeats + 1.0) / (purchases + 2.0) AS chance FROM due
    WHERE at >= :now AND at < :until
    ORDER BY chance DESC, at, user_id, product_id
    """
)
# the users and products that `_DUE` is about
_REFUSING: LiteralString = """
    SELECT CAST(substr(owner, 6) AS integer) AS user_id FROM users_db.consents
    WHERE owner LIKE 'user:%%' AND NOT personalisation
"""
_ON_SALE: LiteralString = "SELECT id FROM products_db.products WHERE status = 'active'"
_LOOKED = text(
    """
    WITH looked AS (
        SELECT i.user_id, i.product_id, max(i.created_at) AS at
        FROM recommendations_db.user_interactions i JOIN changed USING (product_id)
        WHERE i.interaction_type IN ('view', 'like', 'add_to_cart') AND i.user_id IS NOT NULL
          AND i.created_at >= :looked_since AND i.created_at < changed.changed_at
        GROUP BY i.user_id, i.product_id
    )
    SELECT user_id, product_id, at FROM looked l
    WHERE NOT EXISTS (
        SELECT FROM recommendations_db.user_interactions b
        WHERE b.user_id = l.user_id AND b.product_id = l.product_id
          AND b.interaction_type IN ('purchase', 'dismissed') AND b.created_at >= l.at AND b.created_at < :now
    )
    ORDER BY at DESC, user_id, product_id
    """
)
_LOWER: LiteralString = """
    WITH moves AS (
        SELECT o.data ->> 'product_id' AS product, o.data ->> 'variant_id' AS variant, o.id, o.occurred_at,
               coalesce(CAST(o.data ->> 'former_price' AS numeric),
                        lag(CAST(o.data ->> 'price' AS numeric)) OVER (
                            PARTITION BY o.data ->> 'product_id', o.data ->> 'variant_id' ORDER BY o.id)
               ) AS former
        FROM analytics_db.outbox o
        WHERE o.name = 'product.price_changed' AND o.occurred_at < %(now)s
    ), of_days AS (
        SELECT DISTINCT ON (product, variant) product, variant, former,
               max(occurred_at) OVER (PARTITION BY product, variant) AS changed_at
        FROM moves WHERE occurred_at >= %(since)s
        ORDER BY product, variant, id
    )
    SELECT p.id AS product_id, max(d.changed_at) AS changed_at
        FROM of_days d
        JOIN products_db.products p ON d.product = CAST(p.id AS text) AND p.status = 'active'
        LEFT JOIN products_db.product_variants v ON d.variant = CAST(v.id AS text)
        WHERE (d.variant IS NULL OR v.id IS NOT NULL)
          AND (coalesce(v.price, p.price) < d.former OR d.former IS NULL AND p.price < p.compare_price)
        GROUP BY p.id
"""
_AGAIN: LiteralString = """
        SELECT g.product_id, max(g.created_at) AS changed_at
        FROM products_db.inventory_logs g
        JOIN products_db.products p ON p.id = g.product_id AND p.status = 'active'
        WHERE g.created_at >= %(since)s AND g.created_at < %(now)s AND g.old_quantity <= 0
          AND (g.new_quantity > 0 OR g.new_quantity IS NULL)
          AND EXISTS (SELECT FROM products_db.product_variants v
                      WHERE v.product_id = g.product_id
                        AND (v.inventory_quantity > 0 OR NOT v.inventory_tracking))
        GROUP BY g.product_id
"""


def due_replenishment(session: Session, now: datetime, days: float, limit: int) -> list[SegmentMember]:
    """Users with a product that they will need again within `days` days from now.

    A purchase is due after the user's own median interval, with two intervals or more, else after the median
    of all users; several purchases of a day are one. The chance is the share of the product's purchases that
    another one followed, with a success and a failure added (Laplace). Products with fewer than `MIN_REPEATS`
    repeat purchases have no interval.
    """
    copy_to(session, "recommendations", "refusing", _REFUSING, indexed=["user_id"])
    copy_to(session, "recommendations", "on_sale", _ON_SALE)
    values = {"now": now, "until": now + timedelta(days=days), "repeats": MIN_REPEATS}
    return _members(session, _DUE, values, limit)


def lower_prices(
    session: Session, now: datetime, days: float, looked_since: datetime, limit: int
) -> list[SegmentMember]:
    """Users who looked at a product, and did not buy it, whose price fell in the last `days` days.

    A price fell where it is lower than before the first of these changes: by the event of the change, or the
    event before it. Where neither has a former price, it is compared with `compare_price`. Changes are known
    as long as events are kept (`events.outbox_days`). The user looked at it before the last
    change, and not before `looked_since`.
    """
    return _who_looked(session, _LOWER, now, days, looked_since, limit)


def back_in_stock(
    session: Session, now: datetime, days: float, looked_since: datetime, limit: int
) -> list[SegmentMember]:
    """Users who looked at a product, and did not buy it, that is in stock again since at most `days` days.

    A quantity that is not known (null in the log) is one of stock that is not counted. The user looked at it
    before it came, and not before `looked_since`.
    """
    return _who_looked(session, _AGAIN, now, days, looked_since, limit)


def _who_looked(
    session: Session, changed: LiteralString, now: datetime, days: float, looked_since: datetime, limit: int
) -> list[SegmentMember]:
    copy_to(session, "recommendations", "changed", changed, {"now": now, "since": now - timedelta(days=days)})
    return _members(session, _LOOKED, {"now": now, "looked_since": looked_since}, limit)


def _members(session: Session, query: TextClause, values: dict[str, Any], limit: int) -> list[SegmentMember]:
    """The first `limit` of the query's rows whose users may be in a segment, read in parts."""
    chosen: list[Any] = []
    result = session.execute(query, values, execution_options={"yield_per": ROWS_AT_ONCE})
    for rows in result.partitions():
        allowed = kept(session, {row.user_id for row in rows})
        chosen += [row for row in rows if row.user_id in allowed]
        if len(chosen) >= limit:
            break
    result.close()
    return [
        SegmentMember(
            row.user_id,
            row.product_id,
            chance=None if "chance" not in row._fields else float(row.chance),
            at=row.at,
        )
        for row in chosen[:limit]
    ]
