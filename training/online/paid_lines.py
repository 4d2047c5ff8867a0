"""Lines of paid orders, beside the lists that they are counted for."""

from __future__ import annotations

from datetime import datetime
from typing import LiteralString

from sqlalchemy.orm import Session

from recsys.database.servers.copies import copy_to

__all__ = ["copy_paid_lines"]

_LINES: LiteralString = """
    SELECT o.user_id, l.product_id, o.created_at AS at,
           l.quantity * l.price - coalesce(l.total_discount, 0) AS paid
    FROM orders_db.orders o JOIN orders_db.order_items l ON l.order_id = o.id
    WHERE o.financial_status IN ('paid', 'partially_refunded') AND o.user_id IS NOT NULL
      AND o.created_at >= %(since)s AND o.created_at < %(until)s
"""


def copy_paid_lines(session: Session, since: datetime, until: datetime) -> None:
    """Make the temporary table `paid_lines` (user_id, product_id, at, paid), for statements about lists.

    Refunded orders are left out; of partly refunded ones all lines count.
    """
    values = {"since": since, "until": until}
    copy_to(session, "recommendations", "paid_lines", _LINES, values, indexed=("user_id", "product_id", "at"))
