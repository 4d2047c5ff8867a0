"""A product: its card and stock, what is listed beside it by each model, its funnel, and who saw it."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated

from fastapi import Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel

from recsys import clock
from recsys.database.session import unit_of_work
from recsys.domains.products import listing
from recsys.domains.recommendations.impressions import store as impressions
from recsys.domains.recommendations.interactions.history import product_counts, product_weeks
from recsys.domains.users import administration
from recsys.own_ids.references import ProductText
from serving.console.access import Viewer
from serving.console.list_screens.displayed_lists import (
    DisplayedList,
    DisplayedProduct,
    displayed,
    products_of,
)
from serving.console.list_screens.naming import find_products
from serving.console.rendering import TEMPLATES, screen_router
from serving.merchandising.compiled_rules import CompiledRules, matching_products
from serving.ranking.candidates import similar
from serving.recommender.recommender import Recommender
from serving.recommender.request import Placement, RecommendationRequest
from serving.state.serving_data import ServingData

__all__ = ["ProductContent", "ProductsContent", "router"]

router = screen_router("products")
MAX_MATCHES = 40
LIST_LENGTH = 6
MAX_VIEWERS, VIEWER_DAYS = 10, 7
WEEKS = 12
FUNNEL = ("view", "like", "add_to_cart", "purchase", "review", "dismissed")
ProductId = Annotated[ProductText, Path(description="A number or `sku:…`.")]


class ProductMatch(BaseModel):
    """One product among the matches of a search."""

    product_id: int
    name: str
    sku: str | None
    price: float
    is_sold: bool


class ProductsContent(BaseModel):
    """The content of the search for a product."""

    query: str
    matches: list[ProductMatch]
    total: int


class VariantStock(BaseModel):
    """One variant and its stock.

    Attributes
    ----------
    quantity
        None where stock is not counted.
    """

    name: str
    sku: str | None
    price: Decimal | None
    quantity: int | None


class FunnelStep(BaseModel):
    """How many people did something with the product, and the share of the most frequent step."""

    name: str
    people: int
    events: int
    share: float


class ModelList(BaseModel):
    """The products that one model puts beside this one."""

    model: str
    algorithm: str
    products: list[DisplayedProduct]


class ProductViewer(BaseModel):
    """One list in which the product was shown, the last for each person."""

    user_id: int | None
    user_name: str | None
    placement: str
    position: int
    shown_at: datetime


class NamedRule(BaseModel):
    """A rule in force whose target has the product."""

    rule_id: int
    name: str
    kind: str


class ProductContent(BaseModel):
    """The content of the screen of a product.

    Attributes
    ----------
    weeks
        Interactions of each of the last twelve weeks up to the newest one, the oldest first.
    """

    product_id: int
    name: str
    sku: str | None
    price: Decimal
    status: str | None
    is_sold: bool
    category: str | None
    brand: str | None
    description: str | None
    rating: Decimal | None
    reviews: int
    created_at: datetime | None
    variants: list[VariantStock]
    lists: list[DisplayedList]
    models: list[ModelList]
    funnel: list[FunnelStep]
    weeks: list[int]
    viewers: list[ProductViewer]
    rules: list[NamedRule]


@router.get("")
def products(request: Request, user: Viewer, q: Annotated[str, Query(max_length=200)] = "") -> Response:
    """Find a product by number, SKU or name."""
    catalogue = request.app.state.recommender.data.catalogue
    numbers = find_products(catalogue, q, MAX_MATCHES) if q.strip() else catalogue.ids[:MAX_MATCHES].tolist()
    matches = []
    for number in numbers:
        row = catalogue.row(number)
        name, sku = catalogue.label(number)
        matches.append(
            ProductMatch(
                product_id=number,
                name=name or "",
                sku=sku,
                price=float(catalogue.price[row]),
                is_sold=bool(catalogue.shown[row]),
            )
        )
    content = ProductsContent(query=q.strip(), matches=matches, total=len(catalogue))
    return TEMPLATES.page(request, "console/products.html.j2", content)


@router.get("/{product_id}")
async def product(request: Request, user: Viewer, product_id: ProductId) -> Response:
    """One product."""
    recommender: Recommender = request.app.state.recommender
    data = recommender.data
    lists = []
    if data.catalogue.row(product_id) >= 0:
        for title, placement in (
            ("Similar", Placement.SIMILAR),
            ("Bought together", Placement.BOUGHT_TOGETHER),
        ):
            wanted = RecommendationRequest(placement, products=(product_id,), limit=LIST_LENGTH)
            lists.append(displayed(title, data.catalogue, await recommender.recommend(wanted)))
    content = await run_in_threadpool(_content, data, product_id, lists)
    return TEMPLATES.page(request, "console/product.html.j2", content)


def _content(data: ServingData, product_id: int, lists: list[DisplayedList]) -> ProductContent:
    with unit_of_work() as session:
        whole = listing.fresh(session, product_id)
        counts = product_counts(session, product_id)
        weeks = product_weeks(session, product_id, WEEKS)
        since = clock.now() - timedelta(days=VIEWER_DAYS)
        pages = impressions.lists_of(session, product_id=product_id, since=since, limit=MAX_VIEWERS)
        names = administration.names_of(session, {page.user_id for page in pages if page.user_id})
    catalogue = data.catalogue
    row = catalogue.row(product_id)
    summary = catalogue.summaries.get(product_id)
    most = max((people for people, _ in counts.values()), default=0) or 1
    funnel = [(name, *counts[name]) for name in FUNNEL if name in counts]
    return ProductContent(
        product_id=product_id,
        name=whole.name,
        sku=whole.sku,
        price=whole.price,
        status=whole.status,
        is_sold=row >= 0 and bool(catalogue.shown[row]),
        category=None if summary is None else summary.details.category,
        brand=None if summary is None else summary.details.brand,
        description=whole.description,
        rating=whole.rating,
        reviews=whole.reviews,
        created_at=whole.created_at,
        variants=[
            VariantStock(
                name=variant.name or variant.sku or f"variant {variant.id}",
                sku=variant.sku,
                price=variant.price,
                quantity=variant.inventory_quantity,
            )
            for variant in whole.variants
        ],
        lists=lists,
        models=_by_models(data, product_id),
        funnel=[
            FunnelStep(name=name, people=people, events=events, share=people / most)
            for name, people, events in funnel
        ],
        weeks=weeks,
        viewers=[
            ProductViewer(
                user_id=page.user_id,
                user_name=None if page.user_id is None else names.get(page.user_id),
                placement=page.shelf,
                position=page.before + list(page.products).index(product_id) + 1,
                shown_at=page.shown_at,
            )
            for page in pages
        ],
        rules=_rules(data.rules, row),
    )


def _by_models(data: ServingData, product_id: int) -> list[ModelList]:
    """What each loaded model that has similarities puts beside the product."""
    catalogue = data.catalogue
    models = {} if data.model is None else {data.model.registered.name: data.model}
    models |= {model.registered.name: model for model in data.auxiliary.by_algorithm.values()}
    lists = []
    for name, model in models.items():
        if product_id not in model.model.items_:
            continue
        entries = similar(model, [product_id], LIST_LENGTH, catalogue.shown_ids)
        lists.append(
            ModelList(
                model=name, algorithm=model.registered.algorithm, products=products_of(catalogue, entries)
            )
        )
    return lists


def _rules(rules: CompiledRules, row: int) -> list[NamedRule]:
    if row < 0 or row >= len(rules.catalogue):
        return []
    return [
        NamedRule(rule_id=rule.id, name=rule.name, kind=rule.kind.value)
        for rule in rules.rules
        if matching_products(rules.catalogue, rule.target, rules.moment)[row]
    ]
