"""Orders that nobody paid: their reservations end after a while, and the stock is for others again.

Each order is cancelled in a transaction of its own, under its lock: a payment that comes at the same moment
finds it either paid in time or cancelled, and then its money goes back as that of any cancelled order.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session

from recsys import clock
from recsys.database.session import unit_of_work
from recsys.domains.orders import service
from recsys.domains.orders.states import Financial, Status
from recsys.events.publish import publish
from recsys.events.vocabulary import OrderExpired
from recsys.log import get_logger
from recsys.settings import get_settings

__all__ = ["REASON", "expire", "expire_unpaid"]

REASON = "not paid in time"
"""The reason of these cancellations; who ordered hears of them in words of their own."""
_log = get_logger(__name__)

# Payments lie above orders: of their table is asked by plain SQL. While the gateway is being asked the order
# stays, but no longer than a payment that began just now may take. Orders of an import reserved nothing.
_DUE = """
    SELECT o.id FROM orders_db.orders o
    WHERE o.status = :pending AND o.financial_status = ANY(:unpaid) AND o.created_at < :before
      AND EXISTS (SELECT FROM orders_db.checkouts c WHERE c.order_id = o.id)
      AND NOT EXISTS (
        SELECT FROM payments_db.payments p
        WHERE p.order_id = o.id AND p.status = 'pending' AND p.created_at >= :before
      )
    """
_ALL_DUE = text(f"{_DUE} ORDER BY o.created_at, o.id")
# one that is locked is being paid at this very moment
_STILL_DUE = text(f"{_DUE} AND o.id = :order FOR NO KEY UPDATE OF o SKIP LOCKED")
_UNPAID = [Financial.PENDING.value, Financial.FAILED.value, Financial.VOIDED.value]


def expire_unpaid(after: timedelta | None = None) -> list[int]:
    """Cancel every order that was not paid within `after` (the settings' time); their ids, oldest first."""
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
    """Cancel one order that was made before a moment and is not paid; False when that is no longer so."""
    if session.scalar(_STILL_DUE, {**_parameters(before), "order": order_id}) is None:
        return False
    order = service.cancel(session, order_id, REASON, by=None)
    publish(session, OrderExpired(order_id=order.id, user_id=order.user_id))
    return True


def _parameters(before: datetime) -> dict[str, object]:
    return {"pending": Status.PENDING.value, "unpaid": _UNPAID, "before": before}
