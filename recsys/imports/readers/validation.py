"""What a cell must be, as vectorised expressions: numbers, moments, lengths, JSON."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import orjson
import polars as pl

__all__ = [
    "MOMENT",
    "Check",
    "json_objects",
    "moment_checks",
    "moments",
    "money",
    "not_negative",
    "numbers",
    "split",
    "too_long",
]

Check = tuple[str | None, str | pl.Expr, pl.Expr]
"""The column, a reason to refuse the row, and the expression that is true where it holds."""

LARGEST_MONEY = 99_999_999.99
"""The largest value of DECIMAL(10,2)."""
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
MOMENT = pl.Datetime("us", "UTC")

_ISO = (
    r"^(\d{4}-\d{2}-\d{2})(?:[Tt ](\d{2}:\d{2})(:\d{2})?(?:[.,](\d{1,9}))?"
    r"\s?(?:([Zz]|UTC|GMT)|([+-])(\d{2}):?(\d{2})?)?)?$"
)
_EPOCH = r"^\d{9,19}(\.\d+)?$"
_JAVA_DOUBLE = r"^\d\.\d+E(9|1[0-8])$"
"""A whole number in the way of Java and Spark. Spreadsheets write `E+`, and have rounded it."""
CALENDAR_DIGITS = "YYYYMMDDHHMM"
_CALENDAR_DIGITS = (
    r"^\s*(?:19[789]\d|20\d\d)(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"
    r"(?:[01]\d|2[0-3])[0-5]\d(?:[0-5]\d)?\s*$"
)
"""As Unix time in milliseconds these digits would mean 1976, or the year 2611 with seconds."""


def split(frame: pl.DataFrame, checks: Sequence[Check]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows that pass, and (`line`, `column`, `reason`) of the others: the first check that fails."""
    failed = pl.coalesce(
        *(
            pl.when(broken.fill_null(False)).then(
                pl.struct(
                    column=pl.lit(column, dtype=pl.String),
                    reason=pl.lit(reason) if isinstance(reason, str) else reason,
                )
            )
            for column, reason, broken in checks
        )
    )
    judged = frame.with_columns(failed=failed)
    return (
        judged.filter(pl.col("failed").is_null()).drop("failed"),
        judged.filter(pl.col("failed").is_not_null()).select(
            "line", pl.col("failed").struct.field("column"), pl.col("failed").struct.field("reason")
        ),
    )


def too_long(column: str, longest: int) -> Check:
    """Longer than the database's VARCHAR holds."""
    reason = f"{column} longer than {longest} characters"
    return column, reason, pl.col(column).str.len_chars() > longest


def numbers(series: pl.Series) -> pl.Series:
    """Float64; null where the text is no number. NaN and infinities stay, for the checks to see."""
    if series.dtype == pl.String:
        series = series.str.strip_chars()
    return series.cast(pl.Float64, strict=False)


def money(column: str, parsed: str) -> list[Check]:
    """The checks of a DECIMAL(10,2): `column` as given, `parsed` as numbers."""
    amount = pl.col(parsed)
    return [
        (
            column,
            f"{column} is not a number",
            pl.col(column).is_not_null() & (amount.is_null() | ~amount.is_finite()),
        ),
        (column, f"{column} is larger than {LARGEST_MONEY}", amount.round(2).abs() > LARGEST_MONEY),
    ]


def not_negative(column: str, parsed: str) -> Check:
    """Below zero after rounding to cents."""
    return column, f"{column} is negative", pl.col(parsed).round(2) < 0


def moments(series: pl.Series) -> pl.Series:
    """Datetime in microseconds UTC; null where the value is not a date.

    Accepted are ISO 8601 dates and times (without an offset: UTC) and Unix time in seconds, milli-, micro- or
    nanoseconds by its size; a number with fewer than nine digits is more likely a date or a year, and a
    number of the form YYYYMMDDHHMM or YYYYMMDDHHMMSS is more likely such a date: both are null.
    """
    dtype = series.dtype
    if isinstance(dtype, pl.Datetime):
        aware = series.dt.replace_time_zone("UTC") if dtype.time_zone is None else series
        return aware.dt.convert_time_zone("UTC").cast(MOMENT)
    if dtype == pl.Date:
        return series.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    text = (series.cast(pl.String) if dtype != pl.String else series).str.strip_chars()
    parsed = text.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", time_unit="us", strict=False)
    for slower in (_from_iso, _from_epoch):
        left = parsed.is_null() & text.is_not_null()
        if not left.any():
            break
        rows = left.arg_true()
        parsed = parsed.scatter(rows, slower(text.gather(rows)))
    return parsed.dt.replace_time_zone("UTC")


def moment_checks(column: str, parsed: str, now: datetime) -> list[Check]:
    """A moment that is given must be one, and lie between 1970 and tomorrow."""
    return [
        (
            column,
            f"{column} may be {CALENDAR_DIGITS} or Unix time; give --date-format",
            pl.col(column).cast(pl.String).str.contains(_CALENDAR_DIGITS) & pl.col(parsed).is_null(),
        ),
        (
            column,
            f"{column} is not an ISO 8601 or Unix time",
            pl.col(column).is_not_null() & pl.col(parsed).is_null(),
        ),
        (column, f"{column} is before 1970", pl.col(parsed) < EARLIEST),
        (column, f"{column} is in the future", pl.col(parsed) > now + timedelta(days=1)),
    ]


def json_objects(series: pl.Series) -> pl.Series:
    """The texts again as compact JSON objects; null where one is no JSON object that PostgreSQL can store."""
    distinct = series.drop_nulls().unique()
    stored = pl.Series([_json_object(text) for text in distinct], dtype=pl.String)
    return series.replace_strict(distinct, stored, default=None, return_dtype=pl.String)


def _json_object(text: str) -> str | None:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    stored = orjson.dumps(value).decode() if isinstance(value, dict) else None
    # PostgreSQL's jsonb has no character zero; behind an escaped backslash the same letters are plain text
    return None if stored is None or _NUL.search(stored) else stored


_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def _from_iso(text: pl.Series) -> pl.Series:
    part = text.str.extract_groups(_ISO).struct.unnest()
    date, minute, second, fraction, _, sign, hours, minutes = part.get_columns()
    columns = pl.DataFrame(
        {"date": date, "minute": minute, "second": second, "fraction": fraction, "sign": sign}
    ).with_columns(
        hours=hours.cast(pl.Int64).fill_null(0),
        minutes=minutes.cast(pl.Int64).fill_null(0),
    )
    clock = pl.concat_str(
        "date",
        pl.lit("T"),
        pl.col("minute").fill_null("00:00"),
        pl.col("second").fill_null(":00"),
        pl.lit("."),
        pl.col("fraction").fill_null("0"),
    ).str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", time_unit="us", strict=False)
    offset = pl.duration(hours=pl.col("hours"), minutes=pl.col("minutes"))
    possible = (pl.col("hours") < 24) & (pl.col("minutes") < 60)
    moment = (
        pl.when(pl.col("sign").is_null())
        .then(clock)
        .when(possible)
        .then(pl.when(pl.col("sign") == "+").then(clock - offset).otherwise(clock + offset))
    )
    return columns.select(moment.alias("moment")).to_series()


def _is_epoch(text: pl.Series) -> pl.Series:
    return (text.str.contains(_EPOCH) & ~text.str.contains(_CALENDAR_DIGITS)).fill_null(False)


def _from_epoch(text: pl.Series) -> pl.Series:
    number = text.cast(pl.Float64, strict=False).cast(pl.Int64, strict=False).cast(pl.String)
    text = number.zip_with(text.str.contains(_JAVA_DOUBLE).fill_null(False), text)
    frame = pl.DataFrame({"text": text.set(~_is_epoch(text), None)})
    whole = pl.col("text").str.replace(r"\..*$", "").cast(pl.Int64, strict=False)
    tail = pl.col("text").str.extract(r"(\.\d+)$").cast(pl.Float64).fill_null(0.0)
    micros = (
        pl.when(whole < 10**11)
        .then(whole * 1_000_000 + (tail * 1_000_000).round().cast(pl.Int64))
        .when(whole < 10**14)
        .then(whole * 1_000 + (tail * 1_000).round().cast(pl.Int64))
        .when(whole < 10**17)
        .then(whole)
        .otherwise(whole // 1_000)
    )
    return frame.select(micros.cast(pl.Datetime("us"))).to_series()
