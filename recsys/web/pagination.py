"""Pages of a list: a bounded number of items and a signed cursor to what comes next.

A cursor belongs to the address and the filters of the list that gave it: sent with others, it is refused.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Generic, NoReturn, TypeVar
from urllib.parse import parse_qsl

import orjson
from fastapi import Query
from pydantic import BaseModel, Field
from starlette.types import Scope

from recsys.errors import Invalid
from recsys.web.access.signing import SIZE, is_signed, sign

__all__ = [
    "MAX_CURSOR",
    "Cursor",
    "CursorParam",
    "Limit",
    "Page",
    "last_id",
    "page_of",
    "refuse_cursor",
    "remember_question",
]

T = TypeVar("T")
Row = TypeVar("Row")
MAX_CURSOR = 1000
Limit = Annotated[int, Query(ge=1, le=100)]
CursorParam = Annotated[
    str | None, Query(max_length=MAX_CURSOR, description="`next_cursor` of the page before.")
]
_INTEGER = 2**63
_PURPOSE = b"page"
_asked: ContextVar[Scope | None] = ContextVar("asked", default=None)


class Page(BaseModel, Generic[T]):
    """One page; `next_cursor` is null on the last."""

    items: list[T]
    next_cursor: str | None = Field(description="Send it back as `cursor` for the next page.")


@dataclass(frozen=True)
class Cursor:
    """The place in a list at which a page ended: the sort key of its last item, by name.

    Whose list it is, the request says and not the cursor.
    """

    values: Mapping[str, object]

    @staticmethod
    def encode(values: Mapping[str, int | str | Decimal | datetime | bool | None]) -> str:
        """Url-safe text of a sort key; a Decimal keeps its digits, a moment its zone."""
        text = orjson.dumps(dict(values), default=str)
        signature = sign(_PURPOSE + _question(), text)
        return base64.urlsafe_b64encode(signature + text).decode("ascii").rstrip("=")

    @classmethod
    def decode(cls, text: str) -> Cursor:
        """What `encode` was given. Raises Invalid for anything that it did not make."""
        if len(text) > MAX_CURSOR:
            refuse_cursor()
        try:
            padded = text.encode("ascii") + b"=" * (-len(text) % 4)
            data = base64.b64decode(padded, altchars=b"-_", validate=True)
            if not is_signed(_PURPOSE + _question(), data[SIZE:], data[:SIZE]):
                refuse_cursor()
            values = orjson.loads(data[SIZE:])
        except (UnicodeEncodeError, binascii.Error, orjson.JSONDecodeError):
            refuse_cursor()
        if not isinstance(values, dict):
            refuse_cursor()
        return cls(values)

    def integer(self, name: str) -> int:
        """The whole number of this name."""
        value = self.values.get(name)
        if isinstance(value, bool) or not isinstance(value, int) or not -_INTEGER <= value < _INTEGER:
            refuse_cursor()
        return value

    def text(self, name: str) -> str:
        """The text of this name, fit to be stored and compared."""
        value = self.values.get(name)
        if not isinstance(value, str) or "\x00" in value:
            refuse_cursor()
        return value

    def decimal(self, name: str) -> Decimal:
        """The exact number of this name."""
        try:
            value = Decimal(self.text(name))
        except InvalidOperation:
            refuse_cursor()
        # a number that no column of money or rates could hold was not made by us
        if not value.is_finite() or abs(value) >= Decimal(10) ** 20:
            refuse_cursor()
        return value

    def moment(self, name: str) -> datetime:
        """The moment of this name, in UTC."""
        try:
            value = datetime.fromisoformat(self.text(name))
            if value.tzinfo is None:
                refuse_cursor()
            return value.astimezone(UTC)
        except (ValueError, OverflowError):
            refuse_cursor()


def last_id(cursor: str | None) -> int | None:
    """The id at which the page before ended; None for the first page. Raises Invalid."""
    return None if cursor is None else Cursor.decode(cursor).integer("id")


def page_of(
    rows: Sequence[Row],
    limit: int,
    item_of: Callable[[Row], T],
    key_of: Callable[[Any], Mapping[str, Any]] = lambda row: {"id": row.id},
) -> Page[T]:
    """A page of at most `limit` items.

    Parameters
    ----------
    rows
        The rows of the page in order and, where there is a next page, at least one more.
    limit
        Items on the page.
    item_of
        Makes an item of a row.
    key_of
        The sort key of a row, for the cursor; by default its `id`.
    """
    items = [item_of(row) for row in rows[:limit]]
    following = Cursor.encode(dict(key_of(rows[limit - 1]))) if len(rows) > limit else None
    return Page(items=items, next_cursor=following)


def remember_question(scope: Scope) -> None:
    """What the request asks for: cursors that are made and read while it is answered belong to that."""
    _asked.set(scope)


def _question() -> bytes:
    scope = _asked.get()
    if scope is None:
        return b""
    given = sorted(
        pair for pair in parse_qsl(scope["query_string"], True) if pair[0] not in (b"cursor", b"limit")
    )
    return orjson.dumps([scope["path"], *([part.decode("latin-1") for part in pair] for pair in given)])


def refuse_cursor() -> NoReturn:
    """Raise Invalid for a cursor that this list did not give."""
    raise Invalid(
        "This cursor is invalid or belongs to another search or list; start again without a cursor, and keep "
        "every parameter but `limit` as it was on the first page."
    )
