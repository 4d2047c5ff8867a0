"""A `Dataset` from the bare columns of a benchmark's file: no catalogue, no preferences."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from features.dataset import Dataset, ItemFeatures, Preferences
from features.ids import IdMap
from features.interactions import Events, InteractionWeights, canonical_order
from recsys.domains.recommendations.types import INTERACTION_TYPES, InteractionType
from recsys.errors import Invalid, NotFound

__all__ = ["PURCHASES", "bare_dataset", "open_text", "purchases", "whole_numbers"]

PURCHASES = InteractionWeights(by_type={"purchase": 1.0}, half_life_days=36_500.0)
"""Every event counts the same: such files know one type, and their times are only an order."""


def bare_dataset(
    users: int,
    items: int,
    columns: dict[str, npt.NDArray[np.int64]],
    weights: InteractionWeights = PURCHASES,
) -> Dataset:
    """Users and items 0..n-1; `columns` are user, item, kind and time (microseconds), of one length each."""
    count = columns["user"].size
    full: dict[str, npt.NDArray[Any]] = {
        "user": columns["user"].astype(np.int32),
        "item": columns["item"].astype(np.int32),
        "kind": columns["kind"].astype(np.int8),
        "value": np.full(count, np.nan, dtype=np.float32),
        "session": np.zeros(count, dtype=np.int64),
        "time": columns["time"].astype(np.int64),
    }
    events = Events(**full)
    order = canonical_order(full)
    if order is not None:
        events = events.take(order)
    nothing = np.full(items, -1, dtype=np.int32)
    features = ItemFeatures(
        [""] * items,
        [""] * items,
        nothing,
        [],
        nothing,
        [],
        np.full(items, np.nan, dtype=np.float32),
        np.zeros(items, dtype=np.int64),
        np.ones(items, dtype=bool),
    )
    moment = int(events.time.max(initial=0))
    maps = IdMap(np.arange(users)), IdMap(np.arange(items))
    return Dataset(*maps, events, features, Preferences.none(users, 0, 0), moment, weights)


def purchases(
    users: int,
    items: int,
    user: npt.NDArray[np.int64],
    item: npt.NDArray[np.int64],
    time: npt.NDArray[np.int64] | None = None,
) -> Dataset:
    """A dataset of purchases only, each of weight one; without `time` all happened at once."""
    kind = np.full(user.size, INTERACTION_TYPES.index(InteractionType.PURCHASE))
    columns = {
        "user": user,
        "item": item,
        "kind": kind,
        "time": np.zeros_like(user) if time is None else time,
    }
    return bare_dataset(users, items, columns)


def open_text(folder: Path, name: str) -> IO[str]:
    """The file `name` or `name`.gz of `folder`, for reading lines. Raises NotFound naming both."""
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return gzip.open(path, "rt") if path.suffix == ".gz" else path.open()
    raise NotFound(f"{folder} holds neither {name} nor {name}.gz; give the folder of the data with --data")


def whole_numbers(line: str, where: str) -> list[int]:
    """The numbers of one line; raises Invalid, naming the line, for anything else or a negative one."""
    try:
        numbers = [int(word) for word in line.split()]
    except ValueError:
        numbers = [-1]
    if any(number < 0 for number in numbers):
        raise Invalid(f"{where}: expected whole numbers separated by spaces, found {line.strip()[:60]!r}")
    return numbers
