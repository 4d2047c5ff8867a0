"""Tells Redis which products a user or a guest touched, so that the next answer knows of it.

Members of `interactions:recent:…`: `17` was touched, `-17` was bought, `d17` was dismissed and may appear in
no list until that is taken back, or it is liked, put into a cart or bought. `Recent.read` takes them
apart.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

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
    "inherit",
    "members",
    "remember_touched",
]

TAKES_BACK = frozenset({InteractionType.LIKE, InteractionType.ADD_TO_CART, InteractionType.PURCHASE})
"""Whoever does this with a product that they dismissed wants to see it again."""
_LATE = timedelta(minutes=1)
_DIGITS = 10
"""Of the largest product id."""
_log = get_logger(__name__)


@dataclass(frozen=True)
class Touched:
    """What somebody did with one product and when: a user, or a guest by the session; value: of the deed."""

    user_id: int | None
    product_id: int
    kind: InteractionType
    moment: datetime
    session_id: str | None = None
    value: Decimal | None = None

    @property
    def takes_back(self) -> bool:
        """Whether they want to see it again, should they have dismissed it."""
        return self.kind in TAKES_BACK or (
            self.kind is InteractionType.DISMISSED and self.value is not None and self.value < 0
        )


@dataclass(frozen=True)
class Recent:
    """The members of one set, by what they say."""

    touched: frozenset[int] = frozenset()
    bought: frozenset[int] = frozenset()
    dismissed: frozenset[int] = frozenset()

    @classmethod
    def read(cls, members: Iterable[bytes]) -> Recent:
        """From what Redis answers; a member that is none is left out and logged."""
        touched, bought, dismissed = set(), set(), set()
        for member in members:
            mark = member[:1]
            number = member[1:] if mark in (b"d", b"-") else member
            if not number.isdigit() or len(number) > _DIGITS:
                _log.error("what was touched cannot be read", member=repr(member[:20]))
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

    What is heard of late takes no dismissal back: it may have happened before it. Redis is a help here, not
    the store: without it the events are safe, so this says so and goes on.
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
    """What a set has of a product that was touched."""
    told = {str(product_id)}
    if bought:
        told.add(str(-product_id))
    if dismissed:
        told.add(f"d{product_id}")
    return told


def add(told: Mapping[int, Collection[str]]) -> None:
    """Put members into the sets of users. Raises RedisError, Unavailable."""
    if not told:
        return
    seconds = _seconds()
    pipeline = get_redis().pipeline(transaction=False)
    for user, some in told.items():
        pipeline.sadd(keys.recent_interactions(user), *some)
        pipeline.expire(keys.recent_interactions(user), seconds)
    pipeline.execute()


def inherit(session_id: str, user_id: int) -> None:
    """Give what a guest touched to the user who logged in. Raises RedisError."""
    guest, user = keys.recent_session_interactions(session_id), keys.recent_interactions(user_id)
    pipeline = get_redis().pipeline(transaction=True)
    pipeline.sunionstore(user, [user, guest])
    pipeline.expire(user, _seconds())
    pipeline.delete(guest)
    pipeline.execute()


def _changes(touched: Sequence[Touched]) -> dict[str, _Change]:
    changes: defaultdict[str, _Change] = defaultdict(_Change)
    late = clock.now() - _LATE
    for one in sorted(touched, key=lambda one: one.moment):
        if one.user_id is not None:
            change = changes[keys.recent_interactions(one.user_id)]
        elif one.session_id is not None:
            change = changes[keys.recent_session_interactions(one.session_id)]
        else:
            continue
        change.add.add(str(one.product_id))
        mark = f"d{one.product_id}"
        if one.takes_back:
            change.add.discard(mark)
            if one.moment >= late:
                change.remove.add(mark)
        elif one.kind is InteractionType.DISMISSED:
            change.add.add(mark)
            change.remove.discard(mark)
        if one.kind is InteractionType.PURCHASE:
            change.add.add(str(-one.product_id))
    return dict(changes)


def _seconds() -> int:
    return int(get_settings().serving.expires_after_hours * 3600)
