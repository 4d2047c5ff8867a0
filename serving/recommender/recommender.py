"""One request, in a fixed order of falling back: stored, live, popular. It never errs and is seldom empty."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from recsys import clock
from recsys.cache import keys
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.stored_lists import cache as list_cache
from recsys.domains.recommendations.stored_lists import generations
from recsys.domains.recommendations.stored_lists.codec import Entry, StoredList, unpack
from recsys.errors import NotFound, RecsysError
from recsys.log import get_logger
from recsys.settings import get_settings
from serving.merchandising.compiled_rules import CompiledRules
from serving.merchandising.rerank import rerank
from serving.ranking.eligibility import Novelty, SeenProducts
from serving.ranking.filters import FilterResult, filter_products
from serving.ranking.strategies import Ranked, rank
from serving.ranking.user_context import UserContext, read_user_context
from serving.recommender.ab_routing import in_arm, of_page
from serving.recommender.explanations import parts_of, with_rules
from serving.recommender.pagination import Rest, decode
from serving.recommender.request import RecommendationRequest
from serving.recommender.response import RecommendationResponse
from serving.state.metrics import count_deadline
from serving.state.serving_state import State

__all__ = ["answer", "answer_page", "go_on", "unruled"]

_log = get_logger(__name__)


async def answer(state: State, wish: RecommendationRequest) -> RecommendationResponse:
    """One list. For what is stored one round trip to Redis, and nothing else.

    Raises NotFound for products that the shop does not have, Unavailable where a filter cannot be looked up.
    """
    _refuse_unknown(state, wish)
    stored, recent = await _from_redis(state, wish)
    if state.ab.current is None:
        return await _usual(state, wish, stored, recent)
    return await in_arm(
        state,
        wish,
        lambda: _usual(state, wish, stored, recent),
        lambda view: _on_page(view, wish, recent),
        lambda: _at_hand(state, wish, stored, recent),
    )


async def _usual(
    state: State, wish: RecommendationRequest, stored: StoredList | None, recent: SeenProducts
) -> RecommendationResponse:
    compiled = state.rules.compiled(state.catalogue.current)
    # a pin must know what the user bought, which is not known here
    if stored is not None and wish.plain and not recent.touched and not compiled.plan(wish.shelf).pins:
        found = _of_stored(state, wish, stored, recent, compiled)
        if len(found.entries) == wish.limit:
            return found
    return await _in_time(
        state, lambda: _made(state, wish, stored, recent), lambda: _at_hand(state, wish, stored, recent)
    )


async def answer_page(state: State, wishes: Sequence[RecommendationRequest]) -> list[RecommendationResponse]:
    """Several shelves of one page, no product twice: what one shelf shows, later ones do not."""
    answers: list[RecommendationResponse] = []
    taken: list[int] = []
    for wish in wishes:
        _refuse_unknown(state, wish)
        _, recent = await _from_redis(state, wish)
        on_page = tuple(taken)
        made = partial(_on_page, wish=wish, recent=recent, on_page=on_page)
        at_hand = partial(_at_hand, state, wish, None, recent, on_page)
        usual = partial(_in_time, state, partial(made, state), at_hand)
        found = await in_arm(state, wish, usual, made, at_hand)
        taken += [one.product for one in found.entries]
        answers.append(found)
    return answers


async def go_on(state: State, wish: RecommendationRequest, cursor: str) -> RecommendationResponse:
    """The next page of a list. Raises Invalid for a cursor that is none, or of another question."""
    rest = decode(cursor, wish)
    _, recent = await _from_redis(state, wish)
    return of_page(state, wish, _cut(state, wish, recent, rest))


def unruled(state: State, wish: RecommendationRequest) -> tuple[Ranked, npt.NDArray[np.bool_]]:
    """The live candidates of a wish before any rule, and the rows that qualify: what rules are tried on.

    Raises NotFound for products that the shop does not have.
    """
    _refuse_unknown(state, wish)
    past = read_user_context(wish, state.model.current, SeenProducts())
    qualified = _qualified(state, wish, past, ruled=False)
    return rank(state, wish, past, qualified), qualified.allowed


def _refuse_unknown(state: State, wish: RecommendationRequest) -> None:
    """A page about a product that nobody knows is a mistake of the caller; an old cart is not."""
    for product in wish.products:
        if state.catalogue.current.row(product) < 0:
            raise NotFound("There is no such product.")


async def _from_redis(state: State, wish: RecommendationRequest) -> tuple[StoredList | None, SeenProducts]:
    line = state.line
    if line is None or not state.redis_well or (wish.user is None and wish.session is None):
        return None, SeenProducts()
    try:
        if wish.user is None:
            members, _ = await line.read(keys.recent_session_interactions(wish.session or ""), "-")
            return None, SeenProducts.of_recent(members)
        # no generation has the id 0, so nothing is found while none is shown
        shown = keys.stored_recommendations(state.generation or 0, wish.user)
        members, data = await line.read(keys.recent_interactions(wish.user), shown)
    except (RedisError, OSError) as error:
        state.redis_well = False  # the background looks again each second; until then nobody waits
        _log.error("Redis does not answer; lists come from PostgreSQL", error=str(error))
        return None, SeenProducts()
    recent = SeenProducts.of_recent(members)
    try:
        return None if data is None else unpack(data), recent
    except (RecsysError, ValueError) as error:
        _log.error("a stored list in Redis cannot be read; it is repaired", user=wish.user, error=str(error))
        return await _repaired(state, wish.user), recent


async def _repaired(state: State, user: int) -> StoredList | None:
    """The user's list from PostgreSQL, which takes the damaged one's place in Redis; None when it is late."""
    generation = state.generation or 0

    def repair() -> StoredList | None:
        stored = _from_postgresql(user)
        try:
            list_cache.repair(generation, user, stored)
        except (RedisError, OSError, RecsysError) as error:
            _log.error("a stored list in Redis could not be repaired", user=user, error=str(error))
        return stored

    try:
        return await state.makers.within(get_settings().serving.deadline_ms / 1000, repair)
    except TimeoutError:
        return None


async def _in_time(
    state: State, made: Callable[[], RecommendationResponse], at_hand: Callable[[], RecommendationResponse]
) -> RecommendationResponse:
    """What a thread makes within the deadline, else what is at hand, marked as incomplete."""
    try:
        return await state.makers.within(get_settings().serving.deadline_ms / 1000, made)
    except TimeoutError:
        count_deadline()
        return replace(at_hand(), complete=False)


def _on_page(
    state: State, wish: RecommendationRequest, recent: SeenProducts, on_page: Collection[int] = ()
) -> RecommendationResponse:
    return _live(state, wish, read_user_context(wish, state.model.current, recent), on_page)


def _made(
    state: State, wish: RecommendationRequest, stored: StoredList | None, recent: SeenProducts
) -> RecommendationResponse:
    """In a thread: the stored list of PostgreSQL when it is as good, else one that is made now."""
    if wish.plain and not recent.touched:
        if stored is None and wish.user is not None and not state.redis_well:
            stored = _from_postgresql(wish.user)
        if stored is not None:
            past = read_user_context(wish, state.model.current, recent)
            found = _of_stored(state, wish, stored, past.visitor)
            return found if len(found.entries) == wish.limit else _longer(found, _live(state, wish, past))
    return _live(state, wish, read_user_context(wish, state.model.current, recent))


def _longer(stored: RecommendationResponse, live: RecommendationResponse) -> RecommendationResponse:
    """A stored list that is too short goes on with a live one, if that can."""
    if live.source == "popular" and stored.entries:
        have = {one.product for one in stored.entries}
        below, more = stored.entries[-1].score, []
        for one in [*live.entries, *live.rest]:
            if one.product not in have:
                below = max(0, min(one.score, below - 1))
                more.append(one._replace(score=below))
        missing = stored.wish.limit - len(stored.entries)
        return replace(stored, entries=[*stored.entries, *more[:missing]], rest=more[missing:])
    return live if len(live.entries) > len(stored.entries) else stored


def _at_hand(
    state: State,
    wish: RecommendationRequest,
    stored: StoredList | None,
    recent: SeenProducts,
    on_page: Collection[int] = (),
) -> RecommendationResponse:
    """The best list that costs no waiting: the stored one, or popular products that qualify."""
    if stored is not None and wish.plain:
        found = _of_stored(state, wish, stored, recent)
        if found.entries:
            return found
    qualified = _qualified(state, wish, UserContext(recent), on_page, patient=False)
    entries = state.popular.entries(state.catalogue.current, 3 * wish.limit, qualified.allowed)
    return _shown(state, wish, Ranked(entries), qualified)


def _live(
    state: State, wish: RecommendationRequest, past: UserContext, on_page: Collection[int] = ()
) -> RecommendationResponse:
    qualified = _qualified(state, wish, past, on_page)
    ranked = rank(state, wish, past, qualified)
    compiled = state.rules.compiled(state.catalogue.current)
    arranged = rerank(compiled, wish, ranked.entries, qualified.allowed)
    found = _shown(state, wish, Ranked(arranged.entries, ranked.by), qualified)
    if wish.explain:
        parts = {} if ranked.by is None else parts_of(ranked.by, past, found.entries, wish.novelty)
        found = replace(found, parts=with_rules(parts, arranged.rules, found.entries))
    return replace(found, removed={**qualified.removed, **arranged.removed})


def _qualified(
    state: State,
    wish: RecommendationRequest,
    past: UserContext,
    on_page: Collection[int] = (),
    *,
    patient: bool = True,
    ruled: bool = True,
) -> FilterResult:
    catalogue = state.catalogue.current
    found = filter_products(catalogue, wish.filters, state.attributes, patient=patient)
    for why, closed in past.visitor.closed(catalogue, wish.novelty).items():
        found = found.without(why, closed)
    if on_page:
        found = found.without("on_page", catalogue.mark(on_page))
    plan = state.rules.compiled(catalogue).plan(wish.shelf)
    return found.without("rules", plan.hidden) if ruled and plan.hides else found


def _shown(
    state: State, wish: RecommendationRequest, ranked: Ranked, qualified: FilterResult
) -> RecommendationResponse:
    entries = ranked.entries
    by = None if ranked.by is None else ranked.by.registered
    made = int(clock.now().timestamp()) if ranked.by is not None else int(state.popular_at)
    return RecommendationResponse(
        wish,
        entries[: wish.limit],
        ranked.source,
        None if by is None else by.name,
        None if by is None else by.version,
        None,
        made,
        entries[wish.limit :],
        removed=qualified.removed,
        qualified=int(qualified.allowed.sum()),
    )


def _of_stored(
    state: State,
    wish: RecommendationRequest,
    stored: StoredList,
    visitor: SeenProducts,
    compiled: CompiledRules | None = None,
) -> RecommendationResponse:
    compiled = compiled or state.rules.compiled(state.catalogue.current)
    catalogue, entries = compiled.catalogue, _asked_for(stored, wish)
    if not compiled.plan(wish.shelf).empty:
        seen = visitor.first(catalogue, entries, len(entries), wish.novelty)
        entries = rerank(compiled, wish, seen, _open_to(state, wish, visitor)).entries
    rest = Rest(entries, "stored", stored.model, stored.version, stored.generation, stored.made_at, 0)
    return _cut(state, wish, visitor, rest, compiled)


def _asked_for(stored: StoredList, wish: RecommendationRequest) -> Sequence[Entry]:
    return stored.new if wish.novelty is Novelty.NEW else stored.entries


def _open_to(state: State, wish: RecommendationRequest, visitor: SeenProducts) -> npt.NDArray[np.bool_]:
    catalogue = state.catalogue.current
    allowed = catalogue.shown
    for closed in visitor.closed(catalogue, wish.novelty).values():
        allowed = allowed & ~closed
    return allowed


def _cut(
    state: State,
    wish: RecommendationRequest,
    visitor: SeenProducts,
    rest: Rest,
    compiled: CompiledRules | None = None,
) -> RecommendationResponse:
    """The next `limit` products of a list that may be shown now; the others stay for later pages."""
    compiled = compiled or state.rules.compiled(state.catalogue.current)
    catalogue, plan = compiled.catalogue, compiled.plan(wish.shelf)
    hidden = set(catalogue.ids[plan.hidden].tolist()) if plan.hides else ()
    found, looked = visitor.cut(catalogue, rest.entries, wish.limit, wish.novelty, hidden)
    return RecommendationResponse(
        wish,
        found,
        rest.source,
        rest.model,
        rest.version,
        rest.generation,
        rest.made_at,
        rest.entries[looked:],
        rest.shown,
    )


def _from_postgresql(user: int) -> StoredList | None:
    try:
        with unit_of_work() as session:
            return generations.read_list(session, user)
    except (RecsysError, SQLAlchemyError) as error:
        _log.error("the stored list cannot be read from PostgreSQL", error=str(error))
        return None
