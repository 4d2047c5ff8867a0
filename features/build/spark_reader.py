"""Reads `user_interactions` on Spark's executors, and puts them in order and caps them there.

Each task reads a range of the table's pages by the same statement as a local build (`column_reader`), in the
snapshot that the command has exported: all executors see one state of the shop, with what else the command
reads. A task that runs again reads the same again. Numbers are compared as whole numbers throughout, values
by their bits, so that the result is the local one, to the bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from psycopg import sql

from features.build import column_reader
from features.build.column_reader import NO_ID, UNDATED, Snapshot, join_snapshot, page_bounds
from features.build.consents import ConsentFilter
from features.build.interaction_reader import EVENT_COLUMNS, STORED_AS, TABLE, RawInteractions
from features.interactions import MICROSECONDS_PER_DAY, InteractionWeights
from features.outliers import DAILY, KEPT, REPEATED
from recsys.database.addresses import libpq_url_of
from recsys.spark.executors import apply_environment, environment_for_executors
from recsys.spark.session import errors_of_spark

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

__all__ = ["SparkInteractionReader"]

_SCHEMA_SQL = "user int, item int, kind tinyint, value int, session bigint, time bigint"
_SCHEMA = pa.schema(
    [
        ("user", pa.int32()),
        ("item", pa.int32()),
        ("kind", pa.int8()),
        ("value", pa.int32()),
        ("session", pa.int64()),
        ("time", pa.int64()),
    ]
)
_ORDER = ("time", "user", "item", "kind", "value", "session")
"""`features.interactions.canonical_order`, with ids in place of rows: both increase together."""
_FOREVER = int(np.iinfo(np.int64).max)
_UNDATED_QUERY = sql.SQL(
    "SELECT count(*) FROM {} WHERE (created_at IS NULL OR NOT isfinite(created_at)) AND ({})"
)


@dataclass(frozen=True)
class _Pages:
    """What an executor needs to know; plain values, since Spark sends them."""

    environment: Mapping[str, str]
    snapshot: str
    ranges: int
    pages_per_range: int
    where: str


class SparkInteractionReader:
    """Reads all interactions up to a moment on the executors of a session, sorted and with their verdicts."""

    def __init__(self, session: SparkSession) -> None:
        self._session = session

    def __call__(
        self,
        snapshot: Snapshot,
        until: sql.Composable | None,
        consents: ConsentFilter,
        weights: InteractionWeights,
    ) -> RawInteractions:
        """Raise Unavailable when a task fails for good."""
        where: sql.Composable = sql.SQL("true")
        if until is not None:
            where = sql.SQL("created_at IS NULL OR created_at <= {}").format(until)
        events = snapshot.events
        condition = where.as_string(events.connection)
        ranges = events.ranges(TABLE)
        pages = _Pages(
            environment_for_executors(), events.exported(), ranges, column_reader.PAGES_PER_READ, condition
        )
        rows = self._session.range(0, ranges, 1, ranges).mapInArrow(_reader_of(pages), _SCHEMA_SQL)
        frame = _capped(_allowed(rows, consents), weights)
        with errors_of_spark("did not read all interactions"):
            found = frame.orderBy(*_ORDER).toArrow()
        undated = events.connection.execute(_UNDATED_QUERY.format(TABLE, where)).fetchall()[0][0]
        columns = {name: _native(found.column(name), dtype) for name, dtype in STORED_AS.items()}
        return RawInteractions(columns, int(undated), verdict=_native(found.column("verdict"), np.int8))


def _native(column: Any, dtype: Any) -> npt.NDArray[Any]:
    array: npt.NDArray[Any] = column.to_numpy()
    return array.view(dtype) if dtype is np.float32 else np.array(array, dtype=dtype)


def _allowed(rows: DataFrame, consents: ConsentFilter) -> DataFrame:
    """Leave out people who refuse personalisation, as `ConsentFilter.without` does."""
    for column, kind, refused in (("user", "int", consents.users), ("session", "bigint", consents.sessions)):
        if refused.size:
            some = rows.sparkSession.createDataFrame(
                [(each,) for each in refused.tolist()], f"{column} {kind}"
            )
            rows = rows.join(some, column, "left_anti")
    return rows


def _capped(rows: DataFrame, weights: InteractionWeights) -> DataFrame:
    """Add the column `verdict`, as `features.outliers` has it."""
    from pyspark.sql import Window
    from pyspark.sql import functions as f

    guest = f.col("user") == NO_ID
    someone = ~guest | (f.col("session") != 0)
    rows = rows.withColumn("verdict", f.lit(KEPT).cast("tinyint"))
    person = f.when(guest, f.col("session")).otherwise(f.lit(0))
    # whole numbers only: a division would round
    day = f.col("time") - f.pmod(f.col("time"), f.lit(MICROSECONDS_PER_DAY))
    who = [f.col("user"), person, day]
    for limit, reason, keys in (
        (weights.max_repeats_per_day, REPEATED, [*who, f.col("item"), f.col("kind")]),
        (weights.max_events_per_day, DAILY, who),
    ):
        if limit:
            alive = someone & (f.col("verdict") == KEPT)
            place = f.row_number().over(Window.partitionBy(*keys, alive).orderBy(*_ORDER))
            rows = rows.withColumn(
                "verdict",
                f.when(alive & (place > limit), f.lit(reason).cast("tinyint")).otherwise(f.col("verdict")),
            )
    return rows


def _reader_of(pages: _Pages) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def read(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield from _read(pages, batch.column("id").to_pylist())

    return read


def _read(pages: _Pages, ranges: list[int]) -> Iterator[pa.RecordBatch]:
    """Read these ranges of pages on this executor."""
    apply_environment(pages.environment)
    where = sql.SQL(pages.where)  # made by psycopg in the command
    with join_snapshot(libpq_url_of("recommendations"), pages.snapshot) as snapshot:
        for number in ranges:
            bounds = page_bounds(number, pages.ranges, pages.pages_per_range)
            found = snapshot.read_range(TABLE, EVENT_COLUMNS, bounds, where)
            dated = (found["time"] != UNDATED) & (found["time"] != _FOREVER)
            columns = {
                name: found[name].astype(dtype, copy=False)[dated] for name, dtype in STORED_AS.items()
            }
            columns["value"] = columns["value"].view(np.int32)
            yield pa.record_batch([pa.array(columns[name]) for name in _SCHEMA.names], _SCHEMA)
