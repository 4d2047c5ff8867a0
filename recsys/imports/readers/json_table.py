"""JSON lines, or a JSON array of objects, as a DuckDB table of one object per row."""

from __future__ import annotations

import duckdb

from recsys.errors import Invalid
from recsys.imports.readers.plain_text import PlainText
from recsys.imports.readers.sql import quoted, trimmed

__all__ = ["json_columns", "json_value", "load_json"]

LONGEST_OBJECT_BYTES = 8 << 20

Refusal = tuple[int, str | None, str, str]


def load_json(
    connection: duckdb.DuckDBPyConnection, text: PlainText, shown: str, table: str, *, is_array: bool
) -> list[Refusal]:
    """Fill `table` with `line`, `span` and `text` (one object each).

    Parameters
    ----------
    text
        The file.
    shown
        Name of the file in messages.
    is_array
        The text is one array; `line` is then the number of the object.

    Returns
    -------
    list of Refusal
        What is no JSON object.

    Raises
    ------
    Invalid
        An array is damaged.
    """
    if is_array:
        try:
            connection.execute(
                f"CREATE TABLE {table} AS "  # noqa: S608
                f"SELECT row_number() OVER () AS line, 1 AS span, json::VARCHAR AS text "
                f"FROM read_json_objects({quoted(str(text.path))}, format = 'array')"
            )
        except duckdb.Error as error:
            reason = str(error).split("\n", 1)[0]
            raise Invalid(f"{shown} is not a complete JSON array ({reason}); write it again") from error
    else:
        # no JSON text holds the unit separator, so each line is one field
        connection.execute(
            f"CREATE TABLE {table} AS SELECT row_number() OVER () AS line, 1 AS span, text "  # noqa: S608
            f"FROM read_csv({quoted(str(text.path))}, columns = {{'text': 'VARCHAR'}}, header = false, "
            f"delim = chr(31), quote = '', escape = '', auto_detect = false, parallel = false, "
            f"max_line_size = {LONGEST_OBJECT_BYTES}, compression = 'none')"
        )
    bad = "text IS NOT NULL AND trim(text) <> '' AND NOT coalesce(TRY(json_type(text)) = 'OBJECT', false)"
    refused = connection.table(table).filter(bad).project("line, text").fetchall()
    connection.execute(
        f"DELETE FROM {table} WHERE text IS NULL OR trim(text) = '' OR {bad}"  # noqa: S608
    )
    return [(line, None, "not a JSON object", raw) for line, raw in refused]


def json_columns(connection: duckdb.DuckDBPyConnection, table: str) -> dict[str, str]:
    """The expression of each key that any object has at its top level."""
    keys = (
        connection.table(table).project("unnest(json_keys(text)) AS key").distinct().order("key").fetchall()
    )
    return {str(key): json_value("text", [str(key)]) for (key,) in keys}


def json_value(column: str, keys: list[str]) -> str:
    """The value below the keys as text: whole floats without `.0`, arrays joined by `|`, objects as JSON."""
    # a pointer (RFC 6901), not a path: paths have no way to write a key with a quote
    pointer = quoted("".join("/" + key.replace("~", "~0").replace("/", "~1") for key in keys))
    value = f"json_extract_string({column}, {pointer})"
    listed = f"array_to_string(json_extract_string(json_extract({column}, {pointer}), '$[*]'), '|')"
    return trimmed(
        f"CASE json_type({column}, {pointer}) "
        f"WHEN 'DOUBLE' THEN regexp_replace({value}, '\\.0+$', '') "
        f"WHEN 'ARRAY' THEN {listed} ELSE {value} END"
    )
