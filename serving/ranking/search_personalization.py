"""Personalization of search results by the serving model; `recsys.search` itself knows no model."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence

from cachetools import TTLCache
from sqlalchemy.orm import Session

from features.build.builder import weights_of
from features.user_history import histories
from recsys.privacy.consent import without_personalisation
from recsys.search.ranking import formula as ranking
from recsys.settings import get_settings
from serving.state.active_model import LoadedModel
from serving.state.serving_data import ServingData

__all__ = ["ModelPersonaliser"]

FRESH_SECONDS = 60.0
"""A user's scores stay the same for this long, so that the pages of a search are consistent."""
CAPACITY = 500
"""Users whose scores are cached."""

_Scores = dict[int, float]


class ModelPersonaliser:
    """`recsys.search.ranking.personalization.Personaliser` by the serving model, with users folded in."""

    def __init__(self, serving_data: Callable[[], ServingData]) -> None:
        self._serving_data = serving_data
        self._scores: TTLCache[tuple[int, int], _Scores] = TTLCache(CAPACITY, FRESH_SECONDS)
        self._lock = threading.Lock()

    def scores(
        self, session: Session, user_id: int, product_ids: Sequence[int]
    ) -> Mapping[int, float] | None:
        """Return scores by position in the user's ranking; None for a user without history or consent."""
        model = self._serving_data().model
        if model is None:
            return None
        key = user_id, model.registered.id
        if without_personalisation(session, [user_id]):
            return None
        with self._lock:
            scores = self._scores.get(key)
        if scores is None:
            scores = self._rank(session, user_id, model)
            with self._lock:
                self._scores[key] = scores
        return {product: scores[product] for product in product_ids if product in scores} if scores else None

    def _rank(self, session: Session, user_id: int, model: LoadedModel) -> _Scores:
        catalogue = self._serving_data().catalogue
        (history,) = histories(session, [user_id], weights_of(get_settings()), model.model.moment_)
        if history.products.size == 0:
            return {}
        with model.lock:
            ranked = model.model.recommend_from(
                [history], min(ranking.RANKED, len(model.model.items_)), only=catalogue.shown_ids
            )
        products, _ = ranked.row(0)
        return {
            product: ranking.liking(position, len(catalogue))
            for position, product in enumerate(products.tolist())
        }
