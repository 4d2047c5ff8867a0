"""Stock: reserved, released and adjusted per variant, each step with its log row, never oversold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from recsys import clock
from recsys.domains.products import cache
from recsys.domains.products.tables import InventoryLog, Product, ProductVariant
from recsys.errors import Conflict, Invalid, NotFound
from recsys.events.publish import publish_all
from recsys.events.vocabulary import Event, InventoryChanged

__all__ = ["LARGEST", "Line", "adjust", "product_of", "release", "reserve", "stock_of"]

LARGEST = 2**31 - 1
"""The largest stock that the documented column holds."""


@dataclass(frozen=True)
class Line:
    """So many pieces of one thing; a product without variants has no stock that is counted."""

    product_id: int
    variant_id: int | None
    quantity: int


def reserve(session: Session, lines: Sequence[Line], *, reference: str) -> None:
    """Take pieces out of stock, all or none.

    Variants are locked in the order of their ids, so that two orders never wait for each other in a circle.
    A variant that isn't counted, or may be sold beyond its stock (`inventory_policy = continue`), is never
    short.

    Parameters
    ----------
    lines
        The pieces.
    reference
        What they are taken for, by which `release` finds them.

    Raises
    ------
    Conflict
        Something is short; it names everything that is.
    NotFound
        A variant is gone.
    """
    wanted = _pieces(lines)
    variants = _locked(session, wanted)
    short = [
        f"{name} ({max(0, variant.inventory_quantity or 0)} left, {wanted[variant.id]} wanted)"
        for variant, name, counted in variants
        if counted
        and variant.inventory_policy != "continue"
        and (variant.inventory_quantity or 0) < wanted[variant.id]
    ]
    if short:
        raise Conflict(f"Not enough in stock: {', '.join(short)}.")
    taken = [(variant, -wanted[variant.id]) for variant, _, counted in variants if counted]
    _change(session, taken, "reserved", notes=reference)


def release(session: Session, lines: Sequence[Line], *, reference: str, reason: str) -> None:
    """Put pieces back that `reserve` took under this reference, as its log rows say, and no more.

    What was not counted when it was reserved is not put back either, whatever the settings are now. Variants
    that are gone meanwhile are passed over.
    """
    wanted = _pieces(lines)
    variants = [variant for variant, _, _ in _locked(session, wanted, all_there=False)]
    taken: dict[int | None, int] = {
        variant_id: int(pieces or 0)
        for variant_id, pieces in session.execute(
            select(InventoryLog.variant_id, -func.sum(InventoryLog.adjustment))
            .where(
                InventoryLog.variant_id.in_([variant.id for variant in variants]),
                InventoryLog.notes == reference,
            )
            .group_by(InventoryLog.variant_id)
        )
    }
    back = [(variant, min(wanted[variant.id], taken.get(variant.id, 0))) for variant in variants]
    _change(session, [(variant, pieces) for variant, pieces in back if pieces > 0], reason, notes=reference)


def adjust(
    session: Session,
    variant_id: int,
    change: int,
    *,
    reason: str,
    notes: str | None = None,
    by: int | None = None,
) -> int:
    """Change a variant's stock by hand, such as after counting.

    Parameters
    ----------
    change
        So many pieces more; fewer below 0.
    reason, notes
        Why, as the log has it.
    by
        The user who does it.

    Returns
    -------
    int
        The new stock.

    Raises
    ------
    NotFound
        There is no such variant.
    Invalid
        The stock would fall below zero where it may not, or grow too large.
    """
    ((variant, _, _),) = _locked(session, {variant_id: 1})
    new = (variant.inventory_quantity or 0) + change
    if new < 0 and variant.inventory_policy != "continue":
        raise Invalid(f"Only {variant.inventory_quantity or 0} pieces are in stock, fewer than {-change}.")
    if abs(new) > LARGEST:
        raise Invalid(f"The stock of a variant is at most {LARGEST} pieces.")
    _change(session, [(variant, change)], reason, notes=notes, by=by)
    return new


def stock_of(session: Session, product_id: int) -> int:
    """The pieces of all variants of a product; what `product:inventory:{id}` holds."""
    return int(
        session.scalar(
            select(func.coalesce(func.sum(ProductVariant.inventory_quantity), 0)).where(
                ProductVariant.product_id == product_id
            )
        )
        or 0
    )


def product_of(session: Session, variant_id: int) -> int:
    """The product of a variant. Raises NotFound."""
    found = session.scalar(select(ProductVariant.product_id).where(ProductVariant.id == variant_id))
    if found is None:
        raise NotFound(f"There is no variant {variant_id}.")
    return found


def _pieces(lines: Sequence[Line]) -> dict[int, int]:
    wanted: dict[int, int] = {}
    for line in lines:
        if line.variant_id is not None:
            wanted[line.variant_id] = wanted.get(line.variant_id, 0) + line.quantity
    return wanted


def _locked(
    session: Session, wanted: Mapping[int, int], *, all_there: bool = True
) -> list[tuple[ProductVariant, str, bool]]:
    # products before variants, as a deletion takes them: in the other order each could wait for the other
    session.execute(
        select(Product.id)
        .where(Product.id.in_(select(ProductVariant.product_id).where(ProductVariant.id.in_(sorted(wanted)))))
        .order_by(Product.id)
        .with_for_update(read=True, key_share=True)
    )
    found = session.execute(
        select(ProductVariant, Product.name, Product.track_inventory)
        .join(Product, Product.id == ProductVariant.product_id)
        .where(ProductVariant.id.in_(sorted(wanted)))
        .order_by(ProductVariant.id)
        .with_for_update(of=ProductVariant, key_share=True),
        execution_options={"populate_existing": True},
    ).all()
    missing = set(wanted) - {variant.id for variant, _, _ in found}
    if missing and all_there:
        raise NotFound(f"There is no variant {min(missing)}.")
    return [
        (variant, name, tracked is not False and variant.inventory_tracking is not False)
        for variant, name, tracked in found
    ]


def _change(
    session: Session,
    changes: Sequence[tuple[ProductVariant, int]],
    reason: str,
    *,
    notes: str | None = None,
    by: int | None = None,
) -> None:
    """Change locked variants, log and publish it; the number of statements does not grow with them."""
    now = clock.now()
    events: list[tuple[UUID, Event]] = []
    for variant, change in changes:
        old = variant.inventory_quantity or 0
        variant.inventory_quantity = old + change
        variant.updated_at = now
        session.add(
            InventoryLog(
                product_id=variant.product_id,
                variant_id=variant.id,
                old_quantity=old,
                new_quantity=old + change,
                adjustment=change,
                reason=reason,
                notes=notes,
                user_id=by,
                created_at=now,
            )
        )
        event = InventoryChanged(
            product_id=variant.product_id or 0,
            variant_id=variant.id,
            quantity=old + change,
            change=change,
            reason=reason,
        )
        events.append((uuid4(), event))
    session.flush()
    publish_all(session, events)
    # what Redis holds is dropped, not written: two commits could write their sums in the wrong order
    cache.changed(session, *{variant.product_id or 0 for variant, _ in changes})
