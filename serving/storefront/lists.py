"""Cards of products, and the lists of recommendations of a page.

The script brings most lists of the shop front. The server draws those that the script cannot ask for, such as
the one for a cart, and all of them for a browser without scripts.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import orjson
from fastapi import Request
from pydantic import BaseModel

from recsys.domains.products.schemas import ProductListItem
from recsys.web.access.authentication import caller_without_key
from serving.pages.templating import wants_json
from serving.ranking.eligibility import Novelty
from serving.recommender.recommender import Recommender
from serving.recommender.request import Placement, RecommendationRequest
from serving.recommender.response import impression_of, list_of
from serving.storefront.pictures import picture_path
from serving.storefront.visitors.visitor import ShopVisitor

__all__ = ["ListSection", "ProductCard", "card_of", "is_plain", "product_path", "ranked", "server_drawn"]

_FIELDS = ("sku", "name", "price", "compare_price", "image")


class ProductCard(BaseModel):
    """A product in a grid.

    Attributes
    ----------
    reason, score
        Of a recommendation.
    position
        From 1.
    """

    id: int
    sku: str | None
    name: str
    price: Decimal
    was: Decimal | None = None
    picture: str
    path: str
    brand: str | None = None
    reason: str | None = None
    score: float | None = None
    position: int


class ListSection(BaseModel):
    """A list of a page: its placement, heading and what it is about, and its content if the server ranked it.

    Attributes
    ----------
    note
        What the list is, in one line.
    items
        None where the script brings them.
    milliseconds
        That ranking took.
    """

    placement: Placement
    title: str
    note: str = ""
    limit: int = 6
    novelty: Novelty = Novelty.ANY
    sku: str | None = None
    product: int | None = None
    items: list[ProductCard] | None = None
    provenance: dict[str, Any] | None = None
    milliseconds: float | None = None


def product_path(product: int) -> str:
    """The address of a product's page."""
    return f"/shop/products/{product}"


def card_of(
    product: ProductListItem, position: int, image: str | None = None, brand: str | None = None
) -> ProductCard:
    """The card of a product of a search or a category."""
    was = product.compare_price
    return ProductCard(
        id=product.id,
        sku=product.sku,
        name=product.name,
        price=product.price,
        was=was if was is not None and was > product.price else None,
        picture=image or picture_path(product.id),
        path=product_path(product.id),
        brand=brand,
        position=position,
    )


def is_plain(request: Request) -> bool:
    """Whether the page is for a browser without scripts."""
    return request.query_params.get("plain") == "1"


async def server_drawn(
    request: Request, visitor: ShopVisitor, sections: Sequence[ListSection]
) -> list[ListSection]:
    """The sections with their lists where no script brings them, otherwise as they are."""
    return (
        await ranked(request, visitor, sections)
        if is_plain(request) or wants_json(request)
        else list(sections)
    )


async def ranked(
    request: Request,
    visitor: ShopVisitor,
    sections: Sequence[ListSection],
    *,
    cart: Sequence[int] = (),
) -> list[ListSection]:
    """The sections with their lists, ranked as the API ranks them; a product is in one of them only.

    Parameters
    ----------
    cart
        Products in the cart, which are in none of them.
    """
    recommender: Recommender = request.app.state.recommender
    caller = caller_without_key(request.scope)
    wanted = [
        visitor.asking(
            RecommendationRequest(
                section.placement,
                products=() if section.product is None else (section.product,),
                cart=tuple(cart),
                limit=section.limit,
                novelty=section.novelty,
                caller=caller,
            )
        )
        for section in sections
    ]
    began = time.perf_counter()
    request_id: str = request.scope["state"]["request_id"]
    responses = await recommender.recommend_page(wanted, request_id=request_id)
    milliseconds = round((time.perf_counter() - began) * 1000 / max(1, len(responses)), 1)
    request.app.state.impressions.note(*(impression_of(response, request_id) for response in responses))
    filled = []
    for section, response in zip(sections, responses, strict=True):
        listed = orjson.loads(orjson.dumps(list_of(recommender.data.catalogue, response, _FIELDS)))
        cards = [_card(item, place) for place, item in enumerate(listed["items"], start=1)]
        provenance = {"request_id": request_id, **listed["provenance"]}
        filled.append(
            section.model_copy(
                update={"items": cards, "provenance": provenance, "milliseconds": milliseconds}
            )
        )
    return filled


def _card(item: dict[str, Any], position: int) -> ProductCard:
    price, was = Decimal(str(item["price"])), item["compare_price"]
    return ProductCard(
        id=item["product_id"],
        sku=item["sku"],
        name=item["name"],
        price=price,
        was=None if was is None or Decimal(str(was)) <= price else Decimal(str(was)),
        picture=item["image"] or picture_path(item["product_id"]),
        path=product_path(item["product_id"]),
        reason=item["reason"]["text"],
        score=item["score"],
        position=position,
    )
