"""Opens a file by its content (CSV, JSON lines, parquet) as batches of numbered records."""

from __future__ import annotations

import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.errors import Invalid
from recsys.imports.readers.compression import is_parquet
from recsys.imports.readers.csv_table import REFUSED_SCHEMA, SOURCE_TABLE, Refusal, load_csv
from recsys.imports.readers.json_table import json_columns, load_json
from recsys.imports.readers.parquet_table import parquet_columns
from recsys.imports.readers.physical_lines import PhysicalLines
from recsys.imports.readers.plain_text import PlainText, plain_text
from recsys.imports.readers.sql import identifier, quoted

__all__ = ["BATCH_LINES", "STANDARD_INPUT", "ReadOptions", "RecordBatch", "SourceFile", "open_source"]

BATCH_LINES = 200_000
STANDARD_INPUT = Path("-")
MEMORY = "1GB"
"""What DuckDB may hold of a file; the rest waits in its temporary folder."""


@dataclass(frozen=True)
class ReadOptions:
    """What a person says about a text file; None: found out from the file."""

    separator: str | None = None
    encoding: str | None = None


@dataclass(frozen=True)
class RecordBatch:
    """Records in file order.

    rows     `line` (Int64) and one column per field that was asked for (nothing given is null)
    refused  `line`, `column`, `reason`, `raw` of what is no record at all
    done     how many lines of the source are read
    """

    rows: pl.DataFrame
    refused: pl.DataFrame
    done: int


@dataclass
class SourceFile:
    """A file that is read into a table; `fields` are the wanted columns that it has.

    name      what messages and the file of refused rows call it
    columns   all columns of the file, in its order
    total     lines of a text file, rows of a parquet file: what `RecordBatch.done` counts up to
    raw       the expression of a whole record as it stands in the file; None: its physical lines
    notes     what a person should know about how the file was read
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
        wanted = pl.DataFrame({"line": refused["line"].unique().sort()})
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
                f"SELECT line, span{values} FROM {SOURCE_TABLE} "  # noqa: S608
                f"WHERE line > {after} AND line <= {until} ORDER BY line"
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


@contextmanager
def open_source(
    path: Path,
    required: Sequence[str],
    optional: Sequence[str] = (),
    options: ReadOptions | None = None,
) -> Iterator[SourceFile]:
    """Read the file into a table and check its columns. Raises Invalid in one line for any other.

    The path `-` is standard input. What is read lies in a temporary folder that is removed at the end.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="recsys-import-")))
        source = _opened(path, folder, options or ReadOptions())
        stack.callback(source.close)
        _choose_fields(source, path, required, optional)
        yield source


def _opened(path: Path, folder: Path, options: ReadOptions) -> SourceFile:
    try:
        if path == STANDARD_INPUT:
            name, path = "standard input", folder / "standard_input"
            with path.open("wb") as stream:
                shutil.copyfileobj(sys.stdin.buffer, stream)
        else:
            name = path.name
            if not path.exists():
                raise Invalid(f"{path} does not exist; give the path of a CSV, JSON lines or parquet file")
            if not path.is_file():
                raise Invalid(f"{path} is not a file; give the path of a CSV, JSON lines or parquet file")
        connection = duckdb.connect(str(folder / "records.duckdb"))
        connection.execute(f"SET memory_limit = '{MEMORY}'")
        if is_parquet(path):
            columns, rows = parquet_columns(connection, path, SOURCE_TABLE)
            shown = "{" + ", ".join(f"{quoted(column)}: s.{identifier(column)}" for column in columns) + "}"
            raw = f"to_json({shown})::VARCHAR"
            return SourceFile(name, connection, _by_lower_name(columns), rows, raw=raw)
        return _text_source(
            path, name, connection, plain_text(path, folder / "plain.txt", options.encoding), options
        )
    except PermissionError as error:
        raise Invalid(f"{path} may not be read by this user; change its permissions") from error
    except OSError as error:
        raise Invalid(f"{path} cannot be read ({error}); check the file and the space in TMPDIR") from error


def _text_source(
    path: Path, name: str, connection: duckdb.DuckDBPyConnection, text: PlainText, options: ReadOptions
) -> SourceFile:
    with text.path.open(encoding="utf-8", newline="\n") as stream:
        head = stream.read(64).lstrip()
    if head.startswith(("{", "[")):
        refused = load_json(connection, text, str(path), SOURCE_TABLE, is_array=head.startswith("["))
        columns = _by_lower_name(json_columns(connection, SOURCE_TABLE))
        total = connection.table(SOURCE_TABLE).max("line").fetchall()[0][0] or 0
        source = SourceFile(name, connection, columns, max(total, text.lines), refused, text, raw="s.text")
    else:
        table = load_csv(connection, text, str(path), options.separator)
        columns = {}
        for index, column in enumerate(table.names):
            columns[column if column not in columns else f"{column}\0{index}"] = f"c{index}"
        source = SourceFile(name, connection, columns, text.lines, table.refused, text)
        if table.escape == "\\":
            source.notes.append(f"{name}: read with quotes escaped by backslash")
    if text.guessed:
        source.notes.append(
            f"{name}: read as Windows-1252, since it is not UTF-8; if letters look wrong, give --encoding"
        )
    return source


def _choose_fields(source: SourceFile, path: Path, required: Sequence[str], optional: Sequence[str]) -> None:
    known = (*required, *optional)
    names = [name.split("\0", 1)[0] for name in source.columns]
    twice = sorted({name for name in known if names.count(name) > 1})
    if twice:
        raise Invalid(f"{path} has the column {', '.join(twice)} more than once; keep one of them")
    missing = [name for name in required if name not in names]
    if missing:
        listed = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
        raise Invalid(f"{path} has no column {', '.join(missing)}; it has: {listed}")
    source.fields = {
        # parquet may hold moments as moments; everything else is text
        name: source.columns[name] if name == "created_at" else f"({source.columns[name]})::VARCHAR"
        for name in known
        if name in names
    }
    source.unknown = tuple(name for name in names if name not in known)
    rows = source.connection.table(SOURCE_TABLE).limit(1).fetchall()
    if not rows and not source.refused:
        source.notes.append(f"{source.name}: has the columns and no rows; nothing to import from it")


def _by_lower_name(columns: Mapping[str, str]) -> dict[str, str]:
    lowered: dict[str, str] = {}
    for name, expression in columns.items():
        key = name.strip().lower()
        lowered[key if key not in lowered else f"{key}\0{name}"] = expression
    return lowered
