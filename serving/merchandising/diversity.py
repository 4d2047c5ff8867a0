"""Lists of products that differ from each other: greedy re-ranking by relevance and by what is chosen."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

import numpy as np
import numpy.typing as npt

__all__ = ["Likeness", "Method", "diversified", "dpp", "mmr"]

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]

CONTENT, CATEGORY, BRAND = 0.6, 0.25, 0.15
"""The parts of likeness; without vectors the other two share the whole in their proportion."""
_JITTER = 1e-6  # on the diagonal of the kernel: products that are alike in everything can still follow


@dataclass(frozen=True, eq=False)
class Likeness:
    """How much candidates resemble each other: 0 not at all, 1 in everything that is looked at.

    vectors   float32 (n, d), rows of length 1, or 0 for what nothing is known of; None: not looked at
    category  int (n,), -1 for none;  brand  the same

    The likeness is a weighted mean of (1 + cosine) / 2, same category and same brand, and 1 of a product with
    itself. Each part is positive semi-definite, and so is the whole: it serves as the kernel of a DPP.
    """

    category: npt.NDArray[np.integer]
    brand: npt.NDArray[np.integer]
    vectors: npt.NDArray[np.float32] | None = None
    _shared: dict[tuple[str, int], Floats] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return int(self.category.size)

    def row(self, place: int) -> Floats:
        """Of one candidate with each; float64 (n,)."""
        found = self._same("category", place) + self._same("brand", place)
        if self.vectors is None:
            found /= CATEGORY + BRAND
        else:
            found += (CONTENT / 2) * (1.0 + self.vectors @ self.vectors[place])
        found[place] = 1.0
        return found

    def _same(self, part: Literal["category", "brand"], place: int) -> Floats:
        """What each candidate shares with one in this part; kept, since a list has few categories."""
        codes, share = (self.category, CATEGORY) if part == "category" else (self.brand, BRAND)
        code = int(codes[place])
        found = self._shared.get((part, code))
        if found is None:
            found = self._shared[part, code] = share * ((codes == code) & (code >= 0)).astype(np.float64)
        return found


class Method(StrEnum):
    """`mmr`: away from the nearest that is chosen; `dpp`: away from all that are chosen together."""

    MMR = "mmr"
    DPP = "dpp"


def diversified(
    scores: npt.ArrayLike, likeness: Likeness, diversity: float, k: int, method: Method = Method.MMR
) -> Places:
    """All n places in a new order: the k chosen for both ends, then the others as they were.

    diversity 0 leaves the order as it is, 1 looks at nothing but difference; the first stays the first.
    Raises ValueError for a diversity outside 0..1.
    """
    choose = _METHODS[method]
    chosen = choose(scores, likeness, diversity, k)
    left = np.ones(len(likeness), dtype=bool)
    left[chosen] = False
    return np.concatenate([chosen, np.flatnonzero(left)])


def mmr(scores: npt.ArrayLike, likeness: Likeness, diversity: float, k: int) -> Places:
    """Maximal marginal relevance: k places (fewer when there are fewer), int64, each once.

    scores  (n,), the larger the better, best first, not negative; taken as shares of the largest, so that
            nearly equal scores leave the choice to difference

    After the first, each is the one with the largest (1 - diversity) · relevance - diversity · likeness to
    the most alike of those before it (Carbonell & Goldstein 1998, section 2, λ = 1 - diversity), ties to
    the earlier. O(k · n · d).
    """
    relevance, order = _prepared(scores, likeness, diversity, k)
    if order is not None:
        return order
    chosen = np.empty(min(k, relevance.size), dtype=np.int64)
    chosen[0] = 0
    worth = (1.0 - diversity) * relevance
    nearest = likeness.row(0)
    worth[0] = -np.inf
    for at in range(1, chosen.size):
        best = int(np.argmax(worth - diversity * nearest))
        chosen[at] = best
        worth[best] = -np.inf
        np.maximum(nearest, likeness.row(best), out=nearest)
    return chosen


def dpp(scores: npt.ArrayLike, likeness: Likeness, diversity: float, k: int) -> Places:
    """The greedy MAP of a determinantal point process: k places (fewer when there are fewer), each once.

    scores  as for `mmr`

    Greedily maximises (1 - diversity) · Σ relevance + diversity · log det of the likeness of the chosen:
    the log-probability of a DPP with kernel Diag(q) S Diag(q), q = exp(θ r / (2 (1 - θ))), θ = 1 -
    diversity, by incremental Cholesky rows (Chen, Zhang & Zhou 2018, "Fast greedy MAP inference for
    determinantal point process", algorithm 1 and section 4, equation 12). The first stays the first. O(k² n).
    """
    relevance, order = _prepared(scores, likeness, diversity, k)
    if order is not None:
        return order
    count = min(k, relevance.size)
    chosen = np.empty(count, dtype=np.int64)
    factors = np.zeros((count, relevance.size))
    volume = np.full(relevance.size, 1.0 + _JITTER)
    worth = (1.0 - diversity) * relevance
    best = 0
    for at in range(count):
        chosen[at] = best
        worth[best] = -np.inf
        row = likeness.row(best)
        row[best] += _JITTER
        row -= factors[:at, best] @ factors[:at]
        row /= math.sqrt(volume[best])
        factors[at] = row
        volume -= row * row
        # what is a mixture of the chosen has no volume left; rounding may carry it below nothing
        np.maximum(volume, _JITTER * _JITTER, out=volume)
        best = int(np.argmax(worth + diversity * np.log(volume)))
    return chosen


_METHODS: dict[Method, Callable[[npt.ArrayLike, Likeness, float, int], Places]] = {
    Method.MMR: mmr,
    Method.DPP: dpp,
}


def _prepared(
    scores: npt.ArrayLike, likeness: Likeness, diversity: float, k: int
) -> tuple[Floats, Places | None]:
    """Relevance between 0 and 1, and the answer where there is nothing to choose."""
    if not 0.0 <= diversity <= 1.0:
        raise ValueError(f"diversity is between 0 and 1, not {diversity}")
    given = np.asarray(scores, dtype=np.float64)
    if given.shape != (len(likeness),):
        raise ValueError("as many scores as there are candidates")
    if diversity == 0.0 or k < 1 or given.size < 2:
        return given, np.arange(max(min(k, given.size), 0), dtype=np.int64)
    largest = float(given.max())
    return (np.clip(given, 0.0, None) / largest if largest > 0 else np.zeros_like(given)), None
