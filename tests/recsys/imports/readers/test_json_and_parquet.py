"""JSON lines, JSON arrays and parquet columns of every type become text or are refused."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recsys.imports.readers.source import open_source
from tests.recsys.imports.readers.reading import read

UUID_BYTES = bytes.fromhex("0001fffe0001fffe0001fffe0001fffe")


def test_json_lines_have_line_numbers_and_bad_lines_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text(
        '{"user": "u0", "product": 5, "tags": ["a", "b"], "context": {"q": 1}}\n'
        "\n"
        '{"user": 17850.0, "product": 22423.5, "note": "a\\nb"}\n'
        "{oops\n"
        "[1]\n"
        '{"user": null, "product": true}\n'
    )
    rows, refused = read(path, ("user", "product", "tags", "context"))
    assert rows == [
        (1, "u0", "5", "a|b", '{"q":1}'),
        (3, "17850", "22423.5", None, None),
        (6, None, "true", None, None),
    ]
    assert refused == [(4, None, "not a JSON object", "{oops"), (5, None, "not a JSON object", "[1]")]


def test_a_json_array_is_read(tmp_path: Path) -> None:
    path = tmp_path / "events.json"
    path.write_text('[\n  {"user": "u0",\n   "product": 5},\n  {"user": "u1", "product": "6"}\n]\n')
    assert read(path, ("user", "product")) == ([(1, "u0", "5"), (2, "u1", "6")], [])


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        ([17850.0, None], pl.Float64, ["17850", None]),
        ([17850.0, 0.5], pl.Float32, ["17850", "0.5"]),
        ([1, None], pl.Int8, ["1", None]),
        ([2**63], pl.UInt64, [str(2**63)]),
        ([None, None], pl.Null, [None, None]),
        ([None, None], pl.String, [None, None]),
        ([b"tea", b"\xff\x00"], pl.Binary, ["tea", "ff00"]),
        ([UUID_BYTES], pl.Binary, ["0001fffe-0001-fffe-0001-fffe0001fffe"]),
        ([" tea ", ""], pl.String, ["tea", None]),
        (["a", "b"], pl.Categorical, ["a", "b"]),
        ([["a", "b"], []], pl.List(pl.String), ["a|b", None]),
        ([True, None], pl.Boolean, ["true", None]),
        ([Decimal("1.50")], pl.Decimal(10, 2), ["1.50"]),
        ([date(2024, 3, 1)], pl.Date, ["2024-03-01"]),
        ([{"a": 1}], pl.Struct({"a": pl.Int64}), ['{"a":1}']),
    ],
    ids=str,
)
def test_a_parquet_column_of_any_type_is_text(
    tmp_path: Path, values: list[Any], dtype: Any, expected: list[str | None]
) -> None:
    path = tmp_path / "a.parquet"
    pl.DataFrame(
        {"Product": pl.Series(values, dtype=dtype), "payload": [b"\0\1"] * len(values)}
    ).write_parquet(path)
    rows, refused = read(path, ("product",), 1)
    assert [value for _, value in rows] == expected
    assert [line for line, _ in rows] == list(range(1, len(values) + 1))
    assert refused == []


def test_moments_of_parquet_stay_moments(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    moment = datetime(2024, 3, 1, 10, tzinfo=UTC)
    pl.DataFrame({"created_at": [moment], "user": [moment]}).write_parquet(path)
    with open_source(path, ("created_at", "user")) as source:
        [batch] = source.batches()
    assert batch.rows["created_at"].to_list() == [moment]
    assert batch.rows["user"].dtype == pl.String
