"""All routes of the shop front and the start page."""

from __future__ import annotations

from fastapi import APIRouter

from recsys.errors import NotFound
from serving.storefront import cart, checkout, home, landing, listing, my_list, pictures, product
from serving.storefront.chrome import shop_router

__all__ = ["router"]

router = APIRouter()
for _part in (landing, pictures, home, listing, product, cart, checkout, my_list):
    router.include_router(_part.router)

_rest = shop_router()


# the last one: an address that no page has
@_rest.get("/{rest:path}")
def no_such_page(rest: str) -> None:
    """A page that says so, instead of a problem document."""
    raise NotFound("The shop has no page at this address.")


router.include_router(_rest)
