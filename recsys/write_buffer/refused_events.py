"""How many posted events were refused, by reason and day.

Counted in Redis, for a few days, without what was sent. A front end that misspells a field loses all its
events, and nobody reads the answers to a browser.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta

from redis.exceptions import RedisError

from recsys import clock
from recsys.cache import keys
from recsys.cache.client import get_redis
from recsys.errors import Unavailable
from recsys.log import get_logger
from recsys.write_buffer.batches import PostVerdict

__all__ = ["KEPT_DAYS", "MOST_REASONS", "RefusedEvents", "count_refused", "refused_events"]

KEPT_DAYS = 7
MOST_REASONS = 100
"""Reasons counted on one day, of all kinds together; further ones count as OTHER."""
OTHER = "another reason"
_LONGEST = 150
# a sender chooses the names of unknown fields, which may be anything
_UNKNOWN_FIELD = re.compile(r"(?P<name>.*): no such field is known", re.DOTALL)
_PLAIN_NAME = re.compile(r"[A-Za-z_][\w.]{0,39}", re.ASCII)
_log = get_logger(__name__)


@dataclass(frozen=True)
class RefusedEvents:
    """So many events of a kind (`interactions`, `feedback`, `analytics`) were refused for one reason."""

    kind: str
    reason: str
    events: int


def count_refused(kind: str, verdicts: Iterable[PostVerdict]) -> None:
    """Count the refused verdicts of one request; without Redis they are not counted."""
    found = Counter(
        f"{kind}:{_reason(verdict.reason)}" for verdict in verdicts if verdict.status == "refused"
    )
    if not found:
        return
    key = keys.refused_events(clock.now().date().isoformat())
    try:
        client = get_redis()
        if int(client.hlen(key)) >= MOST_REASONS:
            names = list(found)
            known = client.hmget(key, names)
            for name in (name for name, count in zip(names, known, strict=True) if count is None):
                found[f"{kind}:{OTHER}"] += found.pop(name)
        pipeline = client.pipeline(transaction=True)
        for name, events in found.items():
            pipeline.hincrby(key, name, events)
        pipeline.expire(key, timedelta(days=KEPT_DAYS + 1))
        pipeline.execute()
    except (RedisError, OSError, Unavailable) as error:
        _log.warning("refused events are not counted: Redis did not answer", error=type(error).__name__)


def refused_events(days: int = KEPT_DAYS) -> list[RefusedEvents]:
    """Refused events of the last days, the most frequent reason first. Raises RedisError, Unavailable."""
    today: date = clock.now().date()
    pipeline = get_redis().pipeline(transaction=False)
    for back in range(days):
        pipeline.hgetall(keys.refused_events((today - timedelta(days=back)).isoformat()))
    total: Counter[str] = Counter()
    for counts in pipeline.execute():
        total.update({name.decode(): int(count) for name, count in counts.items()})
    split = ((name.partition(":"), events) for name, events in total.most_common())
    return [RefusedEvents(kind, reason, events) for (kind, _, reason), events in split]


def _reason(reason: str | None) -> str:
    parts = []
    for part in (reason or OTHER).split("; "):
        unknown = _UNKNOWN_FIELD.fullmatch(part)
        is_plain = unknown is None or _PLAIN_NAME.fullmatch(unknown["name"])
        parts.append(part if is_plain else "a field with an unknown name")
    return "; ".join(dict.fromkeys(parts))[:_LONGEST]
