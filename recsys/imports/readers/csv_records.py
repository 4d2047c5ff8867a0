"""A CSV file as batches of records with exact physical line numbers; a bad line spoils no other."""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.errors import Invalid

__all__ = ["BLOCK_BYTES", "Batch", "CsvFile"]

BLOCK_BYTES = 16 << 20
LONGEST_RECORD = 131_072
"""Characters; beyond it a field would pass what Python's csv module reads."""
LONGEST_LINE_BYTES = 64 << 20
LOOK_AHEAD = 200
"""Physical lines that one quoted record may span; a quote left open for longer is a fault of its own line."""

REFUSED_SCHEMA = {"line": pl.Int64, "reason": pl.String, "raw": pl.String}


@dataclass(frozen=True)
class Batch:
    """Records in file order.

    rows     `line` (Int64), `raw` (String) and one column per field that was asked for (empty is null)
    refused  `line`, `reason`, `raw` of the lines that are no records at all
    done     how far the source is read, in its own unit (bytes of a CSV file, rows of a parquet file)
    """

    rows: pl.DataFrame
    refused: pl.DataFrame
    done: int


class CsvFile:
    """One CSV file (UTF-8, optionally gzipped); the separator is the one that splits the header most.

    Line 1 is the header. A quoted field may hold separators, doubled quotes and line breaks; a quote inside
    an unquoted field is an ordinary character.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.total = path.stat().st_size
        with self._open() as (stream, _):
            first = stream.readline(LONGEST_LINE_BYTES)
        if first.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise Invalid(f"{path} is UTF-16; save it as UTF-8")
        try:
            header = first.decode("utf-8-sig").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise Invalid(f"{path}: the header line is not UTF-8; save the file as UTF-8") from error
        if not header.strip():
            raise Invalid(f"{path} is empty; expected a header line with the names of the columns")
        if "\0" in header:
            raise Invalid(f"{path} is neither CSV nor parquet: its first line holds NUL characters")
        splits = [next(csv.reader([header], delimiter=mark)) for mark in _SEPARATORS]
        best = max(range(len(splits)), key=lambda index: len(splits[index]))
        self.separator = _SEPARATORS[best]
        self.columns = [name.strip().lower() for name in splits[best]]
        # a quoted field with doubled quotes inside, or one that does not begin with a quote
        mark = re.escape(self.separator)
        field = f'(?:"[^"]*+(?:""[^"]*+)*+"|[^"{mark}\n][^{mark}\n]*+|)'
        inner = f'(?:"[^"{mark}]*"|[^"{mark}]*)'
        self._simple = f"^{inner}(?:{mark}{inner})*$"
        self._complete = re.compile(f"{field}(?:{mark}{field})*+")

    def batches(self, wanted: Sequence[str], block_bytes: int = BLOCK_BYTES) -> Iterator[Batch]:
        """The records of the whole file, about `block_bytes` of text at a time."""
        positions = [self.columns.index(name) for name in wanted]
        next_line = 2
        for block, done, last in self._blocks(block_bytes):
            lines = block.split(b"\n")
            if lines and not lines[-1]:
                lines.pop()
            batch, used = self._batch(lines, next_line, list(wanted), positions, done, last)
            next_line += used
            self._carry = b"".join(line + b"\n" for line in lines[used:])
            yield batch

    @contextmanager
    def _open(self) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
        """The text, unpacked where it is gzipped, and the file itself."""
        with self.path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            if not packed:
                yield file, file
                return
            with gzip.GzipFile(fileobj=file) as unpacked:
                try:
                    yield cast(IO[bytes], unpacked), file
                except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                    raise Invalid(f"{self.path} is a damaged gzip file ({error}); pack it again") from error

    def _blocks(self, block_bytes: int) -> Iterator[tuple[bytes, int, bool]]:
        """Whole lines, how many bytes of the file are read by then, and whether these are the last."""
        self._carry = b""
        with self._open() as (stream, file):
            stream.readline(LONGEST_LINE_BYTES)
            rest = b""
            while data := stream.read(block_bytes):
                rest += data
                end = rest.rfind(b"\n") + 1
                if end == 0:
                    if len(rest) > LONGEST_LINE_BYTES:
                        raise Invalid(f"{self.path}: a line is longer than 64 MiB; is this a CSV file?")
                    continue
                ready, rest = self._carry + rest[:end], rest[end:]
                yield ready, file.tell(), False
            if self._carry or rest:
                yield self._carry + rest, self.total, True

    def _batch(
        self,
        lines: list[bytes],
        first_line: int,
        names: list[str],
        positions: list[int],
        done: int,
        last: bool,
    ) -> tuple[Batch, int]:
        """The batch, and how many of the lines it used: a quoted record may wait for the next block."""
        text = pl.Series("raw", _decoded(lines), dtype=pl.String).str.strip_suffix("\r")
        frame = pl.DataFrame(
            {"line": pl.Series(range(first_line, first_line + len(lines)), dtype=pl.Int64), "raw": text}
        )
        has_quote = text.str.contains('"', literal=True).fill_null(False)
        plain, used, inside = text, len(lines), np.zeros(len(lines), dtype=np.bool_)
        quoted: list[tuple[int, str, str | None]] = []
        if has_quote.any():
            simple = has_quote & text.str.contains(self._simple).fill_null(False)
            plain = text.str.replace_all('"', "", literal=True).zip_with(simple, text)
            used, inside, quoted = self._quoted_records(
                text.to_list(), has_quote.to_numpy(), (has_quote & ~simple).to_numpy(), last
            )
        good = frame.with_columns(
            reason=pl.when(pl.col("raw").is_null())
            .then(pl.lit("not UTF-8"))
            .when(pl.col("raw").str.contains("\0", literal=True))
            .then(pl.lit("NUL character"))
            .when(pl.col("raw").str.len_bytes() > LONGEST_RECORD)
            .then(pl.lit(f"row longer than {LONGEST_RECORD} characters"))
            .when(pl.col("raw").str.count_matches(self.separator, literal=True) != len(self.columns) - 1)
            .then(pl.lit(self._ragged)),
            inside=pl.Series(inside),
            plain=plain,
        )[:used].filter(~pl.col("inside") & (pl.col("raw").is_null() | (pl.col("raw") != "")))
        refused = [good.filter(pl.col("reason").is_not_null()).select("line", "reason", "raw")]
        if refused[0]["raw"].null_count():
            shown = [_shown(lines[line - first_line]) for line in refused[0]["line"]]
            refused = [refused[0].with_columns(raw=pl.Series(shown, dtype=pl.String))]
        rows = [
            self._split(
                good.filter(pl.col("reason").is_null()).select("line", "raw", "plain"), names, positions
            )
        ]
        if quoted:
            records, faults = self._split_quoted(quoted, first_line, names, positions)
            rows.append(records)
            refused.append(faults)
        together = pl.concat(rows)
        return (
            Batch(
                together.sort("line") if len(rows) > 1 else together,
                pl.concat(refused).sort("line") if len(refused) > 1 else refused[0],
                done,
            ),
            used,
        )

    @property
    def _ragged(self) -> str:
        return f"not {len(self.columns)} fields"

    def _quoted_records(
        self,
        text: list[str | None],
        has_quote: npt.NDArray[np.bool_],
        intricate: npt.NDArray[np.bool_],
        last: bool,
    ) -> tuple[int, npt.NDArray[np.bool_], list[tuple[int, str, str | None]]]:
        """How many lines are settled, which of them are handled here, and (line, record, fault) of those."""
        inside = intricate.copy()
        found: list[tuple[int, str, str | None]] = []
        total, after = len(text), 0
        for start in np.flatnonzero(intricate).tolist():
            if start < after:
                continue
            opening = record = text[start] or ""
            end = start + 1
            while self._complete.fullmatch(record) is None:
                # only a line with a quote can close the record
                while end < total and end - start < LOOK_AHEAD and not has_quote[end]:
                    end += 1
                if end >= total and end - start < LOOK_AHEAD and not last:
                    return start, inside, found
                parts = [part for part in text[start : end + 1] if part is not None]
                if end >= total or end - start >= LOOK_AHEAD or len(parts) <= end - start:
                    found.append((start, opening, "quote never closed"))
                    break
                end += 1
                record = "\n".join(parts)
            else:
                found.append((start, record, None))
                inside[start:end] = True
                after = end
        return total, inside, found

    def _split(self, lines: pl.DataFrame, names: list[str], positions: list[int]) -> pl.DataFrame:
        fields = lines["plain"].str.split_exact(self.separator, len(self.columns) - 1).struct.unnest()
        return lines.select(
            "line",
            "raw",
            *(
                pl.when(fields.to_series(position) != "").then(fields.to_series(position)).alias(name)
                for name, position in zip(names, positions, strict=True)
            ),
        )

    def _split_quoted(
        self,
        quoted: list[tuple[int, str, str | None]],
        first_line: int,
        names: list[str],
        positions: list[int],
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        kept: list[tuple[int, str, list[str]]] = []
        faults: list[tuple[int, str, str]] = []
        for index, record, fault in quoted:
            reason = fault or (
                "NUL character"
                if "\0" in record
                else f"row longer than {LONGEST_RECORD} characters"
                if len(record.encode()) > LONGEST_RECORD
                else None
            )
            fields = [] if reason else next(csv.reader([record], delimiter=self.separator))
            if not reason and len(fields) != len(self.columns):
                reason = self._ragged
            if reason:
                faults.append((first_line + index, reason, record))
            else:
                kept.append((first_line + index, record, fields))
        columns: dict[str, pl.Series] = {
            "line": pl.Series([line for line, _, _ in kept], dtype=pl.Int64),
            "raw": pl.Series([record for _, record, _ in kept], dtype=pl.String),
        }
        for name, position in zip(names, positions, strict=True):
            columns[name] = pl.Series([fields[position] or None for _, _, fields in kept], dtype=pl.String)
        return pl.DataFrame(columns), pl.DataFrame(faults, schema=REFUSED_SCHEMA, orient="row")


_SEPARATORS = (",", ";", "\t")


def _decoded(lines: list[bytes]) -> list[str | None]:
    """Each line as text, None where it is not UTF-8."""
    try:
        return list(b"\n".join(lines).decode().split("\n"))
    except UnicodeDecodeError:
        return [_text_or_none(line) for line in lines]


def _text_or_none(line: bytes) -> str | None:
    try:
        return line.decode()
    except UnicodeDecodeError:
        return None


def _shown(line: bytes) -> str:
    return line.rstrip(b"\r").decode("utf-8", errors="backslashreplace")
