"""The cart of the visitor, with the list that completes it."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from fastapi import Depends, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from recsys.database.session import unit_of_work
from recsys.domains.orders.carts import cart_view
from recsys.domains.orders.carts import store as carts
from recsys.domains.orders.carts.store import MAX_PIECES, CartLine
from recsys.domains.orders.schemas import CartItemIn, QuoteOut
from recsys.domains.products import item_fields
from serving.pages.forms import SubmittedForm, redirect, submitted
from serving.recommender.request import Placement
from serving.storefront.chrome import shop_page, shop_router
from serving.storefront.lists import ListSection, product_path, ranked
from serving.storefront.pictures import picture_path
from serving.storefront.visitors.visitor import ShopVisitor, VisitorDep

__all__ = ["CartContent", "CartPage", "cart_content", "router"]

router = shop_router()
_COMPLETION = ListSection(
    placement=Placement.BOUGHT_TOGETHER,
    title="Complete your cart",
    note="bought together with what is in it",
)

_NOTHING = QuoteOut(
    subtotal=Decimal(0),
    discount=Decimal(0),
    tax=Decimal(0),
    shipping=Decimal(0),
    total=Decimal(0),
    currency="",
)


class CartRow(BaseModel):
    """One line of the cart."""

    product: int
    variant: int | None
    sku: str | None
    name: str
    path: str
    picture: str
    quantity: int
    unit_price: Decimal
    price: Decimal


class CartContent(BaseModel):
    """The lines at today's prices, and what they cost.

    Attributes
    ----------
    gone
        Number of products that are no longer sold.
    """

    lines: list[CartRow]
    subtotal: Decimal
    discount: Decimal
    tax: Decimal
    shipping: Decimal
    total: Decimal
    gone: int


class CartPage(BaseModel):
    """The cart and its list.

    Attributes
    ----------
    added_sku
        What was just put into it, for the script.
    """

    cart: CartContent
    sections: list[ListSection]
    added_sku: str | None
    added_quantity: int


class CartForm(BaseModel):
    """What the forms of the cart hold."""

    product: int = Field(ge=1, le=2**31 - 1)
    variant: int | None = Field(default=None, ge=1, le=2**31 - 1)
    quantity: int = Field(default=1, ge=0, le=MAX_PIECES)
    step: Literal["add", "set"] = "add"


@router.get("/cart")
async def cart_page(
    request: Request, visitor: VisitorDep, added: int | None = None, quantity: int = 1
) -> Response:
    """The cart."""
    content = await run_in_threadpool(cart_content, visitor)
    products = [line.product for line in content.lines]
    sections = []
    if products:
        sections = await ranked(request, visitor, [_COMPLETION], cart=products)
    sku = next((line.sku for line in content.lines if line.product == added), None)
    page = CartPage(cart=content, sections=sections, added_sku=sku, added_quantity=quantity)
    return await run_in_threadpool(shop_page, request, visitor, "cart", page)


@router.post("/cart")
def change_cart(visitor: VisitorDep, form: SubmittedForm = Depends(submitted)) -> Response:
    """Put pieces of a product into the cart, or set how many there are; 0 takes it out."""
    change = form.model(CartForm)
    if change.quantity == 0:
        carts.put(visitor.owner, CartLine(change.product, change.variant, 0))
        return redirect("/shop/cart")
    with unit_of_work() as session:
        item = CartItemIn(product_id=change.product, variant_id=change.variant, quantity=change.quantity)
        line = cart_view.sold(session, item)
    if change.step == "set":
        carts.put(visitor.owner, line)
        return redirect("/shop/cart")
    carts.add(visitor.owner, line)
    return redirect(f"/shop/cart?added={change.product}&quantity={change.quantity}", "It is in your cart.")


def cart_content(visitor: ShopVisitor) -> CartContent:
    """The visitor's cart at today's prices."""
    with unit_of_work() as session:
        cart = cart_view.seen(session, visitor.owner)
        # an empty cart has no price
        quote = cart_view.would_cost(session, visitor.owner, None) if cart.lines else _NOTHING
        # lines name the SKU of their variant; lists and clicks that of the product
        products = item_fields.chosen(session, [line.product_id for line in cart.lines], ["sku"])
    return CartContent(
        lines=[
            CartRow(
                product=line.product_id,
                variant=line.variant_id,
                sku=products[line.product_id]["sku"],
                name=line.name,
                path=product_path(line.product_id),
                picture=picture_path(line.product_id),
                quantity=line.quantity,
                unit_price=line.unit_price,
                price=line.price,
            )
            for line in cart.lines
        ],
        subtotal=quote.subtotal,
        discount=quote.discount,
        tax=quote.tax,
        shipping=quote.shipping,
        total=quote.total,
        gone=len(cart.unavailable),
    )
