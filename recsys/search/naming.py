"""Facets in words: names of categories and brands, ranges of prices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from recsys.domains.products.tables import Brand, Category
from recsys.search.queries import PRICE_STEPS, Bucket
from recsys.search.schemas import FacetOut

__all__ = ["facets"]

_NAMED: dict[str, type[Category] | type[Brand]] = {"category": Category, "brand": Brand}


def facets(session: Session, found: Mapping[str, Sequence[Bucket]]) -> dict[str, list[FacetOut]]:
    """Each with names; what has none any more is left out."""
    named = {}
    for facet, buckets in found.items():
        names = _names(session, facet, buckets)
        named[facet] = [
            FacetOut(value=one.value, name=names[one.value], count=one.count)
            for one in buckets
            if one.value in names
        ]
    return named


def _names(session: Session, facet: str, buckets: Sequence[Bucket]) -> dict[str, str]:
    if facet in _NAMED:
        table = _NAMED[facet]
        ids = [int(one.value) for one in buckets]
        return {
            str(number): name
            for number, name in session.execute(select(table.id, table.name).where(table.id.in_(ids)))
        }
    if facet == "price":
        return {one.value: _price(int(one.value)) for one in buckets}
    if facet == "rating":
        return {one.value: f"{one.value} stars and more" for one in buckets}
    if facet == "in_stock":
        return {one.value: "in stock" for one in buckets}
    return {one.value: one.value for one in buckets}


def _price(begin: int) -> str:
    place = PRICE_STEPS.index(begin)
    return f"{begin} and more" if place + 1 == len(PRICE_STEPS) else f"{begin} to {PRICE_STEPS[place + 1]}"
