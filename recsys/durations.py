"""Spans of time as people write them: `90s`, `10m`, `1h` read, and seconds written as "1 min 40 s"."""

from __future__ import annotations

import re

from recsys.errors import Invalid

__all__ = ["format_seconds", "parse_seconds"]

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
MOST_SECONDS = 30 * 24 * 3600.0
_SPAN = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)([smh])")


def parse_seconds(given: str, option: str) -> float:
    """Seconds of a number with s, m or h.

    Parameters
    ----------
    option
        Name of the option, for the error.

    Raises
    ------
    Invalid
        For anything else, for 0 and for more than 30 days; it names `option`.
    """
    found = _SPAN.fullmatch(given)
    if found is None:
        raise Invalid(f"{option} {given!r}: expected a number with s, m or h, such as 90s, 10m or 1h")
    seconds = float(found[1]) * UNITS[found[2]]
    if not 0 < seconds <= MOST_SECONDS:
        raise Invalid(f"{option} {given!r}: expected more than 0 and at most 30 days")
    return seconds


def format_seconds(seconds: float) -> str:
    """Words such as "under 1 s", "55 s", "1 min 40 s" or "2 h 5 min": the nearest second or minute."""
    whole = round(seconds)
    if seconds < 1:
        return "under 1 s"
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"
