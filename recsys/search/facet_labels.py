"""Labels of facets: names of categories and brands, ranges of prices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import text
from sqlalchemy.orm import Session

from recsys.search.queries import PRICE_STEPS, Bucket
from recsys.search.schemas import FacetOut

__all__ = ["facets"]

_NAMES = text(
    """
    SELECT 'category', id, name FROM products_db.categories WHERE id = ANY(:category)
    UNION ALL
    SELECT 'brand', id, name FROM products_db.brands WHERE id = ANY(:brand)
    """
)
_NAMED = ("category", "brand")


def facets(session: Session, found: Mapping[str, Sequence[Bucket]]) -> dict[str, list[FacetOut]]:
    """Each bucket with its name; those of deleted categories and brands are left out."""
    ids = {
        facet: [int(bucket.value) for bucket in found.get(facet, ()) if bucket.name is None]
        for facet in _NAMED
    }
    names: dict[tuple[str, str], str] = {}
    if any(ids.values()):
        names = {(facet, str(number)): name for facet, number, name in session.execute(_NAMES, ids)}
    labelled: dict[str, list[FacetOut]] = {}
    for facet, buckets in found.items():
        labelled[facet] = []
        for bucket in buckets:
            name = (
                bucket.name or names.get((facet, bucket.value))
                if facet in _NAMED
                else _in_words(facet, bucket.value)
            )
            if name is not None:
                labelled[facet].append(FacetOut(value=bucket.value, name=name, count=bucket.count))
    return labelled


def _in_words(facet: str, value: str) -> str:
    if facet == "price":
        return _price(int(value))
    if facet == "rating":
        return f"{value} stars and more"
    return "in stock" if facet == "in_stock" else value


def _price(begin: int) -> str:
    place = PRICE_STEPS.index(begin)
    return f"{begin} and more" if place + 1 == len(PRICE_STEPS) else f"{begin} to {PRICE_STEPS[place + 1]}"
