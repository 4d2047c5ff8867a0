"""What models answer: ranked lists, and explanations whose parts add up to the score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Explanation", "MemberOpinion", "Ranking"]


@dataclass(frozen=True, eq=False)
class Ranking:
    """One ranked list per row, best first.

    Attributes
    ----------
    queries : int64, shape (n,)
        Users, or products for similar items, that were asked about.
    products : int64, shape (n, k)
        Product ids; -1 where fewer than k could be recommended, always at the end.
    scores : float32, shape (n, k)
        The model's own scores, never increasing along a row; -inf for no product.
    """

    queries: npt.NDArray[np.int64]
    products: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return int(self.queries.size)

    def row(self, i: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Products and scores of row i without the padding."""
        filled = self.products[i] >= 0
        return self.products[i][filled], self.scores[i][filled]


@dataclass(frozen=True)
class Explanation:
    """Why a product got its score: `baseline` + all contributions = `score` (to float32 precision).

    Attributes
    ----------
    product
        Its id.
    score
        The model's own.
    baseline
        The part of the score that comes from no product of the history.
    contributions
        (product id from the user's history, its part of the score), largest first.
    """

    product: int
    score: float
    baseline: float
    contributions: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class MemberOpinion:
    """The opinion of one member of a model on one product for one user.

    Attributes
    ----------
    member
        Name of the member; the algorithm of a model without members.
    score
        The member's own score; None where it has none.
    position
        From 1, in the member's ranking of all eligible products; None where it does not rank it.
    names
        Whether the product is a candidate by this member.
    """

    member: str
    score: float | None
    position: int | None
    names: bool
