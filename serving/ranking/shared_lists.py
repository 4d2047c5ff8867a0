"""Lists that are the same for everybody: which one answers a request, how it is made, when it is out of date.

They are stored before any rule or filter of a request applies, as users' lists are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum

import numpy as np
from sqlalchemy import text
from sqlalchemy.orm import Session

from recsys import clock
from recsys.domains.recommendations.stored_lists.codec import StoredList
from recsys.domains.recommendations.stored_lists.shared import SharedListKey
from recsys.settings import get_settings
from recsys.settings.serving import ServingSettings
from serving.ranking.co_purchase import FRESH_SECONDS
from serving.ranking.eligibility import SeenProducts
from serving.ranking.filters import eligible_products
from serving.ranking.popularity import COUNTRY_SECONDS
from serving.ranking.strategies import Lookups, rank
from serving.ranking.user_context import UserContext
from serving.recommender.request import ITEM_LISTS, MAX_POOL, Filters, Placement, RecommendationRequest
from serving.state.serving_data import ServingData

__all__ = [
    "SHARED_PLACEMENTS",
    "Age",
    "age_of",
    "are_counted",
    "item_list_keys",
    "key_of",
    "make",
    "stored_keys",
]

NEW_SECONDS = 60.0
"""A list of new products is made again after so long."""
COUNTRY_USABLE_SECONDS = 3_600.0
"""So long an older list of a country still answers while a new one is counted, which may take a second."""
SHARED_PLACEMENTS = frozenset({*ITEM_LISTS, Placement.POPULAR, Placement.TRENDING, Placement.NEW_ARRIVALS})
_CATEGORY, _COUNTRY = "category:", "country:"
_COUNTRIES = text(
    """
    SELECT DISTINCT upper(a.country) FROM orders_db.shipping_addresses a
    JOIN orders_db.orders o ON o.id = a.order_id
    WHERE o.financial_status IN ('authorized', 'paid', 'partially_refunded')
      AND upper(a.country) ~ '^[A-Z]{2}$'
    ORDER BY 1
    """
)


class Age(Enum):
    """Whether a stored list may answer."""

    CURRENT = "current"
    USABLE = "usable until a new one is made"
    OUTDATED = "outdated"


def key_of(request: RecommendationRequest, data: ServingData) -> SharedListKey | None:
    """Return the key of the list that contains the answer to a request; None where none does."""
    placement, products = request.placement, request.products
    if placement in ITEM_LISTS:
        if len(products) != 1 or (placement is Placement.BOUGHT_TOGETHER and request.cart):
            return None
        return SharedListKey(placement.value, str(products[0]), data.models_fingerprint)
    if placement is Placement.POPULAR:
        subject = ""
        if request.country is not None:
            subject = _COUNTRY + request.country.upper()
        elif len(request.filters.categories) == 1:
            subject = f"{_CATEGORY}{request.filters.categories[0]}"
        return SharedListKey(placement.value, subject, "")
    if placement in (Placement.TRENDING, Placement.NEW_ARRIVALS):
        return SharedListKey(placement.value, "", "")
    return None


def make(data: ServingData, lookups: Lookups, key: SharedListKey, generation: int) -> StoredList:
    """Rank a list now, of all products on sale. `made_at` is 0 where what it counts could not be read."""
    request = _request_of(key)
    filtered = eligible_products(request, SeenProducts(), data.rules, lookups.filters, by_rules=False)
    length = get_settings().serving.stored_per_product if request.placement in ITEM_LISTS else MAX_POOL
    ranked = rank(data, lookups, request, UserContext(), filtered, length=length)
    registered = None if ranked.model is None else ranked.model.registered
    return StoredList(
        generation,
        "" if registered is None else registered.name,
        "" if registered is None else registered.version,
        ranked.entries,
        _made_at(request, data, lookups),
    )


def age_of(stored: StoredList, key: SharedListKey, data: ServingData) -> Age:
    """Return whether a stored list may answer, by what it is made of.

    Lists of a product are current as long as their models are. Counts change all the time, and a new product
    must be in the list of new ones at once.
    """
    if key.models:
        is_old = _seconds_since(stored.made_at) > FRESH_SECONDS
        counted = key.placement == Placement.BOUGHT_TOGETHER and are_counted(data)
        return Age.OUTDATED if counted and is_old else Age.CURRENT
    if key.placement == Placement.NEW_ARRIVALS:
        has_newest = data.catalogue.newest is None or any(
            entry.product == data.catalogue.newest for entry in stored.entries
        )
        is_current = has_newest and _seconds_since(stored.made_at) <= NEW_SECONDS
        return Age.CURRENT if is_current else Age.OUTDATED
    if key.subject.startswith(_COUNTRY):
        seconds = _seconds_since(stored.made_at)
        if seconds <= COUNTRY_SECONDS:
            return Age.CURRENT
        return Age.USABLE if seconds <= COUNTRY_USABLE_SECONDS else Age.OUTDATED
    # by counts of this process, or newer ones of another process
    return Age.CURRENT if stored.made_at >= int(data.popular_at) else Age.OUTDATED


def are_counted(data: ServingData) -> bool:
    """Return whether products bought together are counted from orders, without a model of them."""
    return next(data.auxiliary.of("complements", "bought_together"), None) is None


def stored_keys(session: Session, data: ServingData, settings: ServingSettings) -> Iterator[SharedListKey]:
    """Yield the lists that are made with a generation: of the shop, categories, countries and products."""
    for placement in (Placement.POPULAR, Placement.TRENDING, Placement.NEW_ARRIVALS):
        yield SharedListKey(placement.value, "", "")
    catalogue = data.catalogue
    for category in catalogue.parents:
        if (catalogue.subtree(category) & catalogue.shown).any():
            yield SharedListKey(Placement.POPULAR.value, f"{_CATEGORY}{category}", "")
    for country in session.scalars(_COUNTRIES).all():
        yield SharedListKey(Placement.POPULAR.value, _COUNTRY + country, "")
    order = data.popular.order(catalogue)[0]
    best = order[np.flatnonzero(catalogue.shown[order])[: settings.stored_products]]
    for product in catalogue.ids[best].tolist():
        yield from item_list_keys(product, data)


def item_list_keys(product: int, data: ServingData) -> Sequence[SharedListKey]:
    """Return the keys of the lists of a product."""
    return [SharedListKey(placement.value, str(product), data.models_fingerprint) for placement in ITEM_LISTS]


def _request_of(key: SharedListKey) -> RecommendationRequest:
    placement = Placement(key.placement)
    if placement in ITEM_LISTS:
        return RecommendationRequest(placement, products=(int(key.subject),))
    if key.subject.startswith(_CATEGORY):
        category = int(key.subject.removeprefix(_CATEGORY))
        return RecommendationRequest(placement, filters=Filters(categories=(category,)))
    country = key.subject.removeprefix(_COUNTRY) or None
    return RecommendationRequest(placement, country=country)


def _made_at(request: RecommendationRequest, data: ServingData, lookups: Lookups) -> int:
    if request.country is not None:
        return int(lookups.popular_by_country.counted_at(request.country))
    if request.placement in (Placement.POPULAR, Placement.TRENDING):
        return int(data.popular_at)
    return int(clock.now().timestamp())


def _seconds_since(moment: float) -> float:
    return clock.now().timestamp() - moment
