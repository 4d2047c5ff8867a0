"""Which answer a piece of feedback is about: whose list it was, and the product's place in it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from redis.exceptions import RedisError
from sqlalchemy.orm import Session

from recsys.cache.client import get_redis
from recsys.domains.recommendations.impressions import store as impressions
from recsys.domains.recommendations.impressions.store import Answered
from recsys.errors import Unavailable
from recsys.log import get_logger

__all__ = ["NotInAnswer", "Place", "look_up", "place_in"]

_log = get_logger(__name__)


class NotInAnswer(ValueError):
    """The answer is not what the feedback takes it for; the text is the reason for its sender."""


@dataclass(frozen=True)
class Place:
    """One product of one answered list; `position` counts from 1 over all pages of the list."""

    answered: Answered
    position: int


def look_up(session: Session, request_ids: Collection[str]) -> dict[str, list[Answered]]:
    """The lists of these requests, from PostgreSQL or on their way there; unknown ones are missing."""
    found = impressions.find(session, request_ids)
    missing = set(request_ids) - found.keys()
    if missing:
        try:
            found |= impressions.recall(get_redis(), missing)
        except (RedisError, OSError, Unavailable) as error:
            _log.warning("answers that are not stored yet can't be looked up", error=str(error))
    return found


def place_in(
    lists: Sequence[Answered], product_id: int, *, shelf: str | None, user_id: int | None, visit: str | None
) -> Place:
    """Where the product stood in what this user, or guest by the visit, was answered.

    A list that was answered to nobody in particular is everybody's.

    Parameters
    ----------
    lists
        The lists of one response.
    shelf
        The list that is meant; None: the first that has the product.
    visit
        The guest's session.

    Raises
    ------
    NotInAnswer
        None of the lists is theirs, or the product is in none of them.
    """
    mine = [one for one in lists if _belongs(one, user_id, visit)]
    if not mine:
        # the same words whether there was such an answer to somebody else or not
        raise NotInAnswer("request_id: no such answer to this user or guest")
    shelves: Mapping[str, Answered] = {one.shelf: one for one in mine}
    if shelf is not None and shelf not in shelves:
        raise NotInAnswer(f"shelf: that answer has {', '.join(sorted(shelves))}")
    for one in mine if shelf is None else [shelves[shelf]]:
        if product_id in one.products:
            return Place(one, one.before + one.products.index(product_id) + 1)
    raise NotInAnswer(
        "product_id: was not in that answer" if shelf is None else "product_id: not on that shelf"
    )


def _belongs(one: Answered, user_id: int | None, visit: str | None) -> bool:
    if one.user_id is None and one.session_id is None:
        return True
    return (user_id is not None and one.user_id == user_id) or (visit is not None and one.session_id == visit)
