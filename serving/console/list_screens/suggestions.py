"""What a field of the console suggests while one types: own ids with the names beside them."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from fastapi import Query, Request
from pydantic import BaseModel

from recsys.database.session import unit_of_work
from recsys.domains.products.catalogue import named_like
from recsys.domains.users import administration
from recsys.own_ids.answers import skus_of
from recsys.own_ids.scheme import IdKind
from serving.catalogue.catalogue import Catalogue
from serving.console.access import Viewer
from serving.console.list_screens.naming import find_products, own_id_text
from serving.console.rendering import screen_router
from serving.recommender.recommender import Recommender

__all__ = ["SuggestionsContent", "router"]

router = screen_router("suggestions")
MAX_SUGGESTIONS = 8


class SuggestedKind(StrEnum):
    """What a field names."""

    PRODUCT = "product"
    PERSON = "person"
    CATEGORY = "category"
    BRAND = "brand"


class NameSuggestion(BaseModel):
    """One suggestion.

    Attributes
    ----------
    value
        What goes into the field: the own id, else the number.
    """

    value: str
    label: str


class SuggestionsContent(BaseModel):
    """The suggestions, the best first."""

    suggestions: list[NameSuggestion]


@router.get("")
def suggestions(
    request: Request, user: Viewer, kind: SuggestedKind, q: Annotated[str, Query(max_length=255)] = ""
) -> SuggestionsContent:
    """What begins with, or contains, the words; nothing for no words."""
    recommender: Recommender = request.app.state.recommender
    words = q.strip()
    found = _found(recommender.data.catalogue, kind, words) if words else []
    return SuggestionsContent(suggestions=found)


def _found(catalogue: Catalogue, kind: SuggestedKind, words: str) -> list[NameSuggestion]:
    if kind is SuggestedKind.PRODUCT:
        products = find_products(catalogue, words, MAX_SUGGESTIONS)
        with unit_of_work() as session:
            skus = skus_of(session, products)
        return [
            NameSuggestion(
                value=own_id_text("sku", skus.get(each), each),
                label=catalogue.name(each) or f"product {each}",
            )
            for each in products
        ]
    with unit_of_work() as session:
        if kind is SuggestedKind.PERSON:
            accounts = administration.find_accounts(session, words, limit=MAX_SUGGESTIONS)
            return [
                NameSuggestion(
                    value=own_id_text("username", row.username, row.id), label=row.full_name or row.email
                )
                for row in accounts
            ]
        rows = named_like(session, IdKind(kind.value), words, limit=MAX_SUGGESTIONS)
        return [NameSuggestion(value=own_id_text("slug", slug, 0), label=name) for slug, name in rows]
