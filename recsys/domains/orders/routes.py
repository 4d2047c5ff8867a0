"""HTTP of carts, checkout, orders and kept addresses, for users and guests."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response

from recsys.domains.orders import addresses, listing, service
from recsys.domains.orders import checkout as checkouts
from recsys.domains.orders.carts import cart_view
from recsys.domains.orders.carts import store as carts
from recsys.domains.orders.carts.store import CartLine, Owner
from recsys.domains.orders.schemas import (
    AddressIn,
    AddressOut,
    CancelIn,
    CartItemIn,
    CartOut,
    CheckoutIn,
    LookupIn,
    OrderOut,
    OrderSummary,
    QuoteOut,
)
from recsys.errors import Forbidden
from recsys.own_ids.references import ProductText, VariantText
from recsys.web.dependencies import Caller, CurrentUser, GuestSession, MaybeUser, SessionDep
from recsys.web.errors import problem_responses
from recsys.web.pagination import CursorParam, Limit, Page
from recsys.web.validators import IdempotencyKey

__all__ = ["OwnerDep", "owner_of", "router"]

router = APIRouter(prefix="/api/v1")

Id = Annotated[int, Path(ge=1, le=2**31 - 1)]
Code = Annotated[str | None, Query(min_length=1, max_length=50)]


def owner_of(user: Caller | None, guest: str | None) -> Owner:
    """Whose cart a request means; a guest who has just logged in brings the cart along at once."""
    if user is not None:
        if guest is not None:
            carts.merge(guest, user.user_id)
        return Owner(user_id=user.user_id)
    if guest is None:
        raise Forbidden("Log in, or send the session of the visit as X-Session-Id.")
    return Owner(session_id=guest)


def _owner(user: MaybeUser, guest: GuestSession) -> Owner:
    return owner_of(user, guest)


OwnerDep = Annotated[Owner, Depends(_owner)]


@router.get("/cart", tags=["carts"], responses=problem_responses(401, 403, 422, 503))
def get_cart(session: SessionDep, owner: OwnerDep) -> CartOut:
    """The cart at current prices."""
    return cart_view.seen(session, owner)


@router.post("/cart/items", tags=["carts"], responses=problem_responses(400, 401, 403, 404, 409, 422, 503))
def add_to_cart(session: SessionDep, owner: OwnerDep, item: CartItemIn) -> CartOut:
    """Add pieces to the cart."""
    carts.add(owner, cart_view.sold(session, item))
    return cart_view.seen(session, owner)


@router.put("/cart/items", tags=["carts"], responses=problem_responses(400, 401, 403, 404, 409, 422, 503))
def set_in_cart(session: SessionDep, owner: OwnerDep, item: CartItemIn) -> CartOut:
    """Set the quantity of a cart line; a repeated request changes nothing."""
    carts.put(owner, cart_view.sold(session, item))
    return cart_view.seen(session, owner)


@router.delete("/cart/items/{product_id}", tags=["carts"], responses=problem_responses(401, 403, 422, 503))
def remove_from_cart(
    session: SessionDep, owner: OwnerDep, product_id: ProductText, variant_id: VariantText | None = None
) -> CartOut:
    """Remove a product, or one of its variants, from the cart; no error when it is not there."""
    for line in carts.read(owner).lines:
        if line.product_id == product_id and variant_id in (None, line.variant_id):
            carts.put(owner, CartLine(line.product_id, line.variant_id, 0))
    return cart_view.seen(session, owner)


@router.delete("/cart", status_code=204, tags=["carts"], responses=problem_responses(401, 403, 422, 503))
def empty_cart(owner: OwnerDep) -> Response:
    """Empty the cart."""
    carts.clear(owner)
    return Response(status_code=204)


@router.get("/cart/quote", tags=["carts"], responses=problem_responses(401, 403, 404, 409, 422, 503))
def quote_cart(session: SessionDep, owner: OwnerDep, discount_code: Code = None) -> QuoteOut:
    """The current total of the cart with discount, tax and shipping."""
    return cart_view.would_cost(session, owner, discount_code)


@router.post(
    "/orders",
    status_code=201,
    tags=["orders"],
    responses={
        200: {"model": OrderOut, "description": "The same Idempotency-Key made this order before"},
        **problem_responses(400, 401, 403, 404, 409, 422, 503),
    },
)
def checkout(
    session: SessionDep,
    owner: OwnerDep,
    wanted: CheckoutIn,
    response: Response,
    key: IdempotencyKey,
) -> OrderOut:
    """Place an order from the cart. Stock is reserved and the current prices are fixed."""
    placed = checkouts.checkout(session, owner, key, wanted)
    if not placed.new:
        response.status_code = 200
    return listing.whole(session, placed.order)


@router.get("/orders", tags=["orders"], responses=problem_responses(401, 422, 503))
def list_orders(
    session: SessionDep,
    user: CurrentUser,
    limit: Limit = 20,
    cursor: CursorParam = None,
) -> Page[OrderSummary]:
    """The caller's orders, newest first."""
    return listing.page(session, user_id=user.user_id, limit=limit, cursor=cursor)


@router.post("/orders/lookup", tags=["orders"], responses=problem_responses(400, 404, 422, 503))
def look_up_order(session: SessionDep, wanted: LookupIn) -> OrderOut:
    """A guest's order, by its number and e-mail address."""
    return listing.whole(session, service.find(session, wanted.order_number, wanted.email))


@router.get("/orders/{order_id}", tags=["orders"], responses=problem_responses(401, 403, 404, 422, 503))
def get_order(session: SessionDep, owner: OwnerDep, order_id: Id) -> OrderOut:
    """One of the caller's orders, with lines, address, history and parcels."""
    return listing.whole(session, service.owned(session, owner, order_id))


@router.post(
    "/orders/{order_id}/cancel",
    tags=["orders"],
    responses=problem_responses(400, 401, 403, 404, 409, 422, 503),
)
def cancel_order(session: SessionDep, owner: OwnerDep, order_id: Id, why: CancelIn) -> OrderOut:
    """Cancel an order that was not shipped; a payment is refunded."""
    service.owned(session, owner, order_id)
    return listing.whole(session, service.cancel(session, order_id, why.reason, by=owner.user_id))


@router.get("/addresses", tags=["addresses"], responses=problem_responses(401, 503))
def list_addresses(session: SessionDep, user: CurrentUser) -> list[AddressOut]:
    """The caller's saved addresses, the default first."""
    return [AddressOut.model_validate(one) for one in addresses.kept(session, user.user_id)]


@router.post(
    "/addresses", status_code=201, tags=["addresses"], responses=problem_responses(400, 401, 409, 422, 503)
)
def add_address(session: SessionDep, user: CurrentUser, given: AddressIn) -> AddressOut:
    """Save an address for later orders."""
    return AddressOut.model_validate(addresses.add(session, user.user_id, given))


@router.put(
    "/addresses/{address_id}", tags=["addresses"], responses=problem_responses(400, 401, 404, 422, 503)
)
def change_address(session: SessionDep, user: CurrentUser, address_id: Id, given: AddressIn) -> AddressOut:
    """Replace a saved address."""
    return AddressOut.model_validate(addresses.change(session, user.user_id, address_id, given))


@router.delete(
    "/addresses/{address_id}",
    status_code=204,
    tags=["addresses"],
    responses=problem_responses(401, 404, 422, 503),
)
def remove_address(session: SessionDep, user: CurrentUser, address_id: Id) -> Response:
    """Delete a saved address."""
    addresses.remove(session, user.user_id, address_id)
    return Response(status_code=204)
