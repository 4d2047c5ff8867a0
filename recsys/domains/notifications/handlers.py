"""Handlers of events: customers hear about their orders, administrators about payments in trouble."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from recsys.domains.notifications import service, templates
from recsys.domains.notifications.service import MailBudget
from recsys.domains.notifications.templating import render
from recsys.domains.orders.expiry import REASON
from recsys.domains.orders.states import Financial, Status
from recsys.domains.orders.tables import AbandonedCart, Order
from recsys.domains.products.item_fields import product_url
from recsys.domains.products.tables import Product, ProductPage
from recsys.domains.users.tables import User
from recsys.events.envelope import Envelope
from recsys.events.vocabulary import (
    CartAbandoned,
    FraudFlagged,
    OrderCancelled,
    OrderDelivered,
    OrderExpired,
    OrderPaid,
    OrderPlaced,
    OrderRefunded,
    OrderReturned,
    OrderShipped,
    PaymentFailed,
    PaymentVoided,
    ProductReminderDue,
    RefundFailed,
    VoidFailed,
)
from recsys.privacy.consent import without_personalisation
from recsys.settings import get_settings

__all__ = ["remind_of_cart", "remind_of_product", "tell_of_order", "tell_staff"]

_TEMPLATES: dict[type, str] = {
    OrderPlaced: "order_placed",
    OrderPaid: "order_paid",
    OrderShipped: "order_shipped",
    OrderDelivered: "order_delivered",
    OrderCancelled: "order_cancelled",
    OrderExpired: "order_expired",
    OrderRefunded: "order_refunded",
    OrderReturned: "order_returned",
    PaymentFailed: "payment_failed",
    PaymentVoided: "payment_voided",
}


_PAID = (Financial.PAID, Financial.PARTIALLY_REFUNDED, Financial.REFUNDED)


def tell_of_order(session: Session, envelope: Envelope) -> None:
    """Notify the customer of each step of an order: users by the channels they chose, guests by e-mail."""
    event: Any = envelope.event
    template = _TEMPLATES[type(event)]
    order = session.get(Order, event.order_id)
    if order is None:
        return
    if isinstance(event, PaymentVoided) and order.status == Status.CANCELLED:
        return  # the message about the cancellation says that the payment is returned
    if isinstance(event, OrderCancelled) and event.reason == REASON:
        return  # OrderExpired has a message of its own
    values: dict[str, Any] = {"order_number": order.order_number}
    if template in ("order_placed", "order_paid"):
        values |= {"total": str(order.total_price), "currency": order.currency or ""}
    if isinstance(event, OrderShipped):
        values |= {"carrier": event.carrier or "", "tracking_number": event.tracking_number or ""}
    once = str(envelope.event_id)
    if order.user_id is not None:
        data = {"order_id": order.id, "order_number": order.order_number}
        service.notify(session, order.user_id, template, values, data=data, once=once)
    elif order.email:
        source, template_id = templates.source_of(session, template)
        budget = MailBudget.PAID_ORDER if order.financial_status in _PAID else MailBudget.UNPAID_ORDER
        service.notify_address(
            session,
            order.email,
            render(source, values),
            template_id,
            is_allowed=service.within_budget(order.email, budget),
            once=once,
        )


def tell_staff(session: Session, envelope: Envelope) -> None:
    """Notify every administrator of a refund or void that the gateway refused, or of a suspicious payment."""
    event = envelope.event
    assert isinstance(event, RefundFailed | VoidFailed | FraudFlagged)
    order = session.get(Order, event.order_id)
    number = "?" if order is None else order.order_number
    values: dict[str, Any] = {"order_number": number, "payment_id": event.payment_id}
    if isinstance(event, FraudFlagged):
        template = "payment_suspicious"
        values |= {"score": str(event.score), "flags": ", ".join(event.flags)}
    else:
        template = "money_not_returned"
        values |= {"code": event.code}
    staff = select(User.id).where(User.is_admin.is_(True), User.is_active.is_not(False)).order_by(User.id)
    for admin in session.scalars(staff).all():
        data = {"order_id": event.order_id, "payment_id": event.payment_id}
        service.notify(
            session, admin, template, values, kind="shop_alert", data=data, once=str(envelope.event_id)
        )


def remind_of_cart(session: Session, envelope: Envelope) -> None:
    """Remind a user of an abandoned cart, once for each cart."""
    event = envelope.event
    assert isinstance(event, CartAbandoned)
    cart = session.get(AbandonedCart, event.cart_id, with_for_update=True)
    if cart is None or cart.user_id is None or cart.recovered_at is not None or cart.recovery_email_sent:
        return
    pieces = sum(int(item["quantity"]) for item in cart.items)
    queued = service.notify(
        session,
        cart.user_id,
        "cart_abandoned",
        {"pieces": pieces},
        kind="cart_reminder",
        channels=(service.Channel.EMAIL,),
        once=str(envelope.event_id),
    )
    cart.recovery_email_sent = service.Channel.EMAIL in queued


def remind_of_product(session: Session, envelope: Envelope) -> None:
    """Tell a user about a product, for each reason once within `reminder_days`.

    Users who refuse personalisation, whose account is closed or gone, and products that left the shop since
    then, are left out.
    """
    event = envelope.event
    assert isinstance(event, ProductReminderDue)
    user, product = session.get(User, event.user_id), session.get(Product, event.product_id)
    if user is None or user.is_active is False or product is None or product.status != "active":
        return
    if without_personalisation(session, [event.user_id]):
        return
    settings, page = get_settings(), session.get(ProductPage, product.id)
    values = {
        "product": product.name,
        "price": str(product.price),
        "currency": settings.shop.currency,
        "link": product_url(product.id, product.sku, product.slug, None if page is None else page.url) or "",
    }
    service.notify(
        session,
        event.user_id,
        event.reason,
        values,
        kind="product_reminder",
        data={"product_id": product.id, "reason": event.reason},
        channels=(service.Channel.IN_APP, service.Channel.EMAIL),
        once=f"{event.reason}:{event.product_id}",
        again_after=timedelta(days=settings.notifications.reminder_days),
    )
