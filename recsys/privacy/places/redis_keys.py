"""What of a person is under which Redis key, and how it is removed; every function of `recsys.cache.keys`.

Each key function has a place or stands in NOT_PERSONAL_KEYS with the reason. A test walks over all of them.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import redis

from recsys.cache import keys
from recsys.domains.recommendations.impressions import store as impressions
from recsys.events.dead_letters import readable
from recsys.events.retention import STREAMS
from recsys.privacy.person import Person

__all__ = ["KEY_PLACES", "NOT_PERSONAL_KEYS", "KeyPlace", "content_of", "searches_of"]

_PAGE = 1000


class KeyPlace(ABC):
    """What is kept of people under the keys of one function."""

    @abstractmethod
    def read(self, client: redis.Redis, person: Person) -> list[Any]:
        """What is there of the person, as JSON values."""

    @abstractmethod
    def erase(self, client: redis.Redis, person: Person) -> int:
        """Remove it; how many keys, members or entries."""


@dataclass(frozen=True)
class _Keys(KeyPlace):
    """Whole keys.

    Attributes
    ----------
    names
        Of a person.
    patterns
        Of keys that are found by looking at all.
    """

    names: Callable[[Person], list[str]] = lambda person: []
    patterns: Callable[[Person], list[str]] = lambda person: []
    is_exported: bool = True

    def read(self, client: redis.Redis, person: Person) -> list[Any]:
        if not self.is_exported:
            return []
        return [
            {"key": name, "content": content_of(client, name)}
            for name in self._names(client, person)
            if client.exists(name)
        ]

    def erase(self, client: redis.Redis, person: Person) -> int:
        names = self._names(client, person)
        return int(client.delete(*names)) if names else 0

    def _names(self, client: redis.Redis, person: Person) -> list[str]:
        matching = [
            readable(name)
            for pattern in self.patterns(person)
            for name in client.scan_iter(pattern, count=_PAGE)
        ]
        return sorted({*self.names(person), *matching})


@dataclass(frozen=True)
class _Members(KeyPlace):
    """Members of a set or a sorted set that all share."""

    key: str
    members: Callable[[Person], list[str]]
    is_sorted: bool = False

    def read(self, client: redis.Redis, person: Person) -> list[Any]:
        score = client.zscore if self.is_sorted else client.sismember
        return [each for each in self.members(person) if score(self.key, each)]

    def erase(self, client: redis.Redis, person: Person) -> int:
        remove = client.zrem if self.is_sorted else client.srem
        return int(remove(self.key, *self.members(person)))


@dataclass(frozen=True)
class _Entries(KeyPlace):
    """Entries of streams that name the person."""

    streams: Callable[[], Sequence[str]]

    def read(self, client: redis.Redis, person: Person) -> list[Any]:
        return [
            {"stream": stream, "entry": readable(entry), "fields": _plain(fields)}
            for stream in self.streams()
            for entry, fields in _entries(client, stream)
            if person.is_named_in(_plain(fields))
        ]

    def erase(self, client: redis.Redis, person: Person) -> int:
        removed = 0
        for stream in self.streams():
            named = [
                entry for entry, fields in _entries(client, stream) if person.is_named_in(_plain(fields))
            ]
            if named:
                removed += delete_entries(client, stream, named)
        return removed


@dataclass(frozen=True)
class _Batches(KeyPlace):
    """Batches of answered lists on their way to PostgreSQL, and those that could not be stored."""

    streams: Callable[[], Sequence[str]]

    def read(self, client: redis.Redis, person: Person) -> list[Any]:
        return [
            each._asdict() | {"shown_at": each.shown_at.isoformat()}
            for stream in self.streams()
            for _, fields in _entries(client, stream)
            for each in _lists_in(fields)
            if is_of(each, person)
        ]

    def erase(self, client: redis.Redis, person: Person) -> int:
        removed = 0
        for stream in self.streams():
            for entry, fields in list(_entries(client, stream)):
                lists = _lists_in(fields)
                others = [each for each in lists if not is_of(each, person)]
                if len(others) == len(lists):
                    continue
                removed += len(lists) - len(others)
                pipeline = client.pipeline(transaction=True)
                if others:
                    pipeline.xadd(stream, {"data": impressions.pack(others)})
                pipeline.xdel(stream, entry)
                pipeline.execute()
        return removed


@dataclass(frozen=True)
class _RecentLists(KeyPlace):
    """The answered lists of the last minute, by request."""

    def read(self, client: redis.Redis, person: Person) -> list[Any]:
        return [readable(field) for _, field in self._fields(client, person)]

    def erase(self, client: redis.Redis, person: Person) -> int:
        return sum(int(client.hdel(key, field)) for key, field in list(self._fields(client, person)))

    def _fields(self, client: redis.Redis, person: Person) -> Iterator[tuple[bytes, bytes]]:
        for key in client.scan_iter("exposures:recent:*", count=_PAGE):
            for field, packed in client.hscan_iter(key):
                if any(is_of(each, person) for each in _lists_in({b"data": packed})):
                    yield key, field


@dataclass(frozen=True)
class _SetAside(KeyPlace):
    """Keys that were no streams and are kept for people to look at; deleted where they name the person."""

    def read(self, client: redis.Redis, person: Person) -> list[Any]:
        return [readable(name) for name in self._names(client, person)]

    def erase(self, client: redis.Redis, person: Person) -> int:
        names = self._names(client, person)
        return int(client.delete(*names)) if names else 0

    def _names(self, client: redis.Redis, person: Person) -> list[bytes]:
        return [
            name
            for name in client.scan_iter("*:set-aside:*", count=_PAGE)
            if person.is_named_in(content_of(client, readable(name)))
            or person.pattern.search(json.dumps(content_of(client, readable(name))).encode())
        ]


def is_of(answered: impressions.Answered, person: Person) -> bool:
    """Whether a list was answered to the person."""
    if answered.user_id is not None:
        return answered.user_id == person.user_id
    return answered.session_id in person.sessions


def delete_entries(client: redis.Redis, stream: str, entries: list[bytes]) -> int:
    """Delete entries of a stream and take them out of the lists of what groups have not finished."""
    groups: Any = client.xinfo_groups(stream)
    pipeline = client.pipeline(transaction=True)
    for group in groups:
        pipeline.xack(stream, group["name"], *entries)
    pipeline.xdel(stream, *entries)
    return int(pipeline.execute()[-1])


def searches_of(client: redis.Redis, person: Person) -> list[dict[str, Any]]:
    """The person's searches that the stream of searches still has: event id, moment and fields."""
    found = []
    for _, fields in _entries(client, keys.search_events()):
        plain = _plain(fields)
        if plain.get("name") == "search.performed" and person.is_named_in(plain):
            found.append(plain)
    return found


def content_of(client: redis.Redis, key: str) -> Any:
    """What stands under a key of any type, as a JSON value."""
    kind: Any = client.type(key)
    readers: Mapping[bytes, Callable[[], Any]] = {
        b"string": lambda: client.get(key),
        b"hash": lambda: client.hgetall(key),
        b"list": lambda: client.lrange(key, 0, -1),
        b"set": lambda: sorted(client.smembers(key)),
        b"zset": lambda: client.zrange(key, 0, -1),
        b"stream": lambda: client.xrange(key),
    }
    return None if kind not in readers else _json(readers[kind]())


def _json(value: Any) -> Any:
    if isinstance(value, bytes):
        text = readable(value)
        try:
            return json.loads(text)
        except ValueError:
            return text
    if isinstance(value, Mapping):
        return {readable(name): _json(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_json(each) for each in value]
    return value


def _plain(fields: Mapping[bytes, bytes]) -> dict[str, Any]:
    return {readable(name): _json(value) for name, value in fields.items()}


def _entries(client: redis.Redis, stream: str) -> Iterator[tuple[bytes, dict[bytes, bytes]]]:
    if client.type(stream) != b"stream":
        return
    start = "-"
    while True:
        page: Any = client.xrange(stream, min=start, count=_PAGE)
        yield from page
        if len(page) < _PAGE:
            return
        start = "(" + page[-1][0].decode()


def _lists_in(fields: Mapping[bytes, bytes]) -> list[impressions.Answered]:
    try:
        return impressions.unpack(fields.get(b"data", b""))
    except ValueError:
        return []


def _generations(person: Person) -> list[str]:
    return [keys.stored_recommendations(0, person.user_id).replace(":0:", ":*:", 1)]


def _log_ins(person: Person) -> list[str]:
    return [*map(keys.session, person.sessions)]


KEY_PLACES: Mapping[str, KeyPlace] = MappingProxyType(
    {
        "user": _Keys(lambda person: [keys.user(person.user_id)]),
        "user_by_email": _Keys(lambda person: [keys.user_by_email(each) for each in person.emails]),
        "user_by_username": _Keys(lambda person: [keys.user_by_username(each) for each in person.usernames]),
        "cart": _Keys(lambda person: [keys.cart(person.user_id)]),
        "guest_cart": _Keys(lambda person: [keys.guest_cart(each) for each in person.sessions]),
        "cart_id": _Keys(
            lambda person: [keys.cart_id(each) for each in person.parameters["owners"]], is_exported=False
        ),
        "cart_ordered": _Keys(
            lambda person: [
                keys.cart_ordered(order, cart)
                for order in person.orders
                for cart in (keys.cart(person.user_id), *map(keys.guest_cart, person.sessions))
            ],
            is_exported=False,
        ),
        "cart_moving": _Keys(
            lambda person: [
                keys.cart_moving(keys.guest_cart(guest), f"user:{person.user_id}")
                for guest in person.sessions
            ]
        ),
        "cart_moved": _Keys(
            lambda person: [
                keys.cart_moved(keys.cart(person.user_id), f"session:{guest}") for guest in person.sessions
            ],
            is_exported=False,
        ),
        "changed_carts": _Members(
            keys.changed_carts(), lambda person: person.parameters["owners"], is_sorted=True
        ),
        "cart_analytics": _Entries(lambda: [keys.cart_analytics()]),
        # results and completions hold what was typed, and are made again when they are asked for
        "search_results": _Keys(patterns=lambda _: ["search:" + "[0-9a-f]" * 64], is_exported=False),
        "search_suggestions": _Keys(patterns=lambda _: ["search:suggestions:*"], is_exported=False),
        "session": _Keys(_log_ins, is_exported=False),
        "user_sessions": _Keys(lambda person: [keys.user_sessions(person.user_id)], is_exported=False),
        "online_users": _Members(keys.online_users(), lambda person: [str(person.user_id)]),
        "live_orders": _Entries(lambda: [keys.live_orders()]),
        "notifications": _Keys(lambda person: [keys.notifications(person.user_id)]),
        "notifications_epoch": _Keys(
            lambda person: [keys.notifications_epoch(person.user_id)], is_exported=False
        ),
        "stored_recommendations": _Keys(patterns=_generations, is_exported=False),
        "recent_interactions": _Keys(lambda person: [keys.recent_interactions(person.user_id)]),
        "recent_session_interactions": _Keys(
            lambda person: [keys.recent_session_interactions(each) for each in person.sessions]
        ),
        "refused_personalisation": _Keys(
            lambda person: [keys.refused_personalisation(each) for each in person.parameters["owners"]]
        ),
        "login_failures": _Keys(
            lambda person: [
                keys.login_failures(kind, name)
                for kind in ("account", "recipient")
                for name in (f"user:{person.user_id}", *person.emails, *person.usernames)
            ],
            is_exported=False,
        ),
        **{
            stream: _Entries(partial(list, [stream]))
            for stream in (
                "user_events",
                "product_events",
                "order_events",
                "payment_events",
                "notification_events",
                "cart_events",
                "search_events",
                "analytics_events",
            )
        },
        "posts_waiting": _Entries(lambda: [keys.posts_waiting()]),
        "exposures_waiting": _Batches(
            lambda: [keys.exposures_waiting(), keys.dead_letters(keys.exposures_waiting())]
        ),
        "recent_exposures": _RecentLists(),
        "dead_letters": _Entries(
            lambda: [keys.dead_letters(each) for each in (*STREAMS, keys.posts_waiting())]
        ),
        "set_aside": _SetAside(),
    }
)
"""The places in Redis by the function of `recsys.cache.keys`."""

_OF_PRODUCTS = "of products, counted without their visitors"
NOT_PERSONAL_KEYS: Mapping[str, str] = MappingProxyType(
    {
        "product": _OF_PRODUCTS,
        "product_inventory": _OF_PRODUCTS,
        "product_views": _OF_PRODUCTS,
        "product_epoch": _OF_PRODUCTS,
        "trending_products": _OF_PRODUCTS,
        "trending_landmark": _OF_PRODUCTS,
        "stored_shared_list": "products of lists that are the same for everybody",
        "live_generation": "the number of a generation",
        "relayed": "a moment",
        "search_epoch": "a counter",
        "search_popularity": "moments",
        "refused_events": "kinds of events and reasons, without what was sent",
        "own_ids_version": "a random number",
        "mail_block": "products of a mail, under a signature that only its address has; without the person",
        "mail_block_requests": "a count for such a signature that expires within minutes",
        "rate_limit": "a hash of an address or key that expires within seconds",
    }
)
"""Keys without a place, and why."""
