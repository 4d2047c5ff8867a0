"""A file that was read into a DuckDB table, as batches of numbered records."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import duckdb
import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.imports.readers.csv_table import REFUSED_SCHEMA, SOURCE_TABLE, Refusal
from recsys.imports.readers.physical_lines import PhysicalLines
from recsys.imports.readers.plain_text import PlainText
from recsys.imports.readers.sql import identifier

__all__ = ["BATCH_LINES", "RecordBatch", "SourceFile"]

BATCH_LINES = 200_000


@dataclass(frozen=True)
class RecordBatch:
    """Records in file order.

    Attributes
    ----------
    rows
        `line` (Int64) and one column per field that was asked for (nothing given is null).
    refused
        `line`, `column`, `reason`, `raw` of what is no record at all.
    done
        How many lines of the source are read.
    """

    rows: pl.DataFrame
    refused: pl.DataFrame
    done: int


@dataclass
class SourceFile:
    """A file that is read into a table.

    Attributes
    ----------
    name
        What messages and the file of refused rows call it.
    columns
        All columns of the file, in its order.
    total
        Lines of a text file, rows of a parquet file: what `RecordBatch.done` counts up to.
    refused
        What is no record at all.
    text
        The text that was read; None for a parquet file.
    raw
        The expression of a whole record as it stands in the file; None: its physical lines.
    notes
        What a person should know about how the file was read.
    fields
        The wanted columns that it has, each with its expression.
    unknown
        The columns that are no field.
    used
        The columns that are read, in lower case.
    table
        Where `fields` are read from.
    order
        The columns that give its rows the order of the file.
    """

    name: str
    connection: duckdb.DuckDBPyConnection
    columns: dict[str, str]
    total: int
    refused: list[Refusal] = field(default_factory=list)
    text: PlainText | None = None
    raw: str | None = None
    notes: list[str] = field(default_factory=list)
    fields: dict[str, str] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()
    used: set[str] = field(default_factory=set)
    table: str = SOURCE_TABLE
    order: str = "line"
    _lines: PhysicalLines | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def batches(self, size: int | None = None) -> Iterator[RecordBatch]:
        """The records of the whole file, those of `size` lines at a time."""
        step = size or BATCH_LINES
        undecoded = np.array(self.text.undecoded if self.text else [], dtype=np.int64)
        refusals = iter([*self.refused, None])
        waiting = next(refusals)
        for start in range(0, max(self.total, 1), step):
            rows = self._rows(start, start + step)
            refused = []
            while waiting is not None and waiting[0] <= start + step:
                refused.append(waiting)
                waiting = next(refusals)
            frame = pl.DataFrame(refused, schema=REFUSED_SCHEMA, orient="row")
            good, bad = self._sound(rows, undecoded)
            yield RecordBatch(
                good,
                pl.concat([frame, bad]).sort("line") if bad.height else frame,
                min(start + step, self.total),
            )

    def with_raw(self, refused: pl.DataFrame) -> pl.DataFrame:
        """`line`, `column`, `reason` with `raw`: the record as it stands in the file (JSON for parquet)."""
        if not refused.height:
            return refused.with_columns(raw=pl.lit(None, dtype=pl.String)).select(list(REFUSED_SCHEMA))
        # an array, not a data frame: DuckDB reads those by pyarrow, which the service does not need
        wanted = {"line": refused["line"].unique().sort().to_numpy()}
        # a batch may be read by another thread meanwhile: each has a cursor of its own
        with self._lock, self.connection.cursor() as cursor:
            cursor.register("wanted", wanted)
            found = pl.DataFrame(
                cursor.sql(
                    f"SELECT DISTINCT s.line, s.span, {self.raw or 'NULL'} AS raw FROM {SOURCE_TABLE} AS s "  # noqa: S608
                    "SEMI JOIN wanted USING (line) ORDER BY s.line"
                )
            ).cast({"line": pl.Int64, "raw": pl.String})
            if self.raw is None and self.text is not None:
                reader = self._lines = self._lines or PhysicalLines(self.text.path)
                raw = [
                    reader.text(line, span) for line, span in zip(found["line"], found["span"], strict=True)
                ]
                found = found.with_columns(raw=pl.Series(raw, dtype=pl.String))
        return refused.join(found.select("line", "raw"), on="line", how="left", maintain_order="left").select(
            list(REFUSED_SCHEMA)
        )

    def close(self) -> None:
        """Release the table; its temporary folder is removed by `open_source`."""
        if self._lines is not None:
            self._lines.close()
        self.connection.close()

    def _rows(self, after: int, until: int) -> pl.DataFrame:
        values = "".join(f", {expression} AS {identifier(name)}" for name, expression in self.fields.items())
        frame = pl.DataFrame(
            self.connection.sql(
                f"SELECT line, span{values} FROM {self.table} "  # noqa: S608
                f"WHERE line > {after} AND line <= {until} ORDER BY {self.order}"
            )
        )
        nulls = [name for name, dtype in frame.schema.items() if dtype == pl.Null]
        return frame.cast({"line": pl.Int64, "span": pl.Int64, **dict.fromkeys(nulls, pl.String)})

    def _sound(
        self, rows: pl.DataFrame, undecoded: npt.NDArray[np.int64]
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The rows that text can hold, and those with NUL characters or bytes outside the encoding."""
        text = [name for name, dtype in rows.schema.items() if dtype == pl.String]
        holds_nul = [pl.col(name).str.contains("\0", literal=True).fill_null(False) for name in text]
        encoding = "UTF-8" if self.text is None or self.text.encoding == "utf-8" else self.text.encoding
        first = np.searchsorted(undecoded, rows["line"].to_numpy())
        behind = np.searchsorted(undecoded, (rows["line"] + rows["span"]).to_numpy())
        judged = rows.with_columns(
            column=pl.coalesce(
                *(pl.when(holds).then(pl.lit(name)) for name, holds in zip(text, holds_nul, strict=True)),
                pl.lit(None, dtype=pl.String),
            ),
            undecoded=pl.Series(behind > first, dtype=pl.Boolean),
        ).with_columns(
            reason=pl.when("undecoded")
            .then(pl.lit(f"not {encoding}"))
            .when(pl.col("column").is_not_null())
            .then(pl.lit("NUL character"))
        )
        bad = judged.filter(pl.col("reason").is_not_null())
        good = judged.filter(pl.col("reason").is_null()) if bad.height else judged
        refused = self.with_raw(bad.select("line", "column", "reason"))
        return good.drop("span", "column", "undecoded", "reason"), refused
