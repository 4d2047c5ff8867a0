"""The interface by which a recommender reorders searches; search itself contains no machine learning.

A program that has a model registers it once, as it starts:

    from recsys.search.ranking import personalization
    personalization.use(my_personaliser)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from sqlalchemy.orm import Session

__all__ = ["Personaliser", "current", "use"]


class Personaliser(Protocol):
    """Scores how much a user may like each of some products."""

    def scores(
        self, session: Session, user_id: int, product_ids: Sequence[int]
    ) -> Mapping[int, float] | None:
        """Scores from 0 to 1, such as `recsys.search.ranking.formula.liking` of a product's rank.

        The same user and product must get the same score until the model changes, whatever other products are
        scored with it: a page continues where the previous one ended.

        Returns
        -------
        Mapping of int to float, or None
            By product; a product without a score counts as 0. None for a user without history.
        """


_current: Personaliser | None = None


def use(personaliser: Personaliser | None) -> None:
    """Register the personaliser of this process; None removes it."""
    global _current
    _current = personaliser


def current() -> Personaliser | None:
    """The registered personaliser, if there is one."""
    return _current
