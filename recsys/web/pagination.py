"""Pages of a list: a bounded number of items and an opaque cursor to what comes next."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Generic, NoReturn, TypeVar

import orjson
from pydantic import BaseModel, Field

from recsys.errors import Invalid

__all__ = ["MAX_CURSOR", "Cursor", "Page"]

T = TypeVar("T")
MAX_CURSOR = 1000
_INTEGER = 2**63


class Page(BaseModel, Generic[T]):
    """One page; `next_cursor` is null on the last."""

    items: list[T]
    next_cursor: str | None = Field(description="Send it back as `cursor` for the next page.")


@dataclass(frozen=True)
class Cursor:
    """The place in a list at which a page ended: the sort key of its last item, by name.

    It is no secret and no authority: whoever makes one up sees only what the list shows them anyway.
    """

    values: Mapping[str, object]

    @staticmethod
    def encode(values: Mapping[str, int | str | Decimal | datetime | bool | None]) -> str:
        """Url-safe text of a sort key; a Decimal keeps its digits, a moment its zone."""
        text = orjson.dumps(dict(values), default=str)
        return base64.urlsafe_b64encode(text).decode("ascii").rstrip("=")

    @classmethod
    def decode(cls, text: str) -> Cursor:
        """What `encode` was given. Raises Invalid for anything that it did not make."""
        if len(text) > MAX_CURSOR:
            _refuse()
        try:
            padded = text.encode("ascii") + b"=" * (-len(text) % 4)
            values = orjson.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        except (UnicodeEncodeError, binascii.Error, orjson.JSONDecodeError):
            _refuse()
        if not isinstance(values, dict):
            _refuse()
        return cls(values)

    def integer(self, name: str) -> int:
        """The whole number of this name."""
        value = self.values.get(name)
        if isinstance(value, bool) or not isinstance(value, int) or not -_INTEGER <= value < _INTEGER:
            _refuse()
        return value

    def text(self, name: str) -> str:
        """The text of this name, fit to be stored and compared."""
        value = self.values.get(name)
        if not isinstance(value, str) or "\x00" in value:
            _refuse()
        return value

    def decimal(self, name: str) -> Decimal:
        """The exact number of this name."""
        try:
            value = Decimal(self.text(name))
        except InvalidOperation:
            _refuse()
        # a number that no column of money or rates could hold was not made by us
        if not value.is_finite() or abs(value) >= Decimal(10) ** 20:
            _refuse()
        return value

    def moment(self, name: str) -> datetime:
        """The moment of this name, in UTC."""
        try:
            value = datetime.fromisoformat(self.text(name))
            if value.tzinfo is None:
                _refuse()
            return value.astimezone(UTC)
        except (ValueError, OverflowError):
            _refuse()


def _refuse() -> NoReturn:
    raise Invalid("This cursor is not one that a page gave; start again without a cursor.")
