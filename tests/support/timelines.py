"""Datasets written down as rows of user, item, interaction type and day."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from features.dataset import Dataset, ItemFeatures, Preferences
from features.ids import IdMap
from features.interactions import MICROSECONDS_PER_DAY as DAY
from features.interactions import Events, InteractionWeights, canonical_order
from features.target import Target
from recsys.domains.recommendations.types import INTERACTION_TYPES

__all__ = ["Row", "at", "timeline"]

Row = tuple[int, int, str, float] | tuple[int, int, str, float, int] | tuple[int, int, str, float, int, float]
"""user row (-1: guest), item row, interaction type, day; a session and a value where they matter."""


def at(day: float) -> int:
    """Microseconds of a day of the timeline."""
    return round((20_000 + day) * DAY)


def timeline(
    rows: Sequence[Row],
    *,
    users: int | None = None,
    items: int | None = None,
    hidden: Sequence[int] = (),
    target: Target | None = None,
) -> Dataset:
    """User ids are 100 + row, product ids 500 + row; `hidden` products can't be shown."""
    full = [(*row, *(0, math.nan)[len(row) - 4 :]) for row in rows]
    columns: dict[str, npt.NDArray[Any]] = {
        "user": np.array([row[0] for row in full], dtype=np.int32),
        "item": np.array([row[1] for row in full], dtype=np.int32),
        "kind": np.array([INTERACTION_TYPES.index(row[2]) for row in full], dtype=np.int8),
        "value": np.array([row[5] for row in full], dtype=np.float32),
        "session": np.array([row[4] for row in full], dtype=np.int64),
        "time": np.array([at(row[3]) for row in full], dtype=np.int64),
    }
    events = Events(**columns)
    order = canonical_order(columns)
    if order is not None:
        events = events.take(order)
    people = users or int(events.user.max(initial=0)) + 1
    things = items or int(events.item.max(initial=0)) + 1
    nothing = np.full(things, -1, dtype=np.int32)
    features = ItemFeatures(
        [f"product {row}" for row in range(things)],
        [""] * things,
        nothing,
        [],
        nothing,
        [],
        np.full(things, np.nan, dtype=np.float32),
        np.zeros(things, dtype=np.int64),
        ~np.isin(np.arange(things), hidden),
    )
    return Dataset(
        IdMap(100 + np.arange(people)),
        IdMap(500 + np.arange(things)),
        events,
        features,
        Preferences.none(people, 0, 0),
        int(events.time.max(initial=at(0))),
        InteractionWeights(),
        target=target or Target(),
    )
