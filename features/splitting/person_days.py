"""Who chose what on which day: each person, product and day counts once, however many events it has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from features.dataset import Dataset
from features.interactions import MICROSECONDS_PER_DAY, Events
from features.splitting.windows import NEWEST, dense_end
from features.target import Target

__all__ = ["LEAD_IN", "PersonDays", "end_of_days", "person_days", "persons"]

LEAD_IN = 0.1
"""Most that an event which is no success counts, beside 1 for a success of the strongest type."""

_BLOCK = 1 << 20


@dataclass(frozen=True, eq=False)
class PersonDays:
    """Distinct (person, product, day) of some days; row i of each array belongs together.

    Attributes
    ----------
    item : int64, shape (n,)
        Row of the product.
    person : int64, shape (n,)
        See `persons`.
    age : float64, shape (n,)
        Days from the end that was asked for to the last event of the person, product and day.
    weight : float64, shape (n,)
        Of the strongest event: up to 1 for a success, up to `LEAD_IN` for what leads to one.
    """

    item: npt.NDArray[np.int64]
    person: npt.NDArray[np.int64]
    age: npt.NDArray[np.float64]
    weight: npt.NDArray[np.float64]


def persons(events: Events) -> npt.NDArray[np.int64]:
    """Who each event is of.

    All guests without a session are one person: nothing tells them from a single visitor.

    Returns
    -------
    int64, shape (n,)
        The row of the user, or a negative number for a guest's session.
    """
    user = np.asarray(events.user, dtype=np.int64)
    session = np.asarray(events.session)
    return np.where(user >= 0, user, -1 - ((session >> 1) & np.int64(0x3FFF_FFFF_FFFF_FFFF)))


def end_of_days(dataset: Dataset) -> int:
    """Up to when the dataset is dense; microseconds since 1970 (`features.splitting.windows.dense_end`)."""
    tail = dataset.events.take(np.arange(max(0, len(dataset.events) - NEWEST), len(dataset.events)))
    return dense_end(np.asarray(tail.time), persons(tail))


def person_days(dataset: Dataset, since: int, end: int) -> Iterator[PersonDays]:
    """What happened in (since, end], microseconds since 1970, in blocks of whole days (UTC).

    A success counts by its weight in the dataset's target, the strongest type 1; another event by its weight
    among the interaction weights, the strongest type `LEAD_IN`. Dismissals and bad reviews do not count.
    """
    events, times = dataset.events, np.asarray(dataset.events.time)
    start, stop_at = np.searchsorted(times, [since, end], side="right").tolist()
    while start < stop_at:
        last = int(times[min(start + _BLOCK, stop_at) - 1]) // MICROSECONDS_PER_DAY
        stop = min(stop_at, int(np.searchsorted(times, (last + 1) * MICROSECONDS_PER_DAY)))
        yield _distinct(events.take(np.arange(start, stop)), dataset, end)
        start = stop


def _distinct(events: Events, dataset: Dataset, end: int) -> PersonDays:
    weight = _weights(events, dataset)
    events, weight = events.take(weight > 0), weight[weight > 0]
    day = np.asarray(events.time) // MICROSECONDS_PER_DAY
    person, item = persons(events), np.asarray(events.item, dtype=np.int64)
    order = np.lexsort((events.time, item, person, day))
    day, person, item, weight = day[order], person[order], item[order], weight[order]
    if not order.size:
        nothing = np.empty(0)
        return PersonDays(item, person, nothing, nothing)
    begins = np.append(True, (np.diff(day) != 0) | (np.diff(person) != 0) | (np.diff(item) != 0))
    starts = np.flatnonzero(begins)
    ends = np.append(starts[1:], order.size) - 1
    age = (end - events.time[order][ends]) / MICROSECONDS_PER_DAY
    return PersonDays(item[starts], person[starts], age, np.maximum.reduceat(weight, starts))


def _weights(events: Events, dataset: Dataset) -> npt.NDArray[np.float64]:
    success = dataset.target.weigh(events) / max(dataset.target.by_type.values())
    other = {word: n for word, n in dataset.weights.by_type.items() if n > 0 and word != "dismissed"}
    lead_in = Target(other).weigh(events) * (LEAD_IN / max(other.values(), default=1.0))
    return np.where(success > 0, success, lead_in)
