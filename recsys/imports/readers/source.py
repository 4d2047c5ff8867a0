"""Opens a file by its content (CSV, JSON lines, parquet) as batches of numbered records."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from recsys.errors import Invalid
from recsys.imports.readers.compression import is_parquet
from recsys.imports.readers.csv_table import SOURCE_TABLE, load_csv
from recsys.imports.readers.field_choice import choose_fields
from recsys.imports.readers.json_table import json_columns, load_json
from recsys.imports.readers.mapping import ColumnMapping
from recsys.imports.readers.parquet_table import parquet_columns
from recsys.imports.readers.plain_text import PlainText, plain_text
from recsys.imports.readers.source_file import SourceFile
from recsys.imports.readers.sql import identifier, quoted
from recsys.imports.readers.xml_feed import stated_encoding, xml_to_json_lines

__all__ = ["STANDARD_INPUT", "ReadOptions", "open_source"]

STANDARD_INPUT = Path("-")
MEMORY = "1GB"
"""What DuckDB may hold of a file; the rest waits in its temporary folder."""


@dataclass(frozen=True)
class ReadOptions:
    """What a person says about a file; None: found out from the file.

    Attributes
    ----------
    separator
        What is between columns.
    encoding
        Of a text file, such as cp1252.
    no_times
        Interactions have no `created_at`.
    """

    separator: str | None = None
    encoding: str | None = None
    no_times: bool = False


@contextmanager
def open_source(
    path: Path,
    required: Sequence[str],
    optional: Sequence[str] = (),
    options: ReadOptions | None = None,
    mapping: ColumnMapping | None = None,
) -> Iterator[SourceFile]:
    """Read the file into a table and choose its fields.

    What is read lies in a temporary folder that is removed at the end.

    Parameters
    ----------
    path
        The file; `-` is standard input.
    required, optional
        Names of the fields to choose.
    options
        What a person says about the file.
    mapping
        Which columns are which fields; None: those with the names of the fields.

    Raises
    ------
    Invalid
        A required field is missing, or the file cannot be read; in one line.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="recsys-import-")))
        mapping = mapping or ColumnMapping(own_names=True)
        source = _opened(path, folder, options or ReadOptions(), mapping.header)
        stack.callback(source.close)
        choose_fields(source, path, required, optional, mapping)
        yield source


def _opened(path: Path, folder: Path, options: ReadOptions, headers: Sequence[Sequence[str]]) -> SourceFile:
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
        connection.execute(f"SET memory_limit = '{MEMORY}'; SET TimeZone = 'UTC'")
        if is_parquet(path):
            columns, rows = parquet_columns(connection, path, SOURCE_TABLE)
            shown = "{" + ", ".join(f"{quoted(column)}: s.{identifier(column)}" for column in columns) + "}"
            raw = f"to_json({shown})::VARCHAR"
            return SourceFile(name, connection, _by_lower_name(columns), rows, raw=raw)
        text = plain_text(path, folder / "plain.txt", options.encoding or stated_encoding(path))
        return _text_source(path, name, connection, text, options, headers)
    except PermissionError as error:
        raise Invalid(f"{path} may not be read by this user; change its permissions") from error
    except OSError as error:
        raise Invalid(f"{path} cannot be read ({error}); check the file and the space in TMPDIR") from error


def _text_source(
    path: Path,
    name: str,
    connection: duckdb.DuckDBPyConnection,
    text: PlainText,
    options: ReadOptions,
    headers: Sequence[Sequence[str]],
) -> SourceFile:
    with text.path.open(encoding="utf-8", newline="\n") as stream:
        head = stream.read(64).lstrip()
    if head.startswith("<"):
        text = replace(text, path=xml_to_json_lines(text.path, text.path.with_suffix(".jsonl"), str(path)))
    if head.startswith(("{", "[", "<")):
        refused = load_json(connection, text, str(path), SOURCE_TABLE, is_array=head.startswith("["))
        columns = _by_lower_name(json_columns(connection, SOURCE_TABLE))
        total = connection.table(SOURCE_TABLE).max("line").fetchall()[0][0] or 0
        source = SourceFile(name, connection, columns, max(total, text.lines), refused, text, raw="s.text")
    else:
        table = load_csv(connection, text, str(path), options.separator, headers)
        columns = {}
        for index, column in enumerate(table.names):
            columns[column if column not in columns else f"{column}\0{index}"] = f"c{index}"
        source = SourceFile(name, connection, columns, text.lines, table.refused, text)
        if table.escape == "\\":
            source.notes.append(f"{name}: read with quotes escaped by backslash")
        if table.closed:
            source.notes.append(
                f"{name}: {len(table.closed):,} rows open a quote and never close it, the first in line "
                f"{min(line for line, _ in table.closed):,}; the number of columns shows where its text ends"
            )
    if text.guessed:
        source.notes.append(
            f"{name}: read as Windows-1252, since it is not UTF-8; if letters look wrong, give --encoding"
        )
    return source


def _by_lower_name(columns: Mapping[str, str]) -> dict[str, str]:
    lowered: dict[str, str] = {}
    for name, expression in columns.items():
        key = name.strip().lower()
        lowered[key if key not in lowered else f"{key}\0{name}"] = expression
    return lowered
