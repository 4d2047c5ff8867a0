"""Opens a CSV or parquet file, by its content, as batches of numbered records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from recsys.errors import Invalid
from recsys.imports.readers.csv_records import BLOCK_BYTES, REFUSED_SCHEMA, Batch, CsvFile

__all__ = ["BATCH_ROWS", "ParquetFile", "Source", "open_source"]

BATCH_ROWS = 200_000


class ParquetFile:
    """One parquet file; a record's `line` is its row number, counted from 1."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._frame = pl.scan_parquet(path, glob=False)
            self._schema = self._frame.collect_schema()
            self.total = int(self._frame.select(pl.len()).collect().item())
        except pl.exceptions.PolarsError as error:
            raise Invalid(
                f"{path} is no readable parquet file ({_first_line(error)}); write it again"
            ) from error
        self.columns = [name.strip().lower() for name in self._schema.names()]

    def batches(self, wanted: Sequence[str], batch_rows: int = BATCH_ROWS) -> Iterator[Batch]:
        """The records of the whole file, `batch_rows` at a time; text and binary columns become String."""
        names = {name: self._schema.names()[self.columns.index(name)] for name in wanted}
        for start in range(0, self.total, batch_rows):
            try:
                whole = self._frame.slice(start, batch_rows).collect()
            except pl.exceptions.PolarsError as error:
                raise Invalid(
                    f"{self.path} is damaged after row {start} ({_first_line(error)}); write it again"
                ) from error
            numbered = pl.DataFrame(
                {"line": pl.Series(range(start + 1, start + whole.height + 1), dtype=pl.Int64)}
            ).with_columns(
                whole.select(pl.struct(pl.all()).struct.json_encode()).to_series().alias("raw"),
                *(_as_text(whole[original]).alias(name) for name, original in names.items()),
            )
            text = [name for name, dtype in numbered.schema.items() if dtype == pl.String and name in names]
            has_nul = pl.any_horizontal(
                pl.lit(False), *(pl.col(name).str.contains("\0", literal=True) for name in text)
            ).fill_null(False)
            bad = numbered.filter(has_nul)
            refused = bad.select("line", reason=pl.lit("NUL character"), raw="raw")
            yield Batch(
                numbered.filter(~has_nul) if bad.height else numbered,
                refused if bad.height else pl.DataFrame(schema=REFUSED_SCHEMA),
                start + whole.height,
            )


@dataclass(frozen=True)
class Source:
    """A file whose columns are checked: `columns` are those of the known ones that it has."""

    file: CsvFile | ParquetFile
    columns: tuple[str, ...]
    unknown: tuple[str, ...]

    @property
    def path(self) -> Path:
        return self.file.path

    @property
    def total(self) -> int:
        """Bytes of a CSV file, rows of a parquet file: what `Batch.done` counts up to."""
        return self.file.total

    def batches(self, size: int | None = None) -> Iterator[Batch]:
        """See `Batch`; `size` is bytes for CSV and rows for parquet."""
        if isinstance(self.file, CsvFile):
            return self.file.batches(self.columns, size or BLOCK_BYTES)
        return self.file.batches(self.columns, size or BATCH_ROWS)


def open_source(path: Path, required: Sequence[str], optional: Sequence[str] = ()) -> Source:
    """Open the file and check its columns. Raises Invalid in one line for any other."""
    if not path.exists():
        raise Invalid(f"{path} does not exist; give the path of a CSV or parquet file")
    if not path.is_file():
        raise Invalid(f"{path} is not a file; give the path of a CSV or parquet file")
    try:
        with path.open("rb") as stream:
            is_parquet = stream.read(4) == b"PAR1"
        file = ParquetFile(path) if is_parquet else CsvFile(path)
    except PermissionError as error:
        raise Invalid(f"{path} may not be read by this user; change its permissions") from error
    except OSError as error:
        raise Invalid(f"{path} cannot be read ({error}); check the file") from error
    known = (*required, *optional)
    twice = sorted({name for name in known if file.columns.count(name) > 1})
    if twice:
        raise Invalid(f"{path} has the column {', '.join(twice)} more than once; keep one of them")
    missing = [name for name in required if name not in file.columns]
    if missing:
        found = ", ".join(file.columns[:20]) + (", …" if len(file.columns) > 20 else "")
        raise Invalid(f"{path} has no column {', '.join(missing)}; it has: {found}")
    columns = tuple(name for name in known if name in file.columns)
    return Source(file, columns, tuple(name for name in file.columns if name not in known))


def _as_text(series: pl.Series) -> pl.Series:
    """Ids may be stored as numbers, tags as lists, contexts as structs; moments keep their type."""
    dtype = series.dtype
    if isinstance(dtype, pl.List):
        return series.cast(pl.List(pl.String)).list.join("|")
    if isinstance(dtype, pl.Struct):
        return series.struct.json_encode()
    if dtype in (pl.Categorical, pl.Enum, pl.Boolean, pl.Binary) or dtype.is_integer() or dtype.is_decimal():
        return _nullable(series.cast(pl.String, strict=False))
    return _nullable(series) if dtype == pl.String else series


def _nullable(series: pl.Series) -> pl.Series:
    """The empty string means nothing given, as in CSV."""
    return series.set(series == "", None) if series.dtype == pl.String else series


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0]
