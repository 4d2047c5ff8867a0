"""The figures of each day (`sales_metrics`, `product_metrics`), computed from the tables at each run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import TextClause, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, BIGINT, DATE, INTEGER, NUMERIC, TIMESTAMP, VARCHAR
from sqlalchemy.exc import DataError
from sqlalchemy.orm import Session

from recsys import clock
from recsys.domains.analytics.calendar import Days
from recsys.domains.analytics.schemas import SHOP
from recsys.domains.analytics.sessionization import CANCELLED, CART, SOLD
from recsys.errors import Conflict
from recsys.settings import get_settings

__all__ = ["RollupCounts", "write_products", "write_sales"]

# width_bucket finds the day that a moment lies in by the days' beginnings: 23 or 25 hours make no difference,
# and PostgreSQL needs no time zones of its own. Customers are users, else e-mail addresses. What was sold and
# seen is counted first, and then written: it may lie on another server than the figures.
_SOLD = text(
    """
    WITH sales AS (
        SELECT o.total_price, coalesce(o.processed_at, o.created_at) AS moment,
            coalesce('user ' || o.user_id, 'mail ' || lower(o.email), 'order ' || o.id) AS customer
        FROM orders_db.orders AS o
        WHERE o.financial_status = ANY(:sold) AND o.status IS DISTINCT FROM :cancelled
            AND (o.currency IS NULL OR o.currency = :currency)
    ), firsts AS (
        SELECT customer, min(moment) AS moment FROM sales GROUP BY customer
    )
    SELECT dated.place, sum(total_price) AS total, count(*) AS orders,
        count(DISTINCT customer) AS customers,
        count(DISTINCT customer) FILTER (WHERE firsts.moment < (:starts)[dated.place]) AS regulars
    FROM (
        SELECT *, width_bucket(moment, :starts) AS place FROM sales
        WHERE moment >= :begin AND moment < :end
    ) AS dated JOIN firsts USING (customer)
    GROUP BY dated.place
    """
)
_SALES = text(
    """
    WITH days AS (
        SELECT day, place::integer FROM unnest(:days) WITH ORDINALITY AS given(day, place)
    ), sold AS (
        SELECT * FROM unnest(:place, :total, :orders, :customers, :regulars)
            AS given(place, total, orders, customers, regulars)
    ), visits AS (
        SELECT width_bucket(start_time, :starts) AS place, count(*) AS visits,
            count(*) FILTER (WHERE converted) AS converted
        FROM analytics_db.user_sessions WHERE start_time >= :begin AND start_time < :end
        GROUP BY 1
    ), written AS (
        INSERT INTO analytics_db.sales_metrics AS kept (date, total_sales, order_count, average_order_value,
            unique_customers, returning_customers, conversion_rate, created_at)
        SELECT days.day, coalesce(total, 0), coalesce(orders, 0), coalesce(round(total / orders, 2), 0),
            coalesce(customers, 0), coalesce(regulars, 0),
            coalesce(round(converted::numeric / visits, 4), 0), :now
        FROM days LEFT JOIN sold USING (place) LEFT JOIN visits USING (place)
        ON CONFLICT (date) DO UPDATE SET total_sales = excluded.total_sales,
            order_count = excluded.order_count, average_order_value = excluded.average_order_value,
            unique_customers = excluded.unique_customers,
            returning_customers = excluded.returning_customers, conversion_rate = excluded.conversion_rate
        WHERE (kept.total_sales, kept.order_count, kept.average_order_value, kept.unique_customers,
                kept.returning_customers, kept.conversion_rate)
            IS DISTINCT FROM (excluded.total_sales, excluded.order_count, excluded.average_order_value,
                excluded.unique_customers, excluded.returning_customers, excluded.conversion_rate)
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM days), (SELECT count(*) FROM written), 0
    """
)
_SEEN = text(
    """
    WITH viewed AS (
        SELECT product_id, width_bucket(viewed_at, :starts) AS place, count(*) AS views,
            count(DISTINCT coalesce('user ' || user_id, 'session ' || session_id, 'view ' || id)) AS viewers
        FROM products_db.product_view_history
        WHERE product_id IS NOT NULL AND viewed_at >= :begin AND viewed_at < :end
        GROUP BY 1, 2
    ), bought AS (
        SELECT i.product_id, width_bucket(coalesce(o.processed_at, o.created_at), :starts) AS place,
            count(DISTINCT o.id) AS orders,
            sum(i.price * i.quantity - coalesce(i.total_discount, 0)) AS revenue
        FROM orders_db.orders AS o JOIN orders_db.order_items AS i ON i.order_id = o.id
        WHERE o.financial_status = ANY(:sold) AND o.status IS DISTINCT FROM :cancelled
            AND (o.currency IS NULL OR o.currency = :currency) AND i.product_id IS NOT NULL
            AND coalesce(o.processed_at, o.created_at) >= :begin
            AND coalesce(o.processed_at, o.created_at) < :end
        GROUP BY 1, 2
    )
    SELECT product_id, place, coalesce(views, 0) AS views, coalesce(viewers, 0) AS viewers,
        coalesce(orders, 0) AS orders, coalesce(revenue, 0) AS revenue
    FROM viewed FULL JOIN bought USING (product_id, place)
    """
)
_PRODUCTS = text(
    """
    WITH seen AS (
        SELECT * FROM unnest(:product_id, :place, :views, :viewers, :orders, :revenue)
            AS given(product_id, place, views, viewers, orders, revenue)
    ), carted AS (
        SELECT (properties ->> 'product_id')::integer AS product_id,
            width_bucket(timestamp, :starts) AS place, count(*) AS times
        FROM (
            SELECT * FROM analytics_db.user_events
            WHERE event_category = :shop AND event_type = :cart AND timestamp >= :begin AND timestamp < :end
            OFFSET 0
        ) AS own
        GROUP BY 1, 2
    ), figures AS (
        SELECT product_id, (:days)[place] AS day, coalesce(views, 0) AS views,
            coalesce(viewers, 0) AS viewers, coalesce(times, 0) AS carts, coalesce(orders, 0) AS orders,
            coalesce(revenue, 0) AS revenue,
            least(coalesce(round(orders::numeric / nullif(viewers, 0), 4), 0), 1) AS rate
        FROM seen FULL JOIN carted USING (product_id, place)
    ), written AS (
        INSERT INTO analytics_db.product_metrics AS kept (product_id, date, views, unique_views, add_to_carts,
            purchases, revenue, conversion_rate, created_at)
        SELECT product_id, day, views, viewers, carts, orders, revenue, rate, :now FROM figures
        ORDER BY product_id, day
        ON CONFLICT (product_id, date) DO UPDATE SET views = excluded.views,
            unique_views = excluded.unique_views, add_to_carts = excluded.add_to_carts,
            purchases = excluded.purchases, revenue = excluded.revenue,
            conversion_rate = excluded.conversion_rate
        WHERE (kept.views, kept.unique_views, kept.add_to_carts, kept.purchases, kept.revenue,
                kept.conversion_rate)
            IS DISTINCT FROM (excluded.views, excluded.unique_views, excluded.add_to_carts,
                excluded.purchases, excluded.revenue, excluded.conversion_rate)
        RETURNING 1
    ), dropped AS (
        DELETE FROM analytics_db.product_metrics AS old
        WHERE old.date = ANY(:days) AND NOT EXISTS (
            SELECT FROM figures WHERE figures.product_id = old.product_id AND figures.day = old.date
        )
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM figures), (SELECT count(*) FROM written), (SELECT count(*) FROM dropped)
    """
)
_DAYS = (bindparam("days", type_=ARRAY(DATE)), bindparam("starts", type_=ARRAY(TIMESTAMP(timezone=True))))
_SOLD_ORDERS = (_DAYS[1], bindparam("sold", type_=ARRAY(VARCHAR)))
_SOLD, _SEEN = _SOLD.bindparams(*_SOLD_ORDERS), _SEEN.bindparams(*_SOLD_ORDERS)
_COLUMNS: dict[str, Any] = {
    "place": INTEGER,
    "total": NUMERIC,
    "orders": BIGINT,
    "customers": BIGINT,
    "regulars": BIGINT,
    "product_id": INTEGER,
    "views": BIGINT,
    "viewers": BIGINT,
    "revenue": NUMERIC,
}


def _with_columns(statement: TextClause) -> TextClause:
    columns = [name for name in _COLUMNS if f":{name}" in statement.text]
    return statement.bindparams(*_DAYS, *(bindparam(name, type_=ARRAY(_COLUMNS[name])) for name in columns))


_SALES, _PRODUCTS = _with_columns(_SALES), _with_columns(_PRODUCTS)


@dataclass(frozen=True)
class RollupCounts:
    """How many rows these days have, how many of them changed, and how many were deleted."""

    rows: int
    changed: int
    dropped: int


def write_sales(session: Session, days: Days) -> RollupCounts:
    """Write one row for each day, also for days without sales.

    A sale counts on the day it was paid. Refunds do not change the figures of that day.

    Raises
    ------
    Conflict
        A sum does not fit.
    """
    return _write(session, _SOLD, _SALES, _values(days))


def write_products(session: Session, days: Days) -> RollupCounts:
    """Write one row per product and day with a view, cart or sale; delete the others. Raises Conflict."""
    return _write(session, _SEEN, _PRODUCTS, _values(days) | {"shop": SHOP, "cart": CART})


def _values(days: Days) -> dict[str, Any]:
    return {
        "days": days.dates,
        "starts": days.starts,
        "begin": days.begin,
        "end": days.end,
        "sold": SOLD,
        "cancelled": CANCELLED,
        "currency": get_settings().shop.currency,
        "now": clock.now(),
    }


def _write(
    session: Session, counted: TextClause, written: TextClause, values: dict[str, Any]
) -> RollupCounts:
    found = session.execute(counted, values)
    names, rows = list(found.keys()), found.all()
    columns = {name: [row[place] for row in rows] for place, name in enumerate(names)}
    try:
        several, changed, dropped = session.execute(written, values | columns).one()
    except DataError as error:
        raise Conflict(
            f"A sum of the days from {values['days'][0]} to {values['days'][-1]} is larger than the table "
            "holds; look for an order with a price that can't be right."
        ) from error
    return RollupCounts(several, changed, dropped)
