"""Finds carts that were filled and left, and stores each once for as long as it lies there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from recsys import clock
from recsys.cache import keys
from recsys.cache.client import get_redis
from recsys.database.after_commit import after_commit
from recsys.domains.orders.carts import store as carts
from recsys.domains.orders.carts.cart_view import priced_lines
from recsys.domains.orders.carts.store import Owner
from recsys.domains.orders.tables import AbandonedCart
from recsys.domains.users.tables import User
from recsys.events.publish import publish
from recsys.events.vocabulary import CartAbandoned
from recsys.log import get_logger
from recsys.money import total
from recsys.settings import get_settings

__all__ = ["BATCH", "AbandonedCartCounts", "store_abandoned"]

BATCH = 500
_log = get_logger(__name__)
_LOCK = 0x63617274  # one job at a time: two would store the same cart twice


@dataclass(frozen=True)
class AbandonedCartCounts:
    """How many carts one batch looked at, and how many of them it stored."""

    looked_at: int
    stored: int


def store_abandoned(session: Session, *, idle: timedelta | None = None) -> AbandonedCartCounts:
    """Store carts that did not change for `idle` (the settings' time), one batch of up to 500.

    A cart that is stored leaves the list of changed ones after the commit; if that fails, the next run sees
    that it is stored already. Changed again and left again, it is stored again, in the place of the first.
    """
    if idle is None:
        idle = timedelta(hours=get_settings().shop.abandoned_after_hours)
    session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    before = clock.now() - idle
    found: list[tuple[bytes, float]] = get_redis().zrangebyscore(  # type: ignore[assignment]
        keys.changed_carts(), 0, before.timestamp(), 0, BATCH, withscores=True
    )
    done: dict[bytes, float] = {}
    stored = 0
    for raw, score in found:
        done[raw] = score
        try:
            owner, changed = Owner.named(raw.decode()), datetime.fromtimestamp(score, UTC)
        except (ValueError, OverflowError, OSError):
            # nobody's: it would stop every run at the same place
            _log.error("an owner of a cart cannot be read and leaves the list", owner=repr(raw[:100]))
            continue
        stored += _store(session, owner, changed)
    if done:
        after_commit(session, lambda: _forget(done))
    return AbandonedCartCounts(len(found), stored)


def _store(session: Session, owner: Owner, changed: datetime) -> bool:
    lines = priced_lines(session, carts.read(owner).lines, strict=False)
    if not lines:
        return False
    if owner.user_id is not None and session.get(User, owner.user_id) is None:
        return False
    mine = (
        AbandonedCart.session_id == owner.session_id
        if owner.user_id is None
        else AbandonedCart.user_id == owner.user_id
    )
    cart = session.scalars(
        select(AbandonedCart)
        .where(mine, AbandonedCart.recovered_at.is_(None))
        .order_by(AbandonedCart.id)
        .limit(1)
    ).one_or_none()
    if cart is not None and cart.abandoned_at is not None and cart.abandoned_at >= changed:
        return False
    if cart is None:
        cart = AbandonedCart(user_id=owner.user_id, session_id=owner.session_id, recovery_email_sent=False)
    cart.email = (
        None if owner.user_id is None else session.scalar(select(User.email).where(User.id == owner.user_id))
    )
    cart.items = [
        {
            "product_id": line.product_id,
            "variant_id": line.variant_id,
            "name": line.name,
            "quantity": line.quantity,
            "price": str(line.unit_price),
        }
        for line in lines
    ]
    cart.total_price = total(line.gross for line in lines)
    cart.abandoned_at = clock.now()
    session.add(cart)
    session.flush()
    publish(session, CartAbandoned(cart_id=cart.id, user_id=owner.user_id, session_id=owner.session_id))
    return True


def _forget(done: dict[bytes, float]) -> None:
    """Take stored carts off the list, but for those that changed meanwhile."""
    client = get_redis()
    for name, score in done.items():

        def forget(pipeline: object, name: bytes = name, score: float = score) -> None:
            now = pipeline.zscore(keys.changed_carts(), name)  # type: ignore[attr-defined]
            pipeline.multi()  # type: ignore[attr-defined]
            if now == score:
                pipeline.zrem(keys.changed_carts(), name)  # type: ignore[attr-defined]

        client.transaction(forget, keys.changed_carts())
