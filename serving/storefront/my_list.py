"""My recommendations: why each product is there, what to leave out, and what the visitor likes."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Literal

from fastapi import Depends, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from recsys.database.session import unit_of_work
from recsys.domains.products import catalogue, listing
from recsys.domains.products.schemas import CategoryOut
from recsys.domains.recommendations import preferences
from recsys.domains.recommendations.schemas import PriceRange, Taste
from recsys.errors import Invalid
from serving.pages.forms import SubmittedForm, redirect, submitted
from serving.recommender.request import Placement
from serving.storefront.chrome import seen_by, shop_page, shop_router
from serving.storefront.lists import ListSection, ProductCard, card_of, ranked
from serving.storefront.visitors.interactions import record, restore
from serving.storefront.visitors.visitor import ShopVisitor, VisitorDep

__all__ = ["MyListPage", "router"]

router = shop_router()
_LIST = ListSection(
    placement=Placement.FOR_YOU, title="Recommended for you", note="with the reason for each", limit=12
)
_MOST_DISMISSED = 50
_INFERRED = 8


class TasteChoice(BaseModel):
    """A category that can be liked or avoided: 1, 0 or -1."""

    name: str
    value: int


class InferredTaste(BaseModel):
    """A taste that was derived from what the visitor did.

    Attributes
    ----------
    strength
        From 0 to 1.
    """

    name: str
    strength: float


class MyListPage(BaseModel):
    """The visitor's list, what was dismissed, and the tastes: explicit and inferred."""

    section: ListSection
    dismissed: list[ProductCard]
    is_guest: bool
    tastes: list[TasteChoice]
    highest_price: Decimal | None
    inferred: list[InferredTaste]


class FeedbackForm(BaseModel):
    """A verdict on a product of the list."""

    product: int = Field(ge=1, le=2**31 - 1)
    verdict: Literal["dismiss", "restore", "like"]


@router.get("/my-list")
async def my_list(request: Request, visitor: VisitorDep) -> Response:
    """The visitor's recommendations."""
    (section,) = await ranked(request, visitor, [_LIST])
    content = await run_in_threadpool(_content, visitor, section)
    return await run_in_threadpool(shop_page, request, visitor, "my_list", content)


@router.post("/my-list")
def judge(visitor: VisitorDep, form: SubmittedForm = Depends(submitted)) -> Response:
    """Dismiss a product, restore it, or like it; the next list knows."""
    given = form.model(FeedbackForm)
    if given.verdict == "dismiss":
        record(visitor, given.product, "dismissed")
        return redirect("/shop/my-list", "It will not be recommended any more. You can restore it below.")
    if given.verdict == "restore":
        restore(visitor, given.product)
        return redirect("/shop/my-list", "It may be recommended again.")
    record(visitor, given.product, "like")
    return redirect("/shop/my-list", "Noted: more like this.")


@router.post("/my-list/tastes")
def say_tastes(visitor: VisitorDep, form: SubmittedForm = Depends(submitted)) -> Response:
    """Store what the visitor says about categories and prices."""
    if visitor.user_id is None:
        raise Invalid("Guests have no profile: choose a household at the top of the page.")
    highest = form.text("highest_price")
    with unit_of_work() as session:
        stored = preferences.of_user(session, visitor.user_id).explicit
        # what was imported may lie outside of what is accepted now
        facets = {
            facet: {name: max(-1.0, min(1.0, value)) for name, value in getattr(stored, facet).items()}
            for facet in ("categories", "brands", "colors", "sizes", "styles")
        }
        # tastes of deeper categories stay as they are
        categories = facets["categories"]
        for place, node in enumerate(catalogue.tree(session)):
            choice = form.text(f"taste-{place}", "0")
            value = int(choice) if choice in ("1", "-1") else 0
            names = _spelled_as(node, categories)
            if value == _sign(sum(categories[name] for name in names)):
                continue  # as it was, strength included
            for name in names:
                del categories[name]
            if value:
                categories[node.name] = float(value)
        lowest = None if stored.price_range is None else stored.price_range.min
        taste = {**facets, "price_range": _price_range(lowest, highest)}
        preferences.replace(session, visitor.user_id, Taste.model_validate(taste))
    return redirect("/shop/my-list", "Your tastes are stored.")


def _spelled_as(node: CategoryOut, names: Iterable[str]) -> list[str]:
    """Return those of the names that mean this category: its name, slug or number."""
    own = {node.name.casefold(), node.slug.casefold(), str(node.id)}
    return [name for name in names if name.strip().casefold() in own]


def _price_range(lowest: Decimal | None, highest: str) -> PriceRange | None:
    if lowest is None and not highest:
        return None
    try:
        return PriceRange.model_validate({"min": lowest, "max": highest or None})
    except ValueError as error:
        raise Invalid("Nothing was changed. The highest price is an amount such as 20.00.") from error


def _content(visitor: ShopVisitor, section: ListSection) -> MyListPage:
    with unit_of_work() as session:
        dismissed = sorted(seen_by(session, visitor).dismissed, reverse=True)[:_MOST_DISMISSED]
        products = listing.summaries(session, dismissed)
        tastes: list[TasteChoice] = []
        inferred: list[InferredTaste] = []
        highest = None
        if visitor.user_id is not None:
            known = preferences.of_user(session, visitor.user_id)
            explicit = known.explicit.categories
            tastes = [
                TasteChoice(
                    name=node.name,
                    value=_sign(sum(explicit[name] for name in _spelled_as(node, explicit))),
                )
                for node in catalogue.tree(session)
            ]
            highest = None if known.explicit.price_range is None else known.explicit.price_range.max
            strongest = sorted(known.inferred.categories.items(), key=lambda entry: -entry[1])[:_INFERRED]
            inferred = [InferredTaste(name=name, strength=value) for name, value in strongest]
    return MyListPage(
        section=section,
        dismissed=[card_of(product, place) for place, product in enumerate(products, start=1)],
        is_guest=visitor.user_id is None,
        tastes=tastes,
        highest_price=highest,
        inferred=inferred,
    )


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)
