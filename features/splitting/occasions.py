"""Visits and baskets: which events of one person belong to one occasion."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from features.interactions import MICROSECONDS_PER_DAY, Events
from recsys.domains.recommendations.types import INTERACTION_TYPES

__all__ = ["PURCHASE", "VISIT_GAP", "baskets_of", "numbered", "people_of", "visits_of"]

PURCHASE = INTERACTION_TYPES.index("purchase")
VISIT_GAP = 30 * 60 * 1_000_000
"""Microseconds without an event after which a new visit begins (the usual half hour of web analytics)."""

Numbers = npt.NDArray[np.int64]


def numbered(*columns: npt.NDArray[Any]) -> Numbers:
    """int64 (n,): equal numbers, from 0 on, for rows that are equal in every column."""
    order = np.lexsort(columns)
    new = np.zeros(order.size, dtype=bool)
    for column in columns:
        in_order = np.asarray(column)[order]
        new[1:] |= in_order[1:] != in_order[:-1]
    number = np.empty(order.size, dtype=np.int64)
    number[order] = np.cumsum(new)
    return number


def people_of(events: Events) -> Numbers:
    """int64 (n,): one number per user and per guest's session; a guest without a session is -1."""
    user, session = np.asarray(events.user), np.asarray(events.session)
    guest = user < 0
    number = numbered(user, np.where(guest, session, 0))
    return np.where(guest & (session == 0), -1, number)


def visits_of(events: Events) -> Numbers:
    """One number per session, or per run of events less than half an hour apart without one.

    Returns
    -------
    int64, shape (n,)
        -1 for a guest without a session.
    """
    person, session = people_of(events), np.asarray(events.session)
    time = np.asarray(events.time)
    order = np.lexsort((time, session, person))
    new = np.zeros(order.size, dtype=bool)
    new[1:] = (person[order][1:] != person[order][:-1]) | (session[order][1:] != session[order][:-1])
    new[1:] |= (session[order][1:] == 0) & (np.diff(time[order]) > VISIT_GAP)
    number = np.empty(order.size, dtype=np.int64)
    number[order] = np.cumsum(new)
    return np.where(person < 0, -1, number)


def baskets_of(events: Events, kinds: tuple[int, ...] = (PURCHASE,)) -> Numbers:
    """One number per session, or per day of a user where no session is given.

    Parameters
    ----------
    kinds
        Places in INTERACTION_TYPES.

    Returns
    -------
    int64, shape (n,)
        -1 for events of other than `kinds`, and for a guest without a session.
    """
    session, time = np.asarray(events.session), np.asarray(events.time)
    day = np.where(session == 0, time // MICROSECONDS_PER_DAY, 0)
    number = numbered(events.user, session, day)
    lost = (np.asarray(events.user) < 0) & (session == 0)
    return np.where(np.isin(events.kind, kinds) & ~lost, number, -1)
