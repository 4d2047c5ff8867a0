"""Versions of what administrators edit, as `ETag` and `If-Match` carry them."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Header

from recsys.errors import Conflict, Invalid

__all__ = ["IfMatch", "check_version", "etag", "version_in"]

_ETAG = re.compile(r'"(\d{1,9})"')

IfMatch = Annotated[
    str,
    Header(
        max_length=20,
        description='The version that was read, as in `ETag`: `"3"`; `*` for any.',
    ),
]


def etag(version: int) -> str:
    """A version as the value of `ETag`."""
    return f'"{version}"'


def version_in(if_match: str) -> int | None:
    """The version of `If-Match`; None for any. Raises Invalid."""
    if if_match.strip() == "*":
        return None
    found = _ETAG.fullmatch(if_match.strip())
    if found is None:
        raise Invalid('If-Match is not a version as the ETag names it, such as "3", or *.')
    return int(found[1])


def check_version(current: int, expected: int | None) -> None:
    """Raises Conflict when somebody else made a newer version than the expected one."""
    if expected is not None and current != expected:
        raise Conflict(
            f"Somebody else changed this: it has version {current} now, not {expected}. Read it again, and "
            "send your change with its version.",
            version=current,
        )
