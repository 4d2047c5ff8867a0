"""Evidence: which of a user's own products speaks most for each recommended one; and a model's opinion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from features.interactions import History
from models.ranking.filters import RankRequest, positive
from models.results import Explanation, MemberOpinion, Ranking
from models.shared.parallel import in_parallel, one_blas_thread

if TYPE_CHECKING:
    from models.base import Recommender

__all__ = ["Reasons", "explained", "opinion_of_whole", "strongest"]

Reasons = Callable[
    [RankRequest, npt.NDArray[np.int64]], tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]
]
"""`Recommender._reasons`: contributions of one user's history to the scores of items, and baselines."""

USERS = 1_024
"""At most so many users are prepared for together."""
PREPARED_BYTES = 256 * 2**20
"""At most this much is prepared for them, unless one user needs more."""


def strongest(
    model: Recommender, ranking: Ranking, histories: Sequence[History] | None
) -> npt.NDArray[np.int64]:
    """`Recommender.evidence`."""
    known_users = histories is None
    rows = model.users_.index(ranking.queries) if known_users else np.full(len(ranking), -1)
    listed = model.items_.index(ranking.products.ravel()).reshape(ranking.products.shape)
    found = np.full(ranking.products.shape, -1, dtype=np.int64)

    def answer(i: int, reasons: Reasons) -> None:
        known = np.flatnonzero(listed[i] >= 0)
        if known.size == 0 or (known_users and rows[i] < 0):
            return
        folded_in = None if histories is None else model._fold_in_request([histories[i]])
        request = folded_in or RankRequest.one(model.history_, int(rows[i]))
        history = positive(request.history)
        if history.nnz:
            parts, _ = reasons(request, listed[i, known])
            top = parts.argmax(axis=1)
            speaks = parts[np.arange(known.size), top] > 0
            found[i, known[speaks]] = model.items_.ids[history.indices[top[speaks]]]

    start = 0
    while start < len(ranking):
        stop, items = _together(listed, start, model._prepared_bytes())
        with one_blas_thread():
            reasons = model._reasons_for(items)
        in_parallel(_with(answer, reasons), range(start, stop))
        start = stop
    return found


def explained(model: Recommender, request: RankRequest, products: npt.ArrayLike) -> list[Explanation]:
    """`Recommender.explain_list_from`, for the only row of a request."""
    items = model.items_.index(np.asarray(products, dtype=np.int64))
    items = items[items >= 0]
    if items.size == 0:
        return []
    with one_blas_thread():
        parts, baselines = model._reasons(request, items)
    history = positive(request.history)
    explanations = []
    for item, own, baseline in zip(items.tolist(), parts, baselines.tolist(), strict=True):
        named = tuple(
            (int(model.items_.ids[history.indices[j]]), float(own[j]))
            for j in np.argsort(-own, kind="stable")
            if own[j] != 0
        )
        score = baseline + float(own.sum(dtype=np.float64))
        explanations.append(Explanation(int(model.items_.ids[item]), score, baseline, named))
    return explanations


def opinion_of_whole(model: Recommender, request: RankRequest, item: int) -> MemberOpinion:
    """The opinion of a model without members on an item row; `request` is of one user."""
    products, scores = model._rank(request, len(model.items_))
    position = np.flatnonzero(products[0] == model.items_.ids[item])
    if position.size == 0:
        return MemberOpinion(model.algorithm, None, None, False)
    place = int(position[0])
    return MemberOpinion(model.algorithm, float(scores[0, place]), place + 1, True)


def _with(answer: Callable[[int, Reasons], None], reasons: Reasons) -> Callable[[int], None]:
    return lambda i: answer(i, reasons)


def _together(
    listed: npt.NDArray[np.int64], start: int, bytes_each: int
) -> tuple[int, npt.NDArray[np.int64]]:
    """Up to which row to prepare, and the different items of the rows from `start` to there."""
    size = USERS
    while True:
        items = np.unique(listed[start : start + size])
        items = items[items >= 0]
        if size == 1 or items.size * bytes_each <= PREPARED_BYTES:
            return min(start + size, listed.shape[0]), items
        size = (size + 1) // 2
