"""Products that are bought with one: together in a basket more often than chance, and not instead of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from features.dataset import Dataset, ItemFeatures
from features.interactions import MICROSECONDS_PER_DAY, Events
from features.splitting.occasions import PURCHASE, baskets_of, people_of, visits_of
from models.algorithms.neighbourhood.next_steps import in_order, looked_at, next_steps
from models.algorithms.shared.item_item import GRAM_BYTES
from models.algorithms.shared.item_lists import ItemLists, Kept
from models.algorithms.shared.lift import Occasions, lower_lift, nearest
from models.shared.pair_values import values_at
from models.shared.parallel import in_parallel
from models.shared.validation import check_float, check_int
from recsys.domains.recommendations.types import INTERACTION_TYPES

__all__ = ["Complements", "ComplementsParameters"]

LEVELS = " > "
CATEGORIES = 500
"""Lifts between categories are a matrix of so many rows at most: the deepest level of the tree that fits."""

CATEGORY_STRENGTH = 5.0
"""So many expected baskets draw the lift between two categories to 1."""
ENOUGH = 20
"""With fewer baskets of two products, visits are taken for baskets, or all that a person did."""
RARE = 10
"""Products of fewer baskets are paired by a single one, too."""
BLOCK = 1_000
TAKEN = (PURCHASE, INTERACTION_TYPES.index("add_to_cart"))
"""What is put into one cart belongs together, bought or not."""

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ComplementsParameters:
    """Parameters of `Complements`.

    Parameters
    ----------
    strength
        So many expected baskets weigh what the categories say; see `lower_lift`.
    bound
        Standard deviations that the lower bound lies below the mean.
    popularity
        Power of the popularity of what is listed: 0 orders by lift, 1 by how often it is bought too.
    half_life_days
        Age at which a purchase counts half in that popularity.
    frequency
        Power of how many baskets hold both: a pair that is met often counts more than a rare one of the same
        lift.
    order
        Weight of what people go on to (`next_steps`), where what they look at is logged; see `in_order`.
    instead
        How strongly products of one category that are looked at together and not bought together are turned
        down; 0: not.
    largest
        Of a larger basket, so many products count.
    neighbours
        Kept per product.
    """

    strength: float = 0.3
    bound: float = 1.0
    popularity: float = 0.35
    half_life_days: float = 60.0
    frequency: float = 0.3
    order: float = 1.0
    instead: float = 1.0
    largest: int = 100
    neighbours: int = 50

    def __post_init__(self) -> None:
        check_float(self, "strength", 0.0, 1e6, above_low=True)
        check_float(self, "bound", 0.0, 10.0)
        check_float(self, "popularity", 0.0, 2.0)
        check_float(self, "half_life_days", 0.0, 36_500.0, above_low=True)
        check_float(self, "frequency", 0.0, 2.0)
        check_float(self, "order", 0.0, 1_000.0)
        check_float(self, "instead", 0.0, 10.0)
        check_int(self, "largest", 2, 100_000)
        check_int(self, "neighbours", 1, 5_000)


class Complements(ItemLists):
    """Products bought together more often than by chance, by a lower bound of the lift.

        strength(i, j) = lift(i, j) × popularity(j)^popularity × (1 + baskets(i, j))^frequency
            × (share of baskets(i, j))^instead

    lift is the lower bound of `lower_lift` over baskets (`baskets_of`, of purchases and carts); its prior is
    the lift between the categories of i and j, itself drawn to 1, so a product that was hardly bought gets
    the products of the categories that go with its own. A pair stays only if its lower bound, or the mean
    where it never met, is above 1: more often in one basket than by chance. The share of baskets is 1 for
    products of different categories; within one it is (b + 1) / (b + v + 1) with b baskets that hold both and
    v visits that looked at both: what people choose between does not complement. Where visits are logged,
    what people go on to (`next_steps`) is added with the same share: it fills the lists of products of few
    baskets. Scores are `unit_scores` of the strength, the median of all kept pairs at one half.
    """

    algorithm: ClassVar[str] = "complements"
    Parameters = ComplementsParameters
    parameters: ComplementsParameters

    def _fit(self, dataset: Dataset) -> None:
        chosen, items = self.parameters, len(dataset.items)
        events = dataset.events
        weight = dataset.weights.weigh(events.kind, events.value, events.time, dataset.moment)
        liked = events.take(weight > 0)
        looked = liked.take(np.asarray(liked.kind) != PURCHASE)
        taken, baskets = _baskets(liked, items, chosen.largest)
        visits = Occasions.of(visits_of(looked), looked.item, looked.time, items, chosen.largest)
        age = (dataset.moment - np.asarray(taken.time)) / MICROSECONDS_PER_DAY
        faded = np.exp2(-age / chosen.half_life_days)
        popularity: Floats = np.bincount(taken.item, weights=faded, minlength=items).astype(np.float64)
        pairs = _ComplementBlocks(chosen, baskets, visits, dataset.item_features, popularity)
        rows = np.argsort(pairs.category, kind="stable")
        blocks = [rows[start : start + BLOCK] for start in range(0, items, BLOCK)]
        found = in_parallel(pairs.of_rows, blocks)
        if chosen.order and looked_at(dataset, weight):
            steps = pairs.turned_down(next_steps(dataset, chosen.neighbours))
            found = [in_order(found, steps, chosen.order, chosen.neighbours)]
        self._keep(found, items)

    def forecast(self, users: int, items: int, nnz: int) -> int:
        """Peak bytes of a fit: the events as columns, the baskets, the pairs of a block, what is kept."""
        kept = 48 * items * min(items, self.parameters.neighbours)
        return super().forecast(users, items, nnz) + kept + 8 * GRAM_BYTES


class _ComplementBlocks:
    """The strength of pairs of products, block by block."""

    def __init__(
        self,
        chosen: ComplementsParameters,
        baskets: Occasions,
        visits: Occasions,
        features: ItemFeatures,
        popularity: Floats,
    ) -> None:
        self.chosen, self.baskets, self.visits = chosen, baskets, visits
        self.shown = features.active & (popularity > 0)
        """Only products that were ever bought are shown."""
        self.leaf = np.asarray(features.category)
        self.popular = np.power(np.maximum(popularity, 1e-12), chosen.popularity)
        self.category = _categories(features)
        self.lifts = self._category_lifts()
        self.proposed = self._proposed()

    def of_rows(self, rows: Rows) -> Kept:
        """The strongest pairs of each row, strongest first, and how many baskets hold both."""
        items, category = self.shown.size, self.category
        counts = self.baskets.together(rows).tocoo()
        # a pair of one basket is looked at only where there are few: elsewhere it is mostly chance
        rare = self.baskets.single[rows] < RARE
        counted = (counts.data > 1) | rare[counts.row]
        left, right = counts.row[counted].astype(np.int64), counts.col[counted].astype(np.int64)
        keys, both = left * items + right, counts.data[counted]
        order = np.argsort(keys)
        keys, both = keys[order], both[order]
        thin = np.flatnonzero(np.bincount(left, minlength=rows.size) < 2 * self.chosen.neighbours)
        lists = [self.proposed[category[rows[place]]] for place in thin]
        owner = np.repeat(thin, [one.size for one in lists])
        proposed = owner * items + np.concatenate([*lists, np.empty(0, np.int64)])
        proposed = proposed[~_among(proposed, keys)]
        keys = np.concatenate([keys, proposed])
        both = np.concatenate([both, np.zeros(proposed.size, np.float32)]).astype(np.float64)
        left, right = np.divmod(keys, items)
        keep = self.shown[right] & (rows[left] != right)
        left, right, both = left[keep], right[keep], both[keep]
        expected = self.baskets.expected(rows[left], right)
        prior = self.lifts[category[rows[left]], category[right]]
        low = lower_lift(both, expected, prior, self.chosen.strength, self.chosen.bound)
        # what never met stays by its categories alone, unless so many meetings were due that it would have
        unmet = (both == 0) & (self.chosen.strength * prior > expected + self.chosen.strength)
        more = np.flatnonzero((low > 1.0) | unmet)
        left, right, both, low = left[more], right[more], both[more], low[more]
        strength = low * self.popular[right] * np.power(1.0 + both, self.chosen.frequency)
        strength *= self._not_instead(rows, left, right, both)
        best = nearest(left, right, strength, self.chosen.neighbours)
        return Kept(rows[left[best]], right[best], strength[best], both[best])

    def _not_instead(
        self, rows: Rows, left: Rows, right: Rows, both: Floats, *, unknown: bool = False
    ) -> Floats:
        """The share of baskets of each pair of products, 1 across categories.

        Parameters
        ----------
        left
            Of each pair, the place of the first product in `rows`.
        right
            Of each pair, the row of the second product.
        both
            How many baskets hold both.
        unknown
            Products without a category share one.

        Returns
        -------
        float64, shape (pairs,)
        """
        share = np.ones(left.size)
        of_one = self.leaf[rows[left]] == self.leaf[right]
        same = np.flatnonzero(of_one if unknown else of_one & (self.leaf[right] >= 0))
        if self.visits.held.nnz and same.size:
            seen = self.visits.together(rows)
            looked = values_at(seen, left[same], right[same])
            share[same] = np.power((both[same] + 1.0) / (both[same] + looked + 1.0), self.chosen.instead)
        return share

    def turned_down(self, steps: sparse.csr_matrix) -> sparse.csr_matrix:
        """`steps` (items, items) to products that may be shown, each times its share of baskets."""
        parts = []
        for start in range(0, steps.shape[0], BLOCK):
            rows = np.arange(start, min(start + BLOCK, steps.shape[0]))
            block = sparse.coo_matrix(steps[rows])
            left, right = block.row.astype(np.int64), block.col.astype(np.int64)
            baskets = self.baskets.together(rows)
            both = values_at(baskets, left, right)
            value = block.data * self._not_instead(rows, left, right, both, unknown=True)
            shown = self.shown[right]
            kept = value[shown].astype(np.float32), (left[shown], right[shown])
            parts.append(sparse.csr_matrix(kept, shape=block.shape))
        return sparse.csr_matrix(sparse.vstack(parts, format="csr"))

    def _category_lifts(self) -> Floats:
        """float64 (categories, categories): lower bounds of the lift between them."""
        count, items = int(self.category.max(initial=0)) + 1, self.category.size
        parts = (np.ones(items, np.float32), self.category, np.arange(items + 1))
        amount = sparse.csr_matrix(self.baskets.held @ sparse.csr_matrix(parts, shape=(items, count)))
        several = amount.copy()
        several.data = (several.data >= 2).astype(np.float32)
        amount.data[:] = 1.0
        both = sparse.csr_matrix(amount.T @ amount).toarray().astype(np.float64)
        # two products of one category are a pair of it; one is not
        np.fill_diagonal(both, np.asarray(several.sum(axis=0)).ravel())
        single = np.asarray(amount.sum(axis=0), dtype=np.float64).ravel()
        expected = np.outer(single, single) / max(self.baskets.total, 1.0)
        return lower_lift(both, expected, np.ones_like(both), CATEGORY_STRENGTH, self.chosen.bound)

    def _proposed(self) -> list[Rows]:
        """For each category the products that most go with it by the categories alone."""
        shown = np.flatnonzero(self.shown)
        found = []
        for lifts in self.lifts:
            strength = lifts[self.category[shown]] * self.popular[shown]
            strength[lifts[self.category[shown]] <= 1.0] = 0.0
            count = min(2 * self.chosen.neighbours, shown.size)
            top = (
                np.sort(np.argpartition(strength, shown.size - count)[shown.size - count :])
                if count
                else shown
            )
            found.append(shown[top[strength[top] > 0]])
        return found


def _baskets(liked: Events, items: int, largest: int) -> tuple[Events, Occasions]:
    """The events that baskets are made of, and the baskets: the first way that gives enough of them."""
    taken = liked.take(np.isin(liked.kind, TAKEN))
    baskets = Occasions.of(baskets_of(taken, TAKEN), taken.item, taken.time, items, largest)
    for numbers in (visits_of, people_of):
        if int((np.diff(baskets.held.indptr) >= 2).sum()) >= ENOUGH:
            break
        taken = liked
        baskets = Occasions.of(numbers(taken), taken.item, taken.time, items, largest)
    return taken, baskets


def _categories(features: ItemFeatures) -> Rows:
    """int64 (items,): a number per category at the deepest level that has CATEGORIES at most."""
    paths = [path.split(LEVELS) for path in features.category_paths]
    names: list[str] = []
    for depth in range(max((len(path) for path in paths), default=1), 0, -1):
        names = [LEVELS.join(path[:depth]) for path in paths]
        if len(set(names)) <= CATEGORIES:
            break
    _, number = np.unique(np.array([*names, ""]), return_inverse=True)
    return np.asarray(number[features.category], dtype=np.int64)


def _among(keys: Rows, known: Rows) -> npt.NDArray[np.bool_]:
    """Whether each of `keys` is one of `known`, which is sorted."""
    place = np.searchsorted(known, keys)
    found: npt.NDArray[np.bool_] = np.zeros(keys.size, dtype=bool)
    inside = place < known.size
    found[inside] = known[place[inside]] == keys[inside]
    return found
