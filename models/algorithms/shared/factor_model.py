"""What models have in common whose scores are products of a user's and an item's vector."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from scipy import sparse

from models.base import ColumnScorer, Recommender, Rows, Scores
from models.ranking.filters import RankRequest, positive
from models.ranking.mips.exact import USERS_AT_ONCE
from models.ranking.mips.factors import Factors
from models.ranking.mips.norm_sorted import LastShelf
from models.shared.pool_part import PoolPart

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["FactorModel", "affordable_factors"]

FEWEST_USERS = 48
"""With fewer, a pass in tiles costs more than the whole scores of so few users."""
FEWEST_ITEMS = 16_384
ITEMS_PER_K = 16
LARGEST_K = 2_000
ALL_VECTORS = 1 << 25
"""Numbers in the vectors of all users and items, 128 MiB: what a chosen length may take."""
FEWEST_FACTORS = 128
"""The least length that is chosen, whatever it takes."""


def affordable_factors(most: int, shape: tuple[int, int]) -> int:
    """The length of the vectors of a matrix of so many users and items, where no length is given.

    It is `most`, less where all vectors then have more than ALL_VECTORS numbers, but FEWEST_FACTORS at least:
    where a ridge takes the noise away, length costs time and memory and not quality
    (`docs/reference/quality.md`).
    """
    return min(most, max(FEWEST_FACTORS, ALL_VECTORS // max(sum(shape), 1)))


class FactorModel(Recommender):
    """A subclass writes `_vectors` in place of `_score`; lists of many users are then made in tiles.

    A subclass that adds something to the scores sets `in_tiles` to False.
    """

    in_tiles: ClassVar[bool] = True

    def __init__(self, parameters: DataclassInstance | None = None) -> None:
        super().__init__(parameters)
        self._shelf = LastShelf()
        self._pool_part = PoolPart[Factors]()

    @property
    def chosen_parameters(self) -> dict[str, float]:
        """Of the parameters that leave a choice to the data, what the fit chose."""
        return {}

    @abstractmethod
    def _vectors(self, history: sparse.csr_matrix, rows: Rows) -> Factors:
        """What `_score` would fill in; same arguments."""

    def _score(self, history: sparse.csr_matrix, rows: Rows, out: Scores) -> None:
        self._vectors(history, rows).score(out)

    def _column_scorer(self, request: RankRequest) -> ColumnScorer | None:
        if not self.in_tiles:
            return None
        factors = self._vectors(positive(request.history), request.rows)

        def score(columns: Rows, out: Scores, *, is_pool: bool = False) -> None:
            if is_pool:
                kept = self._pool_part.of(factors.items, columns, lambda: factors.only(columns))
                part = replace(kept, users=factors.users, silent=factors.silent)
            else:
                part = factors.only(columns)
            part.score(out)

        return score

    def _block(self, n: int, k: int) -> int:
        whole = super()._block(n, k)
        if not self._worth_tiles(n, k):
            return whole
        # two parts at least, for two threads; never by the number of threads, or rounding would depend on it
        return max(min(FEWEST_USERS, whole), min(USERS_AT_ONCE, -(-n // 2)))

    def _rank(self, request: RankRequest, k: int) -> tuple[Rows, Scores]:
        if not self._worth_tiles(request.rows.size, k):
            return super()._rank(request, k)
        factors = self._vectors(positive(request.history), request.rows)
        columns, scores = request.shown.best_of(factors, self._shelf.of(factors), k, request.history)
        return self._ids_of(columns), scores

    def _worth_tiles(self, n: int, k: int) -> bool:
        few = min(FEWEST_USERS, super()._block(n, k) + 1)
        many_items = len(self.items_) >= max(FEWEST_ITEMS, ITEMS_PER_K * k)
        return self.in_tiles and n >= few and many_items and k <= LARGEST_K
