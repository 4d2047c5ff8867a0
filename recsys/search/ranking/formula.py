"""What a match is worth: one formula for what the shop serves and for what an evaluation measures.

A worth is raised by a share from 0 to 1: by its fame for everybody, then by a user's liking for them alone.
PostgreSQL works the first out itself (`recsys/search/backends/postgres/product_queries.py`); a test compares
the two.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["RANKED", "fame", "liking", "raised"]

FAMOUS = 7.0
"""1,000 interactions of today have a logarithm of 7 or so: more make nothing more famous."""
RANKED = 5_000
"""So many products of a user's own ranking have a liking; the others have none."""

Worth = TypeVar("Worth", float, "npt.NDArray[np.float64]")


def fame(popularity: float) -> float:
    """How famous a product of this popularity is, 0 to 1."""
    return min(popularity / FAMOUS, 1.0)


def liking(place: int, products: int) -> float:
    """How much the product at `place` (0 is the best) of a user's ranking of so many is liked, up to 1.

    Its logarithm counts, as in NDCG: between the first and the tenth lies more than between the 1,000th and
    the 2,000th. The plain share of products that it is liked better than was significantly worse
    (`docs/search.md`): the first thousand were all the same to it.
    """
    return max(0.0, 1.0 - math.log1p(place) / math.log1p(max(1, min(RANKED, products))))


def raised(worth: Worth, share: Worth, weight: float) -> Worth:
    """`worth`, raised by up to `weight` times itself for a share of 1."""
    return worth * (1.0 + weight * share)
