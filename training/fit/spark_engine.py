"""Runs the heavy blocks of fits on Spark's executors, as `models.shared.engine` says."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from models.shared.engine import Arrays
from recsys.spark.session import errors_of_spark

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["COMPUTED", "SparkArrayEngine"]

COMPUTED = frozenset(
    {
        "als",
        "bought_together",
        "co_visitation",
        "co_visitation_by_type",
        "hybrid",
        "normalised_knn",
        "rp3beta",
        "tale",
    }
)
"""Algorithms whose heavy blocks are computed on an engine; the others are fitted by the command itself."""

_PART = pa.schema(
    [("number", pa.int32()), ("names", pa.list_(pa.string())), ("arrays", pa.list_(pa.binary()))]
)
_PART_SQL = "number int, names array<string>, arrays array<binary>"


class SparkArrayEngine:
    """One task for each part; its arrays travel as Arrow, in numpy's own format, never pickled."""

    def __init__(self, session: SparkSession) -> None:
        self._session = session
        self.parts = 0

    def map(self, kernel: Callable[[Arrays], Arrays], parts: Iterable[Arrays]) -> list[Arrays]:
        """The results in the order of the parts. Raises Unavailable when a task fails for good."""
        rows = [_row(number, part) for number, part in enumerate(parts)]
        if not rows:
            return []
        self.parts += len(rows)
        frame = self._session.createDataFrame(pa.Table.from_batches(rows))
        with errors_of_spark("did not compute all blocks of a fit"):
            found = frame.repartition(len(rows)).mapInArrow(_runner_of(kernel), _PART_SQL).toArrow()
        results = {row["number"]: _arrays(row["names"], row["arrays"]) for row in found.to_pylist()}
        return [results[number] for number in range(len(rows))]


def _runner_of(
    kernel: Callable[[Arrays], Arrays],
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for row in batch.to_pylist():
                yield _row(row["number"], kernel(_arrays(row["names"], row["arrays"])))

    return run


def _row(number: int, arrays: Arrays) -> pa.RecordBatch:
    columns = [[number], [list(arrays)], [[_bytes_of(array) for array in arrays.values()]]]
    return pa.record_batch(
        [pa.array(column, field.type) for column, field in zip(columns, _PART, strict=True)], _PART
    )


def _bytes_of(array: np.ndarray) -> bytes:
    written = io.BytesIO()
    np.save(written, array, allow_pickle=False)
    return written.getvalue()


def _arrays(names: list[str], arrays: list[bytes]) -> Arrays:
    return {
        name: np.load(io.BytesIO(array), allow_pickle=False)
        for name, array in zip(names, arrays, strict=True)
    }
