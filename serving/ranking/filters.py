"""Which products qualify: decided for the whole catalogue before anything is ranked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from serving.catalogue.catalogue import Catalogue
from serving.ranking.attributes import Attributes
from serving.recommender.request import Filters

__all__ = ["FilterResult", "filter_products"]

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class FilterResult:
    """allowed: bool, a row of the catalogue each. removed: by what, and how many that were left until then.

    The removed and the allowed add up to the products of the shop.
    """

    allowed: Mask
    removed: dict[str, int]

    def without(self, reason: str, more: Mask) -> FilterResult:
        """The same with the rows of `more` removed for another reason."""
        gone = self.allowed & more
        count = int(gone.sum())
        if count == 0:
            return self
        removed = {**self.removed, reason: self.removed.get(reason, 0) + count}
        return FilterResult(self.allowed & ~more, removed)


def filter_products(
    catalogue: Catalogue, filters: Filters, attributes: Attributes, *, patient: bool = True
) -> FilterResult:
    """What passes every filter, in the order of `Filters`; each removal is counted once.

    patient : False to wait for nothing; what cannot be known at once then does not pass.
    Raises Unavailable when an attribute cannot be looked up.
    """
    found = FilterResult(np.ones(len(catalogue), dtype=bool), {}).without("not_sold", ~catalogue.shown)
    for name, passes in _conditions(catalogue, filters, attributes, patient):
        found = found.without(name, ~passes)
    return found


def _conditions(
    catalogue: Catalogue, filters: Filters, attributes: Attributes, patient: bool
) -> Iterator[tuple[str, Mask]]:
    if filters.categories:
        wanted = [one for category in filters.categories for one in catalogue.descendants(category)]
        yield "category", np.isin(catalogue.category, wanted)
    if filters.brands:
        yield "brand", np.isin(catalogue.brand, filters.brands)
    if filters.min_price is not None:
        yield "min_price", catalogue.price >= filters.min_price
    if filters.max_price is not None:
        yield "max_price", catalogue.price <= filters.max_price
    for tag in filters.tags:
        yield "tags", catalogue.tagged(tag)
    if filters.in_stock:
        yield "in_stock", catalogue.stocked
    if filters.created_since is not None:
        yield "created_since", catalogue.created >= filters.created_since
    if filters.exclude:
        yield "exclude", ~np.isin(catalogue.ids, filters.exclude)
    for name, value in filters.attributes:
        yield f"attr.{name}", np.isin(catalogue.ids, attributes.products(name, value, patient=patient))
