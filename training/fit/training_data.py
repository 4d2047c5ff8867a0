"""Which interactions models are trained on: all of a snapshot, or the newest that memory has room for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from features.dataset import Dataset
from features.interactions import MICROSECONDS_PER_DAY
from models.shared.memory_budget import total_bytes
from recsys.settings import get_settings
from training.progress import Steps

__all__ = ["most_interactions", "newest_interactions"]

GIB = 2**30

USABLE = 0.8
"""Of the memory; the rest is for the servers, the system and its file cache."""
UNIT = 100_000
"""So the limit, and with it what a model is trained on, does not follow small changes of the machine."""
LEAST_LIMIT = 2_000_000
"""So many interactions are never cut: what their training takes depends on more than their number."""


class MemoryNeed(NamedTuple):
    """Bytes that a training takes: so many whatever the shop, and so many for each interaction."""

    fixed: int
    each: int


# above what was measured with one, ten and nineteen million interactions (docs/operations/capacity.md)
NEEDS = {
    "hybrid": MemoryNeed(3 * GIB, 600),
    "complements": MemoryNeed(GIB, 450),
    "similar_items": MemoryNeed(GIB, 450),
    "co_visitation_by_type": MemoryNeed(GIB, 400),
}
OTHER = MemoryNeed(GIB, 350)


def most_interactions(algorithms: Iterable[str], memory: int) -> int:
    """How many interactions fit into `memory` bytes, in whole units of UNIT; LEAST_LIMIT at least."""
    needs = [NEEDS.get(each, OTHER) for each in algorithms]
    room = min((USABLE * memory - need.fixed) / need.each for need in needs)
    return max(LEAST_LIMIT, int(room / UNIT) * UNIT)


def newest_interactions(dataset: Dataset, algorithms: Iterable[str], steps: Steps) -> Dataset:
    """`dataset`, or its newest interactions alone where it has more than `algorithms` may be trained on.

    Parameters
    ----------
    steps
        Says what is left out, and why.
    """
    given = get_settings().training.most_interactions
    limit = most_interactions(algorithms, total_bytes()) if given is None else given
    events = len(dataset.events)
    if not 0 < limit < events:
        return dataset
    newest = dataset.newest(limit)
    since = np.datetime64(int(newest.events.time.min()) // MICROSECONDS_PER_DAY, "D")
    why = (
        "this machine has memory for no more"
        if given is None
        else "as RECSYS_TRAINING__MOST_INTERACTIONS says"
    )
    steps.say(f"the newest {limit:,} of {events:,} interactions are used, those since {since}: {why}")
    return newest
