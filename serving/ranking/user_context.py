"""The context of the user who is served: interactions as weights, and products that are not eligible."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
from redis.exceptions import RedisError
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, VARCHAR
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from features.build.builder import weights_of
from features.interactions import History
from features.user_history import LIMIT, guest_history, user_interactions, weigh
from recsys import clock
from recsys.database.session import unit_of_work
from recsys.domains.recommendations import preferences
from recsys.errors import RecsysError
from recsys.log import get_logger
from recsys.settings import get_settings
from serving.batch import interaction_index
from serving.ranking.candidates import remembered
from serving.ranking.eligibility import SeenProducts
from serving.recommender.request import RecommendationRequest
from serving.state.active_model import LoadedModel

__all__ = ["UserContext", "read_user_context"]

_MOST = 4 * LIMIT
"""Who did more is asked for their products apart: a second look is cheaper than so many events."""
_log = get_logger(__name__)


class _Absence:
    """Says once in a while, not for every answer, that PostgreSQL is away."""

    SECONDS = 10.0

    def __init__(self) -> None:
        self._next = 0.0
        self._lists = 0

    def say(self, error: str) -> None:
        self._lists += 1
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + self.SECONDS
            _log.error(
                "PostgreSQL does not answer; lists are made from memory", lists=self._lists, error=error
            )
            self._lists = 0


_absence = _Absence()
_CATEGORIES = text(
    """
    SELECT id FROM products_db.categories
    WHERE lower(name) = ANY(:names) OR lower(slug) = ANY(:names) OR CAST(id AS varchar) = ANY(:names)
    """
).bindparams(bindparam("names", type_=ARRAY(VARCHAR)))


@dataclass(frozen=True, eq=False)
class UserContext:
    """history: oldest first, the cart last; None when nothing is known. complete: PostgreSQL was read.

    chosen  ids of the categories of the user's explicit preferences
    """

    visitor: SeenProducts = field(default_factory=SeenProducts)
    history: History | None = None
    complete: bool = True
    chosen: frozenset[int] = frozenset()


def read_user_context(
    wish: RecommendationRequest, loaded: LoadedModel | None, recent: SeenProducts
) -> UserContext:
    """Everything an answer needs of who asks; without PostgreSQL what Redis and the model remember."""
    try:
        with unit_of_work() as session:
            past = _from_postgresql(session, wish, loaded, recent)
    except (RecsysError, SQLAlchemyError, RedisError) as error:
        _absence.say(str(error))
        past = _from_memory(wish, loaded, recent)
    return _with_cart(wish, past, loaded)


def _from_postgresql(
    session: Session, wish: RecommendationRequest, loaded: LoadedModel | None, recent: SeenProducts
) -> UserContext:
    weights = weights_of(get_settings())
    moment = _now() if loaded is None else loaded.model.moment_
    visitor, histories, chosen = recent, [], frozenset[int]()
    if wish.user is not None:
        did = user_interactions(session, [wish.user], _MOST)[0]
        all_of_it = (
            interaction_index.of_interactions(did)
            if len(did) < _MOST
            else interaction_index.of_user(session, wish.user)
        )
        visitor = visitor.and_also(all_of_it)
        histories += weigh([did], weights, moment)
        chosen = _chosen(session, wish.user)
    if wish.session is not None:
        visitor = visitor.and_also(interaction_index.of_session(session, wish.session))
        histories.append(guest_history(session, wish.session, weights, moment))
    return UserContext(visitor, _joined(histories), True, chosen)


def _from_memory(
    wish: RecommendationRequest, loaded: LoadedModel | None, recent: SeenProducts
) -> UserContext:
    known = frozenset() if loaded is None or wish.user is None else remembered(loaded, wish.user)
    # the model does not remember what of it was bought: all of it counts as bought
    visitor = recent.and_also(SeenProducts(known, known))
    liked = [one for one in recent.touched if one not in recent.dismissed]
    history = History.of(np.array(sorted(liked), dtype=np.int64)) if liked else None
    return UserContext(visitor, history, False)


def _with_cart(wish: RecommendationRequest, past: UserContext, loaded: LoadedModel | None) -> UserContext:
    """What lies in the cart counts as put there just now."""
    if not wish.cart:
        return past
    weight = get_settings().features.weights.get("add_to_cart", 0.0)
    moment = _now() if loaded is None else max(loaded.model.moment_, _now())
    cart = History(
        np.array(wish.cart, dtype=np.int64),
        np.full(len(wish.cart), weight, dtype=np.float32),
        np.full(len(wish.cart), moment, dtype=np.int64),
    )
    history = cart if past.history is None else _joined([past.history, cart])
    visitor = past.visitor.and_also(SeenProducts(set(wish.cart)))
    return UserContext(visitor, history, past.complete, past.chosen)


def _joined(histories: list[History]) -> History | None:
    """All of it in the order of its time."""
    filled = [one for one in histories if one.products.size]
    if len(filled) < 2:
        return filled[0] if filled else None
    times = np.concatenate([one.times for one in filled])
    order = np.argsort(times, kind="stable")
    return History(
        np.concatenate([one.products for one in filled])[order],
        np.concatenate([one.weights for one in filled])[order],
        times[order],
    )


def _chosen(session: Session, user: int) -> frozenset[int]:
    liked = preferences.liked_categories(session, user)
    names = [name.rpartition(">")[2].strip().lower() for name in liked]
    return frozenset(session.scalars(_CATEGORIES, {"names": names})) if names else frozenset()


def _now() -> int:
    return int(clock.now().timestamp() * 1_000_000)
