"""Products that people take instead of one: liked by the same people, looked at in one visit, alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from features.dataset import Dataset, ItemFeatures
from features.ids import distinct
from features.interactions import MICROSECONDS_PER_DAY
from features.splitting.occasions import PURCHASE, numbered, people_of, visits_of
from models.algorithms.neighbourhood.next_steps import in_order, looked_at, next_steps
from models.algorithms.shared.item_lists import ItemLists, Kept
from models.algorithms.shared.item_vectors import (
    bands_of,
    embedding_vectors,
    empty,
    joined,
    one_hot,
    path_levels,
    price_edges,
    text_vectors,
)
from models.algorithms.shared.lift import Occasions, lower_lift, nearest
from models.shared.parallel import in_parallel
from models.shared.sparse_products import dense_product
from models.shared.validation import check_float, check_int

__all__ = ["SimilarItems", "SimilarItemsParameters"]

LEVELS = " > "
GROUP = 1_000
"""So many products are compared with each other by what the catalogue says."""
BINS = 20
"""Steps of likeness between which the lift is interpolated."""
SAMPLED = 24
"""So many groups are enough to learn what likeness in the catalogue says about behaviour."""
STEPS = 1_024
"""Values of likeness for which the strength of pairs without counts is tabulated."""
LEAST_LIKENESS = 0.05
SPARE = 10
"""So many more than are kept are computed exactly."""
RARE = 10
"""Products that occurred less often are paired by a single meeting, too."""
PARTS = ("text", "category", "brand", "price", "embedding")

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
Pairs = tuple[Rows, Rows, Floats, Floats]
"""Place of the row, column, strength, meetings; one entry each."""


@dataclass(frozen=True)
class SimilarItemsParameters:
    """Parameters of `SimilarItems`.

    Parameters
    ----------
    strength
        So many expected meetings weigh what the catalogue says; see `lower_lift`.
    bound
        Standard deviations that the lower bound lies below the mean.
    likeness
        Power of the likeness in the catalogue; 0 asks for behaviour alone.
    popularity
        Power of the popularity of what is listed; 0 turns popular products down the most.
    half_life_days
        Age at which an event counts half in that popularity.
    visits
        Weight of a meeting in one visit; one in a person's history weighs 1.
    order
        Weight of what people look at next (`next_steps`), where that is logged; see `in_order`.
    largest
        So many of a person's latest products in one category count, and of a visit's half as many.
    neighbours
        Kept per product.
    text, category, brand, price, embedding
        Weights of the parts of the likeness in the catalogue; `embedding` are the shop's own vectors, where
        it gives some.
    embedding_factors
        Longer vectors of the shop are brought to so many numbers.
    """

    strength: float = 0.3
    bound: float = 1.0
    likeness: float = 2.0
    popularity: float = 0.5
    half_life_days: float = 60.0
    visits: float = 5.0
    order: float = 5.0
    largest: int = 100
    neighbours: int = 50
    text: float = 1.0
    category: float = 1.0
    brand: float = 0.5
    price: float = 0.25
    embedding: float = 2.0
    embedding_factors: int = 64

    def __post_init__(self) -> None:
        check_float(self, "strength", 0.0, 1e6, above_low=True)
        check_float(self, "bound", 0.0, 10.0)
        check_float(self, "likeness", 0.0, 10.0)
        check_float(self, "popularity", 0.0, 2.0)
        check_float(self, "half_life_days", 0.0, 36_500.0, above_low=True)
        check_float(self, "visits", 0.0, 1_000.0)
        check_float(self, "order", 0.0, 1_000.0)
        check_int(self, "largest", 2, 100_000)
        check_int(self, "neighbours", 1, 5_000)
        check_int(self, "embedding_factors", 1, 4_096)
        for name in PARTS:
            check_float(self, name, 0.0, 1_000.0)


class SimilarItems(ItemLists):
    """strength(i, j) = lift(i, j) × (likeness(i, j) + 0.05)^likeness × popularity(j)^popularity.

    lift is the lower bound of `lower_lift` over meetings in the histories of people and in visits; its prior
    is the mean lift of pairs that are as much alike in the catalogue, learned from the counts (isotonic in
    the likeness), so a product without events gets its list from its words, category, brand and price.
    People's histories are taken category by category (the second last level of the path), which leaves the
    pairs that can replace each other; visits, which hold what was looked at and not what was bought together,
    are taken whole. Where visits are logged, what people look at next (`next_steps`) is added: it leads
    there, on RetailRocket by twice the NDCG. Scores are `unit_scores` of the strength, the median of all kept
    pairs at one half.
    """

    algorithm: ClassVar[str] = "similar_items"
    Parameters = SimilarItemsParameters
    parameters: SimilarItemsParameters

    def _fit(self, dataset: Dataset) -> None:
        chosen, features = self.parameters, dataset.item_features
        events = dataset.events
        weight = dataset.weights.weigh(events.kind, events.value, events.time, dataset.moment)
        liked = events.take(weight > 0)
        age = (dataset.moment - np.asarray(liked.time)) / MICROSECONDS_PER_DAY
        faded = np.exp2(-age / chosen.half_life_days)
        popularity: Floats = np.bincount(liked.item, weights=faded, minlength=len(dataset.items)).astype(
            np.float64
        )
        parent = _parents(features)
        pairs = _SimilarityBlocks(
            chosen,
            _sources(dataset, weight, parent, chosen),
            _vectors(features, chosen),
            features.active,
            np.power(popularity + 0.1, chosen.popularity),
        )
        groups = _groups(parent, features, popularity)
        some = np.random.default_rng(0).permutation(len(groups))[:SAMPLED]
        pairs.learn_prior([groups[place] for place in some])
        found = in_parallel(pairs.of_group, groups)
        if chosen.order and (looked := looked_at(dataset, weight)):
            steps = next_steps(dataset, chosen.neighbours, looked) @ sparse.diags_array(
                features.active.astype(np.float32)
            )
            found = [in_order(found, sparse.csr_matrix(steps), chosen.order, chosen.neighbours)]
        self._keep(found, len(dataset.items))


class _SimilarityBlocks:
    """The strength of pairs of products, group by group."""

    def __init__(
        self,
        chosen: SimilarItemsParameters,
        sources: Sequence[tuple[float, Occasions]],
        vectors: sparse.csr_matrix,
        active: npt.NDArray[np.bool_],
        popular: Floats,
    ) -> None:
        self.chosen, self.sources, self.vectors = chosen, sources, vectors
        self.active, self.popular = active, popular
        self.likeness, self.lifts = np.zeros(1), np.ones(1)

    def learn_prior(self, groups: Sequence[tuple[Rows, Rows]]) -> None:
        """The mean lift of pairs by their likeness in the catalogue, rising with it."""
        # with what it imports 75 MB, which only a fit needs
        from sklearn.isotonic import IsotonicRegression

        both, expected = np.zeros(BINS), np.zeros(BINS)
        for rows, columns in groups:
            like = self._likeness(rows, columns)
            different = rows[:, None] != columns[None, :]
            place = np.minimum((like * BINS).astype(np.int64), BINS - 1)[different]
            for weight, occasions in self.sources:
                met = occasions.together(rows)[:, columns].toarray()[different]
                chance = occasions.expected(rows[:, None], columns[None, :])[different]
                both += weight * np.bincount(place, weights=met, minlength=BINS)
                expected += weight * np.bincount(place, weights=chance, minlength=BINS)
        middle = (np.arange(BINS) + 0.5) / BINS
        # without any event the most alike are expected ten times as often together as chance has it
        lift = (both + 1.0 + 9.0 * middle) / (expected + 1.0)
        rising = IsotonicRegression().fit_transform(middle, lift, sample_weight=expected + 1.0)
        self.likeness, self.lifts = middle, rising

    def of_group(self, group: tuple[Rows, Rows]) -> Kept:
        """The strongest pairs of each row of the group, strongest first, and how often each met."""
        rows, columns = group[0], np.sort(group[1][self.active[group[1]]])
        met = self._met(rows)
        inside = np.zeros(self.popular.size, dtype=bool)
        inside[columns] = True
        found = self._inside(rows, columns, met[:, columns])
        far = self._outside(rows, inside, met)
        # most pairs with what the group does not hold are weaker than all of the row's others
        k = self.chosen.neighbours
        weakest = np.where(np.bincount(found[0], minlength=rows.size) < k, 0.0, np.inf)
        np.minimum.at(weakest, found[0], found[2])
        strong = far[2] > weakest[far[0]]
        left, right, strength, both = (
            np.concatenate([near, more[strong]]) for near, more in zip(found, far, strict=True)
        )
        best = nearest(left, right, strength, k)
        return Kept(rows[left[best]], right[best], strength[best], both[best])

    def _met(self, rows: Rows) -> sparse.csr_matrix:
        """csr float32 (rows.size, items): weighed meetings of all sources."""
        weighed = [np.float32(weight) * occasions.together(rows) for weight, occasions in self.sources]
        return sparse.csr_matrix(sum(weighed, empty(rows.size, self.popular.size)))

    def _inside(self, rows: Rows, columns: Rows, met: sparse.csr_matrix) -> Pairs:
        """The best pairs of all rows and columns, met or not."""
        like, popular = self._likeness(rows, columns), self.popular[columns]
        # first all pairs, those that never met by a table of likenesses
        steps = np.arange(STEPS) / (STEPS - 1)
        table = self._strength(np.zeros(STEPS), np.zeros(STEPS), steps).astype(np.float32)
        table[0] = 0.0  # nothing in common is no reason
        chance = np.zeros(like.shape, dtype=np.float32)
        for weight, occasions in self.sources:
            chance += np.outer(occasions.single[rows] * (weight / occasions.total), occasions.single[columns])
        rough = table[(like * (STEPS - 1)).astype(np.int16)] * popular.astype(np.float32)
        rough *= np.float32(self.chosen.strength) / (chance + np.float32(self.chosen.strength))
        counts = met.tocoo()
        left, right = counts.row.astype(np.int64), counts.col.astype(np.int64)
        exact = self._exact(rows[left], columns[right], counts.data, like[left, right])
        rough[left, right] = exact
        rough[rows[:, None] == columns[None, :]] = 0.0
        top = _largest(rough, min(self.chosen.neighbours + SPARE, columns.size))
        # then the exact strength of the best
        both = np.zeros(rough.shape, dtype=np.float32)
        both[left, right] = counts.data
        line = np.broadcast_to(np.arange(rows.size)[:, None], top.shape)
        strength = self._exact(rows[line], columns[top], both[line, top], like[line, top])
        keep = (rough[line, top] > 0) & (strength > 0)
        return line[keep], columns[top[keep]], strength[keep], both[line, top][keep].astype(np.float64)

    def _outside(self, rows: Rows, inside: npt.NDArray[np.bool_], met: sparse.csr_matrix) -> Pairs:
        """The pairs that met with products that the group does not hold."""
        counts = met.tocoo()
        # one meeting counts where there are few: elsewhere it is mostly chance
        rare = sum((occasions.single[rows] for _, occasions in self.sources), np.zeros(rows.size)) < RARE
        keep = (counts.data > 1) | rare[counts.row]
        keep &= self.active[counts.col] & ~inside[counts.col] & (rows[counts.row] != counts.col)
        left, right = counts.row[keep].astype(np.int64), counts.col[keep].astype(np.int64)
        like = self.vectors[rows[left]].multiply(self.vectors[right]).sum(axis=1)
        alike = np.clip(np.asarray(like, dtype=np.float32).ravel(), 0.0, 1.0)
        strength = self._exact(rows[left], right, counts.data[keep], alike)
        return left, right, strength, counts.data[keep].astype(np.float64)

    def _exact(
        self, left: Rows, right: Rows, both: npt.NDArray[np.float32], alike: npt.NDArray[np.float32]
    ) -> Floats:
        expected = np.zeros(both.shape)
        for weight, occasions in self.sources:
            expected += weight * occasions.expected(left, right)
        strength = self._strength(both.astype(np.float64), expected, alike.astype(np.float64))
        result: Floats = strength * self.popular[right]
        return result

    def _likeness(self, rows: Rows, columns: Rows) -> npt.NDArray[np.float32]:
        product = np.empty((rows.size, columns.size), dtype=np.float32)
        dense_product(self.vectors[rows], sparse.csr_matrix(self.vectors[columns].T), product)
        return np.clip(product, 0.0, 1.0, out=product)

    def _strength(self, both: Floats, expected: Floats, alike: Floats) -> Floats:
        # the line keeps rising where the learned lifts are level, so that no likeness ties with another
        prior = np.interp(alike, self.likeness, self.lifts) + 1e-4 * alike
        low = lower_lift(both, expected, prior, self.chosen.strength, self.chosen.bound)
        result: Floats = low * np.power(alike + LEAST_LIKENESS, self.chosen.likeness)
        return result


def _sources(
    dataset: Dataset, weight: npt.NDArray[np.float32], parent: Rows, chosen: SimilarItemsParameters
) -> list[tuple[float, Occasions]]:
    """People's histories and visits, each with its weight; those without a product are left out."""
    items = len(dataset.items)
    liked = dataset.events.take(weight > 0)
    item, time, person = np.asarray(liked.item), np.asarray(liked.time), people_of(liked)
    kept = np.where(person < 0, -1, numbered(person, parent[item]))
    everybody = float(distinct(person[person >= 0]).size)
    histories = Occasions.of(kept, item, time, items, chosen.largest, everybody)
    looked = np.asarray(liked.kind) != PURCHASE
    visits = visits_of(liked.take(looked))
    seen = Occasions.of(visits, item[looked], time[looked], items, max(2, chosen.largest // 2))
    return [one for one in ((1.0, histories), (chosen.visits, seen)) if one[0] > 0 and one[1].held.nnz]


def _vectors(features: ItemFeatures, chosen: SimilarItemsParameters) -> sparse.csr_matrix:
    edges = price_edges(features.price, 5)
    levels = one_hot(features.category, len(features.category_paths)) @ path_levels(features.category_paths)
    blocks = [
        (chosen.text, text_vectors(features.text, 50_000, 24)),
        (chosen.category, sparse.csr_matrix(levels)),
        (chosen.brand, one_hot(features.brand, len(features.brand_names))),
        (chosen.price, one_hot(bands_of(features.price, edges), edges.size + 1)),
    ]
    if features.embeddings.shape[1]:
        blocks.append((chosen.embedding, embedding_vectors(features.embeddings, chosen.embedding_factors)))
    return joined(blocks)


def _groups(parent: Rows, features: ItemFeatures, popularity: Floats) -> list[tuple[Rows, Rows]]:
    """Rows, and the columns that they are compared with: neighbours in the tree of categories.

    What shares a parent stays together. Of more than GROUP such products, neighbours in category, brand and
    price are compared with each other and with the most popular ones among them.

    Parameters
    ----------
    parent : int64, shape (items,)
        The second last level of each path.
    popularity : float64, shape (items,)
    """
    order = np.lexsort((np.nan_to_num(features.price), features.brand, features.category, parent))
    level = parent[order]
    starts = np.flatnonzero(np.append(True, level[1:] != level[:-1])[: level.size])
    groups: list[tuple[Rows, Rows]] = []
    begin = 0
    for start, end in zip(starts.tolist(), np.append(starts[1:], order.size).tolist(), strict=True):
        if end - begin <= GROUP:
            continue
        if start > begin:
            groups.append((order[begin:start], order[begin:start]))
        begin = start
        if end - start > GROUP:
            whole = order[start:end]
            lead = whole[np.argsort(-popularity[whole], kind="stable")[: GROUP // 2]]
            for first in range(0, whole.size, GROUP):
                rows = whole[first : first + GROUP]
                groups.append((rows, distinct(np.append(rows, lead))))
            begin = end
    if begin < order.size:
        groups.append((order[begin:], order[begin:]))
    return groups


def _parents(features: ItemFeatures) -> Rows:
    """int64 (items,): a number per second last level of the paths; what has no category shares one."""
    paths = [LEVELS.join(path.split(LEVELS)[:-1]) or path for path in features.category_paths]
    _, number = np.unique(np.array([*paths, ""]), return_inverse=True)
    return np.asarray(number[features.category], dtype=np.int64)


def _largest(scores: npt.NDArray[np.float32], count: int) -> Rows:
    """int64 (n, count): the columns of the largest entries of each row, increasing."""
    top = np.argpartition(scores, scores.shape[1] - count, axis=1)[:, scores.shape[1] - count :]
    return np.sort(top, axis=1)
