"""The lists that a search shows by text alone, to everybody and to a known user, and what was right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

import numpy as np
import numpy.typing as npt

from features.interactions import History
from features.user_history import LIMIT
from models.base import Recommender
from recsys.search.ranking import formula as ranking
from training.evaluation.metrics import METRICS
from training.evaluation.splits import Split
from training.search_evaluation.queries import Need, SearchMatches, Words

__all__ = ["AGAIN", "KS", "NEW", "QueryPeriod", "for_everybody", "for_users", "values_of"]

KS = (10, 20)
NEW, AGAIN = 1, 2
"""Marks of a right product: the user had never touched it before the cut; they had."""
BATCH = 128

Marks = npt.NDArray[np.int8]
"""int8 (queries, longest k): 0 where the place was wrong or empty, else NEW or AGAIN."""
Values = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class QueryPeriod:
    """What is asked in one test period, and what search finds for it.

    Attributes
    ----------
    needs
        The queries of the users.
    found
        All matches of each distinct query.
    fame : float64, shape (items of the training data,)
        As of the cut, 0 to 1.
    window
        So many of the best matches are put into a user's order.
    """

    split: Split
    needs: Sequence[Need]
    found: dict[Words, SearchMatches]
    fame: Values
    window: int

    @cached_property
    def queries(self) -> dict[Words, int]:
        """The place of each distinct query among all of them."""
        return {words: place for place, words in enumerate(self.found)}

    @cached_property
    def right(self) -> npt.NDArray[np.int64]:
        """How many products are right for each need: int64 (needs, 3), in all, NEW and AGAIN."""
        new = np.array([int((marks == NEW).sum()) for marks in self.marks], dtype=np.int64)
        every = np.array([marks.size for marks in self.marks], dtype=np.int64)
        return np.stack([every, new, every - new], axis=1)

    @cached_property
    def reached(self) -> Values:
        """Share of the right products of each need that are among all matches, float64 (needs,)."""
        there = {words: np.sort(one.columns) for words, one in self.found.items()}
        return np.array(
            [np.isin(one.right, there[one.words], assume_unique=True).mean() for one in self.needs]
        )

    @cached_property
    def marks(self) -> list[Marks]:
        """NEW or AGAIN for each need's right products, one int8 (n,) for each need."""
        if not self.needs:
            return []
        train = self.split.train
        rows = train.users.index(self.split.folds["all"].users)
        row = np.repeat(rows[[need.user for need in self.needs]], [need.right.size for need in self.needs])
        asked = row * len(train.items) + np.concatenate([need.right for need in self.needs])
        owner = np.repeat(np.arange(len(train.users), dtype=np.int64), np.diff(train.touched.indptr))
        touched = np.isin(asked, owner * len(train.items) + train.touched.indices)
        ends = np.cumsum([need.right.size for need in self.needs])[:-1]
        return np.split(np.where(touched, AGAIN, NEW).astype(np.int8), ends)

    def windows(self, weight: float) -> tuple[npt.NDArray[np.int64], Values]:
        """The best matches of each distinct query in everybody's order.

        Parameters
        ----------
        weight
            Of popularity.

        Returns
        -------
        columns : int64, shape (distinct queries, window or the longest k)
            Item rows, -1 for none.
        keys : float64, of the same shape
            What each match is worth, in whole numbers; -inf for none.
        """
        width = max(self.window, *KS)
        columns = np.full((len(self.found), width), -1, dtype=np.int64)
        keys = np.full((len(self.found), width), -np.inf)
        for place, one in enumerate(self.found.values()):
            worth = np.floor(ranking.raised(one.text, self.fame[one.columns], weight))
            best = np.argsort(-worth, kind="stable")[:width]
            columns[place, : best.size], keys[place, : best.size] = one.columns[best], worth[best]
        return columns, keys

    @cached_property
    def _rows(self) -> npt.NDArray[np.int64]:
        return self.split.train.users.index(self.split.folds["all"].users)


def for_everybody(period: QueryPeriod, weight: float) -> Marks:
    """What is right in the first places of the order that everybody sees; 0: text alone."""
    columns, _ = period.windows(weight)
    listed = columns[:, : max(KS)]
    marked = np.zeros((len(period.needs), max(KS)), dtype=np.int8)
    marks = np.zeros(len(period.split.train.items) + 1, dtype=np.int8)  # the last entry serves -1
    for place, need in enumerate(period.needs):
        marks[need.right] = period.marks[place]
        marked[place] = marks[listed[period.queries[need.words]]]
        marks[need.right] = 0
    return marked


def for_users(
    period: QueryPeriod,
    model: Recommender,
    popularity_weight: float,
    weights: Sequence[float],
    advance: Callable[[int], None] = lambda users: None,
) -> dict[float, Marks]:
    """The same in the order that each user sees, for each personal weight.

    The model folds each user in from what they did before the cut, as serving does
    (`serving/ranking/search_personalization.py`), among products that may be shown.

    Parameters
    ----------
    popularity_weight
        Of everybody's order, from which the user's is made.
    weights
        The personal weights.
    advance
        Called with how many users were just done.

    Returns
    -------
    int8, shape (queries, longest k), by weight
        0 where the place was wrong or empty, else NEW or AGAIN.
    """
    columns, keys = period.windows(popularity_weight)
    train = period.split.train
    shown = train.items.ids[train.item_features.active]
    place_value = [
        ranking.liking(place, len(train.items)) for place in range(min(ranking.RANKED, shown.size))
    ]
    share = np.array(place_value)
    found = {weight: np.zeros((len(period.needs), max(KS)), dtype=np.int8) for weight in weights}
    liked = np.zeros(len(train.items) + 1)
    marks = np.zeros(len(train.items) + 1, dtype=np.int8)
    groups = [
        (user, list(each)) for user, each in groupby(enumerate(period.needs), key=lambda one: one[1].user)
    ]
    histories = _histories(period)
    for start in range(0, len(groups), BATCH):
        block = groups[start : start + BATCH]
        of_block = [histories[int(period._rows[user])] for user, _ in block]
        ranked = model.recommend_from(of_block, max(1, share.size), only=shown)
        for line, (_, each) in enumerate(block):
            mine = train.items.index(ranked.row(line)[0])
            mine = mine[mine >= 0]
            liked[mine] = share[: mine.size]
            asked = np.array([period.queries[need.words] for _, need in each])
            listed, worth = columns[asked], keys[asked]
            for weight in weights:
                order = _order(worth, liked[listed], weight, period.window)
                best = np.take_along_axis(listed, order, axis=1)
                for row, (place, need) in enumerate(each):
                    marks[need.right] = period.marks[place]
                    found[weight][place] = marks[best[row]]
                    marks[need.right] = 0
            liked[mine] = 0.0
        advance(len(block))
    return found


def _order(keys: Values, liked: Values, weight: float, window: int) -> npt.NDArray[np.int64]:
    """The first places, int64 (n, longest k): the window by worth, then the rest as everybody sees it."""
    worth = ranking.raised(keys, liked, weight)
    worth[:, window:] = -1.0 - np.arange(keys.shape[1] - window)
    worth[~np.isfinite(keys)] = -np.inf
    order: npt.NDArray[np.int64] = np.argsort(-worth, axis=1, kind="stable")[:, : max(KS)]
    return order


def _histories(period: QueryPeriod) -> list[History]:
    """What each user of the training data did, the newest events that serving looks at, in order of time."""
    train = period.split.train
    known = train.events.take(train.events.user >= 0)
    events = known.take(np.argsort(known.user, kind="stable"))
    weights = train.weights.weigh(events.kind, events.value, events.time, train.moment)
    bounds = np.searchsorted(events.user, np.arange(len(train.users) + 1))
    products = train.items.ids[events.item]
    return [
        History(
            products[max(start, stop - LIMIT) : stop],
            weights[max(start, stop - LIMIT) : stop],
            events.time[max(start, stop - LIMIT) : stop],
        )
        for start, stop in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)
    ]


def values_of(period: QueryPeriod, marked: Marks, metric: str, segment: int = 0) -> Values:
    """Each user's mean over their queries.

    Parameters
    ----------
    marked : int8, shape (queries, longest k)
        The lists, as `for_everybody` and `for_users` mark them.
    metric
        One of `training.evaluation.metrics.METRICS`.
    segment
        0 for all right products, NEW or AGAIN for those alone, in the same lists.

    Returns
    -------
    float64, shape (users, len(KS))
        NaN for who has no query in the segment.
    """
    hits = marked > 0 if segment == 0 else marked == segment
    sizes = period.right[:, segment]
    kept = sizes > 0
    users = np.array([need.user for need in period.needs], dtype=np.int64)[kept]
    values = METRICS[metric](hits[kept], sizes[kept], KS)
    count = period.split.folds["all"].users.size
    total = np.stack([np.bincount(users, weights=column, minlength=count) for column in values.T], axis=1)
    asked = np.bincount(users, minlength=count)[:, None]
    means: Values = np.divide(total, asked, out=np.full(total.shape, np.nan), where=asked > 0)
    return means
