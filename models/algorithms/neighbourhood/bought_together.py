"""Bought together: what shares a basket more often than chance explains."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy import sparse, special

from features.dataset import Dataset
from features.interactions import Events
from features.splitting.occasions import numbered
from models.algorithms.shared.item_item import GRAM_BYTES, ItemItem, finer_bounds
from models.algorithms.shared.lift import nearest
from models.algorithms.shared.time_decay import Faded
from models.base import Arrays
from models.shared.engine import compact_product, current_engine, packed, unpacked
from models.shared.validation import check_float, check_int
from recsys.domains.recommendations.types import INTERACTION_TYPES
from recsys.errors import Invalid

__all__ = ["BoughtTogether", "BoughtTogetherParameters"]

_PURCHASE = INTERACTION_TYPES.index("purchase")

Counts = npt.NDArray[np.float64]


@dataclass(frozen=True)
class BoughtTogetherParameters:
    """Parameters of `BoughtTogether`.

    Parameters
    ----------
    min_support
        Baskets that a pair must share.
    threshold
        Log-likelihood ratio G² that a pair must reach; chance gives 3.84 to 5% of pairs, 10.83 to 0.1%.
    shrinkage
        So many baskets are added to the found and to the expected count before their ratio is taken.
    largest_basket
        Baskets with more products are left out; they are no choice, and cost their square.
    neighbours
        Kept per product.
    half_life_days
        Age at which a user's own event counts half, at scoring.
    purchases_only
        Baskets are made of purchases, where any purchase basket holds two products.
    """

    min_support: int = 2
    threshold: float = 3.84
    shrinkage: float = 5.0
    largest_basket: int = 200
    neighbours: int = 200
    half_life_days: float = 60.0
    purchases_only: bool = True

    def __post_init__(self) -> None:
        check_int(self, "min_support", 1, 1_000_000)
        check_float(self, "threshold", 0.0, 10_000.0)
        check_float(self, "shrinkage", 0.0, 1e6, above_low=True)
        check_int(self, "largest_basket", 2, 100_000)
        check_int(self, "neighbours", 1, 5_000)
        check_float(self, "half_life_days", 0.0, 36_500.0, above_low=True)
        if not isinstance(self.purchases_only, bool):
            raise Invalid(
                f"parameter purchases_only of BoughtTogether must be true or false, not "
                f"{self.purchases_only!r}",
                field="purchases_only",
            )


class BoughtTogether(Faded, ItemItem):
    """W[i, j] = ln((n_ij + s) / (E_ij + s)), E_ij = n_i n_j / N, over N baskets; n_i hold i, n_ij hold both.

    The ratio n_ij / E_ij is the lift (Brin, Motwani, Ullman & Tsur 1997, "Dynamic itemset counting and
    implication rules for market basket data", SIGMOD, section 4, "interest"); s draws it to 1 where little
    was seen, as a gamma prior would (DuMouchel 1999, "Bayesian data mining in large frequency tables"). A
    pair is kept only if it is found more often than expected, in `min_support` baskets, and its
    log-likelihood ratio reaches `threshold` (Dunning 1993, "Accurate methods for the statistics of surprise
    and coincidence", Computational Linguistics 19(1), section 5).

    A basket is what one user, or one guest's session, bought in one session, or at one moment where no
    session is given. Where no two products share one, other events count too, and where that does not help,
    all that a user did is one basket; `reason_` says which.
    A user's score is the sum over what was done lately, each event faded by `half_life_days`.
    """

    algorithm: ClassVar[str] = "bought_together"
    Parameters = BoughtTogetherParameters
    parameters: BoughtTogetherParameters

    baskets_: int
    reason_: str

    def _fit(self, dataset: Dataset) -> None:
        self._remember(dataset)
        events = dataset.events
        weight = dataset.weights.weigh(events.kind, events.value, events.time, dataset.moment)
        guest_without_session = (events.user < 0) & (events.session == 0)
        taken = events.take((weight > 0) & ~guest_without_session)
        baskets, self.reason_ = self._chosen(taken)
        self.baskets_ = baskets.shape[0]
        self.weights_ = self._lifts(baskets)

    def _chosen(self, taken: Events) -> tuple[sparse.csr_matrix, str]:
        """The first way to make baskets that gives any, and its name."""
        if self.parameters.purchases_only:
            bought = taken.take(taken.kind == _PURCHASE)
            baskets = self._baskets(bought, _moments(bought))
            if baskets.shape[0]:
                return baskets, f"{baskets.shape[0]:,} baskets of purchases of one session or moment"
        baskets = self._baskets(taken, _moments(taken))
        if baskets.shape[0]:
            return baskets, f"{baskets.shape[0]:,} baskets of anything done in one session or moment"
        baskets = self._baskets(taken, _walkers(taken))
        return baskets, f"{baskets.shape[0]:,} baskets of all that a user did: no session or moment holds two"

    def _baskets(self, taken: Events, basket: npt.NDArray[np.int64]) -> sparse.csr_matrix:
        """csr float32 of ones (baskets, items): those of at least two products and not too many."""
        count = int(basket.max(initial=-1)) + 1
        ones = np.ones(basket.size, dtype=np.float32)
        held = sparse.coo_matrix((ones, (basket, taken.item)), shape=(count, len(self.items_))).tocsr()
        held.data[:] = 1.0
        sizes = np.diff(held.indptr)
        return held[(sizes >= 2) & (sizes <= self.parameters.largest_basket)]

    def _lifts(self, baskets: sparse.csr_matrix) -> sparse.csr_matrix:
        chosen, items = self.parameters, baskets.shape[1]
        total = float(baskets.shape[0])
        single = np.asarray(baskets.sum(axis=0), dtype=np.float64).ravel()
        by_item = baskets.T.tocsr()
        width = by_item @ np.diff(baskets.indptr).astype(np.float64)
        shared = {
            "single": single,
            "numbers": np.array(
                [total, chosen.min_support, chosen.threshold, chosen.shrinkage, chosen.neighbours]
            ),
        }
        engine, bounds = current_engine(), [0, *(end for _, end in _blocks(width))]
        if engine is not None:
            bounds = finer_bounds(width, bounds)
            found = engine.map(
                lifts_of_part, (_part_of(by_item, baskets, *p, shared) for p in pairwise(bounds))
            )
        else:
            found = [_lifts_of_rows(by_item[p[0] : p[1]], baskets, p[0], shared) for p in pairwise(bounds)]
        rows, columns, weights = ([part[name] for part in found] for name in ("rows", "columns", "weights"))
        entries = np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns))
        kept = sparse.coo_matrix(entries, shape=(items, items)).tocsr()
        kept.sort_indices()
        return kept

    def forecast(self, users: int, items: int, nnz: int) -> int:
        """Peak bytes of a fit: the events as columns, the baskets twice, one block and the kept pairs."""
        kept = 48 * items * min(items, self.parameters.neighbours)
        return super().forecast(users, items, nnz) + kept + 8 * GRAM_BYTES

    def _arrays(self) -> Arrays:
        own = {
            "source_half_life": np.array([self.source_half_life_]),
            "baskets": np.array([self.baskets_]),
            "reason": np.frombuffer(self.reason_.encode(), dtype=np.uint8),
        }
        return own | super()._arrays()

    def _restore(self, arrays: Arrays) -> None:
        super()._restore(arrays)
        self.source_half_life_ = float(arrays["source_half_life"][0])
        self.baskets_ = int(arrays["baskets"][0])
        self.reason_ = arrays["reason"].tobytes().decode()


def _part_of(
    by_item: sparse.csr_matrix, baskets: sparse.csr_matrix, start: int, end: int, shared: Arrays
) -> Arrays:
    """The arrays of `lifts_of_part` for the items from `start` to `end`."""
    block, used = compact_product(by_item[start:end])
    return packed("left", block) | packed("right", baskets[used]) | shared | {"start": np.array([start])}


def lifts_of_part(arrays: Arrays) -> Arrays:
    """A kernel (`models.shared.engine`): the kept pairs of some items."""
    start = int(arrays["start"][0])
    return _lifts_of_rows(unpacked("left", arrays), unpacked("right", arrays), start, arrays)


def _lifts_of_rows(
    by_item: sparse.csr_matrix, baskets: sparse.csr_matrix, start: int, shared: Arrays
) -> Arrays:
    """The kept pairs of some items, the first of which is item `start`."""
    single = shared["single"]
    total, min_support, threshold, shrinkage, neighbours = shared["numbers"].tolist()
    found = (by_item @ baskets).tocoo()
    keep = (found.data >= min_support) & (found.row + start != found.col)
    i, j = found.row[keep].astype(np.int64) + start, found.col[keep].astype(np.int64)
    both = found.data[keep].astype(np.float64)
    expected = single[i] * single[j] / total
    significant = (both > expected) & (_surprise(both, single[i], single[j], total) >= threshold)
    i, j = i[significant], j[significant]
    lift = np.log((both + shrinkage) / (expected + shrinkage))[significant]
    best = nearest(i, j, lift, int(neighbours))
    return {"rows": i[best], "columns": j[best], "weights": lift[best].astype(np.float32)}


def _walkers(events: Events) -> npt.NDArray[np.int64]:
    """int64 (n,): 0, 1, 2 … for each user and each guest's session."""
    guest = np.asarray(events.user) < 0
    return numbered(events.user, np.where(guest, events.session, 0))


def _moments(events: Events) -> npt.NDArray[np.int64]:
    """int64 (n,): 0, 1, 2 … for each session of a walker, or each moment where no session is given."""
    session = np.asarray(events.session)
    return numbered(events.user, session, np.where(session == 0, events.time, 0))


def _blocks(width: Counts) -> Iterator[tuple[int, int]]:
    """Ranges of rows whose products hold at most GRAM_BYTES / 8 entries together (one row at least)."""
    place = np.floor(np.cumsum(width) / (GRAM_BYTES / 8)).astype(np.int64)
    yield from pairwise([0, *(np.flatnonzero(np.diff(place)) + 1).tolist(), width.size])


def _surprise(both: Counts, left: Counts, right: Counts, total: float) -> Counts:
    """Dunning's G² of the table [[both, left − both], [right − both, the rest]]: 2 Σ O ln(O / E)."""
    observed = np.stack([both, left - both, right - both, total - left - right + both])
    expected = np.stack([left * right, left * (total - right), (total - left) * right])
    expected = np.concatenate([expected, [(total - left) * (total - right)]]) / total
    # O ln(O/E), 0 where O is 0; E is 0 only where O is
    each = special.xlogy(
        observed, np.divide(observed, expected, out=np.ones_like(expected), where=expected > 0)
    )
    return np.asarray(2.0 * each.sum(axis=0))
