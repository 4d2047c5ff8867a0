"""CSV text into a DuckDB table: every physical line becomes part of a row or is refused singly."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.errors import Invalid
from recsys.imports.readers.physical_lines import PhysicalLines, line_count, line_numbers, record_lines
from recsys.imports.readers.plain_text import PlainText
from recsys.imports.readers.sql import quoted, trimmed

__all__ = ["REFUSED_SCHEMA", "SOURCE_TABLE", "CsvTable", "Refusal", "load_csv"]

SOURCE_TABLE = "source"
REFUSED_SCHEMA = {"line": pl.Int64, "column": pl.String, "reason": pl.String, "raw": pl.String}
SEPARATORS = (",", ";", "\t", "|", "::")
LONGEST_ROW_BYTES = 8 << 20
MOST_READS = 20
"""How often the rest behind an open quote is read again; then its lines are refused singly: linear time."""
_HEADER_LINES = 50
_LONGEST_NAME = 500
_NUMBER = re.compile(r"^\d+(\.\d+)?$")
_ESCAPED_AND_OPEN = re.compile(r'(?P<before>[^"]*)"(?P<text>(?:[^"\\]|\\.)*\\"(?:[^"\\]|\\.)*)')
"""A line with one quote that opens, and others behind backslashes only."""
_EXCEL_SEPARATOR = re.compile(r"^sep=(.)$", re.IGNORECASE)

Refusal = tuple[int, str | None, str, str]
"""Line, column, reason, raw text."""


@dataclass(frozen=True)
class _Reject:
    """A piece of the text that is no row: bytes `start` to `end`, of which physical line it begins in."""

    start: int
    end: int
    line: int
    column: int | None
    kind: str
    raw: str

    @property
    def lines(self) -> int:
        return self.raw.count("\n") + 1


@dataclass
class CsvTable:
    """The table SOURCE_TABLE: `line`, `span` (physical lines of a row), and `c0`, `c1` … as trimmed text."""

    names: list[str]
    separator: str
    escape: str
    refused: list[Refusal] = field(default_factory=list)
    closed: list[tuple[int, list[str]]] = field(default_factory=list)
    """Line and fields of rows whose quote was closed where the number of columns says, see `_closed`."""


@dataclass(frozen=True)
class _Header:
    """The names of the columns, and how many lines and records there are up to them."""

    names: list[str]
    separator: str
    last_line: int
    records: int


def load_csv(
    connection: duckdb.DuckDBPyConnection,
    text: PlainText,
    shown: str,
    separator: str | None,
    headers: Sequence[Sequence[str]] = (),
) -> CsvTable:
    """Read the whole text.

    The separator is the argument, that of a line `sep=;`, or the one of SEPARATORS splitting the header most.
    Quotes are doubled or escaped by backslash, whichever leaves fewer lines that are no rows.

    Parameters
    ----------
    shown
        Name of the file in messages.
    separator
        What is between columns; None: found out from the text.
    headers
        A first line with a number in it, and as many columns as one of these, is a row below that header.

    Raises
    ------
    Invalid
        There is no header.
    """
    header = _header(text, shown, separator, headers)
    loader = _Loader(connection, header, text.path.parent)
    best = loader.read(text.path, header.last_line, text.blank, '"')
    if best.refused_lines and _holds(text.path, b'\\"'):
        other = loader.read(text.path, header.last_line, text.blank, "\\")
        if other.refused_lines < best.refused_lines:
            best, other = other, best
        other.drop(connection)
    table = CsvTable(header.names, header.separator, best.escape)
    loader.absorb(best, text.path, 0, table)
    loader.store_closed(table.closed)
    table.refused.sort()
    return table


@dataclass(frozen=True)
class _Pass:
    """One reading of a text: its rows in the table `name`, and what is none.

    Attributes
    ----------
    escape
        The character that escapes a quote.
    first : int64, shape (n,)
        The first line of each row.
    spans : int64, shape (n,)
        How many lines each row has.
    end
        The first line behind all rows and rejects.
    lines
        How many lines the text has.
    """

    name: str
    escape: str
    rejects: list[_Reject]
    first: npt.NDArray[np.int64]
    spans: npt.NDArray[np.int64]
    end: int
    lines: int

    @property
    def refused_lines(self) -> int:
        """Lines of rejects, and those that an open quote swallowed without a reject."""
        return sum(reject.lines for reject in self.rejects) + self.lines + 1 - self.end

    def drop(self, connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute(f"DROP TABLE {self.name}")


class _Loader:
    """Reads a text and, where a quote was left open, the lines behind it again."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, header: _Header, folder: Path) -> None:
        self._connection = connection
        self._header = header
        self._folder = folder
        self._passes = 0
        columns = ", ".join(f"c{index} VARCHAR" for index in range(len(header.names)))
        connection.execute(f"CREATE TABLE {SOURCE_TABLE} (line BIGINT, span INTEGER, {columns})")

    def read(self, path: Path, skip: int, blank: Sequence[int], escape: str) -> _Pass:
        """All rows of the text behind its first `skip` lines, and the pieces that are no rows."""
        self._passes += 1
        name, errors = f"pass_{self._passes}", f"errors_{self._passes}"
        columns = [f"c{index}" for index in range(len(self._header.names))]
        options = {
            "columns": "{" + ", ".join(f"'{column}': 'VARCHAR'" for column in columns) + "}",
            "header": "false",
            # counts records: a quoted header of several lines is one
            "skip": str(self._header.records if skip else 0),
            "delim": quoted(self._header.separator),
            "quote": quoted('"'),
            "escape": quoted(escape),
            "auto_detect": "false",
            "parallel": "false",
            "compression": "'none'",
            "max_line_size": str(LONGEST_ROW_BYTES),
            "store_rejects": "true",
            "rejects_table": quoted(errors),
            "rejects_scan": quoted(f"scans_{self._passes}"),
            "rejects_line_size_limit": str(1 << 40),
        }
        given = ", ".join(f"{option} = {value}" for option, value in options.items())
        span = " + ".join(["1", *map(_newlines, columns)])
        self._connection.execute(
            f"CREATE TABLE {name} AS SELECT {span} AS span, {', '.join(map(_trimmed, columns))} "  # noqa: S608
            f"FROM read_csv({quoted(str(path))}, {given})"
        )
        rejects = self._rejects(path, errors)
        spans: npt.NDArray[np.int64] = (
            pl.DataFrame(self._connection.table(name).project("span"))["span"].cast(pl.Int64).to_numpy()
        )
        taken = [(reject.line, reject.lines) for reject in rejects]
        first, end = record_lines(spans, taken, blank, skip)
        return _Pass(name, escape, rejects, first, spans, end, line_count(path))

    def _rejects(self, path: Path, errors: str) -> list[_Reject]:
        rows = (
            self._connection.table(errors)
            .project("line_byte_position - 1, column_idx, error_type::VARCHAR, csv_line")
            .fetchall()
        )
        first: dict[int, tuple[int, int | None, str, str]] = {}
        for position, column, kind, line in rows:
            raw = line.lstrip("\n")
            start = position + len(line) - len(raw)
            if raw.strip():
                first.setdefault(start, (start + len(raw.encode()), column, kind, raw))
        starts = sorted(first)
        return [
            _Reject(start, first[start][0], line, *first[start][1:])
            for start, line in zip(starts, line_numbers(path, starts), strict=True)
        ]

    def absorb(self, reading: _Pass, path: Path, before: int, table: CsvTable, depth: int = 0) -> None:
        """Move the rows into SOURCE_TABLE with their physical lines, `before` of which precede this text.

        What is no row is refused; the lines behind an open quote are read again.
        """
        regions = _regions(reading.rejects)
        if reading.end <= reading.lines:
            # an open quote at the end of a large file swallows the rest without a reject
            regions.append([_open_quote(path, reading.end, reading.lines - reading.end + 1)])
        swallowing = self._swallowing(path, reading)
        regions += [
            [_open_quote(path, int(reading.first[index]), int(reading.spans[index]))] for index in swallowing
        ]
        self._store(reading, reading.first + before, swallowing)
        reading.drop(self._connection)
        for region in regions:
            # up to the first reject of several lines the rows were cut rightly
            single = next((at for at, reject in enumerate(region) if reject.lines > 1), len(region))
            for reject in region[:single]:
                self._refuse(table, self._refusal(reject, before))
            if region[single:]:
                self._read_again(region[single:], before, table, depth)

    def _store(self, reading: _Pass, lines: npt.NDArray[np.int64], without: Sequence[int]) -> None:
        numbers = lines.copy()
        numbers[list(without)] = 0  # lines count from 1
        # an array, not a data frame: DuckDB reads those by pyarrow, which the service does not need
        self._connection.register("numbered", {"line": numbers})
        self._connection.execute(
            f"INSERT INTO {SOURCE_TABLE} SELECT line, {reading.name}.* "  # noqa: S608
            f"FROM {reading.name} POSITIONAL JOIN numbered WHERE line > 0"
        )
        self._connection.unregister("numbered")

    def _swallowing(self, path: Path, reading: _Pass) -> list[int]:
        """Rows of many lines whose inner lines are all rows by themselves: a quote was left open there."""
        found: list[int] = []
        long = np.flatnonzero(reading.spans > 3).tolist()
        others = len(self._header.names) - 1
        if others < 2 or not long:
            return found
        with closing(PhysicalLines(path)) as reader:
            for index in long:
                text = reader.text(int(reading.first[index]), int(reading.spans[index]))
                inner = text.split("\n")[1:-1]
                if all(line.count(self._header.separator) == others and '"' not in line for line in inner):
                    found.append(index)
        return found

    def _read_again(self, region: list[_Reject], before: int, table: CsvTable, depth: int) -> None:
        first, *rest = "\n".join(reject.raw for reject in region).split("\n")
        line = before + region[0].line
        self._refuse(table, (line, None, "quote never closed", first))
        if depth >= MOST_READS:
            table.refused += [
                (line + number, None, "behind a quote that is never closed", raw)
                for number, raw in enumerate(rest, 1)
                if raw
            ]
            return
        if not any(rest):
            return
        piece = self._folder / f"piece_{self._passes}.csv"
        piece.write_text("\n".join(rest) + "\n", encoding="utf-8", newline="")
        blank = [number for number, raw in enumerate(rest, 1) if not raw]
        self.absorb(self.read(piece, 0, blank, table.escape), piece, line, table, depth + 1)
        piece.unlink()

    def _refuse(self, table: CsvTable, refusal: Refusal) -> None:
        """Refuse a line, unless the number of columns says where its open quote ends."""
        fields = _closed(refusal[3], self._header)
        if fields is None:
            table.refused.append(refusal)
        else:
            table.closed.append((refusal[0], fields))

    def store_closed(self, rows: Sequence[tuple[int, Sequence[str]]]) -> None:
        """Put rows of one line each into SOURCE_TABLE."""
        if not rows:
            return
        columns = [f"c{index}" for index in range(len(self._header.names))]
        lines, fields = zip(*rows, strict=True)
        values = {
            name: np.array(each, dtype=object)
            for name, each in zip(columns, zip(*fields, strict=True), strict=True)
        }
        self._connection.register("closed", {"line": np.array(lines, dtype=np.int64)} | values)
        self._connection.execute(
            f"INSERT INTO {SOURCE_TABLE} SELECT line, 1, {', '.join(map(_trimmed, columns))} FROM closed"  # noqa: S608
        )
        self._connection.unregister("closed")

    def _refusal(self, reject: _Reject, before: int) -> Refusal:
        names = self._header.names
        column = names[reject.column - 1] if reject.column and reject.column <= len(names) else None
        line = before + reject.line
        if reject.kind == "UNQUOTED VALUE":
            if reject.raw.count('"') % 2:
                return line, column, "quote never closed", reject.raw
            if reject.raw.replace('\\"', "").count('"') % 2:
                # wrong in both ways: a backslash before the only other quote, or text behind it
                return line, column, 'quote never closed, since \\" is a quote inside the text', reject.raw
            return line, column, "text behind a closing quote", reject.raw
        if reject.kind == "LINE SIZE OVER MAXIMUM":
            return line, None, f"row longer than {LONGEST_ROW_BYTES >> 20} MiB", reject.raw
        return line, None, f"not {len(names)} fields", reject.raw


def _closed(line: str, header: _Header) -> list[str] | None:
    """The fields of a line that opens a quote, escapes others by backslash and closes none; else None.

    Fields behind the text are not quoted and so hold no separator: their number says where the text ends.
    """
    found = _ESCAPED_AND_OPEN.fullmatch(line)
    if found is None:
        return None
    mark = header.separator
    *before, rest = found["before"].split(mark)
    behind = len(header.names) - len(before) - 1
    text, *after = found["text"].rsplit(mark, behind) if behind > 0 else [found["text"]]
    if rest.strip() or behind < 0 or len(after) != behind or any("\\" in each for each in after):
        return None
    return [*before, text.replace('\\"', '"'), *after]


def _regions(rejects: Sequence[_Reject]) -> list[list[_Reject]]:
    """Neighbouring rejects together: behind an open quote even sound lines are cut wrongly."""
    regions: list[list[_Reject]] = []
    for reject in rejects:
        if regions and reject.line == regions[-1][-1].line + regions[-1][-1].lines:
            regions[-1].append(reject)
        else:
            regions.append([reject])
    return regions


def _header(text: PlainText, shown: str, separator: str | None, headers: Sequence[Sequence[str]]) -> _Header:
    with text.path.open(encoding="utf-8", newline="\n") as stream:
        number = 0
        for line in stream:
            number += 1
            excel = _EXCEL_SEPARATOR.match(line.rstrip("\n"))
            if excel:
                separator = separator or excel[1]
            elif line.strip():
                lines = [line, *islice(stream, _HEADER_LINES)]
                break
        else:
            raise Invalid(f"{shown} is empty; expected a header line with the names of the columns")
    if "\0" in lines[0]:
        raise Invalid(f"{shown} is binary: neither CSV, JSON lines nor parquet")
    splits = [_split_header(lines, mark) for mark in ([separator] if separator else SEPARATORS)]
    # where two split alike, the longer one is less likely to be a character of the texts
    names, mark, used = max(splits, key=lambda split: (len(split[0]), min(len(split[0]), len(split[1]))))
    if any("\n" in name and len(name) > _LONGEST_NAME for name in names):
        raise Invalid(f"{shown} has a quote in its header that is never closed")
    names = [" ".join(name.split()).lower() for name in names]
    if any(_NUMBER.match(name) for name in names):
        for listed in headers:
            if len(listed) == len(names):
                return _Header([name.lower() for name in listed], mark, number - 1, number - 1)
    return _Header(names, mark, number + used - 1, number)


def _split_header(lines: Sequence[str], mark: str) -> tuple[list[str], str, int]:
    if len(mark) > 1:
        return lines[0].rstrip("\n").split(mark), mark, 1
    reader = csv.reader(chain(lines), delimiter=mark, skipinitialspace=True)
    return next(reader), mark, reader.line_num


def _open_quote(path: Path, line: int, count: int) -> _Reject:
    """The lines as a reject that begins with an open quote."""
    with closing(PhysicalLines(path)) as reader:
        return _Reject(0, 0, line, None, "UNQUOTED VALUE", reader.text(line, count))


def _newlines(column: str) -> str:
    return (
        f"CASE WHEN contains({column}, chr(10)) "
        f"THEN length({column}) - length(replace({column}, chr(10), '')) ELSE 0 END"
    )


def _trimmed(column: str) -> str:
    return f"{trimmed(column)} AS {column}"


def _holds(path: Path, pattern: bytes) -> bool:
    return any(pattern in piece for piece in _pieces(path))


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        yield from stream
