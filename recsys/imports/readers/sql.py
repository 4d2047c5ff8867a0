"""Parts of the SQL that DuckDB gets: literals, identifiers, and values of fields from texts of exports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from recsys import clock
from recsys.domains.recommendations.types import INTERACTION_TYPES

if TYPE_CHECKING:
    from recsys.imports.readers.mapping import Elapsed

__all__ = [
    "category",
    "elapsed",
    "identifier",
    "in_period",
    "interaction_type",
    "moment",
    "money",
    "pairs",
    "quoted",
    "translated",
    "trimmed",
    "whole",
]

_WHITESPACE = " \t\n\v\f\r\u00a0\u2007\u202f\u3000\ufeff"
_SHORT_DATE = "%m/%d/%y, %I:%M %p"
"""How PHP writes a moment shortly in American English, as Magento does."""


def quoted(text: str) -> str:
    """The text as a literal."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """The name as an identifier."""
    return '"' + name.replace('"', '""') + '"'


def trimmed(expression: str) -> str:
    """The text without white space around it; null where nothing is left."""
    return f"nullif(trim({expression}, {quoted(_WHITESPACE)}), '')"


def moment(value: str, form: str) -> str:
    """ISO 8601 of a text in this form, as for strftime; what is not stays as it is, to be refused."""
    text = f"({value})::VARCHAR"
    return f"coalesce(strftime(try_strptime({text}, {quoted(form)}), '%Y-%m-%dT%H:%M:%S.%f'), {text})"


def elapsed(times: Elapsed) -> str:
    """The moment of a row that only knows the days since the former one of its owner."""
    days, hour, owner, order = map(identifier, (times.days, times.hour, times.owner, times.order))
    passed = (
        f"sum(coalesce(TRY_CAST({days} AS DOUBLE), 0)::BIGINT) OVER (PARTITION BY {owner} "
        f"ORDER BY TRY_CAST({order} AS BIGINT))"
    )
    start = f"TIMESTAMP {quoted(times.start.isoformat())}"
    hours = f"to_hours(coalesce(TRY_CAST({hour} AS BIGINT), 0))"
    return f"strftime({start} + to_days(({passed})::INTEGER) + {hours}, '%Y-%m-%dT%H:%M:%S')"


def money(value: str, decimal: str) -> str:
    """Digits with a point as the decimal mark; what is no amount stays as it is, to be refused."""
    thousands = "." if decimal == "," else ","
    stripped = f"regexp_replace({value}, '[^0-9.,+-]', '', 'g')"
    mark, group = (f"[{decimal}]", f"[{thousands}]")
    form = f"[+-]?([0-9]+|[0-9]{{1,3}}({group}[0-9]{{3}})+)({mark}[0-9]+)?"
    plain = f"replace(replace({stripped}, {quoted(thousands)}, ''), {quoted(decimal)}, '.')"
    return (
        f"CASE WHEN regexp_full_match({value}, '[^0-9]*[0-9][0-9.,'' \u00a0\u202f]*[^0-9]*') "
        f"AND regexp_full_match({stripped}, {quoted(form)}) THEN {plain} ELSE {value} END"
    )


def whole(value: str) -> str:
    """Whole pieces: parts are left out, and less than nothing is nothing; other texts stay, to be refused."""
    number = f"TRY_CAST({value} AS DOUBLE)"
    return f"CASE WHEN {number} < 0 THEN '0' ELSE coalesce(floor({number})::BIGINT::VARCHAR, {value}) END"


def in_period(bounds: Sequence[str]) -> str:
    """Whether now lies between two moments: `FROM/UNTIL`, or a text for each. A missing one limits nothing.

    A bound without a time of day is that whole day.
    """
    if len(bounds) == 1:
        bounds = [f"split_part({bounds[0]}, '/', {part})" for part in (1, 2)]
    now = f"TIMESTAMPTZ {quoted(clock.now().isoformat())}"
    short = "try_strptime({0}, {1})::TIMESTAMPTZ"
    begin, end = (
        f"coalesce(TRY_CAST({bound} AS TIMESTAMPTZ), {short.format(bound, quoted(_SHORT_DATE))})"
        for bound in bounds
    )
    whole_day = (
        f"CASE WHEN regexp_matches({bounds[1]}, '[T:]') AND {bounds[1]} NOT LIKE '%M' THEN 0 ELSE 1 END"
    )
    return f"(coalesce({now} >= {begin}, true) AND coalesce({now} < {end} + to_days({whole_day}), true))"


def interaction_type(value: str, types: Mapping[str, str]) -> str:
    """The interaction type that each word of the file means."""
    others = types.get("*")
    cases = " ".join(
        f"WHEN {quoted(word.lower())} THEN {quoted(meant)}" for word, meant in types.items() if word != "*"
    )
    if others is None:
        return f"CASE lower({value}) {cases} ELSE {value} END" if cases else value
    known = " ".join(f"WHEN {quoted(word)} THEN {quoted(word)}" for word in INTERACTION_TYPES)
    return f"CASE lower({value}) {cases} {known} ELSE {quoted(others)} END"


def translated(value: str, texts: Mapping[str, str]) -> str:
    """The text of a field for each value of the file; nothing given, or nothing meant, is null."""
    cases = " ".join(
        f"WHEN {quoted(word.lower())} THEN {quoted(meant)}" for word, meant in texts.items() if word != "*"
    )
    others = quoted(texts["*"]) if "*" in texts else value
    found = f"CASE lower({value}) {cases} ELSE {others} END"
    return f"CASE WHEN {value} IS NOT NULL THEN nullif({found}, '') END"


def category(value: str, level_mark: str, marks: str | None) -> str:
    """The levels of a category between `>`: of several categories the deepest, the first of several such."""
    if marks:
        kept = {mark: chr(0xE000 + place) for place, mark in enumerate(marks)}
        for mark, stand_in in kept.items():
            value = f"replace({value}, {quoted(chr(92) + mark)}, {quoted(stand_in)})"
        any_mark = quoted("[" + "".join(f"\\{mark}" for mark in marks) + "]")
        parts = f"list_transform(string_split_regex({value}, {any_mark}), lambda t: {trimmed('t')})"
        listed = f"list_filter({parts}, lambda t: t IS NOT NULL)"
        depths = f"list_transform({listed}, lambda t: len(string_split(t, {quoted(level_mark)})))"
        value = f"({listed})[list_position({depths}, list_max({depths}))]"
        for mark, stand_in in kept.items():
            value = f"replace({value}, {quoted(stand_in)}, {quoted(mark)})"
    if level_mark != ">":
        value = f"replace({value}, {quoted(level_mark)}, ' > ')"
    return value


def pairs(value: str) -> str:
    """A JSON object of `colour=red,size=M`, also with values in quotes; null where a name comes twice."""
    split = f"string_split(regexp_replace({value}, ',([A-Za-z0-9_]+)=', chr(30) || '\\1=', 'g'), chr(30))"
    entry = (
        "{'key': split_part(p, '=', 1), "
        f"'value': {trimmed('trim(substr(p, strpos(p, chr(61)) + 1), chr(34))')}}}"
    )
    return f"TRY(to_json(map_from_entries(list_transform({split}, lambda p: {entry})))::VARCHAR)"
