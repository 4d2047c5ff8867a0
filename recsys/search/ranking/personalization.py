"""Where a recommender plugs in: search itself knows no machine learning.

A program that has a model says so once, as it starts:

    from recsys.search import personal
    personal.use(my_personaliser)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from sqlalchemy.orm import Session

__all__ = ["Personaliser", "current", "use"]


class Personaliser(Protocol):
    """Says how much a user may like each of some products."""

    def scores(
        self, session: Session, user_id: int, product_ids: Sequence[int]
    ) -> Mapping[int, float] | None:
        """From 0 (nothing speaks for it) to 1, such as `recsys.search.ranking.formula.liking` of its place
        among all products. The same user and product must get the same score until the model changes,
        whatever else is asked: a page continues where the one before ended. Products that are left out count
        as 0; None when nothing is known of the user.
        """


_current: Personaliser | None = None


def use(personaliser: Personaliser | None) -> None:
    """From now on this one is asked, in this process; None for nobody."""
    global _current
    _current = personaliser


def current() -> Personaliser | None:
    """Who is asked, if there is somebody."""
    return _current
