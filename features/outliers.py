"""Bots and outliers: which events of a day are too many to be a taste, and are left out of what models learn.

Of the events that one user (or one guest's session) has on one day (UTC), only the first few with the same
product and type count, and of what is left only the first so many. First means first in `canonical_order`,
so whether an event counts depends on nothing that came later: the events up to a moment are cut the same
whether or not the rest is known. Guests without a session cannot be distinguished and are not cut.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from features.interactions import MICROSECONDS_PER_DAY, InteractionWeights

__all__ = ["DAILY", "KEPT", "REPEATED", "outliers"]

KEPT, REPEATED, DAILY = -1, 0, 1
"""Why an event is cut: the same again, or too many on one day; KEPT where it is not."""

_BLOCK = 1 << 20
_PRIME = np.uint64(0x9E3779B97F4A7C15)


def outliers(
    columns: Mapping[str, npt.NDArray[Any]], weights: InteractionWeights
) -> npt.NDArray[np.int8] | None:
    """For each event KEPT, REPEATED or DAILY.

    Parameters
    ----------
    columns
        user (negative for guests), item, kind, session and time, in `canonical_order`.

    Returns
    -------
    int8, shape (n,)
        None when all are kept.
    """
    if not weights.max_repeats_per_day and not weights.max_events_per_day:
        return None
    time = columns["time"]
    verdict: npt.NDArray[np.int8] | None = None
    start = 0
    while start < time.size:  # whole days, so that no group lies in two blocks
        last_day = int(time[min(start + _BLOCK, time.size) - 1]) // MICROSECONDS_PER_DAY
        stop = int(np.searchsorted(time, (last_day + 1) * MICROSECONDS_PER_DAY))
        part = slice(start, stop)
        found = _of_days({name: columns[name][part] for name in _USED}, weights)
        if found is not None:
            if verdict is None:
                verdict = np.full(time.size, KEPT, dtype=np.int8)
            verdict[part] = found
        start = stop
    return verdict


_USED = ("user", "item", "kind", "session", "time")


def _of_days(
    columns: Mapping[str, npt.NDArray[Any]], weights: InteractionWeights
) -> npt.NDArray[np.int8] | None:
    guest = columns["user"] < 0
    session = np.where(guest, columns["session"], 0)
    someone = ~guest | (session != 0)
    who = (columns["user"], session, columns["time"] // MICROSECONDS_PER_DAY)
    verdict: npt.NDArray[np.int8] = np.full(guest.size, KEPT, dtype=np.int8)
    if weights.max_repeats_per_day:
        same = (*who, columns["item"], columns["kind"])
        verdict[_beyond(same, someone, weights.max_repeats_per_day)] = REPEATED
    if weights.max_events_per_day:
        alive = someone & (verdict == KEPT)
        verdict[_beyond(who, alive, weights.max_events_per_day)] = DAILY
    return verdict if (verdict != KEPT).any() else None


def _beyond(
    keys: Sequence[npt.NDArray[Any]], alive: npt.NDArray[np.bool_], limit: int
) -> npt.NDArray[np.int64]:
    """Places of the events that come after the first `limit` of their group, among those alive."""
    mixed = np.zeros(alive.size, dtype=np.uint64)
    for key in keys:
        mixed ^= key.astype(np.int64).view(np.uint64)
        mixed *= _PRIME
        mixed ^= mixed >> np.uint64(29)
    bits = max(8, int(alive.size).bit_length())
    bucket = (mixed >> np.uint64(64 - bits)).astype(np.int64)
    crowd = np.bincount(bucket[alive], minlength=1 << bits)
    # a bucket holds at least its groups: only crowded ones are worth looking at exactly
    suspects = np.flatnonzero((crowd > limit)[bucket] & alive)
    if suspects.size == 0:
        return suspects
    held = [key[suspects] for key in keys]
    order = np.lexsort(held)  # stable: within a group in the order of the events
    new = np.zeros(order.size, dtype=bool)
    new[0] = True
    for key in held:
        sorted_key = key[order]
        new[1:] |= sorted_key[1:] != sorted_key[:-1]
    first = np.maximum.accumulate(np.where(new, np.arange(order.size), 0))
    return suspects[order[np.arange(order.size) - first >= limit]]
