"""From the shop's tables to a Dataset: one consistent state, everything after `until` left out."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
from psycopg import sql

from features.columns import NO_ID, Progress, Snapshot, open_snapshot
from features.dataset import Dataset, compact
from features.ids import IdMap
from features.interactions import Events, InteractionWeights, canonical_order
from features.preferences import RawPreferences, read_preferences, user_preferences
from features.products import Catalogue, item_features, read_catalogue
from features.read_interactions import RawInteractions, read_interactions
from features.snapshots import current, load, store
from recsys.database.session import libpq_url
from recsys.errors import Invalid
from recsys.settings import Settings

__all__ = [
    "Built",
    "as_microseconds",
    "assemble",
    "build",
    "build_reported",
    "current",
    "load",
    "weights_of",
]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BLOCK = 1 << 20


@dataclass
class Built:
    """What a build did.

    seconds        from the first connection to the stored snapshot
    undated        events left out because they have no time
    unknown_types  events whose type is no word we know; kept as touched, weighing nothing
    guests         events without a user
    preferences    rows read, parts that were malformed, names that the catalogue does not have
    """

    dataset: Dataset
    seconds: float = 0.0
    undated: int = 0
    unknown_types: int = 0
    guests: int = 0
    preferences: dict[str, int] = field(default_factory=dict)


def weights_of(settings: Settings) -> InteractionWeights:
    """The one definition of what an interaction weighs, as configured."""
    return InteractionWeights(dict(settings.features.weights), settings.features.half_life_days)


def build(settings: Settings, until: datetime | None = None, progress: Progress | None = None) -> Dataset:
    """Read, assemble and store a snapshot, make it the current one and return it; see `build_reported`."""
    return build_reported(settings, until, progress).dataset


def build_reported(
    settings: Settings, until: datetime | None = None, progress: Progress | None = None
) -> Built:
    """Read, assemble and store a snapshot, make it the current one, and say what was done.

    until : timezone-aware; nothing after it gets in, and ages count from it, not from the newest interaction.
    Raises Invalid when there is no interaction to learn from, Unavailable when PostgreSQL can't be reached.
    """
    started = time.perf_counter()
    told: Progress = progress or (lambda _what, _done, _total: None)
    weights = weights_of(settings)
    limit = None if until is None else sql.Literal(until.astimezone(UTC))
    with open_snapshot(libpq_url(settings)) as snapshot:
        catalogue = read_catalogue(snapshot, lambda done, total: told("Reading products", done, total))
        preferences = read_preferences(snapshot, limit)
        raw = read_interactions(
            snapshot, limit, lambda done, total: told("Reading interactions", done, total)
        )
        if len(raw) == 0:
            raise Invalid(_nothing(snapshot, until, raw.undated))
    told("Sorting", 0, 1)
    built = assemble(raw, catalogue, preferences, weights, None if until is None else as_microseconds(until))
    told("Writing", 0, 1)
    store(settings, built.dataset, until=until)
    built.seconds = time.perf_counter() - started
    told("Writing", 1, 1)
    return built


def assemble(
    raw: RawInteractions,
    catalogue: Catalogue,
    preferences: RawPreferences,
    weights: InteractionWeights,
    until: int | None = None,
) -> Built:
    """Put together what was read, in one order that does not depend on how it lay in the database.

    until : microseconds since 1970-01-01 UTC. `raw` and `preferences` hold nothing later already; products
    do: one created later stays out, unless it has events. Uses `raw` up, to need its memory once only.
    """
    columns = raw.columns
    time_of = columns["time"]
    moment = until if until is not None else int(time_of.max())
    users = IdMap.of(np.union1d(_known(columns["user"]), preferences.user))
    seen = IdMap.of(columns["item"])
    created = catalogue.columns["created"]
    listed = catalogue.columns["id"][created <= moment] if until is not None else catalogue.columns["id"]
    items = IdMap.of(np.union1d(seen.ids, listed))

    columns["user"], columns["item"] = _rows(users, columns["user"]), _rows(items, columns["item"])
    order = canonical_order(columns)
    if order is not None:
        for name in list(columns):
            columns[name] = columns[name][order]
    del order
    events = Events(**columns)
    first_event = np.zeros(len(items), dtype=np.int64)
    # from the last to the first, so that the first one stays
    first_event[events.item[::-1]] = events.time[::-1]

    told, counts = user_preferences(preferences, users, catalogue.categories, catalogue.brands)
    features, told = compact(item_features(catalogue, items, first_event), told)
    dataset = Dataset(users, items, events, features, told, moment, weights)
    return Built(
        dataset,
        undated=raw.undated,
        unknown_types=int(np.count_nonzero(events.kind < 0)),
        guests=int(np.count_nonzero(events.user < 0)),
        preferences=counts,
    )


def as_microseconds(moment: datetime) -> int:
    """Microseconds since 1970-01-01 UTC of a timezone-aware moment."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _known(user: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    guest = user == NO_ID
    return IdMap.of(user[~guest] if guest.any() else user).ids


def _rows(ids: IdMap, values: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    rows = np.empty(values.size, dtype=np.int32)
    for start in range(0, values.size, _BLOCK):  # in blocks: the look-up works in 64 bits
        part = slice(start, start + _BLOCK)
        rows[part] = ids.index(values[part])
    return rows


def _nothing(snapshot: Snapshot, until: datetime | None, undated: int) -> str:
    found = snapshot.connection.execute(
        "SELECT min(created_at) FILTER (WHERE isfinite(created_at)) FROM recommendations_db.user_interactions"
    ).fetchone()
    oldest: Any = None if found is None else found[0]
    if until is not None and oldest is not None:
        return f"there is no interaction up to {until.isoformat()}; the oldest is of {oldest.isoformat()}"
    left_out = f" ({undated} have no time)" if undated else ""
    return (
        f"there are no interactions to learn from{left_out}; `recsys import` brings some in, then build again"
    )
