"""The user of a request: the history that a model folds in, and the products they have seen."""

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
from recsys.privacy import consent
from recsys.settings import get_settings
from serving.batch import interaction_index
from serving.ranking.candidates import trained_products
from serving.ranking.eligibility import SeenProducts
from serving.recommender.request import RecommendationRequest
from serving.state.active_model import LoadedModel

__all__ = ["UserContext", "read_user_context"]

_MAX_INTERACTIONS = 4 * LIMIT
"""The products of a user with more are read by a second query, which is cheaper than reading all events."""
_log = get_logger(__name__)


class _OutageLog:
    """Logs at most every `SECONDS`, not for every list, that PostgreSQL is away."""

    SECONDS = 10.0

    def __init__(self) -> None:
        self._next = 0.0
        self._count = 0

    def log(self, error: str) -> None:
        self._count += 1
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + self.SECONDS
            _log.error(
                "PostgreSQL does not answer; lists are made from memory", lists=self._count, error=error
            )
            self._count = 0


_outage_log = _OutageLog()
_CATEGORIES = text(
    """
    SELECT id FROM products_db.categories
    WHERE lower(name) = ANY(:names) OR lower(slug) = ANY(:names) OR CAST(id AS varchar) = ANY(:names)
    """
).bindparams(bindparam("names", type_=ARRAY(VARCHAR)))


@dataclass(frozen=True, eq=False)
class UserContext:
    """What a request needs to know of its user.

    Attributes
    ----------
    seen
        The products that the user interacted with.
    history
        Oldest first, products in the cart last; None without any.
    complete
        Whether PostgreSQL could be read.
    preferred_categories
        Ids of the categories among the user's stated preferences.
    """

    seen: SeenProducts = field(default_factory=SeenProducts)
    history: History | None = None
    complete: bool = True
    preferred_categories: frozenset[int] = frozenset()


def read_user_context(
    request: RecommendationRequest, model: LoadedModel | None, recent: SeenProducts
) -> UserContext:
    """Read the user's context from PostgreSQL; while it is away, from Redis and the training data."""
    try:
        with unit_of_work() as session:
            if not consent.of_visitor(session, request.user, request.session).personalisation:
                return _with_cart(request, UserContext(), model)
            user = _from_postgresql(session, request, model, recent)
    except (RecsysError, SQLAlchemyError, RedisError) as error:
        _outage_log.log(str(error))
        user = UserContext() if _refuses(request) else _from_memory(request, model, recent)
    return _with_cart(request, user, model)


def _refuses(request: RecommendationRequest) -> bool:
    """Whether the visitor refuses personalisation by what Redis knows; False while it is away too."""
    try:
        return consent.refuses_in_redis(request.user, request.session)
    except (RedisError, OSError, RecsysError) as error:
        _outage_log.log(str(error))
        return False


def _from_postgresql(
    session: Session, request: RecommendationRequest, model: LoadedModel | None, recent: SeenProducts
) -> UserContext:
    weights = weights_of(get_settings())
    moment = _now() if model is None else model.model.moment_
    seen, histories, preferred = recent, [], frozenset[int]()
    if request.user is not None:
        interactions = user_interactions(session, [request.user], _MAX_INTERACTIONS)[0]
        stored = (
            interaction_index.of_interactions(interactions)
            if len(interactions) < _MAX_INTERACTIONS
            else interaction_index.of_user(session, request.user)
        )
        seen = seen.union(stored)
        histories += weigh([interactions], weights, moment)
        preferred = _preferred_categories(session, request.user)
    if request.session is not None:
        seen = seen.union(interaction_index.of_session(session, request.session))
        histories.append(guest_history(session, request.session, weights, moment))
    return UserContext(seen, _joined(histories), True, preferred)


def _from_memory(
    request: RecommendationRequest, model: LoadedModel | None, recent: SeenProducts
) -> UserContext:
    touched_in_training = (
        frozenset() if model is None or request.user is None else trained_products(model, request.user)
    )
    # the training data does not distinguish purchases: all of its products count as bought
    seen = recent.union(SeenProducts(touched_in_training, touched_in_training))
    liked = [product for product in recent.touched if product not in recent.dismissed]
    history = History.of(np.array(sorted(liked), dtype=np.int64)) if liked else None
    return UserContext(seen, history, False)


def _with_cart(request: RecommendationRequest, user: UserContext, model: LoadedModel | None) -> UserContext:
    """Add the products in the cart as interactions of this moment."""
    if not request.cart:
        return user
    weight = get_settings().features.weights.get("add_to_cart", 0.0)
    moment = _now() if model is None else max(model.model.moment_, _now())
    cart = History(
        np.array(request.cart, dtype=np.int64),
        np.full(len(request.cart), weight, dtype=np.float32),
        np.full(len(request.cart), moment, dtype=np.int64),
    )
    history = cart if user.history is None else _joined([user.history, cart])
    seen = user.seen.union(SeenProducts(set(request.cart)))
    return UserContext(seen, history, user.complete, user.preferred_categories)


def _joined(histories: list[History]) -> History | None:
    """Join histories, ordered by time; None without interactions."""
    filled = [history for history in histories if history.products.size]
    if len(filled) < 2:
        return filled[0] if filled else None
    times = np.concatenate([history.times for history in filled])
    order = np.argsort(times, kind="stable")
    return History(
        np.concatenate([history.products for history in filled])[order],
        np.concatenate([history.weights for history in filled])[order],
        times[order],
    )


def _preferred_categories(session: Session, user: int) -> frozenset[int]:
    liked = preferences.liked_categories(session, user)
    names = [name.rpartition(">")[2].strip().lower() for name in liked]
    return frozenset(session.scalars(_CATEGORIES, {"names": names})) if names else frozenset()


def _now() -> int:
    return int(clock.now().timestamp() * 1_000_000)
