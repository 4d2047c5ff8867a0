"""Pages of categories and of searches: products with facets, sorted and in pages."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Depends, Path, Query, Request, Response
from pydantic import BaseModel
from sqlalchemy.orm import Session

from recsys.database.session import unit_of_work
from recsys.domains.products import catalogue, item_fields
from recsys.domains.products.schemas import CategoryOut, ProductListItem
from recsys.errors import NotFound
from recsys.search import service as search
from recsys.search.analysis.analyser import LONGEST_TEXT
from recsys.search.queries import PRICE_STEPS, Facet, SearchFilters, Sort
from recsys.search.schemas import FacetOut, ProductsFound
from serving.pages.templating import money
from serving.storefront.chrome import shop_page, shop_router
from serving.storefront.lists import ProductCard, card_of
from serving.storefront.visitors.visitor import ShopVisitor, VisitorDep

__all__ = ["ListingPage", "line_to", "router"]

router = shop_router()

_PAGE_SIZE, _MOST_VALUES = 24, 10
_FACETS: tuple[tuple[Facet, str], ...] = (("category", "Category"), ("price", "Price"), ("brand", "Brand"))
_SORTS: tuple[tuple[Sort, str], ...] = (
    ("relevance", "Best match"),
    ("popularity", "Most popular"),
    ("price", "Price, low first"),
    ("-price", "Price, high first"),
    ("newest", "Newest"),
)


class Crumb(BaseModel):
    """A step of the path to a page."""

    name: str
    path: str


class FacetLink(BaseModel):
    """A value of a facet; following it sets or, where it is chosen, removes it."""

    name: str
    count: int | None
    path: str
    is_chosen: bool = False


class FacetGroup(BaseModel):
    """The values of one facet."""

    title: str
    links: list[FacetLink]


class ListingPage(BaseModel):
    """A page of products.

    Attributes
    ----------
    search_id
        Sent with clicks.
    suggestion
        Another spelling.
    first, next
        Addresses of other pages.
    """

    title: str
    query: str
    crumbs: list[Crumb]
    total: int
    products: list[ProductCard]
    facets: list[FacetGroup]
    sort: Sort
    sorts: list[FacetLink]
    search_id: str
    suggestion: FacetLink | None
    message: str | None
    first: str | None
    next: str | None


class ListingQuery(BaseModel):
    """What a listing is limited to.

    Attributes
    ----------
    price
        The beginning of a range of the price facet.
    """

    q: str = ""
    category: int | None = None
    brand: int | None = None
    price: int | None = None
    sort: Sort = "relevance"
    cursor: str | None = None


Number = Annotated[int | None, Query(ge=1, le=2**31 - 1)]


def _query(
    q: Annotated[str, Query(max_length=LONGEST_TEXT)] = "",
    category: Number = None,
    brand: Number = None,
    price: Annotated[int | None, Query(ge=0, le=PRICE_STEPS[-1])] = None,
    sort: Sort = "relevance",
    cursor: Annotated[str | None, Query(max_length=2000)] = None,
) -> ListingQuery:
    return ListingQuery(q=q, category=category, brand=brand, price=price, sort=sort, cursor=cursor)


Listing = Annotated[ListingQuery, Depends(_query)]


@router.get("/categories/{number}")
def category_page(
    request: Request, visitor: VisitorDep, query: Listing, number: Annotated[int, Path(ge=1, le=2**31 - 1)]
) -> Response:
    """The products of a category and of all below it."""
    query = query.model_copy(update={"category": number})
    with unit_of_work() as session:
        line = line_to(catalogue.tree(session), number)
        if not line:
            raise NotFound("The shop has no such category.")
        content = _listing(session, request, visitor, query, line)
    return shop_page(request, visitor, "listing", content)


@router.get("/search")
def search_page(request: Request, visitor: VisitorDep, query: Listing) -> Response:
    """The products that a search finds."""
    with unit_of_work() as session:
        content = _listing(session, request, visitor, query, [])
    return shop_page(request, visitor, "listing", content)


def _listing(
    session: Session, request: Request, visitor: ShopVisitor, query: ListingQuery, line: list[CategoryOut]
) -> ListingPage:
    found = search.search(
        session,
        search.SearchRequest(
            text=query.q,
            category=query.category,
            filters=_filters(query),
            facets=tuple(facet for facet, _ in _FACETS),
            sort=query.sort,
            limit=_PAGE_SIZE,
            cursor=query.cursor,
        ),
        search.Searcher(visitor.user_id, None if visitor.user_id is not None else visitor.guest),
    )
    path = request.url.path
    title = line[-1].name if line else f"Results for “{query.q}”" if query.q.strip() else "All products"
    return ListingPage(
        title=title,
        query=query.q,
        crumbs=[Crumb(name=node.name, path=f"/shop/categories/{node.id}") for node in line[:-1]],
        total=found.total,
        products=_cards(session, found),
        facets=_facet_groups(path, query, found, line),
        sort=query.sort,
        sorts=[
            FacetLink(
                name=name, count=None, path=_address(path, query, sort=sort), is_chosen=sort == query.sort
            )
            for sort, name in _SORTS
        ],
        search_id=str(found.search_id),
        suggestion=None
        if found.did_you_mean is None
        else FacetLink(name=found.did_you_mean, count=None, path=_address(path, query, q=found.did_you_mean)),
        message=found.message or found.degraded,
        first=None if query.cursor is None else _address(path, query),
        next=None if found.next_cursor is None else _address(path, query, cursor=found.next_cursor),
    )


def _cards(session: Session, found: ProductsFound) -> list[ProductCard]:
    items = [item for item in found.items if isinstance(item, ProductListItem)]
    details = item_fields.chosen(session, [item.id for item in items], ["image", "brand"])
    return [card_of(item, item.position, **_of_card(details.get(item.id, {}))) for item in items]


def _of_card(details: Mapping[str, Any]) -> dict[str, str | None]:
    return {"image": details.get("image"), "brand": details.get("brand")}


def _filters(query: ListingQuery) -> SearchFilters:
    low = high = None
    if query.price is not None and query.price in PRICE_STEPS:
        place = PRICE_STEPS.index(query.price)
        low = Decimal(query.price)
        # the last range has no end; prices have two decimals
        high = None if place + 1 == len(PRICE_STEPS) else Decimal(PRICE_STEPS[place + 1]) - Decimal("0.01")
    return SearchFilters(brand=query.brand, min_price=low, max_price=high)


def _facet_groups(
    path: str, query: ListingQuery, found: ProductsFound, line: list[CategoryOut]
) -> list[FacetGroup]:
    groups = []
    for facet, title in _FACETS:
        values = found.facets.get(facet, [])
        chosen = str(getattr(query, facet)) if getattr(query, facet) is not None else None
        if facet == "category" and line:
            below = {str(node.id) for node in line[-1].children}
            values, chosen = [value for value in values if value.value in below], None
        links = [_facet_link(path, query, facet, value, chosen) for value in values[:_MOST_VALUES]]
        if links and (len(links) > 1 or links[0].is_chosen):
            groups.append(FacetGroup(title=title, links=links))
    return groups


def _facet_link(
    path: str, query: ListingQuery, facet: Facet, value: FacetOut, chosen: str | None
) -> FacetLink:
    is_chosen = value.value == chosen
    if facet == "category" and path.startswith("/shop/categories/"):
        address = f"/shop/categories/{value.value}"
    else:
        address = _address(path, query, **{facet: None if is_chosen else value.value})
    name = _price_range(int(value.value)) if facet == "price" else value.name
    return FacetLink(name=name, count=value.count, path=address, is_chosen=is_chosen)


def _price_range(begin: int) -> str:
    place = PRICE_STEPS.index(begin)
    if place + 1 == len(PRICE_STEPS):
        return f"{_amount(begin)} and more"
    return f"{_amount(begin)} to {_amount(PRICE_STEPS[place + 1])}"


def _amount(whole: int) -> str:
    return money(Decimal(whole)).replace(".00", "")


def _address(path: str, query: ListingQuery, **changes: Any) -> str:
    """The address of this page with other parameters; a change begins at the first page."""
    values = {**query.model_dump(), "cursor": None, **changes}
    if path.startswith("/shop/categories/"):
        values["category"] = None
    if values["sort"] == "relevance":
        values["sort"] = None
    kept = {name: value for name, value in values.items() if value not in (None, "")}
    return f"{path}?{urlencode(kept)}" if kept else path


def line_to(nodes: list[CategoryOut], number: int | None) -> list[CategoryOut]:
    """The categories from the top down to one, itself included; empty for an unknown one."""
    for node in nodes:
        below = [node] if node.id == number else line_to(node.children, number)
        if below:
            return below if node.id == number else [node, *below]
    return []
