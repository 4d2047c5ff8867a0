"""Recent interactions in Redis: the products that a user or a guest touched, for the next response.

Members of `interactions:recent:…`: `17` means product 17 was touched, `-17` that it was bought, `d17` that it
was dismissed. A dismissed product appears in no list until it is restored, liked, put into a cart or bought.
`Recent.read` parses the members.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from redis.exceptions import RedisError

from recsys import clock
from recsys.cache import keys
from recsys.cache.client import get_redis
from recsys.domains.recommendations.types import InteractionType
from recsys.errors import Unavailable
from recsys.log import get_logger
from recsys.settings import get_settings

__all__ = [
    "TAKES_BACK",
    "Recent",
    "Touched",
    "add",
    "forget",
    "inherit",
    "members",
    "remember_touched",
]

TAKES_BACK = frozenset({InteractionType.LIKE, InteractionType.ADD_TO_CART, InteractionType.PURCHASE})
"""Interactions that end an earlier dismissal of the product."""
_LATE = timedelta(minutes=1)
_DIGITS = 10
"""Of the largest product id."""
_log = get_logger(__name__)


@dataclass(frozen=True)
class Touched:
    """One interaction of a user, or of a guest by the session.

    Attributes
    ----------
    value
        Of the interaction.
    """

    user_id: int | None
    product_id: int
    kind: InteractionType
    moment: datetime
    session_id: str | None = None
    value: Decimal | None = None

    @property
    def takes_back(self) -> bool:
        """Whether the interaction ends an earlier dismissal of the product."""
        return self.kind in TAKES_BACK or (
            self.kind is InteractionType.DISMISSED and self.value is not None and self.value < 0
        )


@dataclass(frozen=True)
class Recent:
    """The product ids of one set, by what happened to the products."""

    touched: frozenset[int] = frozenset()
    bought: frozenset[int] = frozenset()
    dismissed: frozenset[int] = frozenset()

    @classmethod
    def read(cls, members: Iterable[bytes]) -> Recent:
        """Parse the members that Redis returned; an invalid member is left out and logged."""
        touched, bought, dismissed = set(), set(), set()
        for member in members:
            mark = member[:1]
            number = member[1:] if mark in (b"d", b"-") else member
            if not number.isdigit() or len(number) > _DIGITS:
                _log.error("a member of recent interactions is invalid", member=repr(member[:20]))
            elif mark == b"d":
                dismissed.add(int(number))
            elif mark == b"-":
                bought.add(int(number))
            else:
                touched.add(int(number))
        return cls(frozenset(touched | bought | dismissed), frozenset(bought), frozenset(dismissed))


@dataclass
class _Change:
    add: set[str] = field(default_factory=set)
    remove: set[str] = field(default_factory=set)


def remember_touched(touched: Sequence[Touched]) -> None:
    """Add to each user's and guest's set what they touched.

    An interaction that arrives late ends no dismissal: it may have happened before the dismissal. PostgreSQL
    holds the interactions, so an error of Redis is logged and not raised.
    """
    changes = _changes(touched)
    seconds = _seconds()
    try:
        pipeline = get_redis().pipeline(transaction=False)
        for key, change in changes.items():
            if change.remove:
                pipeline.srem(key, *sorted(change.remove))
            pipeline.sadd(key, *sorted(change.add))
            pipeline.expire(key, seconds)
        pipeline.execute()
    except (RedisError, OSError, Unavailable) as error:
        _log.error(
            "interactions are stored, but Redis did not take them: answers may lag behind", error=str(error)
        )


def members(product_id: int, *, bought: bool, dismissed: bool) -> set[str]:
    """The members of a touched product."""
    marks = {str(product_id)}
    if bought:
        marks.add(str(-product_id))
    if dismissed:
        marks.add(f"d{product_id}")
    return marks


def add(members_of: Mapping[int, Collection[str]]) -> None:
    """Put members into the sets of users. Raises RedisError, Unavailable."""
    if not members_of:
        return
    seconds = _seconds()
    pipeline = get_redis().pipeline(transaction=False)
    for user, marks in members_of.items():
        pipeline.sadd(keys.recent_interactions(user), *marks)
        pipeline.expire(keys.recent_interactions(user), seconds)
    pipeline.execute()


def forget(user_id: int, product_id: int) -> None:
    """Remove a product from a user's set. An error of Redis is logged: the set expires by itself."""
    try:
        marks = members(product_id, bought=True, dismissed=True)
        get_redis().srem(keys.recent_interactions(user_id), *sorted(marks))
    except (RedisError, OSError, Unavailable) as error:
        _log.error("a removed interaction stays in Redis until it expires", error=str(error))


def inherit(session_id: str, user_id: int) -> None:
    """Move a guest's members to the user who logged in. Raises RedisError."""
    guest, user = keys.recent_session_interactions(session_id), keys.recent_interactions(user_id)
    found: Any = get_redis().smembers(guest)
    if not found:
        return
    # the guest's go last, and only those that were read: killed in between, they are inherited again
    pipeline = get_redis().pipeline(transaction=True)
    pipeline.sadd(user, *found)
    pipeline.expire(user, _seconds())
    pipeline.execute()
    get_redis().srem(guest, *found)


def _changes(touched: Sequence[Touched]) -> dict[str, _Change]:
    changes: defaultdict[str, _Change] = defaultdict(_Change)
    late = clock.now() - _LATE
    for interaction in sorted(touched, key=lambda interaction: interaction.moment):
        if interaction.user_id is not None:
            change = changes[keys.recent_interactions(interaction.user_id)]
        elif interaction.session_id is not None:
            change = changes[keys.recent_session_interactions(interaction.session_id)]
        else:
            continue
        change.add.add(str(interaction.product_id))
        mark = f"d{interaction.product_id}"
        if interaction.takes_back:
            change.add.discard(mark)
            if interaction.moment >= late:
                change.remove.add(mark)
        elif interaction.kind is InteractionType.DISMISSED:
            change.add.add(mark)
            change.remove.discard(mark)
        if interaction.kind is InteractionType.PURCHASE:
            change.add.add(str(-interaction.product_id))
    return dict(changes)


def _seconds() -> int:
    return int(get_settings().serving.expires_after_hours * 3600)
