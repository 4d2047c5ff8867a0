"""A parquet file as a DuckDB view whose columns are text, dates or moments."""

from __future__ import annotations

from pathlib import Path

import duckdb

from recsys.errors import Invalid
from recsys.imports.readers.sql import identifier, quoted, trimmed

__all__ = ["parquet_columns"]

_TYPED = ("TIMESTAMP", "DATE")
_FLOATING = ("DOUBLE", "FLOAT")


def parquet_columns(
    connection: duckdb.DuckDBPyConnection, path: Path, table: str
) -> tuple[dict[str, str], int]:
    """Make the view `table` with `line` (row number from 1), `span` and the file's columns.

    Whole numbers stored as floats lose their `.0`, lists are joined by `|`, structs become JSON, and binary
    values are UTF-8 text, else a UUID (16 bytes), else hexadecimal.

    Returns
    -------
    columns : dict of str to str
        The expression of each column by its name in the file.
    rows : int
        The number of rows.

    Raises
    ------
    Invalid
        The file is damaged.
    """
    try:
        connection.execute(
            f"CREATE VIEW {table} AS "  # noqa: S608
            f"SELECT file_row_number + 1 AS line, 1 AS span, * EXCLUDE (file_row_number) "
            f"FROM read_parquet({quoted(str(path))}, file_row_number = true)"
        )
        relation = connection.table(table)
        rows = relation.count("*").fetchall()[0][0]
    except duckdb.Error as error:
        reason = str(error).split("\n", 1)[0]
        raise Invalid(f"{path} is not a readable parquet file ({reason}); write it again") from error
    kinds = dict(zip(relation.columns, map(str, relation.types), strict=True))
    return {name: _value(name, kind) for name, kind in kinds.items() if name not in ("line", "span")}, int(
        rows
    )


def _value(name: str, kind: str) -> str:
    column = identifier(name)
    if kind.endswith("[]"):
        return trimmed(f"array_to_string({column}, '|')")
    if kind.startswith(("STRUCT", "MAP", "UNION", "JSON")):
        return f"to_json({column})::VARCHAR"
    if kind == "BLOB":
        digits = f"lower(hex({column}))"
        parts = ", ".join(
            f"substr({digits}, {start}, {length})"
            for start, length in ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))
        )
        uuid = f"CASE WHEN octet_length({column}) = 16 THEN concat_ws('-', {parts}) ELSE {digits} END"
        return trimmed(f"coalesce(TRY(decode({column})), {uuid})")
    if kind in _FLOATING:
        return (
            f"CASE WHEN {column} = trunc({column}) AND abs({column}) < 1e15 "
            f"THEN {column}::BIGINT::VARCHAR ELSE {column}::VARCHAR END"
        )
    if kind.startswith(_TYPED):
        return column
    return trimmed(f"{column}::VARCHAR")
