"""From the shop's tables to a Dataset: one consistent state, everything after `until` left out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from psycopg import sql

from features.blocks import blocks
from features.build.column_reader import NO_ID, Progress, Snapshot, open_shop
from features.build.consents import ConsentFilter, read_consents
from features.build.event_files import EventFiles, distinct_of_blocks, in_order, only
from features.build.incremental import Watermark, counted, here, new_rows
from features.build.interaction_reader import RawInteractions, read_interactions
from features.build.preference_reader import RawPreferences, read_preferences, user_preferences
from features.build.product_reader import ProductColumns, item_features, read_catalogue
from features.build.profile_reader import read_demographics
from features.build.snapshots import current, current_record, load, scratch_folder, store
from features.dataset import Cut, Dataset, compact
from features.ids import IdMap
from features.interactions import Events, InteractionWeights
from features.outliers import KEPT, outliers
from features.target import choose_target
from recsys.artifacts.store import artifact_store
from recsys.errors import Invalid, NotFound
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


class EventReader(Protocol):
    """Reads all interactions but those of people who refuse (`features.build.spark_reader`)."""

    def __call__(
        self,
        snapshot: Snapshot,
        until: sql.Composable | None,
        consents: ConsentFilter,
        weights: InteractionWeights,
    ) -> RawInteractions:
        """In `canonical_order`, with verdicts.

        Parameters
        ----------
        until
            An SQL timestamptz; nothing after it.
        """


@dataclass
class Built:
    """What a build did.

    Attributes
    ----------
    dataset
    seconds
        From the first connection to the stored snapshot.
    undated
        Events left out because they have no time.
    unknown_types
        Events whose type is no word we know; kept as touched, weighing nothing.
    guests
        Events without a user.
    cut
        Events left out as too many of one day, by reason (`features.outliers`).
    preferences
        Rows read, parts that were malformed, names that the catalogue does not have, and parts that were
        inferred from behaviour and not given by the user.
    new
        Events that came since the snapshot that this build went on from; None for a build from nothing.
    whole
        Why the build started from nothing; empty where it went on from the current snapshot.
    """

    dataset: Dataset
    seconds: float = 0.0
    undated: int = 0
    unknown_types: int = 0
    guests: int = 0
    cut: dict[str, int] = field(default_factory=dict)
    preferences: dict[str, int] = field(default_factory=dict)
    new: int | None = None
    whole: str = ""


def weights_of(settings: Settings) -> InteractionWeights:
    """The one definition of what an interaction weighs and which are too many, as configured."""
    chosen = settings.features
    types = tuple(chosen.weights.items())
    return _weights(types, chosen.half_life_days, chosen.max_repeats_per_day, chosen.max_events_per_day)


@lru_cache(maxsize=8)
def _weights(
    types: tuple[tuple[str, float], ...], half_life_days: float, repeats: int, events: int
) -> InteractionWeights:
    """Weights that were checked once; every live list needs them."""
    return InteractionWeights(dict(types), half_life_days, repeats, events)


def build(
    settings: Settings,
    until: datetime | None = None,
    progress: Progress | None = None,
    *,
    incremental: bool = True,
) -> Dataset:
    """Read, assemble and store a snapshot, make it the current one and return it; see `build_reported`."""
    return build_reported(settings, until, progress, incremental=incremental).dataset


def build_reported(
    settings: Settings,
    until: datetime | None = None,
    progress: Progress | None = None,
    *,
    incremental: bool = True,
    read_all: EventReader | None = None,
) -> Built:
    """Read, assemble and store a snapshot, make it the current one, and return its counts.

    Parameters
    ----------
    until
        Timezone-aware; nothing after it gets in, and ages count from it, not from the newest interaction.
    progress
        Called with what is being done, how much of it is done, and how much there is.
    incremental
        Go on from the current snapshot where that gives exactly what a build from nothing gives
        (`features.build.incremental`): only new interactions are read, and the catalogue, profiles and
        preferences are read again as a whole. Where it cannot, `Built.whole` says why.
    read_all
        Reads all interactions in place of this process, in order and with their verdicts.

    Raises
    ------
    Invalid
        When there is no interaction to learn from.
    Unavailable
        When PostgreSQL or the store of artifacts can't be reached.
    """
    started = time.perf_counter()
    report: Progress = progress or (lambda _what, _done, _total: None)
    weights = weights_of(settings)
    artifact_store(settings).prepare()
    scratch = scratch_folder(settings)
    limit = None if until is None else sql.Literal(until.astimezone(UTC))
    with open_shop(settings) as snapshot:
        catalogue = read_catalogue(snapshot, lambda done, total: report("Reading products", done, total))
        consents = read_consents(snapshot)
        preferences = read_preferences(snapshot, consents, limit)
        if read_all is None:
            reading = _Reading(
                snapshot,
                limit,
                lambda done, total: report("Reading interactions", done, total),
                consents,
                scratch,
            )
            raw, mark, new, whole = reading.events(settings, incremental)
        else:
            report("Reading interactions", 0, 1)
            raw, new, whole = read_all(snapshot, limit, consents, weights), None, "Spark reads everything"
            mark = replace(here(snapshot), refusing=consents.digest) if limit is None else None
            mark = None if mark is None else replace(counted(snapshot, mark), undated=raw.undated)
        if len(raw) == 0:
            raise Invalid(_nothing(snapshot, until, raw.undated))
        report("Sorting", 0, 1)
        moment = None if until is None else as_microseconds(until)
        configured = settings.features.target
        built = assemble(raw, catalogue, preferences, weights, moment, configured, scratch)
        demographics = read_demographics(snapshot, built.dataset.users, limit)
    built.dataset = replace(built.dataset, demographics=demographics)
    built.new, built.whole = new, whole
    report("Writing", 0, 1)
    store(settings, built.dataset, until=until, watermark=None if mark is None else mark.as_json())
    built.seconds = time.perf_counter() - started
    report("Writing", 1, 1)
    return built


@dataclass(frozen=True)
class _Reading:
    """How this build reads the interactions."""

    snapshot: Snapshot
    limit: sql.Composable | None
    progress: Callable[[int, int], None]
    consents: ConsentFilter
    scratch: Path

    def events(
        self, settings: Settings, incremental: bool
    ) -> tuple[RawInteractions, Watermark | None, int | None, str]:
        """The interactions, the new watermark, how many were new, and why all had to be read."""
        if self.limit is not None:
            return self._all(None, "an earlier moment was asked for")
        now = replace(here(self.snapshot), refusing=self.consents.digest)
        if not incremental:
            return self._all(now, "it was asked for")
        try:
            record = current_record(settings)
            before = Watermark.of(record)
            if before is None:
                return self._all(now, "the current snapshot does not say up to where it has read")
            if before.place != now.place:
                return self._all(now, "the current snapshot is of another database")
            if before.refusing != now.refusing:
                return self._all(now, "other people refuse personalisation by now")
            old = load(settings, record["fingerprint"])
        except (NotFound, Invalid) as error:
            return self._all(now, error.message)
        now = counted(self.snapshot, now)
        new = self._read(None, new_rows(before))
        if not before.grows_to(now, new.read, new.digest):
            return self._all(now, "interactions that the current snapshot holds were changed or deleted")
        undated = before.undated + new.undated
        fresh = len(new)
        return _joined(old, new, undated, self.scratch), replace(now, undated=undated), fresh, ""

    def _all(
        self, now: Watermark | None, reason: str
    ) -> tuple[RawInteractions, Watermark | None, int | None, str]:
        raw = self._read(self.limit, None)
        if now is not None:
            now = replace(now, rows=raw.read, digest=raw.digest, undated=raw.undated)
        return raw, now, None, reason

    def _read(self, limit: sql.Composable | None, condition: sql.Composable | None) -> RawInteractions:
        files = EventFiles(self.scratch)
        return read_interactions(
            self.snapshot, limit, self.progress, condition, consents=self.consents, files=files
        )


def _joined(old: Dataset, new: RawInteractions, undated: int, scratch: Path) -> RawInteractions:
    """All that the old snapshot was built from, what was cut included, and the new events."""
    files = EventFiles(scratch)
    no_user = np.append(old.users.ids, NO_ID).astype(np.int32)  # the last entry serves guests' -1
    item_ids = old.items.ids.astype(np.int32)
    for events in (old.events, old.cut.events):
        for part in blocks(len(events)):
            some = {name: getattr(events, name)[part] for name in new.columns}
            files.add(some | {"user": no_user[some["user"]], "item": item_ids[some["item"]]})
    for part in blocks(len(new)):
        files.add({name: column[part] for name, column in new.columns.items()})
    return RawInteractions(files.columns(), undated)


def assemble(
    raw: RawInteractions,
    catalogue: ProductColumns,
    preferences: RawPreferences,
    weights: InteractionWeights,
    until: int | None = None,
    target: Mapping[str, float] | None = None,
    scratch: Path | None = None,
) -> Built:
    """Put together what was read, in one order that does not depend on how it lay in the database.

    Parameters
    ----------
    raw
        Holds nothing later than `until`. Is used up, so that its memory is needed only once.
    catalogue
        A product created after `until` stays out, unless it has events.
    preferences
        Hold nothing later than `until`.
    until
        Microseconds since 1970-01-01 UTC; None: the newest event.
    target
        Weight per type of what counts as a success; None: chosen from the events.
    scratch
        A folder with room for the events twice; None: where temporary files lie.
    """
    columns = raw.columns
    time_of = columns["time"]
    moment = until if until is not None else int(time_of.max())
    users = IdMap.of(np.append(_known(columns["user"]), preferences.user))
    seen = IdMap.of(distinct_of_blocks(columns["item"]))
    created = catalogue.columns["created"]
    listed = catalogue.columns["id"][created <= moment] if until is not None else catalogue.columns["id"]
    items = IdMap.of(np.append(seen.ids, listed))

    columns["user"], columns["item"] = _rows(users, columns["user"]), _rows(items, columns["item"])
    if raw.verdict is None:
        columns = in_order(columns, scratch)
    first_event = np.zeros(len(items), dtype=np.int64)
    for part in reversed(list(blocks(len(raw)))):
        # from the last to the first, so that the first one stays
        first_event[columns["item"][part][::-1]] = columns["time"][part][::-1]
    verdict = outliers(columns, weights) if raw.verdict is None else raw.verdict
    events, cut = _split(columns, verdict, scratch)

    features = item_features(catalogue, items, first_event)
    report, counts = user_preferences(preferences, users, catalogue.categories, catalogue.brands, features)
    features, report = compact(features, report)
    chosen = choose_target(events, target)
    dataset = Dataset(users, items, events, features, report, moment, weights, cut=cut, target=chosen)
    return Built(
        dataset,
        undated=raw.undated,
        unknown_types=int(np.count_nonzero(events.kind < 0)),
        guests=int(np.count_nonzero(events.user < 0)),
        cut=cut.as_json(),
        preferences=counts,
    )


def _split(
    columns: dict[str, npt.NDArray[Any]], verdict: npt.NDArray[np.int8] | None, scratch: Path | None
) -> tuple[Events, Cut]:
    """What counts, and what is too much."""
    if verdict is None or (verdict == KEPT).all():
        return Events(**columns), Cut.none()
    kept = verdict == KEPT
    aside = Cut(Events(**columns).take(~kept), verdict[~kept])
    return Events(**only(columns, kept, scratch)), aside


def as_microseconds(moment: datetime) -> int:
    """Microseconds since 1970-01-01 UTC of a timezone-aware moment."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _known(user: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    ids = distinct_of_blocks(user)
    return IdMap.of(ids[ids != NO_ID]).ids


def _rows(ids: IdMap, values: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """The row of each id, in the place of the ids where they can be written to."""
    rows = values if values.flags.writeable else np.empty(values.size, dtype=np.int32)
    for part in blocks(values.size):  # in blocks: the look-up works in 64 bits
        rows[part] = ids.index(values[part])
    return rows


def _nothing(snapshot: Snapshot, until: datetime | None, undated: int) -> str:
    found = snapshot.events.connection.execute(
        "SELECT min(created_at) FILTER (WHERE isfinite(created_at)) FROM recommendations_db.user_interactions"
    ).fetchone()
    oldest: Any = None if found is None else found[0]
    if until is not None and oldest is not None:
        return f"there is no interaction up to {until.isoformat()}; the oldest is of {oldest.isoformat()}"
    left_out = f" ({undated} have no time)" if undated else ""
    return (
        f"there are no interactions to learn from{left_out}; `recsys import` brings some in, then build again"
    )
