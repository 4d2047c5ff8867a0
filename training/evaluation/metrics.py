"""Ranking metrics, vectorised over users and cut-offs, from which places of each list were hits.

All take `hits`, bool (n, K): whether the product at each place of user i's list was right, and `sizes`,
int64 (n,): how many products would have been right for the user (at least 1). A list shorter than K is
padded with misses. Every function returns float64 (n, len(ks)): one value per user and cut-off k ≤ K.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from scipy import sparse

__all__ = [
    "METRICS",
    "average_precision",
    "find_hits",
    "hit_rate",
    "ndcg",
    "per_user",
    "precision",
    "recall",
    "reciprocal_rank",
]

Hits = npt.NDArray[np.bool_]
Sizes = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]


def find_hits(columns: npt.NDArray[np.int64], relevant: sparse.csr_matrix) -> Hits:
    """Where lists name a product that is right.

    Parameters
    ----------
    columns : int64, shape (n, K)
        Item rows of each list; -1 stands for no product.
    relevant : csr, shape (n, items)
        A stored entry for each right product; sorted indices.

    Returns
    -------
    bool, shape (n, K)
        Whether the product at each place is right.
    """
    n, items = relevant.shape
    owner = np.repeat(np.arange(n, dtype=np.int64), np.diff(relevant.indptr))
    right = owner * items + relevant.indices  # sorted, since rows and the indices within them are
    asked = np.arange(n, dtype=np.int64)[:, None] * items + columns
    if right.size == 0:
        return np.zeros(columns.shape, dtype=bool)
    place = np.minimum(np.searchsorted(right, asked), right.size - 1)
    found: Hits = (right[place] == asked) & (columns >= 0)
    return found


def precision(hits: Hits, sizes: Sizes, ks: Sequence[int]) -> Values:
    """Hits in the first k, divided by k (Manning, Raghavan & Schütze 2008, section 8.4, "precision at k").

    Divided by k even where the list is shorter: an empty place is a wasted place.

    Parameters
    ----------
    hits : bool, shape (n, K)
        Whether the product at each place was right.
    sizes : int64, shape (n,)
        Right products of each user; not used, as all metrics take the same arguments.
    ks
        Cut-offs, each 1 to K.

    Returns
    -------
    float64, shape (n, len(ks))
        Share of the places, 0 to 1.
    """
    return _found(hits, ks) / np.asarray(ks, dtype=np.float64)


def recall(hits: Hits, sizes: Sizes, ks: Sequence[int]) -> Values:
    """Hits in the first k, divided by the number of right products (Manning et al. 2008, section 8.3).

    A user with more than k right products cannot reach 1.

    Parameters
    ----------
    hits : bool, shape (n, K)
        Whether the product at each place was right.
    sizes : int64, shape (n,)
        Right products of each user, at least 1.
    ks
        Cut-offs, each 1 to K.

    Returns
    -------
    float64, shape (n, len(ks))
        Share of the right products, 0 to 1.
    """
    return _found(hits, ks) / sizes[:, None]


def hit_rate(hits: Hits, sizes: Sizes, ks: Sequence[int]) -> Values:
    """1 where the first k hold a hit, else 0 (Deshpande & Karypis 2004, section 6.1).

    Parameters
    ----------
    hits : bool, shape (n, K)
        Whether the product at each place was right.
    sizes : int64, shape (n,)
        Right products of each user; not used, as all metrics take the same arguments.
    ks
        Cut-offs, each 1 to K.

    Returns
    -------
    float64, shape (n, len(ks))
        0 or 1.
    """
    return (_found(hits, ks) > 0).astype(np.float64)


def ndcg(hits: Hits, sizes: Sizes, ks: Sequence[int]) -> Values:
    """Normalised discounted cumulative gain, binary gains, discount 1 / log2(place + 1).

    Järvelin & Kekäläinen 2002, "Cumulated gain-based evaluation of IR techniques", section 2.2, with the
    discount at every place. The ideal list is truncated at k: it holds min(right products, k) hits.

    Parameters
    ----------
    hits : bool, shape (n, K)
        Whether the product at each place was right.
    sizes : int64, shape (n,)
        Right products of each user, at least 1.
    ks
        Cut-offs, each 1 to K.

    Returns
    -------
    float64, shape (n, len(ks))
        Gain as a share of that of the ideal list, 0 to 1.
    """
    discount = 1.0 / np.log2(np.arange(2, hits.shape[1] + 2))
    gained = np.cumsum(hits * discount, axis=1)
    ideal = np.append(0.0, np.cumsum(discount))
    at = np.asarray(ks)
    best: Values = ideal[np.minimum(sizes[:, None], at[None, :])]
    return gained[:, at - 1] / best


def average_precision(hits: Hits, sizes: Sizes, ks: Sequence[int]) -> Values:
    """Sum of the precisions at the places of the hits in the first k, over the number of right products.

    Its mean over users is MAP at k (Buckley & Voorhees 2000, section 2; `map_cut` of trec_eval).

    Parameters
    ----------
    hits : bool, shape (n, K)
        Whether the product at each place was right.
    sizes : int64, shape (n,)
        Right products of each user, at least 1.
    ks
        Cut-offs, each 1 to K.

    Returns
    -------
    float64, shape (n, len(ks))
        0 to 1; a user with more than k right products cannot reach 1.
    """
    places = np.arange(1, hits.shape[1] + 1)
    parts = np.cumsum(hits, axis=1) / places * hits
    return np.cumsum(parts, axis=1)[:, np.asarray(ks) - 1] / sizes[:, None]


def reciprocal_rank(hits: Hits, sizes: Sizes, ks: Sequence[int]) -> Values:
    """1 / place of the first hit, 0 when there is none in the first k (Voorhees 1999, TREC-8, section 3).

    Parameters
    ----------
    hits : bool, shape (n, K)
        Whether the product at each place was right.
    sizes : int64, shape (n,)
        Right products of each user; not used, as all metrics take the same arguments.
    ks
        Cut-offs, each 1 to K.

    Returns
    -------
    float64, shape (n, len(ks))
        0, or from 1 / k to 1.
    """
    first = np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, np.iinfo(np.int64).max)
    return np.where(first[:, None] <= np.asarray(ks)[None, :], 1.0 / first[:, None], 0.0)


METRICS: dict[str, Callable[[Hits, Sizes, Sequence[int]], Values]] = {
    "ndcg": ndcg,
    "precision": precision,
    "recall": recall,
    "hit_rate": hit_rate,
    "map": average_precision,
    "mrr": reciprocal_rank,
}


def per_user(hits: Hits, sizes: Sizes, ks: Sequence[int]) -> dict[str, Values]:
    """All metrics by name. Raises ValueError for a k outside 1..K or a user without a right product."""
    if not ks or min(ks) < 1 or max(ks) > hits.shape[1]:
        raise ValueError(f"every k must lie in 1..{hits.shape[1]}, not {list(ks)}")
    if sizes.size and int(sizes.min()) < 1:
        raise ValueError("a user without any right product cannot be judged")
    return {name: metric(hits, sizes, ks) for name, metric in METRICS.items()}


def _found(hits: Hits, ks: Sequence[int]) -> Values:
    counted: Values = np.cumsum(hits, axis=1)[:, np.asarray(ks) - 1].astype(np.float64)
    return counted
