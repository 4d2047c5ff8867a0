"""That nothing of the future is in what a model learns from, or in what a user comes with."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from features.dataset import Dataset
from features.interactions import History
from recsys.errors import Invalid

__all__ = ["assert_history_first", "assert_no_leak"]


def assert_history_first(
    asked_at: npt.NDArray[np.int64], histories: Sequence[History] | None, cutoff: int
) -> None:
    """Raise Invalid when a user is asked for what came before the cutoff, or comes with what came later.

    Parameters
    ----------
    asked_at : int64, shape (n,)
        Microseconds since 1970-01-01 UTC.
    histories
        Of the same users; None: what the model learned of them.
    """
    early = int((asked_at <= cutoff).sum())
    if early:
        raise Invalid(f"{early} users of the test are asked for what happened before the cutoff")
    if histories is None:
        return
    latest = np.array([history.times.max(initial=0) for history in histories], dtype=np.int64)
    if late := int((latest >= asked_at).sum()):
        raise Invalid(
            f"the histories of {late} users leak the future: they hold events not earlier than what is asked"
        )


def assert_no_leak(train: Dataset, cutoff: int) -> None:
    """Raise Invalid when anything in `train` is later than `cutoff` (microseconds since 1970)."""
    features, preferences = train.item_features, train.preferences
    late: dict[str, int] = {
        "events": int((train.events.time > cutoff).sum()),
        "preferences": int((preferences.updated > cutoff).sum()),
        # a product may carry a later creation date than its first sale; then the sale proves that it existed
        "products": int(((features.created > cutoff) & ~_sold(train)).sum()),
        "moment": int(train.moment > cutoff),
    }
    if found := {name: count for name, count in late.items() if count}:
        when = datetime.fromtimestamp(cutoff / 1e6, UTC).isoformat()
        listed = ", ".join(f"{count} {name}" for name, count in found.items())
        raise Invalid(f"the training data leaks the future: {listed} later than the cutoff {when}")


def _sold(train: Dataset) -> npt.NDArray[np.bool_]:
    sold = np.zeros(len(train.items), dtype=bool)
    sold[train.events.item] = True
    return sold
