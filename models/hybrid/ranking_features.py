"""The features of a user and a product for the ranker: habits, dates, popularity, price and preferences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from features.dataset import Dataset
from features.ids import IdMap
from features.interactions import MICROSECONDS_PER_DAY, History

__all__ = ["FACT_NAMES", "PERSONAL", "FeatureSnapshot", "Habits", "rounded"]

Float = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]

_PAIR = ("times", "times_lately", "days_since", "interval", "due", "share")
_USER = ("events", "events_lately", "products", "repeat_share")
_ITEM = ("sold_short", "sold_window", "sold_long", "sold", "trend", "age", "repeats", "buyers", "price")
_GROUPS = ("category", "department", "brand")
FACT_NAMES = (
    *_PAIR,
    *_USER,
    *_ITEM,
    "price_distance",
    *(f"{group}_{what}" for group in _GROUPS for what in ("share", "days_since")),
)
"""The columns of `FeatureSnapshot.columns`, in order."""
PERSONAL = frozenset(_PAIR)
"""Those that speak of this very product in the user's own history."""

_HALF_LIFE_DAYS = 60.0
_BITS = 14
"""Of the 23 stored bits of a float32's mantissa that `rounded` drops: the first one is not stored."""
_DROPPED = 1 << _BITS
LEVELS = " > "


@dataclass(frozen=True, eq=False)
class Habits:
    """What users did, one entry per (user, product) that was liked; products of a row increasing.

    Attributes
    ----------
    indptr : int64, shape (n + 1,)
    item : int64, shape (entries,)
    times, lately : float32, shape (entries,)
        How often, and how often within the last window.
    first, last : float32, shape (entries,)
        Days since the first and the last time.
    faded : float32, shape (entries,)
        The faded sum of times.
    """

    indptr: npt.NDArray[np.int64]
    item: Rows
    times: Float
    lately: Float
    first: Float
    last: Float
    faded: Float

    @classmethod
    def of(cls, rows: int, items: int, owner: Rows, item: Rows, age: Float, window: float) -> Self:
        """From events: the row and the item of each, and its age in days."""
        keys, place = np.unique(owner * items + item, return_inverse=True)
        first, last = np.zeros(keys.size), np.full(keys.size, np.inf)
        np.maximum.at(first, place, age)
        np.minimum.at(last, place, age)
        indptr = np.searchsorted(keys, np.arange(rows + 1, dtype=np.int64) * items)
        sums = (
            np.bincount(place, minlength=keys.size),
            np.bincount(place, weights=age <= window, minlength=keys.size),
            first,
            last,
            np.bincount(place, weights=np.exp2(-age / _HALF_LIFE_DAYS), minlength=keys.size),
        )
        return cls(indptr, keys % items, *(each.astype(np.float32) for each in sums))

    def take(self, rows: Rows) -> Habits:
        """The users of these rows."""
        lengths = np.diff(self.indptr)[rows]
        indptr = np.concatenate([[0], np.cumsum(lengths)])
        place = np.arange(indptr[-1]) + np.repeat(self.indptr[rows] - indptr[:-1], lengths)
        entries = (getattr(self, field.name)[place] for field in fields(self)[1:])
        return Habits(indptr.astype(np.int64), *entries)


@dataclass(frozen=True, eq=False)
class FeatureSnapshot:
    """What is known at one moment.

    Attributes
    ----------
    window
        Days that count as lately.
    moment
        Microseconds since 1970.
    habits
        Of the users of the dataset.
    items : float32, shape (items, 9)
        See _ITEM.
    groups : int64, shape (3, items)
        Codes of category, department (its first level) and brand, -1 for none.
    """

    window: float
    moment: int
    habits: Habits
    items: Float
    groups: Rows

    @classmethod
    def learn(cls, dataset: Dataset, window: float) -> Self:
        """From the events with a positive weight; what guests did counts for products only."""
        events = dataset.events
        weight = dataset.weights.weigh(events.kind, events.value, events.time, dataset.moment)
        liked = events.take(weight > 0)
        age = _age(liked.time, dataset.moment)
        item, known = liked.item.astype(np.int64), np.asarray(liked.user) >= 0
        shape = len(dataset.users), len(dataset.items)
        owner = liked.user[known].astype(np.int64)
        habits = Habits.of(*shape, owner, item[known], age[known], window)
        products = dataset.item_features
        sold = [
            np.bincount(item[age <= days], minlength=shape[1]).astype(np.float32)
            for days in (window / 4, window, 3 * window, np.inf)
        ]
        oldest = np.zeros(shape[1], np.float32)
        np.maximum.at(oldest, item, age)
        buyers = np.bincount(habits.item, minlength=shape[1])
        columns = [
            *(np.log1p(each) for each in sold),
            (sold[1] + 1) / (sold[2] + 3),
            oldest,
            np.bincount(habits.item, weights=habits.times, minlength=shape[1]) / np.maximum(buyers, 1),
            np.log1p(buyers),
            np.log(np.maximum(products.price, 0.01)),
        ]
        groups = np.stack(
            [products.category, _departments(products.category_paths)[products.category], products.brand]
        ).astype(np.int64)
        return cls(window, dataset.moment, habits, np.stack(columns, 1).astype(np.float32), groups)

    def habits_of(self, histories: Sequence[History], ids: IdMap) -> Habits:
        """The habits of users who are folded in; an event without a time counts as of now."""
        owner = np.repeat(np.arange(len(histories)), [history.products.size for history in histories])
        item = ids.index(np.concatenate([h.products for h in histories] or [np.empty(0, np.int64)]))
        time = np.concatenate([h.times for h in histories] or [np.empty(0, np.int64)])
        weight = np.concatenate([h.weights for h in histories] or [np.empty(0, np.float32)])
        liked = (item >= 0) & (weight > 0)
        age = np.where(time[liked] != 0, _age(time[liked], self.moment), np.float32(0))
        return Habits.of(len(histories), len(ids), owner[liked], item[liked], age, self.window)

    def columns(self, habits: Habits, owner: Rows, item: Rows) -> Float:
        """float32 (c, len(FACT_NAMES)) of candidate pairs: row of `habits` and item of each; NaN: unknown."""
        out = np.empty((owner.size, len(FACT_NAMES)), dtype=np.float32)
        known = self._of_users(habits)
        self._pairs(habits, known, owner, item, out[:, :6])
        out[:, 6:10] = known.columns[owner]
        out[:, 10:19] = self.items[item]
        out[:, 19] = self.items[item, 8] - known.usual_price[owner]
        for place, (codes, liking) in enumerate(zip(self.groups, known.likings, strict=True)):
            liking.fill(owner, codes[item], out[:, 20 + 2 * place : 22 + 2 * place])
        return rounded(out)

    def _of_users(self, habits: Habits) -> _UserFacts:
        """What columns need of the users alone; computed once for both questions."""
        known: _UserFacts | None = habits.__dict__.get("_facts")
        if known is None:
            rows = habits.indptr.size - 1
            entry_owner = np.repeat(np.arange(rows), np.diff(habits.indptr))
            events = np.bincount(entry_owner, weights=habits.times, minlength=rows)
            lately = np.bincount(entry_owner, weights=habits.lately, minlength=rows)
            products = np.diff(habits.indptr)
            columns = (
                np.log1p(events),
                np.log1p(lately),
                np.log1p(products),
                1 - products / np.maximum(events, 1),
            )
            price = self.items[habits.item, 8]
            priced = np.isfinite(price)
            weights = np.where(priced, habits.faded, 0)
            paid = np.bincount(entry_owner, weights=weights * np.where(priced, price, 0), minlength=rows)
            with np.errstate(invalid="ignore"):
                usual = paid / np.bincount(entry_owner, weights=weights, minlength=rows)
            likings = tuple(_Liking.of(habits, entry_owner, codes) for codes in self.groups)
            total = np.bincount(entry_owner, weights=habits.faded, minlength=rows).astype(np.float64)
            known = _UserFacts(entry_owner, np.stack(columns, axis=1), usual, total, likings)
            habits.__dict__["_facts"] = known
        return known

    def _pairs(self, habits: Habits, known: _UserFacts, owner: Rows, item: Rows, out: Float) -> None:
        out[:, :2], out[:, 2:5], out[:, 5] = 0, np.nan, 0
        if not habits.item.size:
            return
        width = self.items.shape[0]
        keys = known.entry_owner * width + habits.item
        asked = owner * width + item
        place = np.minimum(np.searchsorted(keys, asked), keys.size - 1)
        hit = np.flatnonzero(keys[place] == asked)
        at = place[hit]
        times, last = habits.times[at], habits.last[at]
        gap = (habits.first[at] - last) / np.maximum(times - 1, 1)
        interval = np.where(times > 1, gap, np.float32(np.nan))
        share = habits.faded[at] / np.maximum(known.total[owner[hit]], 1e-9)
        out[hit] = np.stack(
            [times, habits.lately[at], last, interval, last / np.maximum(interval, 1), share], 1
        )

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Named arrays for the artifact."""
        named = {f"habit_{field.name}": getattr(self.habits, field.name) for field in fields(self.habits)}
        return {
            **named,
            "items": self.items,
            "groups": self.groups,
            "clock": np.array([self.window, self.moment], dtype=np.float64),
        }

    @classmethod
    def restore(cls, arrays: dict[str, npt.NDArray[Any]]) -> Self:
        """Take back what `arrays` gave."""
        habits = Habits(*(arrays[f"habit_{field.name}"] for field in fields(Habits)))
        window, moment = arrays["clock"]
        return cls(float(window), int(moment), habits, arrays["items"], arrays["groups"])


def rounded(values: Float) -> Float:
    """Ten bits of each number: a last bit that depends on the order of a sum must not turn a tree around."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    # to the nearest, halves to the even one; what is not finite has no such neighbour
    nearest = (bits + np.uint32(_DROPPED // 2 - 1) + (bits >> np.uint32(_BITS) & np.uint32(1))) & ~np.uint32(
        _DROPPED - 1
    )
    return np.where(np.isfinite(values), nearest, bits).view(np.float32)


@dataclass(frozen=True, eq=False)
class _Liking:
    """The groups in which users did something.

    Attributes
    ----------
    width
        How many groups there are.
    keys : int64, increasing
        user × width + group.
    share : float64
        Of the user's faded events.
    last : float64
        Days since the last one.
    """

    width: int
    keys: Rows
    share: npt.NDArray[np.float64]
    last: npt.NDArray[np.float64]

    @classmethod
    def of(cls, habits: Habits, entry_owner: Rows, codes: Rows) -> Self:
        """Sum up the habits by group.

        Parameters
        ----------
        entry_owner : int64
            The row of each habit.
        codes : int64, shape (items,)
            The group of each item, -1 for none.
        """
        group = codes[habits.item]
        inside = group >= 0
        width = int(codes.max(initial=-1)) + 1
        keys, place = np.unique(entry_owner[inside] * width + group[inside], return_inverse=True)
        faded = np.bincount(place, weights=habits.faded[inside], minlength=keys.size).astype(np.float64)
        last = np.full(keys.size, np.inf)
        np.minimum.at(last, place, habits.last[inside])
        if not keys.size:
            return cls(width, keys, faded, last)
        total = np.bincount(keys // width, weights=faded, minlength=habits.indptr.size - 1)
        return cls(width, keys, faded / total[keys // width], last)

    def fill(self, owner: Rows, group: Rows, out: Float) -> None:
        """Share of the user's faded events in the product's group, and days since the last one there."""
        out[:] = np.nan
        if not self.keys.size:
            return
        asked = owner * self.width + group
        at = np.minimum(np.searchsorted(self.keys, asked), self.keys.size - 1)
        grouped = group >= 0
        hit = grouped & (self.keys[at] == asked)
        out[grouped, 0] = 0
        out[hit, 0] = self.share[at[hit]]
        out[hit, 1] = self.last[at[hit]]


@dataclass(frozen=True, eq=False)
class _UserFacts:
    """What the columns of pairs need of the users alone.

    Attributes
    ----------
    entry_owner : int64
        The row of each habit.
    columns : float64, shape (rows, 4)
        See _USER.
    usual_price : float64, shape (rows,)
        Mean logarithm of the prices.
    total : float64, shape (rows,)
        The faded sum of events.
    likings
        Of each group.
    """

    entry_owner: Rows
    columns: npt.NDArray[np.float64]
    usual_price: npt.NDArray[np.float64]
    total: npt.NDArray[np.float64]
    likings: tuple[_Liking, ...]


def _departments(paths: list[str]) -> Rows:
    """The code of each path's first level; the last entry serves the code -1."""
    firsts = [path.split(LEVELS)[0] for path in paths]
    _, codes = np.unique(np.array(firsts, dtype=str), return_inverse=True)
    return np.append(codes, -1).astype(np.int64)


def _age(time: npt.NDArray[np.int64], moment: int) -> Float:
    return (np.maximum(moment - time, 0) / MICROSECONDS_PER_DAY).astype(np.float32)
