"""Figures beyond accuracy, per user and cut-off: novelty, diversity, popularity, taste, money and stock.

All take lists as `columns`, int64 (n, K) item rows, -1 for no product (always at the end), and rising
cut-offs `ks`. Every function returns float64 (n, len(ks)); NaN where the figure means nothing for a
user, such as the diversity of a list of one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import sparse

from training.evaluation.item_stats import ItemStatistics

__all__ = [
    "diversity_category",
    "diversity_content",
    "exposures",
    "gini",
    "mean_of_places",
    "miscalibration",
    "per_user_quality",
    "summed_hits",
]

Columns = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]

BATCH = 8192
"""Users worked on at once: bounds memory whatever the number of users."""
SMOOTHING = 0.01


def per_user_quality(
    columns: Columns,
    hits: npt.NDArray[np.bool_],
    bought: sparse.csr_matrix,
    tastes: sparse.csr_matrix,
    facts: ItemStatistics,
    ks: Sequence[int],
) -> tuple[dict[str, Values], dict[str, str]]:
    """All figures by name, and by name why one could not be computed at all.

    Parameters
    ----------
    columns : int64, shape (n, K)
        Item rows of each list, -1 for no product.
    hits : bool, shape (n, K)
        Whether the product at each place was right.
    bought : csr, shape (n, items)
        What was bought in the test period.
    tastes : csr, shape (n, items)
        What the users did before, by weight.
    facts
        What is known of each item.
    ks
        Cut-offs, rising.

    Returns
    -------
    figures : float64, shape (n, len(ks)), by name
        NaN where a figure means nothing for a user.
    unknown : dict of str to str
        Why a figure is not among them, by name.

    Raises
    ------
    ValueError
        When `ks` do not rise, or are empty.
    """
    if list(ks) != sorted(set(ks)) or not ks:
        raise ValueError(f"cut-offs must rise, not {list(ks)}")
    parts: list[dict[str, Values]] = []
    unknown = _unknown(facts)
    for start in range(0, max(1, columns.shape[0]), BATCH):
        part = slice(start, start + BATCH)
        parts.append(_of_batch(columns[part], hits[part], bought[part], tastes[part], facts, ks, unknown))
    return {name: np.concatenate([one[name] for one in parts]) for name in parts[0]}, unknown


def _unknown(facts: ItemStatistics) -> dict[str, str]:
    found = {}
    if not np.isfinite(facts.price).any():
        found["revenue"] = "no product has a price"
    if facts.margin is None:
        found["margin"] = "cost prices were not looked up"
    elif not np.isfinite(facts.margin).any():
        found["margin"] = "no product has both a price and a cost price"
    if np.isnan(facts.stock).all():
        found["in_stock"] = "no product has a known stock"
    if not facts.genres:
        found["miscalibration"] = "no product has a category"
        found["diversity_category"] = "no product has a category"
    if not facts.vectors.any():
        found["diversity_content"] = "no product has a word of description"
    return found


def _of_batch(
    columns: Columns,
    hits: npt.NDArray[np.bool_],
    bought: sparse.csr_matrix,
    tastes: sparse.csr_matrix,
    facts: ItemStatistics,
    ks: Sequence[int],
    unknown: dict[str, str],
) -> dict[str, Values]:
    found = {
        "novelty": mean_of_places(facts.information, columns, ks),
        "popularity_share": mean_of_places((facts.group == 0).astype(np.float64), columns, ks),
    }
    if "in_stock" not in unknown:
        there = np.where(np.isnan(facts.stock), np.nan, (facts.stock > 0).astype(np.float64))
        found["in_stock"] = mean_of_places(there, columns, ks)
    if "diversity_category" not in unknown:
        found["diversity_category"] = diversity_category(facts.category, columns, ks)
    if "diversity_content" not in unknown:
        found["diversity_content"] = diversity_content(facts.vectors, columns, ks)
    if "miscalibration" not in unknown:
        found["miscalibration"] = miscalibration(facts.genre, len(facts.genres), tastes, columns, ks)
    if "revenue" not in unknown:
        found["revenue"] = summed_hits(facts.price, bought, hits, columns, ks)
    if "margin" not in unknown and facts.margin is not None:
        found["margin"] = summed_hits(facts.margin, bought, hits, columns, ks)
    return found


def mean_of_places(of_item: Values, columns: Columns, ks: Sequence[int]) -> Values:
    """Mean of a value of the products in the first k places; products whose value is NaN are left out.

    Of self-information it is novelty: −log2 p(i) in bits, with p the share of users who touched i (Zhou et
    al. 2010, "Solving the apparent diversity-accuracy dilemma of recommender systems", surprisal). Of
    membership in the head it is the popularity share, what the average percentage of long-tail items leaves
    (Abdollahpouri, Burke & Mobasher 2019, "Managing popularity bias in recommender systems"). Of being in
    stock it is the in-stock share.

    Parameters
    ----------
    of_item : float64, shape (items,)
        The value of each item, NaN where unknown.
    columns : int64, shape (n, K)
        Item rows of each list, -1 for no product.
    ks
        Cut-offs, rising.

    Returns
    -------
    float64, shape (n, len(ks))
        In the unit of `of_item`. NaN where no product in the first k has a value.
    """
    padded = np.append(of_item, np.nan)[columns]
    there = ~np.isnan(padded)
    total = _running(np.where(there, padded, 0.0), ks)
    count = _running(there.astype(np.float64), ks)
    mean: Values = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return mean


def diversity_category(category: npt.NDArray[np.int32], columns: Columns, ks: Sequence[int]) -> Values:
    """Share of the pairs of products in the first k that are of different categories.

    Intra-list distance (Smyth & McClave 2001, "Similarity vs. diversity"; Ziegler et al. 2005, "Improving
    recommendation lists through topic diversification") with the distance 0 within a category and 1 between
    two.

    Parameters
    ----------
    category : int32, shape (items,)
        Code of the category of each item, 0 or more.
    columns : int64, shape (n, K)
        Item rows of each list, -1 for no product.
    ks
        Cut-offs, rising.

    Returns
    -------
    float64, shape (n, len(ks))
        0 (one category) to 1 (all different). NaN for fewer than two products.
    """
    n, length = columns.shape
    codes = np.where(columns >= 0, category[columns], -1).astype(np.int64)
    keys = np.sort(codes * length + np.arange(length), axis=1)  # by category, then by place
    sorted_codes = keys // length
    place = np.arange(length)
    begins = np.ones((n, length), dtype=bool)
    begins[:, 1:] = sorted_codes[:, 1:] != sorted_codes[:, :-1]
    earlier = place - np.maximum.accumulate(np.where(begins, place, 0), axis=1)
    same = np.empty((n, length))
    np.put_along_axis(same, keys - sorted_codes * length, earlier.astype(np.float64), axis=1)
    alike = _running(np.where(codes >= 0, same, 0.0), ks)
    pairs = _pairs(columns, ks)
    likeness: Values = np.divide(alike, pairs, out=np.full(alike.shape, np.nan), where=pairs > 0)
    return 1.0 - likeness


def diversity_content(vectors: npt.NDArray[np.float32], columns: Columns, ks: Sequence[int]) -> Values:
    """Mean of 1 − likeness over the pairs of products in the first k (Ziegler et al. 2005, as above).

    The sum over all pairs is (|sum of vectors|² − sum of |vector|²) / 2, so no pair is formed.

    Parameters
    ----------
    vectors : float32, shape (items, d)
        Dot products are likenesses.
    columns : int64, shape (n, K)
        Item rows of each list, -1 for no product.
    ks
        Cut-offs, rising.

    Returns
    -------
    float64, shape (n, len(ks))
        0 to 2 for vectors of length 1 or 0, and 0 to 1 where no dot product is negative. NaN for fewer than
        two products.
    """
    n = columns.shape[0]
    squares = np.append((vectors.astype(np.float64) ** 2).sum(axis=1), 0.0)
    own = _running(squares[columns], ks)
    summed = np.zeros((n, vectors.shape[1]), dtype=np.float32)
    alike = np.empty((n, len(ks)))
    for place, (start, stop) in enumerate(zip((0, *ks[:-1]), ks, strict=True)):
        some = columns[:, start:stop]
        there = some >= 0
        parts = (
            np.ones(int(there.sum()), np.float32),
            some[there].astype(np.int32),
            np.append(0, np.cumsum(there.sum(axis=1))),
        )
        summed += sparse.csr_matrix(parts, shape=(n, vectors.shape[0])) @ vectors
        alike[:, place] = (np.einsum("nd,nd->n", summed, summed, dtype=np.float64) - own[:, place]) / 2.0
    pairs = _pairs(columns, ks)
    likeness: Values = np.divide(alike, pairs, out=np.full(alike.shape, np.nan), where=pairs > 0)
    return 1.0 - likeness


def miscalibration(
    genre: npt.NDArray[np.int32], genres: int, tastes: sparse.csr_matrix, columns: Columns, ks: Sequence[int]
) -> Values:
    """How far the categories of the first k are from those of the user's past.

    Kullback–Leibler divergence of the list's shares q, smoothed by 1% of p, from the past's shares p (Steck
    2018, "Calibrated recommendations", C_KL), with every place weighing the same and the past its weights.

    Parameters
    ----------
    genre : int32, shape (items,)
        Code of the category of each item, below `genres`; -1 where it is not known.
    genres
        Number of categories.
    tastes : csr, shape (n, items)
        What the users did before, by weight.
    columns : int64, shape (n, K)
        Item rows of each list, -1 for no product.
    ks
        Cut-offs, rising.

    Returns
    -------
    float64, shape (n, len(ks))
        Natural logarithm: 0 (equal shares) to ln 100 ≈ 4.61. NaN for a user without a past, or a list without
        a product, of known category.
    """
    n, length = columns.shape
    known = np.flatnonzero(genre >= 0)
    parts = (np.ones(known.size, np.float64), (known, genre[known]))
    past = np.asarray((tastes @ sparse.csr_matrix(parts, shape=(genre.size, genres))).toarray())
    weight = past.sum(axis=1)
    past = np.divide(past, weight[:, None], out=np.zeros_like(past), where=weight[:, None] > 0)
    of_place = np.append(genre, -1)[columns]
    counts = np.zeros((n, genres))
    found = np.full((n, len(ks)), np.nan)
    row = np.broadcast_to(np.arange(n)[:, None], (n, length))
    for place, (start, stop) in enumerate(zip((0, *ks[:-1]), ks, strict=True)):
        some, whose = of_place[:, start:stop], row[:, start:stop]
        there = some >= 0
        flat = whose[there] * genres + some[there]
        counts += np.bincount(flat, minlength=n * genres).reshape(n, genres)
        total = counts.sum(axis=1)
        share = counts / np.maximum(total, 1.0)[:, None]
        smooth = (1.0 - SMOOTHING) * share + SMOOTHING * past
        ratio = np.divide(past, smooth, out=np.ones_like(past), where=past > 0)
        divergence = np.einsum("ng,ng->n", past, np.log(ratio))
        found[:, place] = np.where((total > 0) & (weight > 0), divergence, np.nan)
    return found


def summed_hits(
    worth: Values,
    bought: sparse.csr_matrix,
    hits: npt.NDArray[np.bool_],
    columns: Columns,
    ks: Sequence[int],
) -> Values:
    """Worth of the products in the first k places that the user bought in the test period, one piece of each.

    Sum of price (revenue) or of price less cost (margin) over the hits, as the catalogue of now has them; one
    of the business measures of Jannach & Jugovac 2019, "Measuring the business value of recommender systems".
    Quantities are left out: shops count them in pieces, grams or millilitres. A hit that is no purchase
    brings nothing; nor does a product whose worth is unknown.

    Parameters
    ----------
    worth : float64, shape (items,)
        Worth of one piece of each item, in the shop's currency; NaN where unknown.
    bought : csr, shape (n, items)
        What was bought in the test period, above 0; sorted indices.
    hits : bool, shape (n, K)
        Whether the product at each place was right.
    columns : int64, shape (n, K)
        Item rows of each list, -1 for no product.
    ks
        Cut-offs, rising.

    Returns
    -------
    float64, shape (n, len(ks))
        In the unit of `worth`; 0 where nothing was bought, never NaN.
    """
    of_item = np.append(np.nan_to_num(worth, nan=0.0), 0.0)
    gained = np.zeros(columns.shape)
    rows, places = np.nonzero(hits)
    if rows.size and bought.nnz:
        items = bought.shape[1]
        owner = np.repeat(np.arange(bought.shape[0], dtype=np.int64), np.diff(bought.indptr))
        keys = owner * items + bought.indices
        asked = rows * items + columns[rows, places]
        at = np.minimum(np.searchsorted(keys, asked), keys.size - 1)
        paid = (keys[at] == asked) & (bought.data[at] > 0)
        gained[rows, places] = np.where(paid, of_item[columns[rows, places]], 0.0)
    return _running(gained, ks)


def exposures(columns: Columns, items: int, ks: Sequence[int]) -> npt.NDArray[np.int64]:
    """How often each product stands in the first k places; int64 (len(ks), items)."""
    found = np.zeros((len(ks), items), dtype=np.int64)
    for place, (start, stop) in enumerate(zip((0, *ks[:-1]), ks, strict=True)):
        some = columns[:, start:stop].ravel()
        found[place] = np.bincount(some[some >= 0], minlength=items)
    return np.cumsum(found, axis=0)


def gini(shown: npt.NDArray[np.int64]) -> float:
    """Gini coefficient of exposure over the whole catalogue, products never shown included.

    Shani & Gunawardana 2011, "Evaluating recommendation systems", Gini index:
    Σ (2j − n − 1) p(i_j) / (n − 1) with products by rising exposure.

    Parameters
    ----------
    shown : int64, shape (n,)
        How often each product of the catalogue was shown.

    Returns
    -------
    float
        0 (all equal) to 1 (one product has everything). NaN when nothing was shown, or for fewer than two
        products.
    """
    n, total = shown.size, int(shown.sum())
    if total == 0 or n < 2:
        return float("nan")
    ordered = np.sort(shown).astype(np.float64)
    return float(((2 * np.arange(1, n + 1) - n - 1) * ordered).sum() / ((n - 1) * total))


def _pairs(columns: Columns, ks: Sequence[int]) -> Values:
    filled = _running((columns >= 0).astype(np.float64), ks)
    return filled * (filled - 1.0) / 2.0


def _running(values: Values, ks: Sequence[int]) -> Values:
    """Sums of the first k places for each k; float64 (n, len(ks))."""
    starts = np.array((0, *ks[:-1]))
    totals: Values = np.cumsum(np.add.reduceat(values[:, : ks[-1]], starts, axis=1), axis=1)
    return totals
