"""Both questions of a user at once: any product, and what is new to them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from features.interactions import History
from models.base import Recommender
from models.ranking.filters import RankRequest, Selection, as_ids
from models.results import Ranking

__all__ = ["recommend_both"]

Rows = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float32]


def recommend_both(
    model: Recommender,
    users: npt.ArrayLike,
    k: int,
    k_new: int,
    *,
    histories: Sequence[History] | None = None,
    only: npt.ArrayLike | None = None,
) -> tuple[Ranking, Ranking]:
    """The same as `recommend(users, k, only=only)` and `recommend(users, k_new, exclude="seen", only=only)`.

    A model whose scores do not depend on the question computes them once for both.

    Parameters
    ----------
    users : int64, shape (n,)
    k, k_new
        Lengths of the lists of any product, and of products that are new to the user.
    histories
        One for each of `users`: then the same as `recommend_from` twice, with `users` as `queries`.
    only : int64
        Product ids to choose from (default: all).
    """
    asked = as_ids(users, "users")
    every, new = Selection.of(model.items_, None, only), Selection.of(model.items_, "seen", only)
    rows = model.users_.index(asked) if histories is None else np.full(asked.size, -1, dtype=np.int64)
    places = np.flatnonzero(rows >= 0) if histories is None else np.arange(asked.size)

    def rank(part: Rows) -> tuple[Rows, Rows, Scores]:
        own = places[part]
        block = (
            RankRequest(model.history_[rows[own]], rows[own], every)
            if histories is None
            else model._fold_in_request([histories[i] for i in own.tolist()], every)
        )
        of_any, of_new = model._rank_both(block, new, k, k_new)
        return own, np.hstack([of_any[0], of_new[0]]), np.hstack([of_any[1], of_new[1]])

    both = model._gathered(asked, k + k_new, places.size, rank)
    return (
        Ranking(asked, both.products[:, :k], both.scores[:, :k]),
        Ranking(asked, both.products[:, k:], both.scores[:, k:]),
    )
