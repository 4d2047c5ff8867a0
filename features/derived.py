"""What follows from a Dataset's events: users' habits, products' prices, ages, popularity, trend and season.

Nothing here is stored. It is computed from the events when it is used, so `derived(dataset.until(t))` knows
nothing after t, and training and serving cannot differ. Recency, frequency and money after Hughes 1994,
"Strategic Database Marketing"; the trend is a ratio of rates with a Gamma prior (Gelman et al. 2013,
"Bayesian Data Analysis", section 2.6), so that a product with little behind it has none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from features.dataset import Dataset
from features.interactions import MICROSECONDS_PER_DAY, Events
from recsys.domains.recommendations.types import INTERACTION_TYPES, InteractionType

__all__ = [
    "TREND_DAYS",
    "YEAR_DAYS",
    "ProductBehaviour",
    "UserBehaviour",
    "product_behaviour",
    "user_behaviour",
]

TREND_DAYS, YEAR_DAYS = 28, 365
PURCHASE = INTERACTION_TYPES.index(InteractionType.PURCHASE)

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class UserBehaviour:
    """Habits, one entry per user row, float32 unless said otherwise; purchases where there are any at all in
    the dataset, else all events. A basket is what one user bought in one session, or at one moment.

    recency       days from the last basket to the dataset's moment, NaN for a user without
    frequency     baskets
    interval      usual days between two baskets (median), NaN below two
    money         sum of price × quantity, by the catalogue's prices
    basket_size   different products in a basket, mean; NaN without
    repeat_rate   share of the bought (basket, product) pairs that the user had bought in an earlier basket
    shares        csr (users, category paths): share of each category in the user's weighed behaviour
    """

    recency: Floats
    frequency: Floats
    interval: Floats
    money: Floats
    basket_size: Floats
    repeat_rate: Floats
    shares: sparse.csr_matrix


@dataclass(frozen=True, eq=False)
class ProductBehaviour:
    """One entry per item row, float32 unless said otherwise.

    price_band   int8 0..bands-1, the fifth of its category's prices that it lies in, -1 without a price;
                 products without a category are one category
    age          days since it came to be, by the dataset's moment; NaN where unknown
    popularity   distinct users of the last year
    trend        rate of the last 28 days against the rate of the last year: log2, 0 for no change or no
                 evidence
    season       (items, 12) share of its events in each month (UTC) of all years, drawn towards the shop's
    """

    price_band: npt.NDArray[np.int8]
    age: Floats
    popularity: Floats
    trend: Floats
    season: Floats


def user_behaviour(dataset: Dataset) -> UserBehaviour:
    """The habits of all users as of the dataset's moment."""
    users, bought = len(dataset.users), _purchases(dataset.events)
    basket, of_user, moment = _baskets(bought)
    frequency = np.bincount(of_user, minlength=users)
    last = np.full(users, np.nan)
    last[of_user] = moment  # in time order: the last basket stays
    quantity = np.where(np.isnan(bought.value) | (bought.value < 0), 1.0, bought.value)
    spent = quantity * np.nan_to_num(dataset.item_features.price[bought.item].astype(np.float64))
    _, first = np.unique(basket * np.int64(len(dataset.items)) + bought.item, return_index=True)
    per_user = np.bincount(bought.user[first], minlength=users)
    known = np.unique(bought.user[first].astype(np.int64) * len(dataset.items) + bought.item[first])
    different = np.bincount(known // max(len(dataset.items), 1), minlength=users)
    days = (dataset.moment - last) / MICROSECONDS_PER_DAY
    with np.errstate(invalid="ignore", divide="ignore"):
        size = per_user / frequency
        repeats = (per_user - different) / per_user
    return UserBehaviour(
        _float32(days),
        _float32(frequency),
        _intervals(of_user, moment, users),
        _float32(np.bincount(bought.user, weights=spent, minlength=users)),
        _float32(size),
        _float32(repeats),
        _category_shares(dataset),
    )


def product_behaviour(dataset: Dataset, *, bands: int = 5, prior: float = 1.0) -> ProductBehaviour:
    """Of all products as of the dataset's moment; `prior`: so many expected events the trend starts from."""
    events, features, items = dataset.events, dataset.item_features, len(dataset.items)
    age = np.maximum(dataset.moment - features.created, 0) / MICROSECONDS_PER_DAY
    age[features.created < _FIRST_MOMENT] = np.nan
    year = events.time > dataset.moment - YEAR_DAYS * MICROSECONDS_PER_DAY
    recent = events.time > dataset.moment - TREND_DAYS * MICROSECONDS_PER_DAY
    known = year & (events.user >= 0)
    pairs = np.unique(events.user[known].astype(np.int64) * max(items, 1) + events.item[known])
    popularity = np.bincount(pairs % max(items, 1), minlength=items)
    in_year = np.bincount(events.item[year], minlength=items)
    now = np.bincount(events.item[recent], minlength=items)
    # a product younger than a year is measured against the days that it was there
    there = np.clip(np.nan_to_num(age, nan=YEAR_DAYS), TREND_DAYS, min(YEAR_DAYS, _span_days(dataset)))
    expected = in_year * TREND_DAYS / there
    trend = np.log2((now + prior) / (expected + prior))
    return ProductBehaviour(
        _price_bands(features.price, features.category, bands),
        _float32(age),
        _float32(popularity),
        _float32(trend),
        _seasons(events, items),
    )


_FIRST_MOMENT = -62_135_596_800_000_000 + 1
"""What is created before it has no known time (the year 1)."""


def _purchases(events: Events) -> Events:
    mine = events.user >= 0
    bought = mine & (events.kind == PURCHASE)
    return events.take(bought if bought.any() else mine)


def _baskets(bought: Events) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """The basket of each event; the user and last moment of each basket, in the order of that moment."""
    key = np.where(bought.session != 0, bought.session, bought.time)
    order = np.lexsort((key, bought.session != 0, bought.user))
    same = np.ones(max(order.size - 1, 0), dtype=bool)
    for column in (bought.user, bought.session != 0, key):
        placed = column[order]
        same &= placed[1:] == placed[:-1]
    new = np.append(np.ones(min(order.size, 1), dtype=bool), ~same)
    number = np.cumsum(new) - 1
    count = int(new.sum())
    moment = np.full(count, np.iinfo(np.int64).min)
    np.maximum.at(moment, number, bought.time[order])
    user = bought.user[order][new]
    rank = np.empty(count, dtype=np.int64)
    in_time = np.lexsort((user, moment))
    rank[in_time] = np.arange(count)
    basket = np.empty(order.size, dtype=np.int64)
    basket[order] = rank[number]
    return basket, user[in_time], moment[in_time]


def _intervals(of_user: npt.NDArray[np.int32], moment: npt.NDArray[np.int64], users: int) -> Floats:
    order = np.argsort(of_user, kind="stable")
    owner, time = of_user[order], moment[order]
    same = owner[1:] == owner[:-1]
    gap, owner = (np.diff(time)[same] / MICROSECONDS_PER_DAY), owner[1:][same]
    order = np.lexsort((gap, owner))
    gap, owner = gap[order], owner[order]
    start = np.searchsorted(owner, np.arange(users))
    count = np.searchsorted(owner, np.arange(users), side="right") - start
    usual = np.full(users, np.nan)
    some = count > 0
    low, high = start + (count - 1) // 2, start + count // 2
    usual[some] = (gap[low[some]] + gap[high[some]]) / 2
    return _float32(usual)


def _category_shares(dataset: Dataset) -> sparse.csr_matrix:
    features = dataset.item_features
    known = features.category >= 0
    indptr = np.concatenate([[0], np.cumsum(known)])
    parts = (np.ones(int(known.sum())), features.category[known], indptr)
    belongs = sparse.csr_matrix(parts, shape=(known.size, len(features.category_paths)))
    weight = sparse.csr_matrix(dataset.matrix.astype(np.float64) @ belongs)
    weight.sort_indices()
    total = np.asarray(weight.sum(axis=1)).ravel()
    owner = np.repeat(np.arange(total.size), np.diff(weight.indptr))
    shares = (weight.data / total[owner]).astype(np.float32)
    return sparse.csr_matrix((shares, weight.indices, weight.indptr), shape=weight.shape)


def _price_bands(price: Floats, category: npt.NDArray[np.int32], bands: int) -> npt.NDArray[np.int8]:
    band: npt.NDArray[np.int8] = np.full(price.size, -1, dtype=np.int8)
    rows = np.flatnonzero(~np.isnan(price))
    order = rows[np.lexsort((price[rows], category[rows]))]
    group, value = category[order], price[order]
    start = np.searchsorted(group, group)
    count = np.searchsorted(group, group, side="right") - start
    # equal prices share a band: the middle of the places that they take
    new = np.ones(order.size, dtype=bool)
    new[1:] = (group[1:] != group[:-1]) | (value[1:] != value[:-1])
    run = np.cumsum(new) - 1
    first = np.flatnonzero(new)
    last = np.append(first[1:], order.size) - 1 if order.size else first
    middle = (first + last)[run] / 2 - start + 0.5
    band[order] = np.minimum(middle * bands / np.maximum(count, 1), bands - 1).astype(np.int8)
    return band


def _seasons(events: Events, items: int) -> Floats:
    month = (np.asarray(events.time).astype("datetime64[us]").astype("datetime64[M]").astype(np.int64)) % 12
    counts = np.bincount(events.item.astype(np.int64) * 12 + month, minlength=items * 12)
    by_item = counts.reshape(items, 12).astype(np.float64)
    shop = by_item.sum(axis=0) / max(float(by_item.sum()), 1.0)
    return _float32((by_item + 12 * shop) / np.maximum(by_item.sum(axis=1, keepdims=True) + 12, 1))


def _span_days(dataset: Dataset) -> float:
    """Days that the log covers, at least those of the trend."""
    if not len(dataset.events):
        return float(TREND_DAYS)
    return max(float(TREND_DAYS), (dataset.moment - int(dataset.events.time[0])) / MICROSECONDS_PER_DAY)


def _float32(values: npt.NDArray[np.generic]) -> Floats:
    return np.asarray(values, dtype=np.float32)
