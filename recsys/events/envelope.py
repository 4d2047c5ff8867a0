"""An event with its id and moment, and its form as an entry of a stream."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy.orm import Session

from recsys.cache import keys
from recsys.errors import RecsysError
from recsys.events.vocabulary import Event, event_types

__all__ = ["Envelope", "Handler", "Subscriptions", "Unreadable", "fields_of", "open_entry", "stream_of"]


@dataclass(frozen=True)
class Envelope:
    """One event as a handler gets it: the same id however often it is delivered.

    Attributes
    ----------
    event_id
        The id of the event.
    occurred_at
        When it happened.
    event
        What happened.
    traceparent
        Of the trace in which it was published; None while tracing was off.
    """

    event_id: UUID
    occurred_at: datetime
    event: Event
    traceparent: str | None = None


Handler = Callable[[Session, Envelope], None]
"""What a domain does when it hears an event, in the consumer's transaction; it may be called again when that
transaction failed, so what it does outside of PostgreSQL must bear repetition."""

Subscriptions = Mapping[type[Event], tuple[Handler, ...]]


class Unreadable(RecsysError):
    """An entry that this program cannot read: put aside at once, never dropped."""


def stream_of(family: str) -> str:
    """The documented stream of a family (spelled in recsys.cache.keys)."""
    streams: dict[str, Callable[[], str]] = {
        "user": keys.user_events,
        "product": keys.product_events,
        "order": keys.order_events,
        "payment": keys.payment_events,
        "notification": keys.notification_events,
        "cart": keys.cart_events,
        "search": keys.search_events,
        "analytics": keys.analytics_events,
    }
    return streams[family]()


def fields_of(
    event_id: UUID,
    name: str,
    version: int,
    aggregate: str,
    occurred_at: datetime,
    data: str,
    traceparent: str | None = None,
) -> dict[Any, Any]:
    """The entry of a stream; `data` is the event's fields as JSON."""
    entry = {
        "event_id": str(event_id),
        "name": name,
        "version": str(version),
        "aggregate": aggregate,
        "occurred_at": occurred_at.isoformat(),
        "data": data,
    }
    return entry if traceparent is None else entry | {"traceparent": traceparent}


def open_entry(fields: Mapping[bytes, bytes]) -> Envelope:
    """The event of an entry. Raises Unreadable naming what is unknown, missing or wrong, without values."""
    try:
        name = fields[b"name"].decode()
        version = int(fields[b"version"])
        event_id = UUID(fields[b"event_id"].decode())
        occurred_at = datetime.fromisoformat(fields[b"occurred_at"].decode())
        data = fields[b"data"]
    except KeyError as error:
        raise Unreadable(f"the entry has no field {error.args[0].decode()!r}") from error
    except ValueError as error:
        raise Unreadable("the entry's name, version, event_id or occurred_at cannot be read") from error
    if version < 1 or occurred_at.tzinfo is None:
        raise Unreadable("the entry's version is below 1, or its occurred_at has no time zone")
    known = event_types().get(name)
    if known is None:
        raise Unreadable(f"no event is named {name[:100]!r} here; a newer program may know it")
    if version > known.version:
        raise Unreadable(f"{name} has version {version}, this program knows {known.version}; use a newer one")
    try:
        event = known.model_validate_json(data)
    except ValidationError as error:
        wrong = ", ".join(
            ".".join(map(str, one["loc"])) or "data" for one in error.errors(include_input=False)
        )
        raise Unreadable(f"{name} cannot be read: {wrong} is missing or wrong") from error
    # a wrong one costs the trace, and never the event
    traceparent = fields.get(b"traceparent", b"").decode("latin-1")
    return Envelope(event_id, occurred_at, event, traceparent or None)
