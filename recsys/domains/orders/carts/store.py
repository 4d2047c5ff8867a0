"""Carts of users and guests in Redis: changed atomically, expiring, and merged at log-in."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from uuid import uuid4

from redis import Redis
from redis.client import Pipeline

from recsys import clock
from recsys.cache import keys
from recsys.cache.client import get_redis
from recsys.errors import Invalid
from recsys.events.publish import announce
from recsys.events.vocabulary import CartCleared, CartItemAdded, CartItemRemoved, CartMerged, Event
from recsys.log import get_logger
from recsys.settings import get_settings

__all__ = [
    "MAX_PIECES",
    "Cart",
    "CartLine",
    "Owner",
    "add",
    "clear",
    "identified",
    "merge",
    "put",
    "read",
    "take_ordered",
]

MAX_PIECES = 999
"""The most pieces of one thing that a cart holds."""
_ANALYTICS_LENGTH = 100_000
_ORDERED_SECONDS = 7 * 86_400
_LARGEST_ID = 2**31 - 1
_MOVE = "move"
"""The field of a cart on its way to a user that tells its move from others."""
_LINE = re.compile(r"[1-9][0-9]{0,9}(?::[1-9][0-9]{0,9})?")
_PIECES = re.compile(r"[0-9]{1,9}")
_log = get_logger(__name__)


@dataclass(frozen=True)
class Owner:
    """Whose cart it is: a user's, or that of a guest's session."""

    user_id: int | None = None
    session_id: str | None = None

    def __post_init__(self) -> None:
        if (self.user_id is None) == (self.session_id is None):
            raise ValueError("a cart belongs to a user or to a session, not to both or neither")

    @property
    def key(self) -> str:
        """The documented key of this cart."""
        return keys.guest_cart(self.session_id) if self.session_id else keys.cart(self.user_id or 0)

    @property
    def name(self) -> str:
        """How our own keys and tables name the owner: `user:5`, `session:abc`."""
        return f"session:{self.session_id}" if self.session_id else f"user:{self.user_id}"

    @classmethod
    def named(cls, name: str) -> Owner:
        """The owner that `name` stands for. Raises ValueError for a name that is none."""
        kind, _, value = name.partition(":")
        if kind == "user" and not 0 < int(value) <= _LARGEST_ID:
            raise ValueError("a user id of a range that the shop does not have")
        if kind not in ("user", "session") or not 0 < len(value) <= 255 or "\0" in value:
            raise ValueError("expected user:ID or session:ID")
        return cls(user_id=int(value)) if kind == "user" else cls(session_id=value)


@dataclass(frozen=True)
class CartLine:
    """So many pieces of one product, or of one of its variants."""

    product_id: int
    variant_id: int | None
    quantity: int

    @property
    def field(self) -> str:
        """The field of the hash that holds the quantity."""
        return _field(self.product_id, self.variant_id)


@dataclass(frozen=True)
class Cart:
    """What is in a cart; `id` stays the same until it is ordered or emptied, so that it is ordered once."""

    id: str | None
    lines: tuple[CartLine, ...]


def read(owner: Owner) -> Cart:
    """The cart as it is; empty when there is none."""
    pipeline = get_redis().pipeline(transaction=True)
    pipeline.hgetall(owner.key)
    pipeline.get(keys.cart_id(owner.name))
    held, cart_id = pipeline.execute()
    return Cart(_text(cart_id), _lines(held))


def identified(owner: Owner) -> Cart:
    """The cart as it is, with an id also where Redis lost it: without one it could be ordered twice."""
    cart = read(owner)
    if cart.id is not None or not cart.lines:
        return cart
    get_redis().set(keys.cart_id(owner.name), uuid4().hex, nx=True, ex=_ORDERED_SECONDS)
    # two checkouts at once read the same id, whichever of them set it
    return read(owner)


def add(owner: Owner, line: CartLine) -> None:
    """Put pieces in, on top of those that are there. Raises Invalid where the cart would overflow."""
    _change(owner, lambda held: {line.field: held.get(line.field, 0) + line.quantity}, [line])


def put(owner: Owner, line: CartLine) -> None:
    """Make it so many pieces, 0 for none; the same request twice changes nothing more."""
    _change(owner, lambda held: {line.field: line.quantity}, [line])


def clear(owner: Owner) -> None:
    """Take everything out."""

    def empty(held: Mapping[str, int]) -> dict[str, int]:
        return dict.fromkeys(held, 0)

    _change(owner, empty, [], event=CartCleared(user_id=owner.user_id, session_id=owner.session_id))


def merge(session_id: str, user_id: int) -> bool:
    """Move a guest's cart into the user's, adding up pieces; True when there was something to move.

    It is one step in Redis: two requests that log the same guest in move the cart once. In a cluster it is
    three: the guest's cart is set aside, added to the user's under a mark, and deleted. The next log-in of
    the guest goes on where one was killed.
    """
    guest, user = Owner(session_id=session_id), Owner(user_id=user_id)
    if get_settings().redis.is_cluster:
        return _merge_across_servers(guest, user)

    def move(pipeline: Pipeline) -> bool:
        theirs, mine = _counts(pipeline.hgetall(guest.key)), _counts(pipeline.hgetall(user.key))
        pipeline.multi()
        if not theirs:
            return False
        _write_merged(pipeline, guest, user, theirs, mine)
        pipeline.delete(guest.key, keys.cart_id(guest.name))
        _leave_the_list(pipeline, guest)
        return True

    return bool(_transaction(move, guest.key, user.key))


def _merge_across_servers(guest: Owner, user: Owner) -> bool:
    aside, mark = keys.cart_moving(guest.key, user.name), keys.cart_moved(user.key, guest.name)

    def set_aside(pipeline: Pipeline) -> bytes | None:
        waits: Any = pipeline.hget(aside, _MOVE)
        has_lines = pipeline.exists(guest.key)
        move = uuid4().hex.encode()
        pipeline.multi()
        if waits is not None or not has_lines:
            return bytes(waits) if waits else None
        pipeline.rename(guest.key, aside)
        pipeline.hset(aside, _MOVE, move)
        pipeline.delete(keys.cart_id(guest.name))
        return move

    def add(pipeline: Pipeline) -> bool:
        held, done = pipeline.hgetall(aside), pipeline.get(mark)
        move = held.pop(_MOVE.encode(), None)
        theirs, mine = _counts(held), _counts(pipeline.hgetall(user.key))
        pipeline.multi()
        if move is None or move == done or not theirs:
            return False
        pipeline.set(mark, move, ex=_ORDERED_SECONDS)
        _write_merged(pipeline, guest, user, theirs, mine)
        return True

    def remove(pipeline: Pipeline, move: bytes) -> None:
        is_same = pipeline.hget(aside, _MOVE) == move
        pipeline.multi()
        if is_same:
            pipeline.delete(aside)

    moved = False
    # once for what a killed log-in left, and once for what the guest has put in since
    for _ in range(2):
        move: Any = _transaction(set_aside, guest.key, aside)
        if move is None:
            break
        moved = bool(_transaction(add, user.key, mark)) or moved
        _transaction(partial(remove, move=move), aside)
    return moved


def _write_merged(
    pipeline: Pipeline, guest: Owner, user: Owner, theirs: Mapping[str, int], mine: Mapping[str, int]
) -> None:
    limit, merged = get_settings().shop.max_cart_lines, dict(mine)
    for field, quantity in theirs.items():
        # what no longer fits stays out: a log-in must not fail for a full cart
        if field in merged or len(merged) < limit:
            merged[field] = min(merged.get(field, 0) + quantity, MAX_PIECES)
    event = CartMerged(user_id=user.user_id or 0, session_id=guest.session_id or "")
    _write(pipeline, user, mine, merged, now=clock.now())
    _tell(pipeline, user, event, event.name, now=clock.now())


def take_ordered(owner: Owner, order_id: int, lines: Sequence[CartLine]) -> None:
    """Take out what order `order_id` holds, once however often it is called; what was added since stays."""
    marker = keys.cart_ordered(order_id, owner.key)

    def take(pipeline: Pipeline) -> None:
        done = pipeline.exists(marker)
        held = _counts(pipeline.hgetall(owner.key))
        pipeline.multi()
        if done:
            return
        left = dict(held)
        for line in lines:
            left[line.field] = max(0, left.get(line.field, 0) - line.quantity)
        pipeline.set(marker, 1, ex=_ORDERED_SECONDS)
        # what stays is another cart: it may be ordered too
        pipeline.delete(keys.cart_id(owner.name))
        _write(pipeline, owner, held, left, now=clock.now())

    _transaction(take, owner.key, marker)


def _change(
    owner: Owner,
    change: Callable[[Mapping[str, int]], Mapping[str, int]],
    touched: Sequence[CartLine],
    *,
    event: Event | None = None,
) -> None:
    limit = get_settings().shop.max_cart_lines

    def write(pipeline: Pipeline) -> None:
        held = _counts(pipeline.hgetall(owner.key))
        wanted = {**held, **change(held)}
        pipeline.multi()
        if any(quantity > MAX_PIECES for quantity in wanted.values()):
            raise Invalid(f"A cart holds at most {MAX_PIECES} pieces of one product.")
        if sum(quantity > 0 for quantity in wanted.values()) > max(limit, len(held)):
            raise Invalid(f"A cart holds at most {limit} different products.")
        if {field: quantity for field, quantity in wanted.items() if quantity > 0} == held:
            return
        now = clock.now()
        _write(pipeline, owner, held, wanted, now=now)
        for line in touched:
            more = wanted.get(line.field, 0) - held.get(line.field, 0)
            item_event = _item_event(owner, line, more)
            _tell(pipeline, owner, item_event, item_event.name, now=now, line=line, more=more)
        if event is not None:
            _tell(pipeline, owner, event, event.name, now=now)

    _transaction(write, owner.key)


def _transaction(work: Callable[[Pipeline], object], *watched: str) -> object:
    """Run `work` while `watched` keys stay as they are, again when another request changed them."""
    client: Redis = get_redis()
    return client.transaction(work, *watched, value_from_callable=True)  # type: ignore[arg-type]


def _write(
    pipeline: Pipeline, owner: Owner, held: Mapping[str, int], wanted: Mapping[str, int], *, now: datetime
) -> None:
    kept = {field: quantity for field, quantity in wanted.items() if quantity > 0}
    gone = [field for field in held if field not in kept]
    if gone:
        pipeline.hdel(owner.key, *gone)
    if not kept:
        pipeline.delete(keys.cart_id(owner.name))
        _leave_the_list(pipeline, owner)
        return
    shop = get_settings().shop
    seconds = int(86_400 * (shop.cart_days if owner.user_id is not None else shop.guest_cart_days))
    pipeline.hset(owner.key, mapping={field: str(quantity) for field, quantity in kept.items()})
    pipeline.expire(owner.key, seconds)
    pipeline.set(keys.cart_id(owner.name), uuid4().hex, nx=True)
    pipeline.expire(keys.cart_id(owner.name), seconds)
    pipeline.zadd(keys.changed_carts(), {owner.name: now.timestamp()})


def _leave_the_list(pipeline: Pipeline, owner: Owner) -> None:
    """Take an emptied cart off the list of changed ones, unless the list is on another server.

    There another request may have put the owner on the list for what it added since; the job that looks for
    abandoned carts takes empty ones off.
    """
    if not get_settings().redis.is_cluster:
        pipeline.zrem(keys.changed_carts(), owner.name)


def _tell(
    pipeline: Pipeline,
    owner: Owner,
    event: Event,
    name: str,
    *,
    now: datetime,
    line: CartLine | None = None,
    more: int = 0,
) -> None:
    """The event and the line for analytics leave with the change itself, or not at all."""
    announce(event, client=pipeline)
    fields: dict[str, str | int] = {
        "event": name,
        "owner": owner.name.partition(":")[0],
        "at": now.isoformat(),
    }
    if owner.user_id is not None:
        fields["user_id"] = owner.user_id
    if line is not None:
        fields |= {"product_id": line.product_id, "quantity": more}
    pipeline.xadd(keys.cart_analytics(), fields, maxlen=_ANALYTICS_LENGTH, approximate=True)  # type: ignore[arg-type]


def _item_event(owner: Owner, line: CartLine, more: int) -> Event:
    made = CartItemAdded if more > 0 else CartItemRemoved
    return made(
        user_id=owner.user_id,
        session_id=owner.session_id,
        product_id=line.product_id,
        variant_id=line.variant_id,
        quantity=abs(more),
    )


def _field(product_id: int, variant_id: int | None) -> str:
    return str(product_id) if variant_id is None else f"{product_id}:{variant_id}"


def _lines(held: Mapping[bytes | str, bytes | str]) -> tuple[CartLine, ...]:
    lines = []
    for field, quantity in _counts(held).items():
        product, _, variant = field.partition(":")
        lines.append(CartLine(int(product), int(variant) if variant else None, quantity))
    return tuple(sorted(lines, key=lambda line: (line.product_id, line.variant_id or 0)))


def _counts(held: Mapping[bytes | str, bytes | str]) -> dict[str, int]:
    """The pieces of each line; a field that no line has is left where it is."""
    counts = {}
    for field, quantity in held.items():
        named = field if isinstance(field, str) else field.decode(errors="replace")
        pieces = quantity if isinstance(quantity, str) else quantity.decode(errors="replace")
        known = _LINE.fullmatch(named) and _PIECES.fullmatch(pieces)
        if known and all(int(one) <= _LARGEST_ID for one in named.split(":")):
            counts[named] = int(pieces)
        else:
            _log.error("a line of a cart cannot be read and does not count", field=named[:50])
    return counts


def _text(value: bytes | str | None) -> str | None:
    return value.decode() if isinstance(value, bytes) else value
