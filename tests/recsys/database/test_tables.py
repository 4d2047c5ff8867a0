"""The mappings store and read real values, and what is deleted takes along what the document says."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime
from decimal import Decimal
from ipaddress import ip_address

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from recsys.domains.analytics.tables import AnalyticsSession, SalesMetric
from recsys.domains.notifications.tables import EmailLog
from recsys.domains.orders.tables import AbandonedCart, Order, OrderItem
from recsys.domains.products.tables import Category, Product, ProductReview, ProductVariant
from recsys.domains.recommendations.tables import (
    CategoryPolicy,
    InteractionEvent,
    ProductRecommendation,
    RecommendationFeedback,
    UserInteraction,
)
from recsys.domains.users.tables import User, UserActivity, UserSession, UserSocial

MOMENT = datetime(2026, 11, 22, 9, 30, 0, 123456, tzinfo=UTC)


def _user(session: Session, name: str = "ann") -> User:
    user = User(email=f"{name}@example.com", username=name, full_name=name.title(), password_hash="!")
    session.add(user)
    session.flush()
    return user


def _product(session: Session, name: str = "Tea") -> Product:
    product = Product(name=name, slug=name.lower(), price=Decimal("3.50"))
    session.add(product)
    session.flush()
    return product


def test_the_server_fills_what_nobody_gave(session: Session) -> None:
    user, product = _user(session), _product(session)
    order = Order(order_number="1", user_id=user.id, subtotal_price=Decimal(1), total_price=Decimal(1))
    session.add(order)
    session.flush()
    assert (user.is_online, user.is_active, user.is_admin) == (False, True, False)
    assert user.created_at is not None
    assert user.created_at.tzinfo is not None
    assert (product.status, product.track_inventory, product.is_featured) == ("active", True, False)
    assert (order.status, order.fulfillment_status, order.currency) == ("pending", "unfulfilled", "USD")
    assert order.total_tax == Decimal("0.00")


def test_every_kind_of_value_comes_back_as_it_was(session: Session) -> None:
    user = _user(session)
    stored = [
        UserActivity(user_id=user.id, activity_type="login", details={"from": ["app", 2]}, timestamp=MOMENT),
        UserSession(session_id="s", user_id=user.id, ip_address=ip_address("192.0.2.7"), expires_at=MOMENT),
        UserSocial(user_id=user.id, followers=[3, 1, 2]),
        EmailLog(to_email="a@example.com", cc_email=["b@example.com"], subject="Hi", status="sent"),
        SalesMetric(date=date(2026, 11, 22), total_sales=Decimal("1234567890.12")),
        AbandonedCart(items=[{"product_id": 1, "quantity": 2}]),
        AnalyticsSession(session_id="s", user_id=user.id),
    ]
    session.add_all(stored)
    session.flush()
    session.expire_all()
    activity, user_session, social, email, sales, cart, visit = stored
    assert isinstance(activity, UserActivity)
    assert (activity.details, activity.timestamp) == ({"from": ["app", 2]}, MOMENT)
    assert session.scalar(text("SELECT metadata->'from'->>0 FROM users_db.user_activities")) == "app"
    assert isinstance(user_session, UserSession)
    assert user_session.ip_address == ip_address("192.0.2.7")
    assert isinstance(social, UserSocial)
    assert (social.followers, social.following) == ([3, 1, 2], [])
    assert isinstance(email, EmailLog)
    assert (email.cc_email, email.bcc_email) == (["b@example.com"], None)
    assert isinstance(sales, SalesMetric)
    assert (sales.date, sales.total_sales) == (date(2026, 11, 22), Decimal("1234567890.12"))
    assert isinstance(cart, AbandonedCart)
    assert cart.items == [{"product_id": 1, "quantity": 2}]
    assert isinstance(visit, AnalyticsSession)
    assert (visit.events, visit.bounce) == (0, False)


def test_deleting_a_user_takes_along_what_is_theirs_and_keeps_what_is_the_shops(session: Session) -> None:
    user, product = _user(session), _product(session)
    order = Order(order_number="1", user_id=user.id, subtotal_price=Decimal(1), total_price=Decimal(1))
    interaction = UserInteraction(user_id=user.id, product_id=product.id, interaction_type="view")
    shown = ProductRecommendation(user_id=user.id, product_id=product.id, score=Decimal("0.5"))
    session.add_all([order, interaction, shown, UserSocial(user_id=user.id)])
    session.flush()
    session.delete(user)
    session.flush()
    session.expire_all()
    assert session.get_one(Order, order.id).user_id is None
    assert session.get_one(UserInteraction, interaction.id).user_id is None
    assert session.scalars(select(UserSocial)).all() == []
    assert session.scalars(select(ProductRecommendation)).all() == []


def test_deleting_products_keeps_the_lines_of_orders_and_feedback(session: Session) -> None:
    user, product = _user(session), _product(session)
    variant = ProductVariant(product_id=product.id)
    order = Order(order_number="1", subtotal_price=Decimal(1), total_price=Decimal(1))
    shown = ProductRecommendation(user_id=user.id, product_id=product.id, score=Decimal("0.5"))
    session.add_all([variant, order, shown])
    session.flush()
    line = OrderItem(
        order_id=order.id,
        product_id=product.id,
        variant_id=variant.id,
        name="Tea",
        quantity=1,
        price=Decimal(1),
    )
    feedback = RecommendationFeedback(user_id=user.id, product_id=product.id, recommendation_id=shown.id)
    session.add_all([line, feedback])
    session.flush()
    session.delete(product)
    session.delete(shown)
    session.flush()
    session.expire_all()
    kept = session.get_one(OrderItem, line.id)
    assert (kept.product_id, kept.variant_id, kept.name) == (None, None, "Tea")
    assert session.get_one(RecommendationFeedback, feedback.id).recommendation_id is None
    assert session.scalars(select(ProductVariant)).all() == []


def test_our_own_tables_follow_what_they_belong_to(session: Session) -> None:
    category = Category(name="Food", slug="food")
    interaction = UserInteraction(product_id=1, interaction_type="view")
    session.add_all([category, interaction])
    session.flush()
    event = uuid.uuid4()
    session.add(CategoryPolicy(category_id=category.id, repeat_purchases=False))
    session.add(InteractionEvent(event_id=event, interaction_id=interaction.id))
    session.flush()
    assert session.get_one(InteractionEvent, event).interaction_id == interaction.id
    session.delete(category)
    session.delete(interaction)
    session.flush()
    session.expunge_all()
    assert session.scalars(select(CategoryPolicy)).all() == []
    assert session.scalars(select(InteractionEvent)).all() == []


@pytest.mark.parametrize("rating", [0, 6])
def test_a_rating_has_one_to_five_stars(session: Session, rating: int) -> None:
    session.add(ProductReview(rating=rating))
    with pytest.raises(IntegrityError, match="product_reviews_rating_check"):
        session.flush()
