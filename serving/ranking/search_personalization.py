"""The order in which a user would like the products that a search found: search itself knows no model."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence

from sqlalchemy.orm import Session

from features.build.builder import weights_of
from features.user_history import histories
from recsys.search.ranking import formula as ranking
from recsys.settings import get_settings
from serving.state.serving_state import State

__all__ = ["ModelPersonaliser"]

FRESH_SECONDS = 60.0
"""So long a user's scores stay as they are, so that the pages of a search go on where they ended."""
KEPT = 500

_Scores = dict[int, float]


class ModelPersonaliser:
    """`recsys.search.ranking.personalization.Personaliser` by the model that serves, with users folded in."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._kept: OrderedDict[tuple[int, int], tuple[float, _Scores]] = OrderedDict()
        self._lock = threading.Lock()

    def scores(
        self, session: Session, user_id: int, product_ids: Sequence[int]
    ) -> Mapping[int, float] | None:
        """How far up each stands in the user's own ranking; None for a user who did nothing yet."""
        loaded = self._state.model.current
        if loaded is None:
            return None
        key = user_id, loaded.registered.id
        with self._lock:
            kept = self._kept.get(key)
        if kept is None or time.monotonic() - kept[0] > FRESH_SECONDS:
            kept = time.monotonic(), self._ranked(session, user_id)
            with self._lock:
                self._kept[key] = kept
                self._kept.move_to_end(key)
                while len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
        found = kept[1]
        return {one: found[one] for one in product_ids if one in found} if found else None

    def _ranked(self, session: Session, user_id: int) -> _Scores:
        loaded, catalogue = self._state.model.current, self._state.catalogue.current
        assert loaded is not None
        (history,) = histories(session, [user_id], weights_of(get_settings()), loaded.model.moment_)
        if history.products.size == 0:
            return {}
        with loaded.lock:
            best = loaded.model.recommend_from(
                [history], min(ranking.RANKED, len(loaded.model.items_)), only=catalogue.shown_ids
            )
        products, _ = best.row(0)
        return {one: ranking.liking(place, len(catalogue)) for place, one in enumerate(products.tolist())}
