"""The roll-up: visits and daily figures of some days. A second run over the same data changes nothing."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import timedelta

from sqlalchemy import text

from recsys.database.session import unit_of_work
from recsys.domains.analytics import sessionization
from recsys.domains.analytics.calendar import Days
from recsys.domains.analytics.metrics import RollupCounts, write_products, write_sales
from recsys.settings import get_settings

__all__ = ["PIECE", "RolledUp", "roll_up_days"]

PIECE = 31
"""Days whose figures are written in one transaction."""
# each visitor takes an advisory lock, and the lock table of PostgreSQL is limited
_TOGETHER = 200

# two runs at once would wait for each other's rows in different orders
_ALONE = text("SELECT pg_advisory_xact_lock(hashtextextended('recsys analytics rollup', 0))")
# an event within the visit timeout after the days may extend a visit that began in them
_TOUCHED = text(
    """
    SELECT session_id FROM analytics_db.page_views
    WHERE session_id IS NOT NULL AND timestamp >= :since AND timestamp < :until
    UNION
    SELECT session_id FROM analytics_db.user_events
    WHERE session_id IS NOT NULL AND timestamp >= :since AND timestamp < :until
    ORDER BY 1
    """
)
_FOREIGN = text(
    """
    SELECT count(*) FROM orders_db.orders
    WHERE currency <> :currency AND coalesce(processed_at, created_at) >= :begin
        AND coalesce(processed_at, created_at) < :end
    """
)


@dataclass(frozen=True)
class RolledUp:
    """What a run wrote; orders in another currency than the shop's are in no sum of money."""

    days: int = 0
    visits: int = 0
    sales_changed: int = 0
    product_rows: int = 0
    products_changed: int = 0
    products_dropped: int = 0
    other_currencies: int = 0

    def __add__(self, other: RolledUp) -> RolledUp:
        mine, theirs = asdict(self), asdict(other)
        return RolledUp(**{name: mine[name] + theirs[name] for name in mine})


def roll_up_days(days: Days) -> RolledUp:
    """Compute the visits first, since the conversion rate follows from them; then the figures.

    Visits are computed for a few visitors at a time, each batch in its own transaction: a visitor of the shop
    waits for one batch at most.
    """
    made = _visits(days)
    with unit_of_work() as session:
        session.execute(_ALONE)
        sales: RollupCounts = write_sales(session, days)
        products: RollupCounts = write_products(session, days)
        foreign = session.scalar(
            _FOREIGN, {"currency": get_settings().shop.currency, "begin": days.begin, "end": days.end}
        )
    return RolledUp(
        days=sales.rows,
        visits=made,
        sales_changed=sales.changed,
        product_rows=products.rows,
        products_changed=products.changed,
        products_dropped=products.dropped,
        other_currencies=foreign or 0,
    )


def _visits(days: Days) -> int:
    gap = timedelta(minutes=get_settings().analytics.visit_minutes)
    with unit_of_work() as session:
        session.execute(_ALONE)
        sessionization.attribute(session, since=days.begin, until=days.end)
        touched = session.scalars(_TOUCHED, {"since": days.begin, "until": days.end + gap}).all()
    made = 0
    for place in range(0, len(touched), _TOGETHER):
        part = touched[place : place + _TOGETHER]
        with unit_of_work() as session:
            sessionization.hold(session, part)
            made += sessionization.roll_up(session, dict.fromkeys(part, days.begin))
    return made
