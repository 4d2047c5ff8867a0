"""What a model proposes: scored, with evidence, as entries of a list."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from features.interactions import History
from models.results import Ranking
from recsys.domains.recommendations.reasons import Kind, ReasonCode, evidence_reasons
from recsys.domains.recommendations.stored_lists.codec import (
    SCORE_UNIT,
    Entry,
    encode,
    entries_of_records,
    strictly_decreasing,
)
from serving.ranking.eligibility import Novelty
from serving.state.active_model import LoadedModel

__all__ = ["EXPLAINED", "from_history", "from_model", "remembered", "similar"]

EXPLAINED = 100
"""So many entries of a list get their evidence looked up; those behind are told to be chosen."""

Told = Callable[[int], bool]


def from_history(
    loaded: LoadedModel,
    history: History,
    k: int,
    only: npt.NDArray[np.int64],
    touched: Told,
    bought: Told,
    question: Novelty = Novelty.ANY,
) -> list[Entry]:
    """The k best products of `only` for a history, in the model's order of that question.

    `touched` and `bought` speak of the same user.
    """
    with loaded.lock:
        ranking = loaded.model.recommend_from([history], k, exclude=question.excluded, only=only)
        evidence = _evidence(loaded, ranking, [history])
    return _entries_of(loaded, ranking, evidence, touched, bought, question)


def from_model(
    loaded: LoadedModel, user: int, k: int, only: npt.NDArray[np.int64], question: Novelty = Novelty.ANY
) -> list[Entry]:
    """The same for a user as the model remembers them, when nothing else can be asked."""
    with loaded.lock:
        ranking = loaded.model.recommend([user], k, exclude=question.excluded, only=only)
        evidence = _evidence(loaded, ranking, None)
    touched = remembered(loaded, user).__contains__
    return _entries_of(loaded, ranking, evidence, touched, lambda _: False, question)


def remembered(loaded: LoadedModel, user: int) -> frozenset[int]:
    """The products that the user touched before the model was fitted; none of a user it does not know."""
    model = loaded.model
    row = int(model.users_.index([user])[0])
    if row < 0:
        return frozenset()
    indptr = model.history_.indptr
    return frozenset(model.items_.ids[model.history_.indices[indptr[row] : indptr[row + 1]]].tolist())


def similar(
    loaded: LoadedModel,
    products: Sequence[int],
    k: int,
    only: npt.NDArray[np.int64],
    reason: ReasonCode = ReasonCode.SIMILAR_TO,
) -> list[Entry]:
    """The k products of `only` most like any of `products`, none of those themselves; none it does not know.

    The likenesses to several add up; scores are their mean, and the evidence is the nearest. A list with a
    mean above 1 (sums of weights, not shares) gets mean / (1 + mean), so that no score is cut off. Scores
    fall strictly, so that an order by score is the order of the list.
    """
    with loaded.lock:
        ranking = loaded.model.similar_items(list(products), k + len(products), only=only)
    found = ranking.products
    values = np.where(found >= 0, np.clip(np.nan_to_num(ranking.scores, neginf=0.0), 0.0, None), 0.0)
    there = found >= 0
    if not there.any():
        return []
    listed, place = np.unique(found[there], return_inverse=True)
    owner = np.broadcast_to(ranking.queries[:, None], found.shape)[there]
    total = np.bincount(place, weights=values[there])
    order = np.argsort(values[there], kind="stable")
    nearest = np.zeros(listed.size, dtype=np.int64)
    nearest[place[order]] = owner[order]  # the last that is written is the nearest
    own = np.isin(listed, list(products))
    best = [row for row in np.argsort(-total, kind="stable").tolist() if not own[row]][:k]
    mean = total[best] / len(products)
    if mean.size and mean[0] > 1.0:
        mean = mean / (1.0 + mean)
    return [
        Entry(int(listed[row]), units, Kind.SIMILAR, reason, int(nearest[row]), True)
        for row, units in zip(best, strictly_decreasing(np.rint(mean * SCORE_UNIT)).tolist(), strict=True)
    ]


def _entries_of(
    loaded: LoadedModel,
    ranking: Ranking,
    evidence: npt.NDArray[np.int64],
    touched: Told,
    bought: Told,
    question: Novelty,
) -> list[Entry]:
    """The only row of a ranking as entries, with the reason that its evidence gives."""
    products, scores = ranking.row(0)
    because = evidence[0, : products.size]

    def asked(what: Told, of: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        return np.fromiter(map(what, of.tolist()), np.bool_, of.size)

    records = encode(
        products,
        loaded.units(scores, question),
        np.full(products.size, loaded.kind),
        evidence_reasons(products, because, asked(bought, because), loaded.kind),
        because,
        ~asked(touched, products),
        asked(bought, products),
    )
    return list(entries_of_records(records))


def _evidence(loaded: LoadedModel, ranking: Ranking, told: Sequence[History] | None) -> npt.NDArray[np.int64]:
    head = Ranking(ranking.queries, ranking.products[:, :EXPLAINED], ranking.scores[:, :EXPLAINED])
    found = loaded.model.evidence(head, told)
    missing = ranking.products.shape[1] - found.shape[1]
    return np.pad(found, ((0, 0), (0, missing)), constant_values=-1)
