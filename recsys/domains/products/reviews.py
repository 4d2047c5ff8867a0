"""Reviews: one for each user and product, checked for a purchase, shown once approved, voted on once."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from recsys import clock
from recsys.domains.products import cache, service
from recsys.domains.products.schemas import ReviewIn
from recsys.domains.products.tables import ProductReview, ProductVariant, ReviewVote
from recsys.domains.users.tables import User
from recsys.errors import Forbidden, NotFound
from recsys.events.publish import publish
from recsys.events.vocabulary import ProductUpdated, ReviewApproved, ReviewPosted

__all__ = ["approve", "of_product", "post", "remove", "verify", "vote", "waiting"]

# Orders lie above products, so no code of theirs is called here. That somebody bought something is asked of
# the tables themselves: an event's copy of it would not know the orders that were imported.
_BOUGHT = text(
    """
    SELECT EXISTS (
        SELECT FROM orders_db.orders o JOIN orders_db.order_items i ON i.order_id = o.id
        WHERE o.user_id = :user AND i.product_id = :product
        AND o.financial_status IN ('paid', 'partially_refunded') AND o.status <> 'cancelled'
    )
    """
)


def post(session: Session, user_id: int, product_id: int, given: ReviewIn) -> tuple[ProductReview, bool]:
    """Write a review, or replace the user's earlier one; return it and whether it is new.

    A changed review has to be approved again.

    Raises
    ------
    NotFound
        There is no such product or variant.
    """
    service.get(session, product_id)
    if given.variant_id is not None:
        variant = session.get(ProductVariant, given.variant_id)
        if variant is None or variant.product_id != product_id:
            raise NotFound(f"Product {product_id} has no variant {given.variant_id}.")
    # two requests of one user at once would write two reviews: they take turns
    session.execute(select(User.id).where(User.id == user_id).with_for_update(key_share=True))
    row = session.scalars(
        select(ProductReview)
        .where(ProductReview.product_id == product_id, ProductReview.user_id == user_id)
        .order_by(ProductReview.id)
        .limit(1)
    ).one_or_none()
    new = row is None
    if row is None:
        row = ProductReview(product_id=product_id, user_id=user_id, helpful_count=0, created_at=clock.now())
        session.add(row)
    for name, value in given.model_dump().items():
        setattr(row, name, value)
    row.is_verified_purchase = bool(session.scalar(_BOUGHT, {"user": user_id, "product": product_id}))
    row.is_approved, row.updated_at = False, clock.now()
    session.flush()
    publish(
        session,
        ReviewPosted(product_id=product_id, review_id=row.id, user_id=user_id, rating=given.rating),
    )
    cache.changed(session, product_id)
    return row, new


def verify(session: Session, user_id: int, products: Sequence[int]) -> int:
    """Reviews that a user wrote before buying are of a verified purchase from now on; how many changed."""
    changed = session.scalars(
        update(ProductReview)
        .where(
            ProductReview.user_id == user_id,
            ProductReview.product_id.in_(products),
            ProductReview.is_verified_purchase.is_not(True),
        )
        .values(is_verified_purchase=True)
        .returning(ProductReview.product_id)
    ).all()
    for product_id in changed:
        cache.changed(session, product_id or 0)
    return len(changed)


def of_product(
    session: Session, product_id: int, *, before: int | None, limit: int
) -> Sequence[ProductReview]:
    """Approved reviews of a product before the id `before`, newest first. Raises NotFound."""
    service.get(session, product_id)
    query = (
        select(ProductReview)
        .where(ProductReview.product_id == product_id, ProductReview.is_approved.is_(True))
        .order_by(ProductReview.id.desc())
        .limit(limit)
    )
    return session.scalars(query if before is None else query.where(ProductReview.id < before)).all()


def waiting(session: Session, *, after: int, limit: int) -> Sequence[ProductReview]:
    """Reviews that nobody approved yet, the oldest first, from the id `after` on."""
    return session.scalars(
        select(ProductReview)
        .where(ProductReview.is_approved.is_not(True), ProductReview.id > after)
        .order_by(ProductReview.id)
        .limit(limit)
    ).all()


def approve(session: Session, review_id: int) -> ProductReview:
    """Show a review; twice changes nothing more. Raises NotFound."""
    row = _get(session, review_id)
    if row.is_approved is not True:
        row.is_approved = True
        product_id = row.product_id or 0
        publish(
            session,
            ReviewApproved(product_id=product_id, review_id=row.id, user_id=row.user_id, rating=row.rating),
        )
        cache.changed(session, product_id)
    return row


def remove(session: Session, review_id: int) -> None:
    """Take a review away. Raises NotFound."""
    row = _get(session, review_id)
    product_id = row.product_id or 0
    session.delete(row)
    session.flush()
    publish(session, ProductUpdated(product_id=product_id, changed=("reviews",)))
    cache.changed(session, product_id)


def vote(session: Session, user_id: int, review_id: int) -> ProductReview:
    """Find somebody else's shown review helpful, once. Raises NotFound, Forbidden for one's own."""
    row = session.get(ProductReview, review_id, with_for_update=service.KEPT)
    if row is None or row.is_approved is not True:
        raise NotFound(f"There is no review {review_id}.")
    if row.user_id == user_id:
        raise Forbidden("You cannot vote for your own review.")
    fresh = session.scalar(
        insert(ReviewVote)
        .values(review_id=review_id, user_id=user_id, created_at=clock.now())
        .on_conflict_do_nothing(index_elements=[ReviewVote.review_id, ReviewVote.user_id])
        .returning(ReviewVote.review_id)
    )
    if fresh is not None:
        session.execute(
            update(ProductReview)
            .where(ProductReview.id == review_id)
            .values(helpful_count=ProductReview.helpful_count + 1)
        )
        session.refresh(row)
    return row


def _get(session: Session, review_id: int) -> ProductReview:
    row = session.get(ProductReview, review_id, with_for_update=True)
    if row is None:
        raise NotFound(f"There is no review {review_id}.")
    return row
