"""What a model proposes: scored, with evidence, as entries of a list."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from features.interactions import History
from models.results import Ranking
from recsys.domains.recommendations.lists import Entry
from recsys.domains.recommendations.reasons import Kind, ReasonCode, evidence_reason
from serving.active_model import Loaded

__all__ = ["entries_of", "from_history", "from_model", "remembered", "similar"]


def from_history(
    loaded: Loaded,
    history: History,
    k: int,
    closed: npt.NDArray[np.int64],
    touched: Callable[[int], bool],
    bought: Callable[[int], bool],
) -> list[Entry]:
    """The k best products for a history, none of `closed`; `touched` and `bought` speak of the same user."""
    with loaded.lock:
        ranking = loaded.model.recommend_from([history], k, exclude=closed)
        evidence = loaded.model.evidence(ranking, [history])
    return entries_of(loaded, ranking, evidence, 0, touched, bought)


def from_model(loaded: Loaded, user: int, k: int, closed: npt.NDArray[np.int64]) -> list[Entry]:
    """The same for a user as the model remembers them, when nothing else can be asked."""
    with loaded.lock:
        ranking = loaded.model.recommend([user], k, exclude=closed)
        evidence = loaded.model.evidence(ranking)
    return entries_of(loaded, ranking, evidence, 0, remembered(loaded, user).__contains__, lambda _: False)


def remembered(loaded: Loaded, user: int) -> frozenset[int]:
    """The products that the user touched before the model was fitted; none of a user it does not know."""
    model = loaded.model
    row = int(model.users_.index([user])[0])
    if row < 0:
        return frozenset()
    indptr = model.history_.indptr
    return frozenset(model.items_.ids[model.history_.indices[indptr[row] : indptr[row + 1]]].tolist())


def similar(loaded: Loaded, product: int, k: int, only: npt.NDArray[np.int64]) -> list[Entry]:
    """The k products most like one, none when the model does not know it; scores: likeness, cut to 0..1."""
    with loaded.lock:
        ranking = loaded.model.similar_items([product], k, only=only)
    products, scores = ranking.row(0)
    units = np.rint(np.clip(scores, 0.0, 1.0) * 10_000).astype(np.int64)
    return [
        Entry(one, score, Kind.SIMILAR, ReasonCode.SIMILAR_TO, product, True)
        for one, score in zip(products.tolist(), units.tolist(), strict=True)
    ]


def entries_of(
    loaded: Loaded,
    ranking: Ranking,
    evidence: npt.NDArray[np.int64],
    row: int,
    touched: Callable[[int], bool],
    bought: Callable[[int], bool],
) -> list[Entry]:
    """One row of a ranking as entries, with the reason that its evidence gives."""
    products, scores = ranking.row(row)
    kind = loaded.kind
    return [
        Entry(
            product,
            score,
            kind,
            evidence_reason(product, because, bought(because), kind),
            because,
            not touched(product),
            bought(product),
        )
        for product, score, because in zip(
            products.tolist(), loaded.units(scores).tolist(), evidence[row].tolist(), strict=False
        )
    ]
