"""What users like, inferred from what they did: one definition for training, `user_preferences` and serving.

The affinity of user u for a word w (a category, brand, colour, size or style) is the share of w in the
weight of what u did, drawn towards the share q that w has in the whole shop, as a Dirichlet prior does
(Manning, Raghavan & Schütze 2008, "Introduction to Information Retrieval", section 12.2.2, formula 12.10):

    affinity(u, w) = (W(u, w) + m × q(w)) / (W(u) + m)

W are summed weights of `InteractionWeights`, decayed to the dataset's moment; m is the prior. Words that a
user never touched have no affinity. The price range runs from the 10th to the 90th percentile of the prices
that the user touched, by weight, and is drawn towards the shop's in the same way.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from features.dataset import Dataset

__all__ = ["Inferred", "infer", "shop_shares", "smoothed"]

_RANGE = (0.1, 0.9)


@dataclass(frozen=True, eq=False)
class Inferred:
    """Affinities with their words, and price ranges.

    Attributes
    ----------
    facets
        category, brand, color, size and style: matrix (csr float32, shape (users, words), in 0..1) and words.
    price : float32, shape (users, 2)
        Lower and upper end, NaN for a user who touched nothing with a price.
    """

    facets: dict[str, tuple[sparse.csr_matrix, list[str]]]
    price: npt.NDArray[np.float32]


def infer(dataset: Dataset, *, prior: float = 10.0, words: int | None = None) -> Inferred:
    """The affinities of all users of the dataset as of its moment.

    Parameters
    ----------
    prior
        m above, in summed weights; 0 trusts behaviour alone.
    words
        Only so many of each sort for a user, the strongest; None for all.
    """
    features, liked = dataset.item_features, dataset.matrix.astype(np.float64)
    belongs = {
        "category": (_one_hot(features.category, len(features.category_paths)), features.category_paths),
        "brand": (_one_hot(features.brand, len(features.brand_names)), features.brand_names),
        "color": (features.colours.matrix, features.colours.words),
        "size": (features.sizes.matrix, features.sizes.words),
        "style": (features.styles.matrix, features.styles.words),
    }
    facets = {}
    for name, (has, known) in belongs.items():
        weight = sparse.csr_matrix(liked @ has)
        facets[name] = _strongest(smoothed(weight, shop_shares(weight), prior), words), known
    return Inferred(facets, _price_ranges(dataset, prior))


def shop_shares(weight: sparse.csr_matrix) -> npt.NDArray[np.float64]:
    """q: the share of each word in the summed weights (users, words) of everybody, float64 (words,)."""
    of_word = np.asarray(weight.sum(axis=0)).ravel()
    return np.asarray(of_word / max(float(of_word.sum()), np.finfo(np.float64).tiny))


def smoothed(weight: sparse.csr_matrix, shop: npt.NDArray[np.float64], prior: float) -> sparse.csr_matrix:
    """The affinities of users for the words of one facet.

    Parameters
    ----------
    weight : csr float64, shape (users, words)
        Summed weights; its indices are sorted in place.
    shop : float64, shape (words,)
        q of the words.
    prior
        m.

    Returns
    -------
    csr float32, shape (users, words)
        Of the pattern of `weight`.
    """
    weight.sort_indices()
    own = np.asarray(weight.sum(axis=1)).ravel()
    owner = np.repeat(np.arange(own.size), np.diff(weight.indptr))
    share = (weight.data + prior * shop[weight.indices]) / (own[owner] + prior)
    parts = (share.astype(np.float32), weight.indices, weight.indptr)
    return sparse.csr_matrix(parts, shape=weight.shape)


def _strongest(shares: sparse.csr_matrix, words: int | None) -> sparse.csr_matrix:
    if words is None or not shares.nnz or int(np.diff(shares.indptr).max()) <= words:
        return shares
    owner = np.repeat(np.arange(shares.shape[0]), np.diff(shares.indptr))
    order = np.lexsort((shares.indices, -shares.data, owner))  # equal ones: the first word wins
    rank = np.arange(order.size) - shares.indptr[:-1][owner]
    kept = np.sort(order[rank < words])
    indptr = np.concatenate([[0], np.cumsum(np.bincount(owner[kept], minlength=shares.shape[0]))])
    return sparse.csr_matrix((shares.data[kept], shares.indices[kept], indptr), shape=shares.shape)


def _price_ranges(dataset: Dataset, prior: float) -> npt.NDArray[np.float32]:
    liked = dataset.matrix.tocoo()
    price = dataset.item_features.price[liked.col].astype(np.float64)
    known = ~np.isnan(price)
    ranges = np.full((len(dataset.users), 2), np.nan, dtype=np.float32)
    if not known.any():
        return ranges
    owner, price, weight = liked.row[known], price[known], liked.data[known].astype(np.float64)
    order = np.lexsort((price, owner))
    ends = _percentiles(owner[order], price[order], weight[order], len(dataset.users))
    order = np.argsort(price, kind="stable")
    shop = _percentiles(np.zeros(price.size, np.int64), price[order], weight[order], 1)[0]
    total = np.bincount(owner, weights=weight, minlength=len(dataset.users))
    some = total > 0
    ranges[some] = (ends[some] * total[some, None] + prior * shop) / (total[some, None] + prior)
    return ranges


def _percentiles(
    owner: npt.NDArray[np.integer],
    price: npt.NDArray[np.float64],
    weight: npt.NDArray[np.float64],
    owners: int,
) -> npt.NDArray[np.float64]:
    """The prices at `_RANGE` of each owner's weight, shape (owners, 2); rows sorted by owner, then price."""
    begin = np.searchsorted(owner, np.arange(owners))
    end = np.searchsorted(owner, np.arange(owners), side="right")
    summed = np.concatenate([[0.0], np.cumsum(weight)])
    before, total = summed[begin], summed[end] - summed[begin]
    ends = np.full((owners, len(_RANGE)), np.nan)
    some = end > begin
    for i, share in enumerate(_RANGE):
        place = np.searchsorted(summed[1:], before + share * total)
        ends[some, i] = price[np.clip(place, begin, np.maximum(end - 1, begin))[some]]
    return ends


def _one_hot(codes: npt.NDArray[np.int32], words: int) -> sparse.csr_matrix:
    known = codes >= 0
    indptr = np.concatenate([[0], np.cumsum(known)])
    parts = (np.ones(int(known.sum()), np.float32), codes[known], indptr)
    return sparse.csr_matrix(parts, shape=(codes.size, words))
