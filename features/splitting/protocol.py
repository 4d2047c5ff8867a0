"""How a model is tested: what users take up in a whole window, or their next success in order of time."""

from __future__ import annotations

from typing import Literal

import numpy as np

from features.dataset import Dataset
from features.target import Target

__all__ = ["Protocol", "choose_protocol"]

Protocol = Literal["window", "next"]


def choose_protocol(dataset: Dataset) -> tuple[Protocol, str]:
    """`next` where the shop logs what leads to a success, else `window`; and one sentence that says why.

    Lead-in events are events of a positive weight that are no success. Where they outnumber the successes,
    what a user did just before decides what comes next, and a model that does not see it is not tested as it
    is used.
    """
    events = dataset.events
    success = dataset.target.mask(events)
    counted = {word: weight for word, weight in dataset.weights.by_type.items() if weight > 0}
    counted.pop("dismissed", None)
    lead_in = int(np.count_nonzero(Target(counted).mask(events) & ~success))
    successes = int(np.count_nonzero(success))
    counts = f"{lead_in:,} events lead to {successes:,} successes"
    if lead_in > successes:
        return "next", f"Each user is asked for the next success, given what came before: {counts}."
    return "window", f"Each user is asked for all successes of a window, known up to its start: {counts}."
