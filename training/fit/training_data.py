"""Which interactions models are trained on: all of a snapshot, or the newest that memory has room for."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from features.dataset import Dataset
from features.interactions import MICROSECONDS_PER_DAY
from models.shared.memory_budget import total_bytes
from recsys.settings import get_settings
from training.progress import Steps

__all__ = ["bytes_per_interaction", "most_interactions", "newest_interactions"]

USABLE = 0.8
"""Of the memory; the rest is for the servers, the system and its file cache."""
FIXED_BYTES = 2**30
"""What a training takes of a small shop."""
UNIT = 100_000
"""So the limit, and with it what a model is trained on, does not follow small changes of the machine."""

# measured with the ten million interactions of `docs/operations/capacity.md`
BYTES_PER_INTERACTION = {
    "hybrid": 1_000,
    "complements": 450,
    "similar_items": 450,
    "co_visitation_by_type": 400,
}
OTHER_BYTES_PER_INTERACTION = 350


def bytes_per_interaction(algorithms: Iterable[str]) -> int:
    """What the most demanding of `algorithms` takes of memory for each interaction."""
    return max(BYTES_PER_INTERACTION.get(each, OTHER_BYTES_PER_INTERACTION) for each in algorithms)


def most_interactions(algorithms: Iterable[str], memory: int) -> int:
    """So many interactions can be trained on with `memory` bytes, in whole units of UNIT, one at least."""
    room = USABLE * memory - FIXED_BYTES
    return max(1, int(room / bytes_per_interaction(algorithms) / UNIT)) * UNIT


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
