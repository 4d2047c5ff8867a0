"""Checkout with the sandbox payment, and the page of an order."""

from __future__ import annotations

import secrets
from decimal import Decimal
from typing import Annotated, Any

from fastapi import Depends, Path, Request, Response
from pydantic import BaseModel, Field, ValidationError

from recsys.database.session import unit_of_work
from recsys.domains.orders import checkout as checkouts
from recsys.domains.orders import listing, service
from recsys.domains.orders.schemas import AddressIn, CheckoutIn
from recsys.domains.payments import processing
from recsys.domains.payments.schemas import PaymentIn
from recsys.domains.payments.states import PaymentStatus
from recsys.domains.products import item_fields
from recsys.errors import Invalid
from recsys.web.errors import field_problems
from serving.pages.forms import SubmittedForm, redirect, submitted
from serving.storefront.cart import CartContent, cart_content
from serving.storefront.chrome import shop_page, shop_router
from serving.storefront.lists import product_path
from serving.storefront.pictures import picture_path
from serving.storefront.visitors.visitor import ShopVisitor, VisitorDep

__all__ = ["CheckoutPage", "OrderPage", "router"]

router = shop_router()
_CARDS = (
    ("tok_visa", "A card that works"),
    ("tok_declined", "A card that is declined"),
    ("tok_insufficient_funds", "A card without enough money"),
)
_REASONS = {"card_declined": "the card was declined", "insufficient_funds": "there is not enough money on it"}


class CardChoice(BaseModel):
    """A card of the sandbox, which moves no money."""

    token: str
    text: str


class CheckoutPage(BaseModel):
    """The cart that is ordered, and the sandbox's cards.

    Attributes
    ----------
    key
        Makes a repeated form the same order.
    """

    cart: CartContent
    cards: list[CardChoice]
    key: str
    name: str
    email: str
    is_guest: bool


class CheckoutForm(BaseModel):
    """What the form holds."""

    name: str = Field(min_length=3, max_length=200)
    address: str = Field(min_length=1, max_length=255)
    city: str = Field(min_length=1, max_length=100)
    zip: str = Field(min_length=1, max_length=20)
    country: str = Field(default="US", min_length=2, max_length=2)
    email: str = Field(default="", max_length=255)
    card: str = Field(min_length=4, max_length=50)
    key: str = Field(min_length=16, max_length=64)


class OrderLine(BaseModel):
    """One line of an order.

    Attributes
    ----------
    path, picture
        None where the product was deleted.
    """

    product: int | None
    sku: str | None
    name: str
    path: str | None
    picture: str | None
    quantity: int
    price: Decimal


class OrderPage(BaseModel):
    """An order.

    Attributes
    ----------
    cards
        To pay with, where it is not paid yet.
    purchase
        Of the order, for the script.
    """

    id: int
    number: str
    is_paid: bool
    total: Decimal
    lines: list[OrderLine]
    cards: list[CardChoice]
    purchase: dict[str, Any] | None


def _cards() -> list[CardChoice]:
    return [CardChoice(token=token, text=text) for token, text in _CARDS]


@router.get("/checkout")
def checkout_page(request: Request, visitor: VisitorDep) -> Response:
    """The form of an order."""
    content = cart_content(visitor)
    if not content.lines:
        return redirect("/shop/cart", "Your cart is empty: put something into it first.", "failed")
    page = CheckoutPage(
        cart=content,
        cards=_cards(),
        key=secrets.token_urlsafe(24),
        name="" if visitor.user_id is None else visitor.name,
        email="" if visitor.user_id is not None else "guest@example.org",
        is_guest=visitor.user_id is None,
    )
    return shop_page(request, visitor, "checkout", page)


@router.post("/checkout")
def order(visitor: VisitorDep, form: SubmittedForm = Depends(submitted)) -> Response:
    """Order the cart and pay for it; a form that is sent twice orders once."""
    given = form.model(CheckoutForm)
    with unit_of_work() as session:
        placed = checkouts.checkout(session, visitor.owner, given.key, _order(visitor, given)).order.id
    return _pay(visitor, placed, given.card, given.key)


@router.get("/orders/{number}")
def order_page(
    request: Request,
    visitor: VisitorDep,
    number: Annotated[int, Path(ge=1, le=2**31 - 1)],
    fresh: bool = False,
) -> Response:
    """An order of the visitor. fresh : it has just been paid."""
    with unit_of_work() as session:
        found = listing.whole(session, service.owned(session, visitor.owner, number))
        # lines name the SKU of their variant; lists and clicks that of the product
        products = item_fields.chosen(
            session, [item.product_id for item in found.items if item.product_id], ["sku"]
        )
    skus = {number: product["sku"] for number, product in products.items()}
    is_paid = found.financial_status == "paid"
    bought = [
        {"sku": skus[item.product_id], "quantity": item.quantity}
        for item in found.items
        if item.product_id and skus.get(item.product_id)
    ]
    page = OrderPage(
        id=found.id,
        number=found.order_number,
        is_paid=is_paid,
        total=found.total_price,
        lines=[
            OrderLine(
                product=item.product_id,
                sku=skus.get(item.product_id or 0),
                name=item.name,
                path=None if item.product_id is None else product_path(item.product_id),
                picture=None if item.product_id is None else picture_path(item.product_id),
                quantity=item.quantity,
                price=item.price * item.quantity - (item.total_discount or Decimal(0)),
            )
            for item in found.items
        ],
        cards=[] if is_paid or found.status == "cancelled" else _cards(),
        purchase={"id": found.order_number, "items": bought} if is_paid and fresh and bought else None,
    )
    return shop_page(request, visitor, "order", page)


@router.post("/orders/{number}/pay")
def pay(
    visitor: VisitorDep,
    number: Annotated[int, Path(ge=1, le=2**31 - 1)],
    form: SubmittedForm = Depends(submitted),
) -> Response:
    """Pay for an order with another card."""
    return _pay(visitor, number, form.text("card"), secrets.token_urlsafe(24))


def _order(visitor: ShopVisitor, given: CheckoutForm) -> CheckoutIn:
    first, _, last = given.name.strip().rpartition(" ")
    try:
        address = AddressIn(
            first_name=first or last, last_name=last, address1=given.address, city=given.city, zip=given.zip,
            country=given.country,
        )  # fmt: skip
        email = None if visitor.user_id is not None else given.email
        return CheckoutIn(email=email, shipping_address=address)
    except ValidationError as error:
        wrong = "; ".join(f"{fault.field}: {fault.expected}" for fault in field_problems(error.errors()))
        raise Invalid(f"Nothing was ordered. {wrong}") from error


def _pay(visitor: ShopVisitor, order_id: int, card: str, key: str) -> Response:
    if card not in dict(_CARDS):
        raise Invalid("Choose one of the sandbox's cards.")
    payment, _ = processing.pay(visitor.owner, f"pay-{key}", PaymentIn(order_id=order_id, token=card))
    if payment.status == PaymentStatus.CAPTURED:
        return redirect(f"/shop/orders/{order_id}?fresh=true", "Paid. Thank you!")
    reason = _REASONS.get(
        payment.failure_reason or "", payment.failure_reason or "the payment is not finished"
    )
    return redirect(f"/shop/orders/{order_id}", f"The order is placed but not paid: {reason}.", "failed")
