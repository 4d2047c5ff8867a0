"""Expiry of unpaid orders: they are cancelled after a while, and their stock is released.

Each order is cancelled in a transaction of its own, under its lock: a payment at the same time finds the
order either open or cancelled, and is refunded then like that of any cancelled order.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session

from recsys import clock
from recsys.database.session import unit_of_work
from recsys.domains.orders import service
from recsys.domains.orders.states import Financial
from recsys.events.publish import publish
from recsys.events.vocabulary import OrderExpired
from recsys.log import get_logger
from recsys.settings import get_settings

__all__ = ["REASON", "expire", "expire_unpaid"]

REASON = "not paid in time"
"""The reason of these cancellations; the customer gets a message of its own about them."""
_log = get_logger(__name__)

# The domain of payments is above this one: plain SQL reads its table. While a payment is at its gateway the
# order stays, but no longer than a payment that began just now may take. Imported orders reserve no stock.
# The status is written out, since only then a prepared statement can use the index of pending orders.
_DUE = """
    SELECT o.id FROM orders_db.orders o
    WHERE o.status = 'pending' AND o.financial_status = ANY(:unpaid) AND o.created_at < :before
      AND EXISTS (SELECT FROM orders_db.checkouts c WHERE c.order_id = o.id)
      AND NOT EXISTS (
        SELECT FROM payments_db.payments p
        WHERE p.order_id = o.id AND p.status = 'pending' AND p.created_at >= :before
      )
    """
_ALL_DUE = text(f"{_DUE} ORDER BY o.created_at, o.id")
# a locked order is being paid at this moment
_STILL_DUE = text(f"{_DUE} AND o.id = :order FOR NO KEY UPDATE OF o SKIP LOCKED")
_UNPAID = [Financial.PENDING.value, Financial.FAILED.value, Financial.VOIDED.value]


def expire_unpaid(after: timedelta | None = None) -> list[int]:
    """Cancel every order that was not paid within `after` (default: the setting); their ids, oldest first."""
    hold = timedelta(minutes=get_settings().shop.reservation_minutes) if after is None else after
    before = clock.now() - hold
    with unit_of_work() as session:
        due = list(session.scalars(_ALL_DUE, _parameters(before)))
    expired = []
    for order_id in due:
        with unit_of_work() as session:
            if expire(session, order_id, before):
                expired.append(order_id)
    if expired:
        _log.info("orders that were not paid in time are cancelled", orders=len(expired))
    return expired


def expire(session: Session, order_id: int, before: datetime) -> bool:
    """Cancel one order if it was placed before `before` and is still unpaid; whether it was cancelled."""
    if session.scalar(_STILL_DUE, {**_parameters(before), "order": order_id}) is None:
        return False
    order = service.cancel(session, order_id, REASON, by=None)
    publish(session, OrderExpired(order_id=order.id, user_id=order.user_id))
    return True


def _parameters(before: datetime) -> dict[str, object]:
    return {"unpaid": _UNPAID, "before": before}
