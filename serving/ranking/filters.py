"""Filters of a request, applied to the whole catalogue before ranking."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from cachetools import LRUCache

from serving.catalogue.catalogue import Catalogue
from serving.merchandising.compiled_rules import CompiledRules
from serving.ranking.attributes import Attributes
from serving.ranking.eligibility import SeenProducts
from serving.recommender.request import Filters, RecommendationRequest

__all__ = ["CatalogueFilters", "FilterResult", "eligible_products", "exclusions"]

CACHE_BYTES = 64 * 2**20
"""Of cached masks: for each filter a byte for each product, and one for each id where they are dense."""
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class FilterResult:
    """The products that remain, and how many were removed why; both add up to the products of the shop.

    Attributes
    ----------
    catalogue
        The products of the shop.
    eligible : bool, shape (catalogue rows,)
    filtered_out
        How many products each reason removed; a product counts for the first reason only.
    """

    catalogue: Catalogue
    eligible: Mask
    filtered_out: dict[str, int]

    @cached_property
    def count(self) -> int:
        """The number of eligible products."""
        return int(np.count_nonzero(self.eligible))

    @property
    def nbytes(self) -> int:
        """The bytes of the masks."""
        return self.eligible.nbytes + (0 if self._by_id is None else self._by_id.nbytes)

    def passes(self, products: npt.NDArray[np.integer[Any]]) -> Mask:
        """Return which products are eligible, unknown ids are not; bool, same shape."""
        # for one list it is not worth making: it is there where the result is cached
        by_id: Mask | None = vars(self).get("_by_id")
        if by_id is not None:
            return by_id.take(products, mode="clip")
        rows = self.catalogue.rows(products)
        passing = rows >= 0
        passing[passing] = self.eligible[rows[passing]]
        return passing

    @cached_property
    def _by_id(self) -> Mask | None:
        return self.catalogue.by_id(self.eligible)

    def without(self, reason: str, rows: Mask) -> FilterResult:
        """Return the result with the products of a mask removed for another reason."""
        removed = self.eligible & rows
        count = int(np.count_nonzero(removed))
        if count == 0:
            return self
        filtered_out = {**self.filtered_out, reason: self.filtered_out.get(reason, 0) + count}
        return FilterResult(self.catalogue, self.eligible & ~rows, filtered_out)


class CatalogueFilters:
    """Filters with a cache: results without attributes, while the catalogue is the same; thread-safe."""

    def __init__(self) -> None:
        self.attributes = Attributes()
        self._lock = threading.Lock()
        self._catalogue: Catalogue | None = None
        self._results: LRUCache[Filters, FilterResult] = LRUCache(
            CACHE_BYTES, getsizeof=lambda result: result.nbytes + 1_000
        )

    def of(self, catalogue: Catalogue, filters: Filters, *, wait: bool = True) -> FilterResult:
        """Return the products on sale that pass every filter, applied in the order of `Filters`.

        Parameters
        ----------
        wait
            As for `eligible_products`.

        Raises
        ------
        Invalid, Unavailable
            As `eligible_products`.
        """
        cached = self.cached(catalogue, filters)
        if cached is not None:
            return cached
        result = FilterResult(catalogue, np.ones(len(catalogue), dtype=bool), {})
        for reason, removed in _filtered(catalogue, filters, self.attributes, wait):
            result = result.without(reason, removed)
        if not filters.attributes:
            result.eligible.flags.writeable = False
            with self._lock:
                if catalogue is self._catalogue and result.nbytes < CACHE_BYTES // 2:
                    self._results[filters] = result
        return result

    def cached(self, catalogue: Catalogue, filters: Filters) -> FilterResult | None:
        """Return the cached result, in no time; None where there is none."""
        with self._lock:
            if catalogue is not self._catalogue:
                self._catalogue = catalogue
                self._results.clear()
            return self._results.get(filters)


def eligible_products(
    request: RecommendationRequest,
    seen: SeenProducts,
    rules: CompiledRules,
    filters: CatalogueFilters,
    *,
    wait: bool = True,
    by_rules: bool = True,
) -> FilterResult:
    """Return the products on sale that pass every filter and that neither user, page nor rules exclude.

    Parameters
    ----------
    wait
        False to read nothing from PostgreSQL; attributes that are not cached then match no product.
    by_rules
        False to ignore the rules that hide products.

    Raises
    ------
    Invalid
        A filter names an attribute that no product has.
    Unavailable
        An attribute cannot be read.
    """
    catalogue = rules.catalogue
    result = filters.of(catalogue, request.filters, wait=wait)
    for reason, removed in _excluded(request, seen, rules, by_rules):
        result = result.without(reason, removed)
    return result


def exclusions(
    request: RecommendationRequest,
    seen: SeenProducts,
    rules: CompiledRules,
    attributes: Attributes,
) -> Iterator[tuple[str, Mask]]:
    """Yield each reason for which products are not eligible, and those products.

    In the order of precedence: a product counts for the first reason only.

    Yields
    ------
    reason : str
        Such as `not_sold`, or the name of a filter.
    products : bool, shape (catalogue rows,)
        Those that are not eligible for this reason.

    Raises
    ------
    Invalid, Unavailable
        As `eligible_products`.
    """
    yield from _filtered(rules.catalogue, request.filters, attributes, wait=True)
    yield from _excluded(request, seen, rules, by_rules=True)


def _excluded(
    request: RecommendationRequest, seen: SeenProducts, rules: CompiledRules, by_rules: bool
) -> Iterator[tuple[str, Mask]]:
    catalogue = rules.catalogue
    yield from seen.excluded(catalogue, request.novelty).items()
    for reason, products in (
        ("seeds", request.products),
        ("cart", request.cart),
        ("on_page", request.on_page or ()),
    ):
        if products:
            yield reason, catalogue.mark(products)
    if by_rules and rules.rules:
        placement_rules = rules.for_placement(request.placement, request.name)
        if placement_rules.hides:
            yield "rules", placement_rules.hidden


def _filtered(
    catalogue: Catalogue, filters: Filters, attributes: Attributes, wait: bool
) -> Iterator[tuple[str, Mask]]:
    """Yield the products that are not on sale, then those without each condition of `Filters`."""
    yield "not_sold", ~catalogue.shown
    for reason, passes in _conditions(catalogue, filters, attributes, wait):
        yield reason, ~passes


def _conditions(
    catalogue: Catalogue, filters: Filters, attributes: Attributes, wait: bool
) -> Iterator[tuple[str, Mask]]:
    if filters.categories:
        categories = [
            descendant for category in filters.categories for descendant in catalogue.descendants(category)
        ]
        yield "category", np.isin(catalogue.category, categories)
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
    if wait and filters.attributes:
        attributes.check([name for name, _ in filters.attributes])
    for name, value in filters.attributes:
        yield f"attr.{name}", np.isin(catalogue.ids, attributes.products(name, value, wait=wait))
