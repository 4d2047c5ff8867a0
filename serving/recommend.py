"""One request, in a fixed order of falling back: stored, live, popular. It never errs and is never empty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import orjson
from anyio import to_thread
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from features.build import weights_of
from features.history import histories
from features.interactions import History
from recsys.cache import keys
from recsys.database.session import unit_of_work
from recsys.domains.recommendations import generations
from recsys.domains.recommendations.lists import SCORE_UNIT, Entry, StoredList, unpack
from recsys.domains.recommendations.reasons import KIND_WORDS, reason
from recsys.errors import NotFound, RecsysError
from recsys.log import get_logger
from recsys.settings import get_settings
from serving import touches
from serving.active_model import Loaded
from serving.candidates import from_history, from_model, remembered, similar
from serving.catalogue import Catalogue
from serving.rules import Novelty, Visitor
from serving.state import State

__all__ = ["Answer", "for_user", "popular_products", "render", "similar_products"]

_log = get_logger(__name__)
Source = Literal["stored", "live", "popular"]


@dataclass(frozen=True)
class Answer:
    """A finished list and where it comes from."""

    entries: Sequence[Entry]
    source: Source
    model: str | None = None
    version: str | None = None
    generation: int | None = None


async def for_user(state: State, catalogue: Catalogue, user: int, limit: int, novelty: Novelty) -> Answer:
    """The list of one user; one round trip to Redis when a list is stored, and nothing else."""
    stored, visitor = await _from_redis(state, user)
    if stored is not None:
        found = visitor.first(catalogue, stored.entries, limit, novelty)
        if len(found) == limit:
            return _stored(stored, found)
    return await to_thread.run_sync(_slowly, state, catalogue, user, limit, novelty, stored, visitor)


async def _from_redis(state: State, user: int) -> tuple[StoredList | None, Visitor]:
    line = state.line
    if line is None or not state.redis_well:
        return None, Visitor()
    try:
        # no generation has the id 0, so nothing is found while none is shown
        shown = keys.stored_recommendations(state.generation or 0, user)
        recent, data = await line.read(keys.recent_interactions(user), shown)
        return None if data is None else unpack(data), Visitor.of_recent(recent)
    except (RedisError, OSError) as error:
        state.redis_well = False  # the background looks again each second; until then nobody waits
        _log.error("Redis does not answer; lists come from PostgreSQL", error=str(error))
    except (RecsysError, ValueError) as error:
        _log.error("a stored list cannot be read", error=str(error))
    return None, Visitor()


def _slowly(
    state: State,
    catalogue: Catalogue,
    user: int,
    limit: int,
    novelty: Novelty,
    stored: StoredList | None,
    recent: Visitor,
) -> Answer:
    """In a thread: the list from PostgreSQL, or made now, topped up with what is popular."""
    loaded = state.model.current
    visitor, known = recent, True
    history: History | None = None
    try:
        with unit_of_work() as session:
            visitor = recent.and_also(touches.of_user(session, user))
            if stored is None:
                stored = generations.read_list(session, user)
            if visitor.touched and loaded is not None:
                history = histories(session, [user], weights_of(get_settings()), loaded.model.moment_)[0]
    except (RecsysError, SQLAlchemyError) as error:
        known = False
        _log.error("PostgreSQL does not answer; the list is made from memory", error=str(error))
        if loaded is not None:
            # the model does not remember what of it was bought: all of it counts as bought
            past = remembered(loaded, user)
            visitor = recent.and_also(Visitor(past, past))

    answer = Answer([], "popular")
    if stored is not None:
        answer = _stored(stored, visitor.first(catalogue, stored.entries, limit, novelty))
    if len(answer.entries) < limit and loaded is not None:
        live = _live(loaded, catalogue, user, limit, novelty, visitor, history, known)
        if len(live) > len(answer.entries):
            answer = Answer(live, "live", loaded.registered.name, loaded.registered.version)
    return _filled(state, catalogue, answer, limit, novelty, visitor)


def _live(
    loaded: Loaded,
    catalogue: Catalogue,
    user: int,
    limit: int,
    novelty: Novelty,
    visitor: Visitor,
    history: History | None,
    known: bool,
) -> list[Entry]:
    closed = np.concatenate([visitor.closed(catalogue, novelty), loaded.gone(catalogue)])
    if history is not None:
        touched, bought = visitor.touched.__contains__, visitor.bought.__contains__
        return from_history(loaded, history, limit, closed, touched, bought)
    # who has no past by PostgreSQL's word is told nothing from the model's memory of them
    return [] if known or not loaded.model.knows(user) else from_model(loaded, user, limit, closed)


def _filled(
    state: State, catalogue: Catalogue, answer: Answer, limit: int, novelty: Novelty, visitor: Visitor
) -> Answer:
    missing = limit - len(answer.entries)
    if missing <= 0:
        return answer
    have = {one.product for one in answer.entries}
    more = visitor.first(catalogue, state.popular.entries(catalogue, have), missing, novelty)
    if not answer.entries:
        return Answer(more, "popular")
    ceiling = answer.entries[-1].score
    entries = [*answer.entries, *(one._replace(score=min(one.score, ceiling)) for one in more)]
    return Answer(entries, answer.source, answer.model, answer.version, answer.generation)


def _stored(stored: StoredList, entries: Sequence[Entry]) -> Answer:
    return Answer(entries, "stored", stored.model, stored.version, stored.generation)


def similar_products(state: State, catalogue: Catalogue, product: int, limit: int) -> Answer:
    """Products like one: by the model, then popular ones of its category, then popular ones.

    Raises NotFound when there is no such product.
    """
    loaded = state.model.current
    row = int(catalogue.rows([product])[0])
    if row < 0:
        raise NotFound("There is no such product.")
    entries: list[Entry] = []
    answer = Answer(entries, "popular")
    if loaded is not None:
        entries += similar(loaded, product, limit, catalogue.shown_ids)
        if entries:
            answer = Answer(entries, "live", loaded.registered.name, loaded.registered.version)
    category = int(catalogue.category[row])
    for wanted in (category if category >= 0 else None, None):
        have = {product, *(one.product for one in entries)}
        missing = limit - len(entries)
        more = Visitor().first(
            catalogue, state.popular.entries(catalogue, have, wanted), missing, Novelty.ANY
        )
        ceiling = entries[-1].score if entries else SCORE_UNIT
        entries += [one._replace(score=min(one.score, ceiling)) for one in more]
    return answer


def popular_products(state: State, catalogue: Catalogue, limit: int) -> Answer:
    """What is popular, for everybody."""
    return Answer(Visitor().first(catalogue, state.popular.entries(catalogue), limit, Novelty.ANY), "popular")


def render(catalogue: Catalogue, answer: Answer, request_id: str) -> bytes:
    """The documented answer as JSON."""
    cards = catalogue.cards
    items = []
    for product, score, kind, code, evidence, _, _ in answer.entries:
        card = cards.get(product)
        if card is None:  # gone since the list was made
            continue
        items.append(
            {
                "product_id": product,
                "name": card.name,
                "price": card.price,
                "score": score / SCORE_UNIT,
                "type": KIND_WORDS[kind],
                "reason": reason(code, evidence, catalogue.name(evidence) if evidence > 0 else None),
            }
        )
    provenance = {
        "request_id": request_id,
        "source": answer.source,
        "model": answer.model,
        "version": answer.version,
        "generation": answer.generation,
    }
    return orjson.dumps({"items": items, "provenance": provenance})
