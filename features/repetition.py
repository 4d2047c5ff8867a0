"""Whether people of a shop come back for the same product, as in groceries, or take a product once."""

from __future__ import annotations

import numpy as np

from features.ids import distinct
from features.interactions import MICROSECONDS_PER_DAY, Events

__all__ = ["REPEATED", "are_repeated"]

REPEATED = 1.25
"""Mean days per pair of user and product from which the data count as repeated consumption."""


def are_repeated(events: Events) -> bool:
    """Whether people come back for the same product: on another day, by the same kind of event, often."""
    return _mean_days(events) > REPEATED


def _mean_days(events: Events) -> float:
    """On how many days a pair of user and product has an event of one kind, on average; 0 without events."""
    known = events.user >= 0
    day = (events.time[known] - events.time.min(initial=0)) // MICROSECONDS_PER_DAY
    items, kinds = int(events.item.max(initial=0)) + 1, int(events.kind.max(initial=0)) + 1
    pair = (events.user[known].astype(np.int64) * items + events.item[known]) * kinds + events.kind[known]
    last = int(day.max(initial=0)) + 1
    pair_days = distinct(pair * last + day)
    pairs = int(np.count_nonzero(np.diff(pair_days // last, prepend=-1)))
    return float(pair_days.size / max(1, pairs))
