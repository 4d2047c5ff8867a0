"""Diversity of lists: greedy re-ranking by relevance and by similarity to the products already chosen."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

import numpy as np
import numpy.typing as npt

__all__ = ["DiversityMethod", "ProductSimilarity", "diversify", "dpp", "mmr"]

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

CONTENT_WEIGHT, CATEGORY_WEIGHT, BRAND_WEIGHT = 0.6, 0.25, 0.15
"""Weights of the parts of a similarity; without vectors the other two are scaled up to a sum of 1."""
_JITTER = 1e-6  # on the diagonal of the kernel: duplicates of a chosen product can still be chosen


@dataclass(frozen=True, eq=False)
class ProductSimilarity:
    """Pairwise similarity of n candidates, from 0 to 1.

    The similarity is a weighted mean of (1 + cosine) / 2, same category and same brand, and 1 of a product
    with itself. Each part is positive semi-definite, and so is the sum: it serves as the kernel of a DPP.

    Attributes
    ----------
    category : int, shape (n,)
        Id of the category; -1 for none.
    brand : int, shape (n,)
        Id of the brand; -1 for none.
    vectors : float32, shape (n, d)
        Rows of length 1, or 0 for products without content; None: not used.
    """

    category: npt.NDArray[np.integer]
    brand: npt.NDArray[np.integer]
    vectors: npt.NDArray[np.float32] | None = None
    _shared_parts: dict[tuple[str, int], Floats] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return int(self.category.size)

    def row(self, index: int) -> Floats:
        """Return the similarity of one candidate to each; float64 (n,)."""
        similarities = self._shared_part("category", index) + self._shared_part("brand", index)
        if self.vectors is None:
            similarities /= CATEGORY_WEIGHT + BRAND_WEIGHT
        else:
            similarities += (CONTENT_WEIGHT / 2) * (1.0 + self.vectors @ self.vectors[index])
        similarities[index] = 1.0
        return similarities

    def _shared_part(self, part: Literal["category", "brand"], index: int) -> Floats:
        """The part of the similarity by category or brand; cached, since a list has few of them."""
        codes, share = (self.category, CATEGORY_WEIGHT) if part == "category" else (self.brand, BRAND_WEIGHT)
        code = int(codes[index])
        similarities = self._shared_parts.get((part, code))
        if similarities is None:
            similarities = self._shared_parts[part, code] = share * ((codes == code) & (code >= 0)).astype(
                np.float64
            )
        return similarities


class DiversityMethod(StrEnum):
    """`mmr`: unlike the most similar chosen product; `dpp`: unlike all chosen products together."""

    MMR = "mmr"
    DPP = "dpp"


def diversify(
    scores: npt.ArrayLike,
    similarity: ProductSimilarity,
    diversity: float,
    k: int,
    method: DiversityMethod = DiversityMethod.MMR,
) -> Indices:
    """Return all n indices in a new order: k chosen for relevance and diversity, then the others.

    Parameters
    ----------
    scores : shape (n,)
        As for `mmr`.
    similarity
        Of the n candidates.
    diversity
        0 keeps the order, 1 ignores relevance; the first always stays the first.
    k
        How many are chosen.

    Returns
    -------
    int64, shape (n,)
        The indices; those that are not chosen keep their order.

    Raises
    ------
    ValueError
        The diversity is outside 0..1, or there are not as many scores as candidates.
    """
    select = _RERANKERS[method]
    chosen = select(scores, similarity, diversity, k)
    remaining = np.ones(len(similarity), dtype=bool)
    remaining[chosen] = False
    return np.concatenate([chosen, np.flatnonzero(remaining)])


def mmr(scores: npt.ArrayLike, similarity: ProductSimilarity, diversity: float, k: int) -> Indices:
    """Maximal marginal relevance.

    After the first, each step chooses the largest (1 - diversity) · relevance - diversity · similarity to
    the most similar chosen product (Carbonell & Goldstein 1998, section 2, λ = 1 - diversity), ties to the
    earlier. O(k · n · d).

    Parameters
    ----------
    scores : shape (n,)
        Best first, not negative; divided by the largest, so that diversity decides between nearly equal
        scores.
    similarity
        Of the n candidates.
    diversity
        From 0 to 1.
    k
        How many are chosen.

    Returns
    -------
    int64, shape (min(k, n),)
        Distinct indices of the candidates.

    Raises
    ------
    ValueError
        The diversity is outside 0..1, or there are not as many scores as candidates.
    """
    relevance, unchanged = _relevance_of(scores, similarity, diversity, k)
    if unchanged is not None:
        return unchanged
    chosen = np.empty(min(k, relevance.size), dtype=np.int64)
    chosen[0] = 0
    gain = (1.0 - diversity) * relevance
    max_similarity = similarity.row(0)
    gain[0] = -np.inf
    for step in range(1, chosen.size):
        best = int(np.argmax(gain - diversity * max_similarity))
        chosen[step] = best
        gain[best] = -np.inf
        np.maximum(max_similarity, similarity.row(best), out=max_similarity)
    return chosen


def dpp(scores: npt.ArrayLike, similarity: ProductSimilarity, diversity: float, k: int) -> Indices:
    """Greedy MAP inference for a determinantal point process.

    Greedily maximises (1 - diversity) · Σ relevance + diversity · log det of the chosen similarities:
    the log-probability of a DPP with kernel Diag(q) S Diag(q), q = exp(θ r / (2 (1 - θ))), θ = 1 -
    diversity, by incremental Cholesky rows (Chen, Zhang & Zhou 2018, "Fast greedy MAP inference for
    determinantal point process", algorithm 1 and section 4, equation 12). The first stays the first. O(k² n).

    Parameters
    ----------
    scores : shape (n,)
        As for `mmr`.
    similarity
        Of the n candidates.
    diversity
        From 0 to 1.
    k
        How many are chosen.

    Returns
    -------
    int64, shape (min(k, n),)
        Distinct indices of the candidates.

    Raises
    ------
    ValueError
        The diversity is outside 0..1, or there are not as many scores as candidates.
    """
    relevance, unchanged = _relevance_of(scores, similarity, diversity, k)
    if unchanged is not None:
        return unchanged
    count = min(k, relevance.size)
    chosen = np.empty(count, dtype=np.int64)
    factors = np.zeros((count, relevance.size))
    volume = np.full(relevance.size, 1.0 + _JITTER)
    gain = (1.0 - diversity) * relevance
    best = 0
    for step in range(count):
        chosen[step] = best
        gain[best] = -np.inf
        row = similarity.row(best)
        row[best] += _JITTER
        row -= factors[:step, best] @ factors[:step]
        row /= math.sqrt(volume[best])
        factors[step] = row
        volume -= row * row
        # a linear combination of the chosen has no volume; rounding may make it negative
        np.maximum(volume, _JITTER * _JITTER, out=volume)
        best = int(np.argmax(gain + diversity * np.log(volume)))
    return chosen


_RERANKERS: dict[DiversityMethod, Callable[[npt.ArrayLike, ProductSimilarity, float, int], Indices]] = {
    DiversityMethod.MMR: mmr,
    DiversityMethod.DPP: dpp,
}


def _relevance_of(
    scores: npt.ArrayLike, similarity: ProductSimilarity, diversity: float, k: int
) -> tuple[Floats, Indices | None]:
    """Return the relevance, from 0 to 1, and the result where there is nothing to choose, else None."""
    if not 0.0 <= diversity <= 1.0:
        raise ValueError(f"diversity is between 0 and 1, not {diversity}")
    values = np.asarray(scores, dtype=np.float64)
    if values.shape != (len(similarity),):
        raise ValueError("as many scores as there are candidates")
    if diversity == 0.0 or k < 1 or values.size < 2:
        return values, np.arange(max(min(k, values.size), 0), dtype=np.int64)
    largest = float(values.max())
    return (np.clip(values, 0.0, None) / largest if largest > 0 else np.zeros_like(values)), None
